//! Black-box tests of tripline, in one binary.

mod layers;
mod shipped_rules;
mod tidy;
mod tokens;

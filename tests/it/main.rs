//! Black-box tests of tripline, in one binary.

mod layers;
mod tidy;
mod tokens;

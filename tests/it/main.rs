//! Black-box tests of tripline, in one binary.

mod agent;
mod cli;
mod crash;
mod layers;
mod shipped_rules;
mod shop;
mod sim;
mod tidy;
mod tokens;

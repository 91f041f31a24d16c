//! Black-box tests of tripline, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::format_collect,
    reason = "a test says what is wrong by failing, also in its helpers"
)]

mod agent;
mod cli;
mod crash;
mod layers;
mod shipped_rules;
mod shop;
mod sim;
mod tidy;
mod tokens;

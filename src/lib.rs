//! tripline.

// L0 nouns
pub mod diagnostic;
pub mod event;
pub mod fact;
pub mod finding;
pub mod kind;
pub mod secret;
pub mod yaml;
// L1 verbs
pub mod detect;
pub mod normalize;
pub mod parse;
pub mod rule;
// L2 edges
pub mod clock;
pub mod sink;
pub mod source;
pub mod store;
// L3 process
pub mod agent;
// L4
pub mod cli;
pub mod shipped;

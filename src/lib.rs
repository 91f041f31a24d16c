//! tripline: a log-tailing stream processor and SIEM agent.
//!
//! The modules below stand in the order in which data flows; each imports only what stands above
//! it (`tests/it/layers.rs` enforces that). Read [`pipeline`] first.

// Nouns: what flows.
pub mod diagnostic;
pub mod yaml;
pub mod event;
pub mod fact;
pub mod finding;
pub mod secret;
pub mod kind;

// Verbs: pure, synchronous, deterministic; time is an input.
pub mod parse;
pub mod normalize;
pub mod rule;
pub mod detect;
pub mod group;
pub mod respond;
pub mod route;
pub mod pipeline;

// Edges: clock, files, network, database.
pub mod clock;
pub mod telemetry;
pub mod source;
pub mod sink;
pub mod store;

// Process.
pub mod config;
pub mod api;
pub mod agent;

// Front.
pub mod shipped;
pub mod cli;

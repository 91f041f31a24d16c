//! The agent: everything that runs at the same time, and how it is started and stopped.

pub mod deliver;

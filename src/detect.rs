//! Events to findings: matching and exact sliding windows, in event time.

use crate::event::{Event, FieldTable, RawRecord, Timestamp};
use crate::finding::{Finding, StateChange};
use crate::rule::Ruleset;

/// What detection counted since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DetectCounts {
    /// Events that matched a rule.
    pub matches: u64,
    /// Events older than the state still kept.
    pub late: u64,
    /// Window groups dropped by a limit.
    pub windows_evicted: u64,
    /// Window entries dropped by a limit.
    pub entries_evicted: u64,
}

/// Why a saved piece of state was not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("saved window state is damaged: {why}")]
pub struct RestoreError {
    /// What was wrong with it.
    pub why: &'static str,
}

/// The detector: compiled rules and the windows of their correlations.
#[derive(Debug)]
pub struct Detector {
    /// What it counted.
    pub counts: DetectCounts,
}

impl Detector {
    /// Compiles a set of rules.
    pub fn new(_rules: &Ruleset) -> Self {
        Self { counts: DetectCounts::default() }
    }

    /// Lets every rule see one event; findings are appended in the order of the rules.
    pub fn observe(
        &mut self,
        _event: &Event<'_>,
        _raw: &RawRecord<'_>,
        _names: &FieldTable,
        _out: &mut Vec<Finding>,
    ) {
    }

    /// Moves event time on without an event: episodes whose window has emptied end.
    pub fn advance(&mut self, _watermark: Timestamp, _out: &mut Vec<Finding>) {}

    /// Ends every running episode: there will be no more input.
    pub fn drain(&mut self, _out: &mut Vec<Finding>) {}

    /// Appends what changed since the last call.
    pub fn save(&mut self, _out: &mut Vec<StateChange>) {}

    /// Takes back one saved piece of state (kind `window`). State of a rule that is gone or whose
    /// meaning has changed is ignored: `Ok(false)`.
    pub fn restore(&mut self, _key: &[u8], _value: &[u8]) -> Result<bool, RestoreError> {
        Ok(true)
    }

    /// Exchanges the rules; windows of rules whose meaning is the same are kept.
    pub fn replace(&mut self, _rules: &Ruleset) {}
}

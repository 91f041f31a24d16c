//! One commit, as the caller fills it.

use super::audit::{self, AuditEntry};
use super::error::StoreError;
use super::incidents;
use super::letters::{self, SinkState};
use super::outbox::{
    self, ClaimRequest, Claimed, DeliveryId, Enqueued, NewDelivery, Settled, Settlement, Ticket,
};
use super::resume;
use super::retention::{self, Retained, RetentionPolicy};
use crate::event::{FlatEvent, Timestamp};
use crate::fact::FactKind;
use crate::finding::{Finding, IncidentChange, IncidentId, StateChange, Step};
use rusqlite::Connection;
use std::cell::Cell;
use std::path::Path;

/// What became of a change to an incident's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is written.
    Kept,
    /// The same was there already.
    Known,
    /// It is not written, or the oldest of its kind gave way: the limit of its kind is reached.
    Capped,
}

/// An open transaction: nothing of it is visible or durable before [`super::Store::transaction`]
/// has returned `Ok`.
#[derive(Debug)]
pub struct Transaction<'a> {
    sql: &'a Connection,
    path: &'a Path,
    failed: Cell<bool>,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(sql: &'a Connection, path: &'a Path) -> Self {
        Self { sql, path, failed: Cell::new(false) }
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// SQLite may have undone the transaction when a step failed; later steps would then stand
    /// alone. So a failed step spoils the whole.
    fn checked<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| {
            self.failed.set(true);
            StoreError::from_sql(self.path, error)
        })
    }

    /// Where to go on with a stream of a source, as JSON; `None` forgets the stream.
    pub fn position(
        &self,
        source: &str,
        stream: &str,
        state: Option<&str>,
    ) -> Result<(), StoreError> {
        self.checked(resume::save_position(self.sql, source, stream, state))
    }

    /// A piece of detection state.
    pub fn state(&self, change: &StateChange) -> Result<(), StoreError> {
        self.checked(resume::save_state(self.sql, change))
    }

    /// Many pieces of detection state, of which the last of a key stands. They are written in the
    /// order of their keys, so that each page of the table is touched once.
    pub fn states<'c>(
        &self,
        changes: impl IntoIterator<Item = &'c StateChange>,
    ) -> Result<(), StoreError> {
        let mut sorted: Vec<&StateChange> = changes.into_iter().collect();
        sorted.sort_by_key(|change| (change.kind, &change.key));
        sorted.into_iter().try_for_each(|change| self.state(change))
    }

    /// Adds to a counter, per source where it is about one.
    pub fn count(&self, kind: FactKind, source: Option<&str>, add: u64) -> Result<(), StoreError> {
        self.checked(resume::add_count(self.sql, kind, source, add))
    }

    /// The latest of a finding's episode, for statistics.
    pub fn finding(&self, finding: &Finding) -> Result<(), StoreError> {
        self.checked(resume::save_finding(self.sql, finding))
    }

    /// A change to the record of an incident.
    pub fn incident(&self, change: &IncidentChange) -> Result<Saved, StoreError> {
        self.checked(incidents::save(self.sql, change))
    }

    /// The evidence of an incident, oldest first, this transaction's included.
    pub fn evidence(&self, incident: &IncidentId) -> Result<Vec<FlatEvent>, StoreError> {
        self.checked(incidents::evidence(self.sql, incident))
    }

    /// The recommended steps of an incident, this transaction's included.
    pub fn steps(&self, incident: &IncidentId) -> Result<Vec<Step>, StoreError> {
        self.checked(incidents::steps(self.sql, incident))
    }

    /// Makes a message owed to a sink. A newer update takes the place of older ones that wait.
    pub fn enqueue(&self, delivery: &NewDelivery<'_>) -> Result<Enqueued, StoreError> {
        self.checked(outbox::enqueue(self.sql, delivery))
    }

    /// See [`super::Store::claim`]; what is claimed may be sent after the commit only.
    pub fn claim(&self, request: &ClaimRequest<'_>) -> Result<Option<Claimed>, StoreError> {
        self.checked(outbox::claim(self.sql, request))
    }

    /// What came of an attempt.
    pub fn settle(
        &self,
        ticket: Ticket,
        settlement: &Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.checked(outbox::settle(self.sql, ticket, settlement, now))
    }

    /// Gives back what a worker claimed and did not settle before its lease ended; how many.
    pub fn release_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.checked(outbox::release_expired(self.sql, now))
    }

    /// After the wall clock was set back: what a sink owes later than `horizon` (the longest pause
    /// there can be) becomes due soon after `now`. At most 1,000 rows a call; how many they were.
    pub fn pull_back(
        &self,
        sink: &str,
        now: Timestamp,
        horizon: Timestamp,
    ) -> Result<u64, StoreError> {
        self.checked(outbox::pull_back(self.sql, sink, now, horizon))
    }

    /// The state of a sink.
    pub fn sink(&self, state: &SinkState) -> Result<(), StoreError> {
        self.checked(letters::save_sink(self.sql, state))
    }

    /// Sends a dead letter again under its old key; `false` if it is not one. Audited.
    pub fn requeue(
        &self,
        delivery: DeliveryId,
        actor: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.checked(letters::requeue(self.sql, delivery, actor, now))
    }

    /// Removes a dead letter for good; `false` if it is not one. Audited.
    pub fn purge(
        &self,
        delivery: DeliveryId,
        actor: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.checked(letters::purge(self.sql, delivery, actor, now))
    }

    /// Appends to the audit log; the number of the new row.
    pub fn audit(&self, entry: &AuditEntry<'_>) -> Result<u64, StoreError> {
        self.checked(audit::append(self.sql, entry))
    }

    pub(super) fn retain(
        &self,
        now: Timestamp,
        policy: &RetentionPolicy,
        rows_max: u32,
    ) -> Result<Retained, StoreError> {
        self.checked(retention::retain(self.sql, now, policy, rows_max))
    }
}

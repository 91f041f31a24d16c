//! The one commit: effects of the pipeline and positions of the sources, together or not at all.

use super::owner::Output;
use crate::event::{SourceId, Timestamp};
use crate::finding::{IncidentChange, Notice};
use crate::pipeline::Effect;
use crate::sink::NoticeView;
use crate::source::Position;
use crate::store::{AuditEntry, NewDelivery, Store, StoreError, Transaction};
use std::collections::BTreeMap;

/// What is to be committed next.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Effects in order.
    pub(super) effects: Vec<Effect>,
    /// Latest position per source and stream; `None` forgets the stream.
    positions: BTreeMap<(SourceId, Box<str>), Option<Box<str>>>,
}

impl Pending {
    /// Takes the positions that follow a batch.
    pub(super) fn positions(&mut self, source: SourceId, positions: Vec<Position>) {
        for position in positions {
            self.positions.insert((source, position.stream), position.state);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.positions.is_empty()
    }

    /// Whether something is owed to the outside: then the commit does not wait.
    pub(super) fn owes(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Send(_)))
    }
}

/// Whether trying again cannot help.
pub(super) const fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Damaged { .. } | StoreError::Foreign { .. } | StoreError::Newer { .. }
    )
}

/// Writes everything pending in one transaction; on an error nothing of it is written and it can
/// be tried again.
pub(super) fn commit(
    store: &mut Store,
    pending: &Pending,
    sources: &[Box<str>],
    outputs: &[Output],
    now: Timestamp,
) -> Result<(), StoreError> {
    store.transaction(|transaction| {
        for effect in &pending.effects {
            apply(transaction, effect, sources, outputs, now)?;
        }
        let saved = pending.effects.iter().filter_map(|effect| match effect {
            Effect::Save(change) => Some(change),
            _ => None,
        });
        transaction.states(saved)?;
        for ((source, stream), state) in &pending.positions {
            if let Some(name) = sources.get(usize::from(source.0)) {
                transaction.position(name, stream, state.as_deref())?;
            }
        }
        Ok(())
    })
}

fn apply(
    transaction: &Transaction<'_>,
    effect: &Effect,
    sources: &[Box<str>],
    outputs: &[Output],
    now: Timestamp,
) -> Result<(), StoreError> {
    match effect {
        // These are written together, in the order of their keys.
        Effect::Save(_) => Ok(()),
        Effect::Finding(finding, _) => transaction.finding(finding),
        Effect::Incident(change) => {
            transaction.incident(change)?;
            audit(transaction, change)
        }
        Effect::Send(notice) => owe(transaction, notice, outputs, now),
        Effect::Note(fact) => {
            let source = fact.source.and_then(|source| sources.get(usize::from(source.0)));
            transaction.count(fact.kind, source.map(AsRef::as_ref), fact.count)
        }
        Effect::Event(_) | Effect::Refused(_) => Ok(()),
    }
}

/// The timeline of an incident is what happened to it: all of it goes into the audit log as well.
fn audit(transaction: &Transaction<'_>, change: &IncidentChange) -> Result<(), StoreError> {
    let IncidentChange::Timeline(incident, entry) = change else { return Ok(()) };
    let entry = AuditEntry {
        time: entry.time,
        actor: &entry.actor,
        action: "incident",
        subject: &incident.0,
        detail: &entry.text,
    };
    transaction.audit(&entry).map(drop)
}

/// Renders a message and puts it into the outbox. Its payload is fixed from here on.
pub(super) fn owe(
    transaction: &Transaction<'_>,
    notice: &Notice,
    outputs: &[Output],
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(output) = outputs.iter().find(|output| output.name == notice.sink) else {
        return Ok(());
    };
    let evidence = transaction.evidence(&notice.incident.id)?;
    let steps = transaction.steps(&notice.incident.id)?;
    let payload = output.sink.render(&NoticeView { notice, evidence: &evidence, steps: &steps });
    let delivery = NewDelivery {
        sink: &notice.sink,
        id: &notice.id(),
        incident: &notice.incident.id,
        kind: notice.kind,
        revision: notice.incident.revision,
        payload: &payload,
        time: now,
        suppressed: None,
    };
    transaction.enqueue(&delivery).map(drop)
}

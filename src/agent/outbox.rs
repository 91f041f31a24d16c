//! The owner's side of the outbox: claims and settlements of the delivery workers, and what people
//! order about single messages.

use super::AgentError;
use super::owner::{Output, Owner};
use crate::event::Timestamp;
use crate::finding::{AlertType, Incident, IncidentId, Level, Notice, NoticeKind, RuleHead, Status};
use crate::sink::NoticeView;
use crate::store::{DeliveryId, DeliveryQuery, DeliveryState, NewDelivery, Reader, StoreError};
use std::sync::Arc;

/// Who orders through the API.
const ACTOR: &str = "api";

/// Owes a test message to one output or to all; gives its keys.
pub(super) fn test_alert(owner: &mut Owner, sink: Option<&str>) -> Result<Vec<String>, String> {
    let wanted = |output: &&Output| sink.is_none_or(|name| *output.name == *name);
    let outputs: Vec<&Output> = owner.outputs.iter().filter(wanted).collect();
    if outputs.is_empty() {
        let known: Vec<&str> = owner.outputs.iter().map(|output| &*output.name).collect();
        return Err(format!("there is no output `{}`; known: {}", sink.unwrap_or("-"), known.join(", ")));
    }
    let now = owner.clock.now();
    let incident = test_incident(now);
    let notice = |output: &Output| Notice {
        sink: output.name.clone(),
        kind: NoticeKind::Opened,
        time: now,
        incident: incident.clone(),
    };
    let owed = owner.store.transaction(|transaction| {
        let mut ids = Vec::new();
        for output in &outputs {
            let notice = notice(output);
            let id = notice.id();
            let payload = output.sink.render(&NoticeView { notice: &notice, evidence: &[], steps: &[] });
            transaction.enqueue(&NewDelivery {
                sink: &output.name,
                id: &id,
                incident: &notice.incident.id,
                kind: notice.kind,
                revision: notice.incident.revision,
                payload: &payload,
                time: now,
                suppressed: None,
            })?;
            ids.push(format!("{} {id}", output.name));
        }
        Ok::<_, StoreError>(ids)
    });
    outputs.iter().for_each(|output| output.wake.wake());
    owed.map_err(|error| error.to_string())
}

fn test_incident(now: Timestamp) -> Incident {
    let rule = RuleHead {
        id: "tripline.test-alert".into(),
        title: "Test message: this output works".into(),
        level: Level::Informational,
        alert_type: AlertType::UnusualActivity,
        tags: Vec::new(),
        description: "Sent by `tripline test-alert`. Nothing has happened.".into(),
    };
    let group = vec![("test".into(), now.to_string().into())];
    Incident {
        id: IncidentId::derive(&rule.id, &group, now.nanos() as u64),
        rule: Arc::new(rule),
        group,
        status: Status::Open,
        count: 1,
        episodes: 1,
        first_seen: now,
        last_seen: now,
        evidence: 0,
        revision: 1,
        notified_count: 1,
    }
}

/// Puts a dead letter back to be tried again.
pub(super) fn requeue(owner: &mut Owner, row: i64) -> Result<(), String> {
    let now = owner.clock.now();
    let id = DeliveryId(row);
    let done = owner.store.transaction(|transaction| transaction.requeue(id, ACTOR, now));
    match done {
        Ok(true) => {
            owner.outputs.iter().for_each(|output| output.wake.wake());
            Ok(())
        }
        Ok(false) => Err(format!("`{row}` is not a dead letter")),
        Err(error) => Err(error.to_string()),
    }
}

/// Throws every dead letter away.
pub(super) fn purge(owner: &mut Owner) -> Result<usize, String> {
    let now = owner.clock.now();
    let dead = DeliveryQuery { state: Some(DeliveryState::Dead), ..DeliveryQuery::default() };
    let mut purged = 0;
    loop {
        let reader = Reader::open(&owner.state).map_err(|error: StoreError| error.to_string())?;
        let rows = reader.deliveries(&dead).map_err(|error| error.to_string())?;
        if rows.is_empty() {
            return Ok(purged);
        }
        let done = owner.store.transaction(|transaction| {
            rows.iter().try_for_each(|row| transaction.purge(row.id, ACTOR, now).map(drop))
        });
        done.map_err(|error: StoreError| error.to_string())?;
        purged += rows.len();
    }
}

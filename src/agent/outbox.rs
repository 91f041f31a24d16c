//! The owner's side of the outbox: claims and settlements of the delivery workers, and what people
//! order about single messages.

use super::call::reply;
use super::commit;
use super::deliver::{Claim, OutboxCall, Owed, Settlement, SinkState};
use super::owner::{Output, Owner};
use crate::event::Timestamp;
use crate::fact::Fact;
use crate::finding::{
    AlertType, Incident, IncidentId, Level, Notice, NoticeKind, RuleHead, Status,
};
use crate::store;
use crate::store::{
    Breaker, ClaimRequest, Claimed, DeliveryId, DeliveryQuery, DeliveryState, Reader, StoreError,
    Ticket,
};
use crate::telemetry::Stage;
use std::sync::Arc;
use std::time::Duration;

/// Who orders through the API.
const ACTOR: &str = "api";

/// How long a worker may hold a message; attempts end well before.
const LEASE: Duration = Duration::from_mins(2);

/// A message in a worker's hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct InHand {
    ticket: Ticket,
    claimed: Timestamp,
    owed_since: Timestamp,
}

/// Answers a delivery worker. When the store fails the answer never comes; the worker asks again.
pub(super) fn answer(owner: &mut Owner, call: OutboxCall) {
    let result = match call {
        OutboxCall::Claim { sink, now, reply: to } => {
            claim(owner, &sink, now).map(|claim| reply(to, claim))
        }
        OutboxCall::Settle { row, settlement, reply: to } => {
            settle(owner, row, settlement).map(|()| reply(to, ()))
        }
        OutboxCall::PullIn { sink, after, to } => {
            owner.store.transaction(|transaction| transaction.pull_back(&sink, to, after).map(drop))
        }
        OutboxCall::SinkState { sink, state } => {
            owner.store.save_sink(&stored(&sink, &state, owner.clock.now()))
        }
    };
    if let Err(error) = result {
        tracing::error!("the outbox waits: {error}");
    }
}

fn claim(owner: &mut Owner, sink: &str, now: Timestamp) -> Result<Claim, StoreError> {
    let request = ClaimRequest { sink, now, lease: LEASE, boot: &owner.boot };
    let Some(claimed) = owner.store.claim(&request)? else {
        return Ok(Claim::Nothing { next_at: owner.store.next_due(sink)? });
    };
    let in_hand = InHand { ticket: claimed.ticket, claimed: now, owed_since: claimed.created };
    owner.in_hand.insert(claimed.ticket.id.0, in_hand);
    Ok(Claim::Message(owed(claimed)))
}

fn owed(claimed: Claimed) -> Owed {
    Owed {
        row: claimed.ticket.id.0,
        incident: claimed.incident.to_string(),
        id: claimed.key,
        kind: claimed.kind.as_str().to_owned(),
        payload: claimed.payload,
        attempts: claimed.failures + 1,
        first_at: claimed.created,
        maybe_delivered: claimed.maybe_delivered,
    }
}

fn settle(owner: &mut Owner, row: i64, settlement: Settlement) -> Result<(), StoreError> {
    let Some(in_hand) = owner.in_hand.get(&row).copied() else { return Ok(()) };
    let now = owner.clock.now();
    let fact = Fact::count(settlement.fact(), None, 1);
    let is_done = settlement == Settlement::Done;
    let settlement = match settlement {
        Settlement::Done => store::Settlement::Done,
        Settlement::Dead { error } => store::Settlement::Dead { error },
        Settlement::Ready { .. } => store::Settlement::Ready,
        Settlement::Retry { next_at, error, counted, maybe_delivered } => {
            store::Settlement::Retry { next_at, error, counted, maybe_delivered }
        }
    };
    owner.store.settle(in_hand.ticket, &settlement, now)?;
    owner.in_hand.remove(&row);
    owner.telemetry.note(&fact);
    let since = |time: Timestamp| Duration::from_nanos(now.since(time).max(0) as u64);
    owner.telemetry.time(Stage::Attempt, since(in_hand.claimed));
    if is_done {
        owner.telemetry.time(Stage::Deliver, since(in_hand.owed_since));
    }
    Ok(())
}

fn stored(sink: &str, state: &SinkState, now: Timestamp) -> store::SinkState {
    let up = store::SinkState { sink: sink.into(), ..store::SinkState::default() };
    match state {
        SinkState::Up => up,
        SinkState::Throttled { until, .. } => store::SinkState { not_before: Some(*until), ..up },
        SinkState::Down { .. } => {
            store::SinkState { breaker: Breaker::Open, opened_at: Some(now), ..up }
        }
        SinkState::Held { why, .. } => store::SinkState {
            breaker: Breaker::Open,
            opened_at: Some(now),
            hold_reason: Some(why.as_str().into()),
            ..up
        },
    }
}

/// Owes a test message to one output or to all; gives its keys.
pub(super) fn test_alert(owner: &mut Owner, sink: Option<&str>) -> Result<Vec<String>, String> {
    let wanted = |output: &&Output| sink.is_none_or(|name| *output.name == *name);
    let outputs: Vec<&Output> = owner.outputs.iter().filter(wanted).collect();
    if outputs.is_empty() {
        let known: Vec<&str> = owner.outputs.iter().map(|output| &*output.name).collect();
        return Err(format!(
            "there is no output `{}`; known: {}",
            sink.unwrap_or("-"),
            known.join(", ")
        ));
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
            commit::owe(transaction, &notice, &owner.outputs, now)?;
            ids.push(format!("{} {}", output.name, notice.id()));
        }
        Ok::<_, StoreError>(ids)
    });
    for output in &outputs {
        output.wake.notify_one();
    }
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
            owner.outputs.iter().for_each(|output| output.wake.notify_one());
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

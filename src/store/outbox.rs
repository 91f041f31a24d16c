//! The outbox: what is owed to each sink, in order, and what came of it.
//!
//! ```text
//!            claim                 Done
//!   ready ─────────> inflight ──────────────> done
//!     ^                 │  │                  dead        (Dead)
//!     └─────────────────┘  └────────────────> suppressed  (Suppressed)
//!       Retry, Ready, a lease that ended
//!   ready ── a newer update is enqueued ────> superseded  (updates only)
//!   dead  ── requeue ───────────────────────> ready
//! ```
//!
//! The unfinished rows of one sink and incident form a line; only its head may be claimed
//! (`blocked = 0`), so that a resolution never overtakes the opening. Every row knows whether it is
//! the head, and a row that is due has `next_at = 0`: a claim is then the first entry of an index,
//! whether the table holds ten rows or a hundred thousand.

use super::cut;
use super::error::stored;
use crate::event::Timestamp;
use crate::finding::{IncidentId, NoticeKind};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::time::Duration;

/// How many attempts the log keeps of one delivery: the latest.
pub const ATTEMPTS_KEPT: u32 = 20;
/// Bytes kept of what the other side said.
pub const ERROR_TEXT_MAX: usize = 2 * 1024;
/// Rows that become due in one claim, and that one call of `pull_back` moves.
const MOVED_MAX: i64 = 1_000;

/// The number of a delivery, in the order they were made owed; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub i64);

/// How far a delivery got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// Owed.
    Ready,
    /// Claimed by a worker.
    Inflight,
    /// Arrived.
    Done,
    /// Given up: kept for a person to look at.
    Dead,
    /// A newer update was sent instead.
    Superseded,
    /// Not to be sent, for example because of a silence.
    Suppressed,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Inflight, Self::Done, Self::Dead, Self::Superseded, Self::Suppressed];

    /// As outputs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Inflight => "inflight",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Superseded => "superseded",
            Self::Suppressed => "suppressed",
        }
    }

    /// From its written form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A message that becomes owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewDelivery<'a> {
    /// The sink it is owed to.
    pub sink: &'a str,
    /// Idempotency key, unique within the sink.
    pub id: &'a str,
    /// The incident it tells of; messages about one incident keep their order.
    pub incident: &'a IncidentId,
    /// What it tells.
    pub kind: NoticeKind,
    /// The incident's revision it tells.
    pub revision: u32,
    /// What will be sent, byte for byte at every attempt.
    pub payload: &'a str,
    /// Wall time.
    pub time: Timestamp,
    /// Why it is recorded but not sent, if so (a silence).
    pub suppressed: Option<&'a str>,
}

/// What became of a message that was to be made owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is owed now (or recorded as suppressed).
    New(DeliveryId),
    /// It was there already, under the same key; that one stands.
    Known(DeliveryId),
}

/// Which sink wants its next delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRequest<'a> {
    /// The sink.
    pub sink: &'a str,
    /// Wall time.
    pub now: Timestamp,
    /// How long the worker may take before the delivery is given to another.
    pub lease: Duration,
    /// Names this run of the agent.
    pub boot: &'a str,
}

/// A claim, to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The delivery.
    pub id: DeliveryId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

/// A delivery in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// To settle it with.
    pub ticket: Ticket,
    /// Idempotency key.
    pub key: String,
    /// The incident it tells of.
    pub incident: IncidentId,
    /// What it tells.
    pub kind: NoticeKind,
    /// The incident's revision it tells.
    pub revision: u32,
    /// What to send.
    pub payload: String,
    /// Attempts that failed and count towards giving up; a `429` does not.
    pub failures: u32,
    /// Earlier attempts that may have arrived all the same, a crash in mid-attempt included.
    pub maybe_delivered: u32,
    /// When it became owed.
    pub created: Timestamp,
    /// When it was first tried, this attempt included.
    pub first_attempt: Timestamp,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It arrived.
    Done,
    /// It is to be tried again.
    Retry {
        /// Not before.
        next_at: Timestamp,
        /// What happened.
        error: String,
        /// Whether it counts towards giving up.
        counted: bool,
        /// Whether it may have arrived all the same.
        maybe_delivered: bool,
    },
    /// It is given up.
    Dead {
        /// What happened.
        error: String,
    },
    /// It is not to be sent after all, for example because of a silence.
    Suppressed {
        /// Why.
        reason: String,
    },
    /// It was not tried (the agent stops, the sink is on hold): the claim never was.
    Ready,
}

/// Whether a settlement was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is recorded.
    Applied,
    /// The delivery is no longer in this worker's hand: its lease ended, or it is finished. Only
    /// `Done` is taken in that case, because it is true whoever holds the row.
    Stale,
}

pub(super) fn enqueue(sql: &Connection, new: &NewDelivery<'_>) -> rusqlite::Result<Enqueued> {
    let known: Option<i64> = sql
        .prepare_cached("SELECT id FROM delivery WHERE sink = ?1 AND idem_key = ?2")?
        .query_row([new.sink, new.id], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(Enqueued::Known(DeliveryId(id)));
    }
    if new.suppressed.is_none() && new.kind == NoticeKind::Updated {
        supersede(sql, new)?;
    }
    let blocked = sql
        .prepare_cached(
            "SELECT 1 FROM delivery INDEXED BY delivery_line
             WHERE sink = ?1 AND incident = ?2 AND state IN ('ready', 'inflight')",
        )?
        .exists(params![new.sink, new.incident.0])?;
    let state =
        if new.suppressed.is_some() { DeliveryState::Suppressed } else { DeliveryState::Ready };
    sql.prepare_cached(
        "INSERT INTO delivery(sink, idem_key, incident, kind, revision, state, blocked,
                              created_at, finished_at, last_error, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        new.sink,
        new.id,
        new.incident.0,
        new.kind.as_str(),
        new.revision,
        state.as_str(),
        blocked && new.suppressed.is_none(),
        new.time.nanos(),
        new.suppressed.map(|_| new.time.nanos()),
        new.suppressed.map(|reason| cut(reason, ERROR_TEXT_MAX)),
        new.payload,
    ])?;
    Ok(Enqueued::New(DeliveryId(sql.last_insert_rowid())))
}

/// Older updates that wait are not worth sending any more.
fn supersede(sql: &Connection, new: &NewDelivery<'_>) -> rusqlite::Result<()> {
    let superseded = sql
        .prepare_cached(
            // Of its own accord SQLite walks all that is ready instead of one incident's line.
            "UPDATE delivery INDEXED BY delivery_line
             SET state = 'superseded', finished_at = ?4, blocked = 0
             WHERE sink = ?1 AND incident = ?2 AND state IN ('ready', 'inflight')
               AND +state = 'ready' AND kind = 'incident.updated' AND revision < ?3",
        )?
        .execute(params![new.sink, new.incident.0, new.revision, new.time.nanos()])?;
    if superseded > 0 {
        unblock(sql, new.sink, &new.incident.0)?;
    }
    Ok(())
}

pub(super) fn claim(
    sql: &Connection,
    request: &ClaimRequest<'_>,
) -> rusqlite::Result<Option<Claimed>> {
    if request.now < not_before(sql, request.sink)? {
        return Ok(None);
    }
    // Rows whose pause is over queue up among those that are due, by age.
    sql.prepare_cached(MAKE_DUE)?.execute(params![request.sink, request.now.nanos(), MOVED_MAX])?;
    let lease = i64::try_from(request.lease.as_nanos()).unwrap_or(i64::MAX);
    let lease_until = request.now.plus(lease).nanos();
    sql.prepare_cached(TAKE)?
        .query_row(
            params![request.sink, request.now.nanos(), lease_until, request.boot],
            read_claimed,
        )
        .optional()
}

const MAKE_DUE: &str = "
    UPDATE delivery SET next_at = 0 WHERE id IN
    (SELECT id FROM delivery WHERE sink = ?1 AND state = 'ready' AND blocked = 0
     AND next_at > 0 AND next_at <= ?2 ORDER BY next_at LIMIT ?3)";

const TAKE: &str = "
    UPDATE delivery SET state = 'inflight', attempts = attempts + 1,
           first_at = coalesce(first_at, ?2), lease_until = ?3, lease_boot = ?4
    WHERE id = (SELECT id FROM delivery WHERE sink = ?1 AND state = 'ready' AND blocked = 0
                AND next_at = 0 ORDER BY id LIMIT 1)
    RETURNING id, attempts, idem_key, incident, kind, revision, payload, failures,
              maybe_delivered, created_at, first_at";

fn read_claimed(row: &Row<'_>) -> rusqlite::Result<Claimed> {
    Ok(Claimed {
        ticket: Ticket { id: DeliveryId(row.get(0)?), attempt: row.get(1)? },
        key: row.get(2)?,
        incident: IncidentId(row.get(3)?),
        kind: notice_kind(row, 4)?,
        revision: row.get(5)?,
        payload: row.get(6)?,
        failures: row.get(7)?,
        maybe_delivered: row.get(8)?,
        created: Timestamp::from_nanos(row.get(9)?),
        first_attempt: Timestamp::from_nanos(row.get(10)?),
    })
}

pub(super) fn notice_kind(row: &Row<'_>, column: usize) -> rusqlite::Result<NoticeKind> {
    let text = row.get_ref(column)?.as_str()?;
    NoticeKind::parse(text).ok_or_else(|| stored(column, "kind of notice", text))
}

pub(super) fn next_due(sql: &Connection, sink: &str) -> rusqlite::Result<Option<Timestamp>> {
    let first: Option<i64> = sql
        .prepare_cached(
            "SELECT next_at FROM delivery WHERE sink = ?1 AND state = 'ready' AND blocked = 0
             ORDER BY next_at LIMIT 1",
        )?
        .query_row([sink], |row| row.get(0))
        .optional()?;
    let Some(first) = first else { return Ok(None) };
    Ok(Some(Timestamp::from_nanos(first).max(not_before(sql, sink)?)))
}

/// What the sink's other side asked for, for all its deliveries.
fn not_before(sql: &Connection, sink: &str) -> rusqlite::Result<Timestamp> {
    let nanos: Option<Option<i64>> = sql
        .prepare_cached("SELECT not_before FROM sink_state WHERE sink = ?1")?
        .query_row([sink], |row| row.get(0))
        .optional()?;
    Ok(nanos.flatten().map_or(Timestamp::MIN, Timestamp::from_nanos))
}

pub(super) fn settle(
    sql: &Connection,
    ticket: Ticket,
    settlement: &Settlement,
    now: Timestamp,
) -> rusqlite::Result<Settled> {
    let line: Option<(String, String)> = sql
        .prepare_cached(
            "SELECT sink, incident FROM delivery
             WHERE id = ?1 AND ((state = 'inflight' AND attempts = ?2) OR (?3 AND state <> 'done'))",
        )?
        .query_row(
            params![ticket.id.0, ticket.attempt, *settlement == Settlement::Done],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((sink, incident)) = line else { return Ok(Settled::Stale) };
    match settlement {
        Settlement::Done => finish(sql, ticket.id, DeliveryState::Done, None, now)?,
        Settlement::Suppressed { reason } => {
            finish(sql, ticket.id, DeliveryState::Suppressed, Some(reason), now)?;
        }
        Settlement::Dead { error } => bury(sql, ticket.id, error)?,
        Settlement::Retry { next_at, error, counted, maybe_delivered } => {
            // 0 means due, so a pause ends at 1 at the earliest.
            let next_at = next_at.nanos().max(1);
            sql.prepare_cached(
                "UPDATE delivery SET state = 'ready', next_at = ?2, last_error = ?3,
                        failures = failures + ?4, maybe_delivered = maybe_delivered + ?5,
                        lease_until = NULL, lease_boot = NULL WHERE id = ?1",
            )?
            .execute(params![
                ticket.id.0,
                next_at,
                cut(error, ERROR_TEXT_MAX),
                counted,
                maybe_delivered
            ])?;
        }
        Settlement::Ready => {
            sql.prepare_cached(
                "UPDATE delivery SET state = 'ready', next_at = 0, attempts = attempts - 1,
                        first_at = CASE attempts WHEN 1 THEN NULL ELSE first_at END,
                        lease_until = NULL, lease_boot = NULL WHERE id = ?1",
            )?
            .execute([ticket.id.0])?;
        }
    }
    log_attempt(sql, ticket, settlement, now)?;
    give_turn(sql, &sink, &incident, ticket.id)?;
    Ok(Settled::Applied)
}

fn finish(
    sql: &Connection,
    id: DeliveryId,
    state: DeliveryState,
    why: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE delivery SET state = ?2, finished_at = ?3, last_error = coalesce(?4, last_error),
                blocked = 0, lease_until = NULL, lease_boot = NULL WHERE id = ?1",
    )?
    .execute(params![id.0, state.as_str(), now.nanos(), why.map(|why| cut(why, ERROR_TEXT_MAX))])
    .map(drop)
}

/// A dead letter has no `finished_at`: retention leaves it alone.
fn bury(sql: &Connection, id: DeliveryId, error: &str) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE delivery SET state = 'dead', failures = failures + 1, last_error = ?2,
                blocked = 0, lease_until = NULL, lease_boot = NULL WHERE id = ?1",
    )?
    .execute(params![id.0, cut(error, ERROR_TEXT_MAX)])
    .map(drop)
}

fn log_attempt(
    sql: &Connection,
    ticket: Ticket,
    settlement: &Settlement,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (outcome, detail) = match settlement {
        Settlement::Ready => return Ok(()),
        Settlement::Done => ("done", None),
        Settlement::Retry { error, maybe_delivered: true, .. } => ("maybe delivered", Some(error)),
        Settlement::Retry { error, .. } => ("retry", Some(error)),
        Settlement::Dead { error } => ("dead", Some(error)),
        Settlement::Suppressed { reason } => ("suppressed", Some(reason)),
    };
    sql.prepare_cached("INSERT OR REPLACE INTO attempt_log VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(
        params![
            ticket.id.0,
            ticket.attempt,
            now.nanos(),
            outcome,
            detail.map(|text| cut(text, ERROR_TEXT_MAX))
        ],
    )?;
    sql.prepare_cached("DELETE FROM attempt_log WHERE delivery = ?1 AND attempt <= ?2")?
        .execute(params![ticket.id.0, i64::from(ticket.attempt) - i64::from(ATTEMPTS_KEPT)])
        .map(drop)
}

/// After `settled` left a worker's hand: the head of the line has the turn, and nothing else.
pub(super) fn give_turn(
    sql: &Connection,
    sink: &str,
    incident: &str,
    settled: DeliveryId,
) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE delivery SET blocked = 1 WHERE id = ?1 AND state = 'ready'")?
        .execute([settled.0])?;
    unblock(sql, sink, incident)
}

/// Gives the turn to the head of a line, unless a worker has a row of it in hand.
fn unblock(sql: &Connection, sink: &str, incident: &str) -> rusqlite::Result<()> {
    let in_hand = sql
        .prepare_cached(
            "SELECT 1 FROM delivery WHERE sink = ?1 AND incident = ?2 AND state = 'inflight'",
        )?
        .exists([sink, incident])?;
    if in_hand {
        return Ok(());
    }
    sql.prepare_cached(
        "UPDATE delivery SET blocked = 0 WHERE blocked = 1 AND id =
         (SELECT id FROM delivery INDEXED BY delivery_line
          WHERE sink = ?1 AND incident = ?2 AND state IN ('ready', 'inflight')
          ORDER BY id LIMIT 1)",
    )?
    .execute([sink, incident])
    .map(drop)
}

/// What was in hand with a lease that ended is owed again, with the same key and payload; it may
/// have arrived.
pub(super) fn release_expired(sql: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    let lines: Vec<(i64, String, String)> = sql
        .prepare_cached(
            "UPDATE delivery SET state = 'ready', next_at = 0,
                    maybe_delivered = maybe_delivered + 1, lease_until = NULL, lease_boot = NULL
             WHERE state = 'inflight' AND lease_until <= ?1 RETURNING id, sink, incident",
        )?
        .query_map([now.nanos()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, sink, incident) in &lines {
        give_turn(sql, sink, incident, DeliveryId(*id))?;
    }
    Ok(lines.len() as u64)
}

pub(super) fn pull_back(
    sql: &Connection,
    sink: &str,
    now: Timestamp,
    horizon: Timestamp,
) -> rusqlite::Result<u64> {
    sql.prepare_cached(
        "UPDATE sink_state SET not_before = NULL WHERE sink = ?1 AND not_before > ?2",
    )?
    .execute(params![sink, horizon.nanos()])?;
    // Spread over five seconds by row, so that they do not all leave at once.
    sql.prepare_cached(
        "UPDATE delivery SET next_at = ?2 + id % 50 * 100000000 WHERE id IN
         (SELECT id FROM delivery WHERE sink = ?1 AND state = 'ready' AND blocked = 0
          AND next_at > ?3 LIMIT ?4)",
    )?
    .execute(params![sink, now.nanos().max(1), horizon.nanos(), MOVED_MAX])
    .map(|rows| rows as u64)
}

#[cfg(test)]
mod tests;

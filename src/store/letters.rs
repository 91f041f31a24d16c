//! The state of each sink, and what a person may do with dead letters.

use super::audit::{self, AuditEntry};
use super::error::stored;
use super::outbox::{DeliveryId, give_turn};
use crate::event::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Whether a sink is tried at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Breaker {
    /// As usual.
    #[default]
    Closed,
    /// Not now.
    Open,
    /// One attempt to see whether it is back.
    Half,
}

impl Breaker {
    const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::Half];

    /// As outputs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Half => "half",
        }
    }
}

/// What is known about a sink, kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinkState {
    /// The sink's name in the configuration.
    pub sink: Box<str>,
    /// Whether it is tried.
    pub breaker: Breaker,
    /// Since when it is not.
    pub opened_at: Option<Timestamp>,
    /// Failures in a row.
    pub fail_streak: u32,
    /// Why a person must mend something first, if so.
    pub hold_reason: Option<Box<str>>,
    /// No delivery of the sink is claimed before (`Retry-After`).
    pub not_before: Option<Timestamp>,
}

pub(super) fn save_sink(sql: &Connection, state: &SinkState) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO sink_state VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET breaker = excluded.breaker, opened_at = excluded.opened_at,
         fail_streak = excluded.fail_streak, hold_reason = excluded.hold_reason,
         not_before = excluded.not_before",
    )?
    .execute(params![
        state.sink,
        state.breaker.as_str(),
        state.opened_at.map(Timestamp::nanos),
        state.fail_streak,
        state.hold_reason.as_deref().map(|why| super::cut(why, super::ERROR_TEXT_MAX)),
        state.not_before.map(Timestamp::nanos),
    ])
    .map(drop)
}

pub(super) fn sinks(sql: &Connection) -> rusqlite::Result<Vec<SinkState>> {
    let mut statement = sql.prepare(
        "SELECT sink, breaker, opened_at, fail_streak, hold_reason, not_before FROM sink_state",
    )?;
    statement
        .query_map([], |row| {
            let breaker = row.get_ref(1)?.as_str()?;
            Ok(SinkState {
                sink: row.get(0)?,
                breaker: Breaker::ALL
                    .into_iter()
                    .find(|known| known.as_str() == breaker)
                    .ok_or_else(|| stored(1, "breaker state", breaker))?,
                opened_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_nanos),
                fail_streak: row.get(3)?,
                hold_reason: row.get(4)?,
                not_before: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_nanos),
            })
        })?
        .collect()
}

/// Its failures start from zero, its key and its place in the line are the old ones.
pub(super) fn requeue(
    sql: &Connection,
    id: DeliveryId,
    actor: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let line: Option<(String, String, String)> = sql
        .prepare_cached(
            "UPDATE delivery SET state = 'ready', next_at = 0, failures = 0, first_at = NULL
             WHERE id = ?1 AND state = 'dead' RETURNING sink, incident, idem_key",
        )?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((sink, incident, key)) = line else { return Ok(false) };
    // It is older than what waits: the turn is given out anew.
    sql.prepare_cached(
        "UPDATE delivery SET blocked = 1 WHERE sink = ?1 AND incident = ?2
         AND state IN ('ready', 'inflight') AND state = 'ready'",
    )?
    .execute([&sink, &incident])?;
    give_turn(sql, &sink, &incident, id)?;
    record(sql, "delivery.requeued", actor, &format!("{sink}/{key}"), now)?;
    Ok(true)
}

pub(super) fn purge(
    sql: &Connection,
    id: DeliveryId,
    actor: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let gone: Option<(String, String)> = sql
        .prepare_cached(
            "DELETE FROM delivery WHERE id = ?1 AND state = 'dead' RETURNING sink, idem_key",
        )?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((sink, key)) = gone else { return Ok(false) };
    record(sql, "delivery.purged", actor, &format!("{sink}/{key}"), now)?;
    Ok(true)
}

fn record(
    sql: &Connection,
    action: &str,
    actor: &str,
    subject: &str,
    time: Timestamp,
) -> rusqlite::Result<()> {
    audit::append(sql, &AuditEntry { time, actor, action, subject, detail: "" }).map(drop)
}

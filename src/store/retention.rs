//! What may be forgotten, and when. Never what is owed, in hand or a dead letter.

use super::audit;
use crate::event::Timestamp;
use rusqlite::{Connection, params};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// How long each kind of row is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Resolved incidents, after their last event or entry.
    pub incidents: Duration,
    /// Deliveries that are done, superseded or suppressed.
    pub deliveries: Duration,
    /// The audit log.
    pub audit: Duration,
    /// Findings, after their last event.
    pub findings: Duration,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { incidents: 180 * DAY, deliveries: 90 * DAY, audit: 365 * DAY, findings: 90 * DAY }
    }
}

/// What one slice of retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    /// Incidents, with evidence, timeline and steps.
    pub incidents: u64,
    /// Deliveries, with their attempts.
    pub deliveries: u64,
    /// Rows of the audit log.
    pub audit: u64,
    /// Findings.
    pub findings: u64,
    /// Whether a kind reached the limit of rows: there may be more.
    pub more: bool,
}

pub(super) fn retain(
    sql: &Connection,
    now: Timestamp,
    policy: &RetentionPolicy,
    rows_max: u32,
) -> rusqlite::Result<Retained> {
    let before =
        |keep: Duration| now.plus(i64::try_from(keep.as_nanos()).map_or(i64::MIN, |nanos| -nanos));
    let mut retained = Retained {
        incidents: drop_incidents(sql, before(policy.incidents), rows_max)?,
        deliveries: sql
            .prepare_cached(
                "DELETE FROM delivery WHERE id IN
                 (SELECT id FROM delivery WHERE finished_at < ?1 ORDER BY finished_at LIMIT ?2)",
            )?
            .execute(params![before(policy.deliveries).nanos(), rows_max])?
            as u64,
        audit: audit::trim(sql, before(policy.audit), rows_max)?,
        findings: sql
            .prepare_cached(
                "DELETE FROM finding WHERE id IN
                 (SELECT id FROM finding WHERE last_seen < ?1 ORDER BY last_seen LIMIT ?2)",
            )?
            .execute(params![before(policy.findings).nanos(), rows_max])? as u64,
        more: false,
    };
    let most =
        retained.incidents.max(retained.deliveries).max(retained.audit).max(retained.findings);
    retained.more = most >= u64::from(rows_max);
    Ok(retained)
}

/// An incident that still has something to deliver, or a dead letter, stays.
fn drop_incidents(sql: &Connection, cutoff: Timestamp, rows_max: u32) -> rusqlite::Result<u64> {
    let ids: Vec<String> = sql
        .prepare_cached(
            "SELECT id FROM incident AS gone WHERE status = 'resolved' AND touched < ?1
             AND NOT EXISTS (SELECT 1 FROM delivery WHERE incident = gone.id
                             AND state IN ('ready', 'inflight', 'dead'))
             ORDER BY touched LIMIT ?2",
        )?
        .query_map(params![cutoff.nanos(), rows_max], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &ids {
        for delete in [
            "DELETE FROM evidence WHERE incident = ?1",
            "DELETE FROM timeline WHERE incident = ?1",
            "DELETE FROM step WHERE incident = ?1",
            "DELETE FROM incident WHERE id = ?1",
        ] {
            sql.prepare_cached(delete)?.execute([id])?;
        }
    }
    Ok(ids.len() as u64)
}

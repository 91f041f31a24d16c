//! The tables, and the steps that lead to them from every earlier version.

use super::error::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// `TRPL`: marks the file as ours (SQLite's `application_id`).
const APPLICATION_ID: i64 = 0x5452_504C;

/// One step per schema version: step `n` leads from `user_version` `n` to `n + 1`. A step that was
/// released is never changed.
const STEPS: &[&str] = &[RESUME, INCIDENTS, OUTBOX, AUDIT];

/// What the agent resumes from, and what it counted.
const RESUME: &str = "
CREATE TABLE position(
    source TEXT NOT NULL,
    stream TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY(source, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE detection(
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY(kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE counter(
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY(kind, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE finding(
    id TEXT NOT NULL PRIMARY KEY,
    rule TEXT NOT NULL,
    level INTEGER NOT NULL,
    grouping TEXT NOT NULL,
    episode INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_last_seen ON finding(last_seen);
";

/// Incidents with all that is told about them. The children name the incident by its id and may
/// be written before its head, so there is no foreign key.
const INCIDENTS: &str = "
CREATE TABLE incident(
    id TEXT NOT NULL PRIMARY KEY,
    rule TEXT NOT NULL,
    title TEXT NOT NULL,
    level INTEGER NOT NULL,
    alert_type TEXT NOT NULL,
    tags TEXT NOT NULL,
    description TEXT NOT NULL,
    grouping TEXT NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL,
    episodes INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    evidence INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    notified_count INTEGER NOT NULL,
    touched INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_last_seen ON incident(last_seen, id);
CREATE INDEX incident_status ON incident(status, touched);

CREATE TABLE evidence(
    number INTEGER PRIMARY KEY,
    incident TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event TEXT NOT NULL,
    UNIQUE(incident, event_id)
) STRICT;

CREATE TABLE timeline(
    incident TEXT NOT NULL,
    number INTEGER NOT NULL,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY(incident, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE step(
    incident TEXT NOT NULL,
    number INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY(incident, number)
) STRICT, WITHOUT ROWID;
";

/// What is owed to the outputs. `blocked` is 0 for the one row per sink and incident whose turn it
/// is; `next_at` is 0 for a row that is due. The partial indexes hold only unfinished rows, so a
/// claim costs the same whatever the table holds.
const OUTBOX: &str = "
CREATE TABLE delivery(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    idem_key TEXT NOT NULL,
    incident TEXT NOT NULL,
    kind TEXT NOT NULL,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL CHECK(state IN
        ('ready', 'inflight', 'done', 'dead', 'superseded', 'suppressed')),
    blocked INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    maybe_delivered INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    first_at INTEGER,
    finished_at INTEGER,
    lease_until INTEGER,
    lease_boot TEXT,
    last_error TEXT,
    payload TEXT NOT NULL,
    UNIQUE(sink, idem_key)
) STRICT;
CREATE INDEX delivery_due ON delivery(sink, next_at, id) WHERE state = 'ready' AND blocked = 0;
CREATE INDEX delivery_line ON delivery(sink, incident, id) WHERE state IN ('ready', 'inflight');
CREATE INDEX delivery_leased ON delivery(sink, incident, id) WHERE state = 'inflight';
CREATE INDEX delivery_state ON delivery(state, sink);
CREATE INDEX delivery_incident ON delivery(incident, id);
CREATE INDEX delivery_finished ON delivery(finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE attempt_log(
    delivery INTEGER NOT NULL REFERENCES delivery(id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    time INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT,
    PRIMARY KEY(delivery, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE sink_state(
    sink TEXT NOT NULL PRIMARY KEY,
    breaker TEXT NOT NULL,
    opened_at INTEGER,
    fail_streak INTEGER NOT NULL,
    hold_reason TEXT,
    not_before INTEGER
) STRICT, WITHOUT ROWID;
";

/// The log of who did what. `audit_end` has two rows: `anchor` is the last row that retention
/// removed, `head` the last row of all.
const AUDIT: &str = "
CREATE TABLE audit(
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE TABLE audit_end(
    name TEXT NOT NULL PRIMARY KEY CHECK(name IN ('anchor', 'head')),
    number INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_end VALUES ('anchor', 0, zeroblob(32)), ('head', 0, zeroblob(32));
";

/// The version this program writes.
pub(super) fn version() -> i64 {
    STEPS.len() as i64
}

/// Says whose database it is and of which version; `None` for an empty one.
pub(super) fn identify(path: &Path, sql: &Connection) -> Result<Option<i64>, StoreError> {
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        Ok((
            pragma(sql, "application_id")?,
            pragma(sql, "user_version")?,
            sql.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
        ))
    };
    let (application, found, tables) = read().map_err(|error| StoreError::from_sql(path, error))?;
    match application {
        APPLICATION_ID if found > version() => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: version() })
        }
        APPLICATION_ID => Ok(Some(found)),
        0 if found == 0 && tables == 0 => Ok(None),
        found => Err(StoreError::Foreign { path: path.to_owned(), found }),
    }
}

/// Leads the database to [`version`], in one transaction.
pub(super) fn migrate(sql: &mut Connection, from: i64) -> rusqlite::Result<()> {
    migrate_to(sql, from, version())
}

pub(super) fn migrate_to(sql: &mut Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    if from >= to {
        return Ok(());
    }
    let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (skip, take) = (from.max(0) as usize, (to - from.max(0)) as usize);
    for step in STEPS.iter().skip(skip).take(take) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}

fn pragma(sql: &Connection, name: &str) -> rusqlite::Result<i64> {
    sql.pragma_query_value(None, name, |row| row.get(0))
}

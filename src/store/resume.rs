//! What the agent resumes from: positions, detection state, open incidents, sinks, counters.

use super::incidents::{self, RuleHeads, group_to_json};
use super::letters::{self, SinkState};
use crate::fact::FactKind;
use crate::finding::{Finding, Incident, IncidentId, StateChange};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// One saved piece of detection state, lent while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedState<'a> {
    /// Whose state it is, for example `window`.
    pub kind: &'a str,
    /// Which piece.
    pub key: &'a [u8],
    /// Its encoded value.
    pub value: &'a [u8],
}

/// The positions of one source: stream key to the position as JSON.
pub type Positions = BTreeMap<Box<str>, Box<str>>;

/// All but the detection state, which is handed over piece by piece.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The positions of each source, by its name.
    pub positions: BTreeMap<Box<str>, Positions>,
    /// Incidents that are not resolved, those touched longest ago first.
    pub incidents: Vec<Incident>,
    /// Sinks that ever had a state.
    pub sinks: Vec<SinkState>,
    /// What was counted in all runs.
    pub counters: Vec<CounterValue>,
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterValue {
    /// Name of the fact, see [`FactKind::name`].
    pub kind: Box<str>,
    /// The source it is about, empty if none.
    pub source: Box<str>,
    /// The count.
    pub value: u64,
}

pub(super) fn load(
    sql: &Connection,
    mut state: impl FnMut(SavedState<'_>),
) -> rusqlite::Result<Loaded> {
    let mut statement = sql.prepare("SELECT kind, key, value FROM detection")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        state(SavedState {
            kind: row.get_ref(0)?.as_str()?,
            key: row.get_ref(1)?.as_blob()?,
            value: row.get_ref(2)?.as_blob()?,
        });
    }
    Ok(Loaded {
        positions: positions(sql)?,
        incidents: unresolved(sql)?,
        sinks: letters::sinks(sql)?,
        counters: counters(sql)?,
    })
}

fn positions(sql: &Connection) -> rusqlite::Result<BTreeMap<Box<str>, Positions>> {
    let mut positions: BTreeMap<Box<str>, Positions> = BTreeMap::new();
    let mut statement = sql.prepare("SELECT source, stream, state FROM position")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        positions.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
    }
    Ok(positions)
}

pub(super) fn positions_of(sql: &Connection, source: &str) -> rusqlite::Result<Positions> {
    sql.prepare_cached("SELECT stream, state FROM position WHERE source = ?1")?
        .query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn unresolved(sql: &Connection) -> rusqlite::Result<Vec<Incident>> {
    let mut heads = RuleHeads::default();
    let mut statement = sql.prepare(&format!(
        "SELECT {} FROM incident WHERE status IN ('open', 'acknowledged') ORDER BY touched, id",
        incidents::COLUMNS
    ))?;
    statement.query_map([], |row| incidents::read(row, &mut heads))?.collect()
}

pub(super) fn counters(sql: &Connection) -> rusqlite::Result<Vec<CounterValue>> {
    let mut statement = sql.prepare("SELECT kind, source, value FROM counter")?;
    statement
        .query_map([], |row| {
            let value: i64 = row.get(2)?;
            Ok(CounterValue {
                kind: row.get(0)?,
                source: row.get(1)?,
                value: value.cast_unsigned(),
            })
        })?
        .collect()
}

pub(super) fn save_position(
    sql: &Connection,
    source: &str,
    stream: &str,
    state: Option<&str>,
) -> rusqlite::Result<()> {
    match state {
        Some(state) => sql
            .prepare_cached(
                "INSERT INTO position VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET state = excluded.state",
            )?
            .execute(params![source, stream, state]),
        None => sql
            .prepare_cached("DELETE FROM position WHERE source = ?1 AND stream = ?2")?
            .execute(params![source, stream]),
    }
    .map(drop)
}

pub(super) fn save_state(sql: &Connection, change: &StateChange) -> rusqlite::Result<()> {
    match &change.value {
        Some(value) => sql
            .prepare_cached(
                "INSERT INTO detection VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute(params![change.kind, change.key, value]),
        None => sql
            .prepare_cached("DELETE FROM detection WHERE kind = ?1 AND key = ?2")?
            .execute(params![change.kind, change.key]),
    }
    .map(drop)
}

pub(super) fn add_count(
    sql: &Connection,
    kind: FactKind,
    source: Option<&str>,
    add: u64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO counter VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = value + excluded.value",
    )?
    .execute(params![kind.name(), source.unwrap_or_default(), add.cast_signed()])
    .map(drop)
}

/// Rule, group and episode name a finding, as they do an incident's first one.
pub(super) fn save_finding(sql: &Connection, finding: &Finding) -> rusqlite::Result<()> {
    let id = IncidentId::derive(&finding.rule.id, &finding.group, finding.episode);
    sql.prepare_cached(
        "INSERT INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen, count = excluded.count",
    )?
    .execute(params![
        id.0,
        finding.rule.id,
        finding.rule.level as i64,
        group_to_json(&finding.group),
        finding.episode.cast_signed(),
        finding.first_seen.nanos(),
        finding.last_seen.nanos(),
        finding.count.cast_signed(),
    ])
    .map(drop)
}

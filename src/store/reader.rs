//! Reading the store beside the running agent: for the API, the dashboard and the command line.

use super::audit::{self, AuditReport, AuditRow};
use super::error::{StoreError, stored};
use super::folder;
use super::incidents::{self, RuleHeads, level_at};
use super::letters::{self, SinkState};
use super::outbox::{self, DeliveryId, DeliveryState};
use super::resume::{self, CounterValue};
use super::schema;
use crate::event::{FlatEvent, Timestamp};
use crate::finding::{Incident, IncidentId, Level, NoticeKind, Status, Step, TimelineEntry};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params, params_from_iter};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows of a page at most.
pub const PAGE_MAX: u32 = 1_000;
/// How long a reader waits while the writer has the file for itself.
const READER_PATIENCE: Duration = Duration::from_secs(2);

/// A read-only connection. It never waits for the writer's commits, nor the writer for it.
#[derive(Debug)]
pub struct Reader {
    sql: Connection,
    path: PathBuf,
}

/// Where a page of incidents ends; prints as text for an API's client to send back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentCursor {
    last_seen: Timestamp,
    id: Box<str>,
}

impl fmt::Display for IncidentCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.last_seen.nanos(), self.id)
    }
}

impl IncidentCursor {
    /// From its printed form.
    pub fn parse(text: &str) -> Option<Self> {
        let (nanos, id) = text.split_once('.')?;
        Some(Self { last_seen: Timestamp::from_nanos(nanos.parse().ok()?), id: id.into() })
    }
}

/// Which incidents to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Only these.
    pub status: Option<Status>,
    /// Only this level and above.
    pub level_min: Option<Level>,
    /// Only after this place.
    pub after: Option<IncidentCursor>,
    /// How many, at most [`PAGE_MAX`]; 0 stands for that.
    pub limit: u32,
}

/// Some incidents, the latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentPage {
    /// Their heads.
    pub incidents: Vec<Incident>,
    /// Where to go on; `None` at the end.
    pub next: Option<IncidentCursor>,
}

/// All there is about an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentDetail {
    /// Its head.
    pub incident: Incident,
    /// Its evidence, oldest first.
    pub evidence: Vec<FlatEvent>,
    /// Its history, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// Its recommended steps, in order.
    pub steps: Vec<Step>,
    /// What was or is to be sent about it, oldest first, at most [`PAGE_MAX`].
    pub deliveries: Vec<DeliveryRow>,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Only to this sink.
    pub sink: Option<Box<str>>,
    /// Only those this far.
    pub state: Option<DeliveryState>,
    /// Only those after this one.
    pub after: Option<DeliveryId>,
    /// How many, at most [`PAGE_MAX`]; 0 stands for that.
    pub limit: u32,
}

/// A delivery without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its number.
    pub id: DeliveryId,
    /// The sink.
    pub sink: Box<str>,
    /// Idempotency key.
    pub key: Box<str>,
    /// The incident.
    pub incident: IncidentId,
    /// What it tells.
    pub kind: NoticeKind,
    /// How far it got.
    pub state: DeliveryState,
    /// Whether an older one about the same incident must arrive first.
    pub waits: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// Those that may have arrived although nobody said so.
    pub maybe_delivered: u32,
    /// When it became owed.
    pub created: Timestamp,
    /// Not tried before; `None` when it is due or finished.
    pub next_at: Option<Timestamp>,
    /// The run of the agent that has it in hand.
    pub held_by: Option<Box<str>>,
    /// What went wrong last, or why it is suppressed.
    pub last_error: Option<Box<str>>,
}

/// A delivery with all there is about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryDetail {
    /// The delivery.
    pub delivery: DeliveryRow,
    /// What is sent.
    pub payload: String,
    /// The latest attempts, oldest first.
    pub attempts: Vec<AttemptRow>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it ended.
    pub time: Timestamp,
    /// `done`, `retry`, `maybe delivered`, `dead` or `suppressed`.
    pub outcome: Box<str>,
    /// What went wrong.
    pub detail: Option<Box<str>>,
}

/// Deliveries of one sink in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCount {
    /// The sink.
    pub sink: Box<str>,
    /// The state.
    pub state: DeliveryState,
    /// How many.
    pub count: u64,
}

/// How often a rule fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule's id.
    pub rule: Box<str>,
    /// How grave its latest finding is.
    pub level: Level,
    /// Findings.
    pub findings: u64,
    /// Occurrences in them.
    pub occurrences: u64,
    /// Event time of the last one.
    pub last_seen: Timestamp,
}

/// The numbers of a status page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCounts {
    /// Incidents by status; a status without any is absent.
    pub incidents: Vec<(Status, u64)>,
    /// Deliveries by sink and state; those without any are absent.
    pub deliveries: Vec<DeliveryCount>,
    /// State of the sinks that have one.
    pub sinks: Vec<SinkState>,
    /// Streams with a position.
    pub positions: u64,
    /// What was counted in all runs.
    pub counters: Vec<CounterValue>,
    /// Bytes of the database file.
    pub store_bytes: u64,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
}

impl Reader {
    /// Opens the store of a state folder, whether an agent runs on it or not.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(folder::DATABASE);
        if !path.exists() {
            return Err(StoreError::Missing { path });
        }
        let sql = super::connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_PATIENCE)?;
        match schema::identify(&path, &sql)? {
            None => Err(StoreError::Missing { path }),
            Some(found) if found < schema::version() => {
                Err(StoreError::Older { path, found, known: schema::version() })
            }
            Some(_) => Ok(Self { sql, path }),
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        // One snapshot for all statements of a call.
        let snapshot = || {
            let snapshot = self.sql.unchecked_transaction()?;
            let result = read(&snapshot)?;
            snapshot.commit()?;
            Ok(result)
        };
        snapshot().map_err(|error| StoreError::from_sql(&self.path, error))
    }

    /// A page of incidents, by time of their last event, the latest first.
    pub fn incidents(&self, query: &IncidentQuery) -> Result<IncidentPage, StoreError> {
        self.read(|sql| list_incidents(sql, query))
    }

    /// One incident; `None` if there is none of this id.
    pub fn incident(&self, id: &IncidentId) -> Result<Option<IncidentDetail>, StoreError> {
        self.read(|sql| {
            let Some(incident) = incidents::head(sql, id)? else { return Ok(None) };
            Ok(Some(IncidentDetail {
                incident,
                evidence: incidents::evidence(sql, id)?,
                timeline: incidents::timeline(sql, id)?,
                steps: incidents::steps(sql, id)?,
                deliveries: deliveries_of(sql, id)?,
            }))
        })
    }

    /// Deliveries, in the order they became owed.
    pub fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read(|sql| list_deliveries(sql, query))
    }

    /// One delivery; `None` if there is none of this number.
    pub fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        self.read(|sql| delivery(sql, id))
    }

    /// How often each rule fired with a last event at or after `since`, most often first.
    pub fn rules_fired(&self, since: Timestamp, limit: u32) -> Result<Vec<RuleCount>, StoreError> {
        self.read(|sql| rules_fired(sql, since, limit))
    }

    /// Rows of the audit log after row `after`, at most `limit` (at most [`PAGE_MAX`]).
    pub fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.read(|sql| audit::rows(sql, after, page(limit)))
    }

    /// Walks the audit log; see [`AuditReport`].
    pub fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        self.read(audit::verify)
    }

    /// When the next delivery of a sink may be claimed.
    pub fn next_due(&self, sink: &str) -> Result<Option<Timestamp>, StoreError> {
        self.read(|sql| outbox::next_due(sql, sink))
    }

    /// The numbers of a status page.
    pub fn counts(&self) -> Result<StoreCounts, StoreError> {
        let wal_bytes = folder::wal_bytes(&self.path);
        self.read(|sql| {
            Ok(StoreCounts {
                incidents: count_incidents(sql)?,
                deliveries: count_deliveries(sql)?,
                sinks: letters::sinks(sql)?,
                positions: number(sql, "SELECT count(*) FROM position")?,
                counters: resume::counters(sql)?,
                store_bytes: number(sql, "SELECT page_count FROM pragma_page_count")?
                    * number(sql, "SELECT page_size FROM pragma_page_size")?,
                wal_bytes,
            })
        })
    }
}

const fn page(limit: u32) -> u32 {
    if limit == 0 || limit > PAGE_MAX { PAGE_MAX } else { limit }
}

fn number(sql: &Connection, query: &str) -> rusqlite::Result<u64> {
    sql.query_row(query, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

fn list_incidents(sql: &Connection, query: &IncidentQuery) -> rusqlite::Result<IncidentPage> {
    let mut wanted: Vec<&str> = vec!["1"];
    let mut values: Vec<Value> = Vec::new();
    if let Some(status) = query.status {
        wanted.push("status = ?");
        values.push(status.as_str().to_owned().into());
    }
    if let Some(level) = query.level_min {
        wanted.push("level >= ?");
        values.push((level as i64).into());
    }
    if let Some(after) = &query.after {
        wanted.push("(last_seen, id) < (?, ?)");
        values.push(after.last_seen.nanos().into());
        values.push(after.id.to_string().into());
    }
    let limit = page(query.limit);
    values.push(i64::from(limit).into());
    let mut heads = RuleHeads::default();
    let incidents: Vec<Incident> = sql
        .prepare_cached(&format!(
            "SELECT {} FROM incident WHERE {} ORDER BY last_seen DESC, id DESC LIMIT ?",
            incidents::COLUMNS,
            wanted.join(" AND ")
        ))?
        .query_map(params_from_iter(values), |row| incidents::read(row, &mut heads))?
        .collect::<rusqlite::Result<_>>()?;
    let is_full = incidents.len() >= limit as usize;
    let next = incidents
        .last()
        .filter(|_| is_full)
        .map(|last| IncidentCursor { last_seen: last.last_seen, id: last.id.0.clone() });
    Ok(IncidentPage { incidents, next })
}

const DELIVERY: &str = "id, sink, idem_key, incident, kind, state, blocked, attempts, \
     maybe_delivered, created_at, next_at, lease_boot, last_error";

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let state = delivery_state(row, 5)?;
    let next_at: i64 = row.get(10)?;
    Ok(DeliveryRow {
        id: DeliveryId(row.get(0)?),
        sink: row.get(1)?,
        key: row.get(2)?,
        incident: IncidentId(row.get(3)?),
        kind: outbox::notice_kind(row, 4)?,
        state,
        waits: row.get(6)?,
        attempts: row.get(7)?,
        maybe_delivered: row.get(8)?,
        created: Timestamp::from_nanos(row.get(9)?),
        next_at: (state == DeliveryState::Ready && next_at > 0)
            .then(|| Timestamp::from_nanos(next_at)),
        held_by: row.get(11)?,
        last_error: row.get(12)?,
    })
}

fn delivery_state(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryState> {
    let text = row.get_ref(column)?.as_str()?;
    DeliveryState::parse(text).ok_or_else(|| stored(column, "state of a delivery", text))
}

fn list_deliveries(sql: &Connection, query: &DeliveryQuery) -> rusqlite::Result<Vec<DeliveryRow>> {
    let mut wanted: Vec<&str> = vec!["id > ?"];
    let mut values: Vec<Value> = vec![query.after.map_or(0, |after| after.0).into()];
    if let Some(sink) = &query.sink {
        wanted.push("sink = ?");
        values.push(sink.to_string().into());
    }
    if let Some(state) = query.state {
        wanted.push("state = ?");
        values.push(state.as_str().to_owned().into());
    }
    values.push(i64::from(page(query.limit)).into());
    sql.prepare_cached(&format!(
        "SELECT {DELIVERY} FROM delivery WHERE {} ORDER BY id LIMIT ?",
        wanted.join(" AND ")
    ))?
    .query_map(params_from_iter(values), read_delivery)?
    .collect()
}

fn deliveries_of(sql: &Connection, id: &IncidentId) -> rusqlite::Result<Vec<DeliveryRow>> {
    sql.prepare_cached(&format!(
        "SELECT {DELIVERY} FROM delivery WHERE incident = ?1 ORDER BY id LIMIT ?2"
    ))?
    .query_map(params![id.0, PAGE_MAX], read_delivery)?
    .collect()
}

fn delivery(sql: &Connection, id: DeliveryId) -> rusqlite::Result<Option<DeliveryDetail>> {
    let found = sql
        .prepare_cached(&format!("SELECT {DELIVERY}, payload FROM delivery WHERE id = ?1"))?
        .query_row([id.0], |row| Ok((read_delivery(row)?, row.get(13)?)))
        .optional()?;
    let Some((delivery, payload)) = found else { return Ok(None) };
    let attempts = sql
        .prepare_cached(
            "SELECT attempt, time, outcome, detail FROM attempt_log
             WHERE delivery = ?1 ORDER BY attempt",
        )?
        .query_map([id.0], |row| {
            Ok(AttemptRow {
                attempt: row.get(0)?,
                time: Timestamp::from_nanos(row.get(1)?),
                outcome: row.get(2)?,
                detail: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(DeliveryDetail { delivery, payload, attempts }))
}

fn rules_fired(sql: &Connection, since: Timestamp, limit: u32) -> rusqlite::Result<Vec<RuleCount>> {
    sql.prepare_cached(
        "SELECT rule, level, count(*) AS findings, sum(count), max(last_seen) FROM finding
         WHERE last_seen >= ?1 GROUP BY rule ORDER BY findings DESC, rule LIMIT ?2",
    )?
    .query_map(params![since.nanos(), page(limit)], |row| {
        let level: i64 = row.get(1)?;
        Ok(RuleCount {
            rule: row.get(0)?,
            level: level_at(level).ok_or_else(|| stored(1, "level", &level.to_string()))?,
            findings: row.get::<_, i64>(2)?.cast_unsigned(),
            occurrences: row.get::<_, i64>(3)?.cast_unsigned(),
            last_seen: Timestamp::from_nanos(row.get(4)?),
        })
    })?
    .collect()
}

fn count_incidents(sql: &Connection) -> rusqlite::Result<Vec<(Status, u64)>> {
    sql.prepare_cached("SELECT status, count(*) FROM incident GROUP BY status")?
        .query_map([], |row| {
            let text = row.get_ref(0)?.as_str()?;
            let status = Status::parse(text).ok_or_else(|| stored(0, "status", text))?;
            Ok((status, row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect()
}

fn count_deliveries(sql: &Connection) -> rusqlite::Result<Vec<DeliveryCount>> {
    sql.prepare_cached("SELECT sink, state, count(*) FROM delivery GROUP BY state, sink")?
        .query_map([], |row| {
            Ok(DeliveryCount {
                sink: row.get(0)?,
                state: delivery_state(row, 1)?,
                count: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })?
        .collect()
}

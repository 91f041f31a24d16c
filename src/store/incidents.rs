//! Incidents as rows: their heads, evidence, timeline and steps.

use super::error::stored;
use super::transaction::Saved;
use crate::event::{FlatEvent, Timestamp};
use crate::finding::{
    AlertType, EVIDENCE_MAX, Group, Incident, IncidentChange, IncidentId, Level, RuleHead, Status,
    Step, TimelineEntry,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many entries a timeline keeps: the first one and the latest.
pub const TIMELINE_MAX: u32 = 500;
/// The highest number of a step.
pub const STEPS_MAX: u32 = 100;

/// The columns that [`read`] reads, in its order.
pub(super) const COLUMNS: &str = "id, rule, title, level, alert_type, tags, description, grouping, \
     status, count, episodes, first_seen, last_seen, evidence, revision, notified_count";

/// Rules as incidents carry them; incidents of the same rule share one head.
#[derive(Debug, Default)]
pub(super) struct RuleHeads {
    by_id: BTreeMap<Box<str>, Arc<RuleHead>>,
}

impl RuleHeads {
    fn share(&mut self, head: RuleHead) -> Arc<RuleHead> {
        match self.by_id.get(&head.id) {
            Some(known) if **known == head => Arc::clone(known),
            _ => {
                let head = Arc::new(head);
                self.by_id.insert(head.id.clone(), Arc::clone(&head));
                head
            }
        }
    }
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>, heads: &mut RuleHeads) -> rusqlite::Result<Incident> {
    let level: i64 = row.get(3)?;
    let alert_type = row.get_ref(4)?.as_str()?;
    let status = row.get_ref(8)?.as_str()?;
    let rule = RuleHead {
        id: row.get(1)?,
        title: row.get(2)?,
        level: level_at(level).ok_or_else(|| stored(3, "level", &level.to_string()))?,
        alert_type: AlertType::parse(alert_type)
            .ok_or_else(|| stored(4, "alert type", alert_type))?,
        tags: from_json(5, "list of tags", row.get_ref(5)?.as_str()?)?,
        description: row.get(6)?,
    };
    Ok(Incident {
        id: IncidentId(row.get(0)?),
        rule: heads.share(rule),
        group: from_json(7, "group", row.get_ref(7)?.as_str()?)?,
        status: Status::parse(status).ok_or_else(|| stored(8, "status", status))?,
        count: row.get::<_, i64>(9)?.cast_unsigned(),
        episodes: row.get(10)?,
        first_seen: Timestamp::from_nanos(row.get(11)?),
        last_seen: Timestamp::from_nanos(row.get(12)?),
        evidence: row.get(13)?,
        revision: row.get(14)?,
        notified_count: row.get::<_, i64>(15)?.cast_unsigned(),
    })
}

/// The level of a stored rank.
pub(super) fn level_at(rank: i64) -> Option<Level> {
    Level::ALL.into_iter().find(|level| *level as i64 == rank)
}

/// A group as it is stored: `[["source.ip","192.0.2.1"]]`.
pub(super) fn group_to_json(group: &Group) -> String {
    let pairs = group.iter().map(|(field, value)| vec![&**field, &**value]);
    pairs.collect::<serde_json::Value>().to_string()
}

fn from_json<T: serde::de::DeserializeOwned>(
    column: usize,
    what: &'static str,
    text: &str,
) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|_not_json| stored(column, what, text))
}

pub(super) fn save(sql: &Connection, change: &IncidentChange) -> rusqlite::Result<Saved> {
    match change {
        IncidentChange::Head(incident) => save_head(sql, incident),
        IncidentChange::Evidence(incident, event) => save_evidence(sql, incident, event),
        IncidentChange::Timeline(incident, entry) => save_entry(sql, incident, entry),
        IncidentChange::Step(step) => save_step(sql, step),
    }
}

fn save_head(sql: &Connection, incident: &Incident) -> rusqlite::Result<Saved> {
    let rule = &*incident.rule;
    let tags = rule.tags.iter().map(|tag| &**tag).collect::<serde_json::Value>().to_string();
    sql.prepare_cached(
        "INSERT INTO incident VALUES
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
          max(?13, coalesce((SELECT max(time) FROM timeline WHERE incident = ?1), ?13)))
         ON CONFLICT DO UPDATE SET
         rule = excluded.rule, title = excluded.title, level = excluded.level,
         alert_type = excluded.alert_type, tags = excluded.tags,
         description = excluded.description, grouping = excluded.grouping,
         status = excluded.status, count = excluded.count, episodes = excluded.episodes,
         first_seen = excluded.first_seen, last_seen = excluded.last_seen,
         evidence = excluded.evidence, revision = excluded.revision,
         notified_count = excluded.notified_count,
         touched = max(touched, excluded.last_seen)",
    )?
    .execute(params![
        incident.id.0,
        rule.id,
        rule.title,
        rule.level as i64,
        rule.alert_type.as_str(),
        tags,
        rule.description,
        group_to_json(&incident.group),
        incident.status.as_str(),
        incident.count.cast_signed(),
        incident.episodes,
        incident.first_seen.nanos(),
        incident.last_seen.nanos(),
        incident.evidence,
        incident.revision,
        incident.notified_count.cast_signed(),
    ])?;
    Ok(Saved::Kept)
}

fn save_evidence(
    sql: &Connection,
    incident: &IncidentId,
    event: &FlatEvent,
) -> rusqlite::Result<Saved> {
    let known = sql
        .prepare_cached("SELECT 1 FROM evidence WHERE incident = ?1 AND event_id = ?2")?
        .exists(params![incident.0, event.id()])?;
    if known {
        return Ok(Saved::Known);
    }
    let kept: i64 = sql
        .prepare_cached("SELECT count(*) FROM evidence WHERE incident = ?1")?
        .query_row([&incident.0], |row| row.get(0))?;
    if kept >= EVIDENCE_MAX as i64 {
        return Ok(Saved::Capped);
    }
    let json = serde_json::to_string(&event.0)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    sql.prepare_cached("INSERT INTO evidence(incident, event_id, event) VALUES (?1, ?2, ?3)")?
        .execute(params![incident.0, event.id(), json])?;
    Ok(Saved::Kept)
}

fn save_entry(
    sql: &Connection,
    incident: &IncidentId,
    entry: &TimelineEntry,
) -> rusqlite::Result<Saved> {
    let number: i64 = sql
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM timeline WHERE incident = ?1")?
        .query_row([&incident.0], |row| row.get(0))?;
    sql.prepare_cached("INSERT INTO timeline VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        incident.0,
        number,
        entry.time.nanos(),
        entry.actor,
        entry.text
    ])?;
    sql.prepare_cached("UPDATE incident SET touched = max(touched, ?2) WHERE id = ?1")?
        .execute(params![incident.0, entry.time.nanos()])?;
    // The first entry stays: it tells how it began.
    let dropped = sql
        .prepare_cached("DELETE FROM timeline WHERE incident = ?1 AND number BETWEEN 2 AND ?2")?
        .execute(params![incident.0, number - i64::from(TIMELINE_MAX) + 1])?;
    Ok(if dropped == 0 { Saved::Kept } else { Saved::Capped })
}

fn save_step(sql: &Connection, step: &Step) -> rusqlite::Result<Saved> {
    if step.number > STEPS_MAX {
        return Ok(Saved::Capped);
    }
    sql.prepare_cached(
        "INSERT INTO step VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET text = excluded.text",
    )?
    .execute(params![step.incident.0, step.number, step.text])?;
    Ok(Saved::Kept)
}

pub(super) fn head(sql: &Connection, id: &IncidentId) -> rusqlite::Result<Option<Incident>> {
    sql.prepare_cached(&format!("SELECT {COLUMNS} FROM incident WHERE id = ?1"))?
        .query_row([&id.0], |row| read(row, &mut RuleHeads::default()))
        .optional()
}

pub(super) fn evidence(sql: &Connection, id: &IncidentId) -> rusqlite::Result<Vec<FlatEvent>> {
    sql.prepare_cached("SELECT event FROM evidence WHERE incident = ?1 ORDER BY number")?
        .query_map([&id.0], |row| from_json(0, "event", row.get_ref(0)?.as_str()?).map(FlatEvent))?
        .collect()
}

pub(super) fn timeline(sql: &Connection, id: &IncidentId) -> rusqlite::Result<Vec<TimelineEntry>> {
    sql.prepare_cached(
        "SELECT time, actor, text FROM timeline WHERE incident = ?1 ORDER BY number",
    )?
    .query_map([&id.0], |row| {
        Ok(TimelineEntry {
            time: Timestamp::from_nanos(row.get(0)?),
            actor: row.get(1)?,
            text: row.get(2)?,
        })
    })?
    .collect()
}

pub(super) fn steps(sql: &Connection, id: &IncidentId) -> rusqlite::Result<Vec<Step>> {
    sql.prepare_cached("SELECT number, text FROM step WHERE incident = ?1 ORDER BY number")?
        .query_map([&id.0], |row| {
            Ok(Step { incident: id.clone(), number: row.get(0)?, text: row.get(1)? })
        })?
        .collect()
}

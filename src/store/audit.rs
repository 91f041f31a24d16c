//! The audit log: who did what, in a chain that shows where somebody altered it.
//!
//! The hash of a row is SHA-256 over the hash of the row before it and the row's own bytes: its
//! number and time (8 bytes each, little endian), then actor, action, subject and detail, each
//! with its length in front (8 bytes, little endian). `audit_end` keeps the number and hash of the
//! last row (`head`) and of the last row that retention removed (`anchor`), so that the tail cannot
//! be cut off unnoticed and a shortened log still verifies. Whoever can write the file can also
//! compute a whole new chain: send the head's hash to another machine to be safe from that.

use super::cut;
use crate::event::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

/// Bytes kept of each text of an entry.
pub const AUDIT_TEXT_MAX: usize = 16 * 1024;

type Hash = [u8; 32];

/// Something somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditEntry<'a> {
    /// Wall time.
    pub time: Timestamp,
    /// Who: `tripline` or a person.
    pub actor: &'a str,
    /// What, for example `delivery.requeued`.
    pub action: &'a str,
    /// To what, for example an incident's id.
    pub subject: &'a str,
    /// With what words or values.
    pub detail: &'a str,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// See [`AuditEntry::time`].
    pub time: Timestamp,
    /// See [`AuditEntry::actor`].
    pub actor: String,
    /// See [`AuditEntry::action`].
    pub action: String,
    /// See [`AuditEntry::subject`].
    pub subject: String,
    /// See [`AuditEntry::detail`].
    pub detail: String,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
}

/// What a walk over the log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// Rows that were looked at and are sound.
    pub rows: u64,
    /// The last row that retention removed; 0 if none.
    pub anchor: u64,
    /// The number of the last sound row.
    pub head: u64,
    /// The hash of the last sound row, 64 hexadecimal digits.
    pub head_hash: String,
    /// Where the chain breaks, if it does.
    pub broken: Option<AuditBreak>,
}

/// The first row at which the chain breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditBreak {
    /// Its number; 0 when it is not about a row.
    pub number: u64,
    /// What is wrong.
    pub why: &'static str,
}

pub(super) fn append(sql: &Connection, entry: &AuditEntry<'_>) -> rusqlite::Result<u64> {
    let (last, last_hash) = end(sql, "head")?;
    let number = last + 1;
    let texts = [entry.actor, entry.action, entry.subject, entry.detail]
        .map(|text| cut(text, AUDIT_TEXT_MAX));
    let [actor, action, subject, detail] = &texts;
    let hash = chain(&last_hash, number, entry.time, [actor, action, subject, detail]);
    sql.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![number, entry.time.nanos(), actor, action, subject, detail, hash])?;
    set_end(sql, "head", number, &hash)?;
    Ok(number.cast_unsigned())
}

fn chain(before: &Hash, number: i64, time: Timestamp, texts: [&str; 4]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(number.to_le_bytes());
    hash.update(time.nanos().to_le_bytes());
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

fn end(sql: &Connection, name: &str) -> rusqlite::Result<(i64, Hash)> {
    sql.prepare_cached("SELECT number, hash FROM audit_end WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn set_end(sql: &Connection, name: &str, number: i64, hash: &Hash) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE audit_end SET number = ?2, hash = ?3 WHERE name = ?1")?
        .execute(params![name, number, hash])
        .map(drop)
}

/// Removes the oldest rows, from before `cutoff` and in one piece from the start.
pub(super) fn trim(sql: &Connection, cutoff: Timestamp, rows_max: u32) -> rusqlite::Result<u64> {
    let (anchor, _) = end(sql, "anchor")?;
    let mut statement =
        sql.prepare_cached("SELECT number, time, hash FROM audit ORDER BY number LIMIT ?1")?;
    let mut rows = statement.query([rows_max])?;
    let mut last: Option<(i64, Hash)> = None;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= cutoff.nanos() {
            break;
        }
        last = Some((row.get(0)?, row.get(2)?));
    }
    drop(rows);
    let Some((number, hash)) = last else { return Ok(0) };
    let removed = sql
        .prepare_cached("DELETE FROM audit WHERE number > ?1 AND number <= ?2")?
        .execute([anchor, number])?;
    set_end(sql, "anchor", number, &hash)?;
    Ok(removed as u64)
}

pub(super) fn verify(sql: &Connection) -> rusqlite::Result<AuditReport> {
    let (Some((anchor, anchor_hash)), Some((head, head_hash))) =
        (end(sql, "anchor").optional()?, end(sql, "head").optional()?)
    else {
        let broken = AuditBreak { number: 0, why: "the record of where the log ends is missing" };
        let head_hash = hex(&[0; 32]);
        return Ok(AuditReport { rows: 0, anchor: 0, head: 0, head_hash, broken: Some(broken) });
    };
    let (mut last, mut last_hash) = (anchor, anchor_hash);
    let mut broken = None;
    let mut statement = sql.prepare(
        "SELECT number, time, actor, action, subject, detail, hash FROM audit ORDER BY number",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        if number != last + 1 {
            broken = Some((last + 1, "the row is missing"));
            break;
        }
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let texts = [text(2)?, text(3)?, text(4)?, text(5)?];
        let hash = chain(&last_hash, number, Timestamp::from_nanos(row.get(1)?), texts);
        if row.get_ref(6)?.as_blob()? != hash {
            broken = Some((number, "the row, or its hash, was altered"));
            break;
        }
        (last, last_hash) = (number, hash);
    }
    if broken.is_none() && last < head {
        broken = Some((last + 1, "the rows from here on were removed"));
    } else if broken.is_none() && (last, last_hash) != (head, head_hash) {
        broken = Some((last, "the row is not the recorded end of the log"));
    }
    Ok(AuditReport {
        rows: (last - anchor).cast_unsigned(),
        anchor: anchor.cast_unsigned(),
        head: last.cast_unsigned(),
        head_hash: hex(&last_hash),
        broken: broken.map(|(number, why)| AuditBreak { number: number.cast_unsigned(), why }),
    })
}

/// The rows after `after`, at most `limit`.
pub(super) fn rows(sql: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<AuditRow>> {
    sql.prepare_cached(
        "SELECT number, time, actor, action, subject, detail, hash FROM audit
         WHERE number > ?1 ORDER BY number LIMIT ?2",
    )?
    .query_map(params![after.cast_signed(), limit], |row| {
        Ok(AuditRow {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            time: Timestamp::from_nanos(row.get(1)?),
            actor: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
            detail: row.get(5)?,
            hash: hex(row.get_ref(6)?.as_blob()?),
        })
    })?
    .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests;

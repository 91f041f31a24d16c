//! The store: one SQLite file that holds what must outlive the process.
//!
//! Source positions, detection state, findings, incidents, the outbox and the audit log are written
//! in one transaction ([`Store::transaction`]); after a crash everything resumes from the last one
//! that was committed. There is one writer per state folder, held by a lock that names its pid, and
//! any number of [`Reader`]s.
//!
//! A transaction that fails has had no effect and says so; it can be made again. The file keeps a
//! write-ahead log with `synchronous=NORMAL`: a killed process loses nothing that was committed, a
//! power cut may lose the last transactions, never the order or the soundness of the file.
//! See `docs/store.md` for the tables and the outbox's rules.

mod audit;
mod error;
mod folder;
mod incidents;
mod letters;
mod outbox;
mod reader;
mod resume;
mod retention;
mod schema;
mod transaction;

pub use audit::{AUDIT_TEXT_MAX, AuditBreak, AuditEntry, AuditReport, AuditRow};
pub use error::StoreError;
pub use folder::DATABASE;
pub use incidents::{STEPS_MAX, TIMELINE_MAX};
pub use letters::{Breaker, SinkState};
pub use outbox::{
    ATTEMPTS_KEPT, ClaimRequest, Claimed, DeliveryId, DeliveryState, ERROR_TEXT_MAX, Enqueued,
    NewDelivery, Settled, Settlement, Ticket,
};
pub use reader::{
    AttemptRow, DeliveryCount, DeliveryDetail, DeliveryQuery, DeliveryRow, IncidentCursor,
    IncidentDetail, IncidentPage, IncidentQuery, PAGE_MAX, Reader, RuleCount, StoreCounts,
};
pub use resume::{CounterValue, Loaded, Positions, SavedState};
pub use retention::{Retained, RetentionPolicy};
pub use transaction::{Saved, Transaction};

use crate::event::Timestamp;
use crate::finding::{Incident, IncidentId};
use folder::{Lock, Reserve};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// How long a commit waits for another program that holds the file.
    pub busy_timeout: Duration,
    /// Bytes kept back for the marks of delivered messages when the disk is full.
    pub reserve_bytes: u64,
    /// Largest size of the database file in bytes; `None` leaves it to the disk.
    pub size_max: Option<u64>,
    /// How much of the file is looked at before it is trusted.
    pub check: Check,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            reserve_bytes: 1024 * 1024,
            size_max: None,
            check: Check::Quick,
        }
    }
}

/// How much of the file is looked at when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its header only; damage elsewhere is found when it is read.
    Header,
    /// Every page (`PRAGMA quick_check`); reads the whole file once.
    Quick,
}

/// The one writer.
#[derive(Debug)]
pub struct Store {
    sql: Connection,
    path: PathBuf,
    reserve: Reserve,
    size_max: Option<u64>,
    busy_timeout: Duration,
    recovered: u64,
    _lock: Lock,
}

impl Store {
    /// Opens the store of a state folder, makes or migrates it if it must be, and gives deliveries
    /// that a dead agent had in hand back to the outbox.
    pub fn open(folder: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        folder::create(folder)?;
        let lock = Lock::take(folder)?;
        let path = folder::create_database(folder)?;
        let sql = match prepare(&path, options) {
            // The agent must start on a full disk too, to deliver what it owes.
            Err(StoreError::Full { .. }) if Reserve::discard(folder)? => prepare(&path, options)?,
            result => result?,
        };
        let reserve = Reserve::open(folder, options.reserve_bytes)?;
        let mut store = Self {
            sql,
            path,
            reserve,
            size_max: options.size_max,
            busy_timeout: options.busy_timeout,
            recovered: 0,
            _lock: lock,
        };
        store.limit_pages()?;
        // The lock proves that nothing is in anybody's hand: every lease has ended.
        let end_of_time = Timestamp::from_nanos(i64::MAX);
        store.recovered = store.urgently(|transaction| transaction.release_expired(end_of_time))?;
        Ok(store)
    }

    /// Where to go on with each stream of a source.
    pub fn positions(&self, source: &str) -> Result<Positions, StoreError> {
        resume::positions_of(&self.sql, source)
            .map_err(|error| StoreError::from_sql(&self.path, error))
    }

    /// The head of an incident; `None` if there is none of this id.
    pub fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, StoreError> {
        incidents::head(&self.sql, id).map_err(|error| StoreError::from_sql(&self.path, error))
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deliveries that a dead agent had in hand when the store was opened.
    pub const fn recovered(&self) -> u64 {
        self.recovered
    }

    /// Whether the space for the marks of delivered messages is kept back; `false` on a full disk.
    pub const fn has_reserve(&self) -> bool {
        self.reserve.is_kept()
    }

    /// Reads what the agent resumes from; detection state goes piece by piece to `state`.
    pub fn load(&self, state: impl FnMut(SavedState<'_>)) -> Result<Loaded, StoreError> {
        resume::load(&self.sql, state).map_err(|error| StoreError::from_sql(&self.path, error))
    }

    /// Does everything `work` does, or nothing. An error of `work`, or a failed step that `work`
    /// passed over, undoes all of it; the same transaction can then be made again.
    ///
    /// While the disk is too full to keep the reserve back this is refused as
    /// [`StoreError::Full`]: what is left belongs to the deliveries in hand.
    pub fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.reserve.is_kept() {
            if !self.reserve.keep()? {
                return Err(StoreError::Full { path: self.path.clone() }.into());
            }
            self.limit_pages()?;
        }
        self.commit(work)
    }

    /// Takes the next delivery of a sink in hand. Its attempt is counted and committed before this
    /// returns, so that it may be sent now.
    pub fn claim(&mut self, request: &ClaimRequest<'_>) -> Result<Option<Claimed>, StoreError> {
        self.urgently(|transaction| transaction.claim(request))
    }

    /// Records what came of an attempt, on a full disk at the expense of the reserve.
    pub fn settle(
        &mut self,
        ticket: Ticket,
        settlement: &Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.urgently(|transaction| transaction.settle(ticket, settlement, now))
    }

    /// Records the state of a sink, on a full disk at the expense of the reserve.
    pub fn save_sink(&mut self, state: &SinkState) -> Result<(), StoreError> {
        self.urgently(|transaction| transaction.sink(state))
    }

    /// When the next delivery of a sink may be claimed; a time that has passed means now.
    pub fn next_due(&self, sink: &str) -> Result<Option<Timestamp>, StoreError> {
        outbox::next_due(&self.sql, sink).map_err(|error| StoreError::from_sql(&self.path, error))
    }

    /// Removes at most `rows_max` rows of each kind that the policy has done with.
    pub fn retain(
        &mut self,
        now: Timestamp,
        policy: &RetentionPolicy,
        rows_max: u32,
    ) -> Result<Retained, StoreError> {
        self.urgently(|transaction| transaction.retain(now, policy, rows_max))
    }

    /// Gives at most `pages_max` unused pages back to the disk.
    pub fn vacuum(&mut self, pages_max: u32) -> Result<(), StoreError> {
        let failed = |error| StoreError::from_sql(&self.path, error);
        let mut statement =
            self.sql.prepare(&format!("PRAGMA incremental_vacuum({pages_max})")).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while rows.next().map_err(failed)?.is_some() {}
        Ok(())
    }

    /// Moves the write-ahead log into the database and empties it. It does not wait for readers:
    /// `false` if one kept part of the log from being moved; the next call goes on.
    pub fn checkpoint(&mut self) -> Result<bool, StoreError> {
        let failed = |error| StoreError::from_sql(&self.path, error);
        self.sql.busy_timeout(Duration::ZERO).map_err(failed)?;
        let busy =
            self.sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.sql.busy_timeout(self.busy_timeout).map_err(failed)?;
        busy.map(|busy| busy == 0).map_err(failed)
    }

    /// Walks the audit log; see [`AuditReport`].
    pub fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        audit::verify(&self.sql).map_err(|error| StoreError::from_sql(&self.path, error))
    }

    /// A transaction that may use up the reserve.
    fn urgently<T>(
        &mut self,
        work: impl Fn(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.commit(&work) {
            Err(StoreError::Full { .. }) if self.reserve.release()? => {
                self.limit_pages()?;
                self.commit(&work)
            }
            result => result,
        }
    }

    fn commit<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = self.path.as_path();
        let failed = |error| StoreError::from_sql(path, error);
        // Rolls back when dropped.
        let sql =
            self.sql.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let transaction = Transaction::new(&sql, path);
        let result = work(&transaction)?;
        if transaction.has_failed() {
            return Err(StoreError::Abandoned { path: path.to_owned() }.into());
        }
        sql.commit().map_err(failed)?;
        Ok(result)
    }

    /// Sets the size limit; what is kept back is added to it once the reserve is given up.
    fn limit_pages(&self) -> Result<(), StoreError> {
        let Some(size_max) = self.size_max else { return Ok(()) };
        let released = if self.reserve.is_kept() { 0 } else { self.reserve.bytes() };
        let pages = size_max.saturating_add(released) / PAGE_BYTES;
        self.sql
            .pragma_update_and_check(None, "max_page_count", pages.max(1) as i64, |_| Ok(()))
            .map_err(|error| StoreError::from_sql(&self.path, error))
    }
}

const PAGE_BYTES: u64 = 4096;
/// Pages of the write-ahead log (16 MiB) at which a commit moves them into the database, which
/// waits for the disk; [`Store::checkpoint`] in a quiet moment keeps it from coming to that.
const WAL_PAGES_MAX: i64 = 4_000;
/// Memory for pages of the database; a commit that changes more writes some of them twice.
const CACHE_KIB: i64 = 4 * 1024;
/// Bytes the write-ahead log keeps on disk once it was larger.
const WAL_KEPT_BYTES: i64 = 4 * 1024 * 1024;
const STATEMENTS_MAX: usize = 64;

/// The writer's connection, to a sound database of the present version.
fn prepare(path: &Path, options: &OpenOptions) -> Result<Connection, StoreError> {
    let mut sql = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.busy_timeout)?;
    let found = schema::identify(path, &sql)?;
    let failed = |error| StoreError::from_sql(path, error);
    if found.is_none() {
        // Only a file without tables can take this setting.
        sql.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    } else if options.check == Check::Quick {
        quick_check(path, &sql)?;
    }
    configure(path, &sql)?;
    schema::migrate(&mut sql, found.unwrap_or(0)).map_err(failed)?;
    Ok(sql)
}

fn connect(path: &Path, mode: OpenFlags, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let open = || -> rusqlite::Result<Connection> {
        let sql = Connection::open_with_flags(path, flags)?;
        sql.busy_timeout(busy_timeout)?;
        sql.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // Without it every statement that may use a partial index is planned anew at each call.
        sql.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        sql.pragma_update(None, "trusted_schema", "OFF")?;
        Ok(sql)
    };
    open().map_err(|error| StoreError::from_sql(path, error))
}

fn configure(path: &Path, sql: &Connection) -> Result<(), StoreError> {
    let failed = |error| StoreError::from_sql(path, error);
    let mode: String = sql
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::NoWal { path: path.to_owned(), mode });
    }
    let set = || -> rusqlite::Result<()> {
        sql.pragma_update(None, "synchronous", "NORMAL")?;
        sql.pragma_update(None, "foreign_keys", "ON")?;
        sql.pragma_update(None, "temp_store", "MEMORY")?;
        sql.pragma_update(None, "cache_size", -CACHE_KIB)?;
        sql.pragma_update_and_check(None, "wal_autocheckpoint", WAL_PAGES_MAX, |_| Ok(()))?;
        sql.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))
    };
    set().map_err(failed)
}

fn quick_check(path: &Path, sql: &Connection) -> Result<(), StoreError> {
    let said: String = sql
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::from_sql(path, error))?;
    match said.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged { path: path.to_owned(), why: said }),
    }
}

/// The text, or as much of its start as fits into `bytes_max`, and how long it was.
fn cut(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let start = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    Cow::Owned(format!("{start}… ({} bytes)", text.len()))
}

#[cfg(test)]
mod tests;

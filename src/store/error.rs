//! What can be wrong with the store, in words for the person who has to mend it.

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not be opened, read or written. Whatever failed had no effect at all: the
/// same call may be made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bytes are not those of a sound database.
    #[error(
        "the store `{}` is damaged: {why}\n\
         hint: stop the agent, move the file and its `-wal` away and keep them; the agent starts \
         with a new store and reads its sources from their configured start",
        path.display()
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A database, but of another program.
    #[error(
        "`{}` is a database of another program (application id {found:#010x})\n\
         hint: give `state` a folder of its own",
        path.display()
    )]
    Foreign {
        /// The database file.
        path: PathBuf,
        /// Its application id.
        found: i64,
    },
    /// Written by a newer program.
    #[error(
        "the store `{}` has schema version {found}, this program knows up to {known}\n\
         hint: install the version of tripline that wrote it, or a newer one",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Version in the file.
        found: i64,
        /// Highest version this program knows.
        known: i64,
    },
    /// Written by an older program; only the agent migrates it.
    #[error(
        "the store `{}` has schema version {found}, this program reads version {known}\n\
         hint: start the agent of this version once, it brings the store up to date",
        path.display()
    )]
    Older {
        /// The database file.
        path: PathBuf,
        /// Version in the file.
        found: i64,
        /// The version this program reads.
        known: i64,
    },
    /// It cannot be written.
    #[error(
        "the store `{}` is read-only\n\
         hint: the agent's user must own the file and its folder, on a file system mounted for \
         writing",
        path.display()
    )]
    ReadOnly {
        /// The database file.
        path: PathBuf,
    },
    /// No space is left, or the configured size is reached.
    #[error(
        "no space left for the store `{}`; reading of sources waits, nothing is lost\n\
         hint: free some space or raise the store's size limit; the agent goes on by itself",
        path.display()
    )]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// Another agent runs on the same folder.
    #[error(
        "the state folder `{}` is in use by {}\n\
         hint: stop that agent, or give this one a `state` folder of its own",
        path.display(),
        pid.map_or_else(|| "another agent".to_owned(), |pid| format!("the agent with pid {pid}"))
    )]
    Locked {
        /// The state folder.
        path: PathBuf,
        /// The other agent's process, where its lock file names it.
        pid: Option<u32>,
    },
    /// Another program (a backup, a `sqlite3` shell) held the database for too long.
    #[error(
        "the store `{}` is held by another program\n\
         hint: it is tried again; end what has the file open if this stays",
        path.display()
    )]
    Busy {
        /// The database file.
        path: PathBuf,
    },
    /// The state folder cannot be used.
    #[error(
        "the state folder `{}` cannot be used: {source}\n\
         hint: `state` must name a folder the agent's user may create files in",
        path.display()
    )]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no store yet.
    #[error(
        "there is no store at `{}`\n\
         hint: it is made when the agent runs for the first time; check `state`",
        path.display()
    )]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// The file system cannot share memory between processes, which the log needs.
    #[error(
        "the store `{}` cannot keep a write-ahead log (journal mode `{mode}`)\n\
         hint: `state` must be on a local file system, not on a network share",
        path.display()
    )]
    NoWal {
        /// The database file.
        path: PathBuf,
        /// The mode SQLite fell back to.
        mode: String,
    },
    /// A step of a transaction had failed and the work went on as if it had not.
    #[error("a transaction of the store `{}` was given up because a step in it had failed", path.display())]
    Abandoned {
        /// The database file.
        path: PathBuf,
    },
    /// Anything else SQLite reports, for example a failing disk.
    #[error("the store `{}` failed: {source}", path.display())]
    Sql {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts an error of SQLite.
    pub(super) fn from_sql(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if extended_code(&source) == Some(SQLITE_IOERR_SHMSIZE) {
            return Self::Full { path };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, why: source.to_string() }
            }
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(_) => Self::Sql { path, source },
            None if is_stored_value(&source) => Self::Damaged { path, why: source.to_string() },
            None => Self::Sql { path, source },
        }
    }

    /// Whether the same call may succeed later without anybody changing the set-up.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => Some(failure.extended_code),
        _ => None,
    }
}

/// Whether a stored value, or a row that is always there, is not what this program writes.
fn is_stored_value(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows
    )
}

/// A stored text that cannot be what this program wrote.
pub(super) fn stored(column: usize, what: &'static str, text: &str) -> rusqlite::Error {
    let why = format!("`{}` is no {what}", super::cut(text, 80));
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
}

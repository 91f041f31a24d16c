//! The state folder: who may read it, who owns it now, and the space kept back in it.

use super::error::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the database in the state folder.
pub const DATABASE: &str = "tripline.db";
const LOCK: &str = "tripline.lock";
const RESERVE: &str = "tripline.reserve";
/// Longest lock file that is looked at: a pid.
const LOCK_BYTES_MAX: u64 = 32;
const PRIVATE: u32 = 0o600;

/// Makes the folder for this user only. One that is there keeps its mode: it may be shared.
pub(super) fn create(folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)
}

/// Makes the database file, or tightens its mode; SQLite gives its `-wal` and `-shm` the same.
///
/// A file without a byte is a new store. In a folder that had one it is what a disk or a person
/// left of it: SQLite would throw the `-wal` away and start anew, without a word.
pub(super) fn create_database(folder: &Path) -> Result<PathBuf, StoreError> {
    let path = folder.join(DATABASE);
    let failed = |source| StoreError::Folder { path: path.clone(), source };
    let was_there = path.exists();
    let file =
        OpenOptions::new().read(true).append(true).create(true).mode(PRIVATE).open(&path).map_err(
            |source| match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path: path.clone() },
                _ => failed(source),
            },
        )?;
    let meta = file.metadata().map_err(failed)?;
    let was_used = wal_bytes(&path) > 0 || folder.join(RESERVE).exists();
    if was_there && meta.len() == 0 && was_used {
        let why = "it is empty although the folder was in use".to_owned();
        return Err(StoreError::Damaged { path, why });
    }
    if meta.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(PRIVATE)).map_err(failed)?;
    }
    Ok(path)
}

/// Bytes of the write-ahead log beside a database.
pub(super) fn wal_bytes(database: &Path) -> u64 {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    fs::metadata(name).map_or(0, |meta| meta.len())
}

/// Holds the folder for one agent; the system lets go of it when the process ends, however it does.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK);
        let failed = |source| StoreError::Folder { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The pid is only shown: without it the refusal still stands.
                let pid = match file.take(LOCK_BYTES_MAX).read_to_string(&mut text) {
                    Ok(_) => text.trim().parse().ok(),
                    Err(_) => None,
                };
                return Err(StoreError::Locked { path: folder.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        match written {
            // On a full disk the agent must still start, to deliver what it owes.
            Err(source) if !is_full(&source) => Err(failed(source)),
            _ => Ok(Self { _file: file }),
        }
    }
}

/// Space kept back in a file, given up when the disk is full so that what was delivered can still
/// be marked as such.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    kept: bool,
}

impl Reserve {
    /// Takes over the file of an earlier run or makes it. On a full disk it is not kept yet.
    pub(super) fn open(folder: &Path, bytes: u64) -> Result<Self, StoreError> {
        let mut reserve = Self { path: folder.join(RESERVE), bytes, kept: false };
        reserve.keep()?;
        Ok(reserve)
    }

    /// Gives up the space that an earlier run kept back; `false` if there is none.
    pub(super) fn discard(folder: &Path) -> Result<bool, StoreError> {
        let path = folder.join(RESERVE);
        let kept = path.exists();
        Self { path, bytes: 0, kept }.release()
    }

    /// Whether the space is kept back now.
    pub(super) const fn is_kept(&self) -> bool {
        self.kept
    }

    /// Bytes kept back when it is.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps the space back again; `false` while the disk has too little.
    pub(super) fn keep(&mut self) -> Result<bool, StoreError> {
        if !self.kept {
            self.kept = match self.fill() {
                Ok(()) => true,
                Err(source) if is_full(&source) => {
                    self.remove()?;
                    false
                }
                Err(source) => {
                    return Err(StoreError::Folder { path: self.path.clone(), source });
                }
            };
        }
        Ok(self.kept)
    }

    /// Gives the space up; `false` if that was done before.
    pub(super) fn release(&mut self) -> Result<bool, StoreError> {
        if self.kept {
            self.remove()?;
            self.kept = false;
            return Ok(true);
        }
        Ok(false)
    }

    /// Written out, because a hole in a file keeps nothing back.
    fn fill(&self) -> io::Result<()> {
        if fs::metadata(&self.path).map_or(0, |meta| meta.len()) == self.bytes {
            return Ok(());
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(PRIVATE)
            .open(&self.path)?;
        io::copy(&mut io::repeat(0).take(self.bytes), &mut file).map(drop)
    }

    fn remove(&self) -> Result<(), StoreError> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Folder { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

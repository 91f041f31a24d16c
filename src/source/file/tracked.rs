//! One file that is followed: how far it was read, and what tells it from every other file.

use super::identity::{FileId, GUARD_MAX, HEAD_MAX, Look, Mark, hash_of, look_into, read_at};
use crate::event::{StreamId, Timestamp};
use crate::source::Position;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Number of a followed file while this source runs.
pub(super) type Slot = u32;

/// Where a file stands towards the configured paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// No configured path leads to it any more: it was renamed, removed or its link turned. It is
    /// read to its end and held while it may still grow.
    Left,
    /// One of the configured paths leads to it.
    Listed,
    /// It was read to its end and closed; only looked at now and then until it is removed.
    Retired,
}

/// The bytes before the offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guard {
    /// As they were read.
    Known(Vec<u8>),
    /// As they were saved: not compared yet.
    Saved(Mark),
}

impl Guard {
    fn mark(&self) -> Mark {
        match self {
            Self::Known(bytes) => Mark::of(bytes),
            Self::Saved(mark) => *mark,
        }
    }
}

/// Waiting before something that failed is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) until: Instant,
    pub(super) delay: Duration,
}

/// A followed file.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) id: FileId,
    /// Hash of the identity under which it was first seen; stays when the file moves to another
    /// file system or is replaced by an edited copy.
    pub(super) origin: u64,
    /// How often it was truncated or rewritten.
    pub(super) generation: u32,
    /// The path it was found by, which its records carry even after a rotation.
    pub(super) path: Box<str>,
    /// The configured path that leads, or last led, to it.
    pub(super) found: PathBuf,
    /// Where it is itself, symbolic links resolved.
    pub(super) place: PathBuf,
    /// Start of the first line that was not handed over.
    pub(super) offset: u64,
    /// Up to here there is no line end.
    pub(super) scanned: u64,
    /// From `scanned` to here there is nothing but NUL bytes.
    pub(super) nul_end: u64,
    /// Up to here there is text of this generation; `None` before the first read after a restart.
    pub(super) sure: Option<u64>,
    pub(super) guard: Guard,
    pub(super) head: Mark,
    pub(super) file: Option<File>,
    /// Size at the last look; `None` before the first.
    pub(super) size: Option<u64>,
    pub(super) modified: i64,
    /// It has, or may have, something to read.
    pub(super) ready: bool,
    pub(super) standing: Standing,
    /// It no longer is what its path leads to: nothing will be appended for long.
    pub(super) rotated: bool,
    /// The file whose lines come before those of this one.
    pub(super) after: Option<Slot>,
    pub(super) backoff: Option<Backoff>,
    /// When something was last read or changed.
    pub(super) active: Instant,
    /// When it was last read, by the wall clock.
    pub(super) read_at: i64,
}

/// The durable form of a followed file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    dev: u64,
    ino: u64,
    birth: Option<i64>,
    origin: u64,
    generation: u32,
    offset: u64,
    head: Mark,
    guard: Mark,
    read_at: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    rotated: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retired: bool,
}

impl Tracked {
    /// A file that was never seen, to be read from its first byte.
    pub(super) fn new(look: &Look, path: &Path, now: Instant) -> Self {
        Self {
            id: look.id,
            origin: look.id.origin(),
            generation: 0,
            path: path.to_string_lossy().into(),
            found: path.to_owned(),
            place: resolve(path),
            offset: 0,
            scanned: 0,
            nul_end: 0,
            sure: Some(0),
            guard: Guard::Known(Vec::new()),
            head: Mark::default(),
            file: None,
            size: None,
            modified: look.modified,
            ready: true,
            standing: Standing::Listed,
            rotated: false,
            after: None,
            backoff: None,
            active: now,
            read_at: look.modified,
        }
    }

    /// A file as its position says it was left. It is not known yet where it is now.
    pub(super) fn from_saved(saved: Saved, now: Instant) -> Self {
        let place = saved.place.as_deref().unwrap_or(&saved.path).into();
        let found = saved.found.as_deref().unwrap_or(&saved.path).into();
        Self {
            id: FileId { dev: saved.dev, ino: saved.ino, birth: saved.birth },
            origin: saved.origin,
            generation: saved.generation,
            path: saved.path.into(),
            found,
            place,
            offset: saved.offset,
            scanned: saved.offset,
            nul_end: saved.offset,
            sure: None,
            guard: Guard::Saved(saved.guard),
            head: saved.head,
            file: None,
            size: None,
            modified: 0,
            ready: true,
            standing: if saved.retired { Standing::Retired } else { Standing::Listed },
            rotated: saved.rotated,
            after: None,
            backoff: None,
            active: now,
            read_at: saved.read_at,
        }
    }

    /// The stream its offsets count in: another after each rewrite.
    pub(super) fn stream(&self) -> StreamId {
        StreamId(hash_of(&[&self.origin.to_le_bytes(), &self.generation.to_le_bytes()]))
    }

    /// The key of its position.
    pub(super) fn key(&self) -> Box<str> {
        format!("{:016x}", self.stream().0).into()
    }

    /// Its position as it is now.
    pub(super) fn position(&self) -> Position {
        let other = |path: &Path| {
            let path = path.to_string_lossy();
            (path != *self.path).then(|| path.into_owned())
        };
        let saved = Saved {
            path: self.path.as_ref().to_owned(),
            found: other(&self.found),
            place: other(&self.place),
            dev: self.id.dev,
            ino: self.id.ino,
            birth: self.id.birth,
            origin: self.origin,
            generation: self.generation,
            offset: self.offset,
            head: self.head,
            guard: self.guard.mark(),
            read_at: self.read_at,
            rotated: self.rotated,
            retired: self.standing == Standing::Retired,
        };
        let state = serde_json::to_string(&saved).unwrap_or_default();
        Position { stream: self.key(), state: Some(state.into()) }
    }

    /// The bytes before the offset, if they are known.
    pub(super) fn guard_bytes(&self) -> &[u8] {
        match &self.guard {
            Guard::Known(bytes) => bytes,
            Guard::Saved(_) => &[],
        }
    }

    /// Goes on to `offset`; `before` are the bytes that end there.
    pub(super) fn advance(&mut self, offset: u64, before: &[u8], now: Timestamp) {
        let start = before.len().saturating_sub(GUARD_MAX);
        self.guard = Guard::Known(before.get(start..).unwrap_or_default().to_vec());
        self.read_at = now.nanos();
        self.offset = offset;
        self.scanned = offset;
        self.nul_end = offset;
    }

    /// Takes the head anew while it still grows.
    pub(super) fn grow_head(&mut self) -> io::Result<()> {
        let wanted = self.offset.min(HEAD_MAX as u64) as usize;
        if usize::from(self.head.len) < wanted
            && let Some(file) = &self.file
        {
            self.head = Mark::of(&read_at(file, 0, wanted)?);
        }
        Ok(())
    }

    /// Begins again at 0 as the next generation of the same file.
    pub(super) fn begin_again(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.offset = 0;
        self.scanned = 0;
        self.nul_end = 0;
        self.sure = Some(0);
        self.guard = Guard::Known(Vec::new());
        self.head = Mark::default();
        self.ready = true;
    }

    /// Whether the content of an open file is what was read of this one, at least up to the
    /// offset. Nothing read is no evidence.
    pub(super) fn is_content_of(&self, file: &File, size: u64) -> io::Result<bool> {
        let guard = self.guard.mark();
        Ok(self.offset > 0
            && size >= self.offset
            && guard.len > 0
            && self.head.is_at(file, 0)?
            && guard.is_at(file, self.offset - u64::from(guard.len))?)
    }

    /// Compares a saved position with the file, which is open. `false` if it was rewritten.
    pub(super) fn verify(&mut self) -> io::Result<bool> {
        let (Guard::Saved(mark), Some(file)) = (&self.guard, &self.file) else { return Ok(true) };
        let size = look_into(file)?.size;
        let from = self.offset.saturating_sub(u64::from(mark.len));
        if size < self.offset || !mark.is_at(file, from)? || !self.head.is_at(file, 0)? {
            return Ok(false);
        }
        self.guard = Guard::Known(read_at(file, from, usize::from(mark.len))?);
        Ok(true)
    }

    /// Bytes that are known to have stood in the file behind what was handed over.
    pub(super) fn unread(&self) -> Option<u64> {
        self.sure.map(|sure| sure.saturating_sub(self.offset))
    }
}

/// Where a path really leads.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    if is_link { path.canonicalize().unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() }
}

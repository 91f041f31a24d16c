//! What a file is, whatever it is called: device, inode and time of birth, the first bytes of it
//! and the bytes before the place that was read to.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;

/// Bytes of the head that are remembered at most.
pub(super) const HEAD_MAX: usize = 1024;
/// Bytes before the offset that are remembered at most.
pub(super) const GUARD_MAX: usize = 64;

/// A file on this host. The time of birth tells a reused inode; not every file system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) birth: Option<i64>,
}

impl FileId {
    /// Device and inode, under which it is looked up.
    pub(super) fn inode(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// Whether both are one file: a birth that is not known says nothing.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.inode() == other.inode()
            && (self.birth.is_none() || other.birth.is_none() || self.birth == other.birth)
    }

    /// A fixed hash of all of it.
    pub(super) fn origin(&self) -> u64 {
        let birth = self.birth.unwrap_or_default();
        hash_of(&[b"file", &self.dev.to_le_bytes(), &self.ino.to_le_bytes(), &birth.to_le_bytes()])
    }
}

/// What the file system says about a file at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) id: FileId,
    pub(super) size: u64,
    /// Nanoseconds since the epoch.
    pub(super) modified: i64,
    pub(super) links: u32,
    pub(super) kind: FileType,
}

/// Looks at whatever is at a path, symbolic links followed.
pub(super) fn look_at(path: &Path) -> io::Result<Look> {
    match rustix::fs::statx(CWD, path, AtFlags::empty(), wanted()) {
        Ok(found) => Ok(from_statx(&found)),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            Ok(from_stat(&rustix::fs::stat(path)?))
        }
        Err(error) => Err(error.into()),
    }
}

/// Looks at an open file.
pub(super) fn look_into(file: &File) -> io::Result<Look> {
    match rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, wanted()) {
        Ok(found) => Ok(from_statx(&found)),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            Ok(from_stat(&rustix::fs::fstat(file)?))
        }
        Err(error) => Err(error.into()),
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

fn from_statx(found: &rustix::fs::Statx) -> Look {
    let nanos = |time: &rustix::fs::StatxTimestamp| {
        time.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
    };
    let born = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    Look {
        id: FileId {
            dev: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            ino: found.stx_ino,
            birth: born.then(|| nanos(&found.stx_btime)),
        },
        size: found.stx_size,
        modified: nanos(&found.stx_mtime),
        links: found.stx_nlink,
        kind: FileType::from_raw_mode(found.stx_mode.into()),
    }
}

fn from_stat(found: &rustix::fs::Stat) -> Look {
    let nanos = found
        .st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::try_from(found.st_mtime_nsec).unwrap_or_default());
    Look {
        id: FileId { dev: found.st_dev, ino: found.st_ino, birth: None },
        size: found.st_size as u64,
        modified: nanos,
        links: found.st_nlink as u32,
        kind: FileType::from_raw_mode(found.st_mode),
    }
}

/// Opens a file for reading and never blocks on what turns out to be a pipe or a device.
pub(super) fn open(path: &Path) -> io::Result<(File, Look)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let look = look_into(&file)?;
    if look.kind == FileType::RegularFile {
        Ok((file, look))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// The first eight bytes of the SHA-256 of the parts, each with its length before it.
pub(super) fn hash_of(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 8];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    u64::from_le_bytes(first)
}

/// A stretch of a file by length and hash: enough to tell whether it is still the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) len: u16,
    pub(super) hash: u64,
}

impl Mark {
    /// The mark of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { len: bytes.len() as u16, hash: hash_of(&[bytes]) }
    }

    /// Whether the file has these bytes at `from`. No bytes are everywhere.
    pub(super) fn is_at(&self, file: &File, from: u64) -> io::Result<bool> {
        if self.len == 0 {
            return Ok(true);
        }
        let bytes = read_at(file, from, usize::from(self.len))?;
        Ok(bytes.len() == usize::from(self.len) && Self::of(&bytes) == *self)
    }
}

/// Up to `len` bytes at an offset, fewer at the end of the file.
pub(super) fn read_at(file: &File, from: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = from + bytes.len() as u64;
        if rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at)? == 0 {
            break;
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_fixed_and_length_matters() {
        assert_eq!(hash_of(&[b"ab", b"c"]), hash_of(&[b"ab", b"c"]));
        assert_ne!(hash_of(&[b"ab", b"c"]), hash_of(&[b"a", b"bc"]));
        let id = FileId { dev: 1, ino: 2, birth: Some(3) };
        assert_eq!(id.origin(), 18_260_895_934_596_863_120, "event ids hang on it");
    }

    #[test]
    fn an_unknown_birth_says_nothing() {
        let known = FileId { dev: 1, ino: 2, birth: Some(3) };
        assert!(known.is(&FileId { birth: None, ..known }));
        assert!(!known.is(&FileId { birth: Some(4), ..known }));
        assert!(!known.is(&FileId { ino: 9, ..known }));
    }
}

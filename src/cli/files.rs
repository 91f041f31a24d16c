//! Files of records named on the command line.

use super::{Failure, terminal};
use crate::event::StreamId;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of records or stdin, as it is named and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordFile {
    /// `-`, or nothing named.
    Stdin,
    /// A path.
    Path(PathBuf),
}

impl RecordFile {
    /// From an argument.
    pub(super) fn from_argument(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::Path(path.to_path_buf()) }
    }

    /// As people know it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// The stream it is: by device and inode, so that it is the same under another name.
    pub(super) fn stream(&self) -> Result<StreamId, Failure> {
        let mut identity = Sha256::new();
        match self {
            Self::Stdin => identity.update(b"stdin"),
            Self::Path(path) => {
                let about = fs::metadata(path)
                    .map_err(|error| Failure::unreadable(&self.shown(), &error))?;
                identity.update(about.dev().to_le_bytes());
                identity.update(about.ino().to_le_bytes());
            }
        }
        let hash = identity.finalize();
        Ok(StreamId(hash.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))))
    }

    /// Opens it. A folder or a compressed file is refused with a hint.
    pub(super) fn open(&self) -> Result<Box<dyn Read>, Failure> {
        let Self::Path(path) = self else { return Ok(Box::new(std::io::stdin().lock())) };
        let shown = self.shown();
        let unreadable = |error| Failure::unreadable(&shown, &error);
        let mut file = fs::File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(Failure::usage(format!("`{shown}` is a folder"))
                .hint("name its files, for example with `*`"));
        }
        let mut head = [0; 4];
        let length = file.read(&mut head).map_err(unreadable)?;
        let head = head.get(..length).unwrap_or_default();
        if let Some(tool) = packed_by(head) {
            let safe = terminal::escape(&shown);
            return Err(Failure::usage(format!("`{safe}` is compressed"))
                .hint(format!("unpack it on the way: `{tool} {safe} | tripline … -`")));
        }
        Ok(Box::new(std::io::Cursor::new(head.to_vec()).chain(file)))
    }
}

/// The tool that unpacks what begins so.
fn packed_by(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] => Some("zcat"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("zstdcat"),
        [0xfd, b'7', b'z', b'X'] => Some("xzcat"),
        [b'B', b'Z', b'h', b'1'..=b'9'] => Some("bzcat"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_files_are_known_by_their_head() {
        assert_eq!(packed_by(&[0x1f, 0x8b, 8, 0]), Some("zcat"));
        assert_eq!(packed_by(b"BZh9"), Some("bzcat"));
        assert_eq!(packed_by(b"Nov "), None);
        assert_eq!(packed_by(b""), None);
    }
}

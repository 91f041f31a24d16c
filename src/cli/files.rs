//! Files and folders named on the command line.

use super::{Failure, terminal};
use crate::diagnostic::SourceText;
use crate::event::StreamId;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of one rule, parser or configuration file that are read; a larger one is refused.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Files that are taken from folders at most.
const FILES_MAX: usize = 200_000;

/// Folders within folders that are entered.
const DEPTH_MAX: usize = 32;

/// Reads files and, from folders, every `*.yml` and `*.yaml`, each folder in the order of names.
pub(super) fn read_yaml(paths: &[PathBuf]) -> Result<Vec<SourceText>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let kind = fs::metadata(path)
            .map_err(|error| Failure::unreadable(&path.display().to_string(), &error))?;
        if kind.is_dir() {
            walk(path, 0, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    files.iter().map(|path| read_text(path)).collect()
}

/// Reads one file of text; bytes that are not UTF-8 are refused with their place.
pub(super) fn read_text(path: &Path) -> Result<SourceText, Failure> {
    let shown = path.display().to_string();
    let unreadable = |error| Failure::unreadable(&shown, &error);
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(Failure::usage(format!("`{shown}` is larger than 16 MiB"))
            .hint("expected a rule, a parser or a configuration"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::usage(format!("`{shown}` is not UTF-8 text: line {line}"))
            .hint("write the file as UTF-8")
    })?;
    Ok(SourceText::new(&shown, &text))
}

/// Symbolic links to folders are not followed: they may lead in a circle.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let shown = folder.display().to_string();
    let unreadable = |error| Failure::unreadable(&shown, &error);
    if depth > DEPTH_MAX {
        return Err(Failure::usage(format!("`{shown}` is nested too deep")));
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        entries.push((entry.path(), entry.file_type().map_err(unreadable)?));
    }
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    for (path, kind) in entries {
        if kind.is_dir() {
            walk(&path, depth + 1, found)?;
        } else if is_yaml(&path) && path.is_file() {
            if found.len() >= FILES_MAX {
                return Err(Failure::usage(format!("more than {FILES_MAX} files in `{shown}`")));
            }
            found.push(path);
        }
    }
    Ok(())
}

fn is_yaml(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden
        && path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}

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

    #[test]
    fn only_yaml_files_that_are_not_hidden_are_taken_from_folders() {
        assert!(is_yaml(Path::new("rules/a.yml")));
        assert!(is_yaml(Path::new("rules/a.yaml")));
        assert!(!is_yaml(Path::new("rules/a.md")));
        assert!(!is_yaml(Path::new("rules/.a.yml")));
    }
}

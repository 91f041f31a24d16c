//! Which files the configuration means, at this moment.

use super::identity::{Look, look_at};
use super::names::is_compressed;
use glob::{MatchOptions, Pattern};
use rustix::fs::FileType;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files one source follows at most.
pub(super) const FILES_MAX: usize = 50_000;
/// Remarks one listing makes at most.
const REMARKS_MAX: usize = 64;

/// The configured paths.
#[derive(Debug, Clone)]
pub(super) struct Patterns {
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<Pattern>,
}

/// A file that is there.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    /// Index of the pattern it was found by.
    pub(super) pattern: usize,
    pub(super) look: Look,
}

/// Everything one look through the file system found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<Seen>,
    /// What cannot be read, and why.
    pub(super) refused: Vec<(PathBuf, String)>,
    /// Compressed files, left alone.
    pub(super) compressed: Vec<PathBuf>,
    /// Whether there were more than `FILES_MAX`.
    pub(super) cut: bool,
}

impl Patterns {
    /// Looks up every file, each path once, in the order of the patterns and then by name.
    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing::default();
        let mut seen = BTreeSet::new();
        for (pattern, text) in self.include.iter().enumerate() {
            for found in expand(text) {
                match found {
                    Ok(path) => {
                        if self.is_excluded(&path) || !seen.insert(path.clone()) {
                            continue;
                        }
                        if listing.files.len() >= FILES_MAX {
                            listing.cut = true;
                            return listing;
                        }
                        listing.add(path, pattern);
                    }
                    Err(error) => {
                        listing.refuse(error.path().to_owned(), error.error().to_string());
                    }
                }
            }
        }
        listing
    }

    /// Whether a path is one of those meant.
    pub(super) fn matches(&self, path: &Path) -> bool {
        !self.is_excluded(path)
            && self.include.iter().any(|text| {
                path == Path::new(text)
                    || Pattern::new(text)
                        .is_ok_and(|pattern| pattern.matches_path_with(path, OPTIONS))
            })
    }

    /// The folders to watch for files that are not there yet: the part before any wildcard.
    pub(super) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.include.iter().filter_map(|text| {
            let mut folder = PathBuf::new();
            for part in Path::new(text).parent()?.components() {
                if part.as_os_str().to_string_lossy().contains(['*', '?', '[']) {
                    break;
                }
                folder.push(part);
            }
            Some(folder)
        })
    }

    fn is_excluded(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.exclude.iter().any(|pattern| {
            pattern.matches_path_with(path, OPTIONS)
                || (!pattern.as_str().contains('/') && pattern.matches(&name))
        })
    }
}

/// Wildcards stop at `/`; names that start with a dot match like any other.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The paths of a pattern. A file that is really called so wins over what its brackets would mean.
fn expand(text: &str) -> Box<dyn Iterator<Item = glob::GlobResult>> {
    let literal = Path::new(text);
    if !text.contains(['*', '?', '[']) || literal.symlink_metadata().is_ok() {
        let found = literal.symlink_metadata().is_ok().then(|| Ok(literal.to_owned()));
        return Box::new(found.into_iter());
    }
    match glob::glob_with(text, OPTIONS) {
        Ok(paths) => Box::new(paths),
        Err(_) => Box::new(std::iter::empty()),
    }
}

impl Listing {
    fn add(&mut self, path: PathBuf, pattern: usize) {
        if is_compressed(&path.file_name().unwrap_or_default().to_string_lossy()) {
            self.compressed.push(path);
            return;
        }
        match look_at(&path) {
            Ok(look) if look.kind == FileType::RegularFile => {
                self.files.push(Seen { path, pattern, look });
            }
            Ok(look) => self.refuse(path, format!("it is {}", describe(look.kind))),
            Err(error) => self.refuse(path, error.to_string()),
        }
    }

    fn refuse(&mut self, path: PathBuf, why: String) {
        if self.refused.len() < REMARKS_MAX {
            self.refused.push((path, why));
        }
    }
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a folder",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::RegularFile | FileType::Symlink | FileType::Unknown => "not a regular file",
    }
}

//! The files that people write: rules, parsers, configurations, alone or in folders.

use crate::diagnostic::SourceText;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// Bytes of one file that are read; a larger one is refused.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Files that are taken from folders at most.
const FILES_MAX: usize = 200_000;

/// Folders within folders that are entered.
const DEPTH_MAX: usize = 32;

/// A file that cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {why}\n  hint: {hint}")]
pub struct TextError {
    /// The file or folder.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
    /// What to do.
    pub hint: &'static str,
}

impl TextError {
    fn new(path: &Path, why: &dyn fmt::Display, hint: &'static str) -> Self {
        Self { path: path.display().to_string(), why: why.to_string(), hint }
    }

    fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(path, error, "check that the path exists and that you may read it")
    }
}

/// Reads files and, from folders, every `*.yml` and `*.yaml`, each folder in the order of names.
pub fn read_yaml(paths: &[PathBuf]) -> Result<Vec<SourceText>, TextError> {
    let mut files = Vec::new();
    for path in paths {
        let kind = fs::metadata(path).map_err(|error| TextError::unreadable(path, &error))?;
        if kind.is_dir() {
            walk(path, 0, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    files.iter().map(|path| read_text(path)).collect()
}

/// Reads one file of text; bytes that are not UTF-8 are refused with their place.
pub fn read_text(path: &Path) -> Result<SourceText, TextError> {
    let unreadable = |error| TextError::unreadable(path, &error);
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(TextError::new(
            path,
            &"larger than 16 MiB",
            "expected a rule, a parser or a configuration",
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..at).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        TextError::new(path, &format!("line {line} is not UTF-8 text"), "write the file as UTF-8")
    })?;
    Ok(SourceText::new(&path.display().to_string(), &text))
}

/// Symbolic links to folders are not followed: they may lead in a circle.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), TextError> {
    let unreadable = |error| TextError::unreadable(folder, &error);
    if depth > DEPTH_MAX {
        return Err(TextError::new(folder, &"nested too deep", "name the inner folder itself"));
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
                return Err(TextError::new(folder, &"holds too many files", "name fewer of them"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yaml_files_that_are_not_hidden_are_taken_from_folders() {
        assert!(is_yaml(Path::new("rules/a.yml")));
        assert!(is_yaml(Path::new("rules/a.yaml")));
        assert!(!is_yaml(Path::new("rules/a.md")));
        assert!(!is_yaml(Path::new("rules/.a.yml")));
    }
}

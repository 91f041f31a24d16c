//! What is wrong with a file a person wrote: where, what was expected, and a hint.

use std::fmt;
use std::sync::Arc;

/// A text that was read, with the name it is shown under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// A path, or a name like `<built-in>/linux/sshd.yml`.
    pub path: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl SourceText {
    /// A text under a name.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// A place in a text: line and column start at 1; line 0 means the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// 1 for the first line.
    pub line: u32,
    /// 1 for the first character.
    pub column: u32,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It works, but probably not as meant.
    Warning,
    /// It is not used.
    Error,
}

/// One finding about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub weight: Weight,
    /// The file.
    pub path: Arc<str>,
    /// Where in it.
    pub place: Place,
    /// What is wrong: lower case, no full stop, the thing in backticks, what was expected.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line it speaks of, as written.
    pub snippet: Option<String>,
}

impl Diagnostic {
    /// An error at a place of a text.
    pub fn error(source: &SourceText, place: Place, message: impl Into<String>) -> Self {
        Self::new(Weight::Error, source, place, message.into())
    }

    /// A warning at a place of a text.
    pub fn warning(source: &SourceText, place: Place, message: impl Into<String>) -> Self {
        Self::new(Weight::Warning, source, place, message.into())
    }

    fn new(weight: Weight, source: &SourceText, place: Place, message: String) -> Self {
        let snippet = place
            .line
            .checked_sub(1)
            .and_then(|line| source.text.lines().nth(line as usize))
            .map(|line| line.chars().take(200).collect());
        Self { weight, path: Arc::clone(&source.path), place, message, hint: None, snippet }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the hint `did you mean …`, if one of the known names is near.
    #[must_use]
    pub fn suggest<'a>(self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(given, known) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.weight == Weight::Error
    }
}

impl fmt::Display for Diagnostic {
    /// `path:line:col: error: message`, the line with a caret, and the hint.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Error => "error",
            Weight::Warning => "warning",
        };
        out.write_str(&self.path)?;
        if self.place.line > 0 {
            write!(out, ":{}:{}", self.place.line, self.place.column)?;
        }
        write!(out, ": {weight}: {}", self.message)?;
        if let Some(snippet) = &self.snippet {
            let column = self.place.column.saturating_sub(1) as usize;
            let line: String =
                snippet.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            write!(out, "\n  | {line}\n  | {:column$}^", "")?;
        }
        if let Some(hint) = &self.hint {
            write!(out, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// The known name that is nearest to what was given: at most a third of its letters differ.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(given, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Edit distance in characters, a swap of two neighbours counting once (Damerau, restricted).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut last = None;
    for (above, letter) in left.chars().enumerate() {
        let mut next = vec![above + 1];
        for (at, other) in right.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (get(&row, at) + usize::from(letter != *other))
                .min(get(&row, at + 1) + 1)
                .min(get(&next, at) + 1);
            let swapped = at > 0 && last == Some(*other) && right.get(at - 1) == Some(&letter);
            if swapped {
                best = best.min(get(&before, at - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(letter);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_place_line_and_hint() {
        let source = SourceText::new("rules/a.yml", "title: x\nlevle: high\n");
        let shown = Diagnostic::error(&source, Place { line: 2, column: 1 }, "unknown key `levle`")
            .suggest("levle", ["level", "title"])
            .to_string();
        assert_eq!(
            shown,
            "rules/a.yml:2:1: error: unknown key `levle`\n  | levle: high\n  | ^\n  hint: did you mean `level`?"
        );
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("slak", ["slack", "webhook"]), Some("slack"));
        assert_eq!(nearest("kafka", ["slack", "webhook"]), None);
    }
}

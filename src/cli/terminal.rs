//! What people see: escaped text, tables, colour only on a terminal, messages on stderr.
//!
//! Log lines are written by attackers. Everything that came out of one is escaped before it reaches
//! a terminal, so that it can neither move the cursor nor turn the text around.

use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

/// Bytes of output that are held before they are written.
const OUTPUT_BYTES: usize = 64 * 1024;

/// Cells of a table that are longer are cut, in characters.
const CELL_MAX: usize = 60;

/// Objects within objects that are shown as such.
const DEPTH_MAX: usize = 4;

/// The answer's way out. Dropped without a flush, it has lost what was held: commands end with
/// [`Write::flush`], so that a full disk is an error and not a silence.
pub(super) fn stdout() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock())
}

/// Says something to the person: one message on stderr.
pub(super) fn say(message: &dyn fmt::Display) {
    let text = format!("{message}\n");
    // Nobody is left who could be told that stderr is closed.
    drop(io::stderr().write_all(text.as_bytes()));
}

/// The operating system's words in the house's style.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::StorageFull => "no space left".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

/// Text from outside as it may stand on a terminal, on one line.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    escape_all_but(text, None)
}

/// The same for text of several lines.
pub(super) fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_all_but(text, Some('\n'))
}

fn escape_all_but(text: &str, kept: Option<char>) -> Cow<'_, str> {
    if !text.chars().any(|c| is_hostile(c) && Some(c) != kept) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if Some(c) == kept || !is_hostile(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and what changes direction, joins or hides text (Unicode's `Bidi_Control`
/// and zero-width characters, the tags of plane 14).
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Appends formatted text; a string takes everything.
pub(super) fn append(text: &mut String, more: fmt::Arguments<'_>) {
    text.push_str(&more.to_string());
}

/// A colour by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tint {
    /// As it is.
    Plain,
    /// A heading.
    Heading,
    /// To be looked at.
    Warning,
    /// To be acted on.
    Bad,
}

/// Whether colours are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// On a terminal.
    Shown,
    /// In a file or pipe, or where `NO_COLOR` is set.
    Hidden,
}

impl Colour {
    /// What stdout allows (<https://no-color.org>).
    pub(super) fn of_stdout() -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if io::stdout().is_terminal() && !is_refused { Self::Shown } else { Self::Hidden }
    }

    /// The text in its colour.
    pub(super) fn paint(self, tint: Tint, text: &str) -> String {
        let code = match (self, tint) {
            (Self::Hidden, _) | (_, Tint::Plain) => return text.to_owned(),
            (_, Tint::Heading) => "1",
            (_, Tint::Warning) => "33",
            (_, Tint::Bad) => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The tint of a level of Sigma.
pub(super) fn level_tint(level: &str) -> Tint {
    match level {
        "critical" | "high" => Tint::Bad,
        "medium" => Tint::Warning,
        _ => Tint::Plain,
    }
}

/// Rows in columns as wide as they need to be.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<(String, Tint)>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; its text is escaped and cut here.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = (String, Tint)>) {
        self.rows.push(cells.into_iter().map(|(text, tint)| (cell(&text), tint)).collect());
    }

    /// The table as text.
    pub(super) fn show(&self, colour: Colour) -> String {
        let mut widths: Vec<usize> = self.headings.iter().map(|name| name.len()).collect();
        for row in &self.rows {
            for (width, (text, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let headings: Vec<(String, Tint)> =
            self.headings.iter().map(|name| ((*name).to_owned(), Tint::Heading)).collect();
        let mut shown = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for (column, ((text, tint), width)) in row.iter().zip(&widths).enumerate() {
                if column > 0 {
                    line.push_str("  ");
                }
                line.push_str(&colour.paint(*tint, text));
                if column + 1 < row.len() {
                    let padding = width.saturating_sub(text.chars().count());
                    line.extend(std::iter::repeat_n(' ', padding));
                }
            }
            shown.push_str(line.trim_end());
            shown.push('\n');
        }
        shown
    }
}

fn cell(text: &str) -> String {
    let escaped = escape(text);
    if escaped.chars().count() <= CELL_MAX {
        return escaped.into_owned();
    }
    let mut cut: String = escaped.chars().take(CELL_MAX - 1).collect();
    cut.push('…');
    cut
}

/// The items of a list that the agent answered.
pub(super) fn items<'a>(answer: &'a Json, key: &str) -> &'a [Json] {
    answer.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A member of an object as text, empty if there is none.
pub(super) fn text(object: &Json, key: &str) -> String {
    object.get(key).map(plain).unwrap_or_default()
}

/// A value without quotes; nothing for null.
pub(super) fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Says how to go on with a list that has more.
pub(super) fn write_next(out: &mut impl Write, answer: &Json) -> io::Result<()> {
    match answer.get("next").and_then(Json::as_str) {
        Some(cursor) => writeln!(out, "more: --cursor {}", escape(cursor)),
        None => Ok(()),
    }
}

/// Any answer for eyes: members one below the other, lists of objects as tables of their own.
pub(super) fn write_object(out: &mut impl Write, answer: &Json) -> io::Result<()> {
    let Some(members) = answer.as_object() else {
        return match plain(answer) {
            text if text.is_empty() => writeln!(out, "done"),
            text => writeln!(out, "{}", escape(&text)),
        };
    };
    write_members(out, members, 0)
}

fn write_members(
    out: &mut impl Write,
    members: &Map<String, Json>,
    depth: usize,
) -> io::Result<()> {
    let indent = depth * 2;
    for (name, value) in members {
        let name = escape(name);
        match value {
            Json::Object(inner) if depth < DEPTH_MAX => {
                writeln!(out, "{:indent$}{name}:", "")?;
                write_members(out, inner, depth + 1)?;
            }
            Json::Array(items) if depth < DEPTH_MAX && items.iter().any(Json::is_object) => {
                writeln!(out, "{:indent$}{name}:", "")?;
                for item in items {
                    let line: Vec<String> = match item.as_object() {
                        Some(item) => item
                            .iter()
                            .map(|(key, value)| format!("{key}={}", plain(value)))
                            .collect(),
                        None => vec![plain(item)],
                    };
                    writeln!(out, "{:indent$}  {}", "", escape(&line.join("  ")))?;
                }
            }
            other => writeln!(out, "{:indent$}{name}: {}", "", escape(&plain(other)))?,
        }
    }
    Ok(())
}

/// The name of the person who gives an order, for the history.
pub(super) fn person() -> String {
    let named = ["USER", "LOGNAME"].into_iter().find_map(|name| {
        let name = std::env::var_os(name)?.into_string().ok()?;
        (!name.is_empty()).then_some(name)
    });
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// How far a long command has come, on one line of stderr that is written over. Silent unless
/// stderr is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    last: Option<std::time::Instant>,
    is_shown: bool,
}

/// Time between two looks of the progress line.
const PROGRESS_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

impl Progress {
    /// Nothing done yet.
    pub(super) fn new() -> Self {
        let last = io::stderr().is_terminal().then(crate::clock::monotonic);
        Self { last, is_shown: false }
    }

    /// Shows where the work is, at most five times a second.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        let Some(last) = self.last else { return };
        let now = crate::clock::monotonic();
        if now.duration_since(last) < PROGRESS_EVERY {
            return;
        }
        self.last = Some(now);
        self.is_shown = true;
        let mut line = String::from("\r\u{1b}[K");
        if write!(line, "{}", escape(&text())).is_ok() {
            drop(io::stderr().write_all(line.as_bytes()));
        }
    }

    /// Takes the line away again.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            drop(io::stderr().write_all(b"\r\x1b[K"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_reach_the_terminal() {
        assert_eq!(escape("plain, Zürich, 東京"), "plain, Zürich, 東京");
        assert_eq!(escape("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape("x\r\ny\tz"), "x\\r\\ny\\tz");
        assert_eq!(escape("safe\u{202e}txt.exe"), "safe\\u{202e}txt.exe");
        assert_eq!(escape("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(escape_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut table = Table::new(&["ID", "RULE"]);
        table.row([("inc-1".to_owned(), Tint::Bad), ("x\u{1b}y".to_owned(), Tint::Plain)]);
        assert_eq!(table.show(Colour::Hidden), "ID     RULE\ninc-1  x\\u{1b}y\n");
        assert!(table.show(Colour::Shown).contains("\u{1b}[1;31minc-1\u{1b}[0m  x"));
        let mut long = Table::new(&["A"]);
        long.row([("é".repeat(80), Tint::Plain)]);
        assert_eq!(long.show(Colour::Hidden).lines().nth(1).unwrap().chars().count(), CELL_MAX);
    }
}

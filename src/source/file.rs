//! Log files: followed by content and identity, not by name, so that every line is read once
//! through rename, copy and truncation, several rotations at once, restarts and `kill -9`.
//!
//! - [`tailer`] is the loop, [`turn`] reads a chunk and splits it, [`outgoing`] fills batches.
//! - [`reconcile`] compares what is followed with what is there, [`rotate`] finds the rest of a
//!   file that moved.
//! - A position moves only with the batch that holds the records before it.

mod identity;
mod listing;
mod names;
mod outgoing;
mod reconcile;
mod rotate;
mod tailer;
mod tracked;
mod turn;
mod watch;

#[cfg(test)]
mod tests;

use super::{Source, SourceContext, SourceError, check_keys};
use crate::kind::Kind;
use crate::yaml::{Node, Problems, duration, size};
use glob::Pattern;
use listing::Patterns;
use std::time::Duration;

/// Log files.
pub(super) const KIND: Kind<Box<dyn Source>> = Kind {
    name: "file",
    summary: "log files, through rotation, truncation and restarts",
    example: "\
kind: file
paths: [/var/log/auth.log*, /srv/pos/*.log]
exclude: [\"*.bak\"]
format: syslog
timezone: Europe/Paris
start: end
max_line: 64KiB
poll: 250ms
",
    build,
};

/// Key of the position that says the source has been started before.
const META: &str = "source";
/// Longest line that may be asked for.
const LINE_LIMIT: u64 = 16 * 1024 * 1024;

/// Where to begin with files that are there at the very first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    End,
    Beginning,
}

/// Whether the file system is asked to tell of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Events {
    Watch,
    #[cfg(test)]
    PollOnly,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// Between two looks at the configured paths.
    rescan: Duration,
    /// Without growth until a rotated file counts as finished.
    quiet: Duration,
    /// Until a copy of a file that is not truncated counts as a file of its own.
    copy: Duration,
    /// Between two looks at finished files.
    retired: Duration,
}

impl Timing {
    const DEFAULT: Self = Self {
        rescan: Duration::from_secs(1),
        quiet: Duration::from_secs(10),
        copy: Duration::from_secs(10),
        retired: Duration::from_secs(10),
    };
}

/// A checked configuration.
#[derive(Debug, Clone)]
struct Options {
    patterns: Patterns,
    start: Start,
    line_max: usize,
    poll: Duration,
    events: Events,
    timing: Timing,
}

/// The source: nothing but its options, so that it can be run again.
#[derive(Debug)]
struct FileSource {
    options: Options,
}

impl Source for FileSource {
    fn run(&mut self, context: SourceContext) -> Result<(), SourceError> {
        // The only way to fail is that the agent takes no more batches, which is no error.
        match tailer::Tailer::new(&self.options, context).run() {
            Ok(()) | Err(super::Stopped) => Ok(()),
        }
    }
}

fn build(entry: &Node, problems: &mut Problems) -> Option<Box<dyn Source>> {
    let known = ["paths", "exclude", "start", "max_line", "poll"];
    check_keys("file source", &known, entry, problems);
    let options = Options {
        patterns: read_patterns(entry, problems)?,
        start: read_start(entry, problems)?,
        line_max: read_line_max(entry, problems)?,
        poll: read_poll(entry, problems)?,
        events: Events::Watch,
        timing: Timing::DEFAULT,
    };
    Some(Box::new(FileSource { options }))
}

fn read_patterns(entry: &Node, problems: &mut Problems) -> Option<Patterns> {
    let Some(paths) = entry.get("paths").filter(|paths| !paths.items().is_empty()) else {
        let hint = "for example `paths: [/var/log/auth.log*]`";
        problems.error_hint(entry.place, "this file source has no `paths`", hint);
        return None;
    };
    let mut patterns = Patterns { include: Vec::new(), exclude: Vec::new() };
    for node in paths.items() {
        let text = node.expect_text("a path", problems)?;
        check_pattern(node, text, problems)?;
        patterns.include.push(text.to_owned());
    }
    for node in entry.get("exclude").map(Node::items).unwrap_or_default() {
        let text = node.expect_text("a path", problems)?;
        patterns.exclude.push(check_pattern(node, text, problems)?);
    }
    Some(patterns)
}

fn check_pattern(node: &Node, text: &str, problems: &mut Problems) -> Option<Pattern> {
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            problems.error(node.place, format!("`{text}` is not a path pattern: {}", error.msg));
            None
        }
    }
}

fn read_start(entry: &Node, problems: &mut Problems) -> Option<Start> {
    let Some(node) = entry.get("start") else { return Some(Start::End) };
    match node.expect_text("start", problems)? {
        "end" => Some(Start::End),
        "beginning" => Some(Start::Beginning),
        other => {
            problems.unknown(node.place, "start", other, &["end", "beginning"]);
            None
        }
    }
}

fn read_line_max(entry: &Node, problems: &mut Problems) -> Option<usize> {
    let Some(node) = entry.get("max_line") else { return Some(64 * 1024) };
    let text = node.expect_text("max_line", problems)?;
    let found = size(text).filter(|bytes| (64..=LINE_LIMIT).contains(bytes));
    if found.is_none() {
        let message = format!("`max_line` is a size from 64 to 16MiB, found `{text}`");
        problems.error_hint(node.place, message, "for example `64KiB`");
    }
    found.map(|bytes| bytes as usize)
}

fn read_poll(entry: &Node, problems: &mut Problems) -> Option<Duration> {
    let Some(node) = entry.get("poll") else { return Some(Duration::from_millis(250)) };
    let text = node.expect_text("poll", problems)?;
    let found = duration(text).filter(|nanos| (10_000_000..=60_000_000_000).contains(nanos));
    if found.is_none() {
        let message = format!("`poll` is a time from 10ms to 60s, found `{text}`");
        problems.error_hint(node.place, message, "for example `250ms`");
    }
    found.map(|nanos| Duration::from_nanos(nanos as u64))
}

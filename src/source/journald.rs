//! The systemd journal, through `journalctl`: one JSON object a line, resumed by cursor.
//!
//! The cursor is systemd's own position ("Journal Export Formats", `__CURSOR`): `s=` names the
//! sequence numbers of one machine, `i=` counts the entries in it, so both together stay the same
//! however often an entry is read.

use super::{BATCH_BYTES_MAX, check_keys};
use super::{Batch, Position, RecordSpan, Source, SourceContext, SourceError, Stopped, StreamName};
use crate::event::{RecordFlags, StreamId};
use crate::fact::{Fact, FactKind};
use crate::kind::Kind;
use crate::yaml::{Node, Problems};
use memchr::memmem;
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// The systemd journal.
pub(super) const KIND: Kind<Box<dyn Source>> = Kind {
    name: "journald",
    summary: "the systemd journal, through journalctl",
    example: "\
kind: journald
format: journald
start: end
units: [ssh.service]
identifiers: [sudo]
matches: [\"_TRANSPORT=syslog\"]
command: [journalctl]
",
    build,
};

/// Key of the position.
const KEY: &str = "journal";
/// Longest entry that is kept whole.
const ENTRY_MAX: usize = 1024 * 1024;
/// Lines under way between the reader and the source.
const LINES_MAX: usize = 64;
/// Bytes of what the program complains about that are shown.
const COMPLAINT_MAX: u64 = 2048;
/// How often it is looked whether the agent stops.
const TICK: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    End,
    Beginning,
}

#[derive(Debug)]
struct Journald {
    command: Vec<String>,
    start: Start,
    /// Filters, as arguments.
    filters: Vec<String>,
}

fn build(entry: &Node, problems: &mut Problems) -> Option<Box<dyn Source>> {
    let known = ["start", "units", "identifiers", "matches", "command"];
    check_keys("journald source", &known, entry, problems);
    let start = match entry.get("start").map(|node| (node, node.expect_text("start", problems))) {
        None | Some((_, Some("end"))) => Start::End,
        Some((_, Some("beginning"))) => Start::Beginning,
        Some((_, None)) => return None,
        Some((node, Some(other))) => {
            problems.unknown(node.place, "start", other, &["end", "beginning"]);
            return None;
        }
    };
    let mut filters = Vec::new();
    for (key, option) in [("units", "--unit="), ("identifiers", "--identifier="), ("matches", "")] {
        for node in entry.get(key).map(Node::items).unwrap_or_default() {
            let text = node.expect_text(key, problems)?;
            if key == "matches" && (text.starts_with('-') || !text.contains('=')) {
                let message = format!("a match is written `FIELD=value`, found `{text}`");
                problems.error_hint(node.place, message, "for example `_TRANSPORT=syslog`");
                return None;
            }
            filters.push(format!("{option}{text}"));
        }
    }
    let mut command = Vec::new();
    for node in entry.get("command").map(Node::items).unwrap_or_default() {
        command.push(node.expect_text("a program or argument", problems)?.to_owned());
    }
    if command.is_empty() {
        command.push("journalctl".to_owned());
    }
    Some(Box::new(Journald { command, start, filters }))
}

impl Journald {
    /// The arguments behind those of the configuration.
    fn arguments(&self, context: &SourceContext) -> Vec<String> {
        let mut arguments = vec!["--output=json".to_owned(), "--all".to_owned()];
        arguments.push("--quiet".to_owned());
        if !context.until_eof {
            arguments.push("--follow".to_owned());
        }
        match (context.positions.get(KEY), self.start) {
            (Some(cursor), _) => {
                arguments.push("--no-tail".to_owned());
                arguments.push(format!("--after-cursor={cursor}"));
            }
            (None, Start::Beginning) => arguments.push("--no-tail".to_owned()),
            (None, Start::End) => arguments.push("--lines=0".to_owned()),
        }
        if context.until_eof {
            arguments.retain(|argument| argument != "--no-tail");
        }
        arguments.extend(self.filters.iter().cloned());
        arguments
    }

    fn launch(&self, context: &SourceContext) -> Result<Child, SourceError> {
        let program = self.command.first().map_or("journalctl", String::as_str);
        Command::new(program)
            .args(self.command.iter().skip(1))
            .args(self.arguments(context))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| SourceError { message: format!("cannot run `{program}`: {error}") })
    }
}

impl Source for Journald {
    fn run(&mut self, context: SourceContext) -> Result<(), SourceError> {
        let mut child = Running(self.launch(&context)?);
        let lines = child.lines();
        let complaint = child.complaint();
        let followed = follow(&lines, &context);
        drop(lines);
        let until_eof = context.until_eof;
        if followed == Followed::Stopped || context.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let status = child.0.wait();
        let said = complaint.recv_timeout(TICK).unwrap_or_default();
        match status {
            Ok(status) if status.success() && until_eof => Ok(()),
            Ok(status) => {
                let program = self.command.first().map_or("journalctl", String::as_str);
                let said = said.trim();
                Err(SourceError { message: format!("`{program}` ended ({status}): {said}") })
            }
            Err(error) => Err(SourceError { message: format!("waiting for journalctl: {error}") }),
        }
    }
}

/// The program, which ends with the source, and whatever it has started itself.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, then there is nothing to do.
        let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = group.map(|group| kill_process_group(group, Signal::KILL)) {
            tracing::debug!("the program has ended: {error}");
        }
        drop(self.0.wait());
    }
}

impl Running {
    /// Reads its lines on a thread of their own, so that the source can see the agent stop.
    fn lines(&mut self) -> Receiver<Entry> {
        let (sender, receiver) = sync_channel(LINES_MAX);
        if let Some(output) = self.0.stdout.take() {
            std::thread::spawn(move || {
                let mut reader = BufReader::with_capacity(64 * 1024, output);
                while let Some(entry) = read_entry(&mut reader) {
                    if sender.send(entry).is_err() {
                        return;
                    }
                }
            });
        }
        receiver
    }

    /// The beginning of what it complains about, once it has ended.
    fn complaint(&mut self) -> Receiver<String> {
        let (sender, receiver) = sync_channel(1);
        if let Some(mut errors) = self.0.stderr.take() {
            std::thread::spawn(move || {
                let mut said = Vec::new();
                let read = errors.by_ref().take(COMPLAINT_MAX).read_to_end(&mut said);
                let drained = std::io::copy(&mut errors, &mut std::io::sink());
                if read.is_ok() && drained.is_ok() {
                    drop(sender.send(String::from_utf8_lossy(&said).into_owned()));
                }
            });
        }
        receiver
    }
}

/// One line of the program.
struct Entry {
    bytes: Vec<u8>,
    full_length: u64,
}

/// Reads one line, of which at most `ENTRY_MAX` bytes are kept. `None` at the end.
fn read_entry(reader: &mut BufReader<ChildStdout>) -> Option<Entry> {
    let mut bytes = Vec::new();
    let mut full_length = 0;
    loop {
        let available = reader.fill_buf().ok()?;
        if available.is_empty() {
            // What the program did not finish will come again after the cursor.
            return None;
        }
        let end = memchr::memchr(b'\n', available);
        let text = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        let room = ENTRY_MAX.saturating_sub(bytes.len()).min(text.len());
        bytes.extend_from_slice(text.get(..room).unwrap_or_default());
        full_length += text.len() as u64;
        let used = text.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Some(Entry { bytes, full_length });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    Stopped,
    Ended,
}

/// Makes batches of what comes, as soon as nothing more is waiting.
fn follow(lines: &Receiver<Entry>, context: &SourceContext) -> Followed {
    loop {
        let first = match lines.recv_timeout(TICK) {
            Ok(entry) => entry,
            Err(RecvTimeoutError::Timeout) if is_stopped(&context.stop) => {
                return Followed::Stopped;
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Followed::Ended,
        };
        let mut batch = Batch { source: context.id, ..Batch::default() };
        let mut cursor = None;
        let mut next = Some(first);
        while let Some(entry) = next {
            cursor = add(&mut batch, &entry, context).or(cursor);
            let room = batch.bytes.len() < BATCH_BYTES_MAX;
            next = if room { lines.try_recv().ok() } else { None };
        }
        let records = batch.spans.len() as u64;
        let bytes = batch.spans.iter().map(|span| span.full_length + 1).sum();
        batch.facts.push(Fact::count(FactKind::RecordsRead, Some(context.id), records));
        batch.facts.push(Fact::count(FactKind::BytesRead, Some(context.id), bytes));
        if let Some(cursor) = cursor {
            batch.positions.push(Position { stream: KEY.into(), state: Some(cursor.into()) });
        }
        if is_stopped(&context.stop) || (context.output)(batch) == Err(Stopped) {
            return Followed::Stopped;
        }
    }
}

fn is_stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}

/// Adds an entry and gives its cursor.
fn add(batch: &mut Batch, entry: &Entry, context: &SourceContext) -> Option<String> {
    let cursor = cursor_of(&entry.bytes);
    let (stream, offset) = identify(cursor.as_deref(), &entry.bytes);
    let known = batch.streams.iter().rposition(|known| known.id == stream);
    let index = known.unwrap_or_else(|| {
        batch.streams.push(StreamName { id: stream, path: Some("journald".into()) });
        batch.streams.len() - 1
    });
    let cut = (entry.bytes.len() as u64) < entry.full_length;
    if cut {
        batch.facts.push(Fact::count(FactKind::RecordsTruncated, Some(context.id), 1));
    }
    batch.spans.push(RecordSpan {
        start: batch.bytes.len() as u32,
        length: entry.bytes.len() as u32,
        stream: index as u16,
        offset,
        received: context.clock.now(),
        full_length: entry.full_length,
        flags: if cut { RecordFlags::TRUNCATED } else { RecordFlags::NONE },
    });
    batch.bytes.extend_from_slice(&entry.bytes);
    cursor
}

/// The cursor of an entry, which `journalctl` writes among the first fields.
fn cursor_of(entry: &[u8]) -> Option<String> {
    let name = memmem::find(entry, b"\"__CURSOR\"")?;
    let rest = entry.get(name + 10..)?.trim_ascii_start().strip_prefix(b":")?;
    let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
    let text = rest.get(..memchr::memchr(b'"', rest)?)?;
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b';' | b'-');
    text.iter().all(sane).then(|| String::from_utf8_lossy(text).into_owned())
}

/// Stream and offset of an entry: sequence and number in it, else hashes.
fn identify(cursor: Option<&str>, entry: &[u8]) -> (StreamId, u64) {
    let part = |name| cursor?.split(';').find_map(|part| part.strip_prefix(name));
    let number = part("i=").and_then(|text| u64::from_str_radix(text, 16).ok());
    match (part("s="), number, cursor) {
        (Some(sequence), Some(number), _) => (StreamId(hash(sequence.as_bytes())), number),
        (_, _, Some(cursor)) => (StreamId(hash(b"journald")), hash(cursor.as_bytes())),
        (_, _, None) => (StreamId(hash(b"journald")), hash(entry)),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] =
        Sha256::new_with_prefix(b"journald ").chain_update(bytes).finalize().into();
    let mut first = [0; 8];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests;

//! A file of JSON lines: events as they pass, incidents as they open, grow and end.
//!
//! A line is one write to a file opened for appending. The file belongs to one output.
//! A line that a crash or a full disk cut is repaired: what of it is still known is taken back
//! at once, else a line end is put behind it when the file is opened the next time, and a reader
//! finds one line that is not JSON. An event that was interrupted comes again with the same id; a
//! message about an incident that a killed process had written already is not written again.

use super::{
    Attempted, Carried, EventSink, Message, NoticeView, Outcome, Sink, envelope, read_send,
};
use crate::kind::Kind;
use crate::yaml::{Node, Problems, size};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See [`super::KINDS`].
pub(super) const KIND: Kind<Box<dyn Sink>> = Kind {
    name: "file",
    summary: "events and incidents as JSON lines in a file",
    example: "kind: file\npath: ./events.jsonl\nsend: [events, incidents]\nrotate: 64MiB\nkeep: 5\n",
    build,
};

/// Older files kept when `rotate` is set and `keep` is not.
const KEEP_USUAL: u32 = 5;
/// Older files that may be kept.
const KEEP_MAX: u32 = 1_000;
/// The least `rotate`, so that it never holds less than a line or two.
const ROTATE_MIN: u64 = 64 * 1024;
/// Without `rotate`, the file grows.
const ROTATE_NEVER: u64 = u64::MAX;

fn build(entry: &Node, problems: &mut Problems) -> Option<Box<dyn Sink>> {
    let known = ["kind", "path", "send", "rotate", "keep"];
    entry.check_keys("file output", &known, problems);
    let carried = read_send(entry, problems);
    let path = read_path(entry, problems);
    let rotate = read_rotate(entry, problems);
    let keep = read_keep(entry, problems);
    let carried = carried?;
    let end = if carried.incidents { End::Unread } else { End::Done };
    let log = Log { path: path?, rotate: rotate?, keep: keep?, open: None, end };
    Some(Box::new(FileSink { carried, log: Lines(Arc::new(Mutex::new(log))) }))
}

/// The configuration has made a relative path relative to itself.
fn read_path(entry: &Node, problems: &mut Problems) -> Option<PathBuf> {
    let Some(node) = entry.get("path") else {
        problems.error_hint(entry.place, "this output has no `path`", "path: ./incidents.jsonl");
        return None;
    };
    let text = node.expect_text("path", problems)?.to_owned();
    let named = Path::new(&text).file_name().is_some() && !text.ends_with('/');
    if !named || text.contains('\0') {
        problems.error(node.place, format!("`{}` is not the path of a file", text.escape_debug()));
        return None;
    }
    Some(PathBuf::from(text))
}

fn read_rotate(entry: &Node, problems: &mut Problems) -> Option<u64> {
    let Some(node) = entry.get("rotate") else {
        return Some(ROTATE_NEVER);
    };
    let text = node.expect_text("rotate", problems)?;
    match size(text) {
        Some(bytes) if bytes >= ROTATE_MIN => Some(bytes),
        Some(_) | None => {
            let message = format!("expected a size of at least 64KiB, found `{text}`");
            problems.error_hint(node.place, message, "rotate: 64MiB");
            None
        }
    }
}

fn read_keep(entry: &Node, problems: &mut Problems) -> Option<u32> {
    let Some(node) = entry.get("keep") else {
        return Some(KEEP_USUAL);
    };
    if entry.get("rotate").is_none() {
        problems.error_hint(node.place, "`keep` needs `rotate`", "rotate: 64MiB");
        return None;
    }
    let number = node.as_int().and_then(|number| u32::try_from(number).ok());
    let kept = number.filter(|number| (1..=KEEP_MAX).contains(number));
    if kept.is_none() {
        problems.error(node.place, format!("expected a number of files from 1 to {KEEP_MAX}"));
    }
    kept
}

#[derive(Debug)]
struct FileSink {
    carried: Carried,
    log: Lines,
}

/// The file, shared by the commit path (events) and the delivery of incidents.
#[derive(Debug, Clone)]
struct Lines(Arc<Mutex<Log>>);

impl Lines {
    /// A panic while the lock was held leaves at worst a file to be opened again.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for FileSink {
    fn render(&self, view: &NoticeView<'_>) -> String {
        envelope::notice(view)
    }

    fn send<'a>(&'a self, message: &'a Message) -> Attempted<'a> {
        if !self.carried.incidents {
            let why = "this output was not asked for incidents".to_owned();
            return Box::pin(std::future::ready(Outcome::Permanent { why }));
        }
        let log = self.log.clone();
        let line = format!("{}\n", message.payload);
        Box::pin(async move {
            let work = move || {
                let mut log = log.lock();
                let written = log.append_once(line.as_bytes()).and_then(|()| log.sync());
                outcome(&log.path, written)
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Outcome::Retry {
                after: None,
                why: error.to_string(),
                maybe_delivered: true,
            })
        })
    }

    fn events(&self) -> Option<&dyn EventSink> {
        self.carried.events.then_some(&self.log)
    }

    fn takes_notices(&self) -> bool {
        self.carried.incidents
    }
}

impl EventSink for Lines {
    /// Hands the lines to the system in one write, before the commit of what they came from.
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() { Ok(()) } else { self.lock().append(lines) }
    }
}

/// What an error of the file means: a wrong path or missing rights need a person, all else
/// (a full disk first of all) may pass.
fn outcome(path: &Path, result: io::Result<()>) -> Outcome {
    let Err(error) = result else {
        return Outcome::Done;
    };
    let why = format!("`{}`: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::InvalidFilename
        | ErrorKind::InvalidInput => Outcome::Hold { why },
        _ => Outcome::Retry { after: None, why, maybe_delivered: false },
    }
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    rotate: u64,
    keep: u32,
    open: Option<File>,
    end: End,
}

/// What stood at the end of the file when this process first opened it.
#[derive(Debug)]
enum End {
    /// The file was not opened yet.
    Unread,
    /// These bytes, until the first message is sent.
    Read(Vec<u8>),
    /// They are of no use any more.
    Done,
}

/// Bytes of the end that are looked at.
const END_MAX: u64 = 2 * 1024 * 1024;

impl Log {
    /// Appends the line of a message, unless the file ends with it. One message at a time is in
    /// hand, so a process that was killed between writing it and noting that down leaves exactly
    /// that line behind, and it is the first that the next process is asked to send.
    fn append_once(&mut self, line: &[u8]) -> io::Result<()> {
        let (file, _) = self.ready()?;
        self.open = Some(file);
        if let End::Read(end) = std::mem::replace(&mut self.end, End::Done)
            && is_line_of(&end, line)
        {
            return Ok(());
        }
        self.append(line)
    }

    /// Appends whole lines; when it fails, nothing of them is left if that can be helped.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let (mut file, mut length) = self.ready()?;
        if length > 0 && length.saturating_add(lines.len() as u64) > self.rotate {
            drop(file);
            self.shift()?;
            (file, length) = self.ready()?;
        }
        let result = file.write_all(lines);
        if result.is_err() && file.metadata().is_ok_and(|now| now.len() > length) {
            // If even this fails, the torn line is closed when the file is next opened.
            let taken_back = file.set_len(length);
            drop(taken_back);
        }
        if result.is_ok() {
            self.open = Some(file);
        }
        result
    }

    /// Waits until what was appended is on the disk.
    fn sync(&self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// The file that now has the path, opened again if the old one was moved away, and its length.
    fn ready(&mut self) -> io::Result<(File, u64)> {
        let there = match fs::metadata(&self.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let (Some(file), Some(there)) = (self.open.take(), there) {
            let own = file.metadata()?;
            if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
                return Ok((file, own.len()));
            }
        }
        self.open_path()
    }

    fn open_path(&mut self) -> io::Result<(File, u64)> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        // A named pipe without a reader must not block the agent; it is refused below.
        let mut file = options.custom_flags(libc::O_NONBLOCK).open(&self.path)?;
        let there = file.metadata()?;
        if !there.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut length = there.len();
        if matches!(self.end, End::Unread) {
            let start = length.saturating_sub(END_MAX);
            let mut end = vec![0; (length - start) as usize];
            file.read_exact_at(&mut end, start)?;
            self.end = End::Read(end);
        }
        if let Some(last) = length.checked_sub(1) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, last)?;
            if byte != *b"\n" {
                file.write_all(b"\n")?;
                length += 1;
            }
        }
        Ok((file, length))
    }

    /// Moves `path` to `path.1`, `path.1` to `path.2` and so on up to the first free number; the
    /// last one goes when none is free. After a crash in between, the next call goes on from there.
    fn shift(&self) -> io::Result<()> {
        let mut free = 1;
        while free < self.keep && self.numbered(free).try_exists()? {
            free += 1;
        }
        for number in (1..free).rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1))?;
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Whether `text` holds this line, its end included, from the start of a line.
fn is_line_of(text: &[u8], line: &[u8]) -> bool {
    memchr::memmem::find_iter(text, line)
        .any(|at| at.checked_sub(1).is_none_or(|before| text.get(before) == Some(&b'\n')))
}

#[cfg(test)]
mod tests;

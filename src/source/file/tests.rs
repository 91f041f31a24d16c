//! The source on its own thread against a temporary folder, with events of the file system and
//! without. Every wait is for a condition, with a deadline.

mod content;
mod limits;
mod restart;
mod rotation;

use super::*;
use crate::clock::Clock;
use crate::event::{RecordFlags, SourceId};
use crate::fact::FactKind;
use crate::source::{Batch, Position};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(30);
const MODES: [Events; 2] = [Events::Watch, Events::PollOnly];

/// A folder that is removed when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("tripline-file-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copy_truncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        File::options().write(true).open(self.path(from)).unwrap().set_len(0).unwrap();
    }

    /// Options for one pattern in this folder, with short waits.
    fn options(&self, pattern: &str, events: Events) -> Options {
        Options {
            patterns: Patterns {
                include: vec![self.path(pattern).to_string_lossy().into_owned()],
                exclude: Vec::new(),
            },
            start: Start::Beginning,
            line_max: 64 * 1024,
            poll: Duration::from_millis(10),
            events,
            timing: Timing {
                rescan: Duration::from_millis(30),
                quiet: Duration::from_millis(300),
                copy: Duration::from_millis(300),
                retired: Duration::from_millis(50),
            },
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A record as the tests compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    stream: u64,
    offset: u64,
    text: String,
    path: String,
    flags: RecordFlags,
    full_length: u64,
    batch: usize,
}

type Positions = BTreeMap<Box<str>, Box<str>>;

/// A running source.
struct Run {
    receiver: Option<Receiver<Batch>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    start: Positions,
    positions: Vec<Vec<Position>>,
    records: Vec<Got>,
    facts: BTreeMap<FactKind, u64>,
    told: Vec<String>,
}

impl Run {
    fn new(options: &Options) -> Self {
        Self::resumed(options, Positions::new())
    }

    fn resumed(options: &Options, positions: Positions) -> Self {
        Self::with(options, positions, Until::Stopped)
    }

    fn with(options: &Options, positions: Positions, until: Until) -> Self {
        let (sender, receiver) = sync_channel(2);
        let stop = Arc::new(AtomicBool::new(false));
        let context = SourceContext {
            id: SourceId(3),
            name: "test".into(),
            positions: positions.clone(),
            output: Box::new(move |batch| sender.send(batch).or(Err(crate::source::Stopped))),
            stop: Arc::clone(&stop),
            until_eof: until == Until::Eof,
            clock: Clock::System,
        };
        let mut source = FileSource { options: options.clone() };
        let thread = std::thread::spawn(move || source.run(context).unwrap());
        Self {
            receiver: Some(receiver),
            stop,
            thread: Some(thread),
            start: positions,
            positions: Vec::new(),
            records: Vec::new(),
            facts: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// Takes one batch; `false` when the source has ended.
    fn take(&mut self, wait: Duration) -> bool {
        match self.receiver.as_ref().unwrap().recv_timeout(wait) {
            Ok(batch) => {
                self.keep(&batch);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                panic!("nothing came in {wait:?}; so far {:#?}\n{:?}", self.tail(), self.told)
            }
        }
    }

    fn tail(&self) -> Vec<&Got> {
        self.records.iter().rev().take(5).collect()
    }

    fn keep(&mut self, batch: &Batch) {
        let number = self.positions.len();
        for record in batch.records() {
            self.records.push(Got {
                stream: record.stream.0,
                offset: record.offset,
                text: String::from_utf8_lossy(record.bytes).into_owned(),
                path: record.path.unwrap().to_owned(),
                flags: record.flags,
                full_length: record.full_length,
                batch: number,
            });
        }
        self.positions.push(batch.positions.clone());
        for fact in &batch.facts {
            *self.facts.entry(fact.kind).or_default() += fact.count;
            self.told.extend(fact.detail.as_deref().map(str::to_owned));
        }
    }

    /// Waits until something holds.
    fn until(&mut self, mut holds: impl FnMut(&Self) -> bool) {
        while !holds(self) {
            assert!(self.take(DEADLINE), "the source ended; so far {:#?}", self.tail());
        }
    }

    /// Waits until the source has looked at everything, and taken it up.
    fn until_started(&mut self) {
        self.until(|run| !run.positions.is_empty());
    }

    /// Waits for that many records.
    fn until_count(&mut self, count: usize) {
        self.until(|run| run.lines().len() >= count);
    }

    /// Waits until the source ends by itself.
    fn until_end(&mut self) {
        while self.take(DEADLINE) {}
    }

    /// The texts, without the agent's own records.
    fn lines(&self) -> Vec<&str> {
        self.records
            .iter()
            .filter(|record| !record.flags.contains(RecordFlags::SYNTHETIC))
            .map(|record| record.text.as_str())
            .collect()
    }

    fn gaps(&self) -> Vec<serde_json::Value> {
        self.records
            .iter()
            .filter(|record| record.flags.contains(RecordFlags::SYNTHETIC))
            .map(|record| serde_json::from_str(&record.text).unwrap())
            .collect()
    }

    fn fact(&self, kind: FactKind) -> u64 {
        self.facts.get(&kind).copied().unwrap_or_default()
    }

    /// The positions after that many batches.
    fn committed(&self, batches: usize) -> Positions {
        let mut positions = self.start.clone();
        for position in self.positions.iter().take(batches).flatten() {
            match &position.state {
                Some(state) => positions.insert(position.stream.clone(), state.clone()),
                None => positions.remove(&position.stream),
            };
        }
        positions
    }

    /// Stops it as a crash would: what is under way is lost.
    fn kill(mut self) -> Stopped {
        self.halt();
        Stopped {
            positions: (0..=self.positions.len()).map(|n| self.committed(n)).collect(),
            records: std::mem::take(&mut self.records),
        }
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.receiver = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the source panicked");
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.halt();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Stopped,
    Eof,
}

/// What is left of a run.
struct Stopped {
    /// Committed positions after each number of batches.
    positions: Vec<Positions>,
    records: Vec<Got>,
}

impl Stopped {
    /// As if everything was committed.
    fn all(&self) -> Positions {
        self.positions.last().unwrap().clone()
    }
}

/// Numbered lines of 72 bytes.
fn numbered(range: std::ops::Range<usize>) -> String {
    let mut lines: Vec<String> = range.map(line).collect();
    lines.push(String::new());
    lines.join("\n")
}

fn line(number: usize) -> String {
    format!("line {number:08} {}", "x".repeat(57))
}

/// Asserts that exactly these numbered lines came, in order.
fn assert_numbered(run: &Run, range: std::ops::Range<usize>) {
    let expected: Vec<String> = range.map(line).collect();
    let got = run.lines();
    let differs = expected.iter().zip(&got).position(|(expected, got)| expected != got);
    assert_eq!(differs, None, "at {differs:?}: {:?}", differs.map(|at| got[at]));
    assert_eq!(got.len(), expected.len(), "{:?}", run.tail());
}

/// Asserts that every record stands in the file where it says.
fn assert_ranges(run: &Run, stream: u64, path: &Path) {
    let content = fs::read(path).unwrap();
    for record in run.records.iter().filter(|record| record.stream == stream) {
        let start = record.offset as usize;
        let there = &content[start..start + record.text.len()];
        assert_eq!(String::from_utf8_lossy(there), record.text, "at {start}");
    }
}

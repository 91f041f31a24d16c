//! Sources: what is read, batch by batch, with the position from which to go on.

mod file;
mod journald;
mod stdin;

use crate::clock::Clock;
use crate::event::{RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use crate::fact::Fact;
use crate::kind::Kind;
use crate::yaml::{Node, Problems};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Every kind of source.
pub const KINDS: &[&Kind<Box<dyn Source>>] = &[&file::KIND, &journald::KIND, &stdin::KIND];

/// Keys of every source that the configuration reads itself.
pub const SHARED_KEYS: &[&str] = &["kind", "format", "timezone"];

/// Bytes a batch holds at most, but for one record that is longer itself.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Records of one source, in order, and the positions that follow them.
#[derive(Debug, Default)]
pub struct Batch {
    /// The source.
    pub source: SourceId,
    /// The bytes of all records.
    pub bytes: Vec<u8>,
    /// Where each record lies in `bytes`.
    pub spans: Vec<RecordSpan>,
    /// The streams the records belong to.
    pub streams: Vec<StreamName>,
    /// Where to go on once this batch is committed: per stream key, the latest wins.
    pub positions: Vec<Position>,
    /// What was noticed while reading.
    pub facts: Vec<Fact>,
}

/// One record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// First byte in the batch.
    pub start: u32,
    /// Bytes in the batch.
    pub length: u32,
    /// Index into the batch's streams.
    pub stream: u16,
    /// Offset within the stream.
    pub offset: u64,
    /// When it was read.
    pub received: Timestamp,
    /// Length in the stream.
    pub full_length: u64,
    /// What was noticed.
    pub flags: RecordFlags,
}

/// A stream as the records of a batch name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamName {
    /// Its id.
    pub id: StreamId,
    /// Its path or name.
    pub path: Option<Box<str>>,
}

/// The durable position of one stream of a source; only the source itself reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which stream, unique within the source.
    pub stream: Box<str>,
    /// The position as JSON; `None` forgets the stream.
    pub state: Option<Box<str>>,
}

impl Batch {
    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = RawRecord<'_>> {
        self.spans.iter().filter_map(|span| {
            let start = span.start as usize;
            let stream = self.streams.get(usize::from(span.stream))?;
            Some(RawRecord {
                source: self.source,
                stream: stream.id,
                path: stream.path.as_deref(),
                offset: span.offset,
                received: span.received,
                bytes: self.bytes.get(start..start + span.length as usize)?,
                full_length: span.full_length,
                flags: span.flags,
            })
        })
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.positions.is_empty() && self.facts.is_empty()
    }
}

/// The agent has stopped taking batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopped;

/// What a running source is given.
pub struct SourceContext {
    /// Its number.
    pub id: SourceId,
    /// Its name in the configuration.
    pub name: Box<str>,
    /// The committed positions by stream key.
    pub positions: BTreeMap<Box<str>, Box<str>>,
    /// Takes a batch; blocks while the pipeline is behind (that is the back-pressure).
    pub output: Box<dyn Fn(Batch) -> Result<(), Stopped> + Send>,
    /// Set when the agent stops.
    pub stop: Arc<AtomicBool>,
    /// Read what is there to its end and return, instead of following.
    pub until_eof: bool,
    /// The time.
    pub clock: Clock,
}

/// Why a source stopped; its supervisor starts it again after a pause.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What happened, with the path or address.
    pub message: String,
}

/// Something that is read.
///
/// `run` blocks the source's own thread until `stop` is set, the end is reached (`until_eof`) or
/// an error ends it. It does not retry what its supervisor can: it may be run again, then with the
/// positions committed in between.
pub trait Source: Send {
    /// Reads and hands over batches.
    fn run(&mut self, context: SourceContext) -> Result<(), SourceError>;
}

/// Reports every key that is neither one of the kind's own nor shared by all sources.
fn check_keys(what: &str, own: &[&str], entry: &Node, problems: &mut Problems) {
    let known: Vec<&str> = own.iter().chain(SHARED_KEYS).copied().collect();
    entry.check_keys(what, &known, problems);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceText;
    use crate::kind::find;
    use crate::yaml::parse;
    use std::collections::BTreeSet;

    #[test]
    fn every_example_builds() {
        for kind in KINDS {
            let text = SourceText::new(kind.name, kind.example);
            let node = parse(&text).unwrap().remove(0);
            let mut problems = Problems::new(&text);
            let found = find("source", KINDS, &node, &mut problems).map(|found| found.name);
            assert_eq!(found, Some(kind.name));
            assert!((kind.build)(&node, &mut problems).is_some());
            assert_eq!(problems.list, [], "{}", kind.name);
        }
    }

    #[test]
    fn the_folder_is_the_registry() {
        let names: BTreeSet<String> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
        assert_eq!(names.len(), KINDS.len(), "names are unique");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, files);
    }

    #[test]
    fn an_unknown_kind_lists_the_known() {
        let text = SourceText::new("c.yml", "kind: kafka\n");
        let node = parse(&text).unwrap().remove(0);
        let mut problems = Problems::new(&text);
        assert!(find("source", KINDS, &node, &mut problems).is_none());
        let shown = problems.list[0].to_string();
        assert!(shown.contains("unknown source `kafka`"), "{shown}");
        assert!(shown.contains("known: file, journald, stdin"), "{shown}");
    }
}

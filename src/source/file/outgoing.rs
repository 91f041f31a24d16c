//! The batch that is being filled, and what goes with it.

use super::tracked::{Slot, Tracked};
use crate::clock::Clock;
use crate::event::{RecordFlags, SourceId, StreamId, Timestamp};
use crate::fact::{Fact, FactKind};
use crate::source::{BATCH_BYTES_MAX, Batch, Position, RecordSpan, Stopped, StreamName};
use std::collections::{BTreeMap, BTreeSet};

/// Records of one batch at most.
pub(super) const RECORDS_MAX: usize = 16_384;
/// Streams of one batch at most.
const STREAMS_MAX: usize = 512;
/// Room below which a batch is handed over rather than filled further.
const ROOM_MIN: usize = 64 * 1024;
/// Things told once that are remembered at most.
const TOLD_MAX: usize = 4_096;

/// Fills batches and hands them over.
pub(super) struct Outgoing {
    pub(super) source: SourceId,
    pub(super) clock: Clock,
    pub(super) batch: Batch,
    output: Box<dyn Fn(Batch) -> Result<(), Stopped> + Send>,
    touched: BTreeSet<Slot>,
    counts: BTreeMap<FactKind, u64>,
    told: BTreeSet<String>,
}

impl Outgoing {
    pub(super) fn new(
        source: SourceId,
        clock: Clock,
        output: Box<dyn Fn(Batch) -> Result<(), Stopped> + Send>,
    ) -> Self {
        Self {
            source,
            clock,
            batch: Batch { source, ..Batch::default() },
            output,
            touched: BTreeSet::new(),
            counts: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Makes room for `wanted` bytes. `false` if the batch should be handed over first.
    pub(super) fn reserve(&mut self, wanted: usize) -> bool {
        let len = self.batch.bytes.len();
        let room = BATCH_BYTES_MAX.saturating_sub(len);
        let full = len > 0 && room < wanted.min(ROOM_MIN);
        if full || self.batch.spans.len() >= RECORDS_MAX || self.batch.streams.len() >= STREAMS_MAX
        {
            return false;
        }
        if self.batch.bytes.capacity() - len < wanted.min(room) {
            self.batch.bytes.reserve_exact(wanted.min(room));
        }
        true
    }

    /// The index of a stream within the batch.
    pub(super) fn stream(&mut self, file: &Tracked) -> u16 {
        let id = file.stream();
        let known = self.batch.streams.iter().rposition(|stream| stream.id == id);
        let index = known.unwrap_or_else(|| {
            self.batch.streams.push(StreamName { id, path: Some(file.path.clone()) });
            self.batch.streams.len() - 1
        });
        index as u16
    }

    /// The position of this file goes with the batch.
    pub(super) fn touch(&mut self, slot: Slot) {
        self.touched.insert(slot);
    }

    /// This position is not needed any more.
    pub(super) fn forget(&mut self, key: Box<str>) {
        self.batch.positions.push(Position { stream: key, state: None });
    }

    /// A position that belongs to no file.
    pub(super) fn place(&mut self, position: Position) {
        self.batch.positions.push(position);
    }

    /// The file is not followed any more.
    pub(super) fn drop_slot(&mut self, slot: Slot) {
        self.touched.remove(&slot);
    }

    /// Counts.
    pub(super) fn count(&mut self, kind: FactKind, count: u64) {
        if count > 0 {
            *self.counts.entry(kind).or_default() += count;
        }
    }

    /// Counts one happening and tells it.
    pub(super) fn tell(&mut self, kind: FactKind, detail: String) {
        self.batch.facts.push(Fact::told(kind, Some(self.source), detail));
    }

    /// Tells something that is no error.
    pub(super) fn remark(&mut self, detail: String) {
        let kind = FactKind::SourceErrors;
        let (source, detail) = (Some(self.source), Some(detail.into()));
        self.batch.facts.push(Fact { kind, source, count: 0, detail });
    }

    /// Whether this was not told before; from now on it was.
    pub(super) fn is_news(&mut self, what: &str) -> bool {
        self.told.len() < TOLD_MAX && self.told.insert(what.to_owned())
    }

    /// What was told about it is over.
    pub(super) fn forget_told(&mut self, what: &str) {
        self.told.remove(what);
    }

    /// A record made by the agent itself: a flat ECS object.
    pub(super) fn synthetic(&mut self, stream: StreamId, path: &str, offset: u64, json: &str) {
        let start = self.batch.bytes.len() as u32;
        self.batch.bytes.extend_from_slice(json.as_bytes());
        self.batch.streams.push(StreamName { id: stream, path: Some(path.into()) });
        self.batch.spans.push(RecordSpan {
            start,
            length: json.len() as u32,
            stream: (self.batch.streams.len() - 1) as u16,
            offset,
            received: self.now(),
            full_length: json.len() as u64,
            flags: RecordFlags::SYNTHETIC,
        });
    }

    /// The wall clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hands over what there is, with the positions that follow it.
    pub(super) fn flush(&mut self, files: &BTreeMap<Slot, Tracked>) -> Result<(), Stopped> {
        for slot in std::mem::take(&mut self.touched) {
            if let Some(file) = files.get(&slot) {
                self.batch.positions.push(file.position());
            }
        }
        for (kind, count) in std::mem::take(&mut self.counts) {
            self.batch.facts.push(Fact::count(kind, Some(self.source), count));
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let next = Batch { source: self.source, ..Batch::default() };
        (self.output)(std::mem::replace(&mut self.batch, next))
    }
}

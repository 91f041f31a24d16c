//! How far event time has come, per stream, and what has been counted.

use super::Effect;
use crate::detect::DetectCounts;
use crate::event::{Event, Parsed, RawRecord, SourceId, StreamId, Timestamp};
use crate::fact::{Fact, FactKind};
use crate::finding::StateChange;
use crate::normalize::NormalizeCounts;
use std::collections::BTreeMap;

/// The kind of the state changes made here.
pub(super) const STATE_KIND: &str = "progress";

/// Nanoseconds without a record after which a stream no longer holds event time back.
const IDLE: i64 = 10_000_000_000;

/// Records between two looks at the watermark.
const LOOK_EVERY: u32 = 64;

/// Streams whose progress is held; beyond, the one that was idle longest is forgotten, and event
/// time may then move past its unread records, which are counted late if that matters.
const STREAMS_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy)]
struct Reached {
    /// The highest event time seen.
    event: Timestamp,
    /// When its last record was read.
    received: Timestamp,
    /// Whether a record has told its time. Before, the time of reading stands in; afterwards a
    /// record without a time (a torn line) says nothing: it must not carry yesterday's log to now.
    has_told: bool,
}

impl Reached {
    const fn begin(received: Timestamp) -> Self {
        Self { event: received, received, has_told: false }
    }

    fn observe(&mut self, received: Timestamp, event: Timestamp) {
        let tells = event != received;
        if tells && !self.has_told {
            self.event = event;
        } else if tells || !self.has_told {
            self.event = self.event.max(event);
        }
        self.has_told |= tells;
        self.received = self.received.max(received);
    }
}

/// The watermark: no event older than it is to be expected.
///
/// A stream moves it by its events. Several active streams move it together: the one that is
/// furthest behind decides, so that a file that catches up is not late. While nothing is read at
/// all, it moves with the wall clock, at the wall clock's speed, from where the events left it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    streams: BTreeMap<StreamId, Reached>,
    /// The stream that is being read, out of the map.
    current: Option<(StreamId, Reached)>,
    /// The furthest of all streams that are gone or have ended.
    past: Option<Reached>,
    given: Option<Timestamp>,
    since_look: u32,
    has_moved: bool,
}

impl Progress {
    pub(super) fn observe(&mut self, raw: &RawRecord<'_>, time: Timestamp) {
        self.has_moved = true;
        if let Some((id, reached)) = &mut self.current
            && *id == raw.stream
        {
            return reached.observe(raw.received, time);
        }
        self.put_back();
        let mut reached = self.streams.remove(&raw.stream).unwrap_or(Reached::begin(raw.received));
        reached.observe(raw.received, time);
        self.current = Some((raw.stream, reached));
    }

    pub(super) fn end(&mut self, stream: StreamId) {
        self.put_back();
        if let Some(reached) = self.streams.remove(&stream) {
            self.retire(reached);
        }
    }

    /// The watermark, now and then, if it has moved.
    pub(super) fn due(&mut self) -> Option<Timestamp> {
        self.since_look += 1;
        if self.since_look < LOOK_EVERY {
            return None;
        }
        let now = self.current.map(|(_, reached)| reached.received)?;
        self.give(self.behind(now)?)
    }

    /// The watermark by the wall clock.
    pub(super) fn tick(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.put_back();
        let watermark = self.behind(now).or_else(|| {
            let furthest =
                self.streams.values().chain(&self.past).max_by_key(|reached| reached.event)?;
            let latest =
                self.streams.values().chain(&self.past).map(|reached| reached.received).max()?;
            Some(furthest.event.plus(now.since(latest).max(0)))
        })?;
        self.give(watermark)
    }

    /// The event time of the active stream that is furthest behind.
    fn behind(&self, now: Timestamp) -> Option<Timestamp> {
        let current = self.current.iter().map(|(_, reached)| reached);
        self.streams
            .values()
            .chain(current)
            .filter(|reached| now.since(reached.received) <= IDLE)
            .map(|reached| reached.event)
            .min()
    }

    fn give(&mut self, watermark: Timestamp) -> Option<Timestamp> {
        self.since_look = 0;
        if self.given.is_some_and(|given| given >= watermark) {
            return None;
        }
        self.given = Some(watermark);
        Some(watermark)
    }

    fn put_back(&mut self) {
        let Some((id, reached)) = self.current.take() else { return };
        self.streams.insert(id, reached);
        if self.streams.len() > STREAMS_MAX
            && let Some(idle) =
                self.streams.iter().min_by_key(|(_, reached)| reached.received).map(|(id, _)| *id)
            && let Some(reached) = self.streams.remove(&idle)
        {
            self.retire(reached);
        }
    }

    fn retire(&mut self, reached: Reached) {
        let past = self.past.get_or_insert(reached);
        past.event = past.event.max(reached.event);
        past.received = past.received.max(reached.received);
    }

    /// All of it is saved, so that event time goes on after a crash exactly as it would have.
    pub(super) fn save(&mut self, out: &mut Vec<StateChange>) {
        if !std::mem::take(&mut self.has_moved) {
            return;
        }
        self.put_back();
        let mut value = vec![FORMAT];
        value.extend(self.since_look.to_le_bytes());
        value.extend(self.given.map_or(i64::MIN, Timestamp::nanos).to_le_bytes());
        value.push(u8::from(self.past.is_some()));
        let past = self.past.map(|past| (StreamId(0), past));
        for (stream, reached) in
            past.into_iter().chain(self.streams.iter().map(|(id, r)| (*id, *r)))
        {
            value.extend(stream.0.to_le_bytes());
            value.extend(reached.event.nanos().to_le_bytes());
            value.extend(reached.received.nanos().to_le_bytes());
            value.push(u8::from(reached.has_told));
        }
        out.push(StateChange {
            kind: STATE_KIND,
            key: b"streams".as_slice().into(),
            value: Some(value.into()),
        });
    }

    pub(super) fn restore(&mut self, value: &[u8]) -> bool {
        let Some(restored) = Self::decode(value) else { return false };
        *self = restored;
        true
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (format, rest) = value.split_first()?;
        let (since_look, rest) = rest.split_first_chunk()?;
        let (given, rest) = rest.split_first_chunk()?;
        let (has_past, mut rest) = rest.split_first()?;
        let given = i64::from_le_bytes(*given);
        let mut restored = Self {
            since_look: u32::from_le_bytes(*since_look),
            given: (given != i64::MIN).then(|| Timestamp::from_nanos(given)),
            ..Self::default()
        };
        while let Some((stream, after)) = rest.split_first_chunk() {
            let (event, after) = after.split_first_chunk()?;
            let (received, after) = after.split_first_chunk()?;
            let (has_told, after) = after.split_first()?;
            let reached = Reached {
                event: Timestamp::from_nanos(i64::from_le_bytes(*event)),
                received: Timestamp::from_nanos(i64::from_le_bytes(*received)),
                has_told: *has_told == 1,
            };
            if *has_past == 1 && restored.past.is_none() {
                restored.past = Some(reached);
            } else {
                restored.streams.insert(StreamId(u64::from_le_bytes(*stream)), reached);
            }
            rest = after;
        }
        (*format == FORMAT && rest.is_empty()).then_some(restored)
    }
}

/// First byte of the saved form.
const FORMAT: u8 = 1;

/// What is counted per source between two checkpoints.
#[derive(Debug, Clone, Copy, Default)]
struct SourceCounters {
    events: u64,
    unmatched: u64,
    failed: u64,
    samples: u64,
}

/// What is counted between two checkpoints.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) findings: u64,
    sources: Vec<SourceCounters>,
}

/// Characters of a sample that are kept.
const SAMPLE_MAX: usize = 300;

impl Counters {
    /// Counts an event; gives a sample of what was not understood, ever more rarely.
    pub(super) fn event(&mut self, event: &Event<'_>, source: SourceId) -> Option<Fact> {
        let counters = self.of(source);
        counters.events += 1;
        let (kind, slot) = match event.parsed {
            Parsed::Matched => return None,
            Parsed::Unmatched => (FactKind::RecordsUnmatched, &mut counters.unmatched),
            Parsed::Failed(_) => (FactKind::RecordsFailed, &mut counters.failed),
        };
        counters.samples += 1;
        if counters.samples > 20 && !counters.samples.is_power_of_two() {
            *slot += 1;
            return None;
        }
        let sample: String = event.original.chars().take(SAMPLE_MAX).collect();
        Some(Fact::told(kind, Some(source), sample))
    }

    fn of(&mut self, source: SourceId) -> &mut SourceCounters {
        let index = usize::from(source.0);
        if self.sources.len() <= index {
            self.sources.resize(index + 1, SourceCounters::default());
        }
        // The line above made sure that it is there.
        #[expect(clippy::indexing_slicing, reason = "resized just above")]
        &mut self.sources[index]
    }

    pub(super) fn give_out(
        &mut self,
        detected: &DetectCounts,
        normalized: &NormalizeCounts,
        out: &mut Vec<Effect>,
    ) {
        let mut give = |kind: FactKind, source: Option<SourceId>, count: u64| {
            if count > 0 {
                out.push(Effect::Note(Fact::count(kind, source, count)));
            }
        };
        for (index, counters) in (0_u16..).zip(&mut self.sources) {
            let source = Some(SourceId(index));
            give(FactKind::EventsMade, source, counters.events);
            give(FactKind::RecordsUnmatched, source, counters.unmatched);
            give(FactKind::RecordsFailed, source, counters.failed);
            *counters = SourceCounters { samples: counters.samples, ..SourceCounters::default() };
        }
        give(FactKind::FindingsOpened, None, std::mem::take(&mut self.findings));
        give(FactKind::Matches, None, detected.matches);
        give(FactKind::EventsLate, None, detected.late);
        give(FactKind::WindowsEvicted, None, detected.windows_evicted);
        give(FactKind::WindowEntriesEvicted, None, detected.entries_evicted);
        give(FactKind::TimesMissing, None, normalized.times_missing);
        give(FactKind::CardsMasked, None, normalized.cards_masked);
        give(FactKind::RecordsInvalidUtf8, None, normalized.invalid_utf8);
    }
}

#[cfg(test)]
mod tests;

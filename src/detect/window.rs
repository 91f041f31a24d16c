//! One window: the occurrences of one rule and one group, in event time, and its episodes.
//!
//! The condition is asked at each entry for the closed span of time that ends with it. The first
//! entry (in time order) for which it holds opens an episode, which takes the entries of its span
//! and then every occurrence within the timespan of its ends. What comes late is put where it
//! belongs, as long as the span it may complete is still kept.
#![expect(clippy::indexing_slicing, reason = "positions of its own entries")]

use super::DetectCounts;
use super::measure::{self, Entry, NO_ATTEMPT, SPILL, Tally, most};
use super::packed::Packed;
use crate::event::ATTEMPT_KINDS;
use crate::finding::{EVIDENCE_MAX, Phase};
use crate::rule::{Correlation, Measure};
use std::collections::BTreeMap;

/// Most entries of one window, and values or sessions of one episode.
pub const ENTRIES_MAX: usize = 10_000;
/// Lateness that is always allowed, in nanoseconds.
pub const LATENESS_MIN: i64 = 60_000_000_000;
/// Most lateness allowed, however long the window, in nanoseconds.
pub const LATENESS_MAX: i64 = 3_600_000_000_000;

/// How much later than the newest event of its group one may come and still be counted exactly.
pub(super) fn lateness(timespan: i64) -> i64 {
    timespan.clamp(LATENESS_MIN, LATENESS_MAX)
}

/// State of one rule and group.
#[derive(Debug)]
pub(super) struct Window {
    /// Entries no episode has taken, by time, then arrival.
    pub(super) entries: Vec<Entry>,
    /// The latest event time seen.
    pub(super) newest: i64,
    more: Option<Box<More>>,
}

/// What most windows do not have, so that they are small.
#[derive(Debug, Default)]
struct More {
    /// Running and ended episodes that a late event may still join, by time.
    episodes: Vec<Episode>,
    tail: Option<Tail>,
}

/// A running count of the span that ends with the last entry.
#[derive(Debug)]
struct Tail {
    start: usize,
    tally: Tally,
}

/// From the first time the condition held until nothing happened for a timespan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Episode {
    /// Event time of the first entry of the span that opened it.
    pub id: u64,
    pub first: i64,
    pub last: i64,
    pub count: u64,
    pub ended: bool,
    /// By session, for attempts; by value, for `value_count`.
    pub parts: BTreeMap<u64, Part>,
}

/// What of a session or value is already counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Part {
    pub last: i64,
    pub sums: [u32; ATTEMPT_KINDS],
}

/// An occurrence that comes, and how its record is kept if it has to be.
pub(super) struct Arrival<'p> {
    pub entry: Entry,
    pub pack: &'p mut dyn FnMut() -> Packed,
}

/// Whose record a turn tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Those in its evidence.
    Kept,
    /// That of the event at hand, which was not kept.
    OfEvent,
}

/// What became of an occurrence.
#[derive(Debug)]
pub(super) struct Turn {
    pub told: Told,
    pub phase: Phase,
    pub time: i64,
    pub id: u64,
    pub count: u64,
    pub first: i64,
    pub last: i64,
    pub evidence: Vec<Packed>,
}

impl Default for Window {
    fn default() -> Self {
        Self { entries: Vec::new(), newest: i64::MIN, more: None }
    }
}

impl Window {
    /// A window with what was saved of it.
    pub(super) fn saved(newest: i64, entries: Vec<Entry>, episodes: Vec<Episode>) -> Self {
        let more = (!episodes.is_empty()).then(|| Box::new(More { episodes, tail: None }));
        Self { entries, newest, more }
    }

    /// Running and ended episodes that a late event may still join, by time.
    pub(super) fn episodes(&self) -> &[Episode] {
        self.more.as_ref().map_or(&[], |more| &more.episodes)
    }

    fn episodes_mut(&mut self) -> &mut [Episode] {
        self.more.as_mut().map_or(&mut [], |more| &mut more.episodes)
    }

    fn tail(&self) -> Option<&Tail> {
        self.more.as_ref()?.tail.as_ref()
    }

    fn forget_tail(&mut self) {
        if let Some(more) = &mut self.more {
            more.tail = None;
            if more.episodes.is_empty() {
                self.more = None;
            }
        }
    }

    /// Takes an occurrence in; appends what it led to.
    pub(super) fn observe(
        &mut self,
        rule: &Correlation,
        arrival: Arrival<'_>,
        counts: &mut DetectCounts,
        turns: &mut Vec<Turn>,
    ) {
        let Arrival { mut entry, pack } = arrival;
        let time = entry.time;
        if time < self.newest.saturating_sub(lateness(rule.timespan)) {
            counts.late += 1;
            return;
        }
        self.newest = self.newest.max(time);
        self.end_before(time.saturating_sub(rule.timespan), rule.timespan, turns);
        let span = rule.timespan;
        let joined = self.episodes().iter().position(|episode| {
            time >= episode.first.saturating_sub(span) && time <= episode.last.saturating_add(span)
        });
        if let Some(at) = joined {
            self.episodes_mut()[at].join(&rule.measure, entry, counts, turns);
            self.absorb(at, rule, counts, turns);
        } else {
            entry.evidence.get_or_insert_with(pack);
            let at = self.insert(entry, rule, counts);
            if let Some(end) = self.first_holding(at, rule) {
                self.open(end, rule, counts, turns);
            }
        }
        self.prune(rule);
    }

    /// Ends the episodes whose last event is before `horizon`.
    pub(super) fn end_before(&mut self, horizon: i64, timespan: i64, turns: &mut Vec<Turn>) {
        for episode in self.episodes_mut() {
            if !episode.ended && episode.last < horizon {
                episode.ended = true;
                let time = episode.last.saturating_add(timespan);
                turns.push(episode.turn(Phase::Ended, time, Vec::new()));
            }
        }
    }

    /// The next event time at which something about it ends; `None` when nothing is kept.
    pub(super) fn due(&self, timespan: i64) -> Option<i64> {
        let running = self.episodes().iter().filter(|episode| !episode.ended);
        let end = running.map(|episode| episode.last.saturating_add(timespan)).min();
        end.or_else(|| self.forgotten_after(timespan))
    }

    /// The event time after which it may be forgotten.
    pub(super) fn forgotten_after(&self, timespan: i64) -> Option<i64> {
        let kept = timespan.saturating_add(lateness(timespan));
        (self.newest != i64::MIN).then(|| self.newest.saturating_add(kept))
    }

    fn insert(&mut self, entry: Entry, rule: &Correlation, counts: &mut DetectCounts) -> usize {
        if self.entries.len() >= ENTRIES_MAX {
            // The oldest eighth at once, so that a flood does not move all entries each time.
            let dropped = ENTRIES_MAX / 8;
            self.entries.drain(..dropped);
            self.forget_tail();
            counts.entries_evicted += dropped as u64;
        }
        let time = entry.time;
        let at = if self.entries.last().is_none_or(|last| last.time <= time) {
            self.entries.len()
        } else {
            self.entries.partition_point(|other| other.time <= time)
        };
        if self.entries.len() < 8 {
            self.entries.reserve_exact(1);
        }
        self.entries.insert(at, entry);
        if let Some(out) = self.entries.len().checked_sub(EVIDENCE_MAX + 1) {
            self.entries[out].evidence = None;
        }
        self.follow(at, rule);
        at
    }

    /// Keeps the running count in step with an entry inserted at a position.
    fn follow(&mut self, at: usize, rule: &Correlation) {
        if self.entries.len() <= SPILL || !Tally::follows(&rule.measure) {
            self.forget_tail();
            return;
        }
        if self.tail().is_none() {
            let start = self.span_start(self.entries.len() - 1, rule.timespan);
            let mut tally = Tally::default();
            for entry in &self.entries[start..] {
                tally.enter(&rule.measure, entry);
            }
            self.more.get_or_insert_default().tail = Some(Tail { start, tally });
            return;
        }
        let Some(tail) = self.more.as_mut().and_then(|more| more.tail.as_mut()) else { return };
        if at < tail.start {
            tail.start += 1;
            return;
        }
        tail.tally.enter(&rule.measure, &self.entries[at]);
        let last = self.entries.last().map_or(0, |entry| entry.time);
        let from = last.saturating_sub(rule.timespan);
        while self.entries[tail.start].time < from {
            tail.tally.leave(&rule.measure, &self.entries[tail.start]);
            tail.start += 1;
        }
    }

    /// The first entry of the span that ends with the entry at `end`.
    fn span_start(&self, end: usize, timespan: i64) -> usize {
        let from = self.entries[end].time.saturating_sub(timespan);
        self.entries[..end].partition_point(|entry| entry.time < from)
    }

    /// The first entry, from an inserted one on, with which the condition holds.
    fn first_holding(&self, inserted: usize, rule: &Correlation) -> Option<usize> {
        if inserted + 1 == self.entries.len() {
            let holds = if let Some(tail) = self.tail() {
                tail.tally.holds(rule)
            } else {
                let start = self.span_start(inserted, rule.timespan);
                measure::holds(rule, &self.entries[start..])
            };
            return holds.then_some(inserted);
        }
        let until = self.entries[inserted].time.saturating_add(rule.timespan);
        let mut start = self.span_start(inserted, rule.timespan);
        let mut tally = Tally::default();
        let follows = Tally::follows(&rule.measure);
        if follows {
            for entry in &self.entries[start..inserted] {
                tally.enter(&rule.measure, entry);
            }
        }
        for end in inserted..self.entries.len() {
            let entry = &self.entries[end];
            if entry.time > until {
                break;
            }
            let from = entry.time.saturating_sub(rule.timespan);
            if follows {
                tally.enter(&rule.measure, entry);
            }
            while self.entries[start].time < from {
                if follows {
                    tally.leave(&rule.measure, &self.entries[start]);
                }
                start += 1;
            }
            let holds = if follows {
                tally.holds(rule)
            } else {
                measure::holds(rule, &self.entries[start..=end])
            };
            if holds {
                return Some(end);
            }
        }
        None
    }

    fn open(
        &mut self,
        end: usize,
        rule: &Correlation,
        counts: &mut DetectCounts,
        turns: &mut Vec<Turn>,
    ) {
        let start = self.span_start(end, rule.timespan);
        let mut taken: Vec<Entry> = self.entries.drain(start..=end).collect();
        self.forget_tail();
        let (first, last) = (taken[0].time, taken[taken.len() - 1].time);
        let mut episode = Episode {
            id: first as u64,
            first,
            last,
            count: 0,
            ended: false,
            parts: BTreeMap::new(),
        };
        let mut evidence: Vec<Packed> = Vec::new();
        for entry in &mut taken {
            evidence.extend(entry.evidence.take());
            episode.count(&rule.measure, entry, counts);
        }
        evidence.drain(..evidence.len().saturating_sub(EVIDENCE_MAX));
        turns.push(episode.turn(Phase::Opened, last, evidence));
        let episodes = &mut self.more.get_or_insert_default().episodes;
        let at = episodes.partition_point(|other| other.first <= first);
        episodes.insert(at, episode);
        self.absorb(at, rule, counts, turns);
    }

    /// Lets an episode take the entries that now are within a timespan of its last event.
    fn absorb(
        &mut self,
        at: usize,
        rule: &Correlation,
        counts: &mut DetectCounts,
        turns: &mut Vec<Turn>,
    ) {
        loop {
            let last = self.episodes()[at].last;
            let until = last.saturating_add(rule.timespan);
            let next = self.entries.partition_point(|entry| entry.time < last);
            if self.entries.get(next).is_none_or(|entry| entry.time > until) {
                break;
            }
            let entry = self.entries.remove(next);
            self.forget_tail();
            self.episodes_mut()[at].join(&rule.measure, entry, counts, turns);
        }
        // What took more entries than this was the flood it reports; their space is given back.
        if self.entries.is_empty() {
            self.entries = Vec::new();
        }
    }

    /// Drops what no event that may still be counted can reach. Entries go by halves, so that a
    /// long window is not moved for each.
    fn prune(&mut self, rule: &Correlation) {
        let kept = rule.timespan.saturating_add(lateness(rule.timespan));
        let horizon = self.newest.saturating_sub(kept);
        if self.entries.first().is_some_and(|entry| entry.time < horizon) {
            let stale = self.entries.partition_point(|entry| entry.time < horizon);
            if stale * 2 >= self.entries.len() {
                self.entries.drain(..stale);
                if let Some(tail) = self.more.as_mut().and_then(|more| more.tail.as_mut()) {
                    // The span of the last entry begins after what is stale.
                    tail.start = tail.start.saturating_sub(stale);
                }
            }
        }
        if let Some(more) = &mut self.more {
            more.episodes.retain(|episode| !episode.ended || episode.last >= horizon);
            if more.episodes.is_empty() && more.tail.is_none() {
                self.more = None;
            }
        }
    }
}

impl Episode {
    pub(super) fn turn(&self, phase: Phase, time: i64, evidence: Vec<Packed>) -> Turn {
        let Self { id, first, last, count, ended: _, parts: _ } = *self;
        Turn { told: Told::Kept, phase, time, id, count, first, last, evidence }
    }

    fn join(
        &mut self,
        measure: &Measure,
        entry: Entry,
        counts: &mut DetectCounts,
        turns: &mut Vec<Turn>,
    ) {
        let before = self.count;
        self.count(measure, &entry, counts);
        self.first = self.first.min(entry.time);
        self.last = self.last.max(entry.time);
        self.ended = false;
        if self.count > before {
            let told = if entry.evidence.is_none() { Told::OfEvent } else { Told::Kept };
            let evidence = entry.evidence.into_iter().collect();
            let turn = self.turn(Phase::Grew, entry.time, evidence);
            turns.push(Turn { told, ..turn });
        }
    }

    /// Adds what an entry adds: the weight of an event, one for a new value, of an attempt only
    /// what its session's most frequent kind grew by.
    fn count(&mut self, measure: &Measure, entry: &Entry, counts: &mut DetectCounts) {
        match measure {
            Measure::EventCount if entry.kind == NO_ATTEMPT => {
                self.count += u64::from(entry.weight);
            }
            Measure::EventCount => {
                let part = self.parts.entry(entry.tag).or_default();
                let before = most(&part.sums);
                if let Some(sum) = part.sums.get_mut(usize::from(entry.kind)) {
                    *sum = sum.saturating_add(entry.weight);
                }
                part.last = part.last.max(entry.time);
                self.count += u64::from(most(&part.sums) - before);
            }
            Measure::ValueCount => {
                if self
                    .parts
                    .insert(entry.tag, Part { last: entry.time, ..Part::default() })
                    .is_none()
                {
                    self.count += 1;
                }
            }
            _ => self.count += 1,
        }
        if self.parts.len() > ENTRIES_MAX {
            let mut oldest: Vec<(i64, u64)> =
                self.parts.iter().map(|(tag, part)| (part.last, *tag)).collect();
            oldest.sort_unstable();
            // Half of them at once, so that a flood does not sort them each time.
            for (_, tag) in oldest.iter().take(ENTRIES_MAX / 2) {
                self.parts.remove(tag);
            }
            counts.entries_evicted += (ENTRIES_MAX / 2) as u64;
        }
    }
}

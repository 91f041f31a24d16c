//! What a correlation measures over the entries of a window.

use super::packed::Packed;
use crate::event::ATTEMPT_KINDS;
use crate::rule::{Correlation, Measure};
use std::collections::HashMap;

/// The `kind` of an entry that tells of no login attempt.
pub(super) const NO_ATTEMPT: u8 = u8::MAX;

/// One occurrence within a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Event time, in nanoseconds.
    pub time: i64,
    /// By measure: the session of an attempt, the hash of a value, the bits of a number.
    pub tag: u64,
    /// The record, while it may still become evidence.
    pub evidence: Option<Packed>,
    /// How many occurrences it stands for.
    pub weight: u32,
    /// Which of the correlation's rules it matched.
    pub input: u8,
    /// Which kind of evidence for an attempt it is.
    pub kind: u8,
}

/// Windows with more entries than this keep a running [`Tally`].
pub(super) const SPILL: usize = 48;

/// Whether the condition holds for the entries of a window, the last one being the newest.
pub(super) fn holds(correlation: &Correlation, window: &[Entry]) -> bool {
    let value = match &correlation.measure {
        Measure::EventCount => event_count(window) as f64,
        Measure::ValueCount => value_count(window) as f64,
        Measure::Temporal => f64::from(seen(window).count_ones()),
        Measure::Presence(presence) => return presence.holds(seen(window)),
        Measure::TemporalOrdered => return ordered(correlation.inputs.len(), window),
        Measure::ValueSum => sum(window),
        Measure::ValueAvg => sum(window) / window.len() as f64,
        Measure::ValuePercentile(percentile) => nearest_rank(window, percentile.0),
        Measure::ValueMedian => median(window),
    };
    satisfies(correlation, value)
}

fn satisfies(correlation: &Correlation, value: f64) -> bool {
    correlation.condition.iter().all(|(comparison, number)| comparison.holds(value, number.0))
}

/// Occurrences: of one login attempt only the kind of line that came most often counts.
fn event_count(window: &[Entry]) -> u64 {
    let total = window.iter().map(|entry| u64::from(entry.weight)).sum();
    let mut kinds = window.iter().map(|entry| entry.kind).filter(|kind| *kind != NO_ATTEMPT);
    let first = kinds.next();
    if kinds.all(|kind| Some(kind) == first) {
        return total;
    }
    let mut tally = Tally::default();
    for entry in window {
        tally.add(entry);
    }
    tally.occurrences()
}

fn value_count(window: &[Entry]) -> usize {
    let mut few = [0_u64; SPILL];
    if let Some(few) = few.get_mut(..window.len()) {
        for (value, entry) in few.iter_mut().zip(window) {
            *value = entry.tag;
        }
        return different(few);
    }
    different(&mut window.iter().map(|entry| entry.tag).collect::<Vec<u64>>())
}

fn different(values: &mut [u64]) -> usize {
    values.sort_unstable();
    values.chunk_by(|left, right| left == right).count()
}

fn seen(window: &[Entry]) -> u64 {
    window.iter().fold(0, |seen, entry| seen | 1 << entry.input)
}

/// Whether the inputs occur in their order, the last of them as the window's last entry. Going
/// backwards, the latest possible place of each leaves most room for those before it.
fn ordered(inputs: usize, window: &[Entry]) -> bool {
    let mut wanted = inputs;
    for (back, entry) in window.iter().rev().enumerate() {
        if usize::from(entry.input) + 1 == wanted {
            wanted -= 1;
            if wanted == 0 {
                return true;
            }
        } else if back == 0 {
            return false;
        }
    }
    false
}

fn number(entry: &Entry) -> f64 {
    f64::from_bits(entry.tag)
}

fn sum(window: &[Entry]) -> f64 {
    window.iter().map(number).sum()
}

fn sorted(window: &[Entry]) -> Vec<f64> {
    let mut numbers: Vec<f64> = window.iter().map(number).collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn nearest_rank(window: &[Entry], percentile: f64) -> f64 {
    let numbers = sorted(window);
    let rank = (percentile / 100.0 * numbers.len() as f64).ceil().max(1.0) as usize;
    numbers.get(rank - 1).copied().unwrap_or(f64::NAN)
}

fn median(window: &[Entry]) -> f64 {
    let numbers = sorted(window);
    let upper = numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN);
    if numbers.len() % 2 == 1 {
        return upper;
    }
    let lower = numbers.get((numbers.len() / 2).wrapping_sub(1)).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

/// Counts that follow a window as it moves, so that a long one is not counted again each time.
#[derive(Debug, Default)]
pub(super) struct Tally {
    plain: u64,
    attempts: u64,
    sessions: HashMap<u64, [u32; ATTEMPT_KINDS]>,
    values: HashMap<u64, u32>,
    inputs: HashMap<u8, u32>,
}

impl Tally {
    /// Whether a measure can be followed so.
    pub(super) fn follows(measure: &Measure) -> bool {
        match measure {
            Measure::EventCount | Measure::ValueCount | Measure::Temporal => true,
            Measure::TemporalOrdered
            | Measure::ValueSum
            | Measure::ValueAvg
            | Measure::ValuePercentile(_)
            | Measure::ValueMedian
            | Measure::Presence(_) => false,
        }
    }

    /// Takes an entry in for a measure.
    pub(super) fn enter(&mut self, measure: &Measure, entry: &Entry) {
        match measure {
            Measure::ValueCount => *self.values.entry(entry.tag).or_default() += 1,
            Measure::Temporal => *self.inputs.entry(entry.input).or_default() += 1,
            _ => self.add(entry),
        }
    }

    /// Takes out an entry that was in.
    pub(super) fn leave(&mut self, measure: &Measure, entry: &Entry) {
        match measure {
            Measure::ValueCount => decrease(&mut self.values, entry.tag),
            Measure::Temporal => decrease(&mut self.inputs, entry.input),
            _ => self.remove(entry),
        }
    }

    /// Whether the condition holds.
    pub(super) fn holds(&self, correlation: &Correlation) -> bool {
        let value = match correlation.measure {
            Measure::ValueCount => self.values.len() as u64,
            Measure::Temporal => self.inputs.len() as u64,
            _ => self.occurrences(),
        };
        satisfies(correlation, value as f64)
    }

    fn occurrences(&self) -> u64 {
        self.plain + self.attempts
    }

    fn add(&mut self, entry: &Entry) {
        if entry.kind == NO_ATTEMPT {
            self.plain += u64::from(entry.weight);
            return;
        }
        let sums = self.sessions.entry(entry.tag).or_default();
        let before = most(sums);
        if let Some(sum) = sums.get_mut(usize::from(entry.kind)) {
            *sum = sum.saturating_add(entry.weight);
        }
        self.attempts += u64::from(most(sums) - before);
    }

    fn remove(&mut self, entry: &Entry) {
        if entry.kind == NO_ATTEMPT {
            self.plain = self.plain.saturating_sub(u64::from(entry.weight));
            return;
        }
        let Some(sums) = self.sessions.get_mut(&entry.tag) else { return };
        let before = most(sums);
        if let Some(sum) = sums.get_mut(usize::from(entry.kind)) {
            *sum = sum.saturating_sub(entry.weight);
        }
        let after = most(sums);
        self.attempts = self.attempts.saturating_sub(u64::from(before - after));
        if after == 0 {
            self.sessions.remove(&entry.tag);
        }
    }
}

/// The largest of a session's sums.
pub(super) fn most(sums: &[u32; ATTEMPT_KINDS]) -> u32 {
    sums.iter().copied().max().unwrap_or_default()
}

fn decrease<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    if let std::collections::hash_map::Entry::Occupied(mut slot) = counts.entry(key) {
        *slot.get_mut() -= 1;
        if *slot.get() == 0 {
            slot.remove();
        }
    }
}

//! From matches to windows: which correlations a rule feeds, with which group and value.

use super::groups::{self, Runner};
use super::measure::{Entry, NO_ATTEMPT};
use super::packed::{Effort, Packed, Paths, take_bytes};
use super::view::{self, NestedFields};
use super::window::{Arrival, Told, Turn};
use super::{Detector, Occasion, Scratch, finding};
use crate::event::{Event, Evidence, FieldId, Value};
use crate::finding::Phase;
use crate::rule::{Body, Input, Measure, Rule, Ruleset};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// With more windows than this, their records are squeezed: that costs time, which few windows
/// need not spend, and saves half their memory.
const PLAIN_WINDOWS_MAX: usize = 8_000;

/// For every rule the correlations it feeds, and as which of their inputs.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    by_rule: Vec<Box<[(u32, u8)]>>,
}

impl Feeds {
    fn of(&self, rule: u32) -> &[(u32, u8)] {
        self.by_rule.get(rule as usize).map_or(&[], AsRef::as_ref)
    }
}

/// An entry on its way to a window. Runners are numbered so that a correlation comes after those
/// it refers to.
#[derive(Debug)]
pub(super) struct Occurrence {
    runner: u32,
    /// Where its group's key stands in the scratch space.
    key: Range<usize>,
    entry: Entry,
}

/// Numbers the correlations so that each comes after those it refers to.
pub(super) fn wire(rules: &Ruleset) -> (Vec<Runner>, Feeds) {
    let rules = rules.rules();
    let mut ranks = vec![0_u32; rules.len()];
    // References have no circles, so that a rank is at most the number of correlations; chains are
    // short and every pass settles a link.
    loop {
        let mut settled = true;
        for (at, rule) in rules.iter().enumerate() {
            let Body::Correlation(correlation) = &rule.body else { continue };
            let inputs = correlation.inputs.iter();
            let below = inputs.filter_map(|input| ranks.get(input.rule)).max().copied();
            let rank = below.unwrap_or_default() + 1;
            if let Some(slot) = ranks.get_mut(at).filter(|slot| **slot < rank) {
                *slot = rank;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    let mut order: Vec<(u32, usize, &Rule)> = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| matches!(rule.body, Body::Correlation(_)))
        .filter_map(|(at, rule)| ranks.get(at).map(|rank| (*rank, at, rule)))
        .collect();
    order.sort_by_key(|(rank, at, _)| (*rank, *at));
    let mut by_rule: Vec<Vec<(u32, u8)>> = vec![Vec::new(); rules.len()];
    let mut runners = Vec::with_capacity(order.len());
    for (number, (_, at, rule)) in order.into_iter().enumerate() {
        let Body::Correlation(correlation) = &rule.body else { continue };
        for (input, of) in correlation.inputs.iter().enumerate() {
            if let Some(feeds) = by_rule.get_mut(of.rule) {
                feeds.push((number as u32, input as u8));
            }
        }
        runners.push(Runner {
            rule: at as u32,
            head: Arc::clone(&rule.head),
            correlation: correlation.clone(),
            fingerprint: rule.fingerprint,
            alerts: rule.alerts,
        });
    }
    (runners, Feeds { by_rule: by_rule.into_iter().map(Into::into).collect() })
}

impl Occasion<'_, '_> {
    /// The event's record, packed once for all the windows that keep it.
    fn pack(&mut self, paths: &mut Paths, scratch: &mut Vec<u8>) -> Packed {
        let Occasion { event, raw, packed } = self;
        let make = || paths.pack(raw, event.time, event.part, scratch);
        Arc::clone(packed.get_or_insert_with(make))
    }

    /// The event's record.
    pub(super) fn evidence(&self) -> Evidence {
        self.raw.to_evidence(self.event.time, self.event.part)
    }
}

impl Detector {
    /// Queues what an event's match with a rule means to correlations.
    pub(super) fn feed_event(&mut self, rule: u32, occasion: &Occasion<'_, '_>) {
        for (number, at) in self.feeds.of(rule) {
            let Some(runner) = self.runners.get(*number as usize) else { continue };
            let measure = &runner.correlation.measure;
            let Some(input) = runner.correlation.inputs.get(usize::from(*at)) else { continue };
            // Where events are counted, one that matches two of the rules is still one.
            let again = !is_sequence(measure)
                && self.scratch.queue.iter().any(|queued| queued.runner == *number);
            if again {
                continue;
            }
            let keys = &mut self.scratch.keys;
            let start = keys.len();
            if !event_key(occasion.event, &self.nested, input, keys) {
                keys.truncate(start);
                continue;
            }
            let key = start..keys.len();
            if let Some(entry) = event_entry(occasion.event, &self.nested, measure, (*at, input)) {
                let runner = *number;
                self.scratch.queue.push(Occurrence { runner, key, entry });
            }
        }
    }

    /// Lets every queued occurrence reach its window; findings of correlations queue further ones.
    pub(super) fn run_queue(&mut self, occasion: &mut Occasion<'_, '_>) {
        while let Some(next) = self.next_queued() {
            let Occurrence { runner: number, key, entry } = next;
            let Self { runners, groups, paths, counts, scratch, .. } = self;
            let Scratch { turns, keys, pack, .. } = scratch;
            let Some(runner) = runners.get(number as usize) else { continue };
            let key = keys.get(key).unwrap_or_default();
            let many = groups.len() > PLAIN_WINDOWS_MAX;
            paths.take_effort(if many { Effort::Squeeze } else { Effort::Plain });
            let mut pack = || occasion.pack(paths, pack);
            let arrival = Arrival { entry, pack: &mut pack };
            groups.observe((number, key), runner, arrival, counts, turns);
            if turns.own.is_empty() {
                continue;
            }
            let mut turns = std::mem::take(&mut turns.own);
            let key: groups::GroupKey = key.into();
            for turn in turns.drain(..) {
                self.feed_turn(number, &key, &turn);
                if let Some(runner) = self.runners.get(number as usize).filter(|r| r.alerts) {
                    let told = turn.told;
                    let mut found = finding(runner, &key, turn, &self.paths);
                    if told == Told::OfEvent {
                        found.evidence = vec![occasion.evidence()];
                    }
                    self.scratch.found.push((runner.rule, found));
                }
            }
            self.scratch.turns.own = turns;
        }
        self.scratch.keys.clear();
        let Self { runners, paths, scratch, .. } = self;
        for over in scratch.turns.elsewhere.drain(..) {
            if let Some(runner) = runners.get(over.runner as usize).filter(|r| r.alerts) {
                let found = finding(runner, &over.key, over.turn, paths);
                scratch.found.push((runner.rule, found));
            }
        }
    }

    /// The queued occurrence of the first correlation, in the order queued.
    fn next_queued(&mut self) -> Option<Occurrence> {
        let queue = &mut self.scratch.queue;
        let (at, _) = queue.iter().enumerate().min_by_key(|(at, queued)| (queued.runner, *at))?;
        Some(queue.remove(at))
    }

    /// Queues what the finding of a correlation means to those that refer to it. An episode is one
    /// occurrence where occurrences are counted; for a sequence it lasts as long as it grows.
    fn feed_turn(&mut self, number: u32, key: &[u8], turn: &Turn) {
        let Some(inner) = self.runners.get(number as usize) else { return };
        for (outer, at) in self.feeds.of(inner.rule) {
            let Some(runner) = self.runners.get(*outer as usize) else { continue };
            let measure = &runner.correlation.measure;
            let counts = match turn.phase {
                Phase::Opened => true,
                Phase::Grew => is_sequence(measure),
                Phase::Single | Phase::Ended => false,
            };
            let Some(input) = runner.correlation.inputs.get(usize::from(*at)) else { continue };
            if !counts {
                continue;
            }
            let told = |field: FieldId| told(inner, key, field);
            let keys = &mut self.scratch.keys;
            let start = keys.len();
            let complete = input.group.iter().all(|field| {
                told(*field).is_some_and(|value| {
                    groups::push_value(keys, &value);
                    true
                })
            });
            let values: Option<Vec<Cow<'_, str>>> =
                input.values.iter().map(|field| told(*field)).collect();
            let Some((tag, true)) =
                values.and_then(|values| tag(measure, &values)).map(|t| (t, complete))
            else {
                continue;
            };
            self.scratch.queue.push(Occurrence {
                runner: *outer,
                key: start..self.scratch.keys.len(),
                entry: Entry {
                    time: turn.time,
                    tag,
                    evidence: turn.evidence.last().cloned(),
                    weight: 1,
                    input: *at,
                    kind: NO_ATTEMPT,
                },
            });
        }
    }
}

fn is_sequence(measure: &Measure) -> bool {
    matches!(measure, Measure::Temporal | Measure::TemporalOrdered | Measure::Presence(_))
}

/// A value of a correlation's own group.
fn told<'k>(inner: &Runner, mut key: &'k [u8], field: FieldId) -> Option<Cow<'k, str>> {
    for (_, known) in &inner.correlation.group_by {
        let value = take_bytes(&mut key)?;
        if *known == field {
            return Some(String::from_utf8_lossy(value));
        }
    }
    None
}

/// The first text of a field.
pub(super) fn first_text<'a>(
    event: &Event<'a>,
    nested: &NestedFields,
    field: FieldId,
) -> Option<Cow<'a, str>> {
    let mut first: Option<Value<'a>> = None;
    view::values(event, nested, field, &mut |value| {
        if first.is_none() && !matches!(value, Value::Null | Value::Map(_)) {
            first = Some(value);
        }
    });
    first.and_then(Value::as_text)
}

/// Writes the group of an event; `false` if it lacks one of the fields.
fn event_key(event: &Event<'_>, nested: &NestedFields, input: &Input, key: &mut Vec<u8>) -> bool {
    input.group.iter().all(|field| {
        first_text(event, nested, *field).is_some_and(|value| {
            groups::push_value(key, &value);
            true
        })
    })
}

/// The entry of an event; `None` if it lacks what is measured.
fn event_entry(
    event: &Event<'_>,
    nested: &NestedFields,
    measure: &Measure,
    (number, input): (u8, &Input),
) -> Option<Entry> {
    let mut entry = Entry {
        time: event.time.nanos(),
        tag: 0,
        evidence: None,
        weight: event.repeat.max(1),
        input: number,
        kind: NO_ATTEMPT,
    };
    if let (Measure::EventCount, Some(attempt)) = (measure, event.attempt) {
        entry.tag = attempt.session;
        entry.kind = attempt.kind;
    } else {
        let values: Option<Vec<Cow<'_, str>>> =
            input.values.iter().map(|field| first_text(event, nested, *field)).collect();
        entry.tag = tag(measure, &values?)?;
    }
    Some(entry)
}

/// What an entry remembers of the values measured: a hash where they are only told apart, else
/// the number.
fn tag(measure: &Measure, values: &[Cow<'_, str>]) -> Option<u64> {
    match measure {
        Measure::ValueCount => {
            let mut hash = Fnv::default();
            for value in values {
                hash.add(&(value.len() as u64).to_le_bytes());
                hash.add(value.as_bytes());
            }
            Some(hash.finish())
        }
        Measure::ValueSum
        | Measure::ValueAvg
        | Measure::ValuePercentile(_)
        | Measure::ValueMedian => {
            let number: f64 = values.first()?.trim().parse().ok()?;
            number.is_finite().then_some(number.to_bits())
        }
        Measure::EventCount
        | Measure::Temporal
        | Measure::TemporalOrdered
        | Measure::Presence(_) => Some(0),
    }
}

/// FNV-1a with a final mix (that of SplitMix64): the same in every run, as windows are stored.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

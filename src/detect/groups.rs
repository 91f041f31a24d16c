//! The windows of all correlations: found by rule and group values, bounded, and in the order in
//! which they end.
#![expect(clippy::indexing_slicing, reason = "positions of its own slots")]

use super::DetectCounts;
use super::packed::{put, take_bytes};
use super::window::{Arrival, Turn, Window};
use crate::finding::{Group, RuleHead};
use crate::rule::Correlation;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

/// Most groups one rule keeps a window for; beyond, those unused for longest are given up.
pub const GROUPS_MAX: usize = 100_000;

/// A correlation that runs.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    /// Position of the rule in the rule set.
    pub rule: u32,
    pub head: Arc<RuleHead>,
    pub correlation: Correlation,
    pub fingerprint: u64,
    pub alerts: bool,
}

/// The values of a group, each with its length in front.
pub(super) type GroupKey = Arc<[u8]>;

#[derive(Debug)]
struct Slot {
    runner: u32,
    key: GroupKey,
    window: Window,
    /// When the heap looks at it next; `i64::MAX` for a slot that is free.
    due: i64,
    /// Number of its last use.
    used: u64,
    flags: Flags,
}

/// Where a slot stands with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flags {
    /// The store has it as it is.
    Saved,
    /// The store has an older one.
    Changed,
    /// The store has none.
    New,
}

/// All windows.
#[derive(Debug, Default)]
pub(super) struct Groups {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// For each rule its slots by group.
    shelves: Vec<HashMap<GroupKey, u32>>,
    uses: u64,
    heap: BinaryHeap<Reverse<(i64, u32)>>,
    changed: Vec<u32>,
    forgotten: Vec<Box<[u8]>>,
    most: usize,
}

/// A turn of a window that was not asked for by an event of its group.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub runner: u32,
    pub key: GroupKey,
    pub turn: Turn,
}

impl Groups {
    pub(super) fn new(runners: usize, groups_max: usize) -> Self {
        Self {
            shelves: std::iter::repeat_with(HashMap::new).take(runners).collect(),
            most: groups_max,
            ..Self::default()
        }
    }

    /// Takes an occurrence into the window of its group.
    pub(super) fn observe(
        &mut self,
        at: (u32, &[u8]),
        runner: &Runner,
        arrival: Arrival<'_>,
        counts: &mut DetectCounts,
        turns: &mut Turns,
    ) {
        let (number, key) = at;
        let known = self.shelves[number as usize].get(key).copied();
        let slot = known.unwrap_or_else(|| {
            self.make_room(number, runner, counts, turns);
            self.add(number, key.into(), Window::default(), Flags::New)
        });
        self.uses += 1;
        self.slots[slot as usize].used = self.uses;
        self.slots[slot as usize].window.observe(
            &runner.correlation,
            arrival,
            counts,
            &mut turns.own,
        );
        self.change(slot);
        self.schedule(slot, runner.correlation.timespan);
    }

    /// Ends and forgets what is over before `watermark`, in the order in which it ended.
    pub(super) fn advance(&mut self, watermark: i64, runners: &[Runner], out: &mut Vec<Elsewhere>) {
        let start = out.len();
        while let Some(Reverse((due, slot))) = self.heap.peek().copied() {
            if due >= watermark {
                break;
            }
            self.heap.pop();
            if self.slots[slot as usize].due != due {
                continue;
            }
            let runner = self.slots[slot as usize].runner;
            let timespan = runners[runner as usize].correlation.timespan;
            self.end(slot, watermark.saturating_sub(timespan), timespan, out);
            let over = self.slots[slot as usize].window.forgotten_after(timespan);
            if over.is_none_or(|over| over < watermark) {
                self.forget(slot, runners);
            } else {
                self.slots[slot as usize].due = i64::MAX;
                self.schedule(slot, timespan);
            }
        }
        sort(runners, out.get_mut(start..).unwrap_or_default());
    }

    /// Ends every running episode.
    pub(super) fn drain(&mut self, runners: &[Runner], out: &mut Vec<Elsewhere>) {
        let start = out.len();
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].due != i64::MAX {
                let runner = self.slots[slot as usize].runner;
                let timespan = runners[runner as usize].correlation.timespan;
                self.end(slot, i64::MAX, timespan, out);
                self.schedule(slot, timespan);
            }
        }
        sort(runners, out.get_mut(start..).unwrap_or_default());
    }

    /// The keys forgotten since the last call, then the windows changed since.
    pub(super) fn take_changes(
        &mut self,
        runners: &[Runner],
        mut each: impl FnMut(Box<[u8]>, Option<&Window>),
    ) {
        for key in std::mem::take(&mut self.forgotten) {
            each(key, None);
        }
        for slot in std::mem::take(&mut self.changed) {
            let slot = &mut self.slots[slot as usize];
            if slot.due == i64::MAX || slot.flags == Flags::Saved {
                continue;
            }
            slot.flags = Flags::Saved;
            let fingerprint = runners[slot.runner as usize].fingerprint;
            each(stored_key(fingerprint, &slot.key), Some(&slot.window));
        }
    }

    /// Puts a window back.
    pub(super) fn restore(&mut self, number: u32, runner: &Runner, key: GroupKey, window: Window) {
        if let Some(slot) = self.shelves[number as usize].get(&key).copied() {
            self.slots[slot as usize].window = window;
            self.schedule(slot, runner.correlation.timespan);
            return;
        }
        let slot = self.add(number, key, window, Flags::Saved);
        self.schedule(slot, runner.correlation.timespan);
    }

    /// Moves the windows whose rule goes on, by fingerprint, into new groups.
    pub(super) fn move_into(mut self, from: &[Runner], into: &mut Self, runners: &[Runner]) {
        into.forgotten = std::mem::take(&mut self.forgotten);
        for slot in self.slots {
            if slot.due == i64::MAX {
                continue;
            }
            let fingerprint = from[slot.runner as usize].fingerprint;
            let found = runners.iter().position(|runner| runner.fingerprint == fingerprint);
            match found {
                Some(number) => {
                    let moved = into.add(number as u32, slot.key, slot.window, slot.flags);
                    if slot.flags != Flags::Saved {
                        into.changed.push(moved);
                    }
                    into.schedule(moved, runners[number].correlation.timespan);
                }
                None if slot.flags != Flags::New => {
                    into.forgotten.push(stored_key(fingerprint, &slot.key));
                }
                None => {}
            }
        }
    }

    /// The window of a group, if there is one.
    pub(super) fn window(&self, number: u32, key: &[u8]) -> Option<&Window> {
        let slot = self.shelves.get(number as usize)?.get(key)?;
        self.slots.get(*slot as usize).map(|slot| &slot.window)
    }

    /// How many windows there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn end(&mut self, slot: u32, horizon: i64, timespan: i64, out: &mut Vec<Elsewhere>) {
        let mut turns = Vec::new();
        let state = &mut self.slots[slot as usize];
        state.window.end_before(horizon, timespan, &mut turns);
        if turns.is_empty() {
            return;
        }
        let (runner, key) = (state.runner, Arc::clone(&state.key));
        self.change(slot);
        out.extend(turns.into_iter().map(|turn| Elsewhere { runner, key: Arc::clone(&key), turn }));
    }

    fn make_room(
        &mut self,
        number: u32,
        runner: &Runner,
        counts: &mut DetectCounts,
        turns: &mut Turns,
    ) {
        let shelf = &self.shelves[number as usize];
        if shelf.len() < self.most {
            return;
        }
        // A sixteenth at once, so that a flood of new groups does not search them all each time.
        let mut by_use: Vec<(u64, u32)> = (0..self.slots.len() as u32)
            .map(|slot| (&self.slots[slot as usize], slot))
            .filter(|(state, _)| state.runner == number && state.due != i64::MAX)
            .map(|(state, slot)| (state.used, slot))
            .collect();
        by_use.sort_unstable();
        for (_, oldest) in by_use.iter().take((self.most / 16).max(1)) {
            counts.windows_evicted += 1;
            let timespan = runner.correlation.timespan;
            self.end(*oldest, i64::MAX, timespan, &mut turns.elsewhere);
            self.remove(*oldest, runner.fingerprint);
        }
    }

    fn add(&mut self, number: u32, key: GroupKey, window: Window, flags: Flags) -> u32 {
        // Scheduled at once by the caller; until then any time marks it as used.
        let slot = Slot {
            runner: number,
            key: Arc::clone(&key),
            window,
            due: i64::MAX - 1,
            used: self.uses,
            flags,
        };
        let at = if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            at
        } else {
            self.slots.push(slot);
            self.slots.len() as u32 - 1
        };
        self.shelves[number as usize].insert(key, at);
        if flags == Flags::New {
            self.changed.push(at);
        }
        at
    }

    fn change(&mut self, slot: u32) {
        let state = &mut self.slots[slot as usize];
        if state.flags == Flags::Saved {
            state.flags = Flags::Changed;
            self.changed.push(slot);
        }
    }

    fn schedule(&mut self, slot: u32, timespan: i64) {
        let state = &mut self.slots[slot as usize];
        let due = state.window.due(timespan).unwrap_or(i64::MIN).min(i64::MAX - 2);
        if due < state.due {
            state.due = due;
            self.heap.push(Reverse((due, slot)));
        }
    }

    fn forget(&mut self, slot: u32, runners: &[Runner]) {
        let fingerprint = runners[self.slots[slot as usize].runner as usize].fingerprint;
        self.remove(slot, fingerprint);
    }

    fn remove(&mut self, slot: u32, fingerprint: u64) {
        let state = &mut self.slots[slot as usize];
        if state.flags != Flags::New {
            self.forgotten.push(stored_key(fingerprint, &state.key));
        }
        state.due = i64::MAX;
        state.window = Window::default();
        let key = std::mem::replace(&mut state.key, Arc::from([]));
        let shelf = &mut self.shelves[state.runner as usize];
        shelf.remove(&key);
        if shelf.len() * 4 < shelf.capacity() && shelf.capacity() > 1_024 {
            shelf.shrink_to_fit();
        }
        self.free.push(slot);
    }
}

/// Where turns go: those of the observed group, and those of others.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub own: Vec<Turn>,
    pub elsewhere: Vec<Elsewhere>,
}

fn sort(runners: &[Runner], turns: &mut [Elsewhere]) {
    turns.sort_by(|left, right| {
        let place =
            |elsewhere: &Elsewhere| (elsewhere.turn.time, runners[elsewhere.runner as usize].rule);
        place(left).cmp(&place(right)).then_with(|| left.key.cmp(&right.key))
    });
}

/// A window's key in the store: fingerprint of the rule, then the group.
fn stored_key(fingerprint: u64, key: &[u8]) -> Box<[u8]> {
    let mut stored = Vec::with_capacity(8 + key.len());
    stored.extend_from_slice(&fingerprint.to_be_bytes());
    stored.extend_from_slice(key);
    stored.into()
}

/// Appends a value to a group's key.
pub(super) fn push_value(key: &mut Vec<u8>, value: &str) {
    put(key, value.len() as u64);
    key.extend_from_slice(value.as_bytes());
}

/// The values of a group's key with the names of the rule.
pub(super) fn group(runner: &Runner, mut key: &[u8]) -> Group {
    let names = runner.correlation.group_by.iter();
    names
        .filter_map(|(name, _)| {
            let value = take_bytes(&mut key)?;
            Some((name.clone(), String::from_utf8_lossy(value).into()))
        })
        .collect()
}

//! Findings to incidents: one open incident for a rule and group, however often it fires.
//!
//! An incident opens with the first finding, grows with every further one, and ends by an order of
//! a person, or after [`QUIET_MAX`] without a further occurrence. While one is open there is no
//! second one for the same rule and group.

mod slot;

use crate::event::{FlatEvent, Timestamp};
use crate::fact::{Fact, FactKind};
use crate::finding::{
    EVIDENCE_MAX, Finding, Group, Incident, IncidentChange, IncidentId, NoticeKind, Order, Phase,
    StateChange, Status, TimelineEntry,
};
use slot::Slot;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Incidents that may be open at once; beyond, the one that was quiet longest is resolved.
pub const OPEN_MAX: usize = 50_000;

/// Nanoseconds of event time without an occurrence after which an incident resolves by itself.
pub const QUIET_MAX: i64 = 7 * 86_400 * 1_000_000_000;

/// The kind of the state changes made here.
pub const STATE_KIND: &str = "incident";

/// What grouping a finding or an order led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Grouped {
    /// The record of an incident changes.
    Change(IncidentChange),
    /// People are to be told, with the incident as it is now.
    Tell(NoticeKind, Timestamp, Incident),
    /// Something to count.
    Note(Fact),
    /// An order that was not carried out, and why.
    Refused(String),
}

/// Every incident that can still grow.
#[derive(Debug, Default)]
pub struct Incidents {
    slots: HashMap<Arc<str>, Slot>,
    /// When each was last known to have been active; looked at again before it is acted on.
    quiet: BTreeSet<(Timestamp, Arc<str>)>,
    keys: HashMap<IncidentId, Arc<str>>,
    /// What changed since the last save; a slot that is held is in here once.
    dirty: Vec<Arc<str>>,
    key: String,
}

impl Incidents {
    /// How many more events of evidence the incident of a finding takes.
    pub fn room(&mut self, finding: &Finding) -> usize {
        write_key(&mut self.key, &finding.rule.id, &finding.group);
        let slot = self.slots.get(self.key.as_str());
        slot.map_or(EVIDENCE_MAX, |slot| room_for_evidence(&slot.incident))
    }

    /// Takes a finding with the events of its evidence.
    pub fn apply(&mut self, finding: &Finding, evidence: Vec<FlatEvent>, out: &mut Vec<Grouped>) {
        write_key(&mut self.key, &finding.rule.id, &finding.group);
        if let Some((key, _)) = self.slots.get_key_value(self.key.as_str()) {
            let key = Arc::clone(key);
            self.change(&key, |slot| slot.grow(finding, evidence, out));
        } else if finding.phase != Phase::Ended {
            let key: Arc<str> = self.key.as_str().into();
            self.hold(key, Slot::open(finding, evidence, out));
            self.make_room(finding.time, out);
        }
    }

    /// Carries out a person's order. `stored` is the incident as the store has it, for one that is
    /// no longer held here.
    pub fn order(
        &mut self,
        order: &Order,
        stored: Option<Incident>,
        now: Timestamp,
        out: &mut Vec<Grouped>,
    ) {
        if let Some(key) = self.keys.get(&order.incident).cloned() {
            return self.change(&key, |slot| slot.order(order, now, out));
        }
        let Some(incident) = stored else {
            return out
                .push(Grouped::Refused(format!("there is no incident `{}`", order.incident)));
        };
        let key = group_key(&incident.rule.id, &incident.group);
        if let Some(other) = self.slots.get(&key)
            && order.status != Status::Resolved
        {
            let message = format!("`{}` is open for the same group", other.incident.id);
            return out.push(Grouped::Refused(message));
        }
        let mut slot = Slot::stored(incident);
        slot.order(order, now, out);
        if !slot.is_over() {
            self.hold(key, slot);
        }
    }

    /// Tells the final count of every incident whose last message told a smaller one.
    pub fn flush(&mut self, out: &mut Vec<Grouped>) {
        let keys: Vec<Arc<str>> = self.quiet.iter().map(|(_, key)| Arc::clone(key)).collect();
        for key in keys {
            self.change(&key, |slot| slot.flush(out));
        }
    }

    /// Resolves what has been quiet for too long.
    pub fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Grouped>) {
        while let Some((last_seen, key)) = self.quietest() {
            if watermark.since(last_seen) <= QUIET_MAX {
                return;
            }
            self.resolve(&key, watermark, "quiet for seven days", out);
        }
    }

    /// Appends what changed since the last call, and how the incidents that changed are now.
    pub fn save(&mut self, out: &mut Vec<StateChange>, heads: &mut Vec<Incident>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for key in dirty {
            let slot = self.slots.get_mut(&key);
            let value = slot.map(|slot| {
                slot.is_dirty = false;
                heads.push(slot.incident.clone());
                slot.encode()
            });
            out.push(StateChange { kind: STATE_KIND, key: key.as_bytes().into(), value });
        }
    }

    /// Takes back a saved incident; false when the text is damaged.
    pub fn restore(&mut self, value: &[u8]) -> bool {
        let Some(slot) = Slot::decode(value) else { return false };
        let key = group_key(&slot.incident.rule.id, &slot.incident.group);
        self.hold(Arc::clone(&key), slot);
        // It is saved already.
        self.dirty.pop();
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.is_dirty = false;
        }
        true
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Changes a slot in its place, and lets go of it if it is over then.
    fn change(&mut self, key: &Arc<str>, change: impl FnOnce(&mut Slot)) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        change(slot);
        if !std::mem::replace(&mut slot.is_dirty, true) {
            self.dirty.push(Arc::clone(key));
        }
        if slot.is_over() {
            self.keys.remove(&slot.incident.id);
            self.slots.remove(key);
        }
    }

    fn hold(&mut self, key: Arc<str>, mut slot: Slot) {
        slot.is_dirty = true;
        self.dirty.push(Arc::clone(&key));
        self.quiet.insert((slot.incident.last_seen, Arc::clone(&key)));
        self.keys.insert(slot.incident.id.clone(), Arc::clone(&key));
        self.slots.insert(key, slot);
    }

    /// The incident that has been quiet longest, and since when.
    fn quietest(&mut self) -> Option<(Timestamp, Arc<str>)> {
        loop {
            let (known, key) = self.quiet.pop_first()?;
            let Some(slot) = self.slots.get(&key) else { continue };
            let actual = slot.incident.last_seen;
            self.quiet.insert((actual, Arc::clone(&key)));
            if actual == known {
                return Some((known, key));
            }
        }
    }

    fn make_room(&mut self, now: Timestamp, out: &mut Vec<Grouped>) {
        while self.slots.len() > OPEN_MAX
            && let Some((_, key)) = self.quietest()
        {
            out.push(Grouped::Note(Fact::count(FactKind::IncidentsEvicted, None, 1)));
            self.resolve(&key, now, "too many incidents are open", out);
        }
    }

    /// Resolves an incident and lets go of it, even if its episode still runs.
    fn resolve(&mut self, key: &Arc<str>, now: Timestamp, reason: &str, out: &mut Vec<Grouped>) {
        self.change(key, |slot| {
            let order = Order {
                incident: slot.incident.id.clone(),
                status: Status::Resolved,
                actor: ACTOR.into(),
                reason: reason.into(),
            };
            if slot.incident.status != Status::Resolved {
                slot.order(&order, now, out);
            }
            slot.forget_episode();
        });
    }
}

/// The name under which the agent acts in timelines.
pub const ACTOR: &str = "tripline";

/// Rule and group as one text; values are length-prefixed so that no value can imitate another.
fn group_key(rule: &str, group: &Group) -> Arc<str> {
    let mut key = String::new();
    write_key(&mut key, rule, group);
    key.into()
}

fn write_key(key: &mut String, rule: &str, group: &Group) {
    key.clear();
    key.push_str(rule);
    for (field, value) in group {
        for part in [field, value] {
            key.push('|');
            // The length in four digits of base 64.
            for shift in [0, 6, 12, 18] {
                key.push(char::from(b'0' + (part.len() >> shift & 63) as u8));
            }
            key.push_str(part);
        }
    }
}

fn entry(incident: &Incident, time: Timestamp, actor: &str, text: impl Into<Box<str>>) -> Grouped {
    let line = TimelineEntry { time, actor: actor.into(), text: text.into() };
    Grouped::Change(IncidentChange::Timeline(incident.id.clone(), line))
}

fn room_for_evidence(incident: &Incident) -> usize {
    EVIDENCE_MAX.saturating_sub(incident.evidence as usize)
}

#[cfg(test)]
mod tests;

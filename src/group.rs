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
    quiet: BTreeSet<(Timestamp, Arc<str>)>,
    keys: HashMap<IncidentId, Arc<str>>,
    dirty: BTreeSet<Arc<str>>,
}

impl Incidents {
    /// Takes a finding with the events of its evidence.
    pub fn apply(&mut self, finding: &Finding, evidence: Vec<FlatEvent>, out: &mut Vec<Grouped>) {
        let key = group_key(&finding.rule.id, &finding.group);
        if let Some(mut slot) = self.take(&key) {
            slot.grow(finding, evidence, out);
            self.put(key, slot);
        } else if finding.phase != Phase::Ended {
            let slot = Slot::open(finding, evidence, out);
            self.put(key, slot);
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
        let held = self.keys.get(&order.incident).cloned();
        let slot = match (held, stored) {
            (Some(key), _) => self.take(&key).map(|slot| (key, slot)),
            (None, Some(incident)) => {
                let key = group_key(&incident.rule.id, &incident.group);
                if let Some(other) = self.slots.get(&key)
                    && order.status != Status::Resolved
                {
                    let message = format!("`{}` is open for the same group", other.incident.id);
                    return out.push(Grouped::Refused(message));
                }
                Some((key, Slot::stored(incident)))
            }
            (None, None) => None,
        };
        let Some((key, mut slot)) = slot else {
            return out
                .push(Grouped::Refused(format!("there is no incident `{}`", order.incident)));
        };
        slot.order(order, now, out);
        if slot.is_over() && !self.slots.contains_key(&key) {
            self.dirty.insert(key);
        } else {
            self.put(key, slot);
        }
    }

    /// Tells the final count of every incident whose last message told a smaller one.
    pub fn flush(&mut self, out: &mut Vec<Grouped>) {
        let keys: Vec<Arc<str>> = self.quiet.iter().map(|(_, key)| Arc::clone(key)).collect();
        for key in keys {
            if let Some(slot) = self.slots.get_mut(&key)
                && slot.flush(out)
            {
                self.dirty.insert(key);
            }
        }
    }

    /// Resolves what has been quiet for too long.
    pub fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Grouped>) {
        while let Some((last_seen, key)) = self.quiet.first().cloned() {
            if watermark.since(last_seen) <= QUIET_MAX {
                return;
            }
            self.resolve(&key, watermark, "quiet for seven days", out);
        }
    }

    /// How many more events of evidence the incident of a finding takes.
    pub fn room(&self, finding: &Finding) -> usize {
        let slot = self.slots.get(&group_key(&finding.rule.id, &finding.group));
        slot.map_or(EVIDENCE_MAX, |slot| room_for_evidence(&slot.incident))
    }

    /// Appends what changed since the last call, and how the incidents that changed are now.
    pub fn save(&mut self, out: &mut Vec<StateChange>, heads: &mut Vec<Incident>) {
        for key in std::mem::take(&mut self.dirty) {
            let slot = self.slots.get(&key);
            heads.extend(slot.map(|slot| slot.incident.clone()));
            let value = slot.map(Slot::encode);
            out.push(StateChange { kind: STATE_KIND, key: key.as_bytes().into(), value });
        }
    }

    /// Takes back a saved incident; false when the text is damaged.
    pub fn restore(&mut self, value: &[u8]) -> bool {
        let Some(slot) = Slot::decode(value) else { return false };
        let key = group_key(&slot.incident.rule.id, &slot.incident.group);
        self.put(Arc::clone(&key), slot);
        self.dirty.remove(&key);
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

    fn take(&mut self, key: &Arc<str>) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        self.quiet.remove(&(slot.incident.last_seen, Arc::clone(key)));
        self.keys.remove(&slot.incident.id);
        Some(slot)
    }

    fn put(&mut self, key: Arc<str>, slot: Slot) {
        self.dirty.insert(Arc::clone(&key));
        if slot.is_over() {
            return;
        }
        self.quiet.insert((slot.incident.last_seen, Arc::clone(&key)));
        self.keys.insert(slot.incident.id.clone(), Arc::clone(&key));
        self.slots.insert(key, slot);
    }

    fn make_room(&mut self, now: Timestamp, out: &mut Vec<Grouped>) {
        while self.slots.len() > OPEN_MAX
            && let Some((_, key)) = self.quiet.first().cloned()
        {
            out.push(Grouped::Note(Fact::count(FactKind::IncidentsEvicted, None, 1)));
            self.resolve(&key, now, "too many incidents are open", out);
        }
    }

    fn resolve(&mut self, key: &Arc<str>, now: Timestamp, reason: &str, out: &mut Vec<Grouped>) {
        let Some(mut slot) = self.take(key) else { return };
        let order = Order {
            incident: slot.incident.id.clone(),
            status: Status::Resolved,
            actor: ACTOR.into(),
            reason: reason.into(),
        };
        slot.order(&order, now, out);
        self.dirty.insert(Arc::clone(key));
    }
}

/// The name under which the agent acts in timelines.
pub const ACTOR: &str = "tripline";

/// Rule and group as one text; values are length-prefixed so that no value can imitate another.
fn group_key(rule: &str, group: &Group) -> Arc<str> {
    let mut key = format!("{}:{rule}", rule.len());
    for (field, value) in group {
        key.push_str(&format!("|{}:{field}={}:{value}", field.len(), value.len()));
    }
    key.into()
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

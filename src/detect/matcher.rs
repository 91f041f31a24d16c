//! One event against the rules that concern it.
//!
//! Every value is folded and searched once; each predicate found to hold is stamped with the
//! number of the event (so that nothing needs clearing) and wakes the rules it is the gate of.
//! Only those rules' conditions are evaluated, and only what these ask for is tested lazily.
#![expect(clippy::indexing_slicing, reason = "positions of the program's own tables")]

use super::index::{At, FieldIndex, Group, Search};
use super::program::{Cond, Plan, PredId, Program};
use super::view::{self, NestedFields};
use crate::event::{Event, FieldId, Key, Value};
use crate::rule::pattern::{Case, fold_into};
use crate::rule::predicate::Test;

/// Scratch space kept from event to event.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    now: u32,
    holds_at: Vec<u32>,
    fails_at: Vec<u32>,
    woken_at: Vec<u32>,
    seen_at: Vec<u32>,
    /// For patterns that are tested where a part of them is found: the text last tested, so that
    /// a text that repeats the part is tested once.
    tested_at: Vec<u32>,
    texts: u32,
    woken: Vec<u32>,
    folded: String,
    number: String,
}

/// What a scan needs to know.
#[derive(Clone, Copy)]
pub(super) struct Rules<'p> {
    pub program: &'p Program,
    pub group: &'p Group,
    pub nested: &'p NestedFields,
}

impl Matcher {
    /// The positions of the rules that match, ascending.
    pub(super) fn matches(&mut self, rules: Rules<'_>, event: &Event<'_>, out: &mut Vec<u32>) {
        self.begin(rules.program);
        for (key, value) in &event.fields {
            let Key::Id(field) = key else { continue };
            self.field(rules, *field, *value);
        }
        for field in view::IMPLIED {
            if let Some(index) = rules.group.index(field)
                && self.first(field)
                && let Some(value) = view::implied(event, field)
            {
                self.value(rules, index, value);
            }
        }
        if let Some(search) = &rules.group.keywords {
            view::every_text(event, &mut |value| self.keywords(rules, search, value));
        }
        for rule in &rules.group.always {
            self.wake(*rule);
        }
        self.woken.sort_unstable();
        for at in 0..self.woken.len() {
            let rule = self.woken[at];
            if let Some(condition) = &rules.program.conditions[rule as usize]
                && self.evaluate(rules, condition, event)
            {
                out.push(rule);
            }
        }
    }

    fn begin(&mut self, program: &Program) {
        self.holds_at.resize(program.predicates.len(), 0);
        self.fails_at.resize(program.predicates.len(), 0);
        self.tested_at.resize(program.predicates.len(), 0);
        self.woken_at.resize(program.conditions.len(), 0);
        self.woken.clear();
        self.now = self.now.wrapping_add(1);
        if self.now == 0 {
            for stamps in
                [&mut self.holds_at, &mut self.fails_at, &mut self.woken_at, &mut self.seen_at]
            {
                stamps.fill(0);
            }
            self.now = 1;
        }
    }

    /// Whether this is the first value of the field in this event.
    fn first(&mut self, field: FieldId) -> bool {
        let at = usize::from(field.0);
        if self.seen_at.len() <= at {
            self.seen_at.resize(at + 1, 0);
        }
        std::mem::replace(&mut self.seen_at[at], self.now) != self.now
    }

    fn field(&mut self, rules: Rules<'_>, field: FieldId, value: Value<'_>) {
        if let Some(index) = rules.group.index(field)
            && self.first(field)
        {
            self.value(rules, index, value);
        }
        if matches!(value, Value::Map(_) | Value::List(_)) {
            for nested in rules.nested.within(field) {
                let Some(index) = rules.group.index(nested.field) else { continue };
                let seen = self.seen_at.get(usize::from(nested.field.0)) == Some(&self.now);
                if !seen {
                    view::descend(value, &nested.path, &mut |inner| {
                        self.value(rules, index, inner);
                    });
                }
            }
        }
    }

    fn value(&mut self, rules: Rules<'_>, index: &FieldIndex, value: Value<'_>) {
        for id in &index.present {
            self.hold(rules, *id);
        }
        view::leaves(value, 0, &mut |leaf| self.leaf(rules, index, leaf));
    }

    fn leaf(&mut self, rules: Rules<'_>, index: &FieldIndex, value: Value<'_>) {
        let mut number = std::mem::take(&mut self.number);
        if let Some(raw) = view::text(value, &mut number) {
            for id in &index.any_text {
                self.hold(rules, *id);
            }
            let mut folded = std::mem::take(&mut self.folded);
            folded.clear();
            fold_into(raw, &mut folded);
            for id in index.exactly(&folded) {
                self.hold(rules, *id);
            }
            if let Some(search) = &index.search {
                self.search(rules, search, raw, &folded);
            }
            self.folded = folded;
        }
        self.number = number;
    }

    fn keywords(&mut self, rules: Rules<'_>, search: &Search, value: Value<'_>) {
        let mut number = std::mem::take(&mut self.number);
        if let Some(raw) = view::text(value, &mut number) {
            let mut folded = std::mem::take(&mut self.folded);
            folded.clear();
            fold_into(raw, &mut folded);
            self.search(rules, search, raw, &folded);
            self.folded = folded;
        }
        self.number = number;
    }

    fn search(&mut self, rules: Rules<'_>, search: &Search, raw: &str, folded: &str) {
        self.texts = self.texts.wrapping_add(1);
        if self.texts == 0 {
            self.tested_at.fill(0);
            self.texts = 1;
        }
        for (text, start, end) in search.found(folded) {
            for (id, at) in &search.hits[text] {
                if self.holds_at[*id as usize] == self.now {
                    continue;
                }
                let holds = match at {
                    At::Anywhere => true,
                    At::Start => start == 0,
                    At::End => end == folded.len(),
                    At::Test => self.test(rules, *id, raw, folded),
                };
                if holds {
                    self.hold(rules, *id);
                }
            }
        }
    }

    fn test(&mut self, rules: Rules<'_>, id: PredId, raw: &str, folded: &str) -> bool {
        let tested = &mut self.tested_at[id as usize];
        if *tested == self.texts {
            return false;
        }
        *tested = self.texts;
        match &rules.program.predicates[id as usize].test {
            Test::Text(shape, Case::Folded) => shape.matches(folded),
            Test::Text(shape, Case::Exact) => shape.matches(raw),
            _ => false,
        }
    }

    fn hold(&mut self, rules: Rules<'_>, id: PredId) {
        let stamp = &mut self.holds_at[id as usize];
        if *stamp == self.now {
            return;
        }
        *stamp = self.now;
        for rule in &rules.program.gates[id as usize] {
            if rules.group.is_member(*rule) {
                self.wake(*rule);
            }
        }
    }

    fn wake(&mut self, rule: u32) {
        let stamp = &mut self.woken_at[rule as usize];
        if *stamp != self.now {
            *stamp = self.now;
            self.woken.push(rule);
        }
    }

    fn evaluate(&mut self, rules: Rules<'_>, condition: &Cond, event: &Event<'_>) -> bool {
        match condition {
            Cond::Is(id) => self.predicate(rules, *id, event),
            Cond::Not(inner) => !self.evaluate(rules, inner, event),
            Cond::And(ids, others) => {
                ids.iter().all(|id| self.predicate(rules, *id, event))
                    && others.iter().all(|other| self.evaluate(rules, other, event))
            }
            Cond::Or(ids, others) => {
                ids.iter().any(|id| self.predicate(rules, *id, event))
                    || others.iter().any(|other| self.evaluate(rules, other, event))
            }
        }
    }

    fn predicate(&mut self, rules: Rules<'_>, id: PredId, event: &Event<'_>) -> bool {
        let at = id as usize;
        if self.holds_at[at] == self.now {
            return true;
        }
        let indexed = rules.program.plans[at] == Plan::Indexed && !rules.group.is_lazy(id);
        if indexed || self.fails_at[at] == self.now {
            return false;
        }
        let holds = view::holds(&rules.program.predicates[at], event, rules.nested);
        let stamps = if holds { &mut self.holds_at } else { &mut self.fails_at };
        stamps[at] = self.now;
        holds
    }
}

//! The rules that concern one kind of event, indexed by field.
#![expect(clippy::indexing_slicing, reason = "positions of its own tables")]

use super::program::{Plan, PredId, Program};
use crate::event::FieldId;
use crate::rule::pattern::{Case, Shape, fold};
use crate::rule::predicate::{Target, Test};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind, packed};
use std::collections::BTreeMap;

/// What a found text says about a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// It holds wherever the text stands.
    Anywhere,
    /// It holds if the text stands at the beginning.
    Start,
    /// It holds if the text stands at the end.
    End,
    /// The whole pattern has to be tested.
    Test,
}

/// A folded text and the predicates that hold for exactly it.
type Exact = (Box<str>, Box<[PredId]>);

/// The texts of one field.
#[derive(Debug, Default)]
pub(super) struct FieldIndex {
    /// Hold when the field is there.
    pub present: Box<[PredId]>,
    /// Hold when it has any text.
    pub any_text: Box<[PredId]>,
    /// Folded texts with the predicates that hold for exactly them, by length and text.
    exact: Box<[Exact]>,
    /// A bit for every length of the exact texts (those of 63 and more share one).
    exact_lengths: u64,
    /// Search for several texts at once.
    pub search: Option<Search>,
}

impl FieldIndex {
    /// The predicates that hold for exactly this folded text.
    pub(super) fn exactly(&self, folded: &str) -> &[PredId] {
        if self.exact_lengths >> folded.len().min(63) & 1 == 0 {
            return &[];
        }
        let order =
            |(text, _): &Exact| text.len().cmp(&folded.len()).then_with(|| (**text).cmp(folded));
        let found = self.exact.binary_search_by(order);
        found.ok().and_then(|at| self.exact.get(at)).map_or(&[], |(_, ids)| ids)
    }
}

/// One automaton over folded texts.
#[derive(Debug)]
pub(super) struct Search {
    automaton: AhoCorasick,
    /// Tells at once that a text holds none of a few.
    glance: Option<packed::Searcher>,
    /// For each text of the automaton what it says.
    pub hits: Vec<Box<[(PredId, At)]>>,
}

impl Search {
    /// Every place of one of the texts: which, from where, to where.
    pub(super) fn found(&self, folded: &str) -> impl Iterator<Item = (usize, usize, usize)> {
        let start = match &self.glance {
            Some(glance) => glance.find(folded).map(|found| found.start()),
            None => Some(0),
        };
        let rest = start.map(|start| Input::new(folded).range(start..));
        let found = rest.into_iter().flat_map(|rest| self.automaton.find_overlapping_iter(rest));
        found.map(|found| (found.pattern().as_usize(), found.start(), found.end()))
    }
}

/// The rules that concern the events of one routing key.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// A bit for every rule.
    pub members: Box<[u64]>,
    /// Position in `indexes` by field; `NONE` for a field no rule of the group asks for.
    slots: Vec<u16>,
    pub indexes: Vec<FieldIndex>,
    pub keywords: Option<Search>,
    /// A bit for every predicate that the indexes leave out, as it wakes no rule: it is tested
    /// when a condition asks for it.
    lazy: Box<[u64]>,
    pub always: Box<[u32]>,
}

const NONE: u16 = u16::MAX;

impl Group {
    /// Indexes the predicates of the rules whose bit is set.
    pub(super) fn new(program: &Program, members: Box<[u64]>) -> Self {
        let is_member = |rule: u32| members[rule as usize / 64] >> (rule % 64) & 1 == 1;
        let mut used = vec![false; program.predicates.len()];
        for (rule, condition) in program.conditions.iter().enumerate() {
            if let (Some(condition), true) = (condition, is_member(rule as u32)) {
                mark(condition, &mut used);
            }
        }
        for (id, rules) in program.gates.iter().enumerate() {
            used[id] = used[id] || rules.iter().any(|rule| is_member(*rule));
        }
        let mut drafts: BTreeMap<Target, IndexDraft> = BTreeMap::new();
        for (id, predicate) in program.predicates.iter().enumerate() {
            if used[id] && program.plans[id] == Plan::Indexed {
                let draft = drafts.entry(predicate.target).or_default();
                draft.add(id as PredId, &predicate.test);
                draft.ids.push(id);
                draft.wakes |= program.gates[id].iter().any(|rule| is_member(*rule));
            }
        }
        let mut lazy = vec![0_u64; program.predicates.len().div_ceil(64)].into_boxed_slice();
        drafts.retain(|target, draft| {
            let kept = draft.wakes || draft.ids.len() > LAZY_MAX || *target == Target::Anywhere;
            for id in draft.ids.iter().filter(|_| !kept) {
                lazy[id / 64] |= 1 << (id % 64);
            }
            kept
        });
        let mut group = Self {
            always: program.always.iter().copied().filter(|rule| is_member(*rule)).collect(),
            members,
            lazy,
            ..Self::default()
        };
        for (target, draft) in drafts {
            match target {
                Target::Anywhere => group.keywords = search(draft.texts),
                Target::Field(FieldId(field)) => {
                    let field = usize::from(field);
                    group.slots.resize(group.slots.len().max(field + 1), NONE);
                    group.slots[field] = group.indexes.len() as u16;
                    group.indexes.push(draft.finish());
                }
            }
        }
        group
    }

    /// The index of a field, if a rule of the group asks for it.
    pub(super) fn index(&self, field: FieldId) -> Option<&FieldIndex> {
        let slot = *self.slots.get(usize::from(field.0))?;
        self.indexes.get(usize::from(slot))
    }

    /// Whether the indexes leave this predicate out.
    pub(super) fn is_lazy(&self, id: PredId) -> bool {
        self.lazy[id as usize / 64] >> (id % 64) & 1 == 1
    }

    pub(super) fn is_member(&self, rule: u32) -> bool {
        self.members[rule as usize / 64] >> (rule % 64) & 1 == 1
    }
}

fn mark(condition: &super::program::Cond, used: &mut [bool]) {
    use super::program::Cond;
    match condition {
        Cond::Is(id) => used[*id as usize] = true,
        Cond::Not(inner) => mark(inner, used),
        Cond::And(ids, others) | Cond::Or(ids, others) => {
            for id in ids {
                used[*id as usize] = true;
            }
            for other in others {
                mark(other, used);
            }
        }
    }
}

/// A field none of whose predicates wakes a rule is left to lazy tests if it has at most this many.
const LAZY_MAX: usize = 4;

#[derive(Debug, Default)]
struct IndexDraft {
    /// Every predicate in it.
    ids: Vec<usize>,
    /// Whether one of them wakes a rule.
    wakes: bool,
    present: Vec<PredId>,
    any_text: Vec<PredId>,
    exact: BTreeMap<Box<str>, Vec<PredId>>,
    texts: BTreeMap<Box<str>, Vec<(PredId, At)>>,
}

impl IndexDraft {
    fn add(&mut self, id: PredId, test: &Test) {
        let Test::Text(shape, case) = test else {
            self.present.push(id);
            return;
        };
        let at = match (shape, case) {
            (Shape::AnyText, _) => {
                self.any_text.push(id);
                return;
            }
            (Shape::Exact(text), Case::Folded) => {
                self.exact.entry(text.clone()).or_default().push(id);
                return;
            }
            (Shape::Prefix(_), Case::Folded) => At::Start,
            (Shape::Suffix(_), Case::Folded) => At::End,
            (Shape::Contains(_), Case::Folded) => At::Anywhere,
            _ => At::Test,
        };
        let needle = fold(shape.needle().unwrap_or_default());
        self.texts.entry(needle.into()).or_default().push((id, at));
    }

    fn finish(self) -> FieldIndex {
        let mut index = FieldIndex {
            present: self.present.into(),
            any_text: self.any_text.into(),
            search: search(self.texts),
            ..FieldIndex::default()
        };
        let mut exact: Vec<Exact> =
            self.exact.into_iter().map(|(text, ids)| (text, ids.into())).collect();
        exact.sort_by(|(left, _), (right, _)| (left.len(), left).cmp(&(right.len(), right)));
        for (text, _) in &exact {
            index.exact_lengths |= 1 << text.len().min(63);
        }
        index.exact = exact.into();
        index
    }
}

/// Most texts that a glance looks for.
const GLANCE_TEXTS_MAX: usize = 48;
/// Shorter texts stand in too many lines for a glance to be of use.
const GLANCE_LENGTH_MIN: usize = 3;

fn search(texts: BTreeMap<Box<str>, Vec<(PredId, At)>>) -> Option<Search> {
    if texts.is_empty() {
        return None;
    }
    let needles: Vec<Box<str>> = texts.keys().cloned().collect();
    // A DFA of a few texts is fast and small; of thousands it would be neither.
    let kind =
        if needles.len() <= 32 { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .kind(Some(kind))
        .build(needles.iter().map(|needle| needle.as_bytes()))
        .ok()?;
    let glance = (needles.len() <= GLANCE_TEXTS_MAX
        && needles.iter().all(|needle| needle.len() >= GLANCE_LENGTH_MIN))
    .then(|| packed::Searcher::new(needles.iter().map(|needle| needle.as_bytes())))
    .flatten();
    let hits = texts.into_values().map(Into::into).collect();
    Some(Search { automaton, glance, hits })
}

//! Compiled parser files: which lines a parser is for, its cases, and what a matched case says.
//!
//! A case is found by the first byte of the message, then tried in file order; a pattern is matched
//! without backtracking (see `matcher`), so a line costs the same whether a parser has five cases
//! or fifty.

mod load;
mod shadow;
mod tests_inside;

pub(super) use load::load;
pub use tests_inside::TestOutcome;

use super::attempt::Session;
use super::fields::{Sink, Target};
use super::matcher::{Goal, Run};
use super::pattern::{Pattern, Segment};
use crate::diagnostic::Place;
use crate::event::{FieldId, LogSource, Parsed, Record, Value, ecs};
use bumpalo::Bump;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Occurrences that one record may stand for; a larger number in a line is taken as this.
pub(super) const REPEAT_MAX: u32 = 100_000;

/// What stands before the text that the cases match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A syslog header; the cases see the message behind it.
    Syslog,
    /// Nothing: the cases see the whole line.
    None,
}

/// Which lines a parser is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Programs {
    /// Lines of these programs.
    Named(Vec<Box<str>>),
    /// Lines of any program, after the parsers that name it.
    Any,
    /// Only where a source names this parser as its format.
    ByFormat,
}

/// What becomes of a line that no case knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmatched {
    /// An event with the fields of its header, marked as unmatched.
    Keep,
    /// An error: every line of this format should be known.
    Error,
}

/// A value written in a parser file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Text(Box<str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Texts(Box<[Box<str>]>),
}

impl Constant {
    /// Adds it to a record. Each arm writes its own field: a value that was first put together and
    /// then copied costs several times as much.
    fn add<'a>(&'a self, id: FieldId, record: &mut Record<'a>, arena: &'a Bump) {
        match self {
            Self::Text(text) => record.set(id, Value::Str(text)),
            Self::Int(number) => record.set(id, Value::Int(*number)),
            Self::Float(number) => record.set(id, Value::Float(*number)),
            Self::Bool(value) => record.set(id, Value::Bool(*value)),
            Self::Texts(texts) => {
                let texts = texts.iter().map(|text| Value::Str(text));
                record.set(id, Value::List(arena.alloc_slice_fill_iter(texts)));
            }
        }
    }
}

/// How a case recognizes its lines.
#[derive(Debug)]
enum Body {
    Pattern(Pattern),
    Regex {
        regex: regex::Regex,
        /// The text every match begins with.
        head: String,
        groups: Vec<(usize, Target)>,
        /// The group that holds `key=value` pairs.
        pairs: Option<(usize, Vec<Segment>)>,
    },
}

/// One kind of line.
#[derive(Debug)]
pub(super) struct Case {
    id: Box<str>,
    place: Place,
    body: Body,
    set: Vec<(FieldId, Constant)>,
    /// Fields that are true when the part with this bit matched.
    flags: Vec<(FieldId, u8)>,
    /// Occurrences, unless a hole gives the number.
    repeat: u32,
    attempt: Option<u8>,
}

/// A parser file, ready to use.
#[derive(Debug)]
pub(super) struct Language {
    pub(super) name: Box<str>,
    pub(super) path: Arc<str>,
    pub(super) framing: Framing,
    pub(super) programs: Programs,
    product: Option<Box<str>>,
    category: Option<Box<str>>,
    service: Option<Box<str>>,
    defaults: Vec<(FieldId, Constant)>,
    /// Stands before every case; what of it is missing does not hinder a match.
    prefix: Pattern,
    cases: Vec<Case>,
    /// The cases that a message may be, by its first byte, in file order.
    index: Vec<Vec<Candidate>>,
    unmatched: Unmatched,
    /// Every field it can fill.
    pub(super) outputs: BTreeSet<FieldId>,
    tests: Vec<tests_inside::Test>,
}

impl Language {
    /// Sigma's routing keys of its lines.
    pub(super) fn logsource(&self) -> LogSource<'_> {
        LogSource {
            product: self.product.as_deref(),
            category: self.category.as_deref(),
            service: self.service.as_deref(),
        }
    }

    /// Tries the cases on a message; when one matches, the record says so and holds its fields.
    pub(super) fn apply<'a>(
        &'a self,
        body: &'a str,
        session: &Session<'_>,
        record: &mut Record<'a>,
        arena: &'a Bump,
    ) -> bool {
        let fields = std::mem::replace(&mut record.fields, bumpalo::vec![in arena]);
        let mut sink = Sink { fields, count: None };
        let mark = sink.mark();
        let mut run = Run::new(body, &mut sink);
        let start = run.run(&self.prefix.segments, 0, Goal::Open).unwrap_or(0);
        let found = self.find(&mut run, start);
        let bits = run.bits;
        if found.is_none() {
            sink.back_to(mark);
        }
        record.fields = sink.fields;
        let Some(case) = found else { return false };
        for (id, constant) in &case.set {
            constant.add(*id, record, arena);
        }
        for (id, bit) in &case.flags {
            if bits & (1 << bit) != 0 {
                record.set(*id, Value::Bool(true));
            }
        }
        self.claim(record, arena);
        record.set(ecs::TRIPLINE_CASE, Value::Str(&case.id));
        record.parsed = Parsed::Matched;
        record.attempt = case.attempt.and_then(|kind| session.attempt(kind));
        let count = sink.count.unwrap_or(case.repeat);
        record.repeat = record.repeat.saturating_mul(count).min(REPEAT_MAX);
        true
    }

    /// Marks a line of this parser that no case knew.
    pub(super) fn give_up<'a>(&'a self, record: &mut Record<'a>) {
        record.logsource = self.logsource();
        record.set(ecs::TRIPLINE_PARSER, Value::Str(&self.name));
        if let Some((_, Constant::Text(module))) =
            self.defaults.iter().find(|(id, _)| *id == ecs::EVENT_MODULE)
        {
            record.set(ecs::EVENT_MODULE, Value::Str(module));
        }
        record.parsed = match self.unmatched {
            Unmatched::Keep => Parsed::Unmatched,
            Unmatched::Error => Parsed::Failed("no case of the parser knows this line"),
        };
    }

    fn claim<'a>(&'a self, record: &mut Record<'a>, arena: &'a Bump) {
        record.logsource = self.logsource();
        for (id, constant) in &self.defaults {
            constant.add(*id, record, arena);
        }
        record.set(ecs::TRIPLINE_PARSER, Value::Str(&self.name));
    }

    fn find(&self, run: &mut Run<'_, '_>, start: usize) -> Option<&Case> {
        let head = run.text.as_bytes().get(start..)?;
        let first = *head.first()?;
        let word = word(head);
        let mark = run.sink.mark();
        for candidate in self.index.get(usize::from(first))? {
            if word & candidate.mask != candidate.word {
                continue;
            }
            let case = self.cases.get(usize::from(candidate.case))?;
            run.sink.back_to(mark);
            run.sink.count = None;
            if case.matches(run, start) {
                return Some(case);
            }
        }
        None
    }
}

/// A case with its first eight bytes, so that most that do not fit are passed over by a comparison
/// of two numbers.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    mask: u64,
    word: u64,
    case: u16,
}

/// The first eight bytes, as far as there are any.
fn word(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*eight);
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl Case {
    fn matches(&self, run: &mut Run<'_, '_>, start: usize) -> bool {
        match &self.body {
            Body::Pattern(pattern) => run.whole(&pattern.segments, start),
            Body::Regex { regex, groups, pairs, .. } => {
                let Some(text) = run.text.get(start..) else { return false };
                let Some(found) = regex.captures(text) else { return false };
                for (group, target) in groups {
                    if let Some(value) = found.get(*group) {
                        run.sink.put(*target, value.as_str());
                    }
                }
                if let Some((group, segments)) = pairs
                    && let Some(value) = found.get(*group)
                {
                    Run::new(value.as_str(), run.sink).whole(segments, 0);
                }
                true
            }
        }
    }

    /// The text every line of the case begins with.
    fn head(&self) -> &str {
        match &self.body {
            Body::Pattern(pattern) => pattern.head(),
            Body::Regex { head, .. } => head,
        }
    }

    fn first_bytes(&self) -> Option<Vec<u8>> {
        match &self.body {
            Body::Pattern(pattern) => pattern.first_bytes(),
            Body::Regex { head, .. } => head.as_bytes().first().map(|byte| vec![*byte]),
        }
    }
}

/// Cases by first byte, each list in file order.
fn index(cases: &[Case]) -> Vec<Vec<Candidate>> {
    let mut index = vec![Vec::new(); 256];
    for (number, case) in cases.iter().enumerate() {
        let head = case.head().as_bytes();
        let mask = match head.len() {
            0 => 0,
            1..8 => u64::MAX >> (64 - 8 * head.len()),
            _ => u64::MAX,
        };
        let candidate = Candidate { mask, word: word(head) & mask, case: number as u16 };
        let bytes = case.first_bytes();
        for (byte, list) in index.iter_mut().enumerate() {
            if bytes.as_ref().is_none_or(|bytes| bytes.contains(&(byte as u8))) {
                list.push(candidate);
            }
        }
    }
    index
}

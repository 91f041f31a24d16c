//! Rules as people write them: Sigma YAML, checked, with places for every error.
//!
//! A text may hold several documents; each is a rule (`detection`), a correlation or a filter. A
//! document with an error is left out and reported, the others stand. References are settled last,
//! so that their order in the files does not matter.

mod condition;
mod correlation;
mod detection;
mod document;
mod encode;
mod lint;
mod load;
mod reach;
mod modifier;
pub mod pattern;
pub mod predicate;

pub use correlation::{Correlation, INPUTS_MAX, Input, Measure, Presence};
pub use detection::{Detection, RuleSource};
pub use modifier::FieldMention;
pub use reach::unreachable_fields;

use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::event::{FieldId, FieldTable, LogSource};
use crate::finding::RuleHead;
use crate::yaml::Node;
use predicate::{Expr, Target};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most rules of one set.
pub const RULES_MAX: usize = 50_000;

/// Checked rules, detections and correlations, in the order of their files.
#[derive(Debug, Default, Clone)]
pub struct Ruleset {
    rules: Vec<Rule>,
    nested: Vec<Nested>,
}

/// A checked rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What travels with its findings.
    pub head: Arc<RuleHead>,
    /// The name other rules may refer to it by.
    pub name: Option<Box<str>>,
    /// The file.
    pub path: Arc<str>,
    /// Where it starts.
    pub place: Place,
    /// Whether it alerts by itself; a rule that only feeds correlations does not.
    pub alerts: bool,
    /// The fields that make its incidents, if it names them: names and numbers.
    pub group_by: Option<Vec<(Box<str>, FieldId)>>,
    /// What to do about its incidents, for people.
    pub steps: Vec<Box<str>>,
    /// What it looks for.
    pub body: Body,
    /// Hash of its meaning: the same in every run as long as the rule finds the same.
    pub fingerprint: u64,
    mentions: Vec<FieldMention>,
    tests: Option<Arc<RuleTests>>,
}

/// What a rule looks for.
#[derive(Debug, Clone)]
pub enum Body {
    /// A single event.
    Detection(Detection),
    /// Several events.
    Correlation(Correlation),
}

/// The `tests` of a rule, unread.
#[derive(Debug, Clone)]
pub struct RuleTests {
    /// The text they stand in, for diagnostics.
    pub source: SourceText,
    /// The value of `tests`.
    pub node: Node,
}

/// A field that is found within an object: `db.after.price` in `db.after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// The object.
    pub parent: FieldId,
    /// The key within it, dotted if deeper.
    pub path: Box<str>,
    /// The field as rules name it.
    pub field: FieldId,
}

/// A field that a rule asks for.
#[derive(Debug, Clone, Copy)]
pub struct FieldUse<'r> {
    /// The rule.
    pub rule: &'r Arc<RuleHead>,
    /// Its file.
    pub path: &'r Arc<str>,
    /// Where in it.
    pub place: Place,
    /// The field.
    pub field: FieldId,
    /// The events it is asked of.
    pub logsource: LogSource<'r>,
}

impl Ruleset {
    /// Reads rule files; rules with errors are left out and reported, the others stand.
    pub fn load(texts: &[SourceText], names: &mut FieldTable) -> (Self, Vec<Diagnostic>) {
        let (rules, diagnostics) = load::load(texts, names);
        let nested = nested(&rules, names);
        (Self { rules, nested }, diagnostics)
    }

    /// What is shown of every rule, in order.
    pub fn heads(&self) -> impl Iterator<Item = &Arc<RuleHead>> {
        self.rules.iter().map(|rule| &rule.head)
    }

    /// Every rule, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of an id.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| *rule.head.id == *id)
    }

    /// The rules that carry tests, with them.
    pub fn tests(&self) -> impl Iterator<Item = (&Rule, &RuleTests)> {
        self.rules.iter().filter_map(|rule| rule.tests.as_deref().map(|tests| (rule, tests)))
    }

    /// Every field that a rule asks for, with the events it is asked of. A field of a correlation
    /// is told once for each rule it refers to.
    pub fn field_uses(&self) -> impl Iterator<Item = FieldUse<'_>> {
        self.rules.iter().flat_map(|rule| {
            let sources: Vec<LogSource<'_>> = match &rule.body {
                Body::Detection(detection) => vec![detection.source.as_log_source()],
                Body::Correlation(correlation) => {
                    correlation.inputs.iter().filter_map(|input| self.source(input)).collect()
                }
            };
            rule.mentions.iter().flat_map(move |mention| {
                sources.clone().into_iter().map(move |logsource| FieldUse {
                    rule: &rule.head,
                    path: &rule.path,
                    place: mention.place,
                    field: mention.field,
                    logsource,
                })
            })
        })
    }

    /// Fields that are found within objects, sorted by object.
    pub fn nested(&self) -> &[Nested] {
        &self.nested
    }

    fn source(&self, input: &Input) -> Option<LogSource<'_>> {
        match &self.rules.get(input.rule)?.body {
            Body::Detection(detection) => Some(detection.source.as_log_source()),
            Body::Correlation(_) => None,
        }
    }
}

impl Rule {
    /// The rule's fields, as numbers: those it tests, groups by and measures.
    fn fields(&self, into: &mut BTreeSet<FieldId>) {
        into.extend(self.mentions.iter().map(|mention| mention.field));
        if let Body::Detection(detection) = &self.body {
            detection.expr.each(&mut |predicate| {
                if let Target::Field(field) = predicate.target {
                    into.insert(field);
                }
            });
        }
    }

    /// The condition over single events, if it is such a rule.
    pub fn expr(&self) -> Option<&Expr> {
        match &self.body {
            Body::Detection(detection) => Some(&detection.expr),
            Body::Correlation(_) => None,
        }
    }
}

fn nested(rules: &[Rule], names: &FieldTable) -> Vec<Nested> {
    let mut fields = BTreeSet::new();
    for rule in rules {
        rule.fields(&mut fields);
    }
    let mut nested = Vec::new();
    for field in fields {
        let name = names.name(field);
        for (at, _) in name.match_indices('.') {
            let (parent, path) = (name.get(..at), name.get(at + 1..));
            if let (Some(parent), Some(path)) = (parent.and_then(|p| names.lookup(p)), path) {
                nested.push(Nested { parent, path: path.into(), field });
            }
        }
    }
    nested.sort_by(|left, right| (left.parent, &left.path).cmp(&(right.parent, &right.path)));
    nested
}

#[cfg(test)]
mod tests;

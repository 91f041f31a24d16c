//! Why a rule fired for an event, or did not.

use super::view;
use super::{Detector, groups};
use crate::event::{Event, FieldTable, Timestamp};
use crate::finding::Group;
use crate::rule::predicate::{Expr, Predicate, Target};
use crate::rule::{Body, Ruleset};

/// A condition with the answer of each of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `and`, `or`, `not`, a search identifier, or a predicate as a person reads it.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// The values a predicate saw, as text; none for a field that is missing.
    pub values: Vec<String>,
    /// The parts it is made of.
    pub parts: Vec<Verdict>,
}

/// An entry of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowEntry {
    /// Its event time.
    pub time: Timestamp,
    /// How many occurrences it stands for.
    pub weight: u32,
    /// Which of the correlation's rules it matched, from 0.
    pub input: u8,
}

/// What a correlation holds for the group of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowView {
    /// The values of the group.
    pub group: Group,
    /// Entries that no episode has taken, oldest first.
    pub entries: Vec<WindowEntry>,
    /// Occurrences, first and last time of the episode that is running or was last.
    pub episode: Option<(u64, Timestamp, Timestamp)>,
}

/// Why a rule fired for an event, or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the rule looks at events of this `logsource` (for a correlation: whether any of its
    /// rules does).
    pub concerned: bool,
    /// The condition; for a correlation one for each rule it refers to.
    pub conditions: Vec<Verdict>,
    /// The window as it is now, for a correlation; `None` too if the event lacks a field of the
    /// group.
    pub window: Option<WindowView>,
}

/// Values shown of one predicate.
const VALUES_MAX: usize = 8;

impl Detector {
    /// Explains what a rule makes of an event, without letting the event count. `rules` is the set
    /// this detector was made of. `None` for a rule it does not know.
    pub fn explain(
        &self,
        rules: &Ruleset,
        rule_id: &str,
        event: &Event<'_>,
        names: &FieldTable,
    ) -> Option<Explanation> {
        let at = rules.rules().iter().position(|rule| *rule.head.id == *rule_id)?;
        let rule = rules.rules().get(at)?;
        match &rule.body {
            Body::Detection(detection) => Some(Explanation {
                concerned: super::route::concerns(&detection.source, &event.logsource),
                conditions: vec![self.verdict(&detection.expr, event, names)],
                window: None,
            }),
            Body::Correlation(correlation) => {
                let inner = correlation.inputs.iter().filter_map(|input| {
                    let id = &rules.rules().get(input.rule)?.head.id;
                    self.explain(rules, id, event, names)
                });
                let inner: Vec<Explanation> = inner.collect();
                let number = self.runners.iter().position(|runner| runner.rule as usize == at)?;
                Some(Explanation {
                    concerned: inner.iter().any(|explanation| explanation.concerned),
                    conditions: inner.into_iter().flat_map(|inner| inner.conditions).collect(),
                    window: self.window_view(number, event),
                })
            }
        }
    }

    fn window_view(&self, number: usize, event: &Event<'_>) -> Option<WindowView> {
        let runner = self.runners.get(number)?;
        let mut key = Vec::new();
        for field in &runner.correlation.inputs.first()?.group {
            let value = super::feed::first_text(event, &self.nested, *field)?;
            groups::push_value(&mut key, &value);
        }
        let window = self.groups.window(number as u32, &key);
        let entries = window.map(|window| window.entries.as_slice()).unwrap_or_default();
        let episode = window.and_then(|window| window.episodes().last());
        Some(WindowView {
            group: groups::group(runner, &key),
            entries: entries
                .iter()
                .map(|entry| WindowEntry {
                    time: Timestamp::from_nanos(entry.time),
                    weight: entry.weight,
                    input: entry.input,
                })
                .collect(),
            episode: episode.map(|episode| {
                let time = Timestamp::from_nanos;
                (episode.count, time(episode.first), time(episode.last))
            }),
        })
    }

    fn verdict(&self, expr: &Expr, event: &Event<'_>, names: &FieldTable) -> Verdict {
        let parts = |parts: &[Expr]| -> Vec<Verdict> {
            parts.iter().map(|part| self.verdict(part, event, names)).collect()
        };
        let (text, holds, parts) = match expr {
            Expr::Is(predicate) => return self.predicate(predicate, event, names),
            Expr::And(inner) => {
                let parts = parts(inner);
                ("and".to_owned(), parts.iter().all(|part| part.holds), parts)
            }
            Expr::Or(inner) => {
                let parts = parts(inner);
                ("or".to_owned(), parts.iter().any(|part| part.holds), parts)
            }
            Expr::Not(inner) => {
                let parts = parts(std::slice::from_ref(inner));
                ("not".to_owned(), !parts.iter().all(|part| part.holds), parts)
            }
            Expr::Named(name, inner) => {
                let parts = parts(std::slice::from_ref(inner));
                (String::from(&**name), parts.iter().all(|part| part.holds), parts)
            }
        };
        Verdict { text, holds, values: Vec::new(), parts }
    }

    fn predicate(&self, predicate: &Predicate, event: &Event<'_>, names: &FieldTable) -> Verdict {
        let mut values = Vec::new();
        if let Target::Field(field) = predicate.target {
            view::values(event, &self.nested, field, &mut |value| {
                if values.len() < VALUES_MAX {
                    values.push(
                        value.as_text().map_or_else(
                            || value.to_json().to_string(),
                            std::borrow::Cow::into_owned,
                        ),
                    );
                }
            });
        }
        Verdict {
            text: predicate.describe(names),
            holds: view::holds(predicate, event, &self.nested),
            values,
            parts: Vec::new(),
        }
    }
}

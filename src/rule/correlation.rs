//! Correlations: counts, values and sequences of rules within a span of event time.

use super::condition;
use super::modifier::Reader;
use super::predicate::{Comparison, Expr, Number, Target, Test};
use crate::diagnostic::Place;
use crate::event::FieldId;
use crate::yaml::{Node, duration};

/// Most rules one correlation may refer to.
pub const INPUTS_MAX: usize = 64;

/// What a correlation measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// How many events.
    EventCount,
    /// How many different values.
    ValueCount,
    /// How many different rules, in any order.
    Temporal,
    /// All rules in the order listed.
    TemporalOrdered,
    /// Sum of a field.
    ValueSum,
    /// Mean of a field.
    ValueAvg,
    /// Percentile of a field, nearest rank.
    ValuePercentile(Number),
    /// Median of a field.
    ValueMedian,
    /// A boolean condition over the rules seen (Sigma 2.2).
    Presence(Presence),
}

/// A boolean condition over inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// All of them.
    And(Vec<Presence>),
    /// One of them.
    Or(Vec<Presence>),
    /// Not that.
    Not(Box<Presence>),
    /// The input of this number was seen.
    Input(u8),
}

impl Presence {
    /// Whether it holds for the inputs whose bits are set.
    pub fn holds(&self, seen: u64) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(seen)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(seen)),
            Self::Not(inner) => !inner.holds(seen),
            Self::Input(number) => seen >> number & 1 == 1,
        }
    }

    fn from_expr(expr: &Expr) -> Self {
        match expr {
            Expr::And(parts) => Self::And(parts.iter().map(Self::from_expr).collect()),
            Expr::Or(parts) => Self::Or(parts.iter().map(Self::from_expr).collect()),
            Expr::Not(inner) => Self::Not(Box::new(Self::from_expr(inner))),
            Expr::Named(_, inner) => Self::from_expr(inner),
            Expr::Is(predicate) => match predicate.target {
                Target::Field(FieldId(number)) => Self::Input(number as u8),
                Target::Anywhere => Self::And(Vec::new()),
            },
        }
    }
}

/// One of the rules a correlation counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Position of the rule in the rule set.
    pub rule: usize,
    /// The field that gives each value of the group, in the order of `group-by`.
    pub group: Vec<FieldId>,
    /// The fields whose values are measured.
    pub values: Vec<FieldId>,
}

/// A checked correlation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// What it measures.
    pub measure: Measure,
    /// Over which rules.
    pub inputs: Vec<Input>,
    /// Names of the group's values, with their numbers.
    pub group_by: Vec<(Box<str>, FieldId)>,
    /// Length of the window, in nanoseconds.
    pub timespan: i64,
    /// What the measure must be: all of these.
    pub condition: Vec<(Comparison, Number)>,
}

/// A correlation whose references are still names.
#[derive(Debug)]
pub(super) struct Draft {
    kind: DraftKind,
    pub(super) rules: Vec<(String, Place)>,
    group_by: Vec<(Box<str>, FieldId)>,
    pub(super) group_place: Place,
    timespan: i64,
    condition: Vec<(Comparison, Number)>,
    values: Vec<(Box<str>, FieldId)>,
    aliases: Vec<Alias>,
    presence: Option<Node>,
    pub(super) generate: bool,
}

#[derive(Debug)]
struct Alias {
    name: Box<str>,
    rule: Box<str>,
    rule_place: Place,
    field: FieldId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DraftKind {
    EventCount,
    ValueCount,
    Temporal,
    TemporalOrdered,
    ValueSum,
    ValueAvg,
    ValuePercentile(Option<Number>),
    ValueMedian,
}

const KINDS: &[(&str, DraftKind)] = &[
    ("event_count", DraftKind::EventCount),
    ("value_count", DraftKind::ValueCount),
    ("temporal", DraftKind::Temporal),
    ("temporal_ordered", DraftKind::TemporalOrdered),
    ("value_sum", DraftKind::ValueSum),
    ("value_avg", DraftKind::ValueAvg),
    ("value_percentile", DraftKind::ValuePercentile(None)),
    ("value_median", DraftKind::ValueMedian),
];

const KEYS: &[&str] =
    &["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];

/// Reads the `correlation` of a document.
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Draft> {
    node.expect_map("`correlation`", reader.problems)?;
    node.check_keys("correlation", KEYS, reader.problems);
    let mut missing = false;
    for key in ["type", "rules", "timespan"] {
        if node.get(key).is_none() {
            reader.problems.error(node.place, format!("the correlation has no `{key}`"));
            missing = true;
        }
    }
    if missing {
        return None;
    }
    let kind = kind(node.get("type")?, reader)?;
    let rules = texts(node.get("rules")?, "`rules`", reader)?;
    if rules.is_empty() || rules.len() > INPUTS_MAX {
        let place = node.get("rules")?.place;
        let message = format!("a correlation refers to 1 to {INPUTS_MAX} rules");
        reader.problems.error(place, message);
        return None;
    }
    let group = node.get("group-by");
    let mut group_by = Vec::new();
    if let Some(group) = group.filter(|group| !group.is_null()) {
        for (name, place) in texts(group, "`group-by`", reader)? {
            let field = reader.field(&name, place);
            group_by.push((name.into_boxed_str(), field));
        }
    }
    let mut draft = Draft {
        kind,
        rules,
        group_by,
        group_place: group.map_or(node.place, |group| group.place),
        timespan: timespan(node.get("timespan")?, reader)?,
        condition: Vec::new(),
        values: Vec::new(),
        aliases: Vec::new(),
        presence: None,
        generate: false,
    };
    if let Some(generate) = node.get("generate") {
        let Some(value) = generate.as_bool() else {
            reader.problems.error(generate.place, "`generate` expects `true` or `false`");
            return None;
        };
        draft.generate = value;
    }
    draft.read_aliases(node.get("aliases"), reader)?;
    draft.read_condition(node.get("condition"), node.place, reader)?;
    Some(draft)
}

fn kind(node: &Node, reader: &mut Reader<'_>) -> Option<DraftKind> {
    let text = node.expect_text("the type of the correlation", reader.problems)?;
    let found = KINDS.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        reader.problems.unknown(node.place, "correlation type", text, &known);
    }
    found.map(|(_, kind)| *kind)
}

fn timespan(node: &Node, reader: &mut Reader<'_>) -> Option<i64> {
    let text = node.expect_text("`timespan`", reader.problems)?;
    let nanos = duration(text).filter(|nanos| *nanos > 0);
    if nanos.is_none() {
        let message = format!("`{text}` is not a span of time");
        reader.problems.error_hint(node.place, message, "for example `60s`, `5m`, `1h`, `7d`");
    }
    nanos
}

fn texts(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Vec<(String, Place)>> {
    node.items()
        .iter()
        .map(|item| {
            item.expect_text(what, reader.problems).map(|text| (text.to_owned(), item.place))
        })
        .collect()
}

impl Draft {
    fn read_aliases(&mut self, node: Option<&Node>, reader: &mut Reader<'_>) -> Option<()> {
        let Some(node) = node else { return Some(()) };
        for (name, _, rules) in node.expect_map("`aliases`", reader.problems)? {
            let asked = reader.mentions.len();
            for (rule, key, field) in rules.expect_map("an alias", reader.problems)? {
                let text = field.expect_text("the field of an alias", reader.problems)?;
                let id = reader.field(text, field.place);
                self.aliases.push(Alias {
                    name: name.into(),
                    rule: rule.into(),
                    rule_place: key.place,
                    field: id,
                });
            }
            // An alias is a name of this rule, no field; what it stands for belongs to one rule
            // alone, which asks for it itself.
            let alias = reader.names.intern(name);
            reader.mentions.truncate(asked);
            reader.mentions.retain(|mention| mention.field != alias);
        }
        Some(())
    }

    fn read_condition(
        &mut self,
        node: Option<&Node>,
        place: Place,
        reader: &mut Reader<'_>,
    ) -> Option<()> {
        let sequence = matches!(self.kind, DraftKind::Temporal | DraftKind::TemporalOrdered);
        let Some(node) = node else {
            if sequence {
                let every = Number(self.rules.len() as f64);
                self.condition.push((Comparison::Gte, every));
                return Some(());
            }
            reader.problems.error(place, "the correlation has no `condition`");
            return None;
        };
        if node.as_text().is_some() && self.kind == DraftKind::Temporal {
            self.presence = Some(node.clone());
            return Some(());
        }
        for (name, key, value) in node.expect_map("the condition", reader.problems)? {
            match name {
                "field" => {
                    for (name, place) in texts(value, "`field`", reader)? {
                        let field = reader.field(&name, place);
                        self.values.push((name.into(), field));
                    }
                }
                "percentile" => self.read_percentile(key.place, value, reader)?,
                _ => {
                    let Some(comparison) = Comparison::parse(name) else {
                        let known = ["gt", "gte", "lt", "lte", "eq", "neq", "field", "percentile"];
                        reader.problems.unknown(key.place, "condition key", name, &known);
                        return None;
                    };
                    self.condition.push((comparison, operand(name, value, reader)?));
                }
            }
        }
        self.check_condition(node.place, reader)
    }

    fn read_percentile(
        &mut self,
        place: Place,
        value: &Node,
        reader: &mut Reader<'_>,
    ) -> Option<()> {
        let number = value.as_float().filter(|number| (0.0..=100.0).contains(number));
        match (self.kind, number) {
            (DraftKind::ValuePercentile(_), Some(number)) => {
                self.kind = DraftKind::ValuePercentile(Some(Number(number)));
                Some(())
            }
            (DraftKind::ValuePercentile(_), None) => {
                reader.problems.error(value.place, "`percentile` expects a number from 0 to 100");
                None
            }
            _ => {
                reader.problems.error(place, "`percentile` belongs to `value_percentile`");
                None
            }
        }
    }

    fn check_condition(&mut self, place: Place, reader: &mut Reader<'_>) -> Option<()> {
        let problems = &mut *reader.problems;
        let wants_field = !matches!(
            self.kind,
            DraftKind::EventCount | DraftKind::Temporal | DraftKind::TemporalOrdered
        );
        let several = self.kind == DraftKind::ValueCount;
        let wrong = if self.condition.is_empty() {
            Some("the condition compares with nothing; expected for example `gte: 5`")
        } else if wants_field && self.values.is_empty() {
            Some("the condition names no `field`, which this type measures")
        } else if !wants_field && !self.values.is_empty() {
            Some("`field` has no meaning for this type; `value_count` counts values")
        } else if !several && self.values.len() > 1 {
            Some("only `value_count` takes several fields")
        } else if self.kind == DraftKind::ValuePercentile(None) {
            Some("the condition names no `percentile`")
        } else if self.kind == DraftKind::TemporalOrdered && !self.asks_for_every_rule() {
            Some("`temporal_ordered` is only supported for all of its rules")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            problems.error(place, wrong);
            return None;
        }
        self.warn_impossible(place, reader);
        Some(())
    }

    fn asks_for_every_rule(&self) -> bool {
        let every = self.rules.len() as f64;
        let holds = |count: f64| {
            self.condition.iter().all(|(comparison, number)| comparison.holds(count, number.0))
        };
        holds(every) && !holds(every - 1.0)
    }

    /// A count that no number of events, or any number of them, satisfies.
    fn warn_impossible(&self, place: Place, reader: &mut Reader<'_>) {
        let counted = matches!(
            self.kind,
            DraftKind::EventCount
                | DraftKind::ValueCount
                | DraftKind::Temporal
                | DraftKind::TemporalOrdered
        );
        if !counted {
            return;
        }
        let holds = |count: f64| {
            self.condition.iter().all(|(comparison, number)| comparison.holds(count, number.0))
        };
        // A condition of comparisons with constants only changes its answer next to a constant.
        let most =
            if self.kind == DraftKind::Temporal { self.rules.len() as f64 } else { f64::MAX };
        let near = self.condition.iter().flat_map(|(_, number)| {
            let number = number.0.floor();
            [number - 1.0, number, number + 1.0]
        });
        let possible = std::iter::once(1.0)
            .chain(near)
            .any(|count| (1.0..=most).contains(&count) && holds(count));
        let hint = "an event is looked at when it comes, so that at least one is always there";
        if !possible {
            reader.problems.warn(place, "no number of events can satisfy this condition", hint);
        } else if holds(1.0) && !holds(f64::MAX) && self.kind != DraftKind::Temporal {
            let message = "a single event satisfies this condition";
            reader.problems.warn(place, message, hint);
        }
    }

    /// Replaces names by positions. `find` gives the position of a rule by id or name.
    pub(super) fn resolve(
        &self,
        find: &dyn Fn(&str) -> Option<usize>,
        reader: &mut Reader<'_>,
    ) -> Option<Correlation> {
        let mut inputs = Vec::with_capacity(self.rules.len());
        for alias in &self.aliases {
            let target = find(&alias.rule);
            if target.is_none() || !self.rules.iter().any(|(rule, _)| find(rule) == target) {
                let message = format!("the alias names `{}`, which is not in `rules`", alias.rule);
                reader.problems.error(alias.rule_place, message);
                return None;
            }
        }
        for (rule, place) in &self.rules {
            let Some(position) = find(rule) else {
                let message = format!("unknown rule `{rule}`");
                let hint = "refer to a rule by its `id` or `name`; a rule with errors is not known";
                reader.problems.error_hint(*place, message, hint);
                return None;
            };
            let field = |(name, field): &(Box<str>, FieldId)| {
                let alias = self
                    .aliases
                    .iter()
                    .find(|alias| alias.name == *name && find(&alias.rule) == Some(position));
                alias.map_or(*field, |alias| alias.field)
            };
            inputs.push(Input {
                rule: position,
                group: self.group_by.iter().map(field).collect(),
                values: self.values.iter().map(field).collect(),
            });
        }
        let measure = match self.kind {
            DraftKind::EventCount => Measure::EventCount,
            DraftKind::ValueCount => Measure::ValueCount,
            DraftKind::Temporal => match &self.presence {
                Some(node) => Measure::Presence(self.presence(node, reader)?),
                None => Measure::Temporal,
            },
            DraftKind::TemporalOrdered => Measure::TemporalOrdered,
            DraftKind::ValueSum => Measure::ValueSum,
            DraftKind::ValueAvg => Measure::ValueAvg,
            DraftKind::ValuePercentile(number) => Measure::ValuePercentile(number?),
            DraftKind::ValueMedian => Measure::ValueMedian,
        };
        Some(Correlation {
            measure,
            inputs,
            group_by: self.group_by.clone(),
            timespan: self.timespan,
            condition: self.condition.clone(),
        })
    }

    fn presence(&self, node: &Node, reader: &mut Reader<'_>) -> Option<Presence> {
        let selections: Vec<(&str, Expr)> = self
            .rules
            .iter()
            .enumerate()
            .map(|(number, (name, _))| {
                let input = Target::Field(FieldId(number as u16));
                (name.as_str(), Expr::is(input, Test::Exists))
            })
            .collect();
        let expr = condition::read(node, &selections, reader.problems)?;
        Some(Presence::from_expr(&expr))
    }
}

fn operand(name: &str, value: &Node, reader: &mut Reader<'_>) -> Option<Number> {
    let number = value
        .as_int()
        .map(|whole| whole as f64)
        .or_else(|| value.as_float())
        .filter(|number| number.is_finite());
    if number.is_none() {
        reader.problems.error(value.place, format!("`{name}` expects a number"));
    }
    number.map(Number)
}

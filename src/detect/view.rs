//! An event as rules see it: values by field, within objects and lists, and tests of one value.

use crate::event::{Civil, Event, FieldId, Parsed, Value, ecs};
use crate::rule::Nested;
use crate::rule::pattern::{Case, fold, fold_into};
use crate::rule::predicate::{Anchor, Predicate, Target, Test, TimePart};
use std::fmt::Write as _;
use std::net::IpAddr;

/// Deepest nesting of lists and objects that is looked into.
const DEPTH_MAX: usize = 32;

/// Fields that are found within objects, sorted by object and by field.
#[derive(Debug, Default)]
pub(super) struct NestedFields {
    by_parent: Vec<Nested>,
    by_field: Vec<Nested>,
}

impl NestedFields {
    pub(super) fn new(nested: &[Nested]) -> Self {
        let (by_parent, mut by_field) = (nested.to_vec(), nested.to_vec());
        by_field.sort_by_key(|nested| nested.field);
        Self { by_parent, by_field }
    }

    /// The fields that may be within an object.
    pub(super) fn within(&self, parent: FieldId) -> &[Nested] {
        range(&self.by_parent, |nested| nested.parent.cmp(&parent))
    }

    fn of(&self, field: FieldId) -> &[Nested] {
        range(&self.by_field, |nested| nested.field.cmp(&field))
    }
}

fn range(sorted: &[Nested], order: impl Fn(&Nested) -> std::cmp::Ordering) -> &[Nested] {
    let start = sorted.partition_point(|nested| order(nested).is_lt());
    let rest = sorted.get(start..).unwrap_or_default();
    let end = rest.partition_point(|nested| order(nested).is_eq());
    rest.get(..end).unwrap_or_default()
}

/// Visits what a dotted path leads to. Keys may themselves hold dots.
pub(super) fn descend<'a>(value: Value<'a>, path: &str, visit: &mut impl FnMut(Value<'a>)) {
    match value {
        Value::Map(entries) => {
            for (key, inner) in entries {
                match path.strip_prefix(key) {
                    Some("") => visit(*inner),
                    Some(rest) => {
                        if let Some(rest) = rest.strip_prefix('.') {
                            descend(*inner, rest, visit);
                        }
                    }
                    None => {}
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| descend(*item, path, visit)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {}
    }
}

/// A field that the event carries outside its list of fields.
pub(super) fn implied<'a>(event: &Event<'a>, field: FieldId) -> Option<Value<'a>> {
    match field {
        ecs::MESSAGE if !event.message.is_empty() => Some(Value::Str(event.message)),
        ecs::EVENT_ORIGINAL => Some(Value::Str(event.original)),
        ecs::EVENT_COUNT if event.repeat > 1 => Some(Value::Int(i64::from(event.repeat))),
        ecs::EVENT_KIND => match event.parsed {
            Parsed::Failed(_) => Some(Value::Str("pipeline_error")),
            Parsed::Matched | Parsed::Unmatched => None,
        },
        ecs::ERROR_MESSAGE => match event.parsed {
            Parsed::Failed(reason) => Some(Value::Str(reason)),
            Parsed::Matched | Parsed::Unmatched => None,
        },
        _ => None,
    }
}

/// The fields [`implied`] knows.
pub(super) const IMPLIED: [FieldId; 5] =
    [ecs::MESSAGE, ecs::EVENT_ORIGINAL, ecs::EVENT_COUNT, ecs::EVENT_KIND, ecs::ERROR_MESSAGE];

/// Visits the values of a field; whether it is there at all, be it null or an empty list.
pub(super) fn values<'a>(
    event: &Event<'a>,
    nested: &NestedFields,
    field: FieldId,
    visit: &mut impl FnMut(Value<'a>),
) -> bool {
    if let Some(value) = event.get(field).or_else(|| implied(event, field)) {
        leaves(value, 0, visit);
        return true;
    }
    let mut found = false;
    for candidate in nested.of(field) {
        if let Some(object) = event.get(candidate.parent) {
            descend(object, &candidate.path, &mut |value| {
                found = true;
                leaves(value, 0, visit);
            });
        }
    }
    found
}

/// Visits every value of a list, or the value itself.
pub(super) fn leaves<'a>(value: Value<'a>, depth: usize, visit: &mut impl FnMut(Value<'a>)) {
    match value {
        Value::List(items) if depth < DEPTH_MAX => {
            for item in items {
                leaves(*item, depth + 1, visit);
            }
        }
        other => visit(other),
    }
}

/// Visits every value, also those within objects.
pub(super) fn deep_leaves<'a>(value: Value<'a>, depth: usize, visit: &mut impl FnMut(Value<'a>)) {
    match value {
        Value::List(items) if depth < DEPTH_MAX => {
            for item in items {
                deep_leaves(*item, depth + 1, visit);
            }
        }
        Value::Map(entries) if depth < DEPTH_MAX => {
            for (_, inner) in entries {
                deep_leaves(*inner, depth + 1, visit);
            }
        }
        other => visit(other),
    }
}

/// The text of a value, in `scratch` where it has to be made.
pub(super) fn text<'t>(value: Value<'t>, scratch: &'t mut String) -> Option<&'t str> {
    let written = match value {
        Value::Str(text) => return Some(text),
        Value::Bool(true) => return Some("true"),
        Value::Bool(false) => return Some("false"),
        Value::Null | Value::List(_) | Value::Map(_) => return None,
        Value::Int(number) => {
            scratch.clear();
            write!(scratch, "{number}")
        }
        Value::Float(number) => {
            scratch.clear();
            write!(scratch, "{number}")
        }
    };
    written.is_ok().then_some(scratch)
}

/// Every text a keyword is searched in, once each: what is a slice of the raw record is not
/// visited again. The raw record is left out where it is a JSON object, whose keys and escapes
/// would be searched with it; its values are all visited.
pub(super) fn every_text<'a>(event: &Event<'a>, visit: &mut impl FnMut(Value<'a>)) {
    let json = event.original.trim_ascii_start().starts_with('{');
    let seen = if json { "" } else { event.original };
    let mut once = |value: Value<'a>| match value {
        Value::Str(text) if within(text, seen) => {}
        Value::Null | Value::Map(_) | Value::List(_) => {}
        other => visit(other),
    };
    if !json {
        once(Value::Str(event.message));
    }
    for (_, value) in &event.fields {
        deep_leaves(*value, 0, &mut once);
    }
    if json {
        once(Value::Str(event.message));
    } else {
        visit(Value::Str(event.original));
    }
}

/// Whether a text is a slice of another.
fn within(part: &str, whole: &str) -> bool {
    let (part, whole) = (part.as_bytes().as_ptr_range(), whole.as_bytes().as_ptr_range());
    whole.start <= part.start && part.end <= whole.end && part.start < part.end
}

/// Whether a predicate holds for an event: the plain way, without an index.
pub(super) fn holds(predicate: &Predicate, event: &Event<'_>, nested: &NestedFields) -> bool {
    let mut scratch = String::new();
    let mut found = false;
    let field = match predicate.target {
        Target::Anywhere => {
            every_text(event, &mut |value| {
                found = found || value_holds(&predicate.test, value, &mut scratch);
            });
            return found;
        }
        Target::Field(field) => field,
    };
    match &predicate.test {
        Test::Exists => values(event, nested, field, &mut |_| {}),
        Test::Null => {
            let (mut any, mut null) = (false, false);
            values(event, nested, field, &mut |value| {
                any = true;
                null = null || value == Value::Null;
            });
            null || !any
        }
        Test::SameAs(other, anchor, case) => {
            values(event, nested, field, &mut |left| {
                if found {
                    return;
                }
                let Some(left) = left.as_text() else { return };
                values(event, nested, *other, &mut |right| {
                    let right = right.as_text();
                    found = found || right.is_some_and(|right| same(&left, &right, *anchor, *case));
                });
            });
            found
        }
        Test::Time(part, comparison, wanted) if field == ecs::AT_TIMESTAMP => {
            comparison.holds(time_part(Civil::from_timestamp(event.time), *part), *wanted)
        }
        test => {
            values(event, nested, field, &mut |value| {
                found = found || value_holds(test, value, &mut scratch);
            });
            found
        }
    }
}

fn value_holds(test: &Test, value: Value<'_>, scratch: &mut String) -> bool {
    match test {
        Test::Number(comparison, number) => value
            .as_float()
            .filter(|float| float.is_finite())
            .is_some_and(|float| comparison.holds(float, number.0)),
        Test::Cidr(cidr) => {
            let address = value.as_str().and_then(|text| text.trim().parse::<IpAddr>().ok());
            address.is_some_and(|address| cidr.contains(address))
        }
        Test::Time(part, comparison, wanted) => value
            .as_str()
            .and_then(Civil::parse_iso)
            .is_some_and(|(civil, _)| comparison.holds(time_part(civil, *part), *wanted)),
        Test::Text(shape, case) => match (text(value, scratch), case) {
            (Some(text), Case::Exact) => shape.matches(text),
            (Some(text), Case::Folded) => shape.matches(&fold(text)),
            (None, _) => false,
        },
        Test::Regex(regex) => {
            text(value, scratch).is_some_and(|text| regex.compiled.is_match(text))
        }
        Test::Exists | Test::Null | Test::SameAs(..) => false,
    }
}

fn same(left: &str, right: &str, anchor: Anchor, case: Case) -> bool {
    let (mut left_folded, mut right_folded) = (String::new(), String::new());
    let (left, right) = match case {
        Case::Exact => (left, right),
        Case::Folded => {
            fold_into(left, &mut left_folded);
            fold_into(right, &mut right_folded);
            (left_folded.as_str(), right_folded.as_str())
        }
    };
    match anchor {
        Anchor::Whole => left == right,
        Anchor::Start => left.starts_with(right),
        Anchor::End => left.ends_with(right),
        Anchor::Inside => left.contains(right),
    }
}

/// A part of a time as it is written, without conversion of its zone.
fn time_part(civil: Civil, part: TimePart) -> i64 {
    match part {
        TimePart::Minute => i64::from(civil.minute),
        TimePart::Hour => i64::from(civil.hour),
        TimePart::Day => i64::from(civil.day),
        TimePart::Month => i64::from(civil.month),
        TimePart::Year => i64::from(civil.year),
        TimePart::Week => iso_week(civil),
    }
}

/// ISO 8601: week 1 is the one with the year's first Thursday; weeks begin on Monday.
fn iso_week(civil: Civil) -> i64 {
    let day = |civil: Civil| civil.at_offset(0).seconds().div_euclid(86_400);
    let today = day(civil);
    // 1970-01-01 was a Thursday.
    let thursday = today - (today + 3).rem_euclid(7) + 3;
    let year = Civil::from_timestamp(crate::event::Timestamp::from_seconds(thursday * 86_400)).year;
    let first = Civil { year, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanos: 0 };
    (thursday - day(first)) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_iso_8601() {
        for (date, week) in [
            ("2026-01-01T00:00:00Z", 1),
            ("2021-01-03T12:00:00Z", 53),
            ("2024-12-30T00:00:00Z", 1),
            ("2020-12-31T00:00:00Z", 53),
            ("2026-07-06T00:00:00Z", 28),
        ] {
            let (civil, _) = Civil::parse_iso(date).unwrap();
            assert_eq!(iso_week(civil), week, "{date}");
        }
    }

    #[test]
    fn a_path_leads_through_objects_lists_and_dotted_keys() {
        let inner = [("c", Value::Int(1))];
        let items = [Value::Map(&inner), Value::Int(7), Value::Map(&inner)];
        let entries = [("a.b", Value::List(&items)), ("a", Value::Str("x"))];
        let mut found = Vec::new();
        descend(Value::Map(&entries), "a.b.c", &mut |value| found.push(value));
        assert_eq!(found, [Value::Int(1), Value::Int(1)]);
    }
}

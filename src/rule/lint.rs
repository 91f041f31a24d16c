//! Rules that can be read but never fire, or not as meant.

use super::Correlation;
use super::modifier::Reader;
use super::pattern::{Case, Shape};
use super::predicate::{Expr, Predicate, Target, Test};
use crate::diagnostic::Place;
use crate::event::{FieldTable, FieldType};
use crate::yaml::Problems;

/// Warns when no event can satisfy the condition.
pub(super) fn expr(place: Place, expr: &Expr, reader: &mut Reader<'_>) {
    if let Some(why) = contradiction(expr, reader.names) {
        let hint = "a field has one value; list the values, or use two selections with `or`";
        reader.problems.warn(place, format!("this rule can never fire: {why}"), hint);
    }
}

/// Why an expression cannot hold: two different exact values of a field that has one, or a part
/// that cannot hold.
fn contradiction(expr: &Expr, names: &FieldTable) -> Option<String> {
    match expr {
        Expr::And(parts) => {
            let mut exact: Vec<(Target, &str)> = Vec::new();
            for part in parts {
                let Some((target, value)) = exact_value(part, names) else { continue };
                if let Some((_, other)) = exact.iter().find(|(t, v)| *t == target && *v != value) {
                    return Some(format!("one value cannot be both `{other}` and `{value}`"));
                }
                exact.push((target, value));
            }
            parts.iter().find_map(|part| contradiction(part, names))
        }
        Expr::Or(parts) => {
            let reasons: Option<Vec<String>> =
                parts.iter().map(|part| contradiction(part, names)).collect();
            reasons.and_then(|reasons| reasons.into_iter().next())
        }
        Expr::Named(_, inner) => contradiction(inner, names),
        Expr::Not(_) | Expr::Is(_) => None,
    }
}

/// The one value a part demands of a schema field that has a single value.
fn exact_value<'e>(expr: &'e Expr, names: &FieldTable) -> Option<(Target, &'e str)> {
    match expr {
        Expr::Named(_, inner) => exact_value(inner, names),
        Expr::Is(predicate) => match &**predicate {
            Predicate {
                target: target @ Target::Field(field),
                test: Test::Text(Shape::Exact(value), Case::Folded),
            } => {
                let kind = names.schema(*field)?.kind;
                let several = matches!(
                    kind,
                    FieldType::Keywords | FieldType::Ips | FieldType::Macs | FieldType::Object
                );
                (!several).then_some((*target, &**value))
            }
            _ => None,
        },
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) => None,
    }
}

/// Warns when a filter keeps what it names instead of suppressing it.
pub(super) fn filter(place: Place, expr: &Expr, reader: &mut Reader<'_>) {
    if !negates(expr) {
        let message = "this filter keeps only what it names, and suppresses everything else";
        let hint = "to suppress what it names, write `condition: not selection`";
        reader.problems.warn(place, message, hint);
    }
}

fn negates(expr: &Expr) -> bool {
    match expr {
        Expr::Not(_) => true,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(negates),
        Expr::Named(_, inner) => negates(inner),
        Expr::Is(_) => false,
    }
}

/// Warns when a correlation groups by what a correlation it refers to does not tell.
pub(super) fn groups<'c>(
    place: Place,
    outer: &Correlation,
    problems: &mut Problems,
    inner: impl Fn(usize) -> Option<&'c Correlation>,
) {
    for input in &outer.inputs {
        let Some(inner) = inner(input.rule) else { continue };
        for (field, (name, _)) in input.group.iter().zip(&outer.group_by) {
            if !inner.group_by.iter().any(|(_, known)| known == field) {
                let message = format!(
                    "this correlation can never fire: a rule it refers to does not group by `{name}`"
                );
                let hint = "a correlation only tells the values of its own `group-by`";
                problems.warn(place, message, hint);
            }
        }
    }
}

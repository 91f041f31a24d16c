//! The `logsource` and `detection` of a rule.

use super::condition;
use super::modifier::{self, Reader};
use super::predicate::Expr;
use crate::event::LogSource;
use crate::yaml::{Node, NodeKind};

/// Sigma's routing keys, owned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleSource {
    /// For example `linux`.
    pub product: Option<Box<str>>,
    /// For example `process_creation`.
    pub category: Option<Box<str>>,
    /// For example `sshd`.
    pub service: Option<Box<str>>,
}

impl RuleSource {
    /// The same, borrowed.
    pub fn as_log_source(&self) -> LogSource<'_> {
        LogSource {
            product: self.product.as_deref(),
            category: self.category.as_deref(),
            service: self.service.as_deref(),
        }
    }

    /// Whether every key named here has the same value there.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covers =
            |here: &Option<Box<str>>, there: &Option<Box<str>>| here.is_none() || here == there;
        covers(&self.product, &other.product)
            && covers(&self.category, &other.category)
            && covers(&self.service, &other.service)
    }
}

/// A rule over single events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// Which events it looks at.
    pub source: RuleSource,
    /// What must hold, filters included.
    pub expr: Expr,
}

/// Reads `logsource`.
pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<RuleSource> {
    let entries = node.expect_map("`logsource`", reader.problems)?;
    let mut source = RuleSource::default();
    for (name, _, value) in entries {
        let slot = match name {
            "product" => &mut source.product,
            "category" => &mut source.category,
            "service" => &mut source.service,
            _ => continue,
        };
        if !value.is_null() {
            *slot = Some(value.expect_text(name, reader.problems)?.into());
        }
    }
    Some(source)
}

/// Reads `detection` (or the body of a filter, with the names in `skip` left out): every search
/// identifier, then the condition.
pub(super) fn detection(node: &Node, skip: &[&str], reader: &mut Reader<'_>) -> Option<Expr> {
    let entries = node.expect_map("`detection`", reader.problems)?;
    let mut selections = Vec::new();
    let mut condition = None;
    let mut complete = true;
    for (name, key, value) in entries {
        match name {
            "condition" => condition = Some(value),
            "timeframe" => reader.problems.warn(
                key.place,
                "`timeframe` belongs to the obsolete aggregations and has no effect",
                "write a correlation rule with a `timespan`",
            ),
            _ if skip.contains(&name) => {}
            _ => match selection(name, value, reader) {
                Some(expr) => selections.push((name, expr)),
                None => complete = false,
            },
        }
    }
    let Some(condition) = condition else {
        reader.problems.error(node.place, "there is no `condition`");
        return None;
    };
    if !complete {
        return None;
    }
    let expr = condition::read(condition, &selections, reader.problems)?;
    Some(expr)
}

/// One search identifier: a mapping (all), a list of mappings or keywords (any), or one keyword.
fn selection(name: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Expr> {
    match &node.kind {
        NodeKind::Map(_) => mapping(name, node, reader),
        NodeKind::Scalar { .. } if node.is_null() => {
            reader.problems.error(node.place, format!("the selection `{name}` is empty"));
            None
        }
        NodeKind::Scalar { .. } => modifier::keyword(node, reader),
        NodeKind::List(items) => {
            if items.is_empty() {
                reader.problems.error(node.place, format!("the selection `{name}` is empty"));
                return None;
            }
            let mut parts = Vec::with_capacity(items.len());
            for item in items {
                parts.push(match &item.kind {
                    NodeKind::Map(_) => mapping(name, item, reader)?,
                    NodeKind::Scalar { .. } => modifier::keyword(item, reader)?,
                    NodeKind::List(_) => {
                        let message = "a list within a list; expected a mapping or a keyword";
                        reader.problems.error(item.place, message);
                        return None;
                    }
                });
            }
            Some(Expr::any(parts))
        }
    }
}

fn mapping(name: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Expr> {
    let entries = node.expect_map("a selection", reader.problems)?;
    if entries.is_empty() {
        reader.problems.error(node.place, format!("the selection `{name}` is empty"));
        return None;
    }
    let mut parts = Vec::with_capacity(entries.len());
    let mut complete = true;
    for (key, key_node, value) in entries {
        match modifier::entry(key, key_node.place, value, reader) {
            Some(part) => parts.push(part),
            None => complete = false,
        }
    }
    complete.then(|| Expr::all(parts))
}

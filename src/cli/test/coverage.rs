//! Which rules have no test in which they fire, or none in which they stay silent.

use super::case::CaseOutcome;
use crate::yaml::Node;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a rule lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A test in which it fires.
    Firing,
    /// A test in which it does not.
    Silent,
}

impl Missing {
    /// As it is written.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Silent => "silent",
        }
    }
}

/// A rule that lacks a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// Its file.
    pub(super) path: Arc<str>,
    /// Its id, name or title.
    pub(super) rule: Box<str>,
    /// What it lacks.
    pub(super) missing: Missing,
}

/// What the rules of a file lack. A rule that only feeds a correlation is tested by it.
pub(super) fn gaps(path: &Arc<str>, nodes: &[Node], outcomes: &[CaseOutcome]) -> Vec<Gap> {
    let feeding = feeding(nodes);
    let mut gaps = Vec::new();
    for node in nodes {
        let is_rule = node.get("detection").is_some() || node.get("correlation").is_some();
        let names: Vec<&str> = names(node).collect();
        let Some(rule) = names.first() else { continue };
        if !is_rule || names.iter().any(|name| feeding.contains(name)) {
            continue;
        }
        let has_fired =
            |outcome: &CaseOutcome| outcome.fired.iter().any(|fired| names.contains(&&**fired));
        let mut lacks = |missing: Missing| {
            gaps.push(Gap { path: Arc::clone(path), rule: (*rule).into(), missing });
        };
        if !outcomes.iter().any(&has_fired) {
            lacks(Missing::Firing);
        }
        if !outcomes.iter().any(|outcome| !has_fired(outcome)) {
            lacks(Missing::Silent);
        }
    }
    gaps
}

/// The names under which a rule may be known, the one of its findings first.
pub(super) fn names(node: &Node) -> impl Iterator<Item = &str> {
    ["id", "name", "title"]
        .into_iter()
        .filter_map(|key| node.get(key).filter(|value| !value.is_null())?.as_text())
}

/// What correlations refer to without asking for findings of its own (`generate: true`).
fn feeding(nodes: &[Node]) -> BTreeSet<&str> {
    nodes
        .iter()
        .filter(|node| node.get("generate").and_then(Node::as_bool) != Some(true))
        .filter_map(|node| node.get("correlation"))
        .filter(|node| node.get("generate").and_then(Node::as_bool) != Some(true))
        .filter_map(|node| node.get("rules"))
        .flat_map(Node::items)
        .filter_map(Node::as_text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceText;
    use crate::yaml;

    fn outcome(fired: &[&str]) -> CaseOutcome {
        CaseOutcome {
            path: "r.yml".into(),
            name: "t".into(),
            failure: None,
            fired: fired.iter().map(|name| Box::from(*name)).collect(),
        }
    }

    #[test]
    fn a_rule_needs_a_firing_and_a_silent_test_but_not_one_that_feeds_another() {
        let text = "title: base\nname: failed\ndetection: {}\n---\n\
                    title: many\nid: m1\ncorrelation: {rules: [failed]}\n---\ntitle: f\nfilter: {}\n";
        let nodes = yaml::parse(&SourceText::new("r.yml", text)).unwrap();
        let path = Arc::from("r.yml");
        let lacks = |outcomes: &[CaseOutcome]| -> Vec<(Box<str>, Missing)> {
            gaps(&path, &nodes, outcomes).into_iter().map(|gap| (gap.rule, gap.missing)).collect()
        };
        assert_eq!(
            lacks(&[]),
            vec![("m1".into(), Missing::Firing), ("m1".into(), Missing::Silent)]
        );
        assert_eq!(lacks(&[outcome(&["m1"])]), vec![("m1".into(), Missing::Silent)]);
        assert_eq!(lacks(&[outcome(&["m1"]), outcome(&[])]), vec![]);
    }
}

//! The routing tree as it is written.
//!
//! ```yaml
//! route:
//!   to: [screen, archive]
//!   routes:
//!     - {match: {level: high}, to: [team], continue: true}
//!     - {match: {alert_type: BRUTE_FORCE_DETECTED, source.ip: [10.0.0.1]}, to: []}
//! ```

use crate::finding::{AlertType, Level};
use crate::route::{Matcher, Route};
use crate::yaml::{Node, Problems};

/// Reads the tree; without one, every output is told of everything.
pub(super) fn read(node: Option<&Node>, sinks: &[&str], problems: &mut Problems) -> Route {
    match node {
        Some(node) => route(node, sinks, problems),
        None => Route::to_all(sinks.iter().map(|sink| (*sink).into())),
    }
}

fn route(node: &Node, sinks: &[&str], problems: &mut Problems) -> Route {
    if node.expect_map("route", problems).is_none() {
        return Route::default();
    }
    node.check_keys("route", &["to", "match", "routes", "continue"], problems);
    let mut to: Vec<Box<str>> = Vec::new();
    for item in node.get("to").map(Node::items).unwrap_or_default() {
        let Some(name) = item.expect_text("to", problems) else { continue };
        if sinks.contains(&name) {
            to.push(name.into());
        } else {
            problems.unknown(item.place, "output", name, sinks);
        }
    }
    let matchers = node.get("match").map(|node| matchers(node, problems)).unwrap_or_default();
    let routes = node.get("routes").map(Node::items).unwrap_or_default();
    Route {
        matchers,
        to,
        routes: routes.iter().map(|child| route(child, sinks, problems)).collect(),
        goes_on: node.get("continue").and_then(Node::as_bool).unwrap_or_default(),
    }
}

fn matchers(node: &Node, problems: &mut Problems) -> Vec<Matcher> {
    let mut found = Vec::new();
    for (name, _, value) in node.expect_map("match", problems).unwrap_or_default() {
        let texts: Vec<Box<str>> = value
            .items()
            .iter()
            .filter_map(|item| Some(item.expect_text(name, problems)?.into()))
            .collect();
        match name {
            "level" => {
                if let Some(level) = texts.first().and_then(|text| Level::parse(text)) {
                    found.push(Matcher::Level(level));
                } else {
                    let known = Level::ALL.map(Level::as_str);
                    let given = value.as_text().unwrap_or_default();
                    problems.unknown(value.place, "level", given, &known);
                }
            }
            "alert_type" => {
                for text in &texts {
                    if AlertType::parse(text).is_none() {
                        let known: Vec<&str> =
                            AlertType::ALL.iter().map(|kind| kind.as_str()).collect();
                        problems.unknown(value.place, "alert type", text, &known);
                    }
                }
                found.push(Matcher::AlertType(texts));
            }
            "rule" => found.push(Matcher::Rule(texts)),
            field => found.push(Matcher::Group(field.into(), texts)),
        }
    }
    found
}

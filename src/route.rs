//! Which outputs are told of an incident: a tree of matchers, walked from the top.
//!
//! A node whose matchers hold takes the incident; the first of its children that takes it decides
//! instead, and with `continue: true` the next ones are asked as well.

use crate::finding::{Incident, Level};

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// All of them must hold.
    pub matchers: Vec<Matcher>,
    /// The outputs that are told where no child decides.
    pub to: Vec<Box<str>>,
    /// Asked in order.
    pub routes: Vec<Route>,
    /// Whether the siblings behind this one are asked as well.
    pub goes_on: bool,
}

/// A condition on an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// At least this level.
    Level(Level),
    /// One of these alert types.
    AlertType(Vec<Box<str>>),
    /// One of these rules, by id.
    Rule(Vec<Box<str>>),
    /// A group field has one of these values.
    Group(Box<str>, Vec<Box<str>>),
}

impl Matcher {
    fn holds(&self, incident: &Incident) -> bool {
        let among =
            |values: &[Box<str>], value: &str| values.iter().any(|wanted| **wanted == *value);
        match self {
            Self::Level(least) => incident.rule.level >= *least,
            Self::AlertType(kinds) => among(kinds, incident.rule.alert_type.as_str()),
            Self::Rule(ids) => among(ids, &incident.rule.id),
            Self::Group(field, values) => {
                incident.group.iter().any(|(name, value)| name == field && among(values, value))
            }
        }
    }
}

impl Route {
    /// Tells every incident to the same outputs.
    pub fn to_all(sinks: impl IntoIterator<Item = Box<str>>) -> Self {
        Self { to: sinks.into_iter().collect(), ..Self::default() }
    }

    /// The outputs to tell, each once, in the order of the tree.
    pub fn targets(&self, incident: &Incident) -> Vec<&str> {
        let mut found = Vec::new();
        self.collect(incident, &mut found);
        found
    }

    fn collect<'r>(&'r self, incident: &Incident, found: &mut Vec<&'r str>) -> bool {
        if !self.matchers.iter().all(|matcher| matcher.holds(incident)) {
            return false;
        }
        let mut is_decided = false;
        for child in &self.routes {
            if child.collect(incident, found) {
                is_decided = true;
                if !child.goes_on {
                    break;
                }
            }
        }
        if !is_decided {
            for sink in &self.to {
                if !found.contains(&&**sink) {
                    found.push(sink);
                }
            }
        }
        true
    }
}

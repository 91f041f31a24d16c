//! What to do next about an incident: the steps its rule names, else those of its alert type.
//!
//! Steps are advice for a person, kept with the incident and shown with every message about it.

use crate::finding::{AlertType, Incident, Step};
use std::collections::HashMap;

/// Steps by rule id.
#[derive(Debug, Clone, Default)]
pub struct Advice {
    by_rule: HashMap<Box<str>, Vec<Box<str>>>,
}

impl Advice {
    /// Takes the steps that rules name.
    pub fn new(steps: impl IntoIterator<Item = (Box<str>, Vec<Box<str>>)>) -> Self {
        let by_rule = steps.into_iter().filter(|(_, steps)| !steps.is_empty()).collect();
        Self { by_rule }
    }

    /// The steps for a new incident, in order.
    pub fn steps(&self, incident: &Incident) -> Vec<Step> {
        let step = |(number, text): (usize, &str)| Step {
            incident: incident.id.clone(),
            number: number as u32 + 1,
            text: text.into(),
        };
        match self.by_rule.get(&incident.rule.id) {
            Some(named) => named.iter().map(AsRef::as_ref).enumerate().map(step).collect(),
            None => usual(incident.rule.alert_type).iter().copied().enumerate().map(step).collect(),
        }
    }
}

/// What helps with an alert of a type when its rule says nothing better.
const fn usual(kind: AlertType) -> &'static [&'static str] {
    match kind {
        AlertType::BruteForce => &[
            "Check whether one of the attempts succeeded: look for an accepted login of the same address.",
            "If the address is not yours, block it; if logins from outside are not needed, close the port.",
        ],
        AlertType::SuspiciousLogin | AlertType::UnusualLocation => &[
            "Ask the person behind the account whether it was them.",
            "If it was not: end the session, change the password, look at what was done since.",
        ],
        AlertType::UnauthorizedAccess | AlertType::PermissionViolation => &[
            "Find out who gave this right or made this account, and whether it was agreed.",
            "If it was not: take the right away or lock the account, and look at what was done with it.",
        ],
        AlertType::DataBreachAttempt | AlertType::DataAccessAnomaly => &[
            "Find out which records were read and where they went; keep the logs.",
            "Stop the account or connection, then tell the person responsible for data protection.",
        ],
        AlertType::SystemCompromise | AlertType::SystemIntrusion => &[
            "Do not trust this host: take it off the network, but do not switch it off.",
            "Save the logs to another machine, change every password used on it, call for help.",
        ],
        AlertType::AccountLocked => {
            &["Ask the person whether they were locked out, or somebody tried their account."]
        }
        AlertType::RateLimitExceeded | AlertType::UnusualActivity => {
            &["Look at the evidence and decide whether this is how the shop works today."]
        }
    }
}

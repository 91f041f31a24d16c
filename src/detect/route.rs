//! Which rules an event concerns, by Sigma's `logsource`.
//!
//! Every key a rule names must have the same value in the event. Beyond that, some services are
//! families: a rule for `auth` also sees the programs whose lines go to the auth log.

use crate::event::LogSource;
use crate::rule::RuleSource;
use std::collections::HashMap;

/// Programs that log to the `auth` and `authpriv` facilities.
const AUTH: &[&str] = &[
    "sshd",
    "sudo",
    "su",
    "login",
    "pam",
    "useradd",
    "userdel",
    "usermod",
    "groupadd",
    "groupdel",
    "groupmod",
    "passwd",
    "chpasswd",
    "chage",
    "gpasswd",
    "polkit",
    "polkitd",
    "pkexec",
    "systemd-logind",
    "doas",
    "authpriv",
];

/// Further services whose lines come through syslog.
const SYSLOG: &[&str] = &[
    "auth",
    "cron",
    "crond",
    "systemd",
    "kernel",
    "kern",
    "daemon",
    "mail",
    "postfix",
    "dovecot",
    "named",
    "dhclient",
    "NetworkManager",
    "rsyslogd",
    "user",
    "messages",
];

/// Families of services: the rule's service, and the lists of those it also sees.
const FAMILIES: &[(&str, &[&[&str]])] = &[("auth", &[AUTH]), ("syslog", &[AUTH, SYSLOG])];

/// An event's routing keys as numbers; 0 for one that no rule names.
pub(super) type RouteKey = [u16; 3];

/// The values of routing keys that rules name.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    words: HashMap<Box<str>, u16>,
}

impl Vocabulary {
    pub(super) fn new<'r>(sources: impl Iterator<Item = &'r RuleSource>) -> Self {
        let mut vocabulary = Self::default();
        for source in sources {
            for word in [&source.product, &source.category, &source.service].into_iter().flatten() {
                vocabulary.add(word);
            }
            for member in source.service.iter().flat_map(|service| members(service)) {
                vocabulary.add(member);
            }
        }
        vocabulary
    }

    pub(super) fn key(&self, source: &LogSource<'_>) -> RouteKey {
        let number = |word: Option<&str>| {
            word.and_then(|word| self.words.get(word)).copied().unwrap_or_default()
        };
        [number(source.product), number(source.category), number(source.service)]
    }

    fn add(&mut self, word: &str) {
        if !self.words.contains_key(word) {
            let number = u16::try_from(self.words.len() + 1).unwrap_or(u16::MAX);
            self.words.insert(word.into(), number);
        }
    }
}

fn members(service: &str) -> impl Iterator<Item = &'static str> {
    let family = FAMILIES.iter().find(|(name, _)| *name == service);
    family.into_iter().flat_map(|(_, lists)| lists.iter()).flat_map(|list| list.iter().copied())
}

/// Whether a rule concerns the events of a source.
pub(super) fn concerns(rule: &RuleSource, event: &LogSource<'_>) -> bool {
    let equal = |rule: &Option<Box<str>>, event: Option<&str>| {
        rule.as_deref().is_none_or(|rule| event == Some(rule))
    };
    let service = equal(&rule.service, event.service)
        || rule
            .service
            .as_deref()
            .is_some_and(|rule| members(rule).any(|member| event.service == Some(member)));
    service && equal(&rule.product, event.product) && equal(&rule.category, event.category)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_a_rule_names_must_be_equal_and_services_have_families() {
        let rule = |product: &str, service: &str| RuleSource {
            product: (!product.is_empty()).then(|| product.into()),
            category: None,
            service: (!service.is_empty()).then(|| service.into()),
        };
        let sshd = LogSource {
            product: Some("linux"),
            category: Some("authentication"),
            service: Some("sshd"),
        };
        for (product, service, wanted) in [
            ("", "", true),
            ("linux", "", true),
            ("linux", "sshd", true),
            ("linux", "auth", true),
            ("linux", "syslog", true),
            ("linux", "sudo", false),
            ("linux", "cron", false),
            ("windows", "", false),
        ] {
            assert_eq!(concerns(&rule(product, service), &sshd), wanted, "{product} {service}");
        }
        assert!(!concerns(&rule("linux", ""), &LogSource::default()));
        assert!(concerns(&rule("", ""), &LogSource::default()));
    }
}

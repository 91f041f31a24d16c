//! What a YAML file is: a rule, a parser or a configuration, told by its keys.

use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::yaml::{self, Node};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Sigma: detections, correlations, filters.
    Rules,
    /// A declarative parser.
    Parser,
    /// The agent's configuration.
    Config,
}

/// A file that is YAML.
#[derive(Debug)]
pub(super) struct Documents {
    /// What it is for.
    pub(super) purpose: Purpose,
    /// Its documents.
    pub(super) nodes: Vec<Node>,
}

const RULE_KEYS: &[&str] = &["detection", "correlation", "filter", "logsource", "title", "action"];
const CONFIG_KEYS: &[&str] = &["sources", "outputs", "route", "state", "api"];

/// Reads a file as far as to know what it is; the loaders read it again on their own.
pub(super) fn read(text: &SourceText) -> Result<Documents, Box<Diagnostic>> {
    let nodes = yaml::parse(text)?;
    let has = |keys: &[&str]| nodes.iter().any(|node| keys.iter().any(|k| node.get(k).is_some()));
    let purpose = if has(&["parser"]) {
        Purpose::Parser
    } else if has(RULE_KEYS) {
        Purpose::Rules
    } else if has(CONFIG_KEYS) {
        Purpose::Config
    } else {
        let place = nodes.first().map_or(Place::default(), |node| node.place);
        let message = "this is neither a rule, a parser nor a configuration";
        let hint = "a rule has `detection` or `correlation`, a parser `parser`, \
                    a configuration `sources` or `outputs`";
        return Err(Box::new(Diagnostic::error(text, place, message).hint(hint)));
    };
    Ok(Documents { purpose, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_keys() {
        for (text, purpose) in [
            ("title: x\ndetection: {}\n", Some(Purpose::Rules)),
            ("title: x\n---\ncorrelation: {}\n", Some(Purpose::Rules)),
            ("parser: sshd\ntitle: x\n", Some(Purpose::Parser)),
            ("sources: {}\n", Some(Purpose::Config)),
            ("services: {web: {}}\n", None),
            ("- a\n", None),
            ("", None),
            ("a: [", None),
        ] {
            let found = read(&SourceText::new("x.yml", text)).ok().map(|read| read.purpose);
            assert_eq!(found, purpose, "{text:?}");
        }
    }
}

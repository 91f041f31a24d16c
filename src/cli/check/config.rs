//! Where `check` meets the configuration.

use crate::diagnostic::{Diagnostic, SourceText};
use crate::kind;
use crate::yaml::{self, Problems};
use crate::{sink, source};

/// Everything wrong with a configuration: its components are built, which does no I/O.
pub(super) fn problems(text: &SourceText) -> Vec<Diagnostic> {
    let mut problems = Problems::new(text);
    match yaml::parse(text) {
        Err(broken) => problems.list.push(*broken),
        Ok(nodes) => {
            for node in &nodes {
                let named = |key: &str| node.get(key).and_then(|node| node.as_map());
                for (_, entry) in named("sources").unwrap_or_default() {
                    if let Some(kind) = kind::find("source", source::KINDS, entry, &mut problems) {
                        drop((kind.build)(entry, &mut problems));
                    }
                }
                for (_, entry) in named("outputs").unwrap_or_default() {
                    if let Some(kind) = kind::find("output", sink::KINDS, entry, &mut problems) {
                        drop((kind.build)(entry, &mut problems));
                    }
                }
            }
        }
    }
    problems.list
}

//! A component as a value: its name, its example, how it is built. One table of these per folder
//! feeds configuration, `tripline list`, the reference and the error "unknown sink `slak`".

use crate::yaml::{Node, Problems};

/// One kind of source or sink. `T` is what a checked configuration builds: it has done no I/O yet.
#[derive(Debug)]
pub struct Kind<T> {
    /// The name in `kind: name`.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// A complete entry of the configuration, as YAML.
    pub example: &'static str,
    /// Reads the entry. Everything wrong with it goes to the problems; `None` if it cannot be used.
    pub build: fn(&Node, &mut Problems) -> Option<T>,
}

/// Finds a kind by the entry's `kind:`, or reports the known ones.
pub fn find<'k, T>(
    what: &str,
    kinds: &'k [&'static Kind<T>],
    entry: &Node,
    problems: &mut Problems,
) -> Option<&'k Kind<T>> {
    let Some(named) = entry.get("kind") else {
        let known: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        problems.error_hint(
            entry.place,
            format!("this {what} has no `kind`"),
            format!("known: {}", known.join(", ")),
        );
        return None;
    };
    let name = named.expect_text("kind", problems)?;
    let found = kinds.iter().find(|kind| kind.name == name).copied();
    if found.is_none() {
        let known: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        problems.unknown(named.place, what, name, &known);
    }
    found
}

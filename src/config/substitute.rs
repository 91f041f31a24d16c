//! `${env:NAME}` and `${file:/path}` in the values of a configuration.

#![expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]

use crate::yaml::{Node, NodeKind, Problems};
use std::io::Read;

/// Longest secret that is read from a file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Whether the substitutions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// Read the environment and the files; what is missing is an error.
    Read,
    /// Put a stand-in in their place: the check of a configuration that will run elsewhere.
    Unread,
}

/// The same tree with every substitution made.
pub(super) fn substitute(node: &Node, secrets: Secrets, problems: &mut Problems) -> Node {
    let kind = match &node.kind {
        NodeKind::Scalar { text, plain } => {
            if !text.contains("${") {
                return node.clone();
            }
            NodeKind::Scalar { text: expand(text, node, secrets, problems), plain: *plain }
        }
        NodeKind::List(items) => {
            NodeKind::List(items.iter().map(|item| substitute(item, secrets, problems)).collect())
        }
        NodeKind::Map(entries) => NodeKind::Map(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), substitute(value, secrets, problems)))
                .collect(),
        ),
    };
    Node { place: node.place, kind }
}

fn expand(text: &str, node: &Node, secrets: Secrets, problems: &mut Problems) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            problems.error_hint(node.place, "a `${` without its `}`", HINT);
            return expanded;
        };
        match read(name, secrets) {
            Ok(value) => expanded.push_str(&value),
            Err(message) => problems.error_hint(node.place, message, HINT),
        }
        rest = behind;
    }
    expanded.push_str(rest);
    expanded
}

const HINT: &str = "write `${env:NAME}` or `${file:/path}`; there are no other substitutions";

fn read(name: &str, secrets: Secrets) -> Result<String, String> {
    let (from, what) = name.split_once(':').unwrap_or(("", name));
    match (from, secrets) {
        ("env" | "file", Secrets::Unread) => {
            Ok("http://127.0.0.1/a-secret-that-is-not-read-here".to_owned())
        }
        ("env", Secrets::Read) => std::env::var(what)
            .map_err(|error| format!("the environment variable `{what}` cannot be used: {error}")),
        ("file", Secrets::Read) => {
            let mut text = String::new();
            std::fs::File::open(what)
                .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
                .map_err(|error| format!("the secret file `{what}` cannot be read: {error}"))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => Err(format!("unknown substitution `${{{name}}}`")),
    }
}

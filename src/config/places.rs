//! Where things usually are: the state folder, a host's logs, paths relative to the configuration.

#![expect(clippy::disallowed_methods, reason = "the usual places depend on the environment")]

use super::OutputConfig;
use crate::diagnostic::SourceText;
use crate::sink;
use crate::yaml::{self, Node, NodeKind, Problems};
use std::path::{Path, PathBuf};

/// The state folder when the configuration names none: `/var/lib/tripline` for root, else the
/// user's own (`$XDG_STATE_HOME` or `~/.local/state`).
pub fn default_state() -> PathBuf {
    let of_user = std::env::var("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    match of_user {
        Ok(folder) if !rustix::process::geteuid().is_root() => folder.join("tripline"),
        _ => PathBuf::from("/var/lib/tripline"),
    }
}

/// The configuration of a host that has none: its usual logs to the terminal. As YAML, so that it
/// is read, checked and shown like any other. `None` if the host has neither logs nor a journal.
pub fn usual() -> Option<SourceText> {
    let logs = ["/var/log/auth.log", "/var/log/secure"];
    let paths: Vec<String> = logs
        .iter()
        .filter(|path| Path::new(path).exists())
        .map(|path| format!("\"{path}*\""))
        .collect();
    let source = if !paths.is_empty() {
        format!("{{kind: file, paths: [{}], format: syslog}}", paths.join(", "))
    } else if ["/usr/bin/journalctl", "/bin/journalctl"].iter().any(|path| Path::new(path).exists())
    {
        "{kind: journald}".to_owned()
    } else {
        return None;
    };
    let text = format!("sources:\n  host: {source}\noutputs:\n  screen: {{kind: terminal}}\n");
    Some(SourceText::new("<usual>", &text))
}

/// The output of a configuration that names none.
pub(super) fn terminal(problems: &mut Problems) -> Vec<OutputConfig> {
    let text = SourceText::new("<usual>", "kind: terminal");
    let entry = yaml::parse(&text).ok().and_then(|documents| documents.into_iter().next());
    let kind = sink::KINDS.iter().find(|kind| kind.name == "terminal");
    let sink = entry.zip(kind).and_then(|(entry, kind)| (kind.build)(&entry, problems));
    sink.map(|sink| OutputConfig { name: "screen".into(), sink }).into_iter().collect()
}

/// The entry of a component with its relative `path` and `paths` made relative to the file.
pub(super) fn absolute(entry: &Node, base: &Path) -> Node {
    let NodeKind::Map(entries) = &entry.kind else { return entry.clone() };
    let entries = entries
        .iter()
        .map(|(key, value)| match key.as_text() {
            Some("path" | "paths" | "exclude") => (key.clone(), joined(value, base)),
            _ => (key.clone(), value.clone()),
        })
        .collect();
    Node { place: entry.place, kind: NodeKind::Map(entries) }
}

fn joined(node: &Node, base: &Path) -> Node {
    let kind = match &node.kind {
        NodeKind::Scalar { text, plain } => {
            NodeKind::Scalar { text: base.join(text).display().to_string(), plain: *plain }
        }
        NodeKind::List(items) => {
            NodeKind::List(items.iter().map(|item| joined(item, base)).collect())
        }
        NodeKind::Map(_) => return node.clone(),
    };
    Node { place: node.place, kind }
}

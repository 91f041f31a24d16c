//! What stands at the top of a rule file's document: who the rule is and how grave.

use super::modifier::Reader;
use crate::diagnostic::nearest;
use crate::event::FieldId;
use crate::finding::{AlertType, Level, RuleHead};
use crate::yaml::Node;

/// The top-level keys of the specification, and ours.
const STANDARD: &[&str] = &[
    "title",
    "id",
    "name",
    "related",
    "taxonomy",
    "status",
    "description",
    "license",
    "references",
    "author",
    "date",
    "modified",
    "logsource",
    "detection",
    "correlation",
    "filter",
    "fields",
    "falsepositives",
    "level",
    "tags",
    "scope",
    "tripline",
    "tests",
];

/// Longest title, id, name or description kept, in characters.
const TEXT_MAX: usize = 4_096;

/// Everything but the detection.
#[derive(Debug)]
pub(super) struct Top {
    pub head: RuleHead,
    pub name: Option<Box<str>>,
    pub group_by: Option<Vec<(Box<str>, FieldId)>>,
    pub steps: Vec<Box<str>>,
}

/// Reads the head of a document. Problems are reported; `None` if it cannot be used.
pub(super) fn top(node: &Node, reader: &mut Reader<'_>) -> Option<Top> {
    for (key, _) in node.as_map().unwrap_or_default() {
        let name = key.as_text().unwrap_or_default();
        if !STANDARD.contains(&name)
            && let Some(near) = nearest(name, STANDARD.iter().copied())
        {
            let message = format!("unknown key `{name}` has no effect");
            reader.problems.warn(key.place, message, format!("did you mean `{near}`?"));
        }
    }
    let Some(title) = node.get("title") else {
        reader.problems.error(node.place, "the rule has no `title`");
        return None;
    };
    let title = short(title.expect_text("`title`", reader.problems)?);
    let text = |key: &str, reader: &mut Reader<'_>| -> Option<Box<str>> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        value.expect_text(&format!("`{key}`"), reader.problems).map(short)
    };
    let name = text("name", reader);
    let id = text("id", reader).or_else(|| name.clone()).unwrap_or_else(|| title.clone());
    let description = text("description", reader).unwrap_or_default();
    let tags = tags(node, reader);
    let own = own(node.get("tripline"), reader)?;
    let level = level(node, own.alert_type, reader)?;
    let alert_type = own.alert_type.unwrap_or_else(|| derived_type(&tags));
    Some(Top {
        head: RuleHead { id, title, level, alert_type, tags, description },
        name,
        group_by: own.group_by,
        steps: own.steps,
    })
}

fn short(text: &str) -> Box<str> {
    text.trim().chars().take(TEXT_MAX).collect::<String>().into()
}

fn tags(node: &Node, reader: &mut Reader<'_>) -> Vec<Box<str>> {
    let Some(tags) = node.get("tags").filter(|tags| !tags.is_null()) else { return Vec::new() };
    tags.items()
        .iter()
        .filter_map(|tag| tag.expect_text("a tag", reader.problems).map(short))
        .collect()
}

fn level(node: &Node, alert_type: Option<AlertType>, reader: &mut Reader<'_>) -> Option<Level> {
    let Some(value) = node.get("level").filter(|value| !value.is_null()) else {
        return Some(alert_type.map_or(Level::Medium, AlertType::usual_level));
    };
    let text = value.expect_text("`level`", reader.problems)?;
    let level = Level::parse(text);
    if level.is_none() {
        let known = Level::ALL.map(Level::as_str);
        reader.problems.unknown(value.place, "level", text, &known);
    }
    level
}

#[derive(Debug, Default)]
struct Own {
    alert_type: Option<AlertType>,
    group_by: Option<Vec<(Box<str>, FieldId)>>,
    steps: Vec<Box<str>>,
}

/// The key `tripline`.
fn own(node: Option<&Node>, reader: &mut Reader<'_>) -> Option<Own> {
    let mut own = Own::default();
    let Some(node) = node else { return Some(own) };
    let known = ["alert_type", "group-by", "steps"];
    for (name, key, value) in node.expect_map("`tripline`", reader.problems)? {
        match name {
            "alert_type" => {
                let text = value.expect_text("`alert_type`", reader.problems)?;
                own.alert_type = AlertType::parse(text);
                if own.alert_type.is_none() {
                    let known: Vec<&str> =
                        AlertType::ALL.iter().map(|kind| kind.as_str()).collect();
                    reader.problems.unknown(value.place, "alert type", text, &known);
                    return None;
                }
            }
            "group-by" => {
                let mut fields = Vec::new();
                for item in value.items() {
                    let text = item.expect_text("`group-by`", reader.problems)?;
                    let field = reader.field(text, item.place);
                    fields.push((Box::from(text), field));
                }
                own.group_by = Some(fields);
            }
            "steps" => {
                for item in value.items() {
                    own.steps.push(short(item.expect_text("a step", reader.problems)?));
                }
            }
            other => {
                reader.problems.unknown(key.place, "tripline key", other, &known);
                return None;
            }
        }
    }
    Some(own)
}

/// The alert type of a rule that names none: from the most telling of its ATT&CK tags.
fn derived_type(tags: &[Box<str>]) -> AlertType {
    const BY_TAG: &[(&str, AlertType)] = &[
        ("attack.t1110", AlertType::BruteForce),
        ("attack.t1078", AlertType::SuspiciousLogin),
        ("attack.t1548", AlertType::PermissionViolation),
        ("attack.t1070", AlertType::SystemCompromise),
        ("attack.t1136", AlertType::UnauthorizedAccess),
        ("attack.exfiltration", AlertType::DataBreachAttempt),
        ("attack.impact", AlertType::SystemCompromise),
        ("attack.command-and-control", AlertType::SystemIntrusion),
        ("attack.lateral-movement", AlertType::SystemIntrusion),
        ("attack.privilege-escalation", AlertType::PermissionViolation),
        ("attack.defense-evasion", AlertType::SystemCompromise),
        ("attack.credential-access", AlertType::UnauthorizedAccess),
        ("attack.persistence", AlertType::UnauthorizedAccess),
        ("attack.initial-access", AlertType::UnauthorizedAccess),
        ("attack.collection", AlertType::DataAccessAnomaly),
    ];
    let tags: Vec<String> =
        tags.iter().map(|tag| tag.to_ascii_lowercase().replace('_', "-")).collect();
    let found = BY_TAG.iter().find(|(wanted, _)| {
        tags.iter().any(|tag| {
            tag.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    });
    found.map_or(AlertType::UnusualActivity, |(_, kind)| *kind)
}

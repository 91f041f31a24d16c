//! The names a parser uses, checked against the schema, and how a matched text becomes a field.

use super::address::{ip_text, is_absent};
use crate::diagnostic::nearest;
use crate::event::{FieldId, FieldTable, FieldType, Fields, Key, SCHEMA, Value};
use std::collections::BTreeSet;

/// Names under these are free: a parser may use any.
const FREE: &[&str] = &["labels.", "fields."];

/// Why a part of a parser file is not accepted, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    /// Empty when there is none.
    pub(super) hint: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// How the text of a value is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Int,
    Float,
}

/// Where a matched text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Nowhere.
    Nothing,
    /// Into a field.
    Field(FieldId, Form),
    /// Into the address of a peer, and into its `ip` or `domain`.
    Peer { address: FieldId, ip: FieldId, domain: FieldId },
    /// The number of occurrences.
    Count,
}

/// Looks names up while a parser loads.
#[derive(Debug)]
pub(super) struct Binder<'n> {
    names: &'n mut FieldTable,
    /// The parser's own namespace with its dot, for example `sshd.`.
    own: String,
    /// The hole that gives the number of occurrences.
    pub(super) count: Option<String>,
    /// Keys of `kv` holes and groups of a regex, with the field each fills.
    pub(super) map: Vec<(String, String)>,
    /// Every field named so far.
    pub(super) used: BTreeSet<FieldId>,
}

impl<'n> Binder<'n> {
    pub(super) fn new(names: &'n mut FieldTable, parser: &str) -> Self {
        let own = format!("{}.", parser.rsplit('.').next().unwrap_or(parser));
        Self { names, own, count: None, map: Vec::new(), used: BTreeSet::new() }
    }

    /// The number and type of a field.
    pub(super) fn field(&mut self, name: &str) -> Result<(FieldId, FieldType), Complaint> {
        let known = self.names.lookup(name);
        let kind = known.and_then(|id| self.names.schema(id)).map(|row| row.kind);
        let free = FREE.iter().any(|free| name.starts_with(free)) || name.starts_with(&self.own);
        let found = match (known, kind) {
            (Some(id), Some(kind)) => (id, kind),
            _ if free => (self.names.intern(name), FieldType::Keyword),
            _ => {
                let hint = match nearest(name, SCHEMA.iter().map(|row| row.name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "names outside the schema must begin with `{}`, `labels.` or `fields.`",
                        self.own
                    ),
                };
                return Err(Complaint::new(format!("unknown field `{name}`"), hint));
            }
        };
        self.used.insert(found.0);
        Ok(found)
    }

    /// Where a hole puts its text; the types of hole and field must fit.
    pub(super) fn target(&mut self, name: &str, hole: &str) -> Result<Target, Complaint> {
        if matches!(name, "" | "_") || hole == "blanks" {
            return Ok(Target::Nothing);
        }
        if self.count.as_deref() == Some(name) {
            return match hole {
                "int" | "map" => Ok(Target::Count),
                _ => Err(Complaint::new(format!("`{name}` counts and must be `{name}:int`"), "")),
            };
        }
        if let Some(peer) = name.strip_suffix(".ip?").or_else(|| name.strip_suffix(".address"))
            && !matches!(hole, "int" | "port")
        {
            return self.peer(peer);
        }
        let (id, kind) = self.field(name)?;
        let form = match (kind, hole) {
            (FieldType::Keyword | FieldType::Text | FieldType::Keywords, _) => Form::Text,
            (FieldType::Ip | FieldType::Ips, "ip") => Form::Text,
            (FieldType::Long, "int" | "port" | "map") => Form::Int,
            (FieldType::Float, "int" | "word" | "map") => Form::Float,
            _ => {
                let clash = format!("a `{hole}` hole cannot fill `{name}`, which is a {kind:?}");
                let hint = match kind {
                    FieldType::Long => "use `int` or `port`",
                    FieldType::Ip => "use `ip`, or `host` with the `.address` of the peer",
                    _ => "choose another field",
                };
                return Err(Complaint::new(clash, hint));
            }
        };
        Ok(Target::Field(id, form))
    }

    fn peer(&mut self, peer: &str) -> Result<Target, Complaint> {
        let mut id = |part| self.field(&format!("{peer}.{part}")).map(|(id, _)| id);
        Ok(Target::Peer { address: id("address")?, ip: id("ip")?, domain: id("domain")? })
    }

    /// The fields of a `kv` hole, as `map` names them.
    pub(super) fn pairs(&mut self, name: &str) -> Result<Vec<(Box<str>, Target)>, Complaint> {
        if name != "*" {
            return Err(Complaint::new(
                "a `kv` hole is written `{*:kv}`",
                "`map` says which key fills which field",
            ));
        }
        let map = self.map.clone();
        map.iter()
            .map(|(key, field)| Ok((key.as_str().into(), self.target(field, "map")?)))
            .collect()
    }
}

/// The fields of a record while cases are tried.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) count: Option<u32>,
}

impl<'a> Sink<'a> {
    pub(super) fn mark(&self) -> usize {
        self.fields.len()
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.fields.truncate(mark);
    }

    /// Adds a field unless the text says that there is nothing, or is not of its type.
    pub(super) fn put(&mut self, target: Target, text: &'a str) {
        let text = text.trim_ascii();
        if is_absent(text) {
            return;
        }
        match target {
            Target::Nothing => {}
            Target::Field(id, Form::Text) => self.fields.push((Key::Id(id), Value::Str(text))),
            Target::Field(id, Form::Int) => {
                if let Ok(number) = text.parse() {
                    self.fields.push((Key::Id(id), Value::Int(number)));
                }
            }
            Target::Field(id, Form::Float) => {
                if let Ok(number) = text.parse::<f64>()
                    && number.is_finite()
                {
                    self.fields.push((Key::Id(id), Value::Float(number)));
                }
            }
            Target::Peer { address, ip, domain } => {
                self.fields.push((Key::Id(address), Value::Str(text)));
                match ip_text(text) {
                    Some(text) => self.fields.push((Key::Id(ip), Value::Str(text))),
                    None => self.fields.push((Key::Id(domain), Value::Str(text))),
                }
            }
            Target::Count => self.count = text.parse().ok().filter(|count| *count > 0),
        }
    }
}

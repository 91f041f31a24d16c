//! The owned form of an event: one flat object of dotted schema names.

use super::{Event, FieldTable, Key, Parsed, Value};
use serde_json::{Map, Value as Json};

/// An event as it leaves the agent: dotted schema names, `@timestamp` and `event.id` always there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FlatEvent(pub Map<String, Json>);

impl FlatEvent {
    /// Copies an event out of its batch.
    pub fn from_event(event: &Event<'_>, names: &FieldTable) -> Self {
        let mut flat = Map::new();
        flat.insert("@timestamp".to_owned(), Json::from(event.time.to_string()));
        flat.insert("event.id".to_owned(), Json::from(event.id.to_string()));
        for (key, value) in &event.fields {
            let name = match key {
                Key::Id(id) => names.name(*id),
                Key::Name(name) => name,
            };
            if !flat.contains_key(name) {
                flat.insert(name.to_owned(), value.to_json());
            }
        }
        if !event.message.is_empty() && !flat.contains_key("message") {
            flat.insert("message".to_owned(), Json::from(event.message));
        }
        flat.insert("event.original".to_owned(), Json::from(event.original));
        if let Parsed::Failed(reason) = event.parsed {
            flat.insert("event.kind".to_owned(), Json::from("pipeline_error"));
            flat.insert("error.message".to_owned(), Json::from(reason));
        }
        if event.repeat > 1 {
            flat.insert("event.count".to_owned(), Value::Int(i64::from(event.repeat)).to_json());
        }
        Self(flat)
    }

    /// The id of the event.
    pub fn id(&self) -> &str {
        self.text("event.id").unwrap_or_default()
    }

    /// A field that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Json::as_str)
    }
}

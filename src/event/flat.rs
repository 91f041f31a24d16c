//! The owned form of an event: one flat object of dotted schema names.

use super::{Event, FieldTable, Key, Parsed, SCHEMA, Value, ecs};
use serde_json::{Map, Value as Json};
use std::cmp::Ordering;

/// An event as it leaves the agent: dotted schema names, `@timestamp` and `event.id` always there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FlatEvent(pub Map<String, Json>);

impl FlatEvent {
    /// Copies an event out of its batch.
    pub fn from_event(event: &Event<'_>, names: &FieldTable) -> Self {
        let (time, id) = (event.time.to_string(), event.id.to_string());
        let mut entries: Vec<(Key<'_>, Value<'_>)> = Vec::with_capacity(event.fields.len() + 7);
        entries.push((Key::Id(ecs::AT_TIMESTAMP), Value::Str(&time)));
        entries.push((Key::Id(ecs::EVENT_ID), Value::Str(&id)));
        entries.push((Key::Id(ecs::EVENT_ORIGINAL), Value::Str(event.original)));
        if let Parsed::Failed(reason) = event.parsed {
            entries.push((Key::Id(ecs::EVENT_KIND), Value::Str("pipeline_error")));
            entries.push((Key::Id(ecs::ERROR_MESSAGE), Value::Str(reason)));
        }
        if event.repeat > 1 {
            entries.push((Key::Id(ecs::EVENT_COUNT), Value::Int(i64::from(event.repeat))));
        }
        entries.extend(event.fields.iter().copied());
        if !event.message.is_empty() {
            entries.push((Key::Id(ecs::MESSAGE), Value::Str(event.message)));
        }
        // Sorted, with the first of each name in front, a map is made without searching it for
        // every name.
        entries.sort_by(|(left, _), (right, _)| order(*left, *right, names));
        entries.dedup_by(|(next, _), (kept, _)| order(*next, *kept, names).is_eq());
        let entry =
            |(key, value): (Key<'_>, Value<'_>)| (name(key, names).to_owned(), value.to_json());
        Self(entries.into_iter().map(entry).collect())
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

fn name<'n>(key: Key<'n>, names: &'n FieldTable) -> &'n str {
    match key {
        Key::Id(id) => names.name(id),
        Key::Name(name) => name,
    }
}

/// By name; the numbers of the schema are in the order of its names.
fn order(left: Key<'_>, right: Key<'_>, names: &FieldTable) -> Ordering {
    match (left, right) {
        (Key::Id(left), Key::Id(right)) if usize::from(left.0.max(right.0)) < SCHEMA.len() => {
            left.cmp(&right)
        }
        _ => name(left, names).cmp(name(right, names)),
    }
}

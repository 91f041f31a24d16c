//! JSON records straight into fields: no tree is built, texts without escapes stay in the line.

use crate::event::{FieldId, FieldTable, FieldType, Fields, Key, SCHEMA, Value, ecs};
use bumpalo::Bump;
use bumpalo::collections::{String as ArenaString, Vec as ArenaVec};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Deepest nesting of a record.
pub(super) const JSON_DEPTH_MAX: usize = 32;
/// Values of one record, nested ones included.
pub(super) const JSON_VALUES_MAX: usize = 4_096;

/// Why a record is not usable JSON.
pub(super) type Reason = &'static str;

/// Reads one object as flat fields with dotted names. Objects in an object field of the schema
/// (`db.before`) and in lists stay objects; of a name that stands twice the first counts, because
/// the first field of a name does.
pub(super) fn flatten<'a>(
    text: &'a str,
    names: &FieldTable,
    fields: &mut Fields<'a>,
    arena: &'a Bump,
) -> Result<(), Reason> {
    let mut budget = Budget { values: 0, reason: None };
    let mut path = ArenaString::new_in(arena);
    let mut reader = serde_json::Deserializer::from_str(text);
    let flat = Flat { names, fields, arena, path: &mut path, budget: &mut budget, depth: 0 };
    let done = reader.deserialize_map(flat).and_then(|()| reader.end());
    done.map_err(|_error| budget.reason.unwrap_or("the record is not a JSON object"))
}

/// Reads one object as its entries, with nested objects as objects.
pub(super) fn entries<'a>(
    text: &'a str,
    arena: &'a Bump,
) -> Result<&'a [(&'a str, Value<'a>)], Reason> {
    let mut budget = Budget { values: 0, reason: None };
    let mut reader = serde_json::Deserializer::from_str(text);
    let tree = Tree { arena, budget: &mut budget, depth: 0 };
    let done = tree.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match done {
        Ok(Value::Map(entries)) => Ok(entries),
        Ok(_) => Err("the record is not a JSON object"),
        Err(_) => Err(budget.reason.unwrap_or("the record is not a JSON object")),
    }
}

/// Adds the entries of an object as flat fields with dotted names.
pub(super) fn spread<'a>(
    entries: &[(&'a str, Value<'a>)],
    names: &FieldTable,
    fields: &mut Fields<'a>,
    arena: &'a Bump,
) {
    let mut path = ArenaString::new_in(arena);
    spread_below(entries, names, fields, &mut path, arena);
}

fn spread_below<'a>(
    entries: &[(&'a str, Value<'a>)],
    names: &FieldTable,
    fields: &mut Fields<'a>,
    path: &mut ArenaString<'a>,
    arena: &'a Bump,
) {
    for (name, value) in entries {
        let length = path.len();
        let key = descend(path, name, names, arena);
        match value {
            Value::Map(inner) if !is_object(key) => {
                spread_below(inner, names, fields, path, arena);
            }
            value => fields.push((key, *value)),
        }
        path.truncate(length);
    }
}

/// Adds a name to the path and gives the key of the whole.
fn descend<'a>(
    path: &mut ArenaString<'a>,
    name: &'a str,
    names: &FieldTable,
    arena: &'a Bump,
) -> Key<'a> {
    if path.is_empty() {
        path.push_str(name);
        return names.key(name);
    }
    path.push('.');
    path.push_str(name);
    match names.lookup(path) {
        Some(id) => Key::Id(id),
        None => Key::Name(arena.alloc_str(path)),
    }
}

/// Whether the schema has an object with free keys here, which stays one.
fn is_object(key: Key<'_>) -> bool {
    let object = |id: FieldId| {
        id != ecs::LABELS
            && SCHEMA.get(usize::from(id.0)).is_some_and(|row| row.kind == FieldType::Object)
    };
    matches!(key, Key::Id(id) if object(id))
}

struct Budget {
    values: usize,
    reason: Option<Reason>,
}

impl Budget {
    fn spend<E: Error>(&mut self, depth: usize) -> Result<(), E> {
        self.values += 1;
        let reason = if depth > JSON_DEPTH_MAX {
            "the JSON record is nested too deep"
        } else if self.values > JSON_VALUES_MAX {
            "the JSON record has too many values"
        } else {
            return Ok(());
        };
        self.reason = Some(reason);
        Err(E::custom(reason))
    }
}

/// Reads an object into fields.
struct Flat<'x, 'a> {
    names: &'x FieldTable,
    fields: &'x mut Fields<'a>,
    arena: &'a Bump,
    path: &'x mut ArenaString<'a>,
    budget: &'x mut Budget,
    depth: usize,
}

impl<'a> Visitor<'a> for Flat<'_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { names, fields, arena, path, budget, depth } = self;
        while let Some(name) = map.next_key_seed(Name { arena })? {
            budget.spend(depth)?;
            let length = path.len();
            let key = descend(path, name, names, arena);
            if is_object(key) {
                let value = map.next_value_seed(Tree { arena, budget, depth })?;
                fields.push((key, value));
            } else {
                let below = Flat { names, fields, arena, path, budget, depth: depth + 1 };
                map.next_value_seed(FlatValue { key, below })?;
            }
            path.truncate(length);
        }
        Ok(())
    }
}

/// Reads the value of a key: an object is opened, anything else is the field.
struct FlatValue<'x, 'a> {
    key: Key<'a>,
    below: Flat<'x, 'a>,
}

impl<'a> FlatValue<'_, 'a> {
    fn push(self, value: Value<'a>) {
        self.below.fields.push((self.key, value));
    }
}

impl<'a> DeserializeSeed<'a> for FlatValue<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for FlatValue<'_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(Value::Int(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(unsigned(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(Value::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<(), E> {
        self.push(Value::Str(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let text = self.below.arena.alloc_str(value);
        self.push(Value::Str(text));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.push(Value::Null);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<(), A::Error> {
        let Self { key, below: Flat { fields, arena, budget, depth, .. } } = self;
        let list = Tree { arena, budget, depth }.visit_seq(seq)?;
        fields.push((key, list));
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        self.below.visit_map(map)
    }
}

/// A name, in the line or (with escapes) in the arena.
struct Name<'a> {
    arena: &'a Bump,
}

impl<'a> DeserializeSeed<'a> for Name<'a> {
    type Value = &'a str;

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<&'a str, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name<'a> {
    type Value = &'a str;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<&'a str, E> {
        Ok(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<&'a str, E> {
        Ok(self.arena.alloc_str(value))
    }
}

/// Reads any value as it is.
struct Tree<'x, 'a> {
    arena: &'a Bump,
    budget: &'x mut Budget,
    depth: usize,
}

impl<'a> DeserializeSeed<'a> for Tree<'_, 'a> {
    type Value = Value<'a>;

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<Value<'a>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Tree<'_, 'a> {
    type Value = Value<'a>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'a>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'a>, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'a>, E> {
        Ok(unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'a>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<Value<'a>, E> {
        Ok(Value::Str(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'a>, E> {
        Ok(Value::Str(self.arena.alloc_str(value)))
    }

    fn visit_unit<E>(self) -> Result<Value<'a>, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Value<'a>, A::Error> {
        let Self { arena, budget, depth } = self;
        let mut items = ArenaVec::new_in(arena);
        budget.spend(depth)?;
        while let Some(item) = seq.next_element_seed(Tree { arena, budget, depth: depth + 1 })? {
            budget.spend(depth)?;
            items.push(item);
        }
        Ok(Value::List(items.into_bump_slice()))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Value<'a>, A::Error> {
        let Self { arena, budget, depth } = self;
        let mut entries: ArenaVec<'a, (&'a str, Value<'a>)> = ArenaVec::new_in(arena);
        budget.spend(depth)?;
        while let Some(name) = map.next_key_seed(Name { arena })? {
            budget.spend(depth)?;
            let value = map.next_value_seed(Tree { arena, budget, depth: depth + 1 })?;
            entries.push((name, value));
        }
        Ok(Value::Map(entries.into_bump_slice()))
    }
}

/// A number beyond the range of whole numbers loses its last digits rather than itself.
fn unsigned(value: u64) -> Value<'static> {
    i64::try_from(value).map_or(Value::Float(value as f64), Value::Int)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value as Json, json};

    fn flat(text: &str) -> Result<Json, Reason> {
        let names = FieldTable::default();
        let arena = Bump::new();
        let mut fields = bumpalo::vec![in &arena];
        flatten(arena.alloc_str(text), &names, &mut fields, &arena)?;
        let mut object = Map::new();
        for (key, value) in fields {
            let name = match key {
                Key::Id(id) => names.name(id),
                Key::Name(name) => name,
            };
            object.entry(name.to_owned()).or_insert_with(|| value.to_json());
        }
        Ok(Json::Object(object))
    }

    #[test]
    fn nested_objects_become_dotted_names_and_the_first_of_a_name_counts() {
        let text = r#"{"user":{"name":"a\nb","name":"c"},"user.name":"d","x":{"y":{"z":[1,{"q":null}]}},
            "db":{"before":{"n":{"m":1}},"after":{"n":2}},"labels":{"a":true},"n":-1.5,"u":18446744073709551615}"#;
        assert_eq!(
            flat(text).unwrap(),
            json!({"user.name": "a\nb", "x.y.z": [1, {"q": null}], "db.before": {"n": {"m": 1}},
                "db.after": {"n": 2}, "labels.a": true, "n": -1.5, "u": 18_446_744_073_709_551_615.0})
        );
    }

    #[test]
    fn hostile_json_is_refused_with_its_reason() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
        let lists = format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        let wide = r#""k":1,"#.repeat(5_000);
        let wide = format!(r#"{{{wide}"z":1}}"#);
        for (text, reason) in [
            ("", "the record is not a JSON object"),
            ("[1]", "the record is not a JSON object"),
            (r#"{"a":1"#, "the record is not a JSON object"),
            (r#"{"a":1} x"#, "the record is not a JSON object"),
            (deep.as_str(), "the JSON record is nested too deep"),
            (lists.as_str(), "the JSON record is nested too deep"),
            (wide.as_str(), "the JSON record has too many values"),
        ] {
            assert_eq!(flat(text), Err(reason));
        }
    }
}

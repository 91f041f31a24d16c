//! A field's value: borrowed, `Copy`, without ownership.

use serde_json::Value as Json;
use std::borrow::Cow;

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Present and empty; rules tell it from absent with `exists`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Every whole number.
    Int(i64),
    /// Every other number.
    Float(f64),
    /// Text, also for addresses and times.
    Str(&'a str),
    /// Several values; a rule matches when any of them does.
    List(&'a [Value<'a>]),
    /// An object, for example the row of a change feed.
    Map(&'a [(&'a str, Value<'a>)]),
}

impl<'a> Value<'a> {
    /// The text, if it is text.
    pub fn as_str(self) -> Option<&'a str> {
        if let Value::Str(text) = self { Some(text) } else { None }
    }

    /// The whole number, also from text that is one.
    pub fn as_int(self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(number),
            Value::Str(text) => text.trim().parse().ok(),
            Value::Float(number) if number.fract() == 0.0 => Some(number as i64),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The number, also from text that is one.
    pub fn as_float(self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            Value::Str(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The value as a rule compares it: text as it is, numbers and booleans as they are written.
    /// `None` for null, lists and objects.
    pub fn as_text(self) -> Option<Cow<'a, str>> {
        match self {
            Value::Str(text) => Some(Cow::Borrowed(text)),
            Value::Int(number) => Some(Cow::Owned(number.to_string())),
            Value::Float(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(true) => Some(Cow::Borrowed("true")),
            Value::Bool(false) => Some(Cow::Borrowed("false")),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// An owned JSON value.
    pub fn to_json(self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Int(value) => Json::from(value),
            Value::Float(value) => Json::from(value),
            Value::Str(text) => Json::from(text),
            Value::List(items) => items.iter().map(|item| item.to_json()).collect(),
            Value::Map(entries) => Json::Object(
                entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_json())).collect(),
            ),
        }
    }
}

//! Formats that are one JSON object a line: our own schema, envelopes of raw events, applications.

use super::json::{self, Reason};
use super::zone::{Written, ZoneCache, offset_seconds};
use crate::event::{
    Civil, FieldId, FieldTable, Fields, Key, LogSource, Record, Timestamp, Value, ecs,
};
use bumpalo::Bump;
use jiff::tz::TimeZone;

/// What a time in JSON is read with.
#[derive(Clone, Copy)]
pub(super) struct TimeContext<'t> {
    pub(super) cache: &'t ZoneCache,
    pub(super) zone: &'t TimeZone,
    pub(super) received: Timestamp,
}

impl TimeContext<'_> {
    /// A time as applications write it: RFC 3339, without a zone, or a number since the epoch.
    pub(super) fn read(&self, value: Value<'_>) -> Option<Timestamp> {
        let number = match value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            Value::Str(text) => {
                if let Some(written) = iso(text) {
                    return self.cache.instant(written, self.zone, self.received);
                }
                text.trim().parse().ok()
            }
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
        };
        epoch(number.filter(|number| number.is_finite())?)
    }
}

fn iso(text: &str) -> Option<Written> {
    let (civil, rest) = Civil::parse_iso(text.trim())?;
    let zone = rest.trim();
    if zone.is_empty() {
        return Some(Written::Local(civil));
    }
    if matches!(zone, "UTC" | "GMT") {
        return Some(Written::Instant(civil.at_offset(0)));
    }
    offset_seconds(zone).map(|offset| Written::Instant(civil.at_offset(offset)))
}

/// Seconds, milli-, micro- or nanoseconds since the epoch, told apart by their size: a number of
/// seconds beyond the year 5000 is one of milliseconds.
fn epoch(number: f64) -> Option<Timestamp> {
    let nanos = match number.abs() {
        size if size < 1e11 => number * 1e9,
        size if size < 1e14 => number * 1e6,
        size if size < 1e17 => number * 1e3,
        _ => number,
    };
    // A double holds the microseconds of our century exactly, not its nanoseconds.
    let micros = (nanos / 1e3).round();
    (micros.abs() < 9.2e15).then(|| Timestamp::from_nanos(micros as i64 * 1_000))
}

/// One object of schema names, flat or nested.
pub(super) fn ecs<'a>(
    record: &mut Record<'a>,
    text: &'a str,
    names: &FieldTable,
    time: TimeContext<'_>,
    arena: &'a Bump,
) -> Result<(), Reason> {
    json::flatten(text, names, &mut record.fields, arena)?;
    settle(record, time);
    let mut routing = LogSource::default();
    for (key, value) in &record.fields {
        let (Key::Name(name), Value::Str(text)) = (key, value) else { continue };
        match *name {
            "logsource.product" => routing.product = Some(text),
            "logsource.category" => routing.category = Some(text),
            "logsource.service" => routing.service = Some(text),
            _ => {}
        }
    }
    record.logsource = routing;
    Ok(())
}

/// Takes time, message and original out of the fields.
fn settle(record: &mut Record<'_>, time: TimeContext<'_>) {
    record.message = "";
    for (key, value) in &record.fields {
        let Key::Id(id) = *key else { continue };
        match (id, *value) {
            (ecs::AT_TIMESTAMP, value) if record.time.is_none() => record.time = time.read(value),
            (ecs::MESSAGE, Value::Str(text)) if record.message.is_empty() => record.message = text,
            (ecs::EVENT_ORIGINAL, Value::Str(text)) => record.original = text,
            _ => {}
        }
    }
    if record.time.is_some() {
        record.fields.retain(|(key, _)| *key != Key::Id(ecs::AT_TIMESTAMP));
    }
}

/// `{"id", "time", "logsource", "event"}`: the event keeps the names it came with.
pub(super) fn envelope<'a>(
    record: &mut Record<'a>,
    text: &'a str,
    names: &FieldTable,
    time: TimeContext<'_>,
    arena: &'a Bump,
) -> Result<(), Reason> {
    let entries = json::entries(text, arena)?;
    let get = |wanted: &str| entries.iter().find(|(name, _)| *name == wanted).map(|entry| entry.1);
    let Some(Value::Map(event)) = get("event") else {
        return Err("the envelope has no object `event`");
    };
    record.message = "";
    json::spread(event, names, &mut record.fields, arena);
    if let Some(Value::Str(id)) = get("id") {
        record.fields.insert(0, (Key::Id(ecs::EVENT_ID), Value::Str(id)));
    }
    record.time = get("time").and_then(|value| time.read(value));
    if let Some(Value::Map(routing)) = get("logsource") {
        let text = |wanted: &str| {
            routing.iter().find(|(name, _)| *name == wanted).and_then(|entry| entry.1.as_str())
        };
        record.logsource = LogSource {
            product: text("product"),
            category: text("category"),
            service: text("service"),
        };
    }
    if let Some(message) = record.get(ecs::MESSAGE).and_then(Value::as_str) {
        record.message = message;
    }
    Ok(())
}

/// Which field a key of an application's log means. The order within a field is the order in which
/// they are preferred.
const ALIASES: &[(&str, FieldId)] = &[
    ("@timestamp", ecs::AT_TIMESTAMP),
    ("timestamp", ecs::AT_TIMESTAMP),
    ("time", ecs::AT_TIMESTAMP),
    ("ts", ecs::AT_TIMESTAMP),
    ("date", ecs::AT_TIMESTAMP),
    ("datetime", ecs::AT_TIMESTAMP),
    ("isotimestamp", ecs::AT_TIMESTAMP),
    ("published", ecs::AT_TIMESTAMP),
    ("eventTime", ecs::AT_TIMESTAMP),
    ("created_at", ecs::AT_TIMESTAMP),
    ("level", ecs::LOG_LEVEL),
    ("severity", ecs::LOG_LEVEL),
    ("lvl", ecs::LOG_LEVEL),
    ("message", ecs::MESSAGE),
    ("msg", ecs::MESSAGE),
    ("ip", ecs::SOURCE_ADDRESS),
    ("client_ip", ecs::SOURCE_ADDRESS),
    ("clientIp", ecs::SOURCE_ADDRESS),
    ("remote_ip", ecs::SOURCE_ADDRESS),
    ("remoteIp", ecs::SOURCE_ADDRESS),
    ("ipAddress", ecs::SOURCE_ADDRESS),
    ("ip_address", ecs::SOURCE_ADDRESS),
    ("source_ip", ecs::SOURCE_ADDRESS),
    ("src_ip", ecs::SOURCE_ADDRESS),
    ("actor_ip", ecs::SOURCE_ADDRESS),
    ("remote_addr", ecs::SOURCE_ADDRESS),
    ("user", ecs::USER_NAME),
    ("username", ecs::USER_NAME),
    ("user_name", ecs::USER_NAME),
    ("userName", ecs::USER_NAME),
    ("login", ecs::USER_NAME),
    ("actor", ecs::USER_NAME),
    ("user_id", ecs::USER_ID),
    ("userId", ecs::USER_ID),
    ("user_agent", ecs::USER_AGENT_ORIGINAL),
    ("userAgent", ecs::USER_AGENT_ORIGINAL),
    ("ua", ecs::USER_AGENT_ORIGINAL),
    ("id", ecs::EVENT_ID),
    ("event_id", ecs::EVENT_ID),
    ("uuid", ecs::EVENT_ID),
    ("log_id", ecs::EVENT_ID),
    ("hostname", ecs::HOST_HOSTNAME),
    ("pid", ecs::PROCESS_PID),
    ("method", ecs::HTTP_REQUEST_METHOD),
    ("status", ecs::HTTP_RESPONSE_STATUS_CODE),
    ("status_code", ecs::HTTP_RESPONSE_STATUS_CODE),
];

/// The log of an application: schema names pass, well-known keys are translated, the rest stays.
pub(super) fn application<'a>(
    record: &mut Record<'a>,
    text: &'a str,
    names: &FieldTable,
    time: TimeContext<'_>,
    arena: &'a Bump,
) -> Result<(), Reason> {
    let entries = json::entries(text, arena)?;
    json::spread(entries, names, &mut record.fields, arena);
    settle(record, time);
    let data = entries.iter().find_map(|(name, value)| match value {
        Value::Map(inner) if *name == "data" => Some(*inner),
        _ => None,
    });
    for level in [Some(entries), data].into_iter().flatten() {
        translate(record, level, time, arena);
    }
    if record.message.is_empty()
        && let Some(message) = record.get(ecs::MESSAGE).and_then(Value::as_str)
    {
        record.message = message;
    }
    Ok(())
}

fn translate<'a>(
    record: &mut Record<'a>,
    entries: &[(&'a str, Value<'a>)],
    time: TimeContext<'_>,
    arena: &'a Bump,
) {
    // The rank of the best alias seen so far, by field.
    let mut best: bumpalo::collections::Vec<'_, (FieldId, usize, Value<'a>)> =
        bumpalo::vec![in arena];
    for (name, value) in entries {
        let Some(rank) = ALIASES.iter().position(|(alias, _)| alias == name) else { continue };
        let Some((_, field)) = ALIASES.get(rank) else { continue };
        let Some(value) = usable(*field, *value, arena) else { continue };
        match best.iter_mut().find(|(known, ..)| known == field) {
            Some(known) if rank < known.1 => *known = (*field, rank, value),
            Some(_) => {}
            None => best.push((*field, rank, value)),
        }
    }
    for (field, _, value) in best {
        if field == ecs::AT_TIMESTAMP {
            record.time = record.time.or_else(|| time.read(value));
        } else if !known(&record.fields, field) {
            record.set(field, value);
        }
    }
}

/// Whether a field stands already, or what it would be derived into.
fn known(fields: &Fields<'_>, field: FieldId) -> bool {
    let has = |id| fields.iter().any(|(key, _)| *key == Key::Id(id));
    has(field) || (field == ecs::SOURCE_ADDRESS && has(ecs::SOURCE_IP))
}

/// The value in the type of the field; `None` when it is not of that kind.
fn usable<'a>(field: FieldId, value: Value<'a>, arena: &'a Bump) -> Option<Value<'a>> {
    match (field, value) {
        (ecs::AT_TIMESTAMP, value) => Some(value),
        (ecs::PROCESS_PID | ecs::HTTP_RESPONSE_STATUS_CODE, value) => {
            value.as_int().map(Value::Int)
        }
        (_, Value::Str(text)) => (!super::address::is_absent(text)).then_some(value),
        (ecs::USER_ID | ecs::EVENT_ID | ecs::LOG_LEVEL, Value::Int(number)) => {
            Some(Value::Str(bumpalo::format!(in arena, "{}", number).into_bump_str()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

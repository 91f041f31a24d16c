use super::*;
use crate::event::{Parsed, RawRecord, RecordFlags, SourceId, StreamId};
use crate::parse::{ParseOptions, Parsers};
use serde_json::{Map, Value as Json, json};

/// What one line becomes: its fields, time, message and routing as one flat object.
fn event(format: &str, line: &str) -> Json {
    let mut names = FieldTable::default();
    let (parsers, _) = Parsers::load(&[], &mut names);
    let arena = Bump::new();
    let raw = RawRecord {
        source: SourceId(0),
        stream: StreamId(1),
        path: None,
        offset: 0,
        received: Timestamp::parse_rfc3339("2026-11-21T22:00:00Z").unwrap(),
        bytes: line.as_bytes(),
        full_length: line.len() as u64,
        flags: RecordFlags::NONE,
    };
    let format = parsers.format(format).unwrap();
    let options = ParseOptions::default();
    let record = parsers.parse(format, &options, &names, &raw, &arena).pop().unwrap();
    let mut flat = Map::new();
    for (key, value) in &record.fields {
        let name = match key {
            Key::Id(id) => names.name(*id),
            Key::Name(name) => name,
        };
        flat.entry(name.to_owned()).or_insert_with(|| value.to_json());
    }
    if let Some(time) = record.time {
        flat.insert("@timestamp".to_owned(), json!(time.to_string()));
    }
    if !record.message.is_empty() {
        flat.insert("message".to_owned(), json!(record.message));
    }
    if let Parsed::Failed(reason) = record.parsed {
        flat.insert("error.message".to_owned(), json!(reason));
    }
    let routing = record.logsource;
    if routing != LogSource::default() {
        let shown = json!([routing.product, routing.category, routing.service]);
        flat.insert("logsource".to_owned(), shown);
    }
    Json::Object(flat)
}

#[test]
fn ecs_objects_pass_flat_or_nested() {
    let line = r#"{"@timestamp":"2026-03-03T10:00:01.5+01:00","event.id":"e1","user":{"name":"ann"},
        "source.ip":"::ffff:192.0.2.8","event.category":["iam"],"db.before":{"a":{"b":1}},"message":"hi","x":null}"#;
    assert_eq!(
        event("ecs", line),
        json!({"@timestamp": "2026-03-03T09:00:01.500Z", "event.id": "e1", "user.name": "ann",
            "source.ip": "::ffff:192.0.2.8", "event.category": ["iam"],
            "db.before": {"a": {"b": 1}}, "message": "hi", "x": null})
    );
}

#[test]
fn an_envelope_keeps_raw_names_and_its_routing() {
    let line = r#"{"id":"7","time":"2026-03-03T10:00:01Z","logsource":{"product":"windows","category":"process_creation"},
        "event":{"Image":"C:\\a.exe","Nested":{"Key":1},"id":"inner"}}"#;
    assert_eq!(
        event("envelope", line),
        json!({"@timestamp": "2026-03-03T10:00:01Z", "event.id": "7", "Image": "C:\\a.exe",
            "Nested.Key": 1, "id": "inner", "logsource": ["windows", "process_creation", null]})
    );
    assert_eq!(
        event("envelope", r#"{"id":"7"}"#)["error.message"],
        "the envelope has no object `event`"
    );
}

#[test]
fn application_keys_are_translated_in_their_order_of_preference() {
    let line = r#"{"ts":1772532001.25,"msg":"paid","lvl":"info","login":"second","user":"ann","actor":{"id":1},
        "data":{"ip":"till4.example","user_id":12,"level":"ignored","status":"ok"},"status":200,"method":"get"}"#;
    let got = event("json", line);
    for (name, wanted) in [
        ("@timestamp", json!("2026-03-03T10:00:01.250Z")),
        ("message", json!("paid")),
        ("log.level", json!("info")),
        ("user.name", json!("ann")),
        ("user.id", json!("12")),
        ("source.address", json!("till4.example")),
        ("http.response.status_code", json!(200)),
        ("http.request.method", json!("get")),
        ("actor.id", json!(1)),
        ("data.status", json!("ok")),
    ] {
        assert_eq!(got[name], wanted, "{name}");
    }
}

#[test]
fn times_are_understood_by_their_size() {
    for (number, wanted) in [
        (1.772_532e9, "2026-03-03T10:00:00Z"),
        (1.772_532e12, "2026-03-03T10:00:00Z"),
        (1.772_532e15, "2026-03-03T10:00:00Z"),
        (1.772_532e18, "2026-03-03T10:00:00Z"),
        (1_772_532_000.125, "2026-03-03T10:00:00.125Z"),
    ] {
        assert_eq!(epoch(number).map(|time| time.to_string()).as_deref(), Some(wanted), "{number}");
    }
    assert_eq!(epoch(f64::MAX), None);
}

#[test]
fn what_is_no_object_says_so_and_keeps_its_text() {
    for format in ["ecs", "json", "envelope", "journald"] {
        let mut names = FieldTable::default();
        let (parsers, _) = Parsers::load(&[], &mut names);
        assert!(parsers.format(format).is_some());
        let got = event(format, "{\"a\": tru");
        assert_eq!(got["error.message"], "the record is not a JSON object", "{format}");
        assert_eq!(got["message"], "{\"a\": tru", "{format}");
    }
}

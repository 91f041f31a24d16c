use super::*;
use crate::event::{FlatEvent, SourceId, StreamId};
use serde_json::{Value as Json, json};

const RECEIVED: &str = "2026-11-21T22:00:00Z";

fn raw(bytes: &[u8]) -> RawRecord<'_> {
    RawRecord {
        source: SourceId(0),
        stream: StreamId(0xab),
        path: Some("/var/log/x"),
        offset: 16,
        received: Timestamp::parse_rfc3339(RECEIVED).unwrap(),
        bytes,
        full_length: 99,
        flags: RecordFlags::NONE,
    }
}

/// The event of a record with some fields, and what was counted.
fn event<'a>(
    raw: &RawRecord<'a>,
    fields: &[(Key<'a>, Value<'a>)],
    time: Option<&str>,
) -> (Json, NormalizeCounts) {
    let arena = Bump::new();
    let names = FieldTable::default();
    let mut counts = NormalizeCounts::default();
    let text = String::from_utf8_lossy(raw.bytes).into_owned();
    let mut record = Record::new(&arena, &text);
    record.time = time.and_then(Timestamp::parse_rfc3339);
    record.fields.extend(fields.iter().copied());
    let event = normalize(record, raw, 0, &names, &arena, &mut counts);
    (Json::Object(FlatEvent::from_event(&event, &names).0), counts)
}

fn id(id: crate::event::FieldId) -> Key<'static> {
    Key::Id(id)
}

#[test]
fn a_time_that_cannot_be_is_the_time_of_reading() {
    for (time, wanted, missing) in [
        (Some("2026-11-21T21:00:00Z"), "2026-11-21T21:00:00Z", 0),
        (Some("2026-11-22T21:59:59Z"), "2026-11-22T21:59:59Z", 0),
        (Some("2026-11-22T22:00:01Z"), RECEIVED, 1),
        (Some("1970-01-01T00:03:00Z"), RECEIVED, 1),
        (None, RECEIVED, 1),
    ] {
        let (event, counts) = event(&raw(b"x"), &[], time);
        assert_eq!((event["@timestamp"].as_str(), counts.times_missing), (Some(wanted), missing));
    }
}

#[test]
fn peers_hosts_and_places_are_completed() {
    let fields = [
        (id(ecs::SOURCE_ADDRESS), Value::Str("::ffff:192.0.2.8")),
        (id(ecs::DESTINATION_ADDRESS), Value::Str("till4.example")),
        (id(ecs::HOST_HOSTNAME), Value::Str("pos7")),
    ];
    let (event, _) = event(&raw(b"x"), &fields, None);
    for (name, wanted) in [
        ("source.ip", json!("192.0.2.8")),
        ("source.address", json!("::ffff:192.0.2.8")),
        ("source.domain", Json::Null),
        ("destination.domain", json!("till4.example")),
        ("destination.ip", Json::Null),
        ("host.name", json!("pos7")),
        ("event.kind", json!("event")),
        ("event.id", json!("00000000000000ab-10")),
        ("log.file.path", json!("/var/log/x")),
        ("log.offset", json!(16)),
        ("log.flags", Json::Null),
    ] {
        assert_eq!(event.get(name).cloned().unwrap_or_default(), wanted, "{name}");
    }
}

#[test]
fn an_id_of_the_record_is_taken() {
    let fields =
        [(id(ecs::EVENT_ID), Value::Str("own")), (id(ecs::EVENT_KIND), Value::Str("alert"))];
    let (event, _) = event(&raw(b"x"), &fields, None);
    assert_eq!(
        (event["event.id"].as_str(), event["event.kind"].as_str()),
        (Some("own"), Some("alert"))
    );
}

#[test]
fn what_was_noticed_while_reading_is_told() {
    let mut torn = raw(b"caf\xe9");
    torn.flags = RecordFlags::TRUNCATED.with(RecordFlags::UNTERMINATED);
    let (event, counts) = event(&torn, &[], None);
    assert_eq!(event["log.flags"], json!(["invalid_utf8", "truncated", "unterminated"]));
    assert_eq!(event["tail.full_length"], json!(99));
    assert_eq!(event["event.original"], json!("caf\u{fffd}"));
    assert_eq!(counts.invalid_utf8, 1);
}

#[test]
fn cards_are_masked_everywhere() {
    let line = raw(b"card 4111 1111 1111 1111 at till 4");
    let list = [Value::Str("5500000000000004"), Value::Int(7)];
    let row = [("pan", Value::Int(4_111_111_111_111_111)), ("list", Value::List(&list))];
    let fields = [
        (id(ecs::DB_AFTER), Value::Map(&row)),
        (id(ecs::PROCESS_COMMAND_LINE), Value::Str("pay 378282246310005")),
        (id(ecs::EVENT_SEQUENCE), Value::Int(4_111_111_111_111_111)),
        (Key::Name("pan"), Value::Int(4_111_111_111_111_111)),
    ];
    let (event, counts) = event(&line, &fields, None);
    for (name, wanted) in [
        ("event.original", json!("card 4111 11** **** 1111 at till 4")),
        ("message", json!("card 4111 11** **** 1111 at till 4")),
        ("db.after", json!({"pan": "411111******1111", "list": ["550000******0004", 7]})),
        ("process.command_line", json!("pay 378282*****0005")),
        ("event.sequence", json!(4_111_111_111_111_111_i64)),
        ("pan", json!("411111******1111")),
    ] {
        assert_eq!(event[name], wanted, "{name}");
    }
    assert!(counts.cards_masked >= 1);
}

#[test]
fn a_card_deep_inside_costs_one_look() {
    let arena = Bump::new();
    let mut value = Value::Str("4111111111111111");
    for _ in 0..200 {
        value = Value::List(arena.alloc_slice_copy(&[Value::Null, value]));
    }
    let (event, counts) = event(&raw(b"x"), &[(Key::Name("deep"), value)], None);
    let mut inner = &event["deep"];
    while let Some(list) = inner.as_array() {
        inner = &list[1];
    }
    assert_eq!((inner.as_str(), counts.cards_masked), (Some("411111******1111"), 1));
}

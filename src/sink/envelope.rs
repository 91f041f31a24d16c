//! The JSON of files and webhooks: one object a message, the same bytes at every rendering.

use super::NoticeView;
use crate::event::{FlatEvent, Timestamp};
use crate::finding::{Group, Incident, Step};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::{Map, Value as Json};

/// The `type` of an event.
pub const EVENT: &str = "event";

/// Bytes of evidence one message carries at most; what would exceed it is left out, newest first,
/// and counted in `events_omitted`. The store keeps all of it.
pub const EVIDENCE_BYTES_MAX: usize = 1024 * 1024;

/// A message about an incident, without a line end.
pub fn notice(view: &NoticeView<'_>) -> String {
    let notice = view.notice;
    to_text(&Envelope {
        kind: notice.kind.as_str(),
        id: &notice.id(),
        time: &notice.time.to_string(),
        data: IncidentWire::new(&notice.incident, view.evidence, view.steps),
    })
}

/// The `data` of a message about an incident: what commands and the API show of it.
pub fn incident(incident: &Incident, evidence: &[FlatEvent], steps: &[Step]) -> String {
    to_text(&IncidentWire::new(incident, evidence, steps))
}

/// Appends the line of one event, line end included, for [`super::EventSink::write`].
pub fn event_line(event: &FlatEvent, out: &mut Vec<u8>) {
    let time = event.text("@timestamp").unwrap_or_default();
    let line = to_text(&Envelope { kind: EVENT, id: event.id(), time, data: &event.0 });
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
}

/// Strings, numbers and maps with text keys: there is nothing here that could not be written.
fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Serialize)]
struct Envelope<'a, D> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    time: &'a str,
    data: D,
}

#[derive(Serialize)]
struct IncidentWire<'a> {
    id: &'a str,
    rule: &'a str,
    title: &'a str,
    alert_type: &'a str,
    level: &'a str,
    status: &'a str,
    #[serde(serialize_with = "serialize_group")]
    group: &'a Group,
    count: u64,
    #[serde(serialize_with = "serialize_time")]
    first_seen: Timestamp,
    #[serde(serialize_with = "serialize_time")]
    last_seen: Timestamp,
    tags: &'a [Box<str>],
    events: Vec<&'a Map<String, Json>>,
    #[serde(skip_serializing_if = "is_zero")]
    events_omitted: usize,
    description: &'a str,
    episodes: u32,
    steps: Vec<&'a str>,
}

impl<'a> IncidentWire<'a> {
    fn new(incident: &'a Incident, evidence: &'a [FlatEvent], steps: &'a [Step]) -> Self {
        let events = within_bounds(evidence);
        Self {
            id: &incident.id.0,
            rule: &incident.rule.id,
            title: &incident.rule.title,
            alert_type: incident.rule.alert_type.as_str(),
            level: incident.rule.level.as_str(),
            status: incident.status.as_str(),
            group: &incident.group,
            count: incident.count,
            first_seen: incident.first_seen,
            last_seen: incident.last_seen,
            tags: &incident.rule.tags,
            events_omitted: evidence.len() - events.len(),
            events,
            description: &incident.rule.description,
            episodes: incident.episodes,
            steps: steps.iter().map(|step| &*step.text).collect(),
        }
    }
}

fn within_bounds(evidence: &[FlatEvent]) -> Vec<&Map<String, Json>> {
    let mut bytes = 0;
    evidence
        .iter()
        .map(|event| &event.0)
        .take_while(|event| {
            bytes += event.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>();
            bytes <= EVIDENCE_BYTES_MAX
        })
        .collect()
}

/// About how many bytes a value is, counted without writing it.
fn weight(value: &Json) -> usize {
    8 + match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(weight).sum(),
        Json::Object(map) => map.iter().map(|(name, value)| name.len() + weight(value)).sum(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn serialize_time<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(time)
}

fn serialize_group<S: Serializer>(group: &Group, out: S) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(Some(group.len()))?;
    for (field, value) in group {
        map.serialize_entry(field, value)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::NoticeKind;
    use crate::sink::tests::{Sample, flat};
    use serde_json::json;

    #[test]
    fn an_incident_is_written_in_one_order_and_always_the_same() {
        let sample = Sample::new(NoticeKind::Opened);
        let line = notice(&sample.view());
        assert_eq!(line, notice(&sample.view()));
        assert!(!line.contains('\n'));
        let id = &sample.notice.incident.id.0;
        let wanted = format!(
            concat!(
                r#"{{"type":"incident.opened","id":"{id}-1","time":"2026-11-21T10:00:48Z","#,
                r#""data":{{"id":"{id}","rule":"ssh-guessing","title":"SSH password guessing","#,
                r#""alert_type":"BRUTE_FORCE_DETECTED","level":"high","status":"open","#,
                r#""group":{{"source.ip":"203.0.113.9","host.name":"pos-7"}},"count":12,"#,
                r#""first_seen":"2026-11-21T10:00:00Z","last_seen":"2026-11-21T10:00:48Z","#,
                r#""tags":["attack.t1110"],"events":["#
            ),
            id = id
        );
        assert!(line.starts_with(&wanted), "{line}");
        let read: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(read["data"]["events"].as_array().unwrap().len(), 3);
        assert_eq!(read["data"]["events"][0]["event.id"], "e-0");
        assert_eq!(read["data"]["steps"], json!(["block the address", "look for a login"]));
        assert_eq!(read["data"]["episodes"], 1);
        assert_eq!(read["data"]["description"], "Many failures from one address.");
        assert_eq!(read["data"].get("events_omitted"), None);
    }

    #[test]
    fn evidence_is_bounded_and_what_is_left_out_is_counted() {
        let mut sample = Sample::new(NoticeKind::Updated);
        sample.evidence =
            (0..20).map(|n| flat(n, &"\u{1}<x>".repeat(EVIDENCE_BYTES_MAX / 40))).collect();
        let read: Json = serde_json::from_str(&notice(&sample.view())).unwrap();
        let kept = read["data"]["events"].as_array().unwrap();
        assert!((1..20).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept[0]["event.id"], "e-0");
        assert_eq!(read["data"]["events_omitted"], 20 - kept.len());
    }

    #[test]
    fn an_event_is_one_line() {
        let mut out = Vec::new();
        event_line(&flat(4, "a \"line\"\nwith\ttwo"), &mut out);
        assert_eq!(out.split_inclusive(|byte| *byte == b'\n').count(), 1);
        let read: Json = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["type"], "event");
        assert_eq!(read["id"], "e-4");
        assert_eq!(read["time"], "2026-11-21T10:00:04Z");
        assert_eq!(read["data"]["event.original"], "a \"line\"\nwith\ttwo");
    }
}

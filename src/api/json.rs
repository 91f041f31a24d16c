//! The wire form of incidents and deliveries.

use super::time;
use crate::finding::Incident;
use crate::store::{DeliveryDetail, DeliveryRow, IncidentDetail};
use serde_json::{Map, Value, json};

/// An incident without its evidence.
pub fn incident_head(incident: &Incident) -> Value {
    let rule = &incident.rule;
    let group: Map<String, Value> = incident
        .group
        .iter()
        .map(|(field, value)| (field.to_string(), Value::from(&**value)))
        .collect();
    json!({
        "id": &*incident.id.0, "rule": &*rule.id, "title": &*rule.title,
        "description": &*rule.description, "alert_type": rule.alert_type.as_str(),
        "level": rule.level.as_str(), "status": incident.status.as_str(), "group": group,
        "count": incident.count, "episodes": incident.episodes,
        "first_seen": time(incident.first_seen), "last_seen": time(incident.last_seen),
        "tags": rule.tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
    })
}

/// An incident with everything about it.
pub fn incident_detail(detail: &IncidentDetail) -> Value {
    let mut all = incident_head(&detail.incident);
    let entry = |entry: &crate::finding::TimelineEntry| json!({"time": time(entry.time), "actor": &*entry.actor, "text": &*entry.text});
    if let Some(object) = all.as_object_mut() {
        let events = detail.evidence.iter().map(|event| Value::Object(event.0.clone())).collect();
        object.insert("events".to_owned(), Value::Array(events));
        object.insert("timeline".to_owned(), detail.timeline.iter().map(entry).collect());
        object.insert(
            "steps".to_owned(),
            detail.steps.iter().map(|step| Value::from(&*step.text)).collect(),
        );
        object
            .insert("deliveries".to_owned(), detail.deliveries.iter().map(delivery_row).collect());
    }
    all
}

/// A delivery without its payload.
pub fn delivery_row(row: &DeliveryRow) -> Value {
    json!({
        "row": row.id.0, "sink": &*row.sink, "id": &*row.key, "incident": &*row.incident.0,
        "type": row.kind.as_str(), "state": row.state.as_str(), "waits": row.waits,
        "attempts": row.attempts, "maybe_delivered": row.maybe_delivered,
        "created": time(row.created), "next_at": row.next_at.map(time),
        "last_error": row.last_error.as_deref(),
    })
}

/// A delivery with its payload and attempts.
pub(super) fn delivery_detail(detail: &DeliveryDetail) -> Value {
    let mut all = delivery_row(&detail.delivery);
    let attempt = |row: &crate::store::AttemptRow| {
        json!({"attempt": row.attempt, "time": time(row.time), "outcome": &*row.outcome,
               "detail": row.detail.as_deref()})
    };
    if let Some(object) = all.as_object_mut() {
        object.insert("payload".to_owned(), Value::from(detail.payload.as_str()));
        object.insert("attempts_log".to_owned(), detail.attempts.iter().map(attempt).collect());
    }
    all
}

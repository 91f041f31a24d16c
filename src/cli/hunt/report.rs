//! What hunting writes: one JSON object a line.

use super::Output;
use crate::event::Timestamp;
use crate::fact::FactKind;
use crate::finding::{Finding, Group, Incident, IncidentChange, IncidentId, Phase, Status};
use crate::pipeline::Effect;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Bytes of evidence that are held until the end; what comes later is counted instead.
const EVIDENCE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Incidents that are held until the end; beyond, those that are resolved are written at once.
const INCIDENTS_MAX: usize = 200_000;

/// Takes effects and writes what was asked for.
#[derive(Debug)]
pub(super) struct Report<W> {
    output: Output,
    out: W,
    found: u64,
    counts: BTreeMap<FactKind, u64>,
    incidents: BTreeMap<IncidentId, Held>,
    opened: u64,
    evidence_bytes: usize,
    unkept: u64,
}

/// An incident until the end of the hunt.
#[derive(Debug)]
struct Held {
    /// In the order in which they opened.
    number: u64,
    head: Incident,
    events: Vec<Box<RawValue>>,
    steps: Vec<Box<str>>,
}

impl<W: Write> Report<W> {
    /// Nothing written yet.
    pub(super) fn new(output: Output, out: W) -> Self {
        Self {
            output,
            out,
            found: 0,
            counts: BTreeMap::new(),
            incidents: BTreeMap::new(),
            opened: 0,
            evidence_bytes: 0,
            unkept: 0,
        }
    }

    /// Findings so far.
    pub(super) const fn found(&self) -> u64 {
        self.found
    }

    /// Happenings of a kind so far.
    pub(super) fn count(&self, kind: FactKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Events of evidence for which there was no room.
    pub(super) const fn unkept(&self) -> u64 {
        self.unkept
    }

    /// Takes the effects of a step.
    pub(super) fn take(&mut self, effects: &mut Vec<Effect>) -> io::Result<()> {
        for effect in effects.drain(..) {
            match effect {
                Effect::Finding(finding, events) => self.finding(&finding, &events)?,
                Effect::Incident(change) if self.output == Output::Incidents => {
                    self.incident(change)?;
                }
                Effect::Note(fact) => {
                    let count = self.counts.entry(fact.kind).or_default();
                    *count = count.saturating_add(fact.count);
                }
                Effect::Incident(_)
                | Effect::Event(_)
                | Effect::Send(_)
                | Effect::Save(_)
                | Effect::Refused(_) => {}
            }
        }
        Ok(())
    }

    /// Writes what is held, so that a reader of a pipe sees it before the next block is read.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes the incidents, if they were asked for.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let all = std::mem::take(&mut self.incidents);
        self.write_incidents(all.into_values().collect())?;
        self.flush()
    }

    fn write_incidents(&mut self, mut held: Vec<Held>) -> io::Result<()> {
        held.sort_by_key(|held| held.number);
        for held in &held {
            self.line(&incident_line(held))?;
        }
        Ok(())
    }

    fn make_room(&mut self) -> io::Result<()> {
        let all = std::mem::take(&mut self.incidents);
        let (over, open): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(_, held)| held.head.status == Status::Resolved);
        self.incidents = open;
        self.write_incidents(over.into_values().collect())
    }

    fn finding(&mut self, finding: &Finding, events: &[Box<str>]) -> io::Result<()> {
        if !matches!(finding.phase, Phase::Single | Phase::Opened) {
            return Ok(());
        }
        self.found += 1;
        match self.output {
            Output::Incidents => Ok(()),
            Output::Matches => {
                let event = events.last().map(AsRef::as_ref).unwrap_or_default();
                self.line(&MatchLine { rule: &finding.rule.id, event })
            }
            Output::Findings => {
                let rule = &finding.rule;
                self.line(&FindingLine {
                    time: Time(finding.time),
                    rule: &rule.id,
                    level: rule.level.as_str(),
                    group: Pairs(&finding.group),
                    count: finding.count,
                    events: events.iter().map(AsRef::as_ref).collect(),
                    title: &rule.title,
                    alert_type: rule.alert_type.as_str(),
                    first_seen: Time(finding.first_seen),
                    last_seen: Time(finding.last_seen),
                })
            }
        }
    }

    fn incident(&mut self, change: IncidentChange) -> io::Result<()> {
        match change {
            IncidentChange::Head(head) => self.head(head)?,
            IncidentChange::Evidence(id, event) => {
                let text = serde_json::value::to_raw_value(&event.0)?;
                if self.evidence_bytes + text.get().len() > EVIDENCE_BYTES_MAX {
                    self.unkept += 1;
                } else if let Some(held) = self.incidents.get_mut(&id) {
                    self.evidence_bytes += text.get().len();
                    held.events.push(text);
                }
            }
            IncidentChange::Step(step) => {
                if let Some(held) = self.incidents.get_mut(&step.incident) {
                    held.steps.push(step.text);
                }
            }
            IncidentChange::Timeline(..) => {}
        }
        Ok(())
    }

    fn head(&mut self, head: Incident) -> io::Result<()> {
        if let Some(held) = self.incidents.get_mut(&head.id) {
            held.head = head;
            return Ok(());
        }
        if self.incidents.len() >= INCIDENTS_MAX {
            self.make_room()?;
        }
        self.opened += 1;
        let held = Held { number: self.opened, head, events: Vec::new(), steps: Vec::new() };
        self.incidents.insert(held.head.id.clone(), held);
        Ok(())
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}

fn incident_line(held: &Held) -> IncidentLine<'_> {
    let incident = &held.head;
    let rule = &incident.rule;
    IncidentLine {
        id: &incident.id.0,
        rule: &rule.id,
        title: &rule.title,
        alert_type: rule.alert_type.as_str(),
        level: rule.level.as_str(),
        status: incident.status.as_str(),
        group: Pairs(&incident.group),
        count: incident.count,
        first_seen: Time(incident.first_seen),
        last_seen: Time(incident.last_seen),
        tags: &rule.tags,
        events: &held.events,
        description: &rule.description,
        episodes: incident.episodes,
        steps: &held.steps,
    }
}

#[derive(Debug, serde::Serialize)]
struct MatchLine<'f> {
    rule: &'f str,
    event: &'f str,
}

#[derive(Debug, serde::Serialize)]
struct FindingLine<'f> {
    time: Time,
    rule: &'f str,
    level: &'static str,
    group: Pairs<'f>,
    count: u64,
    events: Vec<&'f str>,
    title: &'f str,
    alert_type: &'static str,
    first_seen: Time,
    last_seen: Time,
}

#[derive(Debug, serde::Serialize)]
struct IncidentLine<'i> {
    id: &'i str,
    rule: &'i str,
    title: &'i str,
    alert_type: &'static str,
    level: &'static str,
    status: &'static str,
    group: Pairs<'i>,
    count: u64,
    first_seen: Time,
    last_seen: Time,
    tags: &'i [Box<str>],
    events: &'i [Box<RawValue>],
    description: &'i str,
    episodes: u32,
    steps: &'i [Box<str>],
}

/// A time as RFC 3339.
#[derive(Debug)]
struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(&self.0)
    }
}

/// A group as an object, in the order of the rule.
#[derive(Debug)]
struct Pairs<'g>(&'g Group);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        let mut map = into.serialize_map(Some(self.0.len()))?;
        for (field, value) in self.0 {
            map.serialize_entry(field, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FlatEvent;
    use crate::fact::Fact;
    use crate::finding::{AlertType, Level, RuleHead};
    use std::sync::Arc;

    fn rule() -> Arc<RuleHead> {
        Arc::new(RuleHead {
            id: "r1".into(),
            title: "Many \"failures\"".into(),
            level: Level::High,
            alert_type: AlertType::BruteForce,
            tags: vec!["attack.t1110".into()],
            description: "".into(),
        })
    }

    fn group() -> Group {
        vec![("source.ip".into(), "203.0.113.7".into()), ("a".into(), "b".into())]
    }

    fn finding(phase: Phase) -> Effect {
        let finding = Finding {
            rule: rule(),
            phase,
            episode: 1,
            group: group(),
            time: Timestamp::from_seconds(60),
            count: 5,
            first_seen: Timestamp::from_seconds(1),
            last_seen: Timestamp::from_seconds(60),
            evidence: Vec::new(),
        };
        Effect::Finding(finding, vec!["e1".into(), "e2".into()])
    }

    fn event(id: &str) -> FlatEvent {
        let mut flat = FlatEvent::default();
        flat.0.insert("event.id".to_owned(), id.into());
        flat
    }

    fn head(count: u64) -> Effect {
        Effect::Incident(IncidentChange::Head(Incident {
            id: IncidentId("inc-1".into()),
            rule: rule(),
            group: group(),
            status: Status::Open,
            count,
            episodes: 1,
            first_seen: Timestamp::from_seconds(1),
            last_seen: Timestamp::from_seconds(60),
            evidence: 0,
            revision: 1,
            notified_count: count,
        }))
    }

    fn written(output: Output, mut effects: Vec<Effect>) -> (String, u64) {
        let mut bytes = Vec::new();
        let mut report = Report::new(output, &mut bytes);
        report.take(&mut effects).unwrap();
        report.finish().unwrap();
        let found = report.found();
        (String::from_utf8(bytes).unwrap(), found)
    }

    #[test]
    fn a_finding_is_written_when_it_opens_and_not_again() {
        let effects = vec![finding(Phase::Opened), finding(Phase::Grew), finding(Phase::Ended)];
        assert_eq!(
            written(Output::Findings, effects),
            (
                "{\"time\":\"1970-01-01T00:01:00Z\",\"rule\":\"r1\",\"level\":\"high\",\
                 \"group\":{\"source.ip\":\"203.0.113.7\",\"a\":\"b\"},\"count\":5,\
                 \"events\":[\"e1\",\"e2\"],\"title\":\"Many \\\"failures\\\"\",\
                 \"alert_type\":\"BRUTE_FORCE_DETECTED\",\"first_seen\":\"1970-01-01T00:00:01Z\",\
                 \"last_seen\":\"1970-01-01T00:01:00Z\"}\n"
                    .to_owned(),
                1
            )
        );
    }

    #[test]
    fn a_match_names_the_event_that_completed_it() {
        let (text, _) = written(Output::Matches, vec![finding(Phase::Single)]);
        assert_eq!(text, "{\"rule\":\"r1\",\"event\":\"e2\"}\n");
    }

    #[test]
    fn an_incident_is_written_once_in_its_last_state_with_its_evidence() {
        let evidence = |id: &str| {
            Effect::Incident(IncidentChange::Evidence(IncidentId("inc-1".into()), event(id)))
        };
        let effects = vec![head(5), evidence("e1"), evidence("e2"), head(9)];
        let (text, _) = written(Output::Incidents, effects);
        assert_eq!(text.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["count"], 9);
        assert_eq!(json["tags"], serde_json::json!(["attack.t1110"]));
        assert_eq!(json["events"][1]["event.id"], "e2");
    }

    #[test]
    fn counts_add_up_over_several_notes() {
        let mut report = Report::new(Output::Findings, Vec::new());
        let note = |count| Effect::Note(Fact::count(FactKind::RecordsFailed, None, count));
        report.take(&mut vec![note(2), note(3)]).unwrap();
        assert_eq!(report.count(FactKind::RecordsFailed), 5);
    }
}

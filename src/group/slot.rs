//! One incident while it can still grow, and its life.
//!
//! ```text
//! (finding) -> Open -> Acknowledged -> Resolved      Open -> Resolved
//!               ^------------+------------+           reopened by an order,
//!                                                     or because its episode went on
//! ```

use super::{Grouped, entry, room_for_evidence};
use crate::event::{FlatEvent, Timestamp};
use crate::fact::{Fact, FactKind};
use crate::finding::{
    AlertType, Finding, Incident, IncidentChange, IncidentId, Level, NoticeKind, Order, Phase,
    RuleHead, Status,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// An incident and the episode that is running.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot {
    pub(super) incident: Incident,
    /// The running episode and its count so far; `None` between episodes.
    episode: Option<(u64, u64)>,
    /// Whether it changed since it was last saved.
    pub(super) is_dirty: bool,
}

impl Slot {
    /// Opens an incident with its first finding.
    pub(super) fn open(
        finding: &Finding,
        evidence: Vec<FlatEvent>,
        out: &mut Vec<Grouped>,
    ) -> Self {
        let incident = Incident {
            id: IncidentId::derive(&finding.rule.id, &finding.group, finding.episode),
            rule: Arc::clone(&finding.rule),
            group: finding.group.clone(),
            status: Status::Open,
            count: finding.count,
            episodes: 1,
            first_seen: finding.first_seen,
            last_seen: finding.last_seen,
            evidence: 0,
            revision: 0,
            notified_count: 0,
        };
        let mut slot = Self { incident, episode: running(finding), is_dirty: true };
        // The head stands before what belongs to it, so that a store can refer to it.
        out.push(Grouped::Change(IncidentChange::Head(slot.incident.clone())));
        out.push(Grouped::Note(Fact::count(FactKind::IncidentsOpened, None, 1)));
        let text =
            format!("opened by rule `{}` with a count of {}", finding.rule.id, finding.count);
        out.push(entry(&slot.incident, finding.time, super::ACTOR, text));
        slot.keep(evidence, out);
        slot.tell(NoticeKind::Opened, finding.time, out);
        slot
    }

    /// An incident that comes from the store to be ordered about.
    pub(super) fn stored(incident: Incident) -> Self {
        Self { incident, episode: None, is_dirty: true }
    }

    /// Resolved, and nothing that runs can bring it back.
    pub(super) fn is_over(&self) -> bool {
        self.incident.status == Status::Resolved && self.episode.is_none()
    }

    /// Takes a further finding of the same rule and group.
    pub(super) fn grow(
        &mut self,
        finding: &Finding,
        evidence: Vec<FlatEvent>,
        out: &mut Vec<Grouped>,
    ) {
        if finding.phase == Phase::Ended {
            return self.end(finding, out);
        }
        let before = match self.episode {
            Some((episode, count)) if episode == finding.episode => count,
            _ => 0,
        };
        let is_new_episode = finding.phase == Phase::Opened;
        self.episode = running(finding);
        self.incident.count += finding.count.saturating_sub(before);
        self.incident.episodes += u32::from(is_new_episode);
        self.incident.first_seen = self.incident.first_seen.min(finding.first_seen);
        self.incident.last_seen = self.incident.last_seen.max(finding.last_seen);
        self.keep(evidence, out);
        let is_back = self.incident.status == Status::Resolved;
        if is_back {
            self.incident.status = Status::Open;
            out.push(entry(&self.incident, finding.time, super::ACTOR, "reopened: it goes on"));
        } else if is_new_episode {
            let text = format!("episode {}: it started again", self.incident.episodes);
            out.push(entry(&self.incident, finding.time, super::ACTOR, text));
        }
        let has_doubled = self.incident.count >= self.incident.notified_count.saturating_mul(2);
        if is_back || is_new_episode || has_doubled {
            self.tell(NoticeKind::Updated, finding.time, out);
        }
        // A head that only counted on is written at the next checkpoint.
    }

    /// Its episode is not waited for any longer.
    pub(super) fn forget_episode(&mut self) {
        self.episode = None;
    }

    /// Tells the count if it is larger than what was told last.
    pub(super) fn flush(&mut self, out: &mut Vec<Grouped>) {
        let is_behind = self.incident.status != Status::Resolved
            && self.incident.count > self.incident.notified_count;
        if is_behind {
            self.tell(NoticeKind::Updated, self.incident.last_seen, out);
        }
    }

    /// Carries out an order; one that changes nothing is refused.
    pub(super) fn order(&mut self, order: &Order, now: Timestamp, out: &mut Vec<Grouped>) {
        let before = self.incident.status;
        if before == order.status {
            let message = format!("`{}` is {} already", order.incident, before.as_str());
            return out.push(Grouped::Refused(message));
        }
        self.incident.status = order.status;
        let verb = match order.status {
            Status::Open => "reopened",
            Status::Acknowledged => "acknowledged",
            Status::Resolved => "resolved",
        };
        let colon = if order.reason.is_empty() { "" } else { ": " };
        let text = format!("{verb}{colon}{}", order.reason);
        out.push(entry(&self.incident, now, &order.actor, text));
        if order.status == Status::Resolved {
            out.push(Grouped::Note(Fact::count(FactKind::IncidentsResolved, None, 1)));
            self.tell(NoticeKind::Resolved, now, out);
        } else {
            self.tell(NoticeKind::Updated, now, out);
        }
    }

    fn end(&mut self, finding: &Finding, out: &mut Vec<Grouped>) {
        if self.episode.is_none_or(|(episode, _)| episode != finding.episode) {
            return;
        }
        self.episode = None;
        if self.incident.status == Status::Resolved {
            return;
        }
        let text = format!("quiet again after {} occurrences", finding.count);
        out.push(entry(&self.incident, finding.time, super::ACTOR, text));
        if self.incident.count > self.incident.notified_count {
            self.tell(NoticeKind::Updated, finding.time, out);
        }
    }

    fn keep(&mut self, evidence: Vec<FlatEvent>, out: &mut Vec<Grouped>) {
        for event in evidence.into_iter().take(room_for_evidence(&self.incident)) {
            self.incident.evidence += 1;
            out.push(Grouped::Change(IncidentChange::Evidence(self.incident.id.clone(), event)));
        }
    }

    fn tell(&mut self, kind: NoticeKind, time: Timestamp, out: &mut Vec<Grouped>) {
        self.incident.revision += 1;
        self.incident.notified_count = self.incident.count;
        out.push(Grouped::Change(IncidentChange::Head(self.incident.clone())));
        out.push(Grouped::Tell(kind, time, self.incident.clone()));
    }

    /// The slot as JSON text, for the store.
    pub(super) fn encode(&self) -> Box<[u8]> {
        let incident = &self.incident;
        let rule = &incident.rule;
        let text = json!({
            "id": &*incident.id.0,
            "rule": {
                "id": &*rule.id, "title": &*rule.title, "level": rule.level.as_str(),
                "alert_type": rule.alert_type.as_str(), "description": &*rule.description,
                "tags": rule.tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            },
            "group": incident.group.iter().map(|(field, value)| [&**field, &**value]).collect::<Vec<_>>(),
            "status": incident.status.as_str(),
            "count": incident.count, "episodes": incident.episodes,
            "first_seen": incident.first_seen.nanos(), "last_seen": incident.last_seen.nanos(),
            "evidence": incident.evidence, "revision": incident.revision,
            "notified_count": incident.notified_count,
            "episode": self.episode.map(|(episode, count)| [episode, count]),
        });
        text.to_string().into_bytes().into()
    }

    /// Reads what [`Slot::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(bytes).ok()?;
        let rule = json.get("rule")?;
        let text = |from: &Json, key: &str| Some(Box::<str>::from(from.get(key)?.as_str()?));
        let number = |key: &str| json.get(key)?.as_u64();
        let time = |key: &str| Some(Timestamp::from_nanos(json.get(key)?.as_i64()?));
        let small = |key: &str| u32::try_from(number(key)?).ok();
        let head = RuleHead {
            id: text(rule, "id")?,
            title: text(rule, "title")?,
            level: Level::parse(&text(rule, "level")?)?,
            alert_type: AlertType::parse(&text(rule, "alert_type")?)?,
            tags: rule
                .get("tags")?
                .as_array()?
                .iter()
                .filter_map(|t| Some(t.as_str()?.into()))
                .collect(),
            description: text(rule, "description")?,
        };
        let pair =
            |pair: &Json| Some((pair.get(0)?.as_str()?.into(), pair.get(1)?.as_str()?.into()));
        let incident = Incident {
            id: IncidentId(text(&json, "id")?),
            rule: Arc::new(head),
            group: json.get("group")?.as_array()?.iter().map(pair).collect::<Option<_>>()?,
            status: Status::parse(&text(&json, "status")?)?,
            count: number("count")?,
            episodes: small("episodes")?,
            first_seen: time("first_seen")?,
            last_seen: time("last_seen")?,
            evidence: small("evidence")?,
            revision: small("revision")?,
            notified_count: number("notified_count")?,
        };
        let episode = match json.get("episode") {
            Some(Json::Array(two)) => Some((two.first()?.as_u64()?, two.get(1)?.as_u64()?)),
            _ => None,
        };
        Some(Self { incident, episode, is_dirty: false })
    }
}

/// A finding of a single event is over with it; every other episode runs until it is `Ended`.
fn running(finding: &Finding) -> Option<(u64, u64)> {
    (finding.phase != Phase::Single).then_some((finding.episode, finding.count))
}

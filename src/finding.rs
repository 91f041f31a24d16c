//! The nouns behind detection: [`Finding`] → [`Incident`] → [`Step`] and [`Notice`].

use crate::event::{Evidence, FlatEvent, Timestamp};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// How grave it is: Sigma's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// Worth recording.
    Informational,
    /// A hint.
    Low,
    /// To be looked at.
    #[default]
    Medium,
    /// To be looked at now.
    High,
    /// To be acted on now.
    Critical,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 5] =
        [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As rules and outputs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// From its written form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text))
    }
}

macro_rules! alert_types {
    ($($variant:ident $name:literal $level:ident $doc:literal;)*) => {
        /// What kind of alert an incident is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AlertType { $(#[doc = $doc] $variant,)* }

        impl AlertType {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As rules and outputs write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The level of a rule of this type that names none.
            pub const fn usual_level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)* }
            }
        }
    };
}

alert_types! {
    BruteForce "BRUTE_FORCE_DETECTED" High "Many failed logins.";
    SuspiciousLogin "SUSPICIOUS_LOGIN" Medium "A login that is not like the others.";
    UnauthorizedAccess "UNAUTHORIZED_ACCESS" High "Someone reached what is not theirs.";
    DataBreachAttempt "DATA_BREACH_ATTEMPT" Critical "Data is being taken away.";
    UnusualActivity "UNUSUAL_ACTIVITY" Medium "Out of the ordinary, of no other type.";
    RateLimitExceeded "RATE_LIMIT_EXCEEDED" Medium "More requests than agreed.";
    SystemCompromise "SYSTEM_COMPROMISE" Critical "The host itself is in other hands.";
    AccountLocked "ACCOUNT_LOCKED" Medium "An account was locked.";
    UnusualLocation "UNUSUAL_LOCATION" Medium "A login from a new place.";
    DataAccessAnomaly "DATA_ACCESS_ANOMALY" High "Data read by whom, when or as much as never before.";
    PermissionViolation "PERMISSION_VIOLATION" High "Rights used or changed against the rules.";
    SystemIntrusion "SYSTEM_INTRUSION" Critical "Someone is inside who should not be.";
}

impl AlertType {
    /// From its written form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// What of a rule travels with its findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHead {
    /// The rule's id (its `name` or title where it has none).
    pub id: Box<str>,
    /// The rule's title.
    pub title: Box<str>,
    /// How grave its findings are.
    pub level: Level,
    /// The alert type of its incidents.
    pub alert_type: AlertType,
    /// Sigma tags, for example `attack.t1110`.
    pub tags: Vec<Box<str>>,
    /// The rule's description, empty if it has none.
    pub description: Box<str>,
}

/// The values a finding is about: field name and value, in the order of the rule's `group-by`.
pub type Group = Vec<(Box<str>, Box<str>)>;

/// Where in its life a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// One event matched a rule: begins and ends with it.
    Single,
    /// A correlation's condition was met for the first time in its episode.
    Opened,
    /// A further event of a running episode.
    Grew,
    /// Nothing happened for the length of the window; the count is final.
    Ended,
}

/// Something a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Arc<RuleHead>,
    /// Where in its life.
    pub phase: Phase,
    /// Names the episode: the same from `Opened` to `Ended`, also after a restart.
    pub episode: u64,
    /// What it is about.
    pub group: Group,
    /// Event time at which this phase was reached.
    pub time: Timestamp,
    /// Occurrences in the episode so far.
    pub count: u64,
    /// Event time of the first of them.
    pub first_seen: Timestamp,
    /// Event time of the last of them.
    pub last_seen: Timestamp,
    /// What is new in this phase, at most [`EVIDENCE_MAX`] records, oldest first.
    pub evidence: Vec<Evidence>,
}

/// How many records a finding, and how many events an incident keeps as evidence.
pub const EVIDENCE_MAX: usize = 20;

/// How far an incident got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nobody has looked at it.
    Open,
    /// Somebody has taken it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Status {
    /// As outputs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// From its written form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Acknowledged, Self::Resolved].into_iter().find(|s| s.as_str() == text)
    }
}

/// The id of an incident: derived from rule, group and first episode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub Box<str>);

impl IncidentId {
    /// Derives the id. The same inputs give the same id on every host and in every run.
    pub fn derive(rule: &str, group: &Group, episode: u64) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(rule.as_bytes());
        for (field, value) in group {
            part(field.as_bytes());
            part(value.as_bytes());
        }
        part(&episode.to_le_bytes());
        let digest = hash.finalize();
        let number = digest.iter().take(10).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        Self(format!("inc-{number:020x}").into())
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An incident without its evidence and timeline, which only the store keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// The rule that opened it.
    pub rule: Arc<RuleHead>,
    /// What it is about.
    pub group: Group,
    /// How far it got.
    pub status: Status,
    /// Occurrences in all its episodes.
    pub count: u64,
    /// How many episodes it has had.
    pub episodes: u32,
    /// Event time of the first occurrence.
    pub first_seen: Timestamp,
    /// Event time of the last occurrence.
    pub last_seen: Timestamp,
    /// How many events of evidence were kept.
    pub evidence: u32,
    /// Number of the last notice about it, from 1.
    pub revision: u32,
    /// The count that notice told.
    pub notified_count: u64,
}

/// What happens to the record of an incident.
#[derive(Debug, Clone, PartialEq)]
pub enum IncidentChange {
    /// It is new, or its head is now this.
    Head(Incident),
    /// A further event of evidence; `event.id` makes it unique within the incident.
    Evidence(IncidentId, FlatEvent),
    /// A further entry of its timeline.
    Timeline(IncidentId, TimelineEntry),
    /// A recommended step.
    Step(Step),
}

/// One line of an incident's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// Event time, or the time of the command.
    pub time: Timestamp,
    /// Who did it: `tripline` or a person.
    pub actor: Box<str>,
    /// What happened, for people.
    pub text: Box<str>,
}

/// Something to do about an incident, decided when it opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The incident.
    pub incident: IncidentId,
    /// Order within the incident, from 1.
    pub number: u32,
    /// What to do, for a person.
    pub text: Box<str>,
}

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeKind {
    /// An incident is new.
    Opened,
    /// It grew, ended an episode, was acknowledged or reopened.
    Updated,
    /// It is over.
    Resolved,
}

impl NoticeKind {
    /// The `type` of the outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "incident.opened",
            Self::Updated => "incident.updated",
            Self::Resolved => "incident.resolved",
        }
    }

    /// From its written form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Opened, Self::Updated, Self::Resolved].into_iter().find(|k| k.as_str() == text)
    }
}

/// A message owed to one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The output it is owed to.
    pub sink: Box<str>,
    /// What it tells.
    pub kind: NoticeKind,
    /// Event time (or time of the command) of what it tells.
    pub time: Timestamp,
    /// The incident as it was then; its `revision` is the number of this notice.
    pub incident: Incident,
}

impl Notice {
    /// The idempotency key: `<incident>-<revision>`, the same at every attempt and every output.
    pub fn id(&self) -> String {
        format!("{}-{}", self.incident.id, self.incident.revision)
    }
}

/// A person's or program's order about an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The incident.
    pub incident: IncidentId,
    /// Its new status.
    pub status: Status,
    /// Who ordered it.
    pub actor: Box<str>,
    /// Why, for the timeline.
    pub reason: Box<str>,
}

/// A piece of detection state to keep: saved in the same transaction as the source positions that
/// led to it. `value: None` forgets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Whose state it is, for example `window`.
    pub kind: &'static str,
    /// Which piece, unique within the kind.
    pub key: Box<[u8]>,
    /// Its encoded value.
    pub value: Option<Box<[u8]>>,
}

//! The registry, the contract every kind keeps, and the samples their tests share.

use super::*;
use crate::diagnostic::SourceText;
use crate::event::Timestamp;
use crate::finding::{AlertType, Incident, IncidentId, Level, NoticeKind, RuleHead, Status, Step};
use crate::kind;
use crate::yaml;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A notice with its evidence and steps.
pub(super) struct Sample {
    pub(super) notice: Notice,
    pub(super) evidence: Vec<FlatEvent>,
    pub(super) steps: Vec<Step>,
}

pub(super) const START: i64 = 1_795_255_200;

impl Sample {
    pub(super) fn new(kind: NoticeKind) -> Self {
        let rule = RuleHead {
            id: "ssh-guessing".into(),
            title: "SSH password guessing".into(),
            level: Level::High,
            alert_type: AlertType::BruteForce,
            tags: vec!["attack.t1110".into()],
            description: "Many failures from one address.".into(),
        };
        let group =
            vec![("source.ip".into(), "203.0.113.9".into()), ("host.name".into(), "pos-7".into())];
        let id = IncidentId::derive(&rule.id, &group, 7);
        let step = |number, text: &str| Step { incident: id.clone(), number, text: text.into() };
        let steps = vec![step(1, "block the address"), step(2, "look for a login")];
        let status = if kind == NoticeKind::Resolved { Status::Resolved } else { Status::Open };
        let incident = Incident {
            id,
            rule: Arc::new(rule),
            group,
            status,
            count: 12,
            episodes: 1,
            first_seen: Timestamp::from_seconds(START),
            last_seen: Timestamp::from_seconds(START + 48),
            evidence: 3,
            revision: 1,
            notified_count: 12,
        };
        let time = Timestamp::from_seconds(START + 48);
        let mut evidence: Vec<FlatEvent> =
            (0..2).map(|n| flat(n, "Failed password for root")).collect();
        let mut other = flat(2, "Failed password for admin");
        other.0.insert("user.name".into(), "admin".into());
        evidence.push(other);
        Self { notice: Notice { sink: "test".into(), kind, time, incident }, evidence, steps }
    }

    pub(super) fn view(&self) -> NoticeView<'_> {
        NoticeView { notice: &self.notice, evidence: &self.evidence, steps: &self.steps }
    }

    pub(super) fn message(&self, sink: &dyn Sink) -> Message {
        Message {
            id: self.notice.id(),
            kind: self.notice.kind.as_str().to_owned(),
            payload: sink.render(&self.view()),
            attempt: 1,
            now: Timestamp::from_seconds(START + 60),
        }
    }
}

pub(super) fn flat(number: i64, text: &str) -> FlatEvent {
    let mut map = Map::new();
    for (name, value) in [
        ("@timestamp", Timestamp::from_seconds(START + number).to_string()),
        ("event.id", format!("e-{number}")),
        ("user.name", "root".to_owned()),
        ("event.original", text.to_owned()),
    ] {
        map.insert(name.to_owned(), Json::from(value));
    }
    FlatEvent(map)
}

/// Builds an entry of the configuration, as the configuration does it.
pub(super) fn build(text: &str) -> (Option<Box<dyn Sink>>, Vec<String>) {
    let source = SourceText::new("tripline.yml", text);
    let entry = yaml::parse(&source).unwrap().remove(0);
    let mut problems = Problems::new(&source);
    let sink = kind::find("output", KINDS, &entry, &mut problems)
        .and_then(|kind| (kind.build)(&entry, &mut problems));
    (sink, problems.list.iter().map(ToString::to_string).collect())
}

/// Files of the folder that are shared by the kinds and are none.
const SHARED: &[&str] = &["envelope", "http", "peer", "tests", "text"];

#[test]
fn every_file_of_the_folder_is_a_kind_and_every_name_is_unique() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| !SHARED.contains(&name.as_str()))
        .collect();
    let names: BTreeSet<String> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
    assert_eq!(names.len(), KINDS.len());
    assert_eq!(names, files);
    assert!(KINDS.iter().all(|kind| !kind.summary.is_empty()));
}

#[test]
fn every_example_builds_without_a_problem() {
    for kind in KINDS {
        let (sink, problems) = build(kind.example);
        assert!(sink.is_some() && problems.is_empty(), "{}: {problems:?}", kind.name);
        assert!(kind.example.starts_with(&format!("kind: {}\n", kind.name)));
    }
}

#[test]
fn every_kind_renders_the_same_bytes_twice_and_shows_no_secret() {
    for kind in KINDS {
        let sink = build(kind.example).0.unwrap();
        for what in [NoticeKind::Opened, NoticeKind::Updated, NoticeKind::Resolved] {
            let sample = Sample::new(what);
            let payload = sink.render(&sample.view());
            assert_eq!(payload, sink.render(&sample.view()));
            assert!(payload.contains(&*sample.notice.incident.id.0), "{}", kind.name);
            for secret in ["T000/B000", "MDEyMzQ1", "store-17"] {
                assert!(!payload.contains(secret) && !format!("{sink:?}").contains(secret));
            }
        }
    }
}

#[test]
fn only_slack_cannot_tell_a_repetition() {
    let kinds: Vec<&str> = KINDS
        .iter()
        .filter(|kind| !build(kind.example).0.unwrap().is_idempotent())
        .map(|kind| kind.name)
        .collect();
    assert_eq!(kinds, ["slack"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_a_hint() {
    for (text, wanted) in [
        (
            "kind: slak\n",
            "tripline.yml:1:7: error: unknown output `slak`\n  | kind: slak\n  |       ^\n  hint: did you mean `slack`?",
        ),
        ("kind: kafka\n", "hint: known: file, slack, terminal, webhook"),
        ("path: x\n", "this output has no `kind`"),
        ("kind: terminal\ncolour: red\n", "unknown terminal output key `colour`"),
        ("kind: file\n", "this output has no `path`"),
        ("kind: file\npath: a/\n", "`a/` is not the path of a file"),
        ("kind: file\npath: x\nsend: [event]\n", "unknown thing to send `event`"),
        ("kind: file\npath: x\nsend: []\n", "this output sends nothing"),
        ("kind: file\npath: x\nrotate: 1KiB\n", "expected a size of at least 64KiB, found `1KiB`"),
        ("kind: file\npath: x\nkeep: 3\n", "`keep` needs `rotate`"),
        ("kind: file\npath: x\nrotate: 1MiB\nkeep: 0\n", "from 1 to 1000"),
        ("kind: webhook\n", "this output has no `url`"),
        (
            "kind: webhook\nurl: https://h/\nsend: [events]\n",
            "an output of kind `webhook` takes no `events`, only `incidents`",
        ),
        (
            "kind: slack\nurl: https://h/\nsend: events\n",
            "an output of kind `slack` takes no `events`",
        ),
        ("kind: terminal\nsend: [events]\n", "an output of kind `terminal` takes no `events`"),
        ("kind: webhook\nurl: ftp://h/\n", "expected `url` to start with `https://`"),
        ("kind: webhook\nurl: nonsense\n", "`url` is not a web address"),
        (
            "kind: webhook\nurl: https://h/\ntimeout: 2h\n",
            "expected a time from 100ms to 5m, found `2h`",
        ),
        (
            "kind: webhook\nurl: https://h/\nsecret: whsec_!!!\n",
            "the `secret` is empty or not base64",
        ),
        ("kind: webhook\nurl: https://h/\nsecret: []\n", "expected from 1 to 4 secrets, found 0"),
        (
            "kind: webhook\nurl: https://h/\nheaders: {\"a b\": c}\n",
            "`a b` is not the name of a header",
        ),
        (
            "kind: webhook\nurl: https://h/\nheaders: {Webhook-Id: c}\n",
            "the header `webhook-id` is set by tripline",
        ),
        (
            "kind: webhook\nurl: https://h/\nheaders: {x: \"a\\r\\nb: c\"}\n",
            "has characters that none may have",
        ),
    ] {
        let (sink, problems) = build(text);
        assert!(sink.is_none() || text.contains("colour"), "{text}");
        assert!(problems.join("\n").contains(wanted), "{text}: {problems:#?}");
    }
}

#[test]
fn a_secret_in_a_wrong_configuration_is_not_shown() {
    for text in [
        "kind: webhook\nurl: 'http://user:hunter2hunter2@far.example/x'\n",
        "kind: webhook\nurl: 'https://hunter2hunter2 x'\n",
        "kind: webhook\nurl: 'gopher://h/hunter2hunter2'\n",
        "kind: webhook\nurl: https://h/\nsecret: hunter2hunter2\n",
        "kind: webhook\nurl: https://h/\nsecret: whsec_hunter2hunter2!\n",
        "kind: webhook\nurl: https://h/\nheaders: {a: \"hunter2hunter2\\n\"}\n",
    ] {
        let (_, problems) = build(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(!problems[0].contains("hunter2"), "{text}: {problems:?}");
    }
}

#[test]
fn a_file_that_carries_only_events_takes_no_notices() {
    let (sink, _) = build("kind: file\npath: x\nsend: events\n");
    let sink = sink.unwrap();
    assert!(!sink.takes_notices() && sink.events().is_some());
    let (sink, _) = build("kind: file\npath: x\n");
    let sink = sink.unwrap();
    assert!(sink.takes_notices() && sink.events().is_none());
}

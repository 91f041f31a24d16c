use super::*;
use crate::diagnostic::SourceText;
use crate::event::{Attempt, EventId, Fields, Parsed, RecordFlags, SourceId, StreamId, Value};
use bumpalo::Bump;
use std::collections::{BTreeMap, BTreeSet};

const SECOND: i64 = 1_000_000_000;

/// A small generator, so that a failing seed can be run again (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Happening {
    /// Seconds.
    time: i64,
    kind: &'static str,
    who: &'static str,
    value: u64,
    repeat: u32,
    attempt: Option<Attempt>,
}

fn happening(time: i64, kind: &'static str) -> Happening {
    Happening { time, kind, who: "a", value: 0, repeat: 1, attempt: None }
}

struct Bench {
    names: FieldTable,
    rules: Ruleset,
    detector: Detector,
    offset: u64,
}

fn bench(yaml: &str) -> Bench {
    let mut names = FieldTable::default();
    let (rules, problems) = Ruleset::load(&[SourceText::new("t.yml", yaml)], &mut names);
    assert!(!problems.iter().any(Diagnostic::is_error), "{}", problems[0]);
    let detector = Detector::new(&rules);
    Bench { names, rules, detector, offset: 0 }
}

use crate::diagnostic::Diagnostic;

impl Bench {
    fn observe(&mut self, happening: &Happening) -> Vec<Finding> {
        let arena = Bump::new();
        let line = format!("{happening:?}");
        let time = Timestamp::from_seconds(happening.time);
        let raw = RawRecord {
            source: SourceId(0),
            stream: StreamId(1),
            path: Some("/var/log/x"),
            offset: self.offset,
            received: time,
            bytes: line.as_bytes(),
            full_length: line.len() as u64,
            flags: RecordFlags::NONE,
        };
        self.offset += 1;
        let mut fields = Fields::new_in(&arena);
        fields.push((self.names.key("kind"), Value::Str(happening.kind)));
        fields.push((self.names.key("who"), Value::Str(happening.who)));
        fields.push((self.names.key("value"), Value::Int(happening.value as i64)));
        let event = Event {
            part: 0,
            id: EventId::Derived { stream: raw.stream, offset: raw.offset, part: 0 },
            time,
            fields,
            message: "",
            original: &line,
            parsed: Parsed::Matched,
            repeat: happening.repeat,
            attempt: happening.attempt,
            logsource: LogSource::default(),
        };
        let mut out = Vec::new();
        self.detector.observe(&event, &raw, &self.names, &mut out);
        out
    }

    fn all(&mut self, happenings: &[Happening]) -> Vec<Finding> {
        happenings.iter().flat_map(|happening| self.observe(happening)).collect()
    }

    fn advance(&mut self, seconds: i64) -> Vec<Finding> {
        let mut out = Vec::new();
        self.detector.advance(Timestamp::from_seconds(seconds), &mut out);
        out
    }
}

/// Three rules by kind, and one correlation.
fn correlation(kind: &str, more: &str) -> String {
    let mut text = String::new();
    for name in ["fail", "ok", "third"] {
        text.extend([format!(
            "title: {name}\nname: {name}\nlogsource: {{}}\ndetection: {{s: {{kind: {name}}}, condition: s}}\n---\n"
        )]);
    }
    text.extend([format!(
        "title: corr\nid: corr\ncorrelation: {{type: {kind}, group-by: [who], timespan: 60s, {more}}}\n"
    )]);
    text
}

/// Phase, time, count, first and last, in seconds.
fn short(findings: &[Finding]) -> Vec<(Phase, i64, u64, i64, i64)> {
    findings
        .iter()
        .map(|f| {
            (f.phase, f.time.seconds(), f.count, f.first_seen.seconds(), f.last_seen.seconds())
        })
        .collect()
}

#[test]
fn five_in_sixty_seconds_is_exact_at_the_boundary_and_fires_once_an_episode() {
    let yaml = correlation("event_count", "rules: [fail], condition: {gte: 3}");
    let mut bench = bench(&yaml);
    let times = [0, 30, 60, 61, 121, 182, 200, 242];
    let found = bench.all(&times.map(|time| happening(time, "fail")));
    assert_eq!(
        short(&found),
        [
            (Phase::Opened, 60, 3, 0, 60),
            (Phase::Grew, 61, 4, 0, 61),
            (Phase::Grew, 121, 5, 0, 121),
            (Phase::Ended, 181, 5, 0, 121),
            (Phase::Opened, 242, 3, 182, 242),
        ]
    );
    assert_eq!(found[0].evidence.len(), 3);
    assert_eq!(found[0].evidence[2].offset, 2);
    assert_eq!(found[1].evidence[0].offset, 3);
    assert_eq!(found[0].episode, found[3].episode);
    assert_eq!(found[0].group, [("who".into(), "a".into())]);
    assert_eq!(bench.advance(302), []);
    assert_eq!(short(&bench.advance(303)), [(Phase::Ended, 302, 3, 182, 242)]);
    assert_eq!(bench.detector.windows(), 1);
    bench.advance(363);
    assert_eq!(bench.detector.windows(), 0);
}

#[test]
fn sixty_one_seconds_do_not_fire() {
    let yaml = correlation("event_count", "rules: [fail], condition: {gte: 3}");
    let found = bench(&yaml).all(&[0, 30, 61].map(|time| happening(time, "fail")));
    assert_eq!(found, []);
}

#[test]
fn a_late_event_completes_the_window_it_belongs_to_and_what_follows_is_taken_in() {
    let yaml = correlation("event_count", "rules: [fail], condition: {gte: 3}");
    let mut bench = bench(&yaml);
    let found = bench.all(&[0, 20, 70, 85, 30].map(|time| happening(time, "fail")));
    assert_eq!(
        short(&found),
        [(Phase::Opened, 30, 3, 0, 30), (Phase::Grew, 70, 4, 0, 70), (Phase::Grew, 85, 5, 0, 85),]
    );
    assert_eq!(bench.observe(&happening(49, "fail")).len(), 1);
    assert_eq!(bench.detector.counts.late, 0);
    assert_eq!(bench.observe(&happening(300, "fail")).len(), 1);
    assert_eq!(bench.observe(&happening(239, "fail")), []);
    assert_eq!(bench.detector.counts.late, 1);
}

#[test]
fn the_lines_of_one_attempt_are_one_and_repeats_of_one_line_are_several() {
    let yaml = correlation("event_count", "rules: [fail], condition: {gte: 3}");
    let line = |time, session, kind, repeat| Happening {
        repeat,
        attempt: Some(Attempt { session, kind }),
        ..happening(time, "fail")
    };
    let three_lines_each = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)];
    let lines: Vec<Happening> = three_lines_each
        .iter()
        .enumerate()
        .map(|(at, (session, kind))| line(at as i64, *session, *kind, 1))
        .collect();
    let mut first = bench(&yaml);
    assert_eq!(first.all(&lines), []);
    assert_eq!(short(&first.all(&[line(7, 1, 1, 1)])), [(Phase::Opened, 7, 3, 0, 7)]);
    assert_eq!(first.all(&[line(8, 1, 0, 1)]), [], "adds nothing to the count");
    assert_eq!(short(&first.all(&[line(9, 3, 0, 2)])), [(Phase::Grew, 9, 5, 0, 9)]);
    let mut repeated = bench(&yaml);
    assert_eq!(short(&repeated.all(&[line(0, 1, 0, 3)])), [(Phase::Opened, 0, 3, 0, 0)]);
}

#[test]
fn other_measures_fire_where_they_should() {
    let at = |time, kind, value| Happening { value, ..happening(time, kind) };
    for (kind, more, wanted) in [
        ("value_count", "rules: [fail], condition: {field: value, gte: 3}", Some(3)),
        ("value_sum", "rules: [fail], condition: {field: value, gt: 20}", Some(3)),
        ("value_avg", "rules: [fail], condition: {field: value, gte: 8}", Some(3)),
        ("value_median", "rules: [fail], condition: {field: value, gt: 2.2}", Some(3)),
        (
            "value_percentile",
            "rules: [fail], condition: {field: value, percentile: 90, gt: 19}",
            Some(3),
        ),
        ("temporal", "rules: [fail, ok]", Some(4)),
        ("temporal_ordered", "rules: [fail, ok]", Some(4)),
        ("temporal_ordered", "rules: [ok, fail]", Some(5)),
        ("temporal_ordered", "rules: [ok, third, fail]", None),
        ("temporal", "rules: [fail, ok, third], condition: ok and not third", Some(4)),
        ("temporal", "rules: [fail, ok, third], condition: {gte: 2}", Some(4)),
        ("event_count", "rules: [fail], condition: {gt: 1, lte: 3}", Some(1)),
        ("event_count", "rules: [fail, ok], condition: {eq: 5}", Some(4)),
    ] {
        let happenings = [
            at(0, "fail", 2),
            at(1, "fail", 2),
            at(2, "fail", 3),
            at(3, "fail", 40),
            at(4, "ok", 1),
            at(5, "fail", 1),
        ];
        let found = bench(&correlation(kind, more)).all(&happenings);
        let opened = found.iter().find(|finding| finding.phase == Phase::Opened);
        assert_eq!(opened.map(|f| f.time.seconds()), wanted, "{kind} {more}");
    }
}

#[test]
fn a_chain_hears_of_episodes_and_the_inner_rules_stay_silent() {
    let mut yaml = correlation("event_count", "rules: [fail], condition: {gte: 3}");
    yaml.push_str("---\ntitle: outer\nid: outer\ncorrelation: {type: temporal_ordered, rules: [corr, ok], group-by: [who], timespan: 10m}\n");
    let mut chained = bench(&yaml);
    let mut happenings: Vec<Happening> = (0..4).map(|time| happening(time, "fail")).collect();
    happenings.push(happening(50, "ok"));
    let found = chained.all(&happenings);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&*found[0].rule.id, found[0].time.seconds()), ("outer", 50));
    let loud = yaml.replace("gte: 3}}", "gte: 3}, generate: true}");
    let found = bench(&loud).all(&[happening(0, "fail")]);
    assert_eq!(
        found.iter().map(|f| (f.phase, &*f.rule.id)).collect::<Vec<_>>(),
        [(Phase::Single, "fail")]
    );
}

/// What one happening does in sorted order, by the definition and nothing else.
#[derive(Default)]
struct Oracle {
    free: Vec<Happening>,
    episode: Option<(Vec<Happening>, i64)>,
}

impl Oracle {
    fn occurrences(window: &[Happening]) -> u64 {
        let mut total = 0;
        let mut sessions: BTreeMap<u64, BTreeMap<u8, u64>> = BTreeMap::new();
        for one in window {
            match one.attempt {
                None => total += u64::from(one.repeat),
                Some(attempt) => {
                    *sessions
                        .entry(attempt.session)
                        .or_default()
                        .entry(attempt.kind)
                        .or_default() += u64::from(one.repeat);
                }
            }
        }
        total + sessions.values().map(|kinds| kinds.values().max().unwrap()).sum::<u64>()
    }

    fn measure(kind: &str, window: &[Happening]) -> (bool, u64) {
        let events = window.len() as u64;
        match kind {
            "event_count" => (Self::occurrences(window) >= 4, Self::occurrences(window)),
            "value_count" => {
                let values: BTreeSet<u64> = window.iter().map(|one| one.value).collect();
                (values.len() >= 3, values.len() as u64)
            }
            "temporal" => {
                let kinds: BTreeSet<&str> = window.iter().map(|one| one.kind).collect();
                (kinds.len() >= 3, events)
            }
            _ => {
                let mut wanted = ["fail", "ok", "third"].iter().rev().peekable();
                for (back, one) in window.iter().rev().enumerate() {
                    if wanted.peek() == Some(&&one.kind) {
                        wanted.next();
                    } else if back == 0 {
                        break;
                    }
                }
                (wanted.peek().is_none(), events)
            }
        }
    }

    fn observe(&mut self, kind: &str, one: &Happening) -> Vec<(Phase, i64, u64, i64, i64)> {
        let mut told = Vec::new();
        if let Some((seen, last)) = &mut self.episode {
            let before = Self::measure(kind, seen).1;
            if one.time - *last <= 60 {
                seen.push(one.clone());
                *last = one.time;
                let after = Self::measure(kind, seen).1;
                if after > before {
                    told.push((Phase::Grew, one.time, after, seen[0].time, one.time));
                }
                return told;
            }
            told.push((Phase::Ended, *last + 60, before, seen[0].time, *last));
            self.episode = None;
        }
        self.free.retain(|old| one.time - old.time <= 60);
        self.free.push(one.clone());
        let (holds, count) = Self::measure(kind, &self.free);
        if holds {
            let seen = std::mem::take(&mut self.free);
            told.push((Phase::Opened, one.time, count, seen[0].time, one.time));
            self.episode = Some((seen, one.time));
        }
        told
    }
}

fn random(dice: &mut Dice, kind: &str) -> Vec<Happening> {
    let mut time = 1_000;
    let gap = 10 + dice.below(50);
    (0..40 + dice.below(200))
        .map(|_| {
            time += dice.below(gap) as i64;
            let attempt = (kind == "event_count" && dice.below(3) > 0)
                .then(|| Attempt { session: dice.below(6), kind: dice.below(3) as u8 });
            let kinds = if kind.starts_with("temporal") { 3 } else { 1 };
            Happening {
                time,
                kind: ["fail", "ok", "third"][dice.below(kinds) as usize],
                who: ["a", "b"][dice.below(2) as usize],
                value: dice.below(5),
                repeat: if dice.below(8) == 0 { 2 } else { 1 },
                attempt,
            }
        })
        .collect()
}

const MEASURES: [(&str, &str); 4] = [
    ("event_count", "rules: [fail], condition: {gte: 4}"),
    ("value_count", "rules: [fail], condition: {field: value, gte: 3}"),
    ("temporal", "rules: [fail, ok, third]"),
    ("temporal_ordered", "rules: [fail, ok, third]"),
];

#[test]
fn sorted_input_gives_what_the_definition_says() {
    for seed in 0..100 {
        let (kind, more) = MEASURES[(seed % 4) as usize];
        let happenings = random(&mut Dice(seed), kind);
        let mut bench = bench(&correlation(kind, more));
        let mut oracles: BTreeMap<&str, Oracle> = BTreeMap::new();
        for (at, one) in happenings.iter().enumerate() {
            let wanted = oracles.entry(one.who).or_default().observe(kind, one);
            assert_eq!(short(&bench.observe(one)), wanted, "seed {seed} at {at}");
        }
    }
}

#[test]
fn disorder_within_the_lateness_fires_for_the_same_groups() {
    for seed in 0..100 {
        let (kind, more) = MEASURES[(seed % 4) as usize];
        let mut dice = Dice(seed);
        let sorted = random(&mut dice, kind);
        let mut keyed: Vec<(i64, Happening)> =
            sorted.iter().map(|one| (one.time + dice.below(59) as i64, one.clone())).collect();
        keyed.sort_by_key(|(arrival, _)| *arrival);
        let disordered: Vec<Happening> = keyed.into_iter().map(|(_, one)| one).collect();
        // Ties in time are ordered by arrival, so that a sequence is compared without them.
        if kind == "temporal_ordered" && sorted.windows(2).any(|p| p[0].time == p[1].time) {
            continue;
        }
        let opened = |happenings: &[Happening]| {
            let mut bench = bench(&correlation(kind, more));
            let found = bench.all(happenings);
            assert_eq!(bench.detector.counts.late, 0);
            let opened = found.into_iter().filter(|finding| finding.phase == Phase::Opened);
            opened.map(|finding| finding.group).collect::<BTreeSet<_>>()
        };
        assert_eq!(opened(&disordered), opened(&sorted), "seed {seed}");
    }
}

#[test]
fn saving_and_restoring_at_any_point_changes_nothing_and_advancing_opens_nothing() {
    for seed in 0..80 {
        let (kind, more) = MEASURES[(seed % 4) as usize];
        let mut dice = Dice(seed + 10_000);
        let mut happenings = random(&mut dice, kind);
        for _ in 0..happenings.len() / 4 {
            let at = dice.below(happenings.len() as u64 - 1) as usize;
            happenings.swap(at, at + 1);
        }
        let mut whole = bench(&correlation(kind, more));
        let mut broken = bench(&correlation(kind, more));
        let mut still = bench(&correlation(kind, more));
        let mut store: BTreeMap<Box<[u8]>, Box<[u8]>> = BTreeMap::new();
        for (at, one) in happenings.iter().enumerate() {
            let found = whole.observe(one);
            assert_eq!(broken.observe(one), found, "seed {seed} at {at}");
            let silent = |found: &[Finding]| -> Vec<Finding> {
                found.iter().filter(|f| f.phase != Phase::Ended).cloned().collect()
            };
            assert_eq!(silent(&still.observe(one)), silent(&found), "seed {seed} at {at}");
            if dice.below(6) == 0 {
                assert_eq!(broken.advance(one.time - 5), whole.advance(one.time - 5));
            }
            if dice.below(6) == 0 {
                let mut changes = Vec::new();
                broken.detector.save(&mut changes);
                for change in changes {
                    match change.value {
                        Some(value) => store.insert(change.key, value),
                        None => store.remove(&change.key),
                    };
                }
                broken.detector = Detector::new(&broken.rules);
                for (key, value) in &store {
                    assert_eq!(broken.detector.restore(key, value), Ok(true));
                }
            }
            if dice.below(20) == 0 {
                let rules = broken.rules.clone();
                broken.detector.replace(&rules);
            }
        }
        assert_eq!(broken.advance(1 << 32), whole.advance(1 << 32), "seed {seed}");
        assert_eq!(broken.detector.windows(), 0);
    }
}

#[test]
fn long_windows_count_as_short_ones_do() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let threshold = 150 + dice.below(60);
        let yaml =
            correlation("event_count", &format!("rules: [fail], condition: {{gte: {threshold}}}"));
        let mut bench = bench(&yaml);
        let mut time = 0;
        let mut taken: Vec<Happening> = Vec::new();
        for _ in 0..600 {
            time += i64::from(dice.below(4) == 0);
            let attempt = (seed % 2 == 0)
                .then(|| Attempt { session: dice.below(200), kind: dice.below(2) as u8 });
            let one = Happening {
                attempt,
                time: time - if dice.below(9) == 0 { dice.below(20) as i64 } else { 0 },
                ..happening(0, "fail")
            };
            taken.push(one.clone());
            let found = bench.observe(&one);
            let mut sorted = taken.clone();
            sorted.sort_by_key(|one| one.time);
            let reached = sorted.iter().enumerate().any(|(end, last)| {
                let window: Vec<Happening> = sorted[..=end]
                    .iter()
                    .filter(|other| last.time - other.time <= 60)
                    .cloned()
                    .collect();
                Oracle::occurrences(&window) >= threshold
            });
            assert_eq!(
                found.first().map(|f| f.phase) == Some(Phase::Opened),
                reached,
                "seed {seed}"
            );
            if reached {
                break;
            }
        }
    }
}

#[test]
fn limits_hold_and_are_counted() {
    let yaml = correlation("event_count", "rules: [fail], condition: {gte: 100000}");
    let mut flood = bench(&yaml);
    for _ in 0..ENTRIES_MAX + 10 {
        flood.observe(&happening(5, "fail"));
    }
    assert_eq!(flood.detector.counts.entries_evicted, ENTRIES_MAX as u64 / 8);

    let yaml = correlation("event_count", "rules: [fail], condition: {gte: 2}");
    let mut many = bench(&yaml);
    many.detector = Detector::with_limit(&many.rules, 3);
    let who = ["a", "b", "c", "d"];
    for name in who {
        many.observe(&Happening { who: name, ..happening(1, "fail") });
    }
    assert_eq!(many.detector.windows(), 3);
    assert_eq!(many.detector.counts.windows_evicted, 1);
    assert_eq!(many.observe(&Happening { who: "a", ..happening(2, "fail") }), [], "was given up");
    assert_eq!(many.observe(&Happening { who: "d", ..happening(2, "fail") }).len(), 1);
}

#[test]
fn damaged_state_is_refused_and_that_of_other_rules_ignored() {
    let yaml = correlation("event_count", "rules: [fail], condition: {gte: 4}");
    let mut first = bench(&yaml);
    first.all(&[0, 1, 2].map(|time| happening(time, "fail")));
    let mut changes = Vec::new();
    first.detector.save(&mut changes);
    let (key, value) = (changes[0].key.clone(), changes[0].value.clone().unwrap());
    for cut in 0..value.len() {
        let mut other = Detector::new(&first.rules);
        assert!(other.restore(&key, &value[..cut]).is_err(), "{cut}");
    }
    let mut dice = Dice(1);
    for _ in 0..2_000 {
        let mut garbled = value.clone();
        garbled[dice.below(value.len() as u64) as usize] = dice.below(256) as u8;
        let mut other = bench(&yaml);
        if other.detector.restore(&key, &garbled) == Ok(true) {
            other.observe(&happening(3, "fail"));
        }
    }
    let changed = yaml.replace("gte: 4", "gte: 5");
    assert_eq!(bench(&changed).detector.restore(&key, &value), Ok(false));
    assert!(first.detector.restore(&key[..4], &value).is_err());
}

#[test]
fn keywords_objects_lists_and_lazy_tests_agree_with_the_plain_way() {
    let yaml = "
title: keywords
id: k
logsource: {}
detection: {s: ['bad*thing', 4711], condition: s}
---
title: nested
id: n
logsource: {}
detection: {s: {row.items.sku|startswith: X, row.total|gt: 10}, condition: s}
---
title: ip
id: i
logsource: {}
detection: {s: {ips|cidr: 10.0.0.0/8}, n: {gone: null}, condition: s and n}
---
title: hour
id: h
logsource: {}
detection: {s: {'@timestamp|hour|gte': 22}, condition: s}
";
    let mut names = FieldTable::default();
    let (rules, problems) = Ruleset::load(&[SourceText::new("t.yml", yaml)], &mut names);
    assert_eq!(problems, []);
    let mut detector = Detector::new(&rules);
    let items = [[("sku", Value::Str("y1"))], [("sku", Value::Str("x2"))]];
    let items = [Value::Map(&items[0]), Value::Map(&items[1])];
    let row = [("items", Value::List(&items)), ("total", Value::Str("10.5"))];
    let ips = [Value::Str("::1"), Value::Str("10.2.3.4")];
    let arena = Bump::new();
    let mut fields = Fields::new_in(&arena);
    fields.push((names.key("row"), Value::Map(&row)));
    fields.push((names.key("ips"), Value::List(&ips)));
    fields.push((names.key("other"), Value::Int(1_047_111)));
    let line = "sshd: BAD some\nTHING";
    let time = Timestamp::parse_rfc3339("2026-01-01T22:30:00Z").unwrap();
    let raw = RawRecord {
        source: SourceId(0),
        stream: StreamId(0),
        path: None,
        offset: 0,
        received: time,
        bytes: line.as_bytes(),
        full_length: line.len() as u64,
        flags: RecordFlags::NONE,
    };
    let event = Event {
        part: 0,
        id: EventId::Given("x"),
        time,
        fields,
        message: line.split_at(6).1,
        original: line,
        parsed: Parsed::Matched,
        repeat: 1,
        attempt: None,
        logsource: LogSource::default(),
    };
    let mut out = Vec::new();
    detector.observe(&event, &raw, &names, &mut out);
    let ids: Vec<&str> = out.iter().map(|finding| &*finding.rule.id).collect();
    assert_eq!(ids, ["k", "n", "i", "h"]);
    for id in ids {
        let told = detector.explain(&rules, id, &event, &names).unwrap();
        assert!(told.concerned && told.conditions.iter().all(|verdict| verdict.holds), "{told:?}");
    }
    let told = detector.explain(&rules, "n", &event, &names).unwrap();
    let sku = &told.conditions[0].parts[0].parts[0];
    assert_eq!(sku.text, "row.items.sku|startswith: \"x\"");
    assert_eq!(sku.values, ["y1", "x2"]);
}

#[test]
fn findings_come_in_the_order_of_the_rules() {
    let mut yaml = String::new();
    for number in (0..200).rev() {
        yaml.extend([format!(
            "title: r{number}\nid: r{number}\nlogsource: {{}}\ndetection: {{s: {{kind|contains: f}}, condition: s}}\n---\n"
        )]);
    }
    let found = bench(&yaml).observe(&happening(SECOND, "fail"));
    let wanted: Vec<String> = (0..200).rev().map(|number| format!("r{number}")).collect();
    let ids: Vec<&str> = found.iter().map(|finding| &*finding.rule.id).collect();
    assert_eq!(ids, wanted);
}

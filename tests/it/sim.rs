//! Seeded simulation of the pipeline against a brute-force oracle.
//!
//! A seed makes a world: streams of log lines with attacks, noise, disorder, repeated and torn
//! lines, rotation and clock jumps. A driver feeds them to the real pipeline in batches of random
//! size, commits now and then, and crashes: what was not committed is gone, the pipeline is built
//! anew from what was. The oracle knows only the list of failures and looks at every window.

use crate::shop::{BRUTE_FORCE, Random, clock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tripline::diagnostic::SourceText;
use tripline::event::{FieldTable, RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use tripline::finding::{IncidentChange, NoticeKind, Phase};
use tripline::parse::{ParseOptions, Parsers};
use tripline::pipeline::{Effect, EventOutput, Input, Pipeline, Setup, SourceSetup};
use tripline::route::Route;
use tripline::rule::Ruleset;

const SEEDS: u64 = 200;
const WINDOW: u64 = 60;
const THRESHOLD: u64 = 5;
/// 2026-11-20T00:00:00Z, the day of [`clock`].
const DAY: i64 = 1_795_132_800;

/// A line of a stream, and what it is for the oracle.
#[derive(Debug, Clone)]
struct Line {
    stream: u64,
    offset: u64,
    text: String,
    failure: Option<Failure>,
}

#[derive(Debug, Clone)]
struct Failure {
    second: u64,
    ip: String,
    weight: u64,
}

/// What a seed's world is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Lines come in the order of their times.
    Sorted,
    /// A line may come up to 30 s late.
    Late,
}

struct World {
    lines: Vec<Line>,
    order: Order,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let order = if seed.is_multiple_of(3) { Order::Late } else { Order::Sorted };
        let mut events: Vec<(u64, String, Option<Failure>)> = Vec::new();
        for attacker in 0..2 + random.below(6) {
            let ip = format!("203.0.113.{attacker}");
            let mut second = random.below(400);
            for attempt in 0..random.below(30) {
                second += gap(&mut random);
                let session = attacker * 100 + attempt;
                attempt_lines(&mut random, second, &ip, session, &mut events);
            }
        }
        for second in 0..1_200 {
            if random.one_in(4) {
                events.push((second, noise(&mut random, second), None));
            }
        }
        let mut due: Vec<(u64, usize)> = Vec::new();
        for (index, (second, _, _)) in events.iter().enumerate() {
            let late = if order == Order::Late { random.below(30) } else { 0 };
            due.push((second + late, index));
        }
        due.sort_unstable();
        // One file that is rotated now and then: the stream changes, the order does not.
        let (mut stream, mut offset) = (1, 0);
        let mut lines = Vec::new();
        for (_, index) in due {
            let (_, text, failure) = events[index].clone();
            if random.one_in(150) {
                (stream, offset) = (stream + 1, 0);
            }
            let length = text.len() as u64 + 1;
            lines.push(Line { stream, offset, text, failure });
            offset += length;
        }
        Self { lines, order }
    }
}

/// Distances on both sides of every edge of the window.
fn gap(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => 0,
        1 => 1 + random.below(3),
        2 => 14 + random.below(3),
        3 => 11 + random.below(6),
        4 => 59 + random.below(3),
        _ => random.below(200),
    }
}

fn attempt_lines(
    random: &mut Random,
    second: u64,
    ip: &str,
    session: u64,
    events: &mut Vec<(u64, String, Option<Failure>)>,
) {
    let head = format!("{} pos7 sshd[{session}]:", clock(second));
    let from = format!("from {ip} port {} ssh2", 2_000 + session);
    let mut push = |text: String, weight: u64| {
        let failure = (weight > 0).then(|| Failure { second, ip: ip.to_owned(), weight });
        events.push((second, text, failure));
    };
    match random.below(5) {
        // Several lines about one failure count once; the oracle counts the last.
        0 => {
            push(format!("{head} Invalid user bob from {ip} port {}", 2_000 + session), 0);
            let pam =
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser=";
            push(format!("{head} {pam} rhost={ip} "), 0);
            push(format!("{head} Failed password for invalid user bob {from}"), 1);
        }
        1 => {
            push(format!("{head} message repeated 3 times: [ Failed password for root {from}]"), 3);
        }
        _ => push(format!("{head} Failed password for root {from}"), 1),
    }
}

fn noise(random: &mut Random, second: u64) -> String {
    let time = clock(second);
    match random.below(5) {
        0 => format!("{time} pos7 CRON[7]: (root) CMD (/usr/bin/till-sync)"),
        1 => format!("{time} pos7 sshd[9]: Accepted password for kim from 192.0.2.4 port 5 ssh2"),
        2 => format!("{time} po"),
        3 => "\u{0}\u{7}not a line of any log".to_owned(),
        _ => format!("{time} pos7 kernel: [1.0] usb 1-1: till drawer {}", random.next()),
    }
}

/// An episode as the oracle or the pipeline sees it: when it opened and how much it came to.
type Episodes = BTreeMap<String, Vec<(u64, u64)>>;

/// Every window of every address, looked at one by one.
fn oracle(world: &World) -> Episodes {
    let mut by_ip: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for failure in world.lines.iter().filter_map(|line| line.failure.as_ref()) {
        by_ip.entry(failure.ip.clone()).or_default().push((failure.second, failure.weight));
    }
    let mut found = Episodes::new();
    for (ip, mut failures) in by_ip {
        failures.sort_unstable_by_key(|(second, _)| *second);
        let mut running: Option<(u64, u64)> = None;
        let mut last = 0;
        for (index, (second, weight)) in failures.iter().enumerate() {
            if second - last > WINDOW
                && let Some(episode) = running.take()
            {
                found.entry(ip.clone()).or_default().push(episode);
            }
            last = *second;
            let in_window = failures[..=index].iter().filter(|(other, _)| second - other <= WINDOW);
            let count: u64 = in_window.map(|(_, weight)| weight).sum();
            match &mut running {
                Some((_, total)) => *total += weight,
                None if count >= THRESHOLD => running = Some((*second, count)),
                None => {}
            }
        }
        if let Some(episode) = running {
            found.entry(ip).or_default().push(episode);
        }
    }
    found
}

/// Kind and key of a piece of state.
type StateKey = (&'static str, Box<[u8]>);

/// What survives a crash.
#[derive(Debug, Clone, Default, PartialEq)]
struct Disk {
    /// Lines that are committed: the position.
    done: usize,
    state: BTreeMap<StateKey, Box<[u8]>>,
    messages: BTreeMap<String, (NoticeKind, u64)>,
    evidence: BTreeMap<String, BTreeSet<String>>,
    opened: Vec<(String, u64)>,
    counts: BTreeMap<(String, u64), u64>,
    facts: u64,
}

impl Disk {
    fn kept(&self, kind: &str) -> Vec<String> {
        let of_kind = self.state.iter().filter(|((held, _), _)| *held == kind);
        of_kind.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    fn commit(&mut self, effects: Vec<Effect>, done: usize) {
        assert!(done >= self.done, "a position went back");
        self.done = done;
        for effect in effects {
            match effect {
                Effect::Save(change) => match change.value {
                    Some(value) => drop(self.state.insert((change.kind, change.key), value)),
                    None => drop(self.state.remove(&(change.kind, change.key))),
                },
                Effect::Send(notice) => {
                    let told = (notice.kind, notice.incident.count);
                    let before = self.messages.insert(notice.id(), told);
                    assert_eq!(before, None, "{} was owed twice", notice.id());
                }
                Effect::Incident(IncidentChange::Evidence(id, event)) => {
                    let is_new = self
                        .evidence
                        .entry(id.to_string())
                        .or_default()
                        .insert(event.id().to_owned());
                    assert!(is_new, "evidence {} of {id} came twice", event.id());
                }
                Effect::Finding(finding, _) => {
                    let ip = finding.group[0].1.to_string();
                    let second = (finding.time.seconds() - DAY) as u64;
                    if finding.phase == Phase::Opened {
                        self.opened.push((ip.clone(), second));
                    }
                    self.counts.insert((ip, finding.episode), finding.count);
                }
                Effect::Note(fact) => self.facts += fact.count,
                Effect::Event(_) | Effect::Incident(_) | Effect::Refused(_) => {}
            }
        }
    }
}

fn pipeline(disk: &Disk) -> Pipeline {
    let mut names = FieldTable::default();
    let (parsers, problems) = Parsers::load(&tripline::shipped::parsers(), &mut names);
    assert!(problems.is_empty(), "{problems:?}");
    let (rules, problems) = Ruleset::load(&[SourceText::new("brute.yml", BRUTE_FORCE)], &mut names);
    assert!(problems.is_empty(), "{problems:?}");
    let source =
        SourceSetup { format: parsers.format("syslog").unwrap(), options: ParseOptions::default() };
    let mut pipeline = Pipeline::new(Setup {
        names,
        parsers: Arc::new(parsers),
        rules: &rules,
        sources: vec![source],
        route: Route::to_all(["archive".into()]),
        events: EventOutput::Off,
    });
    for ((kind, key), value) in &disk.state {
        assert!(pipeline.restore(kind, key, value), "{kind} state came back damaged");
    }
    pipeline
}

/// How a world is driven.
#[derive(Debug, Clone, Copy)]
struct Drive {
    seed: u64,
    /// A commit after every so many lines on average.
    commit_every: u64,
    /// A crash after every so many lines on average; 0: never.
    crash_every: u64,
}

fn drive(world: &World, how: Drive) -> Disk {
    let mut random = Random(how.seed);
    let mut disk = Disk::default();
    let mut agent = pipeline(&disk);
    let (mut next, mut effects) = (0, Vec::new());
    let mut crashes = 0;
    while next < world.lines.len() || disk.done < next {
        if how.crash_every > 0 && crashes < 20 && random.one_in(how.crash_every) {
            crashes += 1;
            agent = pipeline(&disk);
            effects.clear();
            next = disk.done;
        }
        if let Some(line) = world.lines.get(next) {
            agent.step(Input::Record(raw(line)), &mut effects);
            next += 1;
        }
        if next == world.lines.len() || random.one_in(how.commit_every) {
            agent.step(Input::Checkpoint, &mut effects);
            disk.commit(std::mem::take(&mut effects), next);
        }
    }
    agent.step(Input::Drain, &mut effects);
    agent.step(Input::Checkpoint, &mut effects);
    disk.commit(effects, next);
    disk
}

fn raw(line: &Line) -> RawRecord<'_> {
    RawRecord {
        source: SourceId(0),
        stream: StreamId(line.stream),
        path: Some("auth.log"),
        offset: line.offset,
        // The clock of the host jumps; event time does not care.
        received: Timestamp::from_seconds(DAY + 90_000 + (line.offset as i64 % 7) * 3_600),
        bytes: line.text.as_bytes(),
        full_length: line.text.len() as u64,
        flags: RecordFlags::NONE,
    }
}

fn episodes(disk: &Disk) -> Episodes {
    let mut totals: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for ((ip, _), count) in &disk.counts {
        totals.entry(ip.clone()).or_default().push(*count);
    }
    let mut found = Episodes::new();
    for (ip, second) in &disk.opened {
        let nth = found.get(ip).map_or(0, Vec::len);
        found.entry(ip.clone()).or_default().push((*second, totals[ip][nth]));
    }
    found
}

#[test]
fn findings_are_those_of_the_oracle_whatever_crashes() {
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let expected = oracle(&world);
        let disk = drive(&world, Drive { seed: seed + 1, commit_every: 40, crash_every: 60 });
        let found = episodes(&disk);
        if world.order == Order::Sorted {
            assert_eq!(found, expected, "TRIPLINE_SEED={seed}");
        } else {
            let ips = |episodes: &Episodes| episodes.keys().cloned().collect::<Vec<_>>();
            assert_eq!(ips(&found), ips(&expected), "TRIPLINE_SEED={seed}");
        }
    }
}

#[test]
fn crashes_and_batch_borders_change_nothing_that_is_kept_or_told() {
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let calm = drive(&world, Drive { seed, commit_every: 1_000_000, crash_every: 0 });
        let torn = drive(&world, Drive { seed: seed + 7, commit_every: 1, crash_every: 30 });
        assert_eq!(torn.opened, calm.opened, "TRIPLINE_SEED={seed}");
        assert_eq!(torn.counts, calm.counts, "TRIPLINE_SEED={seed}");
        assert_eq!(torn.messages, calm.messages, "TRIPLINE_SEED={seed}");
        assert_eq!(torn.evidence, calm.evidence, "TRIPLINE_SEED={seed}");
        // When an emptied window is freed depends on when one looks; incidents must be the same.
        assert_eq!(torn.kept("incident"), calm.kept("incident"), "TRIPLINE_SEED={seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..20 {
        let how = Drive { seed, commit_every: 10, crash_every: 50 };
        assert_eq!(
            drive(&World::new(seed), how),
            drive(&World::new(seed), how),
            "TRIPLINE_SEED={seed}"
        );
    }
}

//! What detection costs an event: by number of rules, with and without a match, and what 25,000
//! tracked keys cost in memory. CPU time as the kernel counts it, so that a busy machine does not
//! change the answer.

use bumpalo::Bump;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use tripline::detect::Detector;
use tripline::diagnostic::SourceText;
use tripline::event::{
    Attempt, Event, EventId, FieldTable, Fields, Key, LogSource, Parsed, RawRecord, RecordFlags,
    SourceId, StreamId, Timestamp, Value, ecs,
};
use tripline::rule::Ruleset;

const BRUTE_FORCE: &str = "
title: failed
name: failed
logsource: {product: linux, service: sshd}
detection: {s: {event.action: ssh-login, event.outcome: failure}, condition: s}
---
title: brute force
id: brute
correlation: {type: event_count, rules: [failed], group-by: [source.ip], timespan: 60s, condition: {gte: 5}}
";

/// Nanoseconds this thread has spent on a CPU.
fn cpu() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4
}

struct Line {
    address: String,
    text: String,
    outcome: &'static str,
    command: String,
}

fn lines(count: usize, outcome: &'static str) -> Vec<Line> {
    (0..count)
        .map(|at| {
            let (high, low) = (at / 250 % 250, at % 250);
            let address = format!("23.45.{high}.{low}");
            let port = 20_000 + at % 40_000;
            Line {
                text: format!(
                    "Nov 20 00:00:01 pos-001 sshd[{at}]: Failed password for invalid user admin from {address} port {port} ssh2"
                ),
                address,
                outcome,
                command: format!("/usr/bin/python3 /opt/pos/agent{at}.py --interval 30 --store 17"),
            }
        })
        .collect()
}

fn event<'a>(arena: &'a Bump, line: &'a Line, time: Timestamp, offset: u64) -> Event<'a> {
    let mut fields = Fields::with_capacity_in(24, arena);
    let mut set = |field, value| fields.push((Key::Id(field), Value::Str(value)));
    set(ecs::HOST_NAME, "pos-001");
    set(ecs::PROCESS_NAME, "sshd");
    set(ecs::EVENT_ACTION, "ssh-login");
    set(ecs::EVENT_OUTCOME, line.outcome);
    set(ecs::SOURCE_IP, &line.address);
    set(ecs::USER_NAME, "admin");
    set(ecs::SSHD_METHOD, "password");
    set(ecs::PROCESS_COMMAND_LINE, &line.command);
    set(ecs::PROCESS_EXECUTABLE, "/usr/bin/python3.11");
    fields.push((Key::Id(ecs::PROCESS_PID), Value::Int(offset as i64)));
    fields.push((Key::Id(ecs::SOURCE_PORT), Value::Int(22_000)));
    Event {
        part: 0,
        id: EventId::Derived { stream: StreamId(1), offset, part: 0 },
        time,
        fields,
        message: &line.text,
        original: &line.text,
        parsed: Parsed::Matched,
        repeat: 1,
        attempt: Some(Attempt { session: offset, kind: 0 }),
        logsource: LogSource { product: Some("linux"), category: None, service: Some("sshd") },
    }
}

fn raw(line: &Line, time: Timestamp, offset: u64) -> RawRecord<'_> {
    RawRecord {
        source: SourceId(0),
        stream: StreamId(1),
        path: Some("/var/log/auth.log"),
        offset,
        received: time,
        bytes: line.text.as_bytes(),
        full_length: line.text.len() as u64,
        flags: RecordFlags::NONE,
    }
}

/// Nanoseconds for one event; `step` nanoseconds of event time lie between two.
fn measure(yaml: &str, lines: &[Line], rounds: usize, step: i64) -> (f64, u64, usize) {
    let mut names = FieldTable::default();
    let (rules, problems) = Ruleset::load(&[SourceText::new("bench.yml", yaml)], &mut names);
    assert!(problems.iter().all(|problem| !problem.is_error()), "the rules of the bench are good");
    let mut detector = Detector::new(&rules);
    let mut out = Vec::new();
    let mut arena = Bump::new();
    let (mut spent, mut time, mut offset) = (0, Timestamp::from_seconds(1_790_000_000), 0);
    for round in 0..=rounds {
        for batch in lines.chunks(512) {
            arena.reset();
            let mut events = Vec::with_capacity(batch.len());
            for line in batch {
                time = time.plus(step);
                offset += 1;
                events.push((event(&arena, line, time, offset), raw(line, time, offset)));
            }
            let before = cpu();
            for (event, raw) in &events {
                detector.observe(black_box(event), raw, &names, &mut out);
            }
            detector.advance(time.plus(-5_000_000_000), &mut out);
            out.clear();
            // The first round builds the index.
            spent += if round == 0 { 0 } else { cpu() - before };
        }
    }
    (spent as f64 / (rounds * lines.len()) as f64, detector.counts.matches, detector.windows())
}

/// Rules as the public ones are: a program, and some words of its command line.
fn synthetic(count: usize) -> String {
    let mut yaml = String::new();
    for at in 0..count {
        let written = write!(
            yaml,
            "---\ntitle: rule {at}\nlogsource: {{product: linux}}\ndetection:\n  \
             img: {{process.executable|endswith: ['/tool{}', '/program{at}']}}\n  \
             cli: {{process.command_line|contains|all: [' --flag{at}', 'http']}}\n  \
             alt: {{process.command_line|contains: ['evil{at}', '/tmp/.x{at}']}}\n  \
             no: {{user.name|startswith: 'svc{}'}}\n  \
             condition: (all of img or alt) and cli and not no\n",
            at % 97,
            at % 13
        );
        assert!(written.is_ok(), "writing to a string cannot fail");
    }
    yaml
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn main() {
    let failures = lines(25_000, "failure");
    let text = BRUTE_FORCE.replace("gte: 5", "gte: 6");
    let mut kept = Vec::new();
    for each in [1, 3, 5] {
        let before = resident();
        kept.push(memory(&text, &failures, each));
        println!("25,000 keys with {each} entries: {} KiB", resident() - before);
    }
    let (failures, others) = (lines(20_000, "failure"), lines(20_000, "success"));
    let mut few = lines(20_000, "failure");
    for (at, line) in few.iter_mut().enumerate() {
        line.address = format!("23.45.0.{}", at % 200);
    }
    let mut flood = lines(20_000, "failure");
    for line in &mut flood {
        "23.45.0.1".clone_into(&mut line.address);
    }
    for (name, lines, step) in [
        ("one correlation, no match", &others, 1_000_000),
        ("one correlation, match, 200 addresses", &few, 100_000_000),
        ("one correlation, match, 20,000 addresses", &failures, 1_000_000),
        ("one correlation, match, one address in a flood", &flood, 1_000_000),
    ] {
        let (nanos, matches, windows) = measure(BRUTE_FORCE, lines, 10, step);
        println!("{name}: {nanos:.0} ns an event ({matches} matches, {windows} windows)");
    }
    for count in [1, 100, 1_000, 3_000] {
        let (nanos, matches, _) = measure(&synthetic(count), &others, 5, 1_000_000);
        println!(
            "{count} rules: {nanos:.0} ns, {:.0} events a CPU-second ({matches})",
            1e9 / nanos
        );
    }
}

/// A detector that tracks 25,000 addresses with some failures each.
fn memory(yaml: &str, lines: &[Line], each: usize) -> Detector {
    let mut names = FieldTable::default();
    let (rules, _) = Ruleset::load(&[SourceText::new("bench.yml", yaml)], &mut names);
    let mut detector = Detector::new(&rules);
    let mut out = Vec::new();
    let time = Timestamp::from_seconds(1_790_000_000);
    let mut offset = 0;
    for _ in 0..each {
        for line in lines {
            let arena = Bump::new();
            offset += 1;
            let (event, raw) = (event(&arena, line, time, offset), raw(line, time, offset));
            detector.observe(&event, &raw, &names, &mut out);
        }
    }
    detector
}

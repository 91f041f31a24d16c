//! Lines per CPU second through the whole pipeline, in memory: parse, normalize, detect, group.
//!
//! `cargo bench --bench pipeline` prints one line per set of rules. It measures CPU time of the
//! process, not wall time, so that a busy machine does not matter much.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use tripline::diagnostic::SourceText;
use tripline::event::{FieldTable, RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use tripline::parse::{ParseOptions, Parsers};
use tripline::pipeline::{EventOutput, Input, Pipeline, Setup, SourceSetup};
use tripline::route::Route;
use tripline::rule::Ruleset;

const LINES: u64 = 1_000_000;
const DAY: i64 = 1_795_132_800;

fn main() {
    let lines = lines();
    let bytes: usize = lines.iter().map(String::len).sum();
    println!("{LINES} lines, {} MB", bytes / 1_000_000);
    let all = tripline::shipped::rules();
    let brute = all.iter().filter(|text| text.path.contains("brute_force")).cloned().collect();
    for (name, rules) in [("no rule", Vec::new()), ("one rule", brute), ("the first pack", all)] {
        let (lines_per_second, findings) = run(&lines, &rules);
        println!("{name:>16}: {lines_per_second:>9.0} lines/CPU-s, {findings} effects");
    }
}

fn run(lines: &[String], rules: &[SourceText]) -> (f64, usize) {
    let mut names = FieldTable::default();
    let (parsers, _) = Parsers::load(&tripline::shipped::parsers(), &mut names);
    let (rules, _) = Ruleset::load(rules, &mut names);
    let Some(format) = parsers.format("syslog") else { return (0.0, 0) };
    let mut pipeline = Pipeline::new(Setup {
        names,
        parsers: Arc::new(parsers),
        rules: &rules,
        sources: vec![SourceSetup { format, options: ParseOptions::default() }],
        route: Route::to_all(["archive".into()]),
        events: EventOutput::Off,
    });
    let (mut effects, mut count) = (Vec::new(), 0);
    let began = cpu_seconds();
    for (offset, line) in (0_u64..).zip(lines) {
        let raw = RawRecord {
            source: SourceId(0),
            stream: StreamId(1),
            path: Some("auth.log"),
            offset,
            received: Timestamp::from_seconds(DAY + 86_400),
            bytes: line.as_bytes(),
            full_length: line.len() as u64,
            flags: RecordFlags::NONE,
        };
        pipeline.step(Input::Record(raw), &mut effects);
        if offset % 4_096 == 0 {
            pipeline.step(Input::Checkpoint, &mut effects);
            count += effects.len();
            effects.clear();
        }
    }
    (LINES as f64 / (cpu_seconds() - began), count)
}

/// A day of a busy host: every fifth line tells of a failed login.
fn lines() -> Vec<String> {
    let mut seed = 1_u64;
    let mut below = |limit: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % limit
    };
    let line = |number: u64| {
        let second = number * 86_400 / LINES;
        let time =
            format!("Nov 20 {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
        let ip = format!("203.0.{}.{}", below(40), below(250));
        let pid = below(60_000);
        let message = match below(10) {
            0 | 1 => format!("sshd[{pid}]: Failed password for invalid user admin from {ip} port 4022 ssh2"),
            2 => format!("sshd[{pid}]: Invalid user admin from {ip} port 4022"),
            3 => format!("sshd[{pid}]: Accepted publickey for kim from {ip} port 4022 ssh2: RSA SHA256:abcdefgh"),
            4 => format!("sshd[{pid}]: pam_unix(sshd:session): session opened for user kim(uid=1001) by (uid=0)"),
            5 => format!("sshd[{pid}]: Connection closed by invalid user admin {ip} port 4022 [preauth]"),
            6 => format!("CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"),
            7 => "sudo:      kim : TTY=pts/1 ; PWD=/home/kim ; USER=root ; COMMAND=/usr/bin/apt-get update".to_owned(),
            8 => format!("systemd-logind[612]: New session {pid} of user kim."),
            _ => format!("kernel: [{pid}.1] usb 1-1: new full-speed USB device number {pid}"),
        };
        format!("{time} pos-001 {message}")
    };
    (0..LINES).map(line).collect()
}

/// User and system time of this process, from `/proc/self/stat` (hundredths of a second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

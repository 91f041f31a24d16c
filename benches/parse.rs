//! Lines per CPU second of parsing and normalizing: `cargo bench --bench parse -- FILE [FORMAT]`.
//!
//! Reads the file whole, runs over it several times on one thread and prints the best pass. CPU
//! time comes from `/proc/self/stat` (ticks of 10 ms), so that a busy machine does not count.
#![expect(clippy::print_stdout, reason = "a measurement prints what it measured")]

use anyhow::{Context, Result};
use bumpalo::Bump;
use tripline::event::{FieldTable, RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use tripline::normalize::{NormalizeCounts, normalize};
use tripline::parse::{ParseOptions, Parsers};

const PASSES: usize = 5;
/// Lines between two resets of the arena, as a batch has.
const BATCH: usize = 2_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let Some(path) = arguments.next() else {
        println!("give a log file: cargo bench --bench parse -- FILE [FORMAT]");
        return Ok(());
    };
    let name = arguments.next().unwrap_or_else(|| "syslog".to_owned());
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{path}`"))?;
    let mut names = FieldTable::default();
    let (parsers, _) = Parsers::load(&tripline::shipped::parsers(), &mut names);
    let format = parsers.format(&name).with_context(|| format!("unknown format `{name}`"))?;
    let options = ParseOptions::default();
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut best = [0.0_f64; 2];
    for pass in 0..PASSES * 2 {
        let normalizing = pass % 2 == 1;
        let mut arena = Bump::new();
        let mut counts = NormalizeCounts::default();
        let mut fields = 0;
        let start = cpu_seconds()?;
        for batch in lines.chunks(BATCH) {
            arena.reset();
            for line in batch {
                let raw = raw(line);
                for record in parsers.parse(format, &options, &names, &raw, &arena) {
                    fields += if normalizing {
                        normalize(record, &raw, 0, &names, &arena, &mut counts).fields.len()
                    } else {
                        record.fields.len()
                    };
                }
            }
        }
        let spent = (cpu_seconds()? - start).max(0.01);
        let rate = lines.len() as f64 / spent;
        if let Some(best) = best.get_mut(usize::from(normalizing)) {
            *best = best.max(rate);
        }
        std::hint::black_box(fields);
    }
    let [parse, both] = best;
    println!("parse: {parse:.0} lines/CPU-s, parse and normalize: {both:.0} lines/CPU-s");
    Ok(())
}

fn raw(line: &[u8]) -> RawRecord<'_> {
    RawRecord {
        source: SourceId(0),
        stream: StreamId(1),
        path: Some("/var/log/auth.log"),
        offset: 1,
        received: Timestamp::from_seconds(1_800_000_000),
        bytes: line,
        full_length: line.len() as u64,
        flags: RecordFlags::NONE,
    }
}

/// User and system time of this process (`proc(5)`, fields 14 and 15 of `stat`).
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse().unwrap_or(0_u64))
        .sum();
    Ok(ticks as f64 / 100.0)
}

//! `tripline hunt`: rules over files or a pipe to their end, in event time, without keeping state.
//!
//! Files are read one after the other, ordered by the time of their first event, so that
//! `auth.log auth.log.1` means the same as `auth.log.1 auth.log`. It is the pipeline of the agent
//! that runs here: what hunting finds in old logs is what the agent would have found live.

mod report;

use super::files::RecordFile;
use super::formats::{self, Formats};
use super::lines::{Line, Lines};
use super::{Answer, Failure, terminal};
use crate::clock::{self, Clock};
use crate::config;
use crate::diagnostic::SourceText;
use crate::event::{RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use crate::fact::FactKind;
use crate::parse::{Format, ParseOptions};
use crate::pipeline::{Effect, EventOutput, Input, Pipeline, Setup, SourceSetup};
use crate::route::Route;
use crate::shipped;
use bumpalo::Bump;
use report::Report;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  tripline hunt /var/log/auth.log*
  tripline hunt --rules my-rules/ --format json --output incidents app.jsonl
  zcat auth.log.*.gz | tripline hunt --timezone Europe/Paris -
  tripline hunt --exit-code --quiet --rules brute-force.yml auth.log > /dev/null && echo calm

Files are put in the order of their first events, stdin comes last. Times without a year
belong to the year before the file was last written, times without a zone to --timezone.";

/// Lines of a file that are looked at for the time of its first event.
const FIRST_LINES_MAX: usize = 200;

/// Lines between two moments at which the pipeline's counters are taken.
const COUNT_EVERY: u64 = 1_000_000;

/// Run rules over log files to their end
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Rule files and folders [default: the shipped rules]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Parser files and folders, besides the shipped ones
    #[arg(long, value_name = "PATH")]
    parsers: Vec<PathBuf>,
    /// How the lines are written: `syslog`, `json`, `ecs`, `envelope`, `auditd` or a parser
    #[arg(long, short, value_name = "FORMAT", default_value = "syslog")]
    format: String,
    /// What to write
    #[arg(long, short, value_enum, default_value_t = Output::Findings)]
    output: Output,
    /// The zone of times that name none [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Exit with 1 if anything was found
    #[arg(long)]
    exit_code: bool,
    /// Rules with errors, which are left out, are no failure
    #[arg(long)]
    keep_going: bool,
    /// Say nothing about the work itself
    #[arg(long, short)]
    quiet: bool,
    /// The files; `-` or none is stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What hunting writes, one JSON object a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// When a rule finds something: time, rule, level, group, count, ids of events
    Findings,
    /// Rule and event only, for comparing engines
    Matches,
    /// Incidents in their last state, with their evidence
    Incidents,
}

impl Arguments {
    /// The rules and the files: what follows `--rules` and is no place for rules is a file.
    fn paths(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let is_rules = |(at, path): &(usize, &PathBuf)| {
            let is_yaml = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
            *at == 0 || is_yaml || path.is_dir()
        };
        let (rules, files): (Vec<_>, Vec<_>) = self.rules.iter().enumerate().partition(is_rules);
        let rules = rules.into_iter().map(|(_, path)| path.clone()).collect();
        let files = files.into_iter().map(|(_, path)| path.clone());
        (rules, files.chain(self.files.iter().cloned()).collect())
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let mut formats = Formats::load(&arguments.parsers)?;
    let format = formats.find(&arguments.format)?;
    let options = formats::options(arguments.timezone.as_deref())?;
    let (rules, files) = arguments.paths();
    let texts = rule_texts(&rules)?;
    let (rules, errors) = formats.rules(&texts);
    if errors > 0 && rules.rules().is_empty() {
        return Err(Failure::usage(format!("no rule can be used; errors: {errors}")));
    }
    let logs = in_order(&files, &formats, format, &options)?;
    let pipeline = Pipeline::new(Setup {
        names: formats.names,
        parsers: Arc::clone(&formats.parsers),
        rules: &rules,
        sources: vec![SourceSetup { format, options }],
        route: Route::default(),
        events: match arguments.output {
            Output::Incidents => EventOutput::Off,
            Output::Findings | Output::Matches => EventOutput::Ids,
        },
    });
    let mut hunt = Hunt {
        pipeline,
        effects: Vec::new(),
        report: Report::new(arguments.output, terminal::stdout()),
        progress: terminal::Progress::new(),
        lines: 0,
        cut: 0,
        unreadable: Vec::new(),
    };
    for log in &logs {
        hunt.read(log)?;
    }
    let found = hunt.finish(arguments)?;
    if errors > 0 && !arguments.keep_going {
        return Err(Failure::usage(format!("rules with errors were left out; errors: {errors}"))
            .hint("mend them; `--keep-going` makes this no failure"));
    }
    Ok(found)
}

fn rule_texts(paths: &[PathBuf]) -> Result<Vec<SourceText>, Failure> {
    if paths.is_empty() {
        return Ok(shipped::rules());
    }
    let texts = config::read_yaml(paths)?;
    if texts.is_empty() {
        return Err(Failure::usage("no rules there").hint("rules are files `*.yml` or `*.yaml`"));
    }
    Ok(texts)
}

/// A file to read.
#[derive(Debug)]
struct Log {
    file: RecordFile,
    shown: String,
    stream: StreamId,
    /// When it was last written: what its times without a year refer to.
    received: Timestamp,
    first: Option<Timestamp>,
    size: u64,
}

/// The files by the time of their first event; a file that is named twice is read once.
fn in_order(
    paths: &[PathBuf],
    formats: &Formats,
    format: Format,
    options: &ParseOptions,
) -> Result<Vec<Log>, Failure> {
    let mut logs: Vec<Log> = Vec::new();
    let mut files: Vec<RecordFile> =
        paths.iter().map(|path| RecordFile::from_argument(path)).collect();
    if files.is_empty() {
        files.push(RecordFile::Stdin);
    }
    for file in files {
        let log = look_at(file, formats, format, options)?;
        if !logs.iter().any(|other| other.stream == log.stream) {
            logs.push(log);
        }
    }
    // Files without any time keep their place before the pipes, which cannot be looked into.
    logs.sort_by_key(|log| (log.file == RecordFile::Stdin, log.first.is_none(), log.first));
    Ok(logs)
}

fn look_at(
    file: RecordFile,
    formats: &Formats,
    format: Format,
    options: &ParseOptions,
) -> Result<Log, Failure> {
    let shown = file.shown();
    let mut log = Log {
        stream: file.stream()?,
        received: Clock::System.now(),
        first: None,
        size: 0,
        shown,
        file,
    };
    let RecordFile::Path(path) = &log.file else { return Ok(log) };
    let about = fs::metadata(path).map_err(|error| Failure::unreadable(&log.shown, &error))?;
    if about.is_dir() {
        // Opening says it better than reading would.
        drop(log.file.open()?);
    }
    if about.is_file() {
        log.received = about.modified().map_or(log.received, clock::from_system);
        log.size = about.len();
        log.first = first_time(&log, formats, format, options)?;
    }
    Ok(log)
}

/// The first time that is written in a file, if one stands near its beginning.
fn first_time(
    log: &Log,
    formats: &Formats,
    format: Format,
    options: &ParseOptions,
) -> Result<Option<Timestamp>, Failure> {
    let unreadable = |error| Failure::unreadable(&log.shown, &error);
    let mut lines = Lines::new(log.file.open()?);
    let mut seen = 0;
    let mut arena = Bump::new();
    while seen < FIRST_LINES_MAX && lines.fill().map_err(unreadable)? {
        while let Some(line) = lines.next()
            && seen < FIRST_LINES_MAX
        {
            seen += 1;
            let raw = log.record(line);
            let found = formats
                .parsers
                .parse(format, options, &formats.names, &raw, &arena)
                .iter()
                .find_map(|record| record.time);
            if found.is_some() {
                return Ok(found);
            }
            arena.reset();
        }
    }
    Ok(None)
}

impl Log {
    fn record<'a>(&'a self, line: Line<'a>) -> RawRecord<'a> {
        RawRecord {
            source: SourceId(0),
            stream: self.stream,
            path: Some(&self.shown),
            offset: line.offset,
            received: self.received,
            bytes: line.bytes,
            full_length: line.full_length,
            flags: line.flags,
        }
    }
}

struct Hunt<W: Write> {
    pipeline: Pipeline,
    effects: Vec<Effect>,
    report: Report<W>,
    progress: terminal::Progress,
    lines: u64,
    /// Lines that were longer than the limit.
    cut: u64,
    unreadable: Vec<String>,
}

impl<W: Write> Hunt<W> {
    /// Reads one file to its end. A file that breaks off is told, and the others are still read.
    fn read(&mut self, log: &Log) -> Result<(), Failure> {
        let mut lines = Lines::new(log.file.open()?);
        let mut done = 0;
        loop {
            match lines.fill() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.broke_off(log, &error);
                    break;
                }
            }
            while let Some(line) = lines.next() {
                done = line.offset;
                if line.bytes.is_empty() {
                    continue;
                }
                self.lines += 1;
                self.cut += u64::from(line.flags.contains(RecordFlags::TRUNCATED));
                self.pipeline.step(Input::Record(log.record(line)), &mut self.effects);
                if !self.effects.is_empty() {
                    self.report.take(&mut self.effects)?;
                }
                if self.lines.is_multiple_of(COUNT_EVERY) {
                    self.step(Input::Checkpoint)?;
                }
            }
            self.report.flush()?;
            let (lines, found) = (self.lines, self.report.found());
            self.progress.show(|| {
                let share = (done * 100).checked_div(log.size).unwrap_or_default();
                format!("{} {share} %, {lines} lines, {found} found", log.shown)
            });
        }
        self.step(Input::StreamEnd(log.stream))
    }

    fn broke_off(&mut self, log: &Log, error: &io::Error) {
        self.unreadable.push(format!("cannot read `{}`: {}", log.shown, terminal::reason(error)));
    }

    fn step(&mut self, input: Input<'_>) -> Result<(), Failure> {
        self.pipeline.step(input, &mut self.effects);
        self.report.take(&mut self.effects)?;
        Ok(())
    }

    fn finish(mut self, arguments: &Arguments) -> Result<Answer, Failure> {
        self.step(Input::Drain)?;
        self.step(Input::Checkpoint)?;
        self.report.finish()?;
        self.progress.clear();
        if !arguments.quiet {
            terminal::say(&self.summary());
        }
        if let Some(why) = self.unreadable.pop() {
            for other in &self.unreadable {
                terminal::say(&format!("error: {}", terminal::escape(other)));
            }
            return Err(Failure::usage(why));
        }
        let is_found = arguments.exit_code && self.report.found() > 0;
        Ok(if is_found { Answer::Found } else { Answer::Done })
    }

    /// What was read and what of it was not understood: nothing is passed over in silence.
    fn summary(&self) -> String {
        let mut text =
            format!("tripline hunt: {} lines, {} found", self.lines, self.report.found());
        if self.cut > 0 {
            terminal::append(&mut text, format_args!(", {} cut", self.cut));
        }
        for (kind, what) in [
            (FactKind::RecordsFailed, "not of the format"),
            (FactKind::RecordsUnmatched, "not known to a parser"),
            (FactKind::TimesMissing, "without a time"),
            (FactKind::EventsLate, "too late for a window"),
            (FactKind::WindowsEvicted, "windows dropped at the limit"),
            (FactKind::WindowEntriesEvicted, "window entries dropped at the limit"),
        ] {
            let count = self.report.count(kind);
            if count > 0 {
                terminal::append(&mut text, format_args!(", {count} {what}"));
            }
        }
        if self.report.unkept() > 0 {
            terminal::append(
                &mut text,
                format_args!(", {} events of evidence not kept", self.report.unkept()),
            );
        }
        text
    }
}

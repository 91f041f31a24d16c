//! `tripline parse`: lines in, normalized events out, one JSON object a line.

use super::events::EventReader;
use super::files::RecordFile;
use super::formats::{self, Formats};
use super::lines::Lines;
use super::{Answer, Failure, cases, follow, records, terminal};
use crate::clock::{self, Clock};
use crate::event::{FlatEvent, RawRecord, SourceId, Timestamp};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  tripline parse --format syslog /var/log/auth.log
  journalctl -o json | tripline parse --format journald_json -
  tripline parse --format nginx_access --cases access.log     what a parser does not know yet
  tripline parse --format syslog --follow /var/log/auth.log
  echo '{\"id\":\"1\",\"lines\":[\"…\"],\"options\":{\"tz\":\"UTC\"}}' | tripline parse --format auditd --records -

What is not of the format is an event with `event.kind: pipeline_error`, never a lost line.";

/// Turn log lines into normalized events
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// How the lines are written: `syslog`, `json`, `ecs`, `envelope`, `auditd` or a parser
    #[arg(long, short, value_name = "FORMAT", default_value = "syslog")]
    format: String,
    /// Parser files and folders, besides the shipped ones
    #[arg(long, value_name = "PATH")]
    parsers: Vec<PathBuf>,
    /// The zone of times that name none [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Read `{"id","lines","options"}` a line and answer `{"id","events","error"}` a line
    #[arg(long, conflicts_with_all = ["follow", "cases"])]
    records: bool,
    /// Go on as the file grows; keeps no position
    #[arg(long, conflicts_with = "cases")]
    follow: bool,
    /// Show what each line was recognized as, and the shapes of what was not
    #[arg(long)]
    cases: bool,
    /// The file; `-` or none is stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let formats = Formats::load(&arguments.parsers)?;
    let options = formats::options(arguments.timezone.as_deref())?;
    let mut reader = EventReader::new(formats, &arguments.format)?;
    let file = RecordFile::from_argument(arguments.file.as_deref().unwrap_or(Path::new("-")));
    let mut out = terminal::stdout();
    if arguments.records {
        records::run(&file, &mut reader, &options, &mut out)?;
    } else if arguments.cases {
        cases::run(&file, &mut reader, &options, &mut out)?;
    } else if arguments.follow {
        let RecordFile::Path(path) = &file else {
            return Err(Failure::usage("`--follow` needs a file")
                .hint("stdin is followed to its end anyway"));
        };
        follow::run(path, &mut reader, &options, &mut out)?;
    } else {
        each_line(&file, &mut out, |raw, out| {
            reader.read(&options, raw, |event, _, _| write_event(out, &event))
        })?;
    }
    out.flush()?;
    Ok(Answer::Done)
}

/// Hands over every line of a file that is not empty. What was written is flushed before each
/// further block is waited for.
pub(super) fn each_line<W: Write>(
    file: &RecordFile,
    out: &mut W,
    mut with: impl FnMut(&RawRecord<'_>, &mut W) -> io::Result<()>,
) -> Result<(), Failure> {
    let shown = file.shown();
    let received = last_written(file);
    let stream = file.stream()?;
    let mut lines = Lines::new(file.open()?);
    while lines.fill().map_err(|error| Failure::unreadable(&shown, &error))? {
        while let Some(line) = lines.next() {
            if line.bytes.is_empty() {
                continue;
            }
            let raw = RawRecord {
                source: SourceId(0),
                stream,
                path: Some(&shown),
                offset: line.offset,
                received,
                bytes: line.bytes,
                full_length: line.full_length,
                flags: line.flags,
            };
            with(&raw, out)?;
        }
        out.flush()?;
    }
    Ok(())
}

/// When a file was last written, which its times without a year refer to; now for a pipe.
fn last_written(file: &RecordFile) -> Timestamp {
    let now = Clock::System.now();
    let RecordFile::Path(path) = file else { return now };
    match fs::metadata(path) {
        Ok(about) if about.is_file() => about.modified().map_or(now, clock::from_system),
        _ => now,
    }
}

/// Writes one event as a line.
pub(super) fn write_event(out: &mut impl Write, event: &FlatEvent) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &event.0)?;
    out.write_all(b"\n")
}

//! `tripline parse --records`: record units as JSON, each parsed on its own.
//!
//! The lines of a unit are one record (an event of several lines); its `options` may name the zone
//! (`tz` or `timezone`) and the time it was read (`received`). Other options are ignored.

use super::Failure;
use super::events::{EventReader, failed};
use super::files::RecordFile;
use super::lines::Lines;
use crate::clock::Clock;
use crate::config;
use crate::event::{RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use crate::parse::ParseOptions;
use serde_json::{Map, Value as Json};
use std::io::{self, Write};

/// Bytes of one record unit, as JSON.
const UNIT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, serde::Deserialize)]
struct Unit {
    #[serde(default)]
    id: Json,
    lines: Vec<String>,
    #[serde(default)]
    options: Map<String, Json>,
}

#[derive(Debug, serde::Serialize)]
struct Reply<'r> {
    id: &'r Json,
    events: &'r [Map<String, Json>],
    error: Option<&'r str>,
}

/// Answers every unit of a file or of stdin, in order.
pub(super) fn run<W: Write>(
    file: &RecordFile,
    reader: &mut EventReader,
    options: &ParseOptions,
    out: &mut W,
) -> Result<(), Failure> {
    let shown = file.shown();
    let now = Clock::System.now();
    let mut lines = Lines::with_limit(file.open()?, UNIT_BYTES_MAX);
    while lines.fill().map_err(|error| Failure::unreadable(&shown, &error))? {
        while let Some(line) = lines.next() {
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            if line.flags.contains(RecordFlags::TRUNCATED) {
                reply(out, &Json::Null, &[], Some("the record is larger than 16 MiB"))?;
                continue;
            }
            match serde_json::from_slice::<Unit>(line.bytes) {
                Ok(unit) => answer(&unit, reader, options, (line.offset, now), out)?,
                Err(error) => {
                    let why = format!(
                        "expected `{{\"id\",\"lines\",\"options\"}}`: {}",
                        error.to_string().to_lowercase()
                    );
                    reply(out, &Json::Null, &[], Some(&why))?;
                }
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn answer(
    unit: &Unit,
    reader: &mut EventReader,
    options: &ParseOptions,
    (offset, now): (u64, Timestamp),
    out: &mut impl Write,
) -> io::Result<()> {
    let text = unit.lines.join("\n");
    let option = |name: &str| unit.options.get(name).and_then(Json::as_str);
    let raw = RawRecord {
        source: SourceId(0),
        stream: StreamId(0),
        path: None,
        offset,
        received: option("received").and_then(Timestamp::parse_rfc3339).unwrap_or(now),
        bytes: text.as_bytes(),
        full_length: text.len() as u64,
        flags: RecordFlags::NONE,
    };
    let mut own = options.clone();
    if let Some(name) = option("tz").or_else(|| option("timezone")) {
        let Some(zone) = config::parse_zone(name) else {
            let why = format!("unknown time zone `{name}`");
            return reply(out, &unit.id, &[failed(&raw, &why).0], Some(&why));
        };
        own.zone = zone;
    }
    let mut events = Vec::new();
    reader.read(&own, &raw, |event, _, _| {
        events.push(event.0);
        Ok::<(), io::Error>(())
    })?;
    reply(out, &unit.id, &events, None)
}

fn reply(
    out: &mut impl Write,
    id: &Json,
    events: &[Map<String, Json>],
    error: Option<&str>,
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Reply { id, events, error })?;
    out.write_all(b"\n")
}

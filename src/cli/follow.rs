//! `tripline parse --follow`: a file's lines as they are written, without keeping a position.
//!
//! What is there already comes first. A line is taken as it is found, so that one written in two
//! pieces may come as two; the agent's file source, which keeps offsets, waits for the line end.

use super::events::{EventReader, failed};
use super::files::RecordFile;
use super::lines::LINE_BYTES_MAX;
use super::parse::write_event;
use super::{Failure, terminal};
use crate::clock::Clock;
use crate::event::{RawRecord, RecordFlags, SourceId};
use crate::parse::ParseOptions;
use linemux::MuxedLines;
use std::io::{self, Write};
use std::path::Path;

/// Follows until the reader of the output goes away or the program is stopped.
pub(super) fn run<W: Write>(
    path: &Path,
    reader: &mut EventReader,
    options: &ParseOptions,
    out: &mut W,
) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let unreadable = |error: io::Error| Failure::unreadable(&shown, &error);
    let stream = RecordFile::Path(path.to_path_buf()).stream()?;
    std::fs::File::open(path).map_err(unreadable)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unreadable)?;
    runtime.block_on(async {
        let mut lines = MuxedLines::new().map_err(unreadable)?;
        lines.add_file_from_start(path).await.map_err(unreadable)?;
        let mut offset = 0;
        loop {
            let (line, error) = match lines.next_line().await {
                Ok(Some(line)) => (line.line().to_owned(), None),
                Ok(None) => return Ok(()),
                Err(error) => (String::new(), Some(terminal::reason(&error))),
            };
            let bytes = line.as_bytes();
            let kept = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
            let is_cut = kept.len() < bytes.len();
            let raw = RawRecord {
                source: SourceId(0),
                stream,
                path: Some(&shown),
                offset,
                received: Clock::System.now(),
                bytes: kept,
                full_length: bytes.len() as u64,
                flags: if is_cut { RecordFlags::TRUNCATED } else { RecordFlags::NONE },
            };
            offset += bytes.len() as u64 + 1;
            match error {
                Some(why) => write_event(out, &failed(&raw, &why))?,
                None if line.is_empty() => continue,
                None => {
                    reader.read(options, &raw, |event, _, _| write_event(out, &event))?;
                }
            }
            out.flush()?;
        }
    })
}

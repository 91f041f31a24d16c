//! Standard input: lines until it ends. It cannot be read twice, so it has no position.

use super::{BATCH_BYTES_MAX, check_keys};
use super::{Batch, RecordSpan, Source, SourceContext, SourceError, Stopped, StreamName};
use crate::clock::Clock;
use crate::event::{RecordFlags, SourceId, StreamId};
use crate::fact::{Fact, FactKind};
use crate::kind::Kind;
use crate::yaml::{Node, Problems, size};
use memchr::memchr;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard input.
pub(super) const KIND: Kind<Box<dyn Source>> = Kind {
    name: "stdin",
    summary: "lines of standard input, until it ends",
    example: "\
kind: stdin
format: syslog
timezone: Europe/Paris
max_line: 64KiB
",
    build,
};

/// Longest line that may be asked for.
const LINE_LIMIT: u64 = 16 * 1024 * 1024;

#[derive(Debug)]
struct StdinSource {
    line_max: usize,
}

fn build(entry: &Node, problems: &mut Problems) -> Option<Box<dyn Source>> {
    check_keys("stdin source", &["max_line"], entry, problems);
    let Some(node) = entry.get("max_line") else {
        return Some(Box::new(StdinSource { line_max: 64 * 1024 }));
    };
    let text = node.expect_text("max_line", problems)?;
    let Some(bytes) = size(text).filter(|bytes| (64..=LINE_LIMIT).contains(bytes)) else {
        let message = format!("`max_line` is a size from 64 to 16MiB, found `{text}`");
        problems.error_hint(node.place, message, "for example `64KiB`");
        return None;
    };
    Some(Box::new(StdinSource { line_max: bytes as usize }))
}

impl Source for StdinSource {
    fn run(&mut self, context: SourceContext) -> Result<(), SourceError> {
        let stream = stream_of(&context.name);
        let mut lines = Lines::new(context.id, stream, context.clock.clone(), self.line_max);
        lines.run(&mut std::io::stdin().lock(), &context.output, &context.stop)
    }
}

/// A fixed hash of a name.
fn stream_of(name: &str) -> StreamId {
    let digest: [u8; 32] = Sha256::new_with_prefix(b"stdin ").chain_update(name).finalize().into();
    let mut first = [0; 8];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    StreamId(u64::from_le_bytes(first))
}

/// Splits what can only be read once into records.
struct Lines {
    source: SourceId,
    stream: StreamId,
    clock: Clock,
    line_max: usize,
    /// The kept bytes of the line that has not ended yet.
    line: Vec<u8>,
    /// Its whole length so far.
    length: u64,
    /// Whether its last byte was a carriage return.
    returned: bool,
    offset: u64,
    batch: Batch,
    empty: u64,
    cut: u64,
    read: u64,
}

impl Lines {
    fn new(source: SourceId, stream: StreamId, clock: Clock, line_max: usize) -> Self {
        Self {
            source,
            stream,
            clock,
            line_max,
            line: Vec::new(),
            length: 0,
            returned: false,
            offset: 0,
            batch: Batch::default(),
            empty: 0,
            cut: 0,
            read: 0,
        }
    }

    fn run(
        &mut self,
        input: &mut dyn Read,
        output: &dyn Fn(Batch) -> Result<(), Stopped>,
        stop: &AtomicBool,
    ) -> Result<(), SourceError> {
        let mut buffer = vec![0; BATCH_BYTES_MAX / 4];
        while !stop.load(Ordering::Relaxed) {
            let read = match input.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(SourceError { message: format!("standard input: {error}") });
                }
            };
            if read == 0 {
                if self.length > 0 {
                    self.end_line(RecordFlags::UNTERMINATED, 0);
                }
                // A batch that is refused now is refused because the agent stops, as is this.
                return self.hand_over(output).or(Ok(()));
            }
            self.read += read as u64;
            self.split(buffer.get(..read).unwrap_or_default());
            if self.hand_over(output).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn split(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (text, rest) = bytes.split_at_checked(end).unwrap_or_default();
            self.add(text);
            self.end_line(RecordFlags::NONE, 1);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.add(bytes);
    }

    /// Keeps one byte more than is allowed, so that a carriage return can go.
    fn add(&mut self, text: &[u8]) {
        let room = (self.line_max + 1).saturating_sub(self.line.len()).min(text.len());
        self.line.extend_from_slice(text.get(..room).unwrap_or_default());
        self.length += text.len() as u64;
        if let Some(last) = text.last() {
            self.returned = *last == b'\r';
        }
    }

    fn end_line(&mut self, flags: RecordFlags, end: u64) {
        let returned = u64::from(self.returned && end > 0);
        let full_length = self.length - returned;
        let kept = self.line.len().min(self.line_max).min(full_length as usize);
        if kept == 0 {
            self.empty += 1;
        } else {
            let cut = (kept as u64) < full_length;
            self.cut += u64::from(cut);
            self.batch.spans.push(RecordSpan {
                start: self.batch.bytes.len() as u32,
                length: kept as u32,
                stream: 0,
                offset: self.offset,
                received: self.clock.now(),
                full_length,
                flags: if cut { flags.with(RecordFlags::TRUNCATED) } else { flags },
            });
            self.batch.bytes.extend_from_slice(self.line.get(..kept).unwrap_or_default());
        }
        self.offset += self.length + end;
        self.line.clear();
        self.length = 0;
        self.returned = false;
    }

    fn hand_over(&mut self, output: &dyn Fn(Batch) -> Result<(), Stopped>) -> Result<(), Stopped> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.source = self.source;
        batch.streams.push(StreamName { id: self.stream, path: Some("stdin".into()) });
        let records = batch.spans.len() as u64;
        for (kind, count) in [
            (FactKind::RecordsRead, records),
            (FactKind::BytesRead, std::mem::take(&mut self.read)),
            (FactKind::LinesEmpty, std::mem::take(&mut self.empty)),
            (FactKind::RecordsTruncated, std::mem::take(&mut self.cut)),
        ] {
            if count > 0 {
                batch.facts.push(Fact::count(kind, Some(self.source), count));
            }
        }
        if batch.is_empty() { Ok(()) } else { output(batch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Gives its bytes a few at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(input: &[u8], step: usize) -> Vec<(u64, String, u64, RecordFlags)> {
        let got = Mutex::new(Vec::new());
        let mut lines = Lines::new(SourceId(1), StreamId(2), Clock::System, 8);
        let output = |batch: Batch| {
            got.lock().unwrap().extend(batch.records().map(|record| {
                let text = String::from_utf8_lossy(record.bytes).into_owned();
                (record.offset, text, record.full_length, record.flags)
            }));
            assert!(batch.positions.is_empty());
            Ok(())
        };
        lines.run(&mut Drip(input, step), &output, &AtomicBool::new(false)).unwrap();
        got.into_inner().unwrap()
    }

    #[test]
    fn lines_are_the_same_however_they_come_in() {
        let input = b"one\r\n\n12345678\r\n123456789\r\nlast";
        let expected = [
            (0, "one".to_owned(), 3, RecordFlags::NONE),
            (6, "12345678".to_owned(), 8, RecordFlags::NONE),
            (16, "12345678".to_owned(), 9, RecordFlags::TRUNCATED),
            (27, "last".to_owned(), 4, RecordFlags::UNTERMINATED),
        ];
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(read(input, step), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn the_stream_hangs_on_the_name_alone() {
        assert_eq!(stream_of("a"), stream_of("a"));
        assert_ne!(stream_of("a"), stream_of("b"));
    }
}

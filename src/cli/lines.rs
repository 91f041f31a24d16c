//! Lines of a file or pipe: big blocks, one search for the line end, nothing copied.
//!
//! A line that is longer than the limit is given as its head, flagged, with its full length; memory
//! stays at one block however long it is.

use crate::event::RecordFlags;
use std::io::{self, ErrorKind, Read};

/// Bytes of a record that are kept; the rest of a longer line is counted and skipped.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes read at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// One line, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'b> {
    /// Offset of its first byte.
    pub(super) offset: u64,
    /// Its bytes, or their head.
    pub(super) bytes: &'b [u8],
    /// Its length in the stream.
    pub(super) full_length: u64,
    /// What was noticed.
    pub(super) flags: RecordFlags,
}

/// Splits a stream into lines: [`Lines::fill`] reads, [`Lines::next`] gives what is complete.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What of the buffer is not given out yet.
    start: usize,
    end: usize,
    /// Offset in the stream of the byte at `start`.
    offset: u64,
    line_max: usize,
    /// Bytes of the line at `start` that were skipped behind its head.
    skipped: u64,
    /// How far the rest of the buffer was searched for a line end.
    searched: usize,
    has_ended: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of at most [`LINE_BYTES_MAX`].
    pub(super) fn new(reader: R) -> Self {
        Self::with_limit(reader, LINE_BYTES_MAX)
    }

    /// Lines of at most `line_max` bytes.
    pub(super) fn with_limit(reader: R, line_max: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; line_max + BLOCK_BYTES],
            start: 0,
            end: 0,
            offset: 0,
            line_max,
            skipped: 0,
            searched: 0,
            has_ended: false,
        }
    }

    /// Reads a further block. False when the stream has ended and everything was given out.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.has_ended {
            return Ok(self.start < self.end);
        }
        self.make_room();
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = loop {
            match self.reader.read(room) {
                Ok(read) => break read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        self.end += read;
        self.has_ended = read == 0;
        Ok(!self.has_ended || self.start < self.end)
    }

    /// The next complete line; at the end of the stream also one without a line end.
    pub(super) fn next(&mut self) -> Option<Line<'_>> {
        let rest = self.buffer.get(self.searched..self.end)?;
        let (stop, after, flags) = match memchr::memchr(b'\n', rest) {
            Some(at) => (self.searched + at, self.searched + at + 1, RecordFlags::NONE),
            None if self.has_ended && self.start < self.end => {
                (self.end, self.end, RecordFlags::UNTERMINATED)
            }
            None => {
                self.searched = self.end;
                return None;
            }
        };
        let offset = self.offset;
        let held = self.buffer.get(self.start..stop)?;
        let held = held.strip_suffix(b"\r").unwrap_or(held);
        let full_length = held.len() as u64 + self.skipped;
        let is_long = full_length > self.line_max as u64;
        let flags = if is_long { flags.with(RecordFlags::TRUNCATED) } else { flags };
        self.offset += (after - self.start) as u64 + self.skipped;
        self.start = after;
        self.searched = after;
        self.skipped = 0;
        let bytes = held.get(..self.line_max).unwrap_or(held);
        Some(Line { offset, bytes, full_length, flags })
    }

    /// Moves what is left to the front; of a line that is too long already, only its head.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.searched -= self.start;
        self.start = 0;
        // The last byte is kept behind the head: it may be the carriage return of the line's end.
        let head = self.line_max + 1;
        if self.end > head {
            self.buffer.copy_within(self.end - 1..self.end, self.line_max);
            self.skipped += (self.end - head) as u64;
            self.end = head;
            self.searched = self.searched.min(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most `step` bytes a call.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let step = self.1.min(self.0.len()).min(into.len());
            let (now, later) = self.0.split_at(step);
            into[..step].copy_from_slice(now);
            self.0 = later;
            Ok(step)
        }
    }

    fn split(text: &[u8], step: usize, limit: usize) -> Vec<(u64, Vec<u8>, u64, RecordFlags)> {
        let mut lines = Lines::with_limit(Drip(text, step), limit);
        let mut found = Vec::new();
        while lines.fill().unwrap() {
            while let Some(line) = lines.next() {
                found.push((line.offset, line.bytes.to_vec(), line.full_length, line.flags));
            }
        }
        found
    }

    #[test]
    fn lines_and_offsets_do_not_depend_on_how_they_arrive() {
        let text = b"one\r\n\ntwo\nthree";
        let wanted = vec![
            (0, b"one".to_vec(), 3, RecordFlags::NONE),
            (5, b"".to_vec(), 0, RecordFlags::NONE),
            (6, b"two".to_vec(), 3, RecordFlags::NONE),
            (10, b"three".to_vec(), 5, RecordFlags::UNTERMINATED),
        ];
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(split(text, step, 1_000), wanted, "step {step}");
        }
        assert!(split(b"", 10, 10).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_flagged_and_measured() {
        let long = 3 * BLOCK_BYTES + 17;
        for end in ["\n", "\r\n"] {
            let mut text = vec![b'x'; long];
            text.extend(format!("{end}next\n").as_bytes());
            for step in [1_013, 4_096, BLOCK_BYTES, usize::MAX] {
                let found = split(&text, step, 100);
                assert_eq!(found.len(), 2);
                assert_eq!(found[0].1, vec![b'x'; 100]);
                assert_eq!(found[0].2, long as u64, "step {step} {end:?}");
                assert!(found[0].3.contains(RecordFlags::TRUNCATED));
                assert_eq!(found[1].0, (long + end.len()) as u64);
                assert_eq!(found[1].1, b"next");
            }
        }
        let exact = [&[b'y'; 100][..], b"\r\n"].concat();
        assert_eq!(split(&exact, 1, 100)[0].3, RecordFlags::NONE);
    }
}

//! One turn of reading: a chunk of one file, split into records.

use super::identity::{GUARD_MAX, Look, read_at};
use super::outgoing::{Outgoing, RECORDS_MAX};
use super::tracked::{Slot, Tracked};
use crate::event::{RecordFlags, Timestamp};
use crate::fact::FactKind;
use crate::source::{BATCH_BYTES_MAX, Batch, RecordSpan};
use memchr::{memchr, memchr_iter, memrchr};
use std::fs::File;
use std::io;

/// Bytes of a line longer than a batch that one turn searches for its end.
const SCAN_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of one read while searching.
const SCAN_CHUNK: usize = 256 * 1024;
/// Smallest buffer for new bytes.
const READ_MIN: usize = 4 * 1024;

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is more.
    More,
    /// Everything up to the last line end was handed over.
    Idle,
    /// What was read before is not there any more.
    Rewritten,
    /// The batch has no room: hand it over and come again.
    Full,
}

/// One line, as offsets within the file.
struct Line {
    from: u64,
    /// Behind the last byte, without the line end.
    to: u64,
    /// Where the next line begins.
    next: u64,
    flags: RecordFlags,
}

/// Reads the next chunk of an open file.
pub(super) fn turn(
    file: &mut Tracked,
    slot: Slot,
    out: &mut Outgoing,
    line_max: usize,
) -> io::Result<Turn> {
    let turn = read_chunk(file, slot, out, line_max)?;
    match turn {
        Turn::Idle => file.sure = Some(file.scanned),
        Turn::More => file.sure = Some(file.size.unwrap_or_default().max(file.scanned)),
        Turn::Rewritten | Turn::Full => {}
    }
    Ok(turn)
}

fn read_chunk(
    file: &mut Tracked,
    slot: Slot,
    out: &mut Outgoing,
    line_max: usize,
) -> io::Result<Turn> {
    let before = file.guard_bytes().len();
    let from = file.offset - before as u64;
    let pending = file.size.unwrap_or_default().saturating_sub(from) as usize;
    if !out.reserve(pending.saturating_add(1).clamp(READ_MIN, BATCH_BYTES_MAX)) {
        return Ok(Turn::Full);
    }
    let Some(handle) = &file.file else { return Ok(Turn::Idle) };
    let start = out.batch.bytes.len();
    let room = out.batch.bytes.capacity() - start;
    let read = read_into(handle, &mut out.batch.bytes, from)?;
    let chunk = out.batch.bytes.get(start..).unwrap_or_default();
    if chunk.get(..before) != Some(file.guard_bytes()) {
        out.batch.bytes.truncate(start);
        return Ok(Turn::Rewritten);
    }
    let now = out.now();
    let used = split(file, out, start + before, line_max);
    if used > 0 {
        let end = start + before + used;
        let offset = file.offset + used as u64;
        file.advance(offset, out.batch.bytes.get(start..end).unwrap_or_default(), now);
        file.grow_head()?;
        out.touch(slot);
        out.count(FactKind::BytesRead, used as u64);
    }
    let data = (start + before + used).min(out.batch.bytes.len());
    let rest = out.batch.bytes.get(data..).unwrap_or_default();
    let known = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) as u64;
    let end = file.offset + rest.len() as u64;
    out.batch.bytes.truncate(if used > 0 { data } else { start });
    if out.batch.spans.len() >= RECORDS_MAX {
        return Ok(Turn::More);
    }
    let full = read == room;
    if used > 0 && full {
        return Ok(Turn::More);
    }
    if full && start > 0 {
        return Ok(Turn::Full);
    }
    file.scanned = file.scanned.max(file.offset + known);
    file.nul_end = file.nul_end.max(end);
    if full { scan_ahead(file, slot, out, line_max) } else { Ok(Turn::Idle) }
}

/// The bytes by which the place is known again.
pub(super) fn bytes_before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let len = offset.min(GUARD_MAX as u64);
    read_at(file, offset - len, len as usize)
}

/// Reads into what capacity is left.
fn read_into(file: &File, bytes: &mut Vec<u8>, from: u64) -> io::Result<usize> {
    Ok(rustix::io::pread(file, rustix::buffer::spare_capacity(bytes), from)?)
}

/// Makes records of the complete lines from `data` on. Gives the bytes they take.
fn split(file: &Tracked, out: &mut Outgoing, data: usize, line_max: usize) -> usize {
    let stream = out.stream(file);
    let received = out.now();
    let Batch { bytes, spans, .. } = &mut out.batch;
    let bytes = bytes.get(data..).unwrap_or_default();
    // What was searched before has no line end, but NUL bytes may have been overwritten.
    let known = ((file.scanned - file.offset) as usize).min(bytes.len());
    let (mut line, mut empty, mut cut, first) = (0, 0, 0, spans.len());
    for found in memchr_iter(b'\n', bytes.get(known..).unwrap_or_default()) {
        let end = known + found;
        let text = bytes.get(line..end).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let skip = skipped(text, file.offset + line as u64);
        let length = text.len() - skip;
        if length == 0 {
            empty += 1;
        } else {
            let kept = length.min(line_max);
            cut += u64::from(kept < length);
            spans.push(RecordSpan {
                start: (data + line + skip) as u32,
                length: kept as u32,
                stream,
                offset: file.offset + (line + skip) as u64,
                received,
                full_length: length as u64,
                flags: if kept < length { RecordFlags::TRUNCATED } else { RecordFlags::NONE },
            });
        }
        line = end + 1;
        if spans.len() >= RECORDS_MAX {
            break;
        }
    }
    let made = (spans.len() - first) as u64;
    if file.offset == 0 && matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        let what = format!("`{}` looks like UTF-16, which is read as bytes", file.path);
        if out.is_news(&what) {
            out.tell(FactKind::SourceErrors, what);
        }
    }
    out.count(FactKind::RecordsRead, made);
    out.count(FactKind::LinesEmpty, empty);
    out.count(FactKind::RecordsTruncated, cut);
    line
}

/// How many bytes at the start of a line are no text: NUL bytes of a hole, a byte order mark.
fn skipped(text: &[u8], offset: u64) -> usize {
    match text {
        [0, ..] => text.iter().position(|byte| *byte != 0).unwrap_or(text.len()),
        [0xef, 0xbb, 0xbf, ..] if offset == 0 => 3,
        _ => 0,
    }
}

/// Looks for the end of a line (or of a hole) that is longer than a batch, without keeping it.
fn scan_ahead(
    file: &mut Tracked,
    slot: Slot,
    out: &mut Outgoing,
    line_max: usize,
) -> io::Result<Turn> {
    let Some(handle) = &file.file else { return Ok(Turn::Idle) };
    if file.nul_end > file.scanned
        && read_at(handle, file.scanned, 1)?.first().is_some_and(|byte| *byte != 0)
    {
        file.nul_end = file.scanned;
    }
    let mut at = file.scanned.max(file.nul_end);
    let stop = at + SCAN_MAX;
    let mut buffer = Vec::with_capacity(SCAN_CHUNK);
    while at < stop {
        buffer.clear();
        let read = read_into(handle, &mut buffer, at)?;
        let text = buffer.iter().position(|byte| *byte != 0);
        if file.scanned == file.offset
            && let Some(first) = text
        {
            let (offset, now) = (at + first as u64, out.now());
            let before = bytes_before(handle, offset)?;
            file.advance(offset, &before, now);
            file.grow_head()?;
            out.touch(slot);
            return Ok(Turn::More);
        }
        if let Some(found) = memchr(b'\n', &buffer) {
            let end = at + found as u64;
            let line = Line { from: file.offset, to: end, next: end + 1, flags: RecordFlags::NONE };
            return deliver(file, slot, out, line, line_max);
        }
        if text.is_some() {
            let last = buffer.iter().rposition(|byte| *byte != 0).unwrap_or_default() as u64;
            file.scanned = at + last + 1;
        }
        at += read as u64;
        file.nul_end = at;
        if read == 0 {
            return Ok(Turn::Idle);
        }
    }
    Ok(Turn::More)
}

/// Hands over one line that was not read as a whole: at most `line_max` bytes of it.
fn deliver(
    file: &mut Tracked,
    slot: Slot,
    out: &mut Outgoing,
    mut line: Line,
    line_max: usize,
) -> io::Result<Turn> {
    let Some(handle) = &file.file else { return Ok(Turn::Idle) };
    let before = bytes_before(handle, line.next)?;
    let tail = before.len().min((line.next - line.from) as usize);
    let ended = line.next > line.to;
    if ended && before.get(before.len() - tail..).is_some_and(|end| end.ends_with(b"\r\n")) {
        line.to -= 1;
    }
    let wanted = ((line.to - line.from).min(line_max as u64)) as usize;
    let start = out.batch.bytes.len();
    if start > 0 && start + wanted > BATCH_BYTES_MAX || out.batch.spans.len() >= RECORDS_MAX {
        return Ok(Turn::Full);
    }
    let text = read_at(handle, line.from, wanted)?;
    if text.len() < wanted {
        return Ok(Turn::Rewritten);
    }
    let skip = skipped(&text, line.from);
    let now = out.now();
    if skip < text.len() {
        let kept = text.len() - skip;
        let full_length = line.to - line.from - skip as u64;
        let mut flags = line.flags;
        if (kept as u64) < full_length {
            flags = flags.with(RecordFlags::TRUNCATED);
            out.count(FactKind::RecordsTruncated, 1);
        }
        let stream = out.stream(file);
        out.batch.bytes.extend_from_slice(text.get(skip..).unwrap_or_default());
        out.batch.spans.push(RecordSpan {
            start: start as u32,
            length: kept as u32,
            stream,
            offset: line.from + skip as u64,
            received: now,
            full_length,
            flags,
        });
        out.count(FactKind::RecordsRead, 1);
    }
    out.count(FactKind::BytesRead, line.next - line.from);
    file.advance(line.next, &before, now);
    file.grow_head()?;
    out.touch(slot);
    Ok(Turn::More)
}

/// Hands over what stands behind the last line end of a file that has ended for good.
pub(super) fn finish(
    file: &mut Tracked,
    slot: Slot,
    out: &mut Outgoing,
    line_max: usize,
) -> io::Result<Turn> {
    if file.scanned <= file.offset || file.file.is_none() {
        return Ok(Turn::Idle);
    }
    let end = file.scanned;
    let line = Line { from: file.offset, to: end, next: end, flags: RecordFlags::UNTERMINATED };
    let turn = deliver(file, slot, out, line, line_max)?;
    if turn == Turn::More {
        out.count(FactKind::RecordsUnterminated, 1);
    }
    Ok(turn)
}

/// Starts behind the last complete line of what is there, without handing it over.
pub(super) fn skip_to_end(file: &mut Tracked, look: &Look, line_max: usize) -> io::Result<()> {
    let Some(handle) = &file.file else { return Ok(()) };
    let from = look.size.saturating_sub(line_max as u64);
    let tail = read_at(handle, from, (look.size - from) as usize)?;
    let offset = match memrchr(b'\n', &tail) {
        Some(last) => from + last as u64 + 1,
        None if from == 0 => 0,
        None => look.size,
    };
    let before = bytes_before(handle, offset)?;
    file.advance(offset, &before, Timestamp::from_nanos(look.modified));
    file.grow_head()
}

//! Compact bytes: numbers of variable length, and records kept as evidence.
//!
//! Numbers are LEB128, signed ones zigzag (as in Protocol Buffers).

use super::squeeze::Squeezer;
use crate::event::{Evidence, RecordFlags, SourceId, StreamId, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

/// Most different paths remembered; records of further ones are kept without.
pub(super) const PATHS_MAX: usize = 65_536;

/// A record kept as evidence, shared by the windows that count it.
pub(super) type Packed = Arc<[u8]>;

/// How evidence is kept: paths once, records squeezed.
#[derive(Debug, Default)]
pub(super) struct Paths {
    list: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u32>,
    squeezer: Squeezer,
    scratch: Vec<u8>,
    effort: Effort,
}

/// Whether memory or time is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Effort {
    /// Few records are kept: they are kept as they are.
    #[default]
    Plain,
    /// Many are: they are squeezed.
    Squeeze,
}

impl Paths {
    fn number(&mut self, path: Option<&str>) -> u64 {
        let Some(path) = path else { return 0 };
        if let Some(number) = self.index.get(path) {
            return u64::from(*number);
        }
        if self.list.len() >= PATHS_MAX {
            return 0;
        }
        let path: Arc<str> = path.into();
        self.list.push(Arc::clone(&path));
        let number = self.list.len() as u32;
        self.index.insert(path, number);
        u64::from(number)
    }

    /// From now on.
    pub(super) fn take_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    fn path(&self, number: u64) -> Option<&str> {
        self.list.get(usize::try_from(number).ok()?.checked_sub(1)?).map(|path| &**path)
    }

    /// Packs a record; `scratch` saves an allocation.
    pub(super) fn pack(
        &mut self,
        raw: &crate::event::RawRecord<'_>,
        time: Timestamp,
        part: u32,
        scratch: &mut Vec<u8>,
    ) -> Packed {
        scratch.clear();
        put(scratch, self.number(raw.path));
        put_head(scratch, raw, time, part);
        scratch.extend_from_slice(raw.bytes);
        self.squeeze(scratch)
    }

    fn squeeze(&mut self, record: &[u8]) -> Packed {
        let mut encoded = std::mem::take(&mut self.scratch);
        encoded.clear();
        match self.effort {
            Effort::Plain => Squeezer::plain(record, &mut encoded),
            Effort::Squeeze => self.squeezer.encode(record, &mut encoded),
        }
        let packed = encoded.as_slice().into();
        self.scratch = encoded;
        packed
    }

    /// The record again.
    pub(super) fn unpack(&self, packed: &[u8]) -> Option<Evidence> {
        let record = self.squeezer.decode(packed)?;
        let mut bytes = record.as_slice();
        let path = self.path(take(&mut bytes)?);
        take_head(bytes, path)
    }

    /// The record with its path in full, for storage.
    pub(super) fn export(&self, packed: &[u8], out: &mut Vec<u8>) {
        let record = self.squeezer.decode(packed).unwrap_or_default();
        let mut bytes = record.as_slice();
        let path = take(&mut bytes).and_then(|number| self.path(number)).unwrap_or_default();
        put(out, path.len() as u64);
        out.extend_from_slice(path.as_bytes());
        put(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }

    /// Reads what [`Self::export`] wrote.
    pub(super) fn import(&mut self, bytes: &mut &[u8]) -> Option<Packed> {
        let path = std::str::from_utf8(take_bytes(bytes)?).ok()?;
        let rest = take_bytes(bytes)?;
        let mut packed = Vec::with_capacity(rest.len() + 3);
        put(&mut packed, self.number((!path.is_empty()).then_some(path)));
        packed.extend_from_slice(rest);
        take_head(rest, None)?;
        Some(self.squeeze(&packed))
    }
}

fn put_head(out: &mut Vec<u8>, raw: &crate::event::RawRecord<'_>, time: Timestamp, part: u32) {
    out.extend_from_slice(&raw.stream.0.to_le_bytes());
    put(out, u64::from(raw.source.0));
    put(out, raw.offset);
    put_signed(out, time.nanos());
    put_signed(out, raw.received.since(time));
    put(out, u64::from(part));
    // Usually the same, so that one byte is enough.
    put_signed(out, (raw.full_length as i64).wrapping_sub(raw.bytes.len() as i64));
    out.push(raw.flags.bits());
}

fn take_head(mut bytes: &[u8], path: Option<&str>) -> Option<Evidence> {
    let (stream, rest) = bytes.split_first_chunk::<8>()?;
    bytes = rest;
    let source = SourceId(u16::try_from(take(&mut bytes)?).ok()?);
    let offset = take(&mut bytes)?;
    let time = Timestamp::from_nanos(take_signed(&mut bytes)?);
    let received = time.plus(take_signed(&mut bytes)?);
    let part = u32::try_from(take(&mut bytes)?).ok()?;
    let longer = take_signed(&mut bytes)?;
    let (flags, rest) = bytes.split_first()?;
    Some(Evidence {
        source,
        stream: StreamId(u64::from_le_bytes(*stream)),
        path: path.map(Into::into),
        offset,
        received,
        time,
        part,
        bytes: rest.into(),
        full_length: (rest.len() as i64).wrapping_add(longer) as u64,
        flags: RecordFlags::from_bits(*flags),
    })
}

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number from the front.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Appends a signed number.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number << 1 ^ number >> 63) as u64);
}

/// Takes a signed number from the front.
pub(super) fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    take(bytes).map(|coded| (coded >> 1) as i64 ^ -((coded & 1) as i64))
}

/// Takes bytes with their length in front.
pub(super) fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RawRecord;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, u64::MAX, i64::MAX as u64] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            put_signed(&mut bytes, number as i64);
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest), Some(number));
            assert_eq!(take_signed(&mut rest), Some(number as i64));
            assert!(rest.is_empty());
        }
        assert_eq!(take(&mut [0x80_u8; 20].as_slice()), None);
    }

    #[test]
    fn a_record_comes_back_from_memory_and_from_storage() {
        let raw = RawRecord {
            source: SourceId(7),
            stream: StreamId(u64::MAX),
            path: Some("/var/log/auth.log"),
            offset: 123_456,
            received: Timestamp::from_seconds(1_000),
            bytes: b"one \xff line",
            full_length: 99_999,
            flags: RecordFlags::TRUNCATED,
        };
        let time = Timestamp::from_seconds(2_000);
        let wanted = raw.to_evidence(time, 3);
        let mut paths = Paths::default();
        paths.take_effort(Effort::Squeeze);
        let packed = paths.pack(&raw, time, 3, &mut Vec::new());
        assert_eq!(paths.unpack(&packed), Some(wanted.clone()));
        let mut stored = Vec::new();
        paths.export(&packed, &mut stored);
        let mut other = Paths::default();
        let mut rest = stored.as_slice();
        let again = other.import(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!(other.unpack(&again), Some(wanted));
        for cut in 0..stored.len() {
            assert_eq!(other.import(&mut &stored[..cut]), None, "{cut}");
        }
    }
}

//! Records kept as evidence, made small: log lines of one host resemble each other, so that each
//! is told as copies out of a few lines seen before, and what is new.
//!
//! A dictionary never changes once it is used. An encoded record is the number of its dictionary
//! (0 for none), then runs: `length << 1` and the bytes, or `length << 1 | 1` and the position in
//! the dictionary (the scheme of LZ77 with a fixed window).

use super::packed::{put, take};

/// Length of a dictionary, in bytes.
const DICTIONARY_BYTES: usize = 2_048;
/// Most dictionaries; records that resemble none of them are kept as they are.
pub(super) const DICTIONARIES_MAX: usize = 8;
/// Shortest copy.
const COPY_MIN: usize = 4;
/// Positions by hash of the bytes there, in bits.
const TABLE_BITS: u32 = 12;

#[derive(Debug)]
struct Dictionary {
    bytes: Box<[u8]>,
    /// Position after the one where bytes of this hash stand; 0 for none.
    table: Box<[u16]>,
}

/// The dictionaries, and the one that is being filled.
#[derive(Debug, Default)]
pub(super) struct Squeezer {
    dictionaries: Vec<Dictionary>,
    filling: Vec<u8>,
    /// The one that served last.
    last: usize,
}

impl Squeezer {
    /// Appends the record as it is, in the encoding of one.
    pub(super) fn plain(record: &[u8], out: &mut Vec<u8>) {
        put(out, 0);
        out.extend_from_slice(record);
    }

    /// Appends the encoded record.
    pub(super) fn encode(&mut self, record: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let good = record.len() * 2 / 3;
        let others = (0..self.dictionaries.len()).filter(|number| *number != self.last);
        for number in std::iter::once(self.last).chain(others) {
            let Some(dictionary) = self.dictionaries.get(number) else { continue };
            put(out, number as u64 + 1);
            dictionary.encode(record, out);
            if out.len() - start <= good {
                self.last = number;
                return;
            }
            out.truncate(start);
        }
        Self::plain(record, out);
        self.fill(record);
    }

    /// The record again.
    pub(super) fn decode(&self, mut bytes: &[u8]) -> Option<Vec<u8>> {
        let Some(number) = take(&mut bytes)?.checked_sub(1) else { return Some(bytes.to_vec()) };
        let dictionary = self.dictionaries.get(usize::try_from(number).ok()?)?;
        let mut record = Vec::with_capacity(bytes.len() * 3);
        while !bytes.is_empty() {
            let run = take(&mut bytes)?;
            let length = usize::try_from(run >> 1).ok()?;
            if run & 1 == 1 {
                let from = usize::try_from(take(&mut bytes)?).ok()?;
                record.extend_from_slice(dictionary.bytes.get(from..from.checked_add(length)?)?);
            } else {
                let (fresh, rest) = bytes.split_at_checked(length)?;
                record.extend_from_slice(fresh);
                bytes = rest;
            }
        }
        Some(record)
    }

    fn fill(&mut self, record: &[u8]) {
        if self.dictionaries.len() >= DICTIONARIES_MAX {
            return;
        }
        let room = DICTIONARY_BYTES - self.filling.len();
        self.filling.extend(record.iter().take(room));
        if self.filling.len() == DICTIONARY_BYTES {
            let filled = std::mem::take(&mut self.filling);
            self.last = self.dictionaries.len();
            self.dictionaries.push(Dictionary::new(filled));
        }
    }
}

impl Dictionary {
    fn new(bytes: Vec<u8>) -> Self {
        let mut table = vec![0; 1 << TABLE_BITS].into_boxed_slice();
        for (at, window) in bytes.windows(COPY_MIN).enumerate() {
            let Some(window) = window.first_chunk() else { continue };
            if let Some(slot) = table.get_mut(hash(*window)) {
                *slot = at as u16 + 1;
            }
        }
        Self { bytes: bytes.into(), table }
    }

    fn encode(&self, record: &[u8], out: &mut Vec<u8>) {
        let (mut at, mut fresh) = (0, 0);
        while let Some((rest, window)) = rest(record, at) {
            let (from, length) = self.longest(window, rest);
            if length < COPY_MIN {
                at += 1;
                continue;
            }
            literal(record.get(fresh..at), out);
            put(out, (length as u64) << 1 | 1);
            put(out, from as u64);
            at += length;
            fresh = at;
        }
        literal(record.get(fresh..), out);
    }

    /// Where the rest of a record begins in the dictionary, and how far it goes on.
    fn longest(&self, window: [u8; COPY_MIN], rest: &[u8]) -> (usize, usize) {
        let slot = self.table.get(hash(window)).copied().unwrap_or_default();
        let Some(from) = usize::from(slot).checked_sub(1) else { return (0, 0) };
        let there = self.bytes.get(from..).unwrap_or_default();
        let same = there.iter().zip(rest).take_while(|(left, right)| left == right).count();
        (from, same)
    }
}

/// What of a record is left, and its first bytes; `None` when too little is.
fn rest(record: &[u8], at: usize) -> Option<(&[u8], [u8; COPY_MIN])> {
    let rest = record.get(at..)?;
    Some((rest, *rest.first_chunk()?))
}

fn literal(fresh: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(fresh) = fresh.filter(|fresh| !fresh.is_empty()) {
        put(out, (fresh.len() as u64) << 1);
        out.extend_from_slice(fresh);
    }
}

fn hash(window: [u8; COPY_MIN]) -> usize {
    (u32::from_le_bytes(window).wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Vec<u8> {
        format!(
            "Nov 20 00:{:02}:{:02} pos-001 sshd[{}]: Failed password for invalid user user{} from 23.45.{}.{} port {} ssh2",
            number / 60 % 60, number % 60, 1_000 + number * 7, number % 9, number % 250, number * 3 % 250, 20_000 + number
        )
        .into_bytes()
    }

    #[test]
    fn every_record_comes_back_and_those_alike_are_small() {
        let mut squeezer = Squeezer::default();
        let mut kept = Vec::new();
        for number in 0..2_000 {
            let mut record = line(number);
            if number % 50 == 0 {
                record = (0..number).map(|at| (at * at * 31 / 7) as u8).collect();
            }
            let mut out = Vec::new();
            squeezer.encode(&record, &mut out);
            kept.push((record, out));
        }
        for (record, encoded) in &kept {
            assert_eq!(squeezer.decode(encoded).as_ref(), Some(record));
        }
        let (mut before, mut after) = (0, 0);
        for (record, encoded) in
            kept.iter().skip(100).filter(|(record, _)| record.starts_with(b"Nov"))
        {
            before += record.len();
            after += encoded.len();
        }
        assert!(after * 2 < before, "{after} of {before}");
        assert!(squeezer.dictionaries.len() <= DICTIONARIES_MAX);
    }
}

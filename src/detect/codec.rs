//! Windows as bytes, for the store.
//!
//! Version 1: newest time, entries (time as difference to the one before), episodes. All numbers
//! as in [`super::packed`].

use super::RestoreError;
use super::measure::Entry;
use super::packed::{Paths, put, put_signed, take, take_signed};
use super::window::{ENTRIES_MAX, Episode, Part, Window};
use crate::rule::INPUTS_MAX;
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// Encodes a window.
pub(super) fn encode(window: &Window, paths: &Paths) -> Box<[u8]> {
    let mut out = vec![VERSION];
    put_signed(&mut out, window.newest);
    put(&mut out, window.entries.len() as u64);
    let mut before = window.newest;
    for entry in &window.entries {
        put_signed(&mut out, entry.time.wrapping_sub(before));
        before = entry.time;
        out.extend_from_slice(&entry.tag.to_le_bytes());
        put(&mut out, u64::from(entry.weight));
        out.extend_from_slice(&[entry.input, entry.kind, u8::from(entry.evidence.is_some())]);
        if let Some(evidence) = &entry.evidence {
            paths.export(evidence, &mut out);
        }
    }
    put(&mut out, window.episodes().len() as u64);
    for episode in window.episodes() {
        let Episode { id, first, last, count, ended, parts } = episode;
        out.extend_from_slice(&id.to_le_bytes());
        put_signed(&mut out, *first);
        put_signed(&mut out, *last);
        put(&mut out, *count);
        out.push(u8::from(*ended));
        put(&mut out, parts.len() as u64);
        for (tag, part) in parts {
            out.extend_from_slice(&tag.to_le_bytes());
            put_signed(&mut out, part.last);
            part.sums.iter().for_each(|sum| put(&mut out, u64::from(*sum)));
        }
    }
    out.into()
}

/// Decodes what [`encode`] made.
pub(super) fn decode(bytes: &[u8], paths: &mut Paths) -> Result<Window, RestoreError> {
    let (version, mut rest) = bytes.split_first().ok_or(RestoreError { why: "it is empty" })?;
    if *version != VERSION {
        return Err(RestoreError { why: "it was written by another version" });
    }
    let window = window(&mut rest, paths).ok_or(RestoreError { why: "it is cut or garbled" })?;
    if rest.is_empty() { Ok(window) } else { Err(RestoreError { why: "something follows it" }) }
}

fn window(rest: &mut &[u8], paths: &mut Paths) -> Option<Window> {
    let newest = take_signed(rest)?;
    let mut before = newest;
    let entries = list(rest, |rest| {
        before = before.wrapping_add(take_signed(rest)?);
        let tag = fixed(rest)?;
        let weight = u32::try_from(take(rest)?).ok()?;
        let [input, kind, kept] = *chunk::<3>(rest)?;
        let evidence = if kept == 1 { Some(paths.import(rest)?) } else { None };
        Some(Entry { time: before, tag, evidence, weight, input, kind })
    })?;
    let known = |entry: &Entry| usize::from(entry.input) < INPUTS_MAX;
    if !entries.is_sorted_by_key(|entry| entry.time) || !entries.iter().all(known) {
        return None;
    }
    let episodes = list(rest, |rest| {
        let id = fixed(rest)?;
        let (first, last) = (take_signed(rest)?, take_signed(rest)?);
        let count = take(rest)?;
        let [ended] = *chunk::<1>(rest)?;
        let parts = list(rest, |rest| {
            let tag = fixed(rest)?;
            let mut part = Part { last: take_signed(rest)?, ..Part::default() };
            for sum in &mut part.sums {
                *sum = u32::try_from(take(rest)?).ok()?;
            }
            Some((tag, part))
        })?;
        let parts: BTreeMap<u64, Part> = parts.into_iter().collect();
        Some(Episode { id, first, last, count, ended: ended == 1, parts })
    })?;
    Some(Window::saved(newest, entries, episodes))
}

fn list<'b, T>(
    rest: &mut &'b [u8],
    mut item: impl FnMut(&mut &'b [u8]) -> Option<T>,
) -> Option<Vec<T>> {
    let count = usize::try_from(take(rest)?).ok()?;
    if count > ENTRIES_MAX + 1 {
        return None;
    }
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(rest)?);
    }
    Some(items)
}

fn fixed(rest: &mut &[u8]) -> Option<u64> {
    chunk::<8>(rest).map(|bytes| u64::from_le_bytes(*bytes))
}

fn chunk<'b, const N: usize>(rest: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (chunk, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(chunk)
}

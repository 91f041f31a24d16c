//! Matching a pattern: one pass from left to right. Only a `rest` hole looks for its end more than
//! once, from the last place its literal stands to the first, a bounded number of times.

use super::fields::{Sink, Target};
use super::pattern::{Hole, Literal, Segment};
use std::net::IpAddr;

/// Ends that one `rest` hole tries before its case does not match.
pub(super) const REST_TRIES_MAX: usize = 32;

/// What follows the segments at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The match must reach the end of the text.
    End,
    /// Anything may follow.
    Open,
}

/// One text being matched.
pub(super) struct Run<'r, 'a> {
    pub(super) text: &'a str,
    pub(super) sink: &'r mut Sink<'a>,
    /// Which optional parts and alternatives matched.
    pub(super) bits: u64,
    tries: usize,
}

impl<'r, 'a> Run<'r, 'a> {
    pub(super) fn new(text: &'a str, sink: &'r mut Sink<'a>) -> Self {
        Self { text, sink, bits: 0, tries: 0 }
    }

    /// Whether the segments match from a place to the end; the fields are then in the sink.
    pub(super) fn whole(&mut self, segments: &[Segment], at: usize) -> bool {
        (self.bits, self.tries) = (0, 0);
        self.run(segments, at, Goal::End).is_some()
    }

    /// Where the match ends.
    pub(super) fn run(&mut self, segments: &[Segment], at: usize, goal: Goal) -> Option<usize> {
        let mut at = at;
        let mut left = segments;
        while let Some((segment, after)) = left.split_first() {
            left = after;
            at = match segment {
                Segment::Text(literal) => self.literal(&literal.text, at)?,
                Segment::Hole(hole, target) => self.hole(*hole, *target, at)?,
                Segment::Until(stop, target) => self.until(stop, *target, at)?,
                Segment::Rest(target) => return self.rest(*target, after, at, goal),
                Segment::Pairs(map) => self.pairs(map, at),
                Segment::Optional { bit, body } => self.optional(*bit, body, at),
                Segment::Choice { first, texts } => self.choice(*first, texts, at)?,
            };
        }
        (goal == Goal::Open || at == self.text.len()).then_some(at)
    }

    fn literal(&self, text: &str, at: usize) -> Option<usize> {
        let rest = self.text.as_bytes().get(at..)?;
        rest.starts_with(text.as_bytes()).then_some(at + text.len())
    }

    fn optional(&mut self, bit: u8, body: &[Segment], at: usize) -> usize {
        let (mark, bits) = (self.sink.mark(), self.bits);
        if let Some(end) = self.run(body, at, Goal::Open) {
            self.bits |= 1 << bit;
            return end;
        }
        self.sink.back_to(mark);
        self.bits = bits;
        at
    }

    fn choice(&mut self, first: u8, texts: &[Box<str>], at: usize) -> Option<usize> {
        texts.iter().enumerate().find_map(|(number, text)| {
            let end = self.literal(text, at)?;
            self.bits |= 1 << (usize::from(first) + number);
            Some(end)
        })
    }

    fn hole(&mut self, hole: Hole, target: Target, at: usize) -> Option<usize> {
        let rest = self.text.as_bytes().get(at..)?;
        let count = |wanted: fn(&u8) -> bool| rest.iter().take_while(|byte| wanted(byte)).count();
        let length = match hole {
            Hole::Blanks => return Some(at + count(|byte| matches!(byte, b' ' | b'\t'))),
            Hole::Quoted => return self.quoted(target, at),
            Hole::Word(stop) => {
                let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n') || Some(*byte) == stop;
                rest.iter().position(ends).unwrap_or(rest.len())
            }
            Hole::Int => {
                let sign = usize::from(rest.first() == Some(&b'-'));
                let digits = rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit());
                match digits.count() {
                    0 => return None,
                    digits => sign + digits,
                }
            }
            Hole::Port => count(u8::is_ascii_digit),
            Hole::Ip => self.ip(at)?,
        };
        let text = self.text.get(at..at + length).filter(|text| !text.is_empty())?;
        if hole == Hole::Port {
            text.parse::<u16>().ok()?;
        }
        if hole == Hole::Int {
            text.parse::<i64>().ok()?;
        }
        self.sink.put(target, text);
        Some(at + length)
    }

    /// The length of the address at a place; behind it may stand `:port`.
    fn ip(&self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let wide = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '%');
        let mut text = rest.get(..rest.find(|c| !wide(c)).unwrap_or(rest.len()))?;
        for _ in 0..2 {
            if text.parse::<IpAddr>().is_ok() {
                return Some(text.len());
            }
            text = text.rsplit_once([':', '.'])?.0;
        }
        None
    }

    fn quoted(&mut self, target: Target, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let inside = rest.get(1..)?;
        let end = inside.find(quote)?;
        self.sink.put(target, inside.get(..end)?);
        Some(at + end + 2)
    }

    fn until(&mut self, stop: &Literal, target: Target, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let length = stop.find(rest.as_bytes()).unwrap_or(rest.len());
        self.sink.put(target, rest.get(..length)?);
        Some(at + length)
    }

    /// Ends the hole before the last literal behind which everything else matches.
    fn rest(&mut self, target: Target, after: &[Segment], at: usize, goal: Goal) -> Option<usize> {
        let mark = self.sink.mark();
        let mut after = after;
        loop {
            let literal = match after.first() {
                None => {
                    self.sink.put(target, self.text.get(at..)?);
                    return Some(self.text.len());
                }
                Some(Segment::Text(literal)) => literal,
                Some(Segment::Optional { body, .. }) => match body.first() {
                    Some(Segment::Text(literal)) => literal,
                    _ => return None,
                },
                Some(_) => return None,
            };
            let mut end = self.text.len();
            while let Some(found) = self.last(literal, at, end) {
                self.tries += 1;
                if self.tries > REST_TRIES_MAX {
                    return None;
                }
                self.sink.put(target, self.text.get(at..found)?);
                if let Some(done) = self.run(after, found, goal) {
                    return Some(done);
                }
                self.sink.back_to(mark);
                end = (found + literal.text.len()).saturating_sub(1);
            }
            match after.split_first() {
                Some((Segment::Optional { .. }, behind)) => after = behind,
                _ => return None,
            }
        }
    }

    fn last(&self, literal: &Literal, from: usize, to: usize) -> Option<usize> {
        let bytes = self.text.as_bytes().get(from..to)?;
        literal.rfind(bytes).map(|found| from + found)
    }

    /// `key=value` pairs, a value in double quotes if it holds blanks.
    fn pairs(&mut self, map: &[(Box<str>, Target)], at: usize) -> usize {
        let mut rest = self.text.get(at..).unwrap_or_default();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',', ';']);
            let Some(split) = rest.find(['=', ' ']) else { return self.text.len() };
            let key = rest.get(..split).unwrap_or_default();
            rest = rest.get(split..).unwrap_or_default();
            let Some(behind) = rest.strip_prefix('=') else { continue };
            let (value, left) = match behind.strip_prefix('"').and_then(|text| text.split_once('"'))
            {
                Some(quoted) => quoted,
                None => behind.split_at(behind.find([' ', '\t']).unwrap_or(behind.len())),
            };
            rest = left;
            if let Some((_, target)) = map.iter().find(|(name, _)| **name == *key) {
                self.sink.put(*target, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;

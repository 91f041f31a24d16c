//! Patterns of the parser language: literals with typed holes, read once when a parser loads.
//!
//! `docs/parsers.md` describes the language for those who write parsers.

use super::fields::{Binder, Complaint, Target};

/// Optional parts and alternatives that a pattern may have; each takes one bit when it matched.
pub(super) const BITS_MAX: usize = 64;
/// Characters of a pattern.
pub(super) const PATTERN_MAX: usize = 4_096;
/// How deep optional parts may stand in each other.
const NESTED_MAX: usize = 4;

/// A literal, ready to be searched from both ends by the byte of it that logs have least often.
#[derive(Debug)]
pub(super) struct Literal {
    pub(super) text: Box<str>,
    /// Where the rare byte stands.
    offset: usize,
    rare: u8,
}

impl Literal {
    fn new(text: &str) -> Self {
        let bytes = text.bytes().enumerate();
        let (offset, rare) = bytes.min_by_key(|(_, byte)| frequency(*byte)).unwrap_or((0, 0));
        Self { text: text.into(), offset, rare }
    }

    /// Where it stands first.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        let fits = |at: usize| at.checked_sub(self.offset).filter(|start| self.at(bytes, *start));
        memchr::memchr_iter(self.rare, bytes).find_map(fits)
    }

    /// Where it stands last.
    pub(super) fn rfind(&self, bytes: &[u8]) -> Option<usize> {
        let fits = |at: usize| at.checked_sub(self.offset).filter(|start| self.at(bytes, *start));
        memchr::memrchr_iter(self.rare, bytes).find_map(fits)
    }

    fn at(&self, bytes: &[u8], start: usize) -> bool {
        bytes.get(start..).is_some_and(|bytes| bytes.starts_with(self.text.as_bytes()))
    }
}

/// How common a byte is in logs, roughly: a wrong guess only costs time.
fn frequency(byte: u8) -> u8 {
    match byte {
        b' ' => 9,
        b'e' | b't' | b'a' | b'i' | b'o' | b'n' | b's' | b'r' => 7,
        b'0'..=b'9' | b'.' | b':' => 6,
        b'd' | b'l' | b'u' | b'c' | b'h' | b'm' | b'p' => 5,
        b'a'..=b'z' => 4,
        b'A'..=b'Z' => 3,
        _ => 2,
    }
}

/// What a hole takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hole {
    /// To the next blank, or to the byte that begins the literal behind the hole.
    Word(Option<u8>),
    /// Digits, also with a sign.
    Int,
    /// 0 to 65535.
    Port,
    /// An IPv4 or IPv6 address.
    Ip,
    /// Inside `"` or `'`.
    Quoted,
    /// Any number of blanks, also none.
    Blanks,
}

/// One step of a pattern.
#[derive(Debug)]
pub(super) enum Segment {
    /// This text.
    Text(Literal),
    /// A typed value.
    Hole(Hole, Target),
    /// The shortest text before a literal, or before the end where the literal is missing.
    Until(Literal, Target),
    /// The longest text such that all that follows still matches.
    Rest(Target),
    /// `key=value` pairs to the end.
    Pairs(Vec<(Box<str>, Target)>),
    /// Taken if it matches.
    Optional { bit: u8, body: Vec<Segment> },
    /// The first of these texts that matches; each has its own bit.
    Choice { first: u8, texts: Vec<Box<str>> },
}

/// A compiled pattern.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    pub(super) segments: Vec<Segment>,
    /// The literal text of each optional part and alternative, by its bit.
    pub(super) bits: Vec<String>,
}

/// A pattern as written, before names are looked up.
#[derive(Debug)]
enum Piece {
    Text(String),
    Hole { name: String, kind: String, argument: Option<String> },
    Optional(Vec<Piece>),
    Choice(Vec<String>),
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn compile(text: &str, binder: &mut Binder<'_>) -> Result<Self, Complaint> {
        if text.len() > PATTERN_MAX {
            return Err(Complaint::new("the pattern is too long", "split it into several cases"));
        }
        let mut reader = Reader { text, at: 0 };
        let pieces = reader.pieces(0)?;
        if reader.at < text.len() {
            return Err(Complaint::new(
                "a `]` closes nothing",
                "write `\\]` for the bracket itself",
            ));
        }
        let mut pattern = Self::default();
        pattern.segments = bind(&pieces, binder, &mut pattern.bits)?;
        if matches!(pattern.segments.first(), Some(Segment::Rest(_))) {
            return Err(Complaint::new(
                "a pattern cannot start with a `rest` hole: it would match every line",
                "start with the literal text that tells this case from others",
            ));
        }
        if pattern.bits.len() > BITS_MAX {
            return Err(Complaint::new(
                "too many optional parts and alternatives",
                "split the pattern into several cases",
            ));
        }
        Ok(pattern)
    }

    /// The text every match begins with.
    pub(super) fn head(&self) -> &str {
        match self.segments.first() {
            Some(Segment::Text(literal)) => &literal.text,
            _ => "",
        }
    }

    /// Whether it matches everything that begins with its head.
    pub(super) fn takes_all(&self) -> bool {
        matches!(
            self.segments.as_slice(),
            [Segment::Text(_), Segment::Rest(_)] | [Segment::Rest(_)]
        )
    }

    /// Whether it is a literal and nothing else.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.segments.as_slice(), [Segment::Text(_)])
    }

    /// The bytes a match can begin with; `None` for any.
    pub(super) fn first_bytes(&self) -> Option<Vec<u8>> {
        first_bytes(&self.segments)
    }
}

fn first_bytes(segments: &[Segment]) -> Option<Vec<u8>> {
    let (first, rest) = segments.split_first()?;
    match first {
        Segment::Text(literal) => Some(vec![*literal.text.as_bytes().first()?]),
        Segment::Choice { texts, .. } => {
            texts.iter().map(|text| text.as_bytes().first().copied()).collect()
        }
        Segment::Optional { body, .. } => {
            let mut bytes = first_bytes(body)?;
            bytes.extend(first_bytes(rest)?);
            Some(bytes)
        }
        Segment::Hole(Hole::Quoted, _) => Some(vec![b'"', b'\'']),
        Segment::Hole(..) | Segment::Until(..) | Segment::Rest(_) | Segment::Pairs(_) => None,
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Reads up to the end or to the `]` of the optional part it is in.
    fn pieces(&mut self, depth: usize) -> Result<Vec<Piece>, Complaint> {
        if depth > NESTED_MAX {
            return Err(Complaint::new("optional parts stand too deep in each other", ""));
        }
        let mut pieces = Vec::new();
        let mut text = String::new();
        while let Some(next) = self.rest().chars().next() {
            let choice = if next == '(' { self.choice() } else { None };
            if !text.is_empty() && (matches!(next, '{' | '[' | ']') || choice.is_some()) {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            if let Some((texts, length)) = choice {
                pieces.push(Piece::Choice(texts));
                self.at += length;
                continue;
            }
            match next {
                ']' => return Ok(pieces),
                '{' => pieces.push(self.hole()?),
                '[' => {
                    self.at += 1;
                    let body = self.pieces(depth + 1)?;
                    if !self.rest().starts_with(']') {
                        return Err(Complaint::new(
                            "an optional part `[` is not closed",
                            "write `\\[` for the bracket itself",
                        ));
                    }
                    self.at += 1;
                    pieces.push(Piece::Optional(body));
                }
                '\\' => {
                    let escaped = self.rest().chars().nth(1).ok_or_else(|| {
                        Complaint::new("the pattern ends with a lone `\\`", "write `\\\\`")
                    })?;
                    text.push(escaped);
                    self.at += 1 + escaped.len_utf8();
                }
                other => {
                    text.push(other);
                    self.at += other.len_utf8();
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(pieces)
    }

    /// `(a|b)` with plain texts; parentheses without `|` are only themselves.
    fn choice(&self) -> Option<(Vec<String>, usize)> {
        let end = self.rest().find(')')?;
        let inside = self.rest().get(1..end)?;
        let plain = !inside.contains(['{', '[', '(', '\\']);
        (plain && inside.contains('|'))
            .then(|| (inside.split('|').map(str::to_owned).collect(), end + 1))
    }

    fn hole(&mut self) -> Result<Piece, Complaint> {
        let unclosed = || Complaint::new("a hole `{` is not closed", "write `{field:type}`");
        let end = self.rest().find('}').ok_or_else(unclosed)?;
        let inside = self.rest().get(1..end).ok_or_else(unclosed)?.to_owned();
        self.at += end + 1;
        let Some((name, kind)) = inside.split_once(':') else {
            let hint = "write `{field:type}`, for example `{user.name:word}`";
            return Err(Complaint::new(format!("the hole `{{{inside}}}` has no type"), hint));
        };
        let (kind, argument) = match kind.split_once('(') {
            Some((kind, argument)) => match argument.strip_suffix(')') {
                Some(argument) => (kind, Some(argument.to_owned())),
                None => return Err(Complaint::new(format!("`{inside}` lacks a `)`"), "")),
            },
            None => (kind, None),
        };
        Ok(Piece::Hole { name: name.to_owned(), kind: kind.to_owned(), argument })
    }
}

fn bind(
    pieces: &[Piece],
    binder: &mut Binder<'_>,
    bits: &mut Vec<String>,
) -> Result<Vec<Segment>, Complaint> {
    let mut segments = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        let next = pieces.get(at + 1);
        segments.push(match piece {
            Piece::Text(text) => Segment::Text(Literal::new(text)),
            Piece::Choice(texts) => {
                let first = bits.len() as u8;
                bits.extend(texts.iter().cloned());
                Segment::Choice { first, texts: texts.iter().map(|text| (**text).into()).collect() }
            }
            Piece::Optional(body) => {
                let greedy =
                    matches!(body.last(), Some(Piece::Hole { kind, .. }) if kind == "rest");
                if greedy && next.is_some() {
                    let hint = "write two cases, one with the part and one without";
                    let message = "a `rest` ends an optional part, but more follows the part";
                    return Err(Complaint::new(message, hint));
                }
                let bit = bits.len() as u8;
                bits.push(match body.first() {
                    Some(Piece::Text(text)) => text.clone(),
                    _ => String::new(),
                });
                Segment::Optional { bit, body: bind(body, binder, bits)? }
            }
            Piece::Hole { name, kind, argument } => {
                bind_hole(name, kind, argument.as_deref(), next, binder)?
            }
        });
    }
    Ok(segments)
}

const HOLES: &[&str] =
    &["word", "host", "int", "ip", "port", "quoted", "blanks", "kv", "until(…)", "rest"];

fn bind_hole(
    name: &str,
    kind: &str,
    argument: Option<&str>,
    next: Option<&Piece>,
    binder: &mut Binder<'_>,
) -> Result<Segment, Complaint> {
    let stop = match next {
        Some(Piece::Text(text)) => text.as_bytes().first().copied().filter(|byte| *byte != b' '),
        _ => None,
    };
    if argument.is_some() != (kind == "until") {
        let hint = "only `until` takes an argument, the literal it stops before: `until(:)`";
        return Err(Complaint::new(format!("`{kind}` in `{{{name}:{kind}}}`"), hint));
    }
    let hole = match kind {
        "word" | "host" => Hole::Word(stop),
        "int" => Hole::Int,
        "port" => Hole::Port,
        "ip" => Hole::Ip,
        "quoted" => Hole::Quoted,
        "blanks" => Hole::Blanks,
        "kv" if next.is_none() => return Ok(Segment::Pairs(binder.pairs(name)?)),
        "kv" => return Err(Complaint::new("a `kv` hole must end the pattern", "")),
        "rest" => return bind_rest(binder.target(name, kind)?, next),
        "until" => {
            let stop = argument.filter(|stop| !stop.is_empty()).ok_or_else(|| {
                Complaint::new("`until()` has no literal to stop before", "write `until(:)`")
            })?;
            return Ok(Segment::Until(Literal::new(stop), binder.target(name, kind)?));
        }
        other => {
            let hint = format!("known: {}", HOLES.join(", "));
            return Err(Complaint::new(format!("unknown hole type `{other}`"), hint));
        }
    };
    Ok(Segment::Hole(hole, binder.target(name, kind)?))
}

/// What follows a `rest` must say where it ends.
fn bind_rest(target: Target, next: Option<&Piece>) -> Result<Segment, Complaint> {
    let anchored = match next {
        None | Some(Piece::Text(_)) => true,
        Some(Piece::Optional(body)) => matches!(body.first(), Some(Piece::Text(_))),
        Some(Piece::Hole { .. } | Piece::Choice(_)) => false,
    };
    if anchored {
        return Ok(Segment::Rest(target));
    }
    let hint = "put a literal behind it, or use `word` or `until(…)`";
    Err(Complaint::new("a `rest` hole must be followed by a literal or end the pattern", hint))
}

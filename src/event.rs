//! The nouns of the data's way: [`RawRecord`] → [`Record`] → [`Event`].
//!
//! All three borrow: text is a slice of the batch's buffer or of the step's arena, a field name is
//! an interned [`FieldId`]. Nothing of them outlives a step; what matched a rule is kept as
//! [`Evidence`] (the raw record), from which the same event is made again.

mod field;
mod flat;
mod time;
mod value;

pub use field::{FIELDS_MAX, FieldId, FieldTable, FieldType, Key, SCHEMA, SchemaField, ecs};
pub use flat::FlatEvent;
pub use time::{Civil, Timestamp};
pub use value::Value;

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;
use std::fmt;

/// A configured source, numbered in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SourceId(pub u16);

/// One stream of a source whose offsets are comparable: a file, a journal, a table.
///
/// The number is derived from what identifies the stream (for a file: device, inode and the bytes
/// of its head), never from its path, so that it is the same after a rename and after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StreamId(pub u64);

/// What a source noticed about a record while reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordFlags(u8);

impl RecordFlags {
    /// Nothing noticed.
    pub const NONE: Self = Self(0);
    /// The line was longer than the limit; its head is here, its length in `full_length`.
    pub const TRUNCATED: Self = Self(1);
    /// The stream ended for good without a line end.
    pub const UNTERMINATED: Self = Self(2);
    /// Made by the agent itself (for example `tail.gap`): the bytes are a flat ECS object.
    pub const SYNTHETIC: Self = Self(4);

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags as bits, for storage.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Flags from stored bits; unknown bits are kept.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// One record as a source read it: bytes without their line end, and where they stood.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// The source that read it.
    pub source: SourceId,
    /// The stream within the source.
    pub stream: StreamId,
    /// The path of the file, or another human name of the stream.
    pub path: Option<&'a str>,
    /// Offset of the first byte within the stream (or another sequence number of it).
    pub offset: u64,
    /// When the source read it; the reference for times without a year.
    pub received: Timestamp,
    /// The bytes, without `\n` or `\r\n`.
    pub bytes: &'a [u8],
    /// Length in the stream, which is larger than `bytes` when truncated.
    pub full_length: u64,
    /// What the source noticed.
    pub flags: RecordFlags,
}

impl RawRecord<'_> {
    /// A copy that owns its bytes.
    pub fn to_evidence(&self, time: Timestamp, part: u32) -> Evidence {
        Evidence {
            part,
            source: self.source,
            stream: self.stream,
            path: self.path.map(Into::into),
            offset: self.offset,
            received: self.received,
            time,
            bytes: self.bytes.into(),
            full_length: self.full_length,
            flags: self.flags,
        }
    }
}

/// A raw record that matched something, kept so that its event can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// See [`RawRecord::source`].
    pub source: SourceId,
    /// See [`RawRecord::stream`].
    pub stream: StreamId,
    /// See [`RawRecord::path`].
    pub path: Option<Box<str>>,
    /// See [`RawRecord::offset`].
    pub offset: u64,
    /// See [`RawRecord::received`].
    pub received: Timestamp,
    /// The event time, as it was first understood.
    pub time: Timestamp,
    /// Which event of the record it was.
    pub part: u32,
    /// See [`RawRecord::bytes`].
    pub bytes: Box<[u8]>,
    /// See [`RawRecord::full_length`].
    pub full_length: u64,
    /// See [`RawRecord::flags`].
    pub flags: RecordFlags,
}

impl Evidence {
    /// The record again.
    pub fn as_raw(&self) -> RawRecord<'_> {
        RawRecord {
            source: self.source,
            stream: self.stream,
            path: self.path.as_deref(),
            offset: self.offset,
            received: self.received,
            bytes: &self.bytes,
            full_length: self.full_length,
            flags: self.flags,
        }
    }
}

/// How parsing a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A case of a parser matched.
    Matched,
    /// The frame (header, JSON) was understood, but no case knew the message.
    Unmatched,
    /// The record is not of the format; the text says why.
    Failed(&'a str),
}

/// One try to log in, as told by one of the several lines that a single failure logs.
///
/// A count over events counts, per session, the largest number of one `kind` of evidence: three
/// lines about one failure are one failure, whichever of them a rule selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Hash of what identifies the session (host, program, process id).
    pub session: u64,
    /// Which kind of evidence this is, `0..ATTEMPT_KINDS`.
    pub kind: u8,
}

/// How many kinds of evidence for one attempt a parser may name.
pub const ATTEMPT_KINDS: usize = 8;

/// The fields of a record or event, in the order they were found; the first of a name wins.
pub type Fields<'a> = ArenaVec<'a, (Key<'a>, Value<'a>)>;

/// What parsing made of a raw record: typed fields, not yet checked or completed.
#[derive(Debug)]
pub struct Record<'a> {
    /// The event time, if the record names one.
    pub time: Option<Timestamp>,
    /// Fields by schema name.
    pub fields: Fields<'a>,
    /// The text after the header, trimmed.
    pub message: &'a str,
    /// The whole record as text (lossy where it is not UTF-8).
    pub original: &'a str,
    /// How it ended.
    pub parsed: Parsed<'a>,
    /// How many occurrences this record stands for (`message repeated N times`).
    pub repeat: u32,
    /// The login attempt it tells of.
    pub attempt: Option<Attempt>,
    /// Routing keys of the parser (Sigma's `logsource`), or of the record itself.
    pub logsource: LogSource<'a>,
}

impl<'a> Record<'a> {
    /// An empty record over `original`.
    pub fn new(arena: &'a Bump, original: &'a str) -> Self {
        Self {
            time: None,
            fields: ArenaVec::with_capacity_in(24, arena),
            message: original,
            original,
            parsed: Parsed::Matched,
            repeat: 1,
            attempt: None,
            logsource: LogSource::default(),
        }
    }

    /// Adds a field under a schema or interned name.
    pub fn set(&mut self, id: FieldId, value: Value<'a>) {
        self.fields.push((Key::Id(id), value));
    }

    /// The first value of a field.
    pub fn get(&self, id: FieldId) -> Option<Value<'a>> {
        find(&self.fields, id)
    }
}

/// Sigma's routing keys; an absent key matches no rule that names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LogSource<'a> {
    /// For example `linux`.
    pub product: Option<&'a str>,
    /// For example `process_creation`.
    pub category: Option<&'a str>,
    /// For example `sshd`.
    pub service: Option<&'a str>,
}

/// A normalized event: every field has its schema name and type, the time is settled.
#[derive(Debug)]
pub struct Event<'a> {
    /// Which event of its record it is, from 0.
    pub part: u32,
    /// The stable id: derived from stream and offset, or given by the record itself.
    pub id: EventId<'a>,
    /// When it happened.
    pub time: Timestamp,
    /// Fields by schema name, the first of a name wins.
    pub fields: Fields<'a>,
    /// The text after the header.
    pub message: &'a str,
    /// The whole record as text, card numbers masked.
    pub original: &'a str,
    /// How parsing ended.
    pub parsed: Parsed<'a>,
    /// How many occurrences it stands for.
    pub repeat: u32,
    /// The login attempt it tells of.
    pub attempt: Option<Attempt>,
    /// Routing keys.
    pub logsource: LogSource<'a>,
}

impl<'a> Event<'a> {
    /// The first value of a field.
    pub fn get(&self, id: FieldId) -> Option<Value<'a>> {
        find(&self.fields, id)
    }
}

fn find<'a>(fields: &Fields<'a>, id: FieldId) -> Option<Value<'a>> {
    fields.iter().find(|(key, _)| *key == Key::Id(id)).map(|(_, value)| *value)
}

/// The id of an event; the same record always gets the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventId<'a> {
    /// Derived from where the record stood; `part` numbers the events of one record.
    Derived {
        /// The stream.
        stream: StreamId,
        /// Offset within the stream.
        offset: u64,
        /// Which event of the record.
        part: u32,
    },
    /// Named by the record itself (`event.id`, the `id` of an envelope).
    Given(&'a str),
}

impl fmt::Display for EventId<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Derived { stream, offset, part: 0 } => {
                write!(out, "{:016x}-{offset:x}", stream.0)
            }
            Self::Derived { stream, offset, part } => {
                write!(out, "{:016x}-{offset:x}.{part}", stream.0)
            }
            Self::Given(text) => out.write_str(text),
        }
    }
}

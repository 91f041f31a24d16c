//! Raw records to flat events, without rules: what `parse` shows and `--records` answers.

use super::formats::Formats;
use crate::event::{EventId, FlatEvent, Parsed, RawRecord};
use crate::normalize::{NormalizeCounts, normalize};
use crate::parse::{Format, ParseOptions};
use bumpalo::Bump;

/// Makes events of one format, one raw record after the other.
#[derive(Debug)]
pub(super) struct EventReader {
    formats: Formats,
    format: Format,
    arena: Bump,
    counts: NormalizeCounts,
}

/// How far parsing an event got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// A case of a parser matched.
    Matched,
    /// The header was understood, the message was not.
    Unmatched,
    /// It is not of the format.
    Failed,
}

impl EventReader {
    /// A reader of a format by name.
    pub(super) fn new(formats: Formats, name: &str) -> Result<Self, super::Failure> {
        let format = formats.find(name)?;
        Ok(Self { formats, format, arena: Bump::new(), counts: NormalizeCounts::default() })
    }

    /// Hands over every event of a record, with its message.
    pub(super) fn read<E>(
        &mut self,
        options: &ParseOptions,
        raw: &RawRecord<'_>,
        mut with: impl FnMut(FlatEvent, Fit, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.arena.reset();
        let Formats { names, parsers } = &self.formats;
        let records = parsers.parse(self.format, options, names, raw, &self.arena);
        for (part, record) in (0_u32..).zip(records) {
            let event = normalize(record, raw, part, names, &self.arena, &mut self.counts);
            let fit = match event.parsed {
                Parsed::Matched => Fit::Matched,
                Parsed::Unmatched => Fit::Unmatched,
                Parsed::Failed(_) => Fit::Failed,
            };
            with(FlatEvent::from_event(&event, names), fit, event.message)?;
        }
        Ok(())
    }
}

/// An event that says why a record could not even be read.
pub(super) fn failed(raw: &RawRecord<'_>, why: &str) -> FlatEvent {
    let id = EventId::Derived { stream: raw.stream, offset: raw.offset, part: 0 };
    let mut flat = FlatEvent::default();
    for (name, text) in [
        ("@timestamp", raw.received.to_string()),
        ("event.id", id.to_string()),
        ("event.kind", "pipeline_error".to_owned()),
        ("error.message", why.to_owned()),
        ("event.original", String::from_utf8_lossy(raw.bytes).into_owned()),
    ] {
        flat.0.insert(name.to_owned(), text.into());
    }
    flat
}

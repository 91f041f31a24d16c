//! Raw records to records: formats by name, parsers as YAML files, one call for a record.

use crate::diagnostic::{Diagnostic, SourceText};
use crate::event::{FieldTable, RawRecord, Record};
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

/// A format that a source may name: a built-in one or a parser file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format(u16);

/// What the configuration of a source says about its records.
#[derive(Debug, Clone)]
pub struct ParseOptions {
    /// The zone of times that name none.
    pub zone: jiff::tz::TimeZone,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self { zone: jiff::tz::TimeZone::UTC }
    }
}

/// Every format, ready to use.
#[derive(Debug)]
pub struct Parsers {}

impl Parsers {
    /// Compiles parser files; those with errors are left out and reported, the others stand.
    pub fn load(_texts: &[SourceText], _names: &mut FieldTable) -> (Self, Vec<Diagnostic>) {
        (Self {}, Vec::new())
    }

    /// Finds a format by its name or alias.
    pub fn format(&self, _name: &str) -> Option<Format> {
        None
    }

    /// Every name that [`Parsers::format`] knows, sorted.
    pub fn format_names(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Parses one raw record into its records: usually one, none for a frame without content.
    /// Total: what is not of the format is a record that says so.
    pub fn parse<'a>(
        &self,
        _format: Format,
        _options: &ParseOptions,
        _names: &FieldTable,
        raw: &RawRecord<'a>,
        arena: &'a Bump,
    ) -> ArenaVec<'a, Record<'a>> {
        let text = std::str::from_utf8(raw.bytes).unwrap_or_default();
        bumpalo::vec![in arena; Record::new(arena, text)]
    }
}

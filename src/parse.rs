//! Raw records to records: formats by name, parsers as YAML files, one call for a record.
//!
//! A format is a frame (a syslog header, a JSON object, nothing) and what stands in it. Messages in
//! a syslog or journal frame go to the parser files that name their program; `docs/parsers.md`
//! describes those.

mod address;
mod attempt;
mod fields;
mod journal;
mod json;
mod language;
mod matcher;
mod object;
mod pattern;
mod syslog;
mod zone;

pub use address::{ip_text, is_absent};
pub use attempt::ATTEMPT_NAMES;
pub use language::TestOutcome;

use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::event::{
    FieldId, FieldTable, LogSource, Parsed, RawRecord, Record, RecordFlags, Value, ecs,
};
use attempt::{Fnv, Session};
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;
use journal::Journal;
use language::{Framing, Language, Programs};
use object::TimeContext;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use syslog::Header;
use zone::ZoneCache;

/// Parser files that are loaded at most.
pub const PARSERS_MAX: usize = 4_096;
/// Parameters of structured data that are kept of one record.
pub const PARAMETERS_MAX: usize = 64;

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

/// What a format is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// A syslog header of either kind, then the parser of its program.
    Syslog,
    /// Only a header of RFC 3164.
    Rfc3164,
    /// Only a header of RFC 5424.
    Rfc5424,
    /// A message of sshd without a header.
    SshdBody,
    /// An object of schema names.
    Ecs,
    /// An object of an application.
    Application,
    /// `{"id", "time", "logsource", "event"}`.
    Envelope,
    /// An object of the systemd journal, then the parser of its program.
    Journal,
    /// A parser file.
    Language(u16),
}

/// The formats that need no parser file, with their aliases.
const BUILT_IN: &[(&str, Frame)] = &[
    ("app_json", Frame::Application),
    ("authlog", Frame::Syslog),
    ("ecs", Frame::Ecs),
    ("envelope", Frame::Envelope),
    ("journald", Frame::Journal),
    ("journald_json", Frame::Journal),
    ("json", Frame::Application),
    ("sshd_body", Frame::SshdBody),
    ("syslog", Frame::Syslog),
    ("syslog_rfc3164", Frame::Rfc3164),
    ("syslog_rfc5424", Frame::Rfc5424),
];

/// What a parser file can produce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParserOutput<'p> {
    /// The parser's name.
    pub name: &'p str,
    /// Routing keys of its events.
    pub logsource: LogSource<'p>,
    /// Fields its events can have, sorted.
    pub fields: Vec<FieldId>,
}

/// Numbers of parsers by the program they name. The names come from parser files, so that a log
/// cannot make them collide.
type ByProgram = HashMap<Box<str>, Vec<u16>, BuildHasherDefault<Fnv>>;

/// Every format, ready to use.
#[derive(Debug)]
pub struct Parsers {
    languages: Vec<Language>,
    /// Parsers by the program they name, in the order they are tried.
    programs: ByProgram,
    /// Parsers for every program.
    any: Vec<u16>,
    /// Sorted by name.
    formats: Vec<(Box<str>, Frame)>,
    zones: ZoneCache,
}

impl Parsers {
    /// Compiles parser files; those with errors are left out and reported, the others stand.
    ///
    /// A parser whose name a shipped one has replaces it; of two parsers for one program the one
    /// loaded later is tried first.
    pub fn load(texts: &[SourceText], names: &mut FieldTable) -> (Self, Vec<Diagnostic>) {
        let mut languages: Vec<Language> = Vec::new();
        let mut diagnostics = Vec::new();
        for text in texts {
            let (loaded, problems) = language::load(text, names);
            diagnostics.extend(problems);
            for language in loaded {
                let room = languages.len() < PARSERS_MAX;
                match languages.iter_mut().find(|other| other.name == language.name) {
                    Some(other) if other.path.starts_with("<shipped>/") => *other = language,
                    Some(other) => diagnostics.push(doubled(text, &language, other)),
                    None if room => languages.push(language),
                    None => {
                        let message = format!("more than {PARSERS_MAX} parsers");
                        diagnostics.push(Diagnostic::error(text, Place::default(), message));
                    }
                }
            }
        }
        (Self::of(languages), diagnostics)
    }

    fn of(languages: Vec<Language>) -> Self {
        let mut programs = ByProgram::default();
        let mut any = Vec::new();
        let mut formats: Vec<(Box<str>, Frame)> =
            BUILT_IN.iter().map(|(name, frame)| ((*name).into(), *frame)).collect();
        for (number, language) in languages.iter().enumerate() {
            let number = number as u16;
            formats.push((language.name.clone(), Frame::Language(number)));
            match &language.programs {
                Programs::Named(list) => {
                    for program in list {
                        programs.entry(program.clone()).or_default().insert(0, number);
                    }
                }
                Programs::Any => any.insert(0, number),
                Programs::ByFormat => {}
            }
        }
        formats.sort_by(|left, right| left.0.cmp(&right.0));
        Self { languages, programs, any, formats, zones: ZoneCache::default() }
    }

    /// Finds a format by its name or alias.
    pub fn format(&self, name: &str) -> Option<Format> {
        let at = self.formats.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        u16::try_from(at).ok().map(Format)
    }

    /// Whether a record of the format may bring an `event.id` of its own.
    pub fn brings_ids(&self, format: Format) -> bool {
        let named = |language: &Language| language.outputs.contains(&ecs::EVENT_ID);
        match self.formats.get(usize::from(format.0)).map(|(_, frame)| *frame) {
            Some(Frame::Syslog | Frame::SshdBody) => self.languages.iter().any(named),
            Some(Frame::Rfc3164 | Frame::Rfc5424) => false,
            _ => true,
        }
    }

    /// Every name that [`Parsers::format`] knows, sorted.
    pub fn format_names(&self) -> Vec<&str> {
        self.formats.iter().map(|(name, _)| &**name).collect()
    }

    /// Runs the tests inside every parser file, in the order of the files.
    pub fn run_tests(&self, names: &FieldTable) -> Vec<TestOutcome> {
        self.languages.iter().flat_map(|language| language.run_tests(names)).collect()
    }

    /// What every parser file can produce: the fields of its cases and those of its frame.
    pub fn outputs(&self) -> Vec<ParserOutput<'_>> {
        let output = |language: &'_ Language| {
            let frame = match language.framing {
                Framing::Syslog => HEADER_FIELDS,
                Framing::None => &[],
            };
            let mut fields = language.outputs.clone();
            fields.extend(frame.iter().chain(COMMON_FIELDS));
            fields.into_iter().collect()
        };
        self.languages
            .iter()
            .map(|language| ParserOutput {
                name: &language.name,
                logsource: language.logsource(),
                fields: output(language),
            })
            .collect()
    }

    /// The parser and the case that matched, as `parser try` shows them.
    pub fn case_of<'a>(record: &Record<'a>) -> Option<(&'a str, &'a str)> {
        let parser = record.get(ecs::TRIPLINE_PARSER)?.as_str()?;
        Some((parser, record.get(ecs::TRIPLINE_CASE)?.as_str()?))
    }

    /// Parses one raw record into its records: usually one, none for a frame without content.
    /// Total: what is not of the format is a record that says so.
    pub fn parse<'a>(
        &'a self,
        format: Format,
        options: &ParseOptions,
        names: &FieldTable,
        raw: &RawRecord<'a>,
        arena: &'a Bump,
    ) -> ArenaVec<'a, Record<'a>> {
        let text = std::str::from_utf8(raw.bytes)
            .unwrap_or_else(|_| arena.alloc_str(&String::from_utf8_lossy(raw.bytes)));
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return ArenaVec::new_in(arena);
        }
        let step = Step {
            parsers: self,
            names,
            time: TimeContext { cache: &self.zones, zone: &options.zone, received: raw.received },
            arena,
        };
        let frame = if raw.flags.contains(RecordFlags::SYNTHETIC) {
            Frame::Ecs
        } else {
            self.formats.get(usize::from(format.0)).map_or(Frame::Ecs, |(_, frame)| *frame)
        };
        let mut record = Record::new(arena, text);
        if let Err(reason) = step.read(frame, text, &mut record) {
            record.fields.clear();
            record.message = text.trim();
            record.parsed = Parsed::Failed(reason);
        }
        bumpalo::vec![in arena; record]
    }

    fn language(&self, number: u16) -> Option<&Language> {
        self.languages.get(usize::from(number))
    }

    /// The parsers that name a program, by its name or the last part of its path.
    fn of_program(&self, program: &str) -> &[u16] {
        let last = || self.programs.get(program.rsplit_once('/')?.1);
        self.programs.get(program).or_else(last).map_or(&[], Vec::as_slice)
    }
}

/// Fields of a syslog header.
const HEADER_FIELDS: &[FieldId] = &[
    ecs::HOST_HOSTNAME,
    ecs::HOST_NAME,
    ecs::PROCESS_NAME,
    ecs::PROCESS_PID,
    ecs::LOG_SYSLOG_PRIORITY,
    ecs::LOG_SYSLOG_FACILITY_CODE,
    ecs::LOG_SYSLOG_SEVERITY_CODE,
    ecs::LOG_SYSLOG_VERSION,
    ecs::LOG_SYSLOG_PROCID,
    ecs::LOG_SYSLOG_MSGID,
];

/// Fields that every event has, or gets while it is normalized.
const COMMON_FIELDS: &[FieldId] = &[
    ecs::AT_TIMESTAMP,
    ecs::EVENT_ID,
    ecs::EVENT_KIND,
    ecs::EVENT_ORIGINAL,
    ecs::LOG_FILE_PATH,
    ecs::LOG_FLAGS,
    ecs::LOG_OFFSET,
    ecs::MESSAGE,
    ecs::TRIPLINE_CASE,
    ecs::TRIPLINE_PARSER,
];

fn doubled(source: &SourceText, language: &Language, other: &Language) -> Diagnostic {
    let message = format!("the parser `{}` stands also in `{}`", language.name, other.path);
    Diagnostic::error(source, Place::default(), message).hint("give one of them another name")
}

/// What parsing one record needs.
struct Step<'s, 'a> {
    parsers: &'a Parsers,
    names: &'s FieldTable,
    time: TimeContext<'s>,
    arena: &'a Bump,
}

impl<'a> Step<'_, 'a> {
    fn read(
        &self,
        frame: Frame,
        text: &'a str,
        record: &mut Record<'a>,
    ) -> Result<(), &'static str> {
        let (names, time, arena) = (self.names, self.time, self.arena);
        match frame {
            Frame::Syslog => {
                let header = syslog::header(text)?;
                self.head(&header, record);
                self.dispatch(&session(&header), header.message, record);
            }
            Frame::Rfc3164 => self.head(&syslog::rfc3164(text)?, record),
            Frame::Rfc5424 => self.head(&syslog::rfc5424(text)?, record),
            Frame::SshdBody => {
                record.message = text.trim();
                record.set(ecs::PROCESS_NAME, Value::Str("sshd"));
                let session = Session { program: "sshd", ..Session::default() };
                self.dispatch(&session, record.message, record);
            }
            Frame::Ecs => object::ecs(record, text, names, time, arena)?,
            Frame::Application => object::application(record, text, names, time, arena)?,
            Frame::Envelope => object::envelope(record, text, names, time, arena)?,
            Frame::Journal => self.journal(text, record)?,
            Frame::Language(number) => self.language(number, text, record)?,
        }
        Ok(())
    }

    fn language(
        &self,
        number: u16,
        text: &'a str,
        record: &mut Record<'a>,
    ) -> Result<(), &'static str> {
        let Some(language) = self.parsers.language(number) else { return Ok(()) };
        let session = match language.framing {
            Framing::Syslog => {
                let header = syslog::header(text)?;
                self.head(&header, record);
                session(&header)
            }
            Framing::None => {
                record.message = text.trim();
                Session::default()
            }
        };
        let body = unrepeated(record.message, record);
        if !language.apply(body, &session, record, self.arena) {
            language.give_up(record);
        }
        Ok(())
    }

    fn journal(&self, text: &'a str, record: &mut Record<'a>) -> Result<(), &'static str> {
        let journal = Journal::read(text, self.arena)?;
        record.time = journal.time();
        record.message = journal.message;
        if let Some(host) = journal.host {
            record.set(ecs::HOST_HOSTNAME, Value::Str(host));
        }
        if let Some(pid) = journal.pid {
            record.set(ecs::PROCESS_PID, Value::Int(pid));
        }
        let session = Session {
            host: journal.host.unwrap_or_default(),
            program: journal.program.unwrap_or_default(),
            pid: journal.pid,
        };
        self.dispatch(&session, journal.message, record);
        journal.describe(record, self.arena);
        Ok(())
    }

    /// Adds the fields of a syslog header.
    fn head(&self, header: &Header<'a>, record: &mut Record<'a>) {
        record.time = self.time.cache.instant(header.time, self.time.zone, self.time.received);
        record.message = header.message;
        if let Some(host) = header.host {
            record.set(ecs::HOST_HOSTNAME, Value::Str(host));
        }
        if let Some(program) = header.program {
            record.set(ecs::PROCESS_NAME, Value::Str(program));
        }
        if let Some(pid) = header.pid {
            record.set(ecs::PROCESS_PID, Value::Int(pid));
        }
        if let Some(priority) = header.priority.map(i64::from) {
            record.set(ecs::LOG_SYSLOG_PRIORITY, Value::Int(priority));
            record.set(ecs::LOG_SYSLOG_FACILITY_CODE, Value::Int(priority / 8));
            record.set(ecs::LOG_SYSLOG_SEVERITY_CODE, Value::Int(priority % 8));
        }
        let Some(extra) = header.extra else { return };
        record.set(ecs::LOG_SYSLOG_VERSION, Value::Str(extra.version));
        for (text, field) in
            [(extra.procid, ecs::LOG_SYSLOG_PROCID), (extra.msgid, ecs::LOG_SYSLOG_MSGID)]
        {
            if let Some(text) = text {
                record.set(field, Value::Str(text));
            }
        }
        if let Some(data) = extra.data {
            self.structured_data(data, record);
        }
    }

    fn structured_data(&self, data: &'a str, record: &mut Record<'a>) {
        let mut entries = ArenaVec::new_in(self.arena);
        for (element, name, value) in syslog::parameters(data).take(PARAMETERS_MAX) {
            let key = bumpalo::format!(in self.arena, "{}.{}", element, name).into_bump_str();
            entries.push((key, Value::Str(value)));
        }
        if !entries.is_empty() {
            let key = self.names.key("log.syslog.structured_data");
            record.fields.push((key, Value::Map(entries.into_bump_slice())));
        }
    }

    /// Gives a message to the parsers of its program, then to those for every program.
    fn dispatch(&self, session: &Session<'_>, message: &'a str, record: &mut Record<'a>) {
        let body = unrepeated(message, record);
        let named = self.parsers.of_program(session.program);
        let mut languages = named.iter().filter_map(|number| self.parsers.language(*number));
        if languages.any(|language| language.apply(body, session, record, self.arena)) {
            return;
        }
        let own = named.first().and_then(|number| self.parsers.language(*number));
        let mut any = self.parsers.any.iter().filter_map(|number| self.parsers.language(*number));
        if any.any(|language| language.apply(body, session, record, self.arena)) {
            if let Some(own) = own {
                record.logsource = own.logsource();
            }
            return;
        }
        if let Some(own) = own {
            own.give_up(record);
            return;
        }
        record.parsed = Parsed::Unmatched;
        record.logsource =
            LogSource { product: Some("linux"), category: None, service: Some("syslog") };
    }
}

fn session<'a>(header: &Header<'a>) -> Session<'a> {
    Session {
        host: header.host.unwrap_or_default(),
        program: header.program.unwrap_or_default(),
        pid: header.pid,
    }
}

/// Takes what syslog daemons put around a message: `message repeated 3 times: [ … ]` stands for
/// three of it, `last message repeated 3 times` for three of the one before; `[ID 8 auth.info]` is
/// Solaris' number of the text.
fn unrepeated<'a>(message: &'a str, record: &mut Record<'a>) -> &'a str {
    let repeated = |text: &'a str, word: &str| -> Option<(u32, &'a str)> {
        let (count, rest) = text.strip_prefix(word)?.split_once(' ')?;
        Some((count.parse().ok().filter(|count| *count > 0)?, rest))
    };
    match message.as_bytes().first() {
        Some(b'm') => {
            if let Some((count, rest)) = repeated(message, "message repeated ")
                && let Some(inner) = rest.strip_prefix("times: [")
            {
                record.repeat = count.min(language::REPEAT_MAX);
                return inner.strip_suffix(']').unwrap_or(inner).trim();
            }
        }
        Some(b'l' | b'-') => {
            let text = message.trim_start_matches(['-', ' ']);
            if let Some((count, _)) = repeated(text, "last message repeated ") {
                record.repeat = count.min(language::REPEAT_MAX);
            }
        }
        Some(b'[') => {
            if let Some((_, rest)) =
                message.strip_prefix("[ID ").and_then(|inside| inside.split_once("] "))
            {
                return rest.trim_start();
            }
        }
        _ => {}
    }
    message
}

#[cfg(test)]
mod tests;

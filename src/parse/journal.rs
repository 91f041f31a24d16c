//! Records of the systemd journal as `journalctl --output=json` writes them.

use super::json::{self, Reason};
use crate::event::{Record, Timestamp, Value, ecs};
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

/// What of a journal record decides how its message is parsed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Journal<'a> {
    pub(super) program: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) pid: Option<i64>,
    pub(super) message: &'a str,
    entries: &'a [(&'a str, Value<'a>)],
}

impl<'a> Journal<'a> {
    /// Reads the object of one line.
    pub(super) fn read(text: &'a str, arena: &'a Bump) -> Result<Self, Reason> {
        let mut journal = Self { entries: json::entries(text, arena)?, ..Self::default() };
        journal.message = journal.text("MESSAGE", arena).unwrap_or_default().trim();
        journal.host = journal.text("_HOSTNAME", arena);
        journal.program =
            journal.text("SYSLOG_IDENTIFIER", arena).or_else(|| journal.text("_COMM", arena));
        let pid = journal.get("_PID").or_else(|| journal.get("SYSLOG_PID"));
        journal.pid = pid.and_then(Value::as_int);
        Ok(journal)
    }

    /// The time, in microseconds since the epoch.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let micros = self
            .get("__REALTIME_TIMESTAMP")
            .or_else(|| self.get("_SOURCE_REALTIME_TIMESTAMP"))?
            .as_int()?;
        Some(Timestamp::from_nanos(micros.checked_mul(1_000)?))
    }

    /// Adds what the journal itself knows of the process.
    pub(super) fn describe(&self, record: &mut Record<'a>, arena: &'a Bump) {
        for (name, field) in [
            ("_COMM", ecs::PROCESS_NAME),
            ("SYSLOG_IDENTIFIER", ecs::PROCESS_NAME),
            ("_EXE", ecs::PROCESS_EXECUTABLE),
            ("_CMDLINE", ecs::PROCESS_COMMAND_LINE),
            ("SYSLOG_IDENTIFIER", ecs::LOG_SYSLOG_APPNAME),
            ("_MACHINE_ID", ecs::HOST_ID),
        ] {
            if let Some(text) = self.text(name, arena) {
                record.set(field, Value::Str(text));
            }
        }
        for (name, field) in [
            ("PRIORITY", ecs::LOG_SYSLOG_SEVERITY_CODE),
            ("SYSLOG_FACILITY", ecs::LOG_SYSLOG_FACILITY_CODE),
        ] {
            if let Some(number) = self.get(name).and_then(Value::as_int) {
                record.set(field, Value::Int(number));
            }
        }
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A text; bytes that are not UTF-8 come as a list of numbers, a repeated field as a list.
    fn text(&self, name: &str, arena: &'a Bump) -> Option<&'a str> {
        let text = match self.get(name)? {
            Value::Str(text) => text,
            Value::List([Value::Str(text), ..]) => text,
            Value::List(items) => {
                let mut bytes = ArenaVec::with_capacity_in(items.len(), arena);
                bytes.extend(items.iter().filter_map(|item| u8::try_from(item.as_int()?).ok()));
                let bytes = bytes.into_bump_slice();
                std::str::from_utf8(bytes)
                    .unwrap_or_else(|_| arena.alloc_str(&String::from_utf8_lossy(bytes)))
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) => {
                return None;
            }
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

//! Parsers and rules as a command needs them: loaded, with everything wrong about them told.

use super::{Failure, files, terminal};
use crate::diagnostic::{Diagnostic, SourceText, nearest};
use crate::event::FieldTable;
use crate::parse::{Format, ParseOptions, Parsers};
use crate::rule::Ruleset;
use crate::shipped;
use jiff::tz::{Offset, TimeZone};
use std::path::PathBuf;
use std::sync::Arc;

/// Formats ready to use, with the names they know.
#[derive(Debug)]
pub(super) struct Formats {
    /// The interned names.
    pub(super) names: FieldTable,
    /// Every format.
    pub(super) parsers: Arc<Parsers>,
}

impl Formats {
    /// The shipped parsers and those at `paths`; a parser with errors ends the command.
    pub(super) fn load(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut texts = shipped::parsers();
        texts.extend(files::read_yaml(paths)?);
        let mut names = FieldTable::default();
        let (parsers, problems) = Parsers::load(&texts, &mut names);
        if tell(&problems) > 0 {
            return Err(Failure::usage("a parser cannot be used"));
        }
        Ok(Self { names, parsers: Arc::new(parsers) })
    }

    /// Finds a format, or says which ones there are.
    pub(super) fn find(&self, name: &str) -> Result<Format, Failure> {
        self.parsers.format(name).ok_or_else(|| {
            let known = self.parsers.format_names();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            Failure::usage(format!("unknown format `{name}`")).hint(hint)
        })
    }

    /// Reads rules; gives them with how many errors they had, which have been told.
    pub(super) fn rules(&mut self, texts: &[SourceText]) -> (Ruleset, usize) {
        let (rules, problems) = Ruleset::load(texts, &mut self.names);
        (rules, tell(&problems))
    }
}

/// Writes diagnostics to stderr and counts the errors.
fn tell(problems: &[Diagnostic]) -> usize {
    for problem in problems {
        terminal::say(&terminal::escape_lines(&problem.to_string()));
    }
    problems.iter().filter(|problem| problem.is_error()).count()
}

/// Reads a zone: a name of the IANA database, `UTC`, `local`, or an offset such as `+05:30`.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "" => None,
        "UTC" | "utc" | "Z" => Some(TimeZone::UTC),
        "local" => Some(TimeZone::system()),
        _ => offset(name).or_else(|| TimeZone::get(name).ok()),
    }
}

/// `+05:30`, `-0800` or `+2`.
fn offset(text: &str) -> Option<TimeZone> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() <= 2 => (rest, "0"),
        None => rest.split_at_checked(rest.len().checked_sub(2)?)?,
    };
    let number = |text: &str| text.parse::<u8>().ok().map(i32::from);
    let seconds = (number(hours)? * 60 + number(minutes).filter(|m| *m < 60)?) * 60;
    Some(TimeZone::fixed(Offset::from_seconds(sign * seconds).ok()?))
}

/// How records are read, from the command line's `--timezone`.
pub(super) fn options(zone_name: Option<&str>) -> Result<ParseOptions, Failure> {
    let mut options = ParseOptions::default();
    if let Some(name) = zone_name {
        options.zone = zone(name).ok_or_else(|| {
            Failure::usage(format!("unknown time zone `{name}`"))
                .hint("a name such as `Europe/Paris`, an offset such as `+02:00`, `UTC` or `local`")
        })?;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_names_or_offsets() {
        for (text, seconds) in [("+05:30", 19_800), ("-0800", -28_800), ("+2", 7_200), ("UTC", 0)] {
            let zone = zone(text).unwrap();
            assert_eq!(zone.to_fixed_offset().unwrap().seconds(), seconds, "{text}");
        }
        assert!(zone("Europe/Paris").is_some());
        for bad in ["", "Europe/Pairs", "+", "+99:99", "05:30x"] {
            assert!(zone(bad).is_none(), "{bad}");
        }
    }
}

//! Parsers and rules as a command needs them: loaded, with everything wrong about them told.

use super::{Failure, terminal};
use crate::config;
use crate::diagnostic::{Diagnostic, SourceText, nearest};
use crate::event::FieldTable;
use crate::parse::{Format, ParseOptions, Parsers};
use crate::rule::Ruleset;
use crate::shipped;
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
        texts.extend(config::read_yaml(paths)?);
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

/// How records are read, from the command line's `--timezone`.
pub(super) fn options(zone_name: Option<&str>) -> Result<ParseOptions, Failure> {
    let mut options = ParseOptions::default();
    if let Some(name) = zone_name {
        options.zone = config::parse_zone(name).ok_or_else(|| {
            Failure::usage(format!("unknown time zone `{name}`"))
                .hint("a name such as `Europe/Paris`, an offset such as `+02:00`, `UTC` or `local`")
        })?;
    }
    Ok(options)
}

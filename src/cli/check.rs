//! `tripline check`: rules, parsers and configurations, read as they would be used, and nothing
//! done.

use super::documents::{self, Purpose};
use super::{Answer, Failure, terminal};
use crate::config;
use crate::diagnostic::{Diagnostic, SourceText, Weight};
use crate::event::FieldTable;
use crate::parse::Parsers;
use crate::rule::{Ruleset, unreachable_fields};
use crate::{shipped, yaml};
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tripline check rules/
  tripline check /etc/tripline/tripline.yml
  tripline check --json rules/ parsers/ | jq -r .message

Exit codes: 0 no errors, 1 errors, 2 a path does not exist. Warnings alone are no errors.";

/// Find what is wrong with rules, parsers and configurations
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// One JSON object a problem
    #[arg(long)]
    json: bool,
    /// Files and folders [default: the shipped rules and parsers]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Default)]
struct Seen {
    rules: Vec<SourceText>,
    parsers: Vec<SourceText>,
    configs: Vec<SourceText>,
    problems: Vec<Diagnostic>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let mut seen = Seen::default();
    for text in texts(&arguments.paths)? {
        match documents::read(&text) {
            Ok(read) => match read.purpose {
                Purpose::Rules => seen.rules.push(text),
                Purpose::Parser => seen.parsers.push(text),
                Purpose::Config => seen.configs.push(text),
            },
            Err(problem) => seen.problems.push(*problem),
        }
    }
    seen.check();
    let errors = seen.problems.iter().filter(|problem| problem.is_error()).count();
    let mut out = terminal::stdout();
    for problem in &seen.problems {
        write(&mut out, arguments, problem)?;
    }
    let summary = seen.summary(errors);
    if arguments.json {
        terminal::say(&summary);
    } else {
        writeln!(out, "{summary}")?;
    }
    out.flush()?;
    Ok(if errors > 0 { Answer::Found } else { Answer::Done })
}

/// What is to be looked at: the named files, else what the program carries.
pub(super) fn texts(paths: &[PathBuf]) -> Result<Vec<SourceText>, Failure> {
    if !paths.is_empty() {
        return Ok(config::read_yaml(paths)?);
    }
    let mut texts = shipped::rules();
    texts.extend(shipped::parsers());
    Ok(texts)
}

impl Seen {
    fn check(&mut self) {
        let mut names = FieldTable::default();
        // Rules are judged by all the parsers there will be: the shipped ones and these.
        let own: Vec<_> = self.parsers.iter().map(parser_name).collect();
        let others =
            shipped::parsers().into_iter().filter(|text| !own.contains(&parser_name(text)));
        let texts: Vec<SourceText> = self.parsers.iter().cloned().chain(others).collect();
        let (parsers, of_parsers) = Parsers::load(&texts, &mut names);
        let (rules, of_rules) = Ruleset::load(&self.rules, &mut names);
        self.problems.extend(unreachable_fields(&rules, &parsers, &names, &self.rules));
        self.problems.extend(of_parsers);
        self.problems.extend(of_rules);
        self.problems.extend(self.configs.iter().flat_map(config::check));
        self.problems.sort_by(|left, right| {
            (&left.path, left.place, &left.message).cmp(&(&right.path, right.place, &right.message))
        });
    }

    fn summary(&self, errors: usize) -> String {
        let count = |number: usize, what: &str| {
            let plural = if number == 1 { "" } else { "s" };
            format!("{number} {what}{plural}")
        };
        let mut parts = Vec::new();
        for (number, what) in [
            (self.rules.len(), "rule file"),
            (self.parsers.len(), "parser"),
            (self.configs.len(), "configuration"),
        ] {
            if number > 0 {
                parts.push(count(number, what));
            }
        }
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        let warnings = self.problems.len() - errors;
        format!(
            "checked {}: {}, {}",
            parts.join(", "),
            count(errors, "error"),
            count(warnings, "warning")
        )
    }
}

fn parser_name(text: &SourceText) -> Option<String> {
    let nodes = yaml::parse(text).ok()?;
    Some(nodes.first()?.get("parser")?.as_text()?.to_owned())
}

#[derive(Debug, serde::Serialize)]
struct Problem<'p> {
    path: &'p str,
    line: u32,
    column: u32,
    severity: &'static str,
    message: &'p str,
    hint: Option<&'p str>,
}

fn write(out: &mut impl Write, arguments: &Arguments, problem: &Diagnostic) -> io::Result<()> {
    if !arguments.json {
        return writeln!(out, "{}", terminal::escape_lines(&problem.to_string()));
    }
    let severity = match problem.weight {
        Weight::Error => "error",
        Weight::Warning => "warning",
    };
    let line = Problem {
        path: &problem.path,
        line: problem.place.line,
        column: problem.place.column,
        severity,
        message: &problem.message,
        hint: problem.hint.as_deref(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

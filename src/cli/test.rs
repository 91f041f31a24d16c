//! `tripline test`: the tests that stand inside rules and parsers, run through the real pipeline.

mod case;
mod coverage;
mod parser;

use super::documents::{self, Purpose};
use super::formats::Formats;
use super::terminal::{self, Colour, Tint};
use super::{Answer, Failure, check};
use crate::diagnostic::Diagnostic;
use case::{CaseOutcome, RuleFile};
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tripline test rules/
  tripline test --json my-rule.yml | jq 'select(.passed | not)'

A test inside a rule:
  tests:
    - name: five failures in a minute
      format: syslog                     # of `lines`; `events` are ECS mappings instead
      lines: [...]
      expect:                            # findings in their order; [] = silent
        - {rule: ssh-brute-force, group: {source.ip: 203.0.113.7}, count: 5, level: high}

Lines without a year are of 2026. Only the rules of the same file are loaded.";

/// Run the tests inside rules and parsers
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// One JSON object a test
    #[arg(long)]
    json: bool,
    /// Parser files and folders, besides the shipped ones
    #[arg(long, value_name = "PATH")]
    parsers: Vec<PathBuf>,
    /// Files and folders [default: the shipped rules and parsers]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Everything that came of the tests.
#[derive(Debug, Default)]
struct Tally {
    outcomes: Vec<CaseOutcome>,
    problems: Vec<Diagnostic>,
    uncovered: Vec<coverage::Gap>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let formats = Formats::load(&arguments.parsers)?;
    let mut tally = Tally::default();
    for text in check::texts(&arguments.paths)? {
        let documents = match documents::read(&text) {
            Ok(documents) => documents,
            Err(problem) => {
                tally.problems.push(*problem);
                continue;
            }
        };
        match documents.purpose {
            Purpose::Config => {}
            Purpose::Parser => {
                let outcomes = parser::run(&text, &mut tally.problems);
                tally.outcomes.extend(outcomes);
            }
            Purpose::Rules => {
                let file = RuleFile::read(&text, &documents.nodes, &mut tally.problems);
                let outcomes = file.run(&formats, &mut tally.problems);
                tally.uncovered.extend(coverage::gaps(&text.path, &documents.nodes, &outcomes));
                tally.outcomes.extend(outcomes);
            }
        }
    }
    tally.tell(arguments)
}

#[derive(Debug, serde::Serialize)]
struct OutcomeLine<'o> {
    path: &'o str,
    test: &'o str,
    passed: bool,
    failure: Option<&'o str>,
}

#[derive(Debug, serde::Serialize)]
struct GapLine<'g> {
    path: &'g str,
    rule: &'g str,
    missing: &'static str,
}

impl Tally {
    fn tell(&self, arguments: &Arguments) -> Result<Answer, Failure> {
        for problem in &self.problems {
            terminal::say(&terminal::escape_lines(&problem.to_string()));
        }
        let mut out = terminal::stdout();
        if arguments.json {
            self.write_json(&mut out)?;
            terminal::say(&self.summary());
        } else {
            self.write_text(&mut out)?;
            writeln!(out, "{}", self.summary())?;
        }
        out.flush()?;
        let has_failed = self.outcomes.iter().any(|outcome| outcome.failure.is_some())
            || self.problems.iter().any(Diagnostic::is_error);
        Ok(if has_failed { Answer::Found } else { Answer::Done })
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        for outcome in &self.outcomes {
            let failure = outcome.failure.as_deref();
            let line = OutcomeLine {
                path: &outcome.path,
                test: &outcome.name,
                passed: failure.is_none(),
                failure,
            };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        for gap in &self.uncovered {
            let line = GapLine { path: &gap.path, rule: &gap.rule, missing: gap.missing.as_str() };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let colour = Colour::of_stdout();
        for outcome in &self.outcomes {
            if let Some(why) = &outcome.failure {
                let word = colour.paint(Tint::Bad, "FAILED");
                let name = terminal::escape(&outcome.name);
                writeln!(out, "{word} {}: {name}", terminal::escape(&outcome.path))?;
                for line in terminal::escape_lines(why).lines() {
                    writeln!(out, "  {line}")?;
                }
            }
        }
        for gap in &self.uncovered {
            let word = colour.paint(Tint::Warning, "untested");
            let (path, rule) = (terminal::escape(&gap.path), terminal::escape(&gap.rule));
            writeln!(out, "{word} {path}: rule `{rule}` has no {} test", gap.missing.as_str())?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let failed = self.outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
        let passed = self.outcomes.len() - failed;
        let mut text = format!("{passed} passed, {failed} failed");
        let errors = self.problems.iter().filter(|problem| problem.is_error()).count();
        if errors > 0 {
            terminal::append(&mut text, format_args!(", {errors} errors in the files"));
        }
        for missing in [coverage::Missing::Firing, coverage::Missing::Silent] {
            let count = self.uncovered.iter().filter(|gap| gap.missing == missing).count();
            if count > 0 {
                terminal::append(
                    &mut text,
                    format_args!(", {count} without a {} test", missing.as_str()),
                );
            }
        }
        text
    }
}

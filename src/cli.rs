//! The command line: one file per command, and what they share.
//!
//! What a command answers goes to stdout, as JSON lines where a machine asks; what it has to say
//! about its work goes to stderr. Exit codes: 0 done, 1 found or failed where that was the
//! question, 2 wrong use or configuration, 3 the agent cannot be reached. A reader that goes away
//! (`| head`) ends the command quietly.

mod cases;
mod check;
mod client;
mod deliveries;
mod demo;
mod documents;
mod events;
mod files;
mod follow;
mod formats;
mod generate;
mod hunt;
mod incidents;
mod lines;
mod parse;
mod records;
mod run;
mod status;
mod terminal;
mod test;

use crate::config::TextError;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::ExitCode;

const ABOUT: &str = "Reads logs and database feeds, runs Sigma rules over them, opens incidents \
                     and tells people: nothing lost, nothing doubled";

const EXAMPLES: &str = "\
Examples:
  tripline demo                                 watch a simulated shop being attacked
  tripline hunt /var/log/auth.log*              run the shipped rules over old logs
  tripline parse --format syslog /var/log/auth.log
  tripline check rules/ && tripline test rules/
  tripline run --config tripline.yml            the agent itself
  tripline incidents                            what it found

Exit codes: 0 done, 1 found or failed where that was the question,
2 wrong use or configuration, 3 the agent cannot be reached.";

#[derive(Debug, Parser)]
#[command(name = "tripline", version, about = ABOUT, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Hunt(hunt::Arguments),
    Parse(parse::Arguments),
    Check(check::Arguments),
    Test(test::Arguments),
    Status(status::StatusArguments),
    Incidents(incidents::Arguments),
    Deliveries(deliveries::Arguments),
    TestAlert(status::TestAlertArguments),
    Audit(status::AuditArguments),
    Generate(generate::Arguments),
}

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Exit code 0.
    Done,
    /// Exit code 1: something was found, or a check failed.
    Found,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// Wrong use, wrong configuration or unreadable input: exit code 2.
    Usage(Box<Message>),
    /// The agent cannot be reached: exit code 3.
    Unreachable(Box<Message>),
    /// The agent answered with a refusal: exit code 1.
    Refused(Box<Message>),
    /// Nobody reads the output any more: exit code 0, without a word.
    ReaderGone,
}

/// What went wrong and what to do about it.
#[derive(Debug)]
struct Message {
    text: String,
    hint: Option<String>,
}

impl Failure {
    fn usage(text: impl Into<String>) -> Self {
        Self::Usage(Box::new(Message { text: text.into(), hint: None }))
    }

    fn unreachable(text: impl Into<String>) -> Self {
        Self::Unreachable(Box::new(Message { text: text.into(), hint: None }))
    }

    fn refused(text: impl Into<String>) -> Self {
        Self::Refused(Box::new(Message { text: text.into(), hint: None }))
    }

    /// The same with a hint.
    fn hint(mut self, hint: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage(message) | Self::Unreachable(message) | Self::Refused(message) => {
                message.hint = Some(hint.into());
            }
            Self::ReaderGone => {}
        }
        self
    }

    /// An input that cannot be read.
    fn unreadable(path: &str, error: &io::Error) -> Self {
        Self::usage(format!("cannot read `{path}`: {}", terminal::reason(error)))
    }

    const fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }
}

/// Only for output: an input that fails is reported with its path.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::usage(format!("cannot write the output: {}", terminal::reason(&error)))
    }
}

/// A file of rules, parsers or configuration that cannot be used.
impl From<TextError> for Failure {
    fn from(error: TextError) -> Self {
        Self::usage(format!("cannot use `{}`: {}", error.path, error.why)).hint(error.hint)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}", terminal::escape(&self.text))?;
        if let Some(hint) = &self.hint {
            write!(out, "\n  hint: {}", terminal::escape(hint))?;
        }
        Ok(())
    }
}

/// Runs the program with its arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match dispatch(&cli.command) {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::Found) => ExitCode::from(1),
        Err(failure) => {
            let code = failure.exit_code();
            if let Failure::Usage(message)
            | Failure::Unreachable(message)
            | Failure::Refused(message) = failure
            {
                terminal::say(&message);
            }
            ExitCode::from(code)
        }
    }
}

fn dispatch(command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Hunt(arguments) => hunt::run(arguments),
        Command::Parse(arguments) => parse::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Status(arguments) => status::status(arguments),
        Command::Incidents(arguments) => incidents::run(arguments),
        Command::Deliveries(arguments) => deliveries::run(arguments),
        Command::TestAlert(arguments) => status::test_alert(arguments),
        Command::Audit(arguments) => status::audit(arguments),
        Command::Generate(arguments) => generate::run(arguments),
    }
}

/// Help and version are answers, everything else is wrong use.
fn refuse(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    match error.print() {
        Ok(()) => ExitCode::from(code),
        // Help into a closed pipe is still an answer.
        Err(_) => ExitCode::from(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together_and_every_command_has_examples() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n  tripline "), "{} has none", command.get_name());
            assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
        }
    }

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        assert_eq!(Failure::usage("x").exit_code(), 2);
        assert_eq!(Failure::unreachable("x").exit_code(), 3);
        assert_eq!(Failure::refused("x").exit_code(), 1);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_code(), 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit_code(), 2);
    }
}

//! `tripline run`: reads the configuration and hands over to the agent.

use super::{Answer, Failure, terminal};
use crate::agent::{self, AgentError, RunUntil};
use crate::config::{self, Config, Listen, Secrets};
use crate::diagnostic::{Diagnostic, SourceText};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

const EXAMPLES: &str = "\
Examples:
  tripline run                                  the host's usual logs, incidents on the screen
  tripline run --config /etc/tripline/tripline.yml
  tripline run --config tripline.yml --until-eof

Exit codes: 0 stopped as asked, 2 it could not start: configuration, rules, store or port.";

/// Run the agent
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration [default: none, the host's usual logs are read]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read every file source to its end, commit, and exit
    #[arg(long)]
    until_eof: bool,
    /// The state folder, instead of the configured one
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Loopback address and port of the metrics, or `off`, instead of the configured one
    #[arg(long, value_name = "ADDRESS", value_parser = config::parse_listen)]
    listen: Option<Listen>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let text = match &arguments.config {
        Some(path) => config::read_text(path)?,
        None => config::usual().ok_or_else(|| {
            Failure::usage("this host has no logs in the usual places")
                .hint("write a configuration: `tripline generate config > tripline.yml`")
        })?,
    };
    let mut config = read(&text)?;
    if let Some(state) = &arguments.state {
        config.state.clone_from(state);
    }
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    let until = if arguments.until_eof { RunUntil::EndOfInput } else { RunUntil::Stopped };
    start(config, &text, until)
}

/// Runs the agent on a configuration file until it is told that there is nothing more to see.
pub(super) fn watch(path: &Path, over: oneshot::Receiver<()>) -> Result<Answer, Failure> {
    let text = config::read_text(path)?;
    start(read(&text)?, &text, RunUntil::Told(over))
}

/// Reads a configuration; what is wrong with it is told.
fn read(text: &SourceText) -> Result<Config, Failure> {
    let (config, warnings) = config::read(text, Secrets::Read).map_err(|problems| {
        tell(&problems);
        Failure::usage("the configuration has errors")
    })?;
    tell(&warnings);
    Ok(config)
}

fn start(config: Config, text: &SourceText, until: RunUntil) -> Result<Answer, Failure> {
    log_to_stderr();
    announce(&config);
    match agent::run(config, text, until) {
        Ok(()) => Ok(Answer::Done),
        Err(AgentError::Refused { problems }) => {
            tell(&problems);
            Err(Failure::usage("rules, parsers or the configuration have errors"))
        }
        Err(error) => {
            let text = error.to_string();
            let (what, hint) = text.split_once("\n  hint: ").unwrap_or((&text, ""));
            let failure = Failure::usage(what);
            Err(if hint.is_empty() { failure } else { failure.hint(hint) })
        }
    }
}

/// Says what begins, so that a silent screen is no mystery.
fn announce(config: &Config) {
    let names: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
    let (sources, state) = (names.join(", "), config.state.display());
    terminal::say(&format!(
        "tripline {} reads {sources}; state in {state}",
        env!("CARGO_PKG_VERSION")
    ));
}

fn tell(problems: &[Diagnostic]) {
    for problem in problems {
        terminal::say(&terminal::escape_lines(&problem.to_string()));
    }
}

/// The agent's own log: one line a happening, on stderr.
fn log_to_stderr() {
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // A second agent in one process goes on with the log of the first.
    drop(tracing::subscriber::set_global_default(log));
}

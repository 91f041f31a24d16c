//! `tripline run`: reads the configuration and hands over to the agent.

use super::{Answer, Failure, files, terminal};
use crate::agent::{self, RunUntil};
use crate::config::{self, Config, Secrets};
use crate::diagnostic::SourceText;
use std::path::PathBuf;

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
    /// Address and port of the interface, instead of the configured one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let text = match &arguments.config {
        Some(path) => files::read_text(path)?,
        None => config::usual().ok_or_else(|| {
            Failure::usage("this host has no /var/log/auth.log, no /var/log/secure and no journal")
                .hint("name what to read in a configuration: `tripline generate config` prints one")
        })?,
    };
    let mut config = read(&text)?;
    if let Some(state) = &arguments.state {
        config.state.clone_from(state);
    }
    if let Some(listen) = &arguments.listen {
        config.listen = config::parse_listen(listen).map_err(Failure::usage)?;
    }
    let until = if arguments.until_eof { RunUntil::EndOfInput } else { RunUntil::Stopped };
    announce(&config, arguments.until_eof.then_some("to the end of what is there"));
    agent::run(config, &text, until)?;
    Ok(Answer::Done)
}

/// Reads a configuration; its warnings are shown, its errors are the failure.
pub(super) fn read(text: &SourceText) -> Result<Config, Failure> {
    let (config, warnings) = config::read(text, &Secrets::Read).map_err(|problems| {
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::usage(shown.join("\n"))
    })?;
    warnings.iter().for_each(|warning| terminal::say(warning));
    Ok(config)
}

/// Says what begins, so that a silent screen is not a mystery.
fn announce(config: &Config, how: Option<&str>) {
    let names: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
    let how = how.unwrap_or("until Ctrl-C");
    terminal::say(&format!(
        "tripline {} reads {} {how}; state in {}",
        env!("CARGO_PKG_VERSION"),
        names.join(", "),
        config.state.display()
    ));
}

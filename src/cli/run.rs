//! `tripline run`: hands over to the agent.

use super::{Answer, Failure};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tripline run                                  the host's usual logs, incidents on the screen
  tripline run --config /etc/tripline/tripline.yml
  tripline run --config tripline.yml --until-eof

Exit codes: 0 stopped as asked, 2 the configuration has errors.";

/// Run the agent
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration [default: none, the host's usual logs are read]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Read every file source to its end, commit, and exit
    #[arg(long)]
    pub(super) until_eof: bool,
    /// The state folder, instead of the configured one
    #[arg(long, value_name = "FOLDER")]
    pub(super) state: Option<PathBuf>,
    /// Address and port of the interface, instead of the configured one
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let Arguments { config, until_eof, state, listen } = arguments;
    Err(Failure::usage(format!(
        "this build has no agent for {config:?}, {until_eof}, {state:?}, {listen:?}"
    )))
}

/// Where the agent keeps its state unless told otherwise: `/var/lib/tripline` for root, else below
/// the user's state folder (XDG base directories).
pub(super) fn usual_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/tripline");
    }
    let folder = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let base = match (folder("XDG_STATE_HOME"), folder("HOME")) {
        (Some(state), _) => PathBuf::from(state),
        (None, Some(home)) => PathBuf::from(home).join(".local/state"),
        (None, None) => std::env::temp_dir(),
    };
    base.join("tripline")
}

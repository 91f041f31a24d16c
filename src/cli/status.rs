//! `tripline status`, `test-alert` and `audit`: short questions to the running agent.

use super::client::{Client, Place};
use super::terminal;
use super::{Answer, Failure};
use serde_json::{Value as Json, json};
use std::io::Write;

const STATUS_EXAMPLES: &str = "\
Examples:
  tripline status
  tripline status --json --state /var/lib/tripline | jq .sources
  tripline status || echo 'the agent is down'

Exit codes: 0 done, 3 the agent cannot be reached.";

const TEST_ALERT_EXAMPLES: &str = "\
Examples:
  tripline test-alert                           to every output
  tripline test-alert --sink team

Exit codes: 0 sent, 1 the agent refused, 3 the agent cannot be reached.";

const AUDIT_EXAMPLES: &str = "\
Examples:
  tripline audit verify
  tripline audit verify --json

Exit codes: 0 unbroken, 1 broken or refused, 3 the agent cannot be reached.";

/// How the running agent is: sources, rules, outputs, what is owed
#[derive(Debug, clap::Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    place: Place,
}

/// Send a message that tests the way to people
#[derive(Debug, clap::Args)]
#[command(after_help = TEST_ALERT_EXAMPLES)]
pub(super) struct TestAlertArguments {
    #[command(flatten)]
    place: Place,
    /// Only to this output
    #[arg(long)]
    sink: Option<String>,
}

/// The record of who ordered what
#[derive(Debug, clap::Args)]
#[command(after_help = AUDIT_EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(super) struct AuditArguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    what: Audit,
}

#[derive(Debug, clap::Subcommand)]
enum Audit {
    /// Check that no entry was changed or taken out
    Verify,
}

/// Runs `status`.
pub(super) fn status(arguments: &StatusArguments) -> Result<Answer, Failure> {
    let answer = Client::new(&arguments.place)?.get("status", &[])?;
    show(&answer, &arguments.place)?;
    Ok(Answer::Done)
}

/// Runs `test-alert`.
pub(super) fn test_alert(arguments: &TestAlertArguments) -> Result<Answer, Failure> {
    let body = json!({"sink": arguments.sink});
    let answer = Client::new(&arguments.place)?.post("test-alert", &body)?;
    show(&answer, &arguments.place)?;
    Ok(Answer::Done)
}

/// Runs `audit`.
pub(super) fn audit(arguments: &AuditArguments) -> Result<Answer, Failure> {
    let Audit::Verify = arguments.what;
    let answer = Client::new(&arguments.place)?.get("audit/verify", &[])?;
    show(&answer, &arguments.place)?;
    let is_broken = answer.get("ok").and_then(Json::as_bool) == Some(false);
    Ok(if is_broken { Answer::Found } else { Answer::Done })
}

fn show(answer: &Json, place: &Place) -> Result<(), Failure> {
    let mut out = terminal::stdout();
    if place.json {
        writeln!(out, "{answer}")?;
    } else {
        terminal::write_object(&mut out, answer)?;
    }
    out.flush()?;
    Ok(())
}

//! `tripline status`, `test-alert` and `audit`: short questions to the running agent.

use super::client::{Client, Place};
use super::terminal::{self, Colour, Table, Tint};
use super::{Answer, Failure};
use serde_json::{Value as Json, json};
use std::io::{self, Write};

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

/// Records that were not understood that are shown; `--json` has all.
const SAMPLES_SHOWN: usize = 5;

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
    if arguments.place.json {
        show(&answer, &arguments.place)?;
    } else {
        let mut out = terminal::stdout();
        write_status(&mut out, &answer, Colour::of_stdout())?;
        out.flush()?;
    }
    Ok(Answer::Done)
}

/// What a person looks at first: is everything read, understood and told?
fn write_status(out: &mut impl Write, status: &Json, colour: Colour) -> io::Result<()> {
    let text = |key: &str| terminal::escape(&terminal::text(status, key)).into_owned();
    writeln!(
        out,
        "tripline {}, process {}, up {} s, state {}",
        text("version"),
        text("pid"),
        text("uptime_s"),
        text("state")
    )?;
    let incidents = status.get("incidents").and_then(Json::as_object);
    let counts: Vec<String> = incidents
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{} {name}", terminal::plain(count)))
        .collect();
    if !counts.is_empty() {
        writeln!(out, "incidents: {}", terminal::escape(&counts.join(", ")))?;
    }
    let sources: &[Column] = &[
        ("SOURCE", "name", Reading::Plain),
        ("RECORDS", "records", Reading::Plain),
        ("EVENTS", "events", Reading::Plain),
        ("NOT KNOWN", "unmatched", Reading::Plain),
        ("NOT OF THE FORMAT", "failed", Reading::BadUnlessZero),
        ("GAPS", "gaps", Reading::BadUnlessZero),
        ("ERRORS", "errors", Reading::BadUnlessZero),
    ];
    write_table(out, terminal::items(status, "sources"), sources, colour)?;
    let outputs: &[Column] = &[
        ("OUTPUT", "name", Reading::Plain),
        ("OWED", "ready", Reading::Plain),
        ("SENT", "done", Reading::Plain),
        ("GIVEN UP", "dead", Reading::BadUnlessZero),
        ("ON HOLD", "on_hold", Reading::BadUnlessZero),
    ];
    write_table(out, terminal::items(status, "outputs"), outputs, colour)?;
    let samples = terminal::items(status, "not_understood");
    if !samples.is_empty() {
        writeln!(out, "\nnot understood, the latest:")?;
    }
    for sample in samples.iter().take(SAMPLES_SHOWN) {
        let line =
            format!("{}: {}", terminal::text(sample, "source"), terminal::text(sample, "record"));
        writeln!(out, "  {}", terminal::escape(&line))?;
    }
    Ok(())
}

/// Heading, member, and how it is read.
type Column = (&'static str, &'static str, Reading);

/// When a number is worth a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Plain,
    BadUnlessZero,
}

fn write_table(
    out: &mut impl Write,
    items: &[Json],
    columns: &[Column],
    colour: Colour,
) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let headings: Vec<&'static str> = columns.iter().map(|(heading, ..)| *heading).collect();
    let mut table = Table::new(&headings);
    for item in items {
        table.row(columns.iter().map(|(_, key, reading)| {
            let text = terminal::text(item, key);
            let is_quiet = *reading == Reading::Plain || text.is_empty() || text == "0";
            (text, if is_quiet { Tint::Plain } else { Tint::Bad })
        }));
    }
    writeln!(out)?;
    out.write_all(table.show(colour).as_bytes())
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
    let is_broken = answer.get("broken").is_some_and(|broken| !broken.is_null());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_out_and_samples_are_harmless() {
        let status = json!({
            "version": "0.1.0", "pid": 7, "uptime_s": 60, "state": "/s",
            "incidents": {"open": 2, "resolved": 1},
            "sources": [{"name": "auth", "records": 10, "events": 10, "unmatched": 1, "failed": 3,
                         "gaps": 0, "errors": 0}],
            "outputs": [{"name": "team", "ready": 0, "done": 4, "dead": 0, "on_hold": null}],
            "not_understood": [{"source": "auth", "record": "x\u{1b}[2J"}],
        });
        let mut bytes = Vec::new();
        write_status(&mut bytes, &status, Colour::Shown).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(
            "tripline 0.1.0, process 7, up 60 s, state /s\nincidents: 2 open, 1 resolved\n"
        ));
        assert!(text.contains("\u{1b}[1;31m3\u{1b}[0m"), "{text}");
        assert!(text.contains("team"), "{text}");
        assert!(text.ends_with("not understood, the latest:\n  auth: x\\u{1b}[2J\n"), "{text}");
    }
}

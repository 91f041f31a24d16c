//! `tripline deliveries`: messages that are owed, on hold, or given up.

use super::client::{Client, Place};
use super::terminal::{self, Colour, Table, Tint};
use super::{Answer, Failure};
use serde_json::{Value as Json, json};
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  tripline deliveries                           what is owed and what was sent
  tripline deliveries list --state dead --sink team
  tripline deliveries requeue 17                try a dead letter again
  tripline deliveries purge                     forget the dead letters

Exit codes: 0 done, 1 the agent refused, 3 the agent cannot be reached.";

/// See what is owed to the outputs, try it again or forget it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List messages
    List(List),
    /// Show one message with its last error
    Show {
        /// Its number in the list
        row: u64,
    },
    /// Try a message again that was given up
    Requeue {
        /// Its number in the list
        row: u64,
    },
    /// Forget messages that were given up
    Purge,
}

#[derive(Debug, Default, clap::Args)]
struct List {
    /// Only messages in this state: `ready`, `inflight`, `done` or `dead`
    #[arg(long)]
    state: Option<String>,
    /// Only those of this output
    #[arg(long)]
    sink: Option<String>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let client = Client::new(&arguments.place)?;
    let none = List::default();
    let answer = match arguments.what.as_ref() {
        None => list(&client, &none)?,
        Some(What::List(wanted)) => list(&client, wanted)?,
        Some(What::Show { row }) => client.get(&format!("deliveries/{row}"), &[])?,
        Some(What::Requeue { row }) => {
            client.post(&format!("deliveries/{row}/requeue"), &json!({}))?
        }
        Some(What::Purge) => client.post("deliveries/purge", &json!({}))?,
    };
    let mut out = terminal::stdout();
    if arguments.place.json {
        writeln!(out, "{answer}")?;
    } else if answer.get("deliveries").is_some() {
        write_list(&mut out, &answer, Colour::of_stdout())?;
    } else {
        terminal::write_object(&mut out, &answer)?;
    }
    out.flush()?;
    Ok(Answer::Done)
}

fn list(client: &Client, wanted: &List) -> Result<Json, Failure> {
    client
        .get("deliveries", &[("state", wanted.state.as_deref()), ("sink", wanted.sink.as_deref())])
}

fn write_list(out: &mut impl Write, answer: &Json, colour: Colour) -> io::Result<()> {
    let items = terminal::items(answer, "deliveries");
    if items.is_empty() {
        return writeln!(out, "nothing is owed");
    }
    let mut table =
        Table::new(&["ROW", "OUTPUT", "TYPE", "STATE", "ATTEMPTS", "NEXT", "LAST ERROR"]);
    for item in items {
        let text = |key: &str| (terminal::text(item, key), Tint::Plain);
        let state = terminal::text(item, "state");
        let tint = if state == "dead" { Tint::Bad } else { Tint::Plain };
        table.row([
            text("row"),
            text("sink"),
            text("type"),
            (state, tint),
            text("attempts"),
            text("next_at"),
            text("last_error"),
        ]);
    }
    out.write_all(table.show(colour).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_why_a_message_did_not_arrive() {
        let answer = json!({"deliveries": [{"row": 17, "sink": "team", "type": "incident.opened",
            "state": "dead", "attempts": 5, "next_at": null, "last_error": "404 no_team\n"}]});
        let mut bytes = Vec::new();
        write_list(&mut bytes, &answer, Colour::Hidden).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "ROW  OUTPUT  TYPE             STATE  ATTEMPTS  NEXT  LAST ERROR\n\
             17   team    incident.opened  dead   5               404 no_team\\n\n"
        );
    }
}

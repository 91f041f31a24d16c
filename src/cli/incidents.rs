//! `tripline incidents`: what the agent found, and what people decided about it.

use super::client::{Client, Place, encode};
use super::terminal::{self, Colour, Table, Tint};
use super::{Answer, Failure};
use serde_json::{Value as Json, json};
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  tripline incidents                            the latest, whatever their status
  tripline incidents list --status open --limit 200
  tripline incidents show inc-3f2a90b1c4d5e6f70812
  tripline incidents ack inc-3f2a90b1c4d5e6f70812 --reason 'looking into it'
  tripline incidents --json | jq -r '.incidents[].title'

Exit codes: 0 done, 1 the agent refused, 3 the agent cannot be reached.";

/// Incidents that are listed unless a limit is given.
const LIMIT: u32 = 50;

/// Events of evidence that are shown for eyes; `--json` has all.
const EVENTS_SHOWN: usize = 10;

/// List incidents, look at one, take it or close it
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
    /// List them, the latest first
    List(List),
    /// Show one with its evidence and history
    Show {
        /// The incident
        id: String,
    },
    /// Take it: others see that someone looks at it
    Ack(Order),
    /// Close it
    Resolve(Order),
    /// Open it again
    Reopen(Order),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those with this status
    #[arg(long, value_parser = ["open", "acknowledged", "resolved"])]
    status: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = LIMIT, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Go on where the last list ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Order {
    /// The incident
    id: String,
    /// Why, for its history
    #[arg(long, default_value = "")]
    reason: String,
    /// Who you are [default: the name of your account]
    #[arg(long)]
    actor: Option<String>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let client = Client::new(&arguments.place)?;
    let usual = List { status: None, limit: LIMIT, cursor: None };
    let (answer, shape) = match arguments.what.as_ref() {
        None => (list(&client, &usual)?, Shape::List),
        Some(What::List(wanted)) => (list(&client, wanted)?, Shape::List),
        Some(What::Show { id }) => {
            (client.get(&format!("incidents/{}", encode(id)), &[])?, Shape::One)
        }
        Some(What::Ack(order)) => (carry_out(&client, order, "acknowledge")?, Shape::One),
        Some(What::Resolve(order)) => (carry_out(&client, order, "resolve")?, Shape::One),
        Some(What::Reopen(order)) => (carry_out(&client, order, "reopen")?, Shape::One),
    };
    let mut out = terminal::stdout();
    if arguments.place.json {
        writeln!(out, "{answer}")?;
    } else {
        let colour = Colour::of_stdout();
        match shape {
            Shape::List => write_list(&mut out, &answer, colour)?,
            Shape::One => write_one(&mut out, &answer, colour)?,
        }
    }
    out.flush()?;
    Ok(Answer::Done)
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    List,
    One,
}

fn list(client: &Client, wanted: &List) -> Result<Json, Failure> {
    let limit = wanted.limit.to_string();
    let query = [
        ("status", wanted.status.as_deref()),
        ("limit", Some(limit.as_str())),
        ("cursor", wanted.cursor.as_deref()),
    ];
    client.get("incidents", &query)
}

fn carry_out(client: &Client, order: &Order, verb: &str) -> Result<Json, Failure> {
    let actor = order.actor.clone().unwrap_or_else(terminal::person);
    let body = json!({"actor": actor, "reason": order.reason});
    client.post(&format!("incidents/{}/{verb}", encode(&order.id)), &body)
}

fn write_list(out: &mut impl Write, answer: &Json, colour: Colour) -> io::Result<()> {
    let items = terminal::items(answer, "incidents");
    if items.is_empty() {
        return writeln!(out, "no incidents");
    }
    let mut table = Table::new(&["ID", "LEVEL", "STATUS", "COUNT", "LAST SEEN", "TITLE", "GROUP"]);
    for item in items {
        let text = |key: &str| terminal::text(item, key);
        table.row([
            (text("id"), Tint::Plain),
            (text("level"), terminal::level_tint(&text("level"))),
            (text("status"), Tint::Plain),
            (text("count"), Tint::Plain),
            (text("last_seen"), Tint::Plain),
            (text("title"), Tint::Plain),
            (group(item), Tint::Plain),
        ]);
    }
    out.write_all(table.show(colour).as_bytes())?;
    terminal::write_next(out, answer)
}

fn group(item: &Json) -> String {
    let Some(group) = item.get("group").and_then(Json::as_object) else { return String::new() };
    let pairs: Vec<String> =
        group.iter().map(|(field, value)| format!("{field}={}", terminal::plain(value))).collect();
    pairs.join(" ")
}

fn write_one(out: &mut impl Write, incident: &Json, colour: Colour) -> io::Result<()> {
    let text = |key: &str| terminal::escape(&terminal::text(incident, key)).into_owned();
    let level = text("level");
    let head = colour.paint(terminal::level_tint(&level), &level.to_uppercase());
    writeln!(out, "{head} {}", colour.paint(Tint::Heading, &text("title")))?;
    for (name, value) in [
        ("id", text("id")),
        ("status", text("status")),
        ("rule", text("rule")),
        ("type", text("alert_type")),
        ("about", terminal::escape(&group(incident)).into_owned()),
        ("count", text("count")),
        ("seen", format!("{} to {}", text("first_seen"), text("last_seen"))),
    ] {
        writeln!(out, "{name:>8}  {value}")?;
    }
    section(out, incident, ("steps", "What to do"), |step| match step.get("text") {
        Some(text) => terminal::plain(text),
        None => terminal::plain(step),
    })?;
    section(out, incident, ("timeline", "History"), |entry| {
        let text = |key: &str| terminal::text(entry, key);
        format!("{}  {}: {}", text("time"), text("actor"), text("text"))
    })?;
    section(out, incident, ("events", "Evidence"), |event| terminal::text(event, "event.original"))
}

fn section(
    out: &mut impl Write,
    incident: &Json,
    (key, title): (&str, &str),
    line: impl Fn(&Json) -> String,
) -> io::Result<()> {
    let Some(items) = incident.get(key).and_then(Json::as_array) else { return Ok(()) };
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}")?;
    for item in items.iter().take(EVENTS_SHOWN) {
        writeln!(out, "  {}", terminal::escape(&line(item)))?;
    }
    if items.len() > EVENTS_SHOWN {
        writeln!(out, "  and {} more, see `--json`", items.len() - EVENTS_SHOWN)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_list_is_a_table_and_names_what_follows() {
        let answer = json!({"incidents": [{
            "id": "inc-1", "level": "high", "status": "open", "count": 7,
            "last_seen": "2026-11-21T10:00:00Z", "title": "Guessing",
            "group": {"source.ip": "203.0.113.7"},
        }], "next": "abc"});
        assert_eq!(
            shown(|out| write_list(out, &answer, Colour::Hidden)),
            "ID     LEVEL  STATUS  COUNT  LAST SEEN             TITLE     GROUP\n\
             inc-1  high   open    7      2026-11-21T10:00:00Z  Guessing  source.ip=203.0.113.7\n\
             more: --cursor abc\n"
        );
        let none = json!({"incidents": [], "next": null});
        assert_eq!(shown(|out| write_list(out, &none, Colour::Hidden)), "no incidents\n");
    }

    #[test]
    fn evidence_cannot_speak_to_the_terminal() {
        let incident = json!({
            "id": "inc-1", "level": "high", "title": "t\u{1b}[2J",
            "steps": ["look"], "timeline": [{"time": "T", "actor": "ann", "text": "took it"}],
            "events": [{"event.original": "login \u{202e}\u{7} by x"}],
        });
        let text = shown(|out| write_one(out, &incident, Colour::Hidden));
        assert!(text.starts_with("HIGH t\\u{1b}[2J\n"), "{text}");
        assert!(text.contains("What to do\n  look\n"), "{text}");
        assert!(text.contains("History\n  T  ann: took it\n"), "{text}");
        assert!(text.ends_with("Evidence\n  login \\u{202e}\\u{7} by x\n"), "{text}");
    }
}

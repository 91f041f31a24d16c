//! The terminal: an incident as a tired person wants it. What happened to whom and from where,
//! how often, what the log said, what to do next. Updates are one line.

use super::text::shown;
use super::{Attempted, Message, NoticeView, Outcome, Sink, read_send_incidents};
use crate::event::{FlatEvent, Timestamp};
use crate::finding::{Incident, Level, NoticeKind, Step};
use crate::kind::Kind;
use crate::yaml::{Node, Problems};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

/// See [`super::KINDS`].
pub(super) const KIND: Kind<Box<dyn Sink>> = Kind {
    name: "terminal",
    summary: "incidents on standard output, for people",
    example: "kind: terminal\n",
    build,
};

/// Evidence lines of an incident: the first and the last ones.
const LINES_MAX: usize = 4;
/// Characters of one evidence line.
const LINE_CHARS_MAX: usize = 160;
/// Characters of a title, a step or a value.
const TEXT_CHARS_MAX: usize = 200;
/// Different users, hosts or addresses named.
const NAMES_MAX: usize = 3;
/// Steps shown.
const STEPS_MAX: usize = 10;

fn build(entry: &Node, problems: &mut Problems) -> Option<Box<dyn Sink>> {
    entry.check_keys("terminal output", &["kind", "send"], problems);
    read_send_incidents(KIND.name, entry, problems)?;
    Some(Box::new(Terminal))
}

#[derive(Debug)]
struct Terminal;

impl Sink for Terminal {
    fn render(&self, view: &NoticeView<'_>) -> String {
        match view.notice.kind {
            NoticeKind::Opened => opened(view),
            NoticeKind::Updated | NoticeKind::Resolved => one_line(view),
        }
    }

    fn send<'a>(&'a self, message: &'a Message) -> Attempted<'a> {
        let text = message.payload.clone();
        Box::pin(async move {
            // A terminal that is held (Ctrl-S) or a slow pipe may block as long as it likes: only
            // this output waits for it.
            let written = tokio::task::spawn_blocking(move || write(&text)).await;
            match written {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    Outcome::Hold { why: "standard output was closed".to_owned() }
                }
                Ok(Err(error)) => retry(format!("standard output: {error}")),
                Err(error) => retry(format!("standard output: {error}")),
            }
        })
    }
}

fn retry(why: String) -> Outcome {
    Outcome::Retry { after: None, why, maybe_delivered: false }
}

fn write(text: &str) -> std::io::Result<()> {
    let out = std::io::stdout();
    // The convention of no-color.org: set and not empty.
    let colour =
        out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = if colour { coloured(text) } else { text.to_owned() };
    let mut out = out.lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The text with its first word, the level, in the level's colour (ECMA-48 SGR).
fn coloured(text: &str) -> String {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let code = match Level::parse(word) {
        Some(Level::Critical) => "1;37;41",
        Some(Level::High) => "1;31",
        Some(Level::Medium) => "1;33",
        Some(Level::Low) => "36",
        Some(Level::Informational) => "2",
        None => return text.to_owned(),
    };
    format!("\x1b[{code}m{word}\x1b[0m {rest}")
}

fn opened(view: &NoticeView<'_>) -> String {
    let incident = &view.notice.incident;
    let rule = &incident.rule;
    let mut out = headline(incident);
    let summary = sentence(incident, view.evidence);
    if !summary.is_empty() {
        line(&mut out, &summary);
    }
    line(&mut out, &how_often(incident));
    evidence_lines(&mut out, view.evidence);
    step_lines(&mut out, view.steps);
    let tail = format!("{} · {} · {}", incident.id, rule.id, rule.alert_type.as_str());
    line(&mut out, &shown(&tail, TEXT_CHARS_MAX));
    out.push('\n');
    out
}

fn headline(incident: &Incident) -> String {
    let level = incident.rule.level.as_str().to_uppercase();
    format!("{level} {}\n", shown(&incident.rule.title, TEXT_CHARS_MAX))
}

fn one_line(view: &NoticeView<'_>) -> String {
    let incident = &view.notice.incident;
    let what = match view.notice.kind {
        NoticeKind::Resolved => "resolved",
        NoticeKind::Opened | NoticeKind::Updated if incident.status.as_str() == "open" => "updated",
        NoticeKind::Opened | NoticeKind::Updated => incident.status.as_str(),
    };
    let mut out = headline(incident);
    out.truncate(out.trim_end().len());
    let summary = sentence(incident, view.evidence);
    let blank = if summary.is_empty() { "" } else { " " };
    format!("{out}: {what}{blank}{summary}, {} · {}\n", how_often(incident), incident.id)
}

fn line(out: &mut String, text: &str) {
    out.push_str("    ");
    out.push_str(text);
    out.push('\n');
}

/// `to root on pos-7 from 203.0.113.9`: from the group and the evidence, whatever of it is known.
/// Shared with the other outputs for people; not escaped for anything but a terminal.
pub(super) fn sentence(incident: &Incident, evidence: &[FlatEvent]) -> String {
    let mut parts = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for (word, fields) in [
        ("to", &["user.target.name", "user.name", "user.email"][..]),
        ("on", &["host.name", "host.hostname"][..]),
        ("from", &["source.ip", "client.ip", "source.address", "source.domain"][..]),
    ] {
        let found = fields.iter().find_map(|field| {
            let names = names_of(field, incident, evidence);
            (!names.is_empty()).then_some((*field, names))
        });
        if let Some((field, names)) = found {
            parts.push(format!("{word} {}", listed(&names)));
            told.push(field);
        }
    }
    for (field, value) in &incident.group {
        if !told.contains(&&**field) {
            parts.push(format!("{} {}", shown(field, 64), shown(value, TEXT_CHARS_MAX)));
        }
    }
    parts.join(" ")
}

fn names_of(field: &str, incident: &Incident, evidence: &[FlatEvent]) -> BTreeSet<String> {
    if let Some((_, value)) = incident.group.iter().find(|(name, _)| &**name == field) {
        return BTreeSet::from([value.to_string()]);
    }
    let texts = |value: &Json| match value {
        Json::String(text) => vec![text.clone()],
        Json::Array(items) => {
            items.iter().filter_map(Json::as_str).map(ToOwned::to_owned).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Vec::new(),
    };
    let values = evidence.iter().filter_map(|event| event.0.get(field)).flat_map(texts);
    values.filter(|text| !text.is_empty()).collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    let few: Vec<String> = names.iter().take(NAMES_MAX).map(|name| shown(name, 80)).collect();
    match names.len().checked_sub(NAMES_MAX) {
        Some(more) if more > 0 => format!("{} and {more} more", few.join(", ")),
        Some(_) | None => few.join(", "),
    }
}

/// `12 times in 48 s, 2026-11-21T10:00:00Z to 10:00:48Z`.
pub(super) fn how_often(incident: &Incident) -> String {
    let (first, last) = (incident.first_seen, incident.last_seen);
    let mut text = match incident.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let result = if last.seconds() == first.seconds() {
        write!(text, ", {}", whole_seconds(first))
    } else {
        let end = whole_seconds(last).to_string();
        let same_day = whole_seconds(first).to_string().get(..11) == end.get(..11);
        let end = if same_day { end.get(11..).unwrap_or_default() } else { &end };
        let span = span(last.seconds() - first.seconds());
        write!(text, " in {span}, {} to {end}", whole_seconds(first))
    };
    debug_assert!(result.is_ok(), "a String takes everything");
    text
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_seconds(time.seconds())
}

fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn evidence_lines(out: &mut String, evidence: &[FlatEvent]) {
    let hidden = evidence.len().saturating_sub(LINES_MAX);
    for (at, event) in evidence.iter().enumerate() {
        let skipped = (LINES_MAX / 2..LINES_MAX / 2 + hidden).contains(&at);
        if !skipped {
            line(out, &format!("| {}", said(event, LINE_CHARS_MAX)));
        } else if at == LINES_MAX / 2 {
            line(out, &format!("| … {hidden} more"));
        }
    }
}

/// What the log said, as one harmless line.
pub(super) fn said(event: &FlatEvent, max: usize) -> String {
    shown(log_text(event), max)
}

/// The original record, or what there is instead.
pub(super) fn log_text(event: &FlatEvent) -> &str {
    let text = ["event.original", "message"].iter().find_map(|field| event.text(field));
    text.unwrap_or_else(|| event.id())
}

fn step_lines(out: &mut String, steps: &[Step]) {
    for (at, step) in steps.iter().take(STEPS_MAX).enumerate() {
        let lead = if at == 0 { "next:" } else { "     " };
        line(out, &format!("{lead} {}. {}", step.number, shown(&step.text, TEXT_CHARS_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::{Sample, flat};

    #[test]
    fn an_incident_says_what_happened_and_what_to_do() {
        let sample = Sample::new(NoticeKind::Opened);
        let shown = Terminal.render(&sample.view());
        let wanted = format!(
            "HIGH SSH password guessing
    to admin, root on pos-7 from 203.0.113.9
    12 times in 48 s, 2026-11-21T10:00:00Z to 10:00:48Z
    | Failed password for root
    | Failed password for root
    | Failed password for admin
    next: 1. block the address
          2. look for a login
    {} · ssh-guessing · BRUTE_FORCE_DETECTED

",
            sample.notice.incident.id
        );
        assert_eq!(shown, wanted);
    }

    #[test]
    fn an_update_is_one_line_and_much_evidence_is_shortened() {
        let mut sample = Sample::new(NoticeKind::Updated);
        sample.evidence = (0..20).map(|n| flat(n, &format!("line {n}"))).collect();
        let line = Terminal.render(&sample.view());
        let id = sample.notice.incident.id.clone();
        assert_eq!(
            line,
            format!(
                "HIGH SSH password guessing: updated to root on pos-7 from 203.0.113.9, 12 times in 48 s, 2026-11-21T10:00:00Z to 10:00:48Z · {id}\n"
            )
        );
        sample.notice.kind = NoticeKind::Opened;
        let all = Terminal.render(&sample.view());
        let lines: Vec<&str> = all.lines().filter(|line| line.contains("| ")).collect();
        let wanted = ["| line 0", "| line 1", "| … 16 more", "| line 18", "| line 19"];
        assert_eq!(lines.iter().map(|line| line.trim()).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn nothing_from_a_log_reaches_the_terminal_as_a_command() {
        let hostile = "\x1b]0;owned\x07\r\nHIGH forged\u{202e}\u{9b}31m";
        let mut sample = Sample::new(NoticeKind::Opened);
        sample.notice.incident.group =
            vec![("user.name".into(), hostile.into()), (hostile.into(), hostile.into())];
        sample.evidence = vec![flat(0, hostile)];
        for kind in [NoticeKind::Opened, NoticeKind::Updated, NoticeKind::Resolved] {
            sample.notice.kind = kind;
            let text = Terminal.render(&sample.view());
            let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(bad, None, "{text:?}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("    ") || line.is_empty()));
            assert!(text.contains("\\u{1b}]0;owned\\u{7}\\r\\nHIGH forged\\u{202e}"), "{text}");
        }
    }

    #[test]
    fn only_the_level_is_coloured() {
        assert_eq!(coloured("HIGH a b\n c"), "\x1b[1;31mHIGH\x1b[0m a b\n c");
        assert_eq!(coloured("else a"), "else a");
        assert_eq!(
            (span(0), span(7_199), span(200_000)),
            ("0 s".into(), "119 min".into(), "2 days".into())
        );
    }
}

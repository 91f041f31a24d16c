//! Slack: an incoming webhook with Block Kit blocks
//! (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>), within Slack's
//! limits and without a way for log text to call people or to format anything. The same messages
//! are taken by servers that imitate Slack's webhooks.
//!
//! Slack knows no idempotency key: the id and revision of the incident stand in the last line, and
//! a message that may have arrived is sent at most once more.

use super::http::{Answer, Client, Endpoint, read_timeout};
use super::terminal::{how_often, log_text, sentence};
use super::text::{mrkdwn, mrkdwn_code};
use super::{Attempted, Message, NoticeView, Outcome, Sink, read_send_incidents};
use crate::finding::NoticeKind;
use crate::kind::Kind;
use crate::yaml::{Node, Problems};
use reqwest::header::HeaderMap;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// See [`super::KINDS`].
pub(super) const KIND: Kind<Box<dyn Sink>> = Kind {
    name: "slack",
    summary: "incidents in a Slack channel",
    example: "kind: slack\nurl: https://hooks.slack.com/services/T000/B000/XXXX\ntimeout: 30s\n",
    build,
};

/// Slack's limit of a header block.
const HEADER_MAX: usize = 150;
/// The text a phone shows without opening the message.
const FALLBACK_MAX: usize = 300;
/// Of a section's 3000 characters, what the parts of one take at most.
const SENTENCE_MAX: usize = 1_500;
const DESCRIPTION_MAX: usize = 1_000;
const LINE_MAX: usize = 400;
const STEP_MAX: usize = 250;
/// Evidence lines, the last ones.
const LINES_MAX: usize = 5;
/// Steps.
const STEPS_MAX: usize = 10;
/// Slack's limit is ten fields of a section.
const FIELDS_MAX: usize = 10;
const FIELD_MAX: usize = 500;

fn build(entry: &Node, problems: &mut Problems) -> Option<Box<dyn Sink>> {
    entry.check_keys("slack output", &["kind", "url", "send", "timeout"], problems);
    let endpoint =
        Endpoint::read(entry, "https://hooks.slack.com/services/T000/B000/XXXX", problems);
    let timeout = read_timeout(entry, problems);
    read_send_incidents(KIND.name, entry, problems)?;
    Some(Box::new(Slack { client: Client::new(endpoint?, timeout?) }))
}

#[derive(Debug)]
struct Slack {
    client: Client,
}

impl Sink for Slack {
    fn render(&self, view: &NoticeView<'_>) -> String {
        let blocks = match view.notice.kind {
            NoticeKind::Opened => opened(view),
            NoticeKind::Updated | NoticeKind::Resolved => changed(view),
        };
        let text = format!(
            "{}: {}",
            heading(view, FALLBACK_MAX),
            mrkdwn(&how_often(&view.notice.incident), 200)
        );
        json!({"text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
            .to_string()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Attempted<'a> {
        Box::pin(self.attempt(message))
    }

    fn is_idempotent(&self) -> bool {
        false
    }
}

impl Slack {
    async fn attempt(&self, message: &Message) -> Outcome {
        match self.client.post(HeaderMap::new(), &message.payload, message.now).await {
            Err(outcome) => outcome,
            Ok(mut answer) => {
                let body = answer.body().await;
                classify(&answer, body)
            }
        }
    }
}

fn classify(answer: &Answer, body: Result<String, String>) -> Outcome {
    let broke_off = body.is_err();
    let body = body.unwrap_or_else(|part| part);
    let said = answer.said(&body, []);
    if !answer.is_success() {
        return match answer.failure(said) {
            Outcome::Throttled { after: None, why } => {
                Outcome::Throttled { after: body_retry_after(&body), why }
            }
            other => other,
        };
    }
    if broke_off {
        return Outcome::Retry { after: None, why: said, maybe_delivered: true };
    }
    if says_ok(&body) {
        return Outcome::Done;
    }
    // A success that is not Slack's comes from something else: a proxy's or a login page.
    Outcome::Hold { why: format!("{said}, which is not Slack's `ok`") }
}

fn says_ok(body: &str) -> bool {
    let is_true = |json: &Json, key: &str| json.get(key).and_then(Json::as_bool) == Some(true);
    body.trim() == "ok"
        || serde_json::from_str::<Json>(body)
            .is_ok_and(|json| is_true(&json, "ok") || is_true(&json, "success"))
}

/// Slack says in the body, too, how many seconds to wait.
fn body_retry_after(body: &str) -> Option<Duration> {
    let json: Json = serde_json::from_str(body).ok()?;
    Some(Duration::from_secs(json.get("retry_after")?.as_u64()?.clamp(1, 3_600)))
}

fn opened(view: &NoticeView<'_>) -> Vec<Json> {
    let incident = &view.notice.incident;
    let mut blocks = vec![json!({"type": "header", "text": {"type": "plain_text",
        "text": heading(view, HEADER_MAX), "emoji": false}})];
    let mut what = mrkdwn(&sentence(incident, view.evidence), SENTENCE_MAX);
    if !incident.rule.description.is_empty() {
        let blank = if what.is_empty() { "" } else { "\n" };
        what = format!("{what}{blank}{}", paragraph(&incident.rule.description));
    }
    if !what.is_empty() {
        blocks.push(section(&what));
    }
    blocks.push(json!({"type": "section", "fields": fields(view)}));
    let lines = view.evidence.iter().rev().take(LINES_MAX).rev();
    let lines: Vec<String> = lines.map(|event| mrkdwn_code(log_text(event), LINE_MAX)).collect();
    if !lines.is_empty() {
        blocks.push(section(&format!("```{}```", lines.join("\n"))));
    }
    let steps: Vec<String> = view
        .steps
        .iter()
        .take(STEPS_MAX)
        .map(|step| format!("{}. {}", step.number, mrkdwn(&step.text, STEP_MAX)))
        .collect();
    if !steps.is_empty() {
        blocks.push(section(&format!("*Next*\n{}", steps.join("\n"))));
    }
    blocks.push(context(view));
    blocks
}

fn changed(view: &NoticeView<'_>) -> Vec<Json> {
    let incident = &view.notice.incident;
    let what = mrkdwn(&sentence(incident, view.evidence), SENTENCE_MAX);
    let how = mrkdwn(&how_often(incident), 200);
    vec![section(&format!("*{}*\n{what}\n{how}", heading(view, 300))), context(view)]
}

/// `HIGH: title`, or what became of it.
fn heading(view: &NoticeView<'_>, max: usize) -> String {
    let rule = &view.notice.incident.rule;
    let what = match view.notice.kind {
        NoticeKind::Opened => rule.level.as_str().to_uppercase(),
        NoticeKind::Updated => {
            format!(
                "{} {}",
                rule.level.as_str().to_uppercase(),
                view.notice.incident.status.as_str()
            )
        }
        NoticeKind::Resolved => "RESOLVED".to_owned(),
    };
    mrkdwn(&format!("{what}: {}", rule.title), max)
}

/// A description keeps its lines.
fn paragraph(text: &str) -> String {
    let lines = text.lines().map(|line| mrkdwn(line, DESCRIPTION_MAX));
    let mut out = String::new();
    for line in lines {
        if out.len() + line.len() > DESCRIPTION_MAX {
            break;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&line);
    }
    out
}

fn fields(view: &NoticeView<'_>) -> Vec<Json> {
    let incident = &view.notice.incident;
    let fixed = [
        ("Type", incident.rule.alert_type.as_str().to_owned()),
        ("Level", incident.rule.level.as_str().to_owned()),
        ("Count", incident.count.to_string()),
        ("When", how_often(incident)),
    ];
    let group = incident.group.iter().map(|(field, value)| (&**field, value.to_string()));
    let all = fixed.into_iter().chain(group).take(FIELDS_MAX);
    all.map(|(name, value)| {
        let name = mrkdwn(name, 64);
        // A code span may not be empty, nor hold what would end it.
        let value =
            if value.is_empty() { "–".to_owned() } else { mrkdwn_code(&value, FIELD_MAX) };
        json!({"type": "mrkdwn", "text": format!("*{name}*\n`{value}`"), "verbatim": true})
    })
    .collect()
}

fn section(text: &str) -> Json {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

fn context(view: &NoticeView<'_>) -> Json {
    let incident = &view.notice.incident;
    let text = format!("{} · #{} · {}", incident.id, incident.revision, incident.rule.id);
    json!({"type": "context", "elements": [
        {"type": "mrkdwn", "text": mrkdwn(&text, 300), "verbatim": true}]})
}

#[cfg(test)]
mod tests;

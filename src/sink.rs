//! Sinks: one attempt to deliver one message, and what came of it.
//!
//! A kind of sink is a file of this folder with a `KIND`, and its line in [`KINDS`]. What they
//! share lies beside them: [`envelope`] (the JSON of files and webhooks), `text` (log text made
//! harmless to show) and `http` (requests, their answers and what these mean).

pub mod envelope;
mod file;
mod http;
#[cfg(test)]
mod peer;
mod slack;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod webhook;

use crate::event::{FlatEvent, Timestamp};
use crate::finding::{Notice, Step};
use crate::kind::Kind;
use crate::yaml::{Node, Problems};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Every kind of sink.
pub const KINDS: &[&Kind<Box<dyn Sink>>] =
    &[&file::KIND, &slack::KIND, &terminal::KIND, &webhook::KIND];

/// All there is to tell when a message is rendered, which happens once, in the transaction that
/// makes it owed.
#[derive(Debug)]
pub struct NoticeView<'a> {
    /// What is told.
    pub notice: &'a Notice,
    /// The incident's evidence so far, oldest first.
    pub evidence: &'a [FlatEvent],
    /// The recommended steps.
    pub steps: &'a [Step],
}

/// A claimed message: its payload is what was rendered, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Idempotency key, the same at every attempt.
    pub id: String,
    /// The `type` of the outputs, for example `incident.opened`.
    pub kind: String,
    /// What [`Sink::render`] made.
    pub payload: String,
    /// Attempts so far, this one included.
    pub attempt: u32,
    /// When this attempt is made.
    pub now: Timestamp,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Done,
    /// It may arrive later: wait as told, or back off.
    Retry {
        /// What the other side asked for.
        after: Option<Duration>,
        /// What happened.
        why: String,
        /// Whether it may have arrived all the same (time-out after the request was written).
        maybe_delivered: bool,
    },
    /// The other side is there and asks for patience (HTTP 429): wait as told, or back off. However
    /// often it says so, the message is not given up for it.
    Throttled {
        /// What it asked for.
        after: Option<Duration>,
        /// What it said.
        why: String,
    },
    /// It will never arrive: keep it as a dead letter.
    Permanent {
        /// What the other side said.
        why: String,
    },
    /// Nothing will arrive until someone mends the set-up (wrong token, wrong address, wrong
    /// certificate): hold the whole sink and try slowly.
    Hold {
        /// What the other side said.
        why: String,
    },
}

/// The future of one attempt.
pub type Attempted<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Where messages go. One attempt a call, with its own time limits; when to try again, order and
/// holding back are decided around it.
pub trait Sink: Send + Sync + fmt::Debug {
    /// The payload of a message. Pure: no secrets, no clock.
    fn render(&self, view: &NoticeView<'_>) -> String;

    /// One attempt.
    fn send<'a>(&'a self, message: &'a Message) -> Attempted<'a>;

    /// Takes normalized events as they pass, before their commit: appends and flushes them.
    /// `None` for a sink that was not asked for events.
    fn events(&self) -> Option<&dyn EventSink> {
        None
    }

    /// Whether it was asked for messages about incidents; a route to one that was not is a mistake.
    fn takes_notices(&self) -> bool {
        true
    }

    /// Whether the other side can tell a repeated message by its id. One that cannot is sent the
    /// same message at most twice when it is unclear whether the first arrived.
    fn is_idempotent(&self) -> bool {
        true
    }
}

/// Takes events as they pass.
pub trait EventSink: Send + Sync {
    /// Writes whole lines; after a crash the same events may come again with the same ids.
    fn write(&self, lines: &[u8]) -> std::io::Result<()>;
}

/// What an output was asked to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Carried {
    events: bool,
    incidents: bool,
}

/// Reads `send:`, a list of `events` and `incidents` or one of them; without it, incidents.
fn read_send(entry: &Node, problems: &mut Problems) -> Option<Carried> {
    let Some(given) = entry.get("send") else {
        return Some(Carried { events: false, incidents: true });
    };
    let mut carried = Carried { events: false, incidents: false };
    for item in given.items() {
        match item.expect_text("what to send", problems)? {
            "events" => carried.events = true,
            "incidents" => carried.incidents = true,
            other => {
                problems.unknown(item.place, "thing to send", other, &["events", "incidents"]);
                return None;
            }
        }
    }
    if carried.events || carried.incidents {
        return Some(carried);
    }
    problems.error_hint(given.place, "this output sends nothing", "send: [incidents]");
    None
}

/// Reads `send:` of an output for people or for requests, which takes incidents only.
fn read_send_incidents(kind: &str, entry: &Node, problems: &mut Problems) -> Option<()> {
    let carried = read_send(entry, problems)?;
    if !carried.events {
        return Some(());
    }
    let place = entry.get("send").unwrap_or(entry).place;
    problems.error_hint(
        place,
        format!("an output of kind `{kind}` takes no `events`, only `incidents`"),
        "send events to an output of kind `file`",
    );
    None
}

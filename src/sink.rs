//! Sinks: one attempt to deliver one message, and what came of it.

use crate::event::{FlatEvent, Timestamp};
use crate::finding::{Notice, Step};
use crate::kind::Kind;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Every kind of sink.
pub const KINDS: &[&Kind<Box<dyn Sink>>] = &[];

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
}

/// Takes events as they pass.
pub trait EventSink: Send + Sync {
    /// Writes whole lines; after a crash the same events may come again with the same ids.
    fn write(&self, lines: &[u8]) -> std::io::Result<()>;
}

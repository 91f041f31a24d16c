//! One thread for a source: runs it, and starts it again after a pause when it fails.

use super::call::{Call, Permits};
use crate::clock::{Clock, pause};
use crate::event::SourceId;
use crate::source::{Source, SourceContext, Stopped};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest pause between two starts of a failing source.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How long a stop may go unnoticed while pausing.
const PAUSE_STEP: Duration = Duration::from_millis(200);

/// What a supervised source is given.
pub(super) struct Supervised {
    pub(super) id: SourceId,
    pub(super) name: Box<str>,
    pub(super) source: Box<dyn Source>,
    pub(super) calls: Sender<Call>,
    pub(super) permits: Permits,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) until_eof: bool,
    pub(super) clock: Clock,
}

/// Starts the thread. It ends when the source is done, or soon after `stop` is set.
pub(super) fn start(supervised: Supervised) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("source {}", supervised.name))
        .spawn(move || run(supervised))
}

fn run(mut this: Supervised) {
    let mut wait = Duration::from_secs(1);
    while !this.stop.load(Ordering::Relaxed) {
        let Some(context) = this.context() else { return };
        let result = this.source.run(context);
        let is_over = result.is_ok() || this.until_eof;
        if this.calls.send(Call::SourceEnded(this.id, result)).is_err() || is_over {
            return;
        }
        let mut waited = Duration::ZERO;
        while waited < wait && !this.stop.load(Ordering::Relaxed) {
            pause(PAUSE_STEP);
            waited += PAUSE_STEP;
        }
        wait = (wait * 2).min(PAUSE_MAX);
    }
}

impl Supervised {
    /// The context of the next run, with the positions committed so far; `None` if the owner has
    /// gone.
    fn context(&self) -> Option<SourceContext> {
        let (reply, positions) = channel();
        self.calls.send(Call::Positions(self.id, reply)).ok()?;
        let positions = positions.recv().ok()?;
        let (calls, permits) = (self.calls.clone(), self.permits.clone());
        Some(SourceContext {
            id: self.id,
            name: self.name.clone(),
            positions,
            output: Box::new(move |batch| {
                calls.send(Call::Batch(batch, permits.take())).map_err(|_gone| Stopped)
            }),
            stop: Arc::clone(&self.stop),
            until_eof: self.until_eof,
            clock: self.clock.clone(),
        })
    }
}

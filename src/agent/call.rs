//! What the owner of the truth is told, by sources, outputs and people.

use super::deliver::OutboxCall;
use crate::event::SourceId;
use crate::finding::Order;
use crate::source::{Batch, SourceError};
use crate::store::Positions;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Everything that reaches the owner thread.
pub(super) enum Call {
    /// A source read something.
    Batch(Batch, Permit),
    /// A source is about to start: commit, and give it its positions.
    Positions(SourceId, Sender<Positions>),
    /// A source has stopped for good (end reached, or told to stop) or will be started again.
    SourceEnded(SourceId, Result<(), SourceError>),
    /// A delivery worker.
    Outbox(OutboxCall),
    /// A person's order about an incident.
    Order(Order, oneshot::Sender<Result<(), String>>),
    /// A message to one output, or to all, to see whether it arrives.
    TestAlert(Option<Box<str>>, oneshot::Sender<Result<Vec<String>, String>>),
    /// A dead letter is to be tried again.
    Requeue(i64, oneshot::Sender<Result<(), String>>),
    /// Dead letters are to be thrown away.
    Purge(oneshot::Sender<Result<usize, String>>),
    /// Commit and end.
    Stop,
}

/// Answers a call. Who no longer waits has been stopped or has given up, and needs no answer.
pub(super) fn reply<T>(to: oneshot::Sender<T>, answer: T) {
    if to.send(answer).is_err() {
        tracing::debug!("an answer came too late");
    }
}

/// Batches that may wait for the owner; a source that has more waits itself.
const BATCHES_MAX: usize = 8;

/// The back-pressure: a batch holds a permit until it was taken into the pipeline.
#[derive(Clone, Default)]
pub(super) struct Permits(Arc<(Mutex<usize>, Condvar)>);

impl Permits {
    /// Blocks until one is free.
    pub(super) fn take(&self) -> Permit {
        let (count, freed) = &*self.0;
        let mut held = count.lock().unwrap_or_else(PoisonError::into_inner);
        while *held >= BATCHES_MAX {
            held = freed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held += 1;
        Permit(self.clone())
    }
}

/// Gives itself back when dropped.
pub(super) struct Permit(Permits);

impl Drop for Permit {
    fn drop(&mut self) {
        let (count, freed) = &*self.0.0;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        freed.notify_one();
    }
}

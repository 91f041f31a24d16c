//! The one thread that owns the truth: it steps the pipeline and is the only writer of the store.

use super::AgentError;
use super::call::{Call, reply};
use super::commit::{self, Pending};
use super::outbox::{self, InHand};
use crate::clock::{Clock, monotonic, pause};
use crate::event::{SourceId, Timestamp};
use crate::fact::{Fact, FactKind};
use crate::finding::Order;
use crate::pipeline::{Effect, Input, Pipeline};
use crate::sink::{Sink, envelope};
use crate::source::{Batch, SourceError};
use crate::store::{Positions, RetentionPolicy, Store, StoreError};
use crate::telemetry::{Stage, Telemetry};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// How long what owes nothing to anyone may wait for its commit.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How often time moves on by itself while nothing happens.
const TICK_EVERY: Duration = Duration::from_secs(1);
/// Effects that are held before a commit whatever the time.
const EFFECTS_MAX: usize = 20_000;
/// Pause before a failed commit is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often old rows are looked for, and how many go at a time.
const RETAIN_EVERY: Duration = Duration::from_mins(1);
const RETAIN_ROWS: u32 = 500;

/// An output by name.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) name: Box<str>,
    pub(super) sink: Arc<dyn Sink>,
    /// Wakes its delivery worker.
    pub(super) wake: Arc<Notify>,
}

/// See the module's documentation.
pub(super) struct Owner {
    pub(super) pipeline: Pipeline,
    pub(super) store: Store,
    pub(super) sources: Vec<Box<str>>,
    pub(super) outputs: Vec<Output>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Clock,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) until_eof: bool,
    /// The state folder.
    pub(super) state: PathBuf,
    /// Names this run in the leases of the outbox.
    pub(super) boot: String,
    /// Messages that delivery workers have in hand, by row; at most one an output.
    pub(super) in_hand: BTreeMap<i64, InHand>,
    pub(super) pending: Pending,
    pub(super) progress: Progress,
}

/// When things were last done.
pub(super) struct Progress {
    /// Sources that still run.
    pub(super) running: usize,
    /// Since when something waits for its commit, and when the newest of it was read.
    waiting: Option<(Instant, Timestamp)>,
    /// Told once every source has ended.
    ended: Option<oneshot::Sender<()>>,
    has_records: bool,
    ticked: Instant,
    retained: Instant,
}

impl Progress {
    pub(super) fn new(running: usize, ended: oneshot::Sender<()>) -> Self {
        let now = monotonic();
        Self {
            running,
            waiting: None,
            ended: Some(ended),
            has_records: false,
            ticked: now,
            retained: now,
        }
    }
}

/// Whether the owner goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Owner {
    /// Works until it is told to stop, or until every source has ended (`until_eof`).
    pub(super) fn run(mut self, calls: &Receiver<Call>) -> Result<(), AgentError> {
        loop {
            let next = match calls.recv_timeout(self.patience()) {
                Ok(call) => self.take(call)?,
                Err(RecvTimeoutError::Timeout) => Next::GoOn,
                Err(RecvTimeoutError::Disconnected) => Next::End,
            };
            if next == Next::End {
                break;
            }
            self.on_time()?;
        }
        self.commit()
    }

    /// How long to wait for a call before something else is due.
    fn patience(&self) -> Duration {
        let until = |since: Instant, every: Duration| {
            every.saturating_sub(monotonic().duration_since(since))
        };
        match self.progress.waiting {
            Some((since, _)) => until(since, COMMIT_EVERY),
            None => until(self.progress.ticked, TICK_EVERY),
        }
    }

    fn take(&mut self, call: Call) -> Result<Next, AgentError> {
        match call {
            Call::Batch(batch, permit) => {
                self.batch(batch);
                drop(permit);
                let is_full = self.pending.effects.len() >= EFFECTS_MAX;
                if is_full || self.pending.owes() {
                    self.commit()?;
                }
            }
            Call::Positions(source, to) => {
                self.commit()?;
                if to.send(self.positions(source)?).is_err() {
                    tracing::debug!("a source was stopped before it started");
                }
            }
            Call::SourceEnded(source, result) => self.source_ended(source, result)?,
            Call::Outbox(call) => outbox::answer(self, call),
            Call::Order(order, to) => reply(to, self.order(&order)?),
            Call::TestAlert(sink, to) => reply(to, outbox::test_alert(self, sink.as_deref())),
            Call::Requeue(row, to) => reply(to, outbox::requeue(self, row)),
            Call::Purge(to) => reply(to, outbox::purge(self)),
            Call::Stop => return Ok(Next::End),
        }
        Ok(Next::GoOn)
    }

    fn batch(&mut self, batch: Batch) {
        let began = monotonic();
        let effects = &mut self.pending.effects;
        let mut records = 0_u32;
        let mut newest = None;
        for record in batch.records() {
            newest = Some(record.received);
            records += 1;
            self.pipeline.step(Input::Record(record), effects);
        }
        effects.extend(batch.facts.into_iter().map(Effect::Note));
        self.pending.positions(batch.source, batch.positions);
        let read = newest.unwrap_or_else(|| self.clock.now());
        self.progress.has_records |= records > 0;
        let since = self.progress.waiting.map_or(began, |(since, _)| since);
        self.progress.waiting = Some((since, read));
        if let Some(newest) = newest {
            let took = monotonic().duration_since(began);
            self.telemetry.time(Stage::Step, took / records.max(1));
            let queued = self.clock.now().since(newest).saturating_sub(took.as_nanos() as i64);
            self.telemetry.time(Stage::Queue, Duration::from_nanos(queued.max(0) as u64));
        }
    }

    /// Does what is due by time alone.
    fn on_time(&mut self) -> Result<(), AgentError> {
        let now = monotonic();
        if self.progress.waiting.is_some_and(|(since, _)| now.duration_since(since) >= COMMIT_EVERY)
        {
            self.commit()?;
        }
        if now.duration_since(self.progress.ticked) >= TICK_EVERY {
            self.progress.ticked = now;
            self.pipeline.step(Input::Tick(self.clock.now()), &mut self.pending.effects);
            if !self.pending.is_empty() && self.progress.waiting.is_none() {
                self.commit()?;
            }
        }
        if now.duration_since(self.progress.retained) >= RETAIN_EVERY {
            self.progress.retained = now;
            self.retain();
        }
        Ok(())
    }

    fn retain(&mut self) {
        let policy = RetentionPolicy::default();
        let result = self.store.retain(self.clock.now(), &policy, RETAIN_ROWS);
        if let Err(error) = result.and_then(|_| self.store.vacuum(RETAIN_ROWS)) {
            tracing::warn!("old rows stay for now: {error}");
        }
    }

    /// Commits everything pending. While that fails it is tried again; nothing is read meanwhile,
    /// nothing is skipped. Only a store that cannot get better ends the agent.
    pub(super) fn commit(&mut self) -> Result<(), AgentError> {
        if std::mem::take(&mut self.progress.has_records) || !self.pending.is_empty() {
            self.pipeline.step(Input::Checkpoint, &mut self.pending.effects);
        }
        let waiting = self.progress.waiting.take();
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write_events();
        let began = monotonic();
        loop {
            let now = self.clock.now();
            let result =
                commit::commit(&mut self.store, &self.pending, &self.sources, &self.outputs, now);
            match result {
                Ok(()) => break,
                Err(error) if commit::is_final(&error) => return Err(error.into()),
                Err(error) => self.failed(error)?,
            }
        }
        self.telemetry.time(Stage::Commit, monotonic().duration_since(began));
        self.telemetry.note(&Fact::count(FactKind::Commits, None, 1));
        self.committed(waiting.map(|(_, read)| read));
        Ok(())
    }

    fn failed(&self, error: StoreError) -> Result<(), AgentError> {
        tracing::error!("nothing was committed and nothing is read until it can be: {error}");
        if self.stop.load(Ordering::Relaxed) {
            return Err(error.into());
        }
        pause(RETRY_AFTER);
        Ok(())
    }

    fn committed(&mut self, read: Option<Timestamp>) {
        if let Some(read) = read
            && self.pending.owes()
        {
            let took = self.clock.now().since(read).max(0);
            self.telemetry.time(Stage::Detect, Duration::from_nanos(took as u64));
        }
        let mut has_sent = false;
        for effect in std::mem::take(&mut self.pending).effects {
            match effect {
                Effect::Note(fact) => self.telemetry.note(&fact),
                Effect::Send(_) => has_sent = true,
                _ => {}
            }
        }
        if has_sent {
            self.outputs.iter().for_each(|output| output.wake.notify_one());
        }
    }

    /// Events leave before their commit: after a crash they may come again with the same ids, and
    /// none is missing.
    fn write_events(&mut self) {
        let mut lines = Vec::new();
        self.pending.effects.retain(|effect| {
            let Effect::Event(event) = effect else { return true };
            envelope::event_line(event, &mut lines);
            false
        });
        if lines.is_empty() {
            return;
        }
        for output in &self.outputs {
            let Some(events) = output.sink.events() else { continue };
            while let Err(error) = events.write(&lines) {
                tracing::error!(output = &*output.name, "events cannot be written: {error}");
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
                pause(RETRY_AFTER);
            }
        }
    }

    fn positions(&self, source: SourceId) -> Result<Positions, AgentError> {
        let name = self.sources.get(usize::from(source.0));
        Ok(name.map_or(Ok(Positions::new()), |name| self.store.positions(name))?)
    }

    /// When the last source has come to its end, people are told where every incident stands, and
    /// the agent begins to end: messages are still delivered.
    fn source_ended(
        &mut self,
        source: SourceId,
        result: Result<(), SourceError>,
    ) -> Result<(), AgentError> {
        if let Err(error) = result {
            self.telemetry.note(&Fact::told(
                FactKind::SourceErrors,
                Some(source),
                error.to_string(),
            ));
            if !self.until_eof {
                return Ok(());
            }
        }
        self.progress.running = self.progress.running.saturating_sub(1);
        if self.until_eof && self.progress.running == 0 {
            self.pipeline.step(Input::Flush, &mut self.pending.effects);
            self.commit()?;
            if let Some(ended) = self.progress.ended.take() {
                reply(ended, ());
            }
        }
        Ok(())
    }

    fn order(&mut self, order: &Order) -> Result<Result<(), String>, AgentError> {
        let stored = self.store.incident(&order.incident)?;
        let mut effects = Vec::new();
        self.pipeline.step(Input::Order(order, stored, self.clock.now()), &mut effects);
        let refused = effects.iter().find_map(|effect| match effect {
            Effect::Refused(why) => Some(why.clone()),
            _ => None,
        });
        self.pending.effects.extend(effects);
        self.commit()?;
        Ok(refused.map_or(Ok(()), Err))
    }
}

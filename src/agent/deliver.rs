//! Delivery: one worker for each output takes what is owed, tries to send it, and says what came
//! of it, until it is delivered or given up.
//!
//! What is owed lies in the store, whose only owner is the commit thread: a worker asks it through
//! an [`OutboxPort`] and keeps nothing that a crash could lose. A message is claimed (and its
//! attempt counted, durably) before a byte of it leaves, and settled before the next one is claimed.
//!
//! - One attempt at a time for each output, the messages of one incident strictly in order.
//! - No worker waits for another: an output that is slow, down or held delays only itself.
//! - When to try again, when to pause an output and when to give up is decided in [`policy`].
//! - A worker wakes when something new is owed to its output, and else when the next try is due.

pub mod policy;

use crate::clock::Clock;
use crate::event::Timestamp;
use crate::fact::FactKind;
use crate::sink::{Message, Outcome, Sink};
use policy::{DOUBTFUL_MAX, Policy, Verdict};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long a running attempt may still take when the agent stops.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long a worker sleeps at most before it looks at the clock again.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// How long it waits when the owner of the store could not answer.
const OWNER_PAUSE: Duration = Duration::from_secs(1);

/// A message that is owed, claimed for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its row.
    pub row: i64,
    /// The incident it is about.
    pub incident: String,
    /// Its idempotency key, the same at every attempt.
    pub id: String,
    /// Its `type`, for example `incident.opened`.
    pub kind: String,
    /// What was rendered when it became owed, byte for byte.
    pub payload: String,
    /// Attempts that count, this one included.
    pub attempts: u32,
    /// When it became owed.
    pub first_at: Timestamp,
    /// How many earlier attempts may have delivered it.
    pub maybe_delivered: u32,
}

/// What becomes of a claimed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It was delivered.
    Done,
    /// It is owed again from `next_at`.
    Retry {
        /// The wall time of the next attempt.
        next_at: Timestamp,
        /// What happened.
        error: String,
        /// Whether the attempt counts; one that does not is taken off `attempts`.
        counted: bool,
        /// Whether it may have been delivered; then one more is added to `maybe_delivered`.
        maybe_delivered: bool,
    },
    /// It is given up and kept as a dead letter.
    Dead {
        /// Why.
        error: String,
    },
    /// It is owed again at once, and the attempt is taken off `attempts`: the output is on hold.
    Ready {
        /// What holds it.
        error: String,
    },
}

impl Settlement {
    /// What is counted for it.
    pub const fn fact(&self) -> FactKind {
        match self {
            Self::Done => FactKind::DeliveriesDone,
            Self::Retry { .. } => FactKind::DeliveriesRetried,
            Self::Dead { .. } => FactKind::DeliveriesDead,
            Self::Ready { .. } => FactKind::DeliveriesHeld,
        }
    }
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This one, now in flight.
    Message(Owed),
    /// Nothing is due.
    Nothing {
        /// When something will be, if anything is owed at all.
        next_at: Option<Timestamp>,
    },
}

/// How an output is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkState {
    /// It takes messages, as far as is known.
    Up,
    /// It asked for patience.
    Throttled {
        /// Until when nothing is sent.
        until: Timestamp,
        /// What it said.
        why: String,
    },
    /// It failed several times in a row; single messages probe it.
    Down {
        /// When the next one does.
        until: Timestamp,
        /// The last failure.
        why: String,
    },
    /// Its set-up is refused; single messages probe it.
    Held {
        /// When the next one does.
        until: Timestamp,
        /// What it said.
        why: String,
    },
}

/// A question or an order to the owner of the store, who takes them in order until the last worker
/// has ended. An answer that never comes (the reply is dropped) says that the store failed; it is
/// asked again.
#[derive(Debug)]
pub enum OutboxCall {
    /// Takes the message owed to `sink` that has been due the longest at `now` (then the oldest),
    /// of those whose incident has no older one owed to the same output; counts the attempt;
    /// durable before the answer. What was in flight when the agent last ended is owed again, with
    /// one more in `maybe_delivered`.
    Claim {
        /// The output's name.
        sink: Arc<str>,
        /// The wall time.
        now: Timestamp,
        /// The answer.
        reply: oneshot::Sender<Claim>,
    },
    /// Writes down what came of a claimed message; durable before the answer.
    Settle {
        /// Its row.
        row: i64,
        /// What became of it.
        settlement: Settlement,
        /// The answer.
        reply: oneshot::Sender<()>,
    },
    /// Messages owed to `sink` that are due only after `after` become due at `to`: the output is
    /// back after a failure, or the wall clock was set back.
    PullIn {
        /// The output's name.
        sink: Arc<str>,
        /// What is due later than this.
        after: Timestamp,
        /// When it is due now.
        to: Timestamp,
    },
    /// The output's state changed; for people, nothing depends on it.
    SinkState {
        /// The output's name.
        sink: Arc<str>,
        /// Its state.
        state: SinkState,
    },
}

/// The owner of the store has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store is closed")]
pub struct OwnerGone;

/// How a worker hands a call to the owner; it must not block.
type Call = dyn Fn(OutboxCall) -> Result<(), OwnerGone> + Send + Sync;

/// The way to the owner of the store.
#[derive(Clone)]
pub struct OutboxPort(Arc<Call>);

impl OutboxPort {
    /// A port over a function that puts a call into the owner's queue without blocking. A worker
    /// has at most one [`OutboxCall::Claim`] or [`OutboxCall::Settle`] under way and sends at most
    /// two of the other calls for each, so the queue is bounded by the number of outputs.
    pub fn new(call: impl Fn(OutboxCall) -> Result<(), OwnerGone> + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    fn tell(&self, call: OutboxCall) -> Result<(), OwnerGone> {
        (self.0)(call)
    }

    /// `None` when the owner could not answer.
    async fn ask<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<T>) -> OutboxCall,
    ) -> Result<Option<T>, OwnerGone> {
        let (reply, answer) = oneshot::channel();
        self.tell(call(reply))?;
        Ok(answer.await.ok())
    }
}

impl fmt::Debug for OutboxPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OutboxPort")
    }
}

/// What the workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Deliver, and wait for more.
    #[default]
    Run,
    /// Deliver what can be delivered now and end: what is to be tried later, or is owed to an
    /// output that is down or held, stays owed.
    Drain,
    /// Claim nothing more; end with the running attempt, at the latest after [`STOP_GRACE`].
    Stop,
}

/// What a worker is made of.
#[derive(Debug)]
pub struct WorkerParts {
    /// The output's name in the configuration.
    pub name: Arc<str>,
    /// The output.
    pub sink: Arc<dyn Sink>,
    /// The way to what is owed.
    pub port: OutboxPort,
    /// `notify_one` after each commit that made something owed to this output.
    pub wake: Arc<Notify>,
    /// What to do; when its sender is gone, the worker stops.
    pub mode: watch::Receiver<Mode>,
    /// The wall clock.
    pub clock: Clock,
    /// Seed of the jitter; different for each output and host.
    pub seed: u64,
}

/// The worker of one output.
#[derive(Debug)]
pub struct Worker {
    parts: WorkerParts,
    policy: Policy,
    told: SinkState,
    seen: (Timestamp, Instant),
}

/// Why a worker ends.
enum End {
    /// It was told to, or nothing is left to do now.
    Asked,
    /// There is nobody to ask any more.
    OwnerGone,
}

impl From<OwnerGone> for End {
    fn from(OwnerGone: OwnerGone) -> Self {
        Self::OwnerGone
    }
}

impl Worker {
    /// A worker that has done nothing yet.
    pub fn new(parts: WorkerParts) -> Self {
        let doubtful_max = if parts.sink.is_idempotent() { u32::MAX } else { DOUBTFUL_MAX };
        let policy = Policy::new(doubtful_max, parts.seed);
        let seen = (parts.clock.now(), Instant::now());
        Self { parts, policy, told: SinkState::Up, seen }
    }

    /// Delivers until it is told to end. `Err` if the owner of the store ended first.
    pub async fn run(mut self) -> Result<(), OwnerGone> {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(End::Asked) => return Ok(()),
                Err(End::OwnerGone) => return Err(OwnerGone),
            }
        }
    }

    /// One claim and its attempt, or one wait.
    async fn turn(&mut self) -> Result<(), End> {
        let mode = self.mode();
        if mode == Mode::Stop {
            return Err(End::Asked);
        }
        let now = self.check_clock()?;
        if let Some(until) = self.policy.closed_until(now) {
            return self.wait(mode, Some(until)).await;
        }
        let sink = Arc::clone(&self.parts.name);
        let claim = |reply| OutboxCall::Claim { sink, now, reply };
        match self.parts.port.ask(claim).await? {
            Some(Claim::Message(owed)) => self.handle(owed).await,
            Some(Claim::Nothing { next_at }) => self.wait(mode, next_at).await,
            None => self.wait(mode, Some(now.plus(OWNER_PAUSE.as_nanos() as i64))).await,
        }
    }

    async fn handle(&mut self, owed: Owed) -> Result<(), End> {
        if let Some(settlement) = self.policy.refuse(&owed) {
            return self.settle(owed.row, settlement).await;
        }
        let Some(outcome) = self.attempt(&owed).await else {
            let settlement = Settlement::Retry {
                next_at: self.parts.clock.now(),
                error: "the agent was stopped during the attempt".to_owned(),
                counted: false,
                maybe_delivered: true,
            };
            return self.settle(owed.row, settlement).await;
        };
        let now = self.parts.clock.now();
        let Verdict { settlement, recovered } = self.policy.judge(&owed, outcome, now);
        self.settle(owed.row, settlement).await?;
        self.tell_state()?;
        if recovered {
            let sink = Arc::clone(&self.parts.name);
            self.parts.port.tell(OutboxCall::PullIn { sink, after: now, to: now })?;
        }
        Ok(())
    }

    /// One attempt; `None` if the agent stopped and did not want to wait for it any longer.
    async fn attempt(&mut self, owed: &Owed) -> Option<Outcome> {
        let message = Message {
            id: owed.id.clone(),
            kind: owed.kind.clone(),
            payload: owed.payload.clone(),
            attempt: owed.attempts,
            now: self.parts.clock.now(),
        };
        let sink = Arc::clone(&self.parts.sink);
        // A task of its own, so that even a panic in an output costs only this message; in a set,
        // so that it ends with the worker.
        let mut task = JoinSet::new();
        task.spawn(async move { sink.send(&message).await });
        tokio::select! {
            biased;
            ended = task.join_next() => match ended {
                Some(Ok(outcome)) => Some(outcome),
                Some(Err(error)) if error.is_panic() => Some(Outcome::Permanent {
                    why: "the output failed inside; this is a bug of tripline".to_owned(),
                }),
                Some(Err(_)) | None => None,
            },
            () = stopped(self.parts.mode.clone()) => None,
        }
    }

    /// Writes down what came of it; a store that fails is asked until it does, or until the stop:
    /// then the message is in flight, and is owed again when the agent starts.
    async fn settle(&mut self, row: i64, settlement: Settlement) -> Result<(), End> {
        loop {
            let settlement = settlement.clone();
            let settle = |reply| OutboxCall::Settle { row, settlement, reply };
            if self.parts.port.ask(settle).await?.is_some() {
                return Ok(());
            }
            if self.mode() != Mode::Run {
                return Err(End::Asked);
            }
            sleep(OWNER_PAUSE).await;
        }
    }

    /// Sleeps until a wall time, a wake-up or a new mode; draining, there is nothing to wait for.
    async fn wait(&mut self, mode: Mode, until: Option<Timestamp>) -> Result<(), End> {
        if mode == Mode::Drain {
            return Err(End::Asked);
        }
        let now = self.parts.clock.now();
        let asleep = async {
            match until {
                Some(until) => {
                    let nanos = u64::try_from(until.since(now)).unwrap_or_default();
                    sleep(Duration::from_nanos(nanos).min(SLEEP_MAX)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = asleep => Ok(()),
            () = self.parts.wake.notified() => Ok(()),
            changed = self.parts.mode.changed() => changed.map_err(|_sender_gone| End::Asked),
        }
    }

    fn mode(&mut self) -> Mode {
        // A sender that is gone can say no more, so the worker must not wait for it.
        let gone = self.parts.mode.has_changed().is_err();
        if gone { Mode::Stop } else { *self.parts.mode.borrow_and_update() }
    }

    /// The wall time; after it was set back, no wait may last until the old time comes again.
    fn check_clock(&mut self) -> Result<Timestamp, OwnerGone> {
        let (now, instant) = (self.parts.clock.now(), Instant::now());
        let passed = instant.saturating_duration_since(self.seen.1).as_nanos() as i64;
        let behind = self.seen.0.plus(passed).since(now);
        self.seen = (now, instant);
        if let Some((after, to)) = self.policy.clock_went_back(behind, now) {
            let sink = Arc::clone(&self.parts.name);
            self.parts.port.tell(OutboxCall::PullIn { sink, after, to })?;
        }
        Ok(now)
    }

    fn tell_state(&mut self) -> Result<(), OwnerGone> {
        let state = self.policy.state();
        if state == self.told {
            return Ok(());
        }
        self.told = state.clone();
        let sink = Arc::clone(&self.parts.name);
        self.parts.port.tell(OutboxCall::SinkState { sink, state })
    }
}

/// Ends [`STOP_GRACE`] after the mode became [`Mode::Stop`].
async fn stopped(mut mode: watch::Receiver<Mode>) {
    // An error says that the sender is gone, which is a stop as well.
    match mode.wait_for(|mode| *mode == Mode::Stop).await {
        Ok(_) | Err(_) => {}
    }
    sleep(STOP_GRACE).await;
}

#[cfg(test)]
mod tests;

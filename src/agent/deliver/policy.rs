//! When to try again, when to pause an output, when to give up. Pure: the time is told, chance
//! comes from a seed.

use super::{Owed, Settlement, SinkState};
use crate::event::Timestamp;
use crate::sink::Outcome;
use std::time::Duration;

/// The first back-off.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The longest back-off.
pub const BACKOFF_MAX: Duration = Duration::from_mins(15);
/// A message that was owed this long is given up at its next failure.
pub const AGE_MAX: Duration = Duration::from_hours(72);
/// How often an output on hold is probed.
pub const HOLD_PROBE: Duration = Duration::from_mins(1);
/// Failures in a row that pause an output.
pub const BREAKER_FAILURES: u32 = 5;
/// The first such pause; every failed probe doubles it.
pub const BREAKER_BASE: Duration = Duration::from_secs(5);
/// The longest such pause.
pub const BREAKER_MAX: Duration = Duration::from_mins(5);
/// Attempts that may have arrived, at an output that cannot tell a repetition.
pub const DOUBTFUL_MAX: u32 = 2;
/// A wall clock that is set back further than this is noticed.
pub const CLOCK_JUMP: Duration = Duration::from_mins(1);

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the message.
    pub settlement: Settlement,
    /// Whether the output was down or held and is now back: what waits need not wait longer.
    pub recovered: bool,
}

/// What is known about one output, and when it may be sent to.
#[derive(Debug)]
pub struct Policy {
    doubtful_max: u32,
    jitter: Jitter,
    gate: Gate,
    throttles: u32,
    /// Until when the output itself asked for patience, and what it said.
    patience: Option<(Timestamp, String)>,
}

/// Whether messages go through.
#[derive(Debug)]
enum Gate {
    /// They do; so many failures came in a row.
    Closed { failures: u32 },
    /// A single one does after `until`; the pause before was `pause`.
    Open { until: Timestamp, pause: Duration, why: String },
    /// A single one does after `until`, for as long as it takes.
    Held { until: Timestamp, why: String },
}

impl Policy {
    /// An output of which nothing is known yet, and to which a message is sent again at most until
    /// `doubtful_max` attempts may have delivered it.
    pub fn new(doubtful_max: u32, seed: u64) -> Self {
        let gate = Gate::Closed { failures: 0 };
        Self { doubtful_max, jitter: Jitter(seed), gate, throttles: 0, patience: None }
    }

    /// Until when nothing may be sent; `None` if something may be at `now`.
    pub fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        let gate = match &self.gate {
            Gate::Closed { .. } => None,
            Gate::Open { until, .. } | Gate::Held { until, .. } => Some(*until),
        };
        let patience = self.patience.as_ref().map(|(until, _)| *until);
        gate.max(patience).filter(|until| *until > now)
    }

    /// What to do with a message instead of sending it, if it must not be sent.
    pub fn refuse(&self, owed: &Owed) -> Option<Settlement> {
        let refused = owed.maybe_delivered >= self.doubtful_max;
        refused
            .then(|| Settlement::Dead { error: doubtful(owed.maybe_delivered, "no answer came") })
    }

    /// Decides about a message and its output after an attempt.
    pub fn judge(&mut self, owed: &Owed, outcome: Outcome, now: Timestamp) -> Verdict {
        let was_up = matches!(self.gate, Gate::Closed { .. });
        self.patience.take_if(|(until, _)| *until <= now);
        let settlement = match outcome {
            Outcome::Done => {
                self.answered();
                Settlement::Done
            }
            Outcome::Permanent { why } => {
                self.answered();
                Settlement::Dead { error: why }
            }
            Outcome::Hold { why } => {
                let until = later(now, HOLD_PROBE);
                self.gate = Gate::Held { until, why: why.clone() };
                Settlement::Ready { error: why }
            }
            Outcome::Throttled { after, why } => self.throttled(after, why, now),
            Outcome::Retry { after, why, maybe_delivered } => {
                self.failed(&why, now);
                if let Some(after) = after {
                    self.patience = Some((later(now, after), why.clone()));
                }
                self.again(owed, &why, u32::from(maybe_delivered), now)
            }
        };
        let is_up = matches!(self.gate, Gate::Closed { .. });
        Verdict { settlement, recovered: is_up && !was_up }
    }

    /// How the output is, for people.
    pub fn state(&self) -> SinkState {
        match (&self.gate, &self.patience) {
            (Gate::Held { until, why }, _) => SinkState::Held { until: *until, why: why.clone() },
            (Gate::Open { until, why, .. }, _) => {
                SinkState::Down { until: *until, why: why.clone() }
            }
            (Gate::Closed { .. }, Some((until, why))) => {
                SinkState::Throttled { until: *until, why: why.clone() }
            }
            (Gate::Closed { .. }, None) => SinkState::Up,
        }
    }

    /// When the wall clock fell `behind` (in nanoseconds): what the messages that are due too far
    /// ahead are moved to, as (later than, to). The output's own waits are moved here.
    pub fn clock_went_back(
        &mut self,
        behind: i64,
        now: Timestamp,
    ) -> Option<(Timestamp, Timestamp)> {
        if behind <= nanos(CLOCK_JUMP) {
            return None;
        }
        let after = later(now, BACKOFF_MAX);
        let to = later(now, self.jitter.up_to(BACKOFF_BASE));
        let gate = match &mut self.gate {
            Gate::Closed { .. } => None,
            Gate::Open { until, .. } | Gate::Held { until, .. } => Some(until),
        };
        let patience = self.patience.as_mut().map(|(until, _)| until);
        for until in gate.into_iter().chain(patience).filter(|until| **until > after) {
            *until = to;
        }
        Some((after, to))
    }

    /// The output answered as an output does.
    fn answered(&mut self) {
        self.gate = Gate::Closed { failures: 0 };
        self.throttles = 0;
        self.patience = None;
    }

    /// It is there, so it has not failed, but wants to be left alone.
    fn throttled(&mut self, after: Option<Duration>, why: String, now: Timestamp) -> Settlement {
        if !matches!(self.gate, Gate::Closed { .. }) {
            self.gate = Gate::Closed { failures: 0 };
        }
        self.throttles = self.throttles.saturating_add(1);
        let wait = after.unwrap_or_else(|| backoff(self.throttles, &mut self.jitter));
        let next_at = later(now, wait.max(BACKOFF_BASE));
        self.patience = Some((next_at, why.clone()));
        Settlement::Retry { next_at, error: why, counted: false, maybe_delivered: false }
    }

    fn failed(&mut self, why: &str, now: Timestamp) {
        let pause = match &mut self.gate {
            Gate::Closed { failures } => {
                *failures += 1;
                if *failures < BREAKER_FAILURES {
                    return;
                }
                BREAKER_BASE
            }
            Gate::Open { pause, .. } => pause.saturating_mul(2).min(BREAKER_MAX),
            // The set-up was refused before and now nobody answers: that is a new failure.
            Gate::Held { .. } => BREAKER_BASE,
        };
        let until = later(now, pause / 2 + self.jitter.up_to(pause / 2));
        self.gate = Gate::Open { until, pause, why: why.to_owned() };
    }

    fn again(&mut self, owed: &Owed, why: &str, newly_doubtful: u32, now: Timestamp) -> Settlement {
        let sent = owed.maybe_delivered.saturating_add(newly_doubtful);
        if sent >= self.doubtful_max {
            return Settlement::Dead { error: doubtful(sent, why) };
        }
        if now.since(owed.first_at) >= nanos(AGE_MAX) {
            let hours = AGE_MAX.as_secs() / 3_600;
            return Settlement::Dead { error: format!("given up after {hours} h: {why}") };
        }
        let mut next_at = later(now, backoff(owed.attempts, &mut self.jitter));
        if let Some((until, _)) = &self.patience {
            next_at = next_at.max(*until);
        }
        let maybe_delivered = newly_doubtful > 0;
        Settlement::Retry { next_at, error: why.to_owned(), counted: true, maybe_delivered }
    }
}

fn doubtful(times: u32, why: &str) -> String {
    format!("sent {times} times and perhaps delivered each time: {why}")
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.plus(nanos(wait))
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Exponential back-off with full jitter: anything up to `base * 2^(attempts - 1)`, at most the
/// longest (Marc Brooker, "Exponential Backoff And Jitter", 2015).
pub fn backoff(attempts: u32, jitter: &mut Jitter) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    jitter.up_to(BACKOFF_BASE.saturating_mul(1 << doublings).min(BACKOFF_MAX))
}

/// Pseudo-random waits from a seed (SplitMix64, after Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Jitter(pub u64);

impl Jitter {
    /// A time from nothing up to `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next() % nanos.saturating_add(1).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;

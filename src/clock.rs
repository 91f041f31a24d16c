//! The only place that reads a clock. Everything else is told the time.

#![expect(clippy::disallowed_methods, reason = "this is the place")]

use crate::event::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock, or one that a test moves by hand.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's.
    #[default]
    System,
    /// Nanoseconds since the epoch, set by a test.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The wall time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => from_system(SystemTime::now()),
            Self::Manual(nanos) => Timestamp::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }
}

/// A system time (for example of a file) as a timestamp.
pub fn from_system(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        Err(before) => {
            let nanos = i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX);
            Timestamp::from_nanos(-nanos)
        }
    }
}

/// A monotonic instant, for durations.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Blocks the thread.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

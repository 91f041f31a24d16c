//! `tripline demo`: a shop's log, written live into a temporary folder and watched by the agent.

mod story;

use super::{Answer, Failure, terminal};
use crate::clock::{self, Clock};
use crate::event::Timestamp;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use story::Moment;
use tokio::sync::oneshot;

const EXAMPLES: &str = "\
Examples:
  tripline demo
  tripline demo --seconds 20 --speed 15
  tripline demo --keep                          leave the log behind, to hunt in it

The attacks: passwords guessed until one fits, many accounts tried once, a new account that is used
at once, its way to root, and its traces wiped.";

/// How long the agent still looks once the story is told.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// The longest pause between two looks at whether to stop.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Watch a simulated shop being attacked
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// How many times faster than life
    #[arg(long, value_name = "X", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    speed: u32,
    /// How long it takes
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=3_600))]
    seconds: u32,
    /// Keep the temporary folder
    #[arg(long)]
    keep: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let folder = std::env::temp_dir().join(format!("tripline-demo-{}", std::process::id()));
    let shown = folder.display().to_string();
    let unwritable = |error: io::Error| {
        Failure::usage(format!("cannot write to `{shown}`: {}", terminal::reason(&error)))
    };
    DirBuilder::new().mode(0o700).create(&folder).map_err(unwritable)?;
    let log = folder.join("auth.log");
    File::create(&log).map_err(unwritable)?;
    let config = folder.join("tripline.yml");
    fs::write(&config, CONFIG).map_err(unwritable)?;
    terminal::say(&format!("a shop's log, attacked: {}", log.display()));
    let stop = Arc::new(AtomicBool::new(false));
    let (say_over, over) = oneshot::channel();
    let story = Story { log, stop: Arc::clone(&stop), over: say_over };
    let writer = spawn_writer(arguments, story).map_err(unwritable)?;
    let watched = super::run::watch(&config, over);
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer broke off")));
    if arguments.keep {
        terminal::say(&format!("kept: {shown}"));
    } else {
        fs::remove_dir_all(&folder).map_err(unwritable)?;
    }
    written.map_err(unwritable)?;
    watched
}

/// What the agent is told about the shop.
const CONFIG: &str = "\
state: ./state
sources:
  till: {kind: file, paths: [./auth.log], format: syslog, start: beginning, timezone: UTC}
outputs:
  screen: {kind: terminal}
route: {to: [screen]}
";

type Writer = thread::JoinHandle<io::Result<()>>;

/// What the writer is given.
struct Story {
    log: PathBuf,
    stop: Arc<AtomicBool>,
    /// Told once everything is written and the agent has had time to look at it.
    over: oneshot::Sender<()>,
}

fn spawn_writer(arguments: &Arguments, story: Story) -> io::Result<Writer> {
    let (speed, seconds) = (u64::from(arguments.speed), u64::from(arguments.seconds));
    let moments = story::tell(seconds * speed);
    let start = beginning(Clock::System.now(), seconds, speed);
    thread::Builder::new().name("demo".to_owned()).spawn(move || {
        let Story { log, stop, over } = story;
        let written = File::options()
            .append(true)
            .open(&log)
            .and_then(|mut file| write_live(&mut file, &moments, Pace { start, speed }, &stop));
        let mut left = LAST_LOOK;
        while !stop.load(Ordering::Relaxed) && !left.is_zero() {
            clock::pause(PAUSE_MAX);
            left = left.saturating_sub(PAUSE_MAX);
        }
        if over.send(()).is_err() {
            tracing::debug!("the agent ended before the story");
        }
        written
    })
}

/// The time at which the story begins, so that it ends now and is never ahead of the clock.
fn beginning(now: Timestamp, seconds: u64, speed: u64) -> Timestamp {
    now.plus(-((seconds * (speed - 1)) as i64 * 1_000_000_000))
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    start: Timestamp,
    speed: u64,
}

/// Writes each line when its time has come.
fn write_live(
    log: &mut impl Write,
    moments: &[Moment],
    pace: Pace,
    stop: &AtomicBool,
) -> io::Result<()> {
    let began = clock::monotonic();
    let mut told = None;
    for moment in moments {
        let due = Duration::from_millis(moment.offset_ms / pace.speed);
        while let Some(left) = due.checked_sub(clock::monotonic().duration_since(began)) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            clock::pause(left.min(PAUSE_MAX));
        }
        if moment.label.is_some() && moment.label != told {
            told = moment.label;
            if let Some(label) = told {
                terminal::say(&format!("story: {}", label.as_str()));
            }
        }
        log.write_all(moment.line(pace.start).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_is_never_ahead_of_the_clock() {
        let now = Timestamp::from_seconds(1_000_000);
        assert_eq!(beginning(now, 60, 1), now);
        let start = beginning(now, 60, 5);
        assert_eq!(start.plus(60 * 5 * 1_000_000_000), now.plus(60 * 1_000_000_000));
    }

    #[test]
    fn a_stopped_writer_stops_at_once() {
        let moments = story::tell(300);
        let mut log = Vec::new();
        let pace = Pace { start: Timestamp::from_seconds(0), speed: 1 };
        write_live(&mut log, &moments, pace, &AtomicBool::new(true)).unwrap();
        let lines = memchr::memchr_iter(b'\n', &log).count();
        assert!(lines < moments.len(), "{lines}");
    }
}

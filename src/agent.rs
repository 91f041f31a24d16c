//! The agent: sources on threads of their own, one owner thread with pipeline and store, outputs
//! and API on a small async runtime.
//!
//! ```text
//! source threads --batches--> owner thread (pipeline, store: one commit) <--claims-- delivery workers
//!                                  ^------------------orders------------------------- API
//! ```

pub mod deliver;

mod call;
mod commit;
mod load;
mod outbox;
mod owner;
mod serve;
mod supervise;

pub use load::{Loaded, load};
pub use serve::SOCKET;

use crate::clock::Clock;
use crate::config::{Config, Listen, TextError};
use crate::diagnostic::{Diagnostic, SourceText};
use crate::store::{OpenOptions, Store, StoreError};
use crate::telemetry::Telemetry;
use call::{Call, Permits};
use deliver::{Mode, OutboxPort, OwnerGone, Worker, WorkerParts};
use owner::{Output, Owner, Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use supervise::Supervised;
use tokio::sync::{oneshot, watch};

/// How the agent runs.
#[derive(Debug)]
pub enum RunUntil {
    /// Until a signal ends it.
    Stopped,
    /// Until every source was read to its end.
    EndOfInput,
    /// Until somebody else says so; what is owed is still sent.
    Told(oneshot::Receiver<()>),
}

/// Why the agent did not start, or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Configuration, rules or parsers are wrong; nothing was started.
    #[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused {
        /// Everything that is wrong.
        problems: Vec<Diagnostic>,
    },
    /// A file of rules or parsers cannot be read.
    #[error("{0}")]
    Text(#[from] TextError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// An output cannot be set up.
    #[error(
        "the socket or port `{address}` cannot be used: {source}\n  \
         hint: is another agent running? choose another with `api: {{listen: …}}`"
    )]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused a thread or the runtime.
    #[error("the agent cannot start: {source}")]
    System {
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs the agent until it ends. `text` is the configuration as it was read, for its errors.
pub fn run(config: Config, text: &SourceText, until: RunUntil) -> Result<(), AgentError> {
    let loaded = load(&config, text)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let store = Store::open(&config.state, &OpenOptions::default())?;
    let (calls, inbox) = channel();
    let agent = Agent::new(config, loaded, store, until, calls)?;
    agent.run(inbox)
}

/// Everything that was made and not yet started.
struct Agent {
    owner: Owner,
    ended: oneshot::Receiver<()>,
    sources: Vec<Supervised>,
    calls: Sender<Call>,
    stop: Arc<AtomicBool>,
    until: RunUntil,
    listen: Listen,
    state: std::path::PathBuf,
}

impl Agent {
    fn new(
        config: Config,
        mut loaded: Loaded,
        store: Store,
        until: RunUntil,
        calls: Sender<Call>,
    ) -> Result<Self, AgentError> {
        let mut damaged = 0_usize;
        store.load(|saved| {
            damaged += usize::from(!loaded.pipeline.restore(saved.kind, saved.key, saved.value));
        })?;
        if damaged > 0 {
            tracing::error!(
                "{damaged} pieces of saved detection state are damaged and were not used"
            );
        }
        let until_eof = matches!(until, RunUntil::EndOfInput);
        let names: Vec<Box<str>> =
            config.sources.iter().map(|source| source.name.clone()).collect();
        let telemetry = Arc::new(Telemetry::new(names.clone()));
        let stop = Arc::new(AtomicBool::new(false));
        let permits = Permits::default();
        let clock = Clock::System;
        let mut sources = Vec::new();
        for (id, source) in (0_u16..).zip(config.sources) {
            sources.push(Supervised {
                id: crate::event::SourceId(id),
                name: source.name,
                source: source.source,
                calls: calls.clone(),
                permits: permits.clone(),
                stop: Arc::clone(&stop),
                until_eof,
                clock: clock.clone(),
            });
        }
        let output = |output: crate::config::OutputConfig| Output {
            name: output.name,
            sink: Arc::from(output.sink),
            wake: Arc::default(),
        };
        let (say_ended, ended) = oneshot::channel();
        let owner = Owner {
            pipeline: loaded.pipeline,
            store,
            sources: names,
            outputs: config.outputs.into_iter().map(output).collect(),
            telemetry,
            clock,
            stop: Arc::clone(&stop),
            until_eof,
            state: config.state.clone(),
            boot: format!("{}-{}", std::process::id(), Clock::System.now().nanos()),
            in_hand: std::collections::BTreeMap::new(),
            pending: commit::Pending::default(),
            progress: Progress::new(sources.len(), say_ended),
        };
        Ok(Self {
            owner,
            ended,
            sources,
            calls,
            stop,
            until,
            listen: config.listen,
            state: config.state,
        })
    }

    fn run(self, inbox: Receiver<Call>) -> Result<(), AgentError> {
        let system = |source| AgentError::System { source };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let front = serve::Front {
            state: self.state,
            listen: self.listen,
            telemetry: Arc::clone(&self.owner.telemetry),
            calls: self.calls.clone(),
            outputs: self.owner.outputs.iter().map(|output| output.name.clone()).collect(),
        };
        let _inside = runtime.enter();
        let front = front.bind()?;
        let (mode, watched) = watch::channel(Mode::Run);
        let workers = workers(&self.owner.outputs, &self.calls, &watched);
        let owner = self.owner;
        let owner = std::thread::Builder::new()
            .name("owner".to_owned())
            .spawn(move || owner.run(&inbox))
            .map_err(system)?;
        let mut threads = Vec::new();
        for source in self.sources {
            threads.push(supervise::start(source).map_err(system)?);
        }
        runtime.block_on(async {
            let workers: Vec<_> =
                workers.into_iter().map(|worker| tokio::spawn(worker.run())).collect();
            let is_complete = front.serve(self.ended, self.until).await;
            self.stop.store(true, Ordering::Relaxed);
            mode.send_replace(if is_complete { Mode::Drain } else { Mode::Stop });
            for worker in workers {
                if !matches!(worker.await, Ok(Ok(()))) {
                    tracing::warn!("an output ended before its messages were sent; they stay owed");
                }
            }
        });
        finish(owner, threads, &self.calls)
    }
}

fn workers(outputs: &[Output], calls: &Sender<Call>, mode: &watch::Receiver<Mode>) -> Vec<Worker> {
    let worker = |(number, output): (u64, &Output)| {
        let calls = calls.clone();
        Worker::new(WorkerParts {
            name: Arc::from(&*output.name),
            sink: Arc::clone(&output.sink),
            port: OutboxPort::new(move |call| {
                calls.send(Call::Outbox(call)).map_err(|_gone| OwnerGone)
            }),
            wake: Arc::clone(&output.wake),
            mode: mode.clone(),
            clock: Clock::System,
            seed: (Clock::System.now().nanos() as u64).wrapping_add(number),
        })
    };
    (0..).zip(outputs).map(worker).collect()
}

/// Joins the threads: the sources first, so that what they had read is committed.
fn finish(
    owner: JoinHandle<Result<(), AgentError>>,
    threads: Vec<JoinHandle<()>>,
    calls: &Sender<Call>,
) -> Result<(), AgentError> {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a source ended abnormally");
        }
    }
    // An owner that has ended already has said why.
    drop(calls.send(Call::Stop));
    owner.join().unwrap_or_else(|_| {
        Err(AgentError::System {
            source: std::io::Error::other("the owner thread ended abnormally"),
        })
    })
}

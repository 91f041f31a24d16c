//! The async half of the agent: API, delivery workers, signals.

use super::call::Call;
use super::{AgentError, RunUntil};
use crate::api::{self, Answer, Command, Context};
use crate::config::Listen;
use crate::telemetry::Telemetry;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

/// Name of the socket in the state folder.
pub const SOCKET: &str = "tripline.sock";

/// What is served, before it is bound.
pub(super) struct Front {
    pub(super) state: PathBuf,
    pub(super) listen: Listen,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) calls: Sender<Call>,
    pub(super) outputs: Vec<Box<str>>,
}

/// What is served, on bound sockets.
pub(super) struct Bound {
    context: Context,
    socket: UnixListener,
    metrics: Option<tokio::net::TcpListener>,
}

impl Front {
    /// Binds the socket and, where it is wanted, the port for metrics.
    pub(super) fn bind(self) -> Result<Bound, AgentError> {
        let socket = bind_socket(&self.state.join(SOCKET))?;
        let metrics = match self.listen {
            Listen::Off => None,
            Listen::At(address) => Some(bind_port(address)?),
            Listen::Usual(address) => bind_port(address)
                .inspect_err(|error| tracing::warn!("metrics are not served: {error}"))
                .ok(),
        };
        let calls = self.calls;
        let context = Context {
            state: self.state,
            telemetry: self.telemetry,
            outputs: self.outputs,
            command: Arc::new(move |command| carry_out(&calls, command)),
        };
        Ok(Bound { context, socket, metrics })
    }
}

fn listen_error(address: impl std::fmt::Display, source: std::io::Error) -> AgentError {
    AgentError::Listen { address: address.to_string(), source }
}

/// The store's lock is held: a socket that is there belonged to an agent that is gone.
fn bind_socket(path: &Path) -> Result<UnixListener, AgentError> {
    let failed = |source| listen_error(path.display(), source);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let socket = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(socket)
}

fn bind_port(address: SocketAddr) -> Result<tokio::net::TcpListener, AgentError> {
    let failed = |source| listen_error(address, source);
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    tokio::net::TcpListener::from_std(listener).map_err(failed)
}

impl Bound {
    /// Serves until the agent is to end: true when it is complete (all input was read, or it was
    /// told so), false after a signal.
    pub(super) async fn serve(self, ended: oneshot::Receiver<()>, until: RunUntil) -> bool {
        let socket = axum::serve(self.socket, api::private(self.context.clone()));
        tokio::spawn(async move { socket.await });
        if let Some(listener) = self.metrics {
            let metrics = axum::serve(listener, api::public(self.context));
            tokio::spawn(async move { metrics.await });
        }
        let told = async {
            // A dropped sender means that there is nothing more to wait for.
            match until {
                RunUntil::Stopped => ended.await.is_ok_and(|()| false),
                RunUntil::EndOfInput => ended.await.is_ok(),
                RunUntil::Told(told) => told.await.is_ok(),
            }
        };
        tokio::select! {
            () = stopped() => false,
            is_complete = told => is_complete,
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(error) => {
            tracing::warn!("SIGTERM cannot be handled: {error}");
            drop(tokio::signal::ctrl_c().await);
        }
    }
}

/// Hands a command to the owner and waits for its answer.
fn carry_out(calls: &Sender<Call>, command: Command) -> Answer {
    fn ask<T>(
        calls: &Sender<Call>,
        make: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Call,
        show: fn(T) -> Value,
    ) -> Answer
    where
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let is_sent = calls.send(make(reply)).is_ok();
        Box::pin(async move {
            let gone = || "the agent is stopping".to_owned();
            if !is_sent {
                return Err(gone());
            }
            answer.await.unwrap_or_else(|_dropped| Err(gone())).map(show)
        })
    }
    match command {
        Command::Incident(order) => ask(calls, |reply| Call::Order(order, reply), |()| json!({})),
        Command::TestAlert(sink) => {
            ask(calls, |reply| Call::TestAlert(sink, reply), |ids| json!({"deliveries": ids}))
        }
        Command::Requeue(row) => ask(calls, |reply| Call::Requeue(row, reply), |()| json!({})),
        Command::Purge => ask(calls, Call::Purge, |rows| json!({"purged": rows})),
    }
}

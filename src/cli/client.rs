//! The running agent, reached over its Unix socket: one request, one answer.
//!
//! Whoever may open the socket in the state folder may ask; there is no password. The connection is
//! closed after each answer.

mod answer;

use super::{Failure, terminal};
use crate::agent::SOCKET;
use crate::diagnostic::SourceText;
use crate::store::DATABASE;
use crate::{api, config, yaml};
use answer::Answered;
use serde_json::Value as Json;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The root of the interface.
const ROOT: &str = "/api/security-monitoring/";

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How the agent is found, the same for every command that asks it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// The configuration of the agent, for its state folder
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "state")]
    config: Option<PathBuf>,
    /// The state folder of the agent [default: the user's]
    #[arg(long, value_name = "FOLDER", global = true)]
    state: Option<PathBuf>,
    /// The answer as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A way to the agent.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    /// The agent at a place; nothing is opened yet.
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        let folder = match (&place.state, &place.config) {
            (Some(state), _) => state.clone(),
            (None, Some(config)) => configured(config)?,
            (None, None) => config::default_state(),
        };
        Ok(Self { socket: folder.join(SOCKET) })
    }

    /// Asks for something.
    pub(super) fn get(&self, path: &str, query: &[(&str, Option<&str>)]) -> Result<Json, Failure> {
        let mut target = format!("{ROOT}{path}");
        let given = query.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        for (at, (name, value)) in given.enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            terminal::append(&mut target, format_args!("{mark}{name}={}", encode(value)));
        }
        self.ask("GET", &target, None).or_else(|failure| self.written_down(path, query, failure))
    }

    /// When no agent answers, what it had written down still does: after a breach the agent may be
    /// the first thing that is gone.
    fn written_down(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
        failure: Failure,
    ) -> Result<Json, Failure> {
        let folder = self.socket.parent().filter(|folder| folder.join(DATABASE).exists());
        let (Failure::Unreachable(_), Some(folder)) = (&failure, folder) else {
            return Err(failure);
        };
        let given = query.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let query = given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        match api::answer_from_store(folder, path, &query) {
            None => Err(failure),
            Some(Err(why)) => Err(Failure::refused(why)),
            Some(Ok(answer)) => {
                terminal::say(&"no agent is running; this is what the last one wrote down");
                Ok(answer)
            }
        }
    }

    /// Orders something.
    pub(super) fn post(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        self.ask("POST", &format!("{ROOT}{path}"), Some(body))
    }

    fn ask(&self, method: &str, target: &str, body: Option<&Json>) -> Result<Json, Failure> {
        let answer = self.exchange(&request(method, target, body)).map_err(|e| self.gone(&e))?;
        let answered = answer::read(&answer).ok_or_else(|| {
            Failure::unreachable(format!("`{}` answers no HTTP", self.socket.display()))
        })?;
        judge(&answered)
    }

    fn exchange(&self, request: &str) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn gone(&self, error: &io::Error) -> Failure {
        let shown = self.socket.display();
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer within {} s", PATIENCE.as_secs())
            }
            _ => terminal::reason(error),
        };
        let hint = if error.kind() == io::ErrorKind::PermissionDenied {
            "ask as the user the agent runs as, or as root"
        } else {
            "is `tripline run` running? if its state is elsewhere, name it with `--state` or `--config`"
        };
        Failure::unreachable(format!("cannot reach the agent at `{shown}`: {why}")).hint(hint)
    }
}

fn request(method: &str, target: &str, body: Option<&Json>) -> String {
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nHost: tripline\r\nAccept: application/json\r\n\
         Connection: close\r\n"
    );
    if let Some(body) = body {
        let body = body.to_string();
        terminal::append(
            &mut text,
            format_args!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
    } else {
        text.push_str("\r\n");
    }
    text
}

/// The body of a success, or the words of a refusal (RFC 9457).
fn judge(answered: &Answered) -> Result<Json, Failure> {
    let json: Option<Json> = serde_json::from_slice(&answered.body).ok();
    if (200..300).contains(&answered.status) {
        return match json {
            Some(json) => Ok(json),
            None if answered.body.is_empty() => Ok(Json::Null),
            None => Err(Failure::unreachable("the agent's answer is not JSON")),
        };
    }
    let text = |key: &str| json.as_ref()?.get(key)?.as_str().map(ToOwned::to_owned);
    let why = text("detail")
        .or_else(|| text("title"))
        .unwrap_or_else(|| format!("the agent refused with status {}", answered.status));
    let failure = Failure::refused(why);
    let hint = json
        .as_ref()
        .and_then(|json| json.pointer("/errors/0/hint").or_else(|| json.get("hint")))
        .and_then(Json::as_str);
    Err(match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

/// A value as it may stand in a path or query (RFC 3986).
pub(super) fn encode(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            terminal::append(&mut text, format_args!("%{byte:02X}"));
        }
    }
    text
}

/// The state folder that a configuration names.
fn configured(path: &Path) -> Result<PathBuf, Failure> {
    let text: SourceText = config::read_text(path)?;
    let nodes = yaml::parse(&text).map_err(|problem| Failure::usage(problem.to_string()))?;
    let named = nodes.first().and_then(|node| node.get("state")?.as_text());
    let Some(folder) = named else { return Ok(config::default_state()) };
    Ok(path.parent().unwrap_or(Path::new("")).join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_names_its_length_and_closes_the_connection() {
        assert_eq!(
            request("GET", "/x", None),
            "GET /x HTTP/1.1\r\nHost: tripline\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        );
        let text = request("POST", "/x", Some(&json!({"reason": "é"})));
        assert!(text.ends_with("Content-Length: 15\r\n\r\n{\"reason\":\"é\"}"), "{text}");
    }

    #[test]
    fn values_are_encoded() {
        assert_eq!(encode("inc-1/../a b&c=é"), "inc-1%2F..%2Fa%20b%26c%3D%C3%A9");
    }

    #[test]
    fn a_problem_becomes_a_refusal_with_its_hint() {
        let body = br#"{"title":"Conflict","detail":"`inc-1` is resolved already","errors":[{"hint":"reopen it"}]}"#;
        let failure = judge(&Answered { status: 409, body: body.to_vec() }).unwrap_err();
        let Failure::Refused(message) = failure else { panic!("{failure:?}") };
        assert_eq!(message.to_string(), "error: `inc-1` is resolved already\n  hint: reopen it");
        let failure = judge(&Answered { status: 500, body: b"oops".to_vec() }).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(judge(&Answered { status: 204, body: Vec::new() }).unwrap(), Json::Null);
    }
}

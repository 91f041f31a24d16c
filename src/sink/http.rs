//! One HTTP request to a configured address, and what its answer means. No redirects, no retries
//! and no waiting here: those are decided around the sink.

use super::Outcome;
use super::text::shown;
use crate::clock::from_system;
use crate::event::Timestamp;
use crate::secret::Secret;
use crate::yaml::{Node, Problems, duration};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url};
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a whole attempt may take when the configuration does not say.
const TIMEOUT_USUAL: Duration = Duration::from_secs(30);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_mins(5);
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Idle connections are closed before most servers do it: a request on a connection that is just
/// being closed is one that may or may not have arrived.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Characters of an answer that are shown.
const ANSWER_CHARS_MAX: usize = 200;
/// Bounds of what a `Retry-After` may ask for.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// An address. All of it may be secret (Slack's is), so only the host is ever shown.
#[derive(Clone)]
pub(super) struct Endpoint {
    url: Secret,
    host: Box<str>,
    is_loopback: bool,
    is_tls: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Endpoint({})", self.host)
    }
}

impl Endpoint {
    /// Reads the `url` of an output.
    pub(super) fn read(entry: &Node, example: &str, problems: &mut Problems) -> Option<Self> {
        let Some(node) = entry.get("url") else {
            let hint = format!("url: {example}");
            problems.error_hint(entry.place, "this output has no `url`", hint);
            return None;
        };
        let text = node.expect_text("url", problems)?;
        match Self::parse(text) {
            Ok(endpoint) => {
                if !endpoint.is_tls && !endpoint.is_loopback {
                    let message = "what is sent to this `url` can be read and changed on its way";
                    problems.warn(node.place, message, "use https");
                    hide_snippet(problems);
                }
                Some(endpoint)
            }
            Err(why) => {
                problems.error_hint(node.place, why, format!("url: {example}"));
                hide_snippet(problems);
                None
            }
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|error| format!("`url` is not a web address: {error}"))?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("expected `url` to start with `https://`".to_owned()),
        };
        let host = url.host_str().ok_or("`url` names no host")?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        let is_loopback = host == "localhost"
            || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = shown(&format!("{host}{port}"), 100).into();
        Ok(Self { url: Secret::new(text), host, is_loopback, is_tls })
    }

    /// Replaces every part of the address that may be secret.
    fn redact(&self, text: &str) -> String {
        let Ok(url) = Url::parse(self.url.reveal()) else {
            return String::new();
        };
        let parts = [
            Some(self.url.reveal()),
            Some(url.as_str()),
            Some(url.path()),
            url.query(),
            url.password(),
            url.path_segments().and_then(|mut segments| segments.next_back()),
        ];
        redact(text, parts.into_iter().flatten())
    }
}

/// Secrets shorter than this would redact ordinary words.
const REDACTED_MIN: usize = 6;

/// Replaces secrets that the other side sent back.
pub(super) fn redact<'s>(text: &str, secrets: impl IntoIterator<Item = &'s str>) -> String {
    secrets
        .into_iter()
        .filter(|secret| secret.len() >= REDACTED_MIN)
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// Takes the line of the configuration out of the last problem: it may show a secret.
pub(super) fn hide_snippet(problems: &mut Problems) {
    if let Some(last) = problems.list.last_mut() {
        last.snippet = None;
    }
}

/// Reads the `timeout` of an output.
pub(super) fn read_timeout(entry: &Node, problems: &mut Problems) -> Option<Duration> {
    let Some(node) = entry.get("timeout") else {
        return Some(TIMEOUT_USUAL);
    };
    let text = node.expect_text("timeout", problems)?;
    let nanos = duration(text).and_then(|nanos| u64::try_from(nanos).ok());
    let time = nanos.map(Duration::from_nanos);
    let fits = time.filter(|time| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(time));
    if fits.is_none() {
        let message = format!("expected a time from 100ms to 5m, found `{text}`");
        problems.error_hint(node.place, message, "timeout: 30s");
    }
    fits
}

/// What sends to one address. The connections are made at the first request, not when the
/// configuration is read.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    timeout: Duration,
    connections: Mutex<Option<reqwest::Client>>,
}

impl Client {
    /// Has done nothing yet.
    pub(super) fn new(endpoint: Endpoint, timeout: Duration) -> Self {
        Self { endpoint, timeout, connections: Mutex::new(None) }
    }

    /// Posts a JSON text. An answer of any status is an answer; without one, what it means.
    pub(super) async fn post(
        &self,
        headers: HeaderMap,
        body: &str,
        now: Timestamp,
    ) -> Result<Answer, Outcome> {
        let client = self.client().map_err(|why| Outcome::Hold { why })?;
        let request = client
            .post(self.endpoint.url.reveal())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .headers(headers)
            .body(body.to_owned());
        match request.send().await {
            Ok(response) => Ok(Answer { endpoint: self.endpoint.clone(), now, response }),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let mut shared = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*shared {
            return Ok(client.clone());
        }
        let client = self.build().map_err(|error| {
            format!("cannot set up requests to `{}`: {}", self.endpoint.host, root_cause(&error))
        })?;
        *shared = Some(client.clone());
        Ok(client)
    }

    fn build(&self) -> reqwest::Result<reqwest::Client> {
        // Of two threads that come here at once, one finds it installed already: the same one.
        match rustls::crypto::ring::default_provider().install_default() {
            Ok(()) | Err(_) => {}
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tripline/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX.min(self.timeout / 2))
            .timeout(self.timeout)
            .pool_idle_timeout(IDLE_MAX);
        if self.endpoint.is_loopback {
            builder = builder.no_proxy();
        }
        if !self.endpoint.is_tls {
            // Redirects are not followed, so no certificate will ever be looked at: a host without
            // any installed can still send in clear.
            builder = builder.tls_certs_only([]);
        }
        builder.build()
    }

    fn failure(&self, error: &reqwest::Error) -> Outcome {
        let host = &self.endpoint.host;
        if let Some(certificate) = certificate_error(error) {
            // The next attempt reads the host's certificates again, which may be what was mended.
            *self.connections.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return Outcome::Hold {
                why: format!("the certificate of `{host}` is refused: {certificate}"),
            };
        }
        let cause = self.endpoint.redact(&shown(&root_cause(error), ANSWER_CHARS_MAX));
        let why = match (error.is_connect(), error.is_timeout()) {
            (true, true) => format!("`{host}` cannot be reached: no connection in time"),
            (true, false) => format!("`{host}` cannot be reached: {cause}"),
            (false, true) => format!("`{host}` did not answer within {:?}", self.timeout),
            (false, false) => format!("`{host}` did not answer: {cause}"),
        };
        Outcome::Retry { after: None, why, maybe_delivered: !error.is_connect() }
    }
}

fn certificate_error(error: &reqwest::Error) -> Option<String> {
    let tls = causes(error).find_map(tls_error)?;
    match tls {
        rustls::Error::InvalidCertificate(why) => Some(shown(&why.to_string(), 200)),
        _ => None,
    }
}

/// The TLS error behind a cause. An I/O error does not count what it wraps as its source, and two
/// layers wrap it so.
fn tls_error<'e>(mut cause: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    while let Some(wrapper) = cause.downcast_ref::<std::io::Error>() {
        cause = wrapper.get_ref()?;
    }
    cause.downcast_ref()
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The innermost cause, which alone names no address.
fn root_cause(error: &reqwest::Error) -> String {
    causes(error).skip(1).last().map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// An answer: its status is known, its body is not read yet.
#[derive(Debug)]
pub(super) struct Answer {
    endpoint: Endpoint,
    now: Timestamp,
    response: Response,
}

impl Answer {
    /// Whether the status is 2xx.
    pub(super) fn is_success(&self) -> bool {
        self.response.status().is_success()
    }

    /// The first bytes of the body as text; `Err` with what there was if it broke off.
    pub(super) async fn body(&mut self) -> Result<String, String> {
        let mut bytes = Vec::new();
        while bytes.len() < ANSWER_BYTES_MAX {
            match self.response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = ANSWER_BYTES_MAX - bytes.len();
                    bytes.extend(chunk.iter().take(room));
                }
                Ok(None) => break,
                Err(_) => return Err(String::from_utf8_lossy(&bytes).into_owned()),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The status and what the body said, harmless to show.
    pub(super) fn said<'s>(
        &self,
        body: &str,
        secrets: impl IntoIterator<Item = &'s str>,
    ) -> String {
        let body = redact(&self.endpoint.redact(body.trim()), secrets);
        let status = self.response.status().as_u16();
        let head = format!("`{}` answered {status}", self.endpoint.host);
        if body.is_empty() { head } else { format!("{head}: {}", shown(&body, ANSWER_CHARS_MAX)) }
    }

    /// What a status that is no success means (reference: RFC 9110, and what receivers document).
    pub(super) fn failure(&self, said: String) -> Outcome {
        let after = self.retry_after();
        match self.response.status().as_u16() {
            429 => Outcome::Throttled { after, why: said },
            408 | 425 | 500..=599 => Outcome::Retry { after, why: said, maybe_delivered: false },
            410 => Outcome::Hold { why: format!("{said}; it wants no more messages") },
            // Redirects are not followed, so the address is wrong like one that is not found.
            300..=399 | 401 | 402 | 403 | 404 | 407 => Outcome::Hold { why: said },
            _ => Outcome::Permanent { why: said },
        }
    }

    /// `Retry-After` in seconds or as a date, within one second and one hour. A date is compared
    /// with the answer's own `Date`, so that the two clocks need not agree.
    fn retry_after(&self) -> Option<Duration> {
        let text = |name: HeaderName| self.response.headers().get(name)?.to_str().ok();
        let asked = text(RETRY_AFTER)?.trim();
        let wait = if let Ok(seconds) = asked.parse::<u64>() {
            Duration::from_secs(seconds)
        } else {
            let until = from_system(httpdate::parse_http_date(asked).ok()?);
            let date = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
            let now = date.map_or(self.now, from_system);
            Duration::from_nanos(u64::try_from(until.since(now)).unwrap_or_default())
        };
        Some(wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
mod tests;

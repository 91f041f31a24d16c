//! A webhook: the JSON of an incident as a POST request, signed as the Standard Webhooks
//! specification says (<https://www.standardwebhooks.com>, version 1.0): `webhook-id` is the same
//! at every attempt, `webhook-timestamp` is the time of the attempt, and `webhook-signature` is
//! `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`, once for every secret.

use super::http::{Client, Endpoint, hide_snippet, read_timeout};
use super::{Attempted, Message, NoticeView, Outcome, Sink, envelope, read_send_incidents};
use crate::kind::Kind;
use crate::secret::Secret;
use crate::yaml::{Node, Problems};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

/// See [`super::KINDS`].
pub(super) const KIND: Kind<Box<dyn Sink>> = Kind {
    name: "webhook",
    summary: "incidents as signed JSON requests",
    example: "kind: webhook\nurl: https://soc.example/hook\n\
              secret: whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n\
              headers: {X-Store: store-17}\ntimeout: 30s\n",
    build,
};

/// Secrets at once: the new one and the old ones it takes over from.
const SECRETS_MAX: usize = 4;
/// Headers of the configuration.
const HEADERS_MAX: usize = 32;
/// Bytes of a key below which the specification calls it too short.
const KEY_BYTES_MIN: usize = 24;
/// Headers that are set here or by the protocol.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Secrets are found with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn build(entry: &Node, problems: &mut Problems) -> Option<Box<dyn Sink>> {
    let known = ["kind", "url", "secret", "headers", "send", "timeout"];
    entry.check_keys("webhook output", &known, problems);
    let endpoint = Endpoint::read(entry, "https://soc.example/hook", problems);
    let secrets = read_secrets(entry, problems);
    let headers = read_headers(entry, problems);
    let timeout = read_timeout(entry, problems);
    read_send_incidents(KIND.name, entry, problems)?;
    let client = Client::new(endpoint?, timeout?);
    Some(Box::new(Webhook { client, secrets: secrets?, headers: headers? }))
}

fn read_secrets(entry: &Node, problems: &mut Problems) -> Option<Vec<Secret>> {
    let Some(node) = entry.get("secret") else {
        return Some(Vec::new());
    };
    let items = node.items();
    if items.is_empty() || items.len() > SECRETS_MAX {
        let message = format!("expected from 1 to {SECRETS_MAX} secrets, found {}", items.len());
        problems.error(node.place, message);
        return None;
    }
    let mut secrets = Vec::with_capacity(items.len());
    for item in items {
        let secret = Secret::new(item.expect_text("secret", problems)?.trim());
        let length = key(&secret).map_or(0, |key| key.len());
        if length == 0 {
            let hint = "a secret is `whsec_` and base64, or any other text";
            problems.error_hint(item.place, "the `secret` is empty or not base64", hint);
            hide_snippet(problems);
            return None;
        }
        if length < KEY_BYTES_MIN {
            let message = format!("the `secret` has {length} bytes, which is little");
            problems.warn(item.place, message, "openssl rand -base64 32 | sed s/^/whsec_/");
            hide_snippet(problems);
        }
        secrets.push(secret);
    }
    Some(secrets)
}

/// The key of a secret: base64 after `whsec_`, else the text itself.
fn key(secret: &Secret) -> Option<Vec<u8>> {
    match secret.reveal().strip_prefix("whsec_") {
        Some(encoded) => BASE64.decode(encoded).ok(),
        None => Some(secret.reveal().as_bytes().to_vec()),
    }
}

fn read_headers(entry: &Node, problems: &mut Problems) -> Option<Vec<Header>> {
    let Some(node) = entry.get("headers") else {
        return Some(Vec::new());
    };
    let entries = node.expect_map("headers", problems)?;
    if entries.len() > HEADERS_MAX {
        let message = format!("expected at most {HEADERS_MAX} headers, found {}", entries.len());
        problems.error(node.place, message);
        return None;
    }
    let read: Vec<Option<Header>> = entries
        .into_iter()
        .map(|(name, place, value)| read_header(name, place, value, problems))
        .collect();
    read.into_iter().collect()
}

#[derive(Debug)]
struct Header {
    name: HeaderName,
    value: Secret,
}

fn read_header(name: &str, key: &Node, value: &Node, problems: &mut Problems) -> Option<Header> {
    let text = value.expect_text("the value of a header", problems)?;
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        problems.error(key.place, format!("`{}` is not the name of a header", name.escape_debug()));
        return None;
    };
    if RESERVED.contains(&parsed.as_str()) {
        problems.error(key.place, format!("the header `{parsed}` is set by tripline"));
        return None;
    }
    if HeaderValue::from_str(text).is_err() {
        let message =
            format!("the value of the header `{parsed}` has characters that none may have");
        problems.error_hint(value.place, message, "one line of visible ASCII");
        hide_snippet(problems);
        return None;
    }
    Some(Header { name: parsed, value: Secret::new(text) })
}

#[derive(Debug)]
struct Webhook {
    client: Client,
    secrets: Vec<Secret>,
    headers: Vec<Header>,
}

impl Sink for Webhook {
    fn render(&self, view: &NoticeView<'_>) -> String {
        envelope::notice(view)
    }

    fn send<'a>(&'a self, message: &'a Message) -> Attempted<'a> {
        Box::pin(self.attempt(message))
    }
}

impl Webhook {
    async fn attempt(&self, message: &Message) -> Outcome {
        let Some(headers) = self.headers(message) else {
            let why = format!("the id `{}` does not fit into a header", message.id.escape_debug());
            return Outcome::Permanent { why };
        };
        match self.client.post(headers, &message.payload, message.now).await {
            Err(outcome) => outcome,
            Ok(answer) if answer.is_success() => Outcome::Done,
            Ok(mut answer) => {
                let body = answer.body().await.unwrap_or_else(|part| part);
                let said = answer.said(&body, self.hidden());
                answer.failure(said)
            }
        }
    }

    /// What must not be shown, though the other side may send it back.
    fn hidden(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().map(|header| header.value.reveal());
        headers.chain(self.secrets.iter().map(Secret::reveal))
    }

    fn headers(&self, message: &Message) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for header in &self.headers {
            let mut value = HeaderValue::from_str(header.value.reveal()).ok()?;
            value.set_sensitive(true);
            headers.append(header.name.clone(), value);
        }
        let time = message.now.seconds().to_string();
        headers.insert("webhook-id", HeaderValue::from_str(&message.id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from_str(&time).ok()?);
        if !self.secrets.is_empty() {
            let signature = sign(&self.secrets, &message.id, &time, &message.payload);
            headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
        }
        Some(headers)
    }
}

/// One signature for each secret, a blank between.
fn sign(secrets: &[Secret], id: &str, time: &str, body: &str) -> String {
    let signatures = secrets.iter().filter_map(|secret| {
        // Keys were checked when they were read, and HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret)?).ok()?;
        for part in [id, ".", time, ".", body] {
            mac.update(part.as_bytes());
        }
        Some(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;

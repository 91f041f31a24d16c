//! The agent's API: everything over the Unix socket of the state folder, metrics and health on
//! loopback. Reads go to the store beside the running agent; orders go to its owner.

mod json;

pub use json::{delivery_row, incident_detail, incident_head};

use crate::event::Timestamp;
use crate::fact::FactKind;
use crate::finding::{IncidentId, Level, Order, Status};
use crate::store::{
    DeliveryId, DeliveryQuery, DeliveryState, IncidentCursor, IncidentQuery, Reader, StoreError,
};
use crate::telemetry::{Stage, Telemetry};
use axum::extract::{Path as InPath, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

/// Where the API begins.
pub const BASE: &str = "/api/security-monitoring";

/// What an order to the owner comes to: done with an answer, or refused with a reason.
pub type Answer = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// What people can order through the API; the agent carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Something about an incident.
    Incident(Order),
    /// A message to one output or to all, to see whether it arrives.
    TestAlert(Option<Box<str>>),
    /// Try a dead letter again.
    Requeue(i64),
    /// Throw dead letters away.
    Purge,
}

/// What the API is made of.
#[derive(Clone)]
pub struct Context {
    /// The state folder.
    pub state: PathBuf,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// Carries out a command.
    pub command: Arc<dyn Fn(Command) -> Answer + Send + Sync>,
    /// Names of the outputs, in order.
    pub outputs: Vec<Box<str>>,
}

/// A refusal as `application/problem+json` (RFC 9457).
#[derive(Debug)]
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.0.canonical_reason().unwrap_or("error");
        let body = json!({"type": "about:blank", "title": title, "status": self.0.as_u16(), "detail": self.1});
        let kind = HeaderValue::from_static("application/problem+json");
        (self.0, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

type Answered = Result<Json<Value>, Problem>;
type Parameters = Query<BTreeMap<String, String>>;

/// Metrics and health: what may be read without a password on loopback.
pub fn public(context: Context) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(context)
}

/// Everything: for the Unix socket, which only its owner can open.
pub fn private(context: Context) -> Router {
    let api = Router::new()
        .route("/status", get(status))
        .route("/incidents", get(incidents))
        .route("/incidents/{id}", get(incident))
        .route("/incidents/{id}/{order}", post(order))
        .route("/deliveries", get(deliveries))
        .route("/deliveries/purge", post(purge))
        .route("/deliveries/{row}", get(delivery))
        .route("/deliveries/{row}/requeue", post(requeue))
        .route("/test-alert", post(test_alert))
        .route("/audit/verify", get(verify_audit));
    let other = || async { Problem(StatusCode::NOT_FOUND, "there is no such address".to_owned()) };
    Router::new()
        .nest(BASE, api)
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(other)
        .with_state(context)
}

async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], context.telemetry.prometheus())
}

async fn status(State(context): State<Context>) -> Answered {
    let counts = Reader::open(&context.state)?.counts()?;
    let telemetry = &context.telemetry;
    let of_source = |index: usize, name: &str| {
        let count = |kind| telemetry.of_source(index, kind);
        json!({
            "name": name, "records": count(FactKind::RecordsRead), "bytes": count(FactKind::BytesRead),
            "events": count(FactKind::EventsMade), "unmatched": count(FactKind::RecordsUnmatched),
            "failed": count(FactKind::RecordsFailed), "gaps": count(FactKind::Gaps),
            "rotations": count(FactKind::Rotations), "errors": count(FactKind::SourceErrors),
        })
    };
    let sources: Vec<Value> = telemetry
        .sources()
        .iter()
        .enumerate()
        .map(|(index, name)| of_source(index, name))
        .collect();
    let latency = |stage: Stage| {
        let took = telemetry.latency(stage);
        let numbers = json!({"count": took.count, "p50_us": took.p50, "p99_us": took.p99, "max_us": took.max});
        (stage.name().to_owned(), numbers)
    };
    let samples = telemetry.samples();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "state": context.state.display().to_string(),
        "uptime_s": telemetry.uptime().as_secs(),
        "sources": sources,
        "outputs": outputs(&context, &counts),
        "incidents": counts.incidents.iter().map(|(status, count)| (status.as_str().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>(),
        "counters": FactKind::ALL.iter().map(|kind| (kind.name().to_owned(), json!(telemetry.total(*kind))))
            .collect::<serde_json::Map<_, _>>(),
        "latency": Stage::ALL.into_iter().map(latency).collect::<serde_json::Map<_, _>>(),
        "not_understood": samples.iter().map(|sample| json!({
            "source": &*sample.source, "why": sample.kind.name(), "record": &*sample.text,
        })).collect::<Vec<_>>(),
        "store": {"bytes": counts.store_bytes, "wal_bytes": counts.wal_bytes},
    })))
}

fn outputs(context: &Context, counts: &crate::store::StoreCounts) -> Vec<Value> {
    let of_output = |name: &str| {
        let count = |state: DeliveryState| {
            let mine =
                counts.deliveries.iter().find(|row| *row.sink == *name && row.state == state);
            mine.map_or(0, |row| row.count)
        };
        let sink = counts.sinks.iter().find(|sink| *sink.sink == *name);
        json!({
            "name": name, "ready": count(DeliveryState::Ready) + count(DeliveryState::Inflight),
            "done": count(DeliveryState::Done), "dead": count(DeliveryState::Dead),
            "breaker": sink.map_or("closed", |sink| sink.breaker.as_str()),
            "on_hold": sink.and_then(|sink| sink.hold_reason.as_deref()),
        })
    };
    context.outputs.iter().map(|name| of_output(name)).collect()
}

async fn incidents(State(context): State<Context>, Query(wanted): Parameters) -> Answered {
    list_incidents(&context.state, &wanted).map(Json)
}

fn list_incidents(state: &Path, wanted: &BTreeMap<String, String>) -> Result<Value, Problem> {
    let bad = |what: &str, text: &str| {
        Problem(StatusCode::BAD_REQUEST, format!("unknown {what} `{text}`"))
    };
    let mut query = IncidentQuery { limit: limit(wanted)?, ..IncidentQuery::default() };
    if let Some(text) = wanted.get("status") {
        query.status = Some(Status::parse(text).ok_or_else(|| bad("status", text))?);
    }
    if let Some(text) = wanted.get("level") {
        query.level_min = Some(Level::parse(text).ok_or_else(|| bad("level", text))?);
    }
    if let Some(text) = wanted.get("cursor") {
        query.after = Some(IncidentCursor::parse(text).ok_or_else(|| bad("cursor", text))?);
    }
    let page = Reader::open(state)?.incidents(&query)?;
    let rows: Vec<Value> = page.incidents.iter().map(incident_head).collect();
    Ok(json!({"incidents": rows, "next": page.next.map(|cursor| cursor.to_string())}))
}

fn limit(wanted: &BTreeMap<String, String>) -> Result<u32, Problem> {
    let Some(text) = wanted.get("limit") else { return Ok(100) };
    let bad = |error| format!("`limit` is not a number: `{text}` ({error})");
    text.parse().map_err(|error: ParseIntError| Problem(StatusCode::BAD_REQUEST, bad(error)))
}

async fn incident(State(context): State<Context>, InPath(id): InPath<String>) -> Answered {
    show_incident(&context.state, &id).map(Json)
}

fn show_incident(state: &Path, id: &str) -> Result<Value, Problem> {
    let detail = Reader::open(state)?.incident(&IncidentId(id.into()))?;
    detail.as_ref().map(incident_detail).ok_or_else(|| not_found("incident", id))
}

fn not_found(what: &str, id: &str) -> Problem {
    Problem(StatusCode::NOT_FOUND, format!("there is no {what} `{id}`"))
}

async fn order(
    State(context): State<Context>,
    InPath((id, verb)): InPath<(String, String)>,
    body: Option<Json<Value>>,
) -> Answered {
    let status = match verb.as_str() {
        "acknowledge" => Status::Acknowledged,
        "resolve" => Status::Resolved,
        "reopen" => Status::Open,
        _ => return Err(not_found("order", &verb)),
    };
    let text = |key: &str| {
        let value = body.as_ref().and_then(|Json(body)| body.get(key)?.as_str());
        Box::<str>::from(value.unwrap_or_default())
    };
    let actor = text("actor");
    let order = Order {
        incident: IncidentId(id.as_str().into()),
        status,
        actor: if actor.is_empty() { "api".into() } else { actor },
        reason: text("reason"),
    };
    let Json(_done) = carry_out(&context, Command::Incident(order)).await?;
    incident(State(context), InPath(id)).await
}

async fn carry_out(context: &Context, command: Command) -> Answered {
    let refused = |why| Problem(StatusCode::CONFLICT, why);
    (context.command)(command).await.map(Json).map_err(refused)
}

async fn deliveries(State(context): State<Context>, Query(wanted): Parameters) -> Answered {
    list_deliveries(&context.state, &wanted).map(Json)
}

fn list_deliveries(state: &Path, wanted: &BTreeMap<String, String>) -> Result<Value, Problem> {
    let mut query = DeliveryQuery { limit: limit(wanted)?, ..DeliveryQuery::default() };
    query.sink = wanted.get("sink").map(|sink| sink.as_str().into());
    if let Some(text) = wanted.get("state") {
        let known = DeliveryState::parse(text);
        let unknown = || Problem(StatusCode::BAD_REQUEST, format!("unknown state `{text}`"));
        query.state = Some(known.ok_or_else(unknown)?);
    }
    let rows = Reader::open(state)?.deliveries(&query)?;
    Ok(json!({"deliveries": rows.iter().map(delivery_row).collect::<Vec<_>>()}))
}

async fn delivery(State(context): State<Context>, InPath(row): InPath<i64>) -> Answered {
    show_delivery(&context.state, row).map(Json)
}

fn show_delivery(state: &Path, row: i64) -> Result<Value, Problem> {
    let detail = Reader::open(state)?.delivery(DeliveryId(row))?;
    let shown = detail.as_ref().map(json::delivery_detail);
    shown.ok_or_else(|| not_found("delivery", &row.to_string()))
}

/// What the store of a folder answers to a read, without an agent; `None` for an address that
/// only a running agent answers. An error is what to tell people.
pub fn answer_from_store(
    state: &Path,
    path: &str,
    query: &BTreeMap<String, String>,
) -> Option<Result<Value, String>> {
    let answer = match path.split_once('/') {
        None if path == "incidents" => list_incidents(state, query),
        None if path == "deliveries" => list_deliveries(state, query),
        Some(("incidents", id)) => show_incident(state, id),
        Some(("deliveries", row)) => show_delivery(state, row.parse().ok()?),
        Some(("audit", "verify")) => audit_report(state),
        _ => return None,
    };
    Some(answer.map_err(|Problem(_, why)| why))
}

async fn requeue(State(context): State<Context>, InPath(row): InPath<i64>) -> Answered {
    carry_out(&context, Command::Requeue(row)).await
}

async fn purge(State(context): State<Context>) -> Answered {
    carry_out(&context, Command::Purge).await
}

async fn test_alert(State(context): State<Context>, body: Option<Json<Value>>) -> Answered {
    let sink = body.as_ref().and_then(|Json(body)| body.get("sink")?.as_str()).map(Into::into);
    carry_out(&context, Command::TestAlert(sink)).await
}

async fn verify_audit(State(context): State<Context>) -> Answered {
    audit_report(&context.state).map(Json)
}

fn audit_report(state: &Path) -> Result<Value, Problem> {
    let report = Reader::open(state)?.verify_audit()?;
    let broken = report.broken.map(|row| json!({"row": row.number, "why": row.why}));
    Ok(json!({
        "rows": report.rows, "anchor": report.anchor, "head": report.head,
        "head_hash": report.head_hash, "broken": broken,
    }))
}

/// Now and then a time is shown in two places; they must agree.
pub(crate) fn time(time: Timestamp) -> Value {
    Value::from(time.to_string())
}

//! Labels and rules of meters: to be read by anybody, and changed by the owner of the control socket.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use portlane_meters::{Direction, Label, Prefixes, Refusal, Rule, Uuid};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task;

use super::problem::Problem;
use crate::meters::{Change, Meters, Unchanged};

/// The longest description of a label or rule, in bytes.
const MAX_BODY: usize = 64 << 10;

/// Where all labels and rules are read, and what was counted.
pub(super) const PATH: &str = "/meters";

/// Where labels, and rules, are read alone; one of them by what follows.
pub(super) const LABELS: &str = "/meters/labels";
pub(super) const RULES: &str = "/meters/rules";

/// What anybody may read.
pub(super) fn reading(meters: Option<Arc<Meters>>) -> Router {
    Router::new()
        .route(PATH, get(read))
        .route(LABELS, get(labels))
        .route(&format!("{LABELS}/{{label}}"), get(label))
        .route(RULES, get(rules))
        .route(&format!("{RULES}/{{rule}}"), get(rule))
        .with_state(meters)
}

/// What the owner may change.
pub(super) fn changing(meters: Option<Arc<Meters>>) -> Router {
    Router::new()
        .route("/control/meters/labels", post(create_label))
        .route("/control/meters/labels/{label}", delete(remove_label))
        .route("/control/meters/rules", post(create_rule))
        .route("/control/meters/rules/{rule}", delete(remove_rule))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(meters)
}

type Shop = State<Option<Arc<Meters>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLabel {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    project_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRule {
    /// Id or name.
    metering_label: String,
    #[serde(default)]
    direction: Direction,
    remote_ip_prefix: Option<String>,
    source_ip_prefix: Option<String>,
    destination_ip_prefix: Option<String>,
    #[serde(default)]
    excluded: bool,
}

async fn read(State(meters): Shop) -> Result<Response, Problem> {
    let meters = opened(meters)?;
    let book = meters.book();
    let labels: Vec<Value> = book.labels().iter().map(|label| json!(label)).collect();
    let rules: Vec<Value> = book.rules().iter().map(|rule| json!(rule)).collect();
    let counted: Vec<Value> = meters.reports().iter().filter_map(|report| serde_json::to_value(report).ok()).collect();
    let all = json!({ "metering_labels": labels, "metering_label_rules": rules, "counted": counted });
    Ok(told(all))
}

async fn labels(State(meters): Shop) -> Result<Response, Problem> {
    Ok(told(json!({ "metering_labels": opened(meters)?.book().labels() })))
}

/// By its id, or by its name if no other has that.
async fn label(State(meters): Shop, Path(wanted): Path<String>) -> Result<Response, Problem> {
    let label = opened(meters)?.label(&wanted).map_err(|why| problem(&Unchanged::Refused(why)))?;
    Ok(told(json!({ "metering_label": label })))
}

async fn rules(State(meters): Shop) -> Result<Response, Problem> {
    Ok(told(json!({ "metering_label_rules": opened(meters)?.book().rules() })))
}

async fn rule(State(meters): Shop, Path(wanted): Path<String>) -> Result<Response, Problem> {
    let book = opened(meters)?.book();
    let rule = book.rule(&wanted).map_err(|why| problem(&Unchanged::Refused(why)))?;
    Ok(told(json!({ "metering_label_rule": rule })))
}

fn told(what: Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(what)).into_response()
}

async fn create_label(State(meters): Shop, body: Bytes) -> Result<Response, Problem> {
    const EXPECTED: &str = "expected a JSON object as {\"name\": \"cdn\", \"project_id\": \"web\"}";
    let NewLabel { name, description, shared, project_id } = parsed(&body, EXPECTED)?;
    change(meters, Change::AddLabel(Label { id: Uuid::new_v4(), name, description, shared, project_id })).await
}

async fn create_rule(State(meters): Shop, body: Bytes) -> Result<Response, Problem> {
    const EXPECTED: &str =
        "expected a JSON object as {\"metering_label\": \"cdn\", \"remote_ip_prefix\": \"192.0.2.0/24\"}";
    let wanted: NewRule = parsed(&body, EXPECTED)?;
    let prefixes = Prefixes::new(
        wanted.remote_ip_prefix.as_deref(),
        wanted.source_ip_prefix.as_deref(),
        wanted.destination_ip_prefix.as_deref(),
    );
    let prefixes = prefixes.map_err(|why| problem(&Unchanged::Refused(why)))?;
    let meters = opened(meters)?;
    let label_id = meters.label(&wanted.metering_label).map_err(|why| problem(&Unchanged::Refused(why)))?.id;
    let NewRule { direction, excluded, .. } = wanted;
    change(Some(meters), Change::AddRule(Rule { id: Uuid::new_v4(), label_id, direction, prefixes, excluded })).await
}

async fn remove_label(State(meters): Shop, Path(label): Path<String>) -> Result<Response, Problem> {
    change(meters, Change::RemoveLabel(label)).await
}

async fn remove_rule(State(meters): Shop, Path(rule): Path<String>) -> Result<Response, Problem> {
    change(meters, Change::RemoveRule(rule)).await
}

/// Lookups of many rules take a while to be made, and files to be written: others are answered meanwhile.
async fn change(meters: Option<Arc<Meters>>, change: Change) -> Result<Response, Problem> {
    let meters = opened(meters)?;
    let made = task::spawn_blocking(move || meters.change(&change)).await;
    match made {
        Ok(Ok(value)) => Ok(Json(value).into_response()),
        Ok(Err(why)) => Err(problem(&why)),
        Err(failed) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, failed.to_string())),
    }
}

fn opened(meters: Option<Arc<Meters>>) -> Result<Arc<Meters>, Problem> {
    meters.ok_or_else(|| Problem::unavailable("nothing is metered here: this is no `portlane run`"))
}

fn parsed<T: DeserializeOwned>(body: &[u8], expected: &str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}: {expected}")))
}

fn problem(why: &Unchanged) -> Problem {
    let status = match why {
        Unchanged::Refused(Refusal::NoLabel { .. } | Refusal::NoRule { .. }) => StatusCode::NOT_FOUND,
        Unchanged::Refused(
            Refusal::HasRules { .. } | Refusal::Overlaps { .. } | Refusal::Exists { .. } | Refusal::Ambiguous { .. },
        )
        | Unchanged::InFile(_) => StatusCode::CONFLICT,
        Unchanged::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Unchanged::Unwritten(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, why.to_string())
}

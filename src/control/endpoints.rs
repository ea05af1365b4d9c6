//! What can be asked, over TCP and over the control socket alike.

use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::answers::Answers;
use super::flows;
use super::forms::{Form, Forms};
use super::handed::Handed;
use super::meters;
use super::negotiation;
use super::problem::Problem;
use super::questions::Pulse;

/// A worker that takes no turn for this long does not live. It sleeps for 20 ms at most.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// What there is to ask for; each answers GET and HEAD.
pub(super) const PATHS: [&str; 9] = [
    "/health",
    "/ready",
    "/stats.json",
    "/metrics",
    "/containers",
    "/tc/qdisc",
    "/tc/class",
    "/monitor/statistics",
    "/monitor/statistics.json",
];

/// Where a listener's answers come from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    answers: Answers,
    pulse: Pulse,
    /// How old numbers may be.
    age: Duration,
    handed: Handed<Forms>,
}

impl Source {
    pub(super) fn new(answers: Answers, pulse: Pulse, age: Duration) -> Self {
        Self { answers, pulse, age, handed: Handed::default() }
    }
}

pub(super) fn router(source: Source) -> Router {
    let [health_path, ready_path, stats, metrics_path, containers, qdiscs, classes, mesos, mesos_old] = PATHS;
    Router::new()
        .route(health_path, get(health))
        .route(ready_path, get(ready))
        .route(stats, numbers(Form::Stats))
        .route(metrics_path, get(metrics))
        .route(containers, numbers(Form::Containers))
        .route(qdiscs, numbers(Form::Qdiscs))
        .route(classes, numbers(Form::Classes))
        .route(mesos, numbers(Form::Mesos))
        .route(mesos_old, numbers(Form::Mesos))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(source)
}

/// Alive is: the worker takes turns. It is not asked, only watched.
async fn health(State(source): State<Source>) -> Result<&'static str, Problem> {
    if source.pulse.beats_within(LONGEST_TURN).await { Ok("ok\n") } else { Err(silent()) }
}

/// Ready is: the interfaces are open, and the worker takes turns.
async fn ready(State(source): State<Source>) -> Result<&'static str, Problem> {
    if !source.pulse.beats().have_begun() {
        return Err(Problem::unavailable("the interfaces are not open yet"));
    }
    if source.pulse.beats_within(LONGEST_TURN).await { Ok("ready\n") } else { Err(silent()) }
}

fn numbers(form: Form) -> MethodRouter<Source> {
    get(move |State(source): State<Source>| async move { answer(&source, form).await })
}

async fn metrics(
    State(source): State<Source>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let options = negotiation::options(accept, query.as_deref().unwrap_or(""));
    let options = options.map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    answer(&source, Form::Metrics(options)).await
}

async fn answer(source: &Source, form: Form) -> Result<Response, Problem> {
    let forms = source.answers.get(source.age).await.ok_or_else(silent)?;
    if !source.handed.note(&forms) {
        return Err(Problem::unavailable("too many answers are being read slowly: try again in some seconds"));
    }
    let headers = [(CONTENT_TYPE, form.content_type()), (CACHE_CONTROL, "no-store")];
    Ok((headers, forms.bytes(form)).into_response())
}

fn silent() -> Problem {
    Problem::unavailable("the worker does not answer")
}

async fn not_found(uri: Uri) -> Problem {
    let (path, known) =
        (uri.path(), [&PATHS[..], &[meters::PATH, meters::LABELS, meters::RULES, flows::PATH]].concat().join(", "));
    Problem::new(StatusCode::NOT_FOUND, format!("there is no {path}; there are {known}"))
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} changes nothing here: numbers are read with GET"))
}

//! How flows fared in the last minutes: to be read by anybody.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::problem::Problem;
use crate::flows::{By, LONGEST, Observed};

/// Where they are read.
pub(super) const PATH: &str = "/flows";

/// As many rows, if nobody says how many.
const TOP: usize = 100;

/// What anybody may read.
pub(super) fn reading(observed: Option<Arc<Observed>>) -> Router {
    Router::new().route(PATH, get(read)).with_state(observed)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    by: By,
    top: Option<usize>,
    /// Seconds.
    last: Option<u64>,
}

type Asked = Result<Query<Wanted>, QueryRejection>;

async fn read(State(observed): State<Option<Arc<Observed>>>, asked: Asked) -> Result<Response, Problem> {
    let Query(Wanted { by, top, last }) = asked.map_err(|wrong| {
        let right = "expected by=container, port or pair; top=N rows; last=SECONDS";
        Problem::new(StatusCode::BAD_REQUEST, format!("{}: {right}", wrong.body_text()))
    })?;
    let Some(observed) = observed else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "flows are not observed: add [flows] to the configuration"));
    };
    let told = observed.told(by, last.unwrap_or(LONGEST), top.unwrap_or(TOP));
    Ok(([(CACHE_CONTROL, "no-store")], Json(told)).into_response())
}

//! Changes, for the owner of the control socket alone: containers come, change and go, the configuration is read again, all ends.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use tokio::time;
use toml::Table;

use super::problem::Problem;
use crate::containers::{self, Orders, Refusal, Wanted};

/// The longest description of a container, in bytes.
const MAX_BODY: usize = 64 << 10;

/// How long a change may take: workers may have to wake up for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Without `orders` there is nobody who makes changes.
pub(super) fn router(orders: Option<Orders>) -> Router {
    Router::new()
        .route("/control/containers", get(list))
        .route("/control/containers/{id}", put(replace).patch(set).delete(remove))
        .route("/control/reload", post(reload))
        .route("/control/drain", post(drain))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(orders)
}

type Shop = State<Option<Orders>>;

async fn list(State(orders): Shop) -> Result<Response, Problem> {
    give(orders, Wanted::List).await
}

async fn replace(State(orders): Shop, Path(id): Path<String>, body: Bytes) -> Result<Response, Problem> {
    give(orders, Wanted::Put(id, keys(&body)?)).await
}

async fn set(State(orders): Shop, Path(id): Path<String>, body: Bytes) -> Result<Response, Problem> {
    give(orders, Wanted::Set(id, keys(&body)?)).await
}

async fn remove(State(orders): Shop, Path(id): Path<String>) -> Result<Response, Problem> {
    give(orders, Wanted::Remove(id)).await
}

async fn reload(State(orders): Shop) -> Result<Response, Problem> {
    give(orders, Wanted::Reload).await
}

async fn drain(State(orders): Shop) -> Result<Response, Problem> {
    give(orders, Wanted::Drain).await
}

fn keys(body: &[u8]) -> Result<Table, Problem> {
    containers::keys(body).map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))
}

async fn give(orders: Option<Orders>, wanted: Wanted) -> Result<Response, Problem> {
    let orders =
        orders.ok_or_else(|| Problem::unavailable("nothing can be changed here: this is no `portlane run`"))?;
    match time::timeout(PATIENCE, orders.give(wanted)).await {
        Ok(Some(Ok(value))) => Ok(Json(value).into_response()),
        Ok(Some(Err(refusal))) => Err(Problem::new(status(&refusal), refusal.to_string())),
        Ok(None) => Err(Problem::unavailable("too many changes wait, or portlane is about to end: try again")),
        Err(_) => Err(Problem::unavailable("the workers do not answer")),
    }
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
        Refusal::Conflict(_) => StatusCode::CONFLICT,
        Refusal::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

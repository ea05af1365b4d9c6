//! The answering side: a thread of its own, which asks the worker for a snapshot between two turns.

use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use crossbeam::channel::{Receiver, Sender, bounded};
use portlane_stats::snapshot::Snapshot;
use tokio::sync::oneshot;

use super::socket::ControlSocket;
use crate::config::Plan;
use crate::failure::Failure;

/// A question to the worker.
#[derive(Debug)]
pub struct Question {
    /// Where the answer goes.
    pub answer: oneshot::Sender<Snapshot>,
    /// Sojourn times are recorded anew from the answer on: a measurement begins.
    pub restart_sojourn: bool,
}

/// Where questions are asked, and where the worker takes them.
pub type Questions = (Sender<Question>, Receiver<Question>);

/// Questions that may wait for the worker at a time; more are turned away.
const MAX_WAITING: usize = 8;

/// How long the worker may take to answer. It does so between two turns, but may have to wait for its core.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens where `plan` says, and returns the channel of the questions that come in. Call it before anything is attached: a place
    /// that is taken is a refusal.
    ///
    /// # Errors
    ///
    /// Refused if the control socket or the HTTP address cannot be had.
    pub fn start(plan: &Plan) -> Result<(Self, Questions), Failure> {
        let control = ControlSocket::listen(&plan.socket)?;
        let http = TcpListener::bind(plan.listen)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|cause| {
                let remedy = "choose another with [http] listen = \"127.0.0.1:PORT\"";
                Failure::refused(format!("HTTP address {}: {cause}: {remedy}", plan.listen))
            })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
        let (questions, answers) = bounded(MAX_WAITING);
        let channel = (questions.clone(), answers);
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                let router = router(questions);
                tokio::select! {
                    _ = stopped => {}
                    failed = serve(control, http, router) => eprintln!("portlane: HTTP ended: {failed}"),
                }
            });
        };
        let thread = thread::Builder::new().name("portlane-http".to_owned()).spawn(serve).map_err(Failure::failed)?;
        Ok((Self { stop: Some(stop), thread: Some(thread) }, channel))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// Serves until one of the listeners fails, and returns why.
async fn serve(control: ControlSocket, http: TcpListener, router: Router) -> std::io::Error {
    let tcp = match tokio::net::TcpListener::from_std(http) {
        Ok(tcp) => tcp,
        Err(error) => return error,
    };
    let unix = match control.listener.try_clone().and_then(tokio::net::UnixListener::from_std) {
        Ok(unix) => unix,
        Err(error) => return error,
    };
    let ended = tokio::select! {
        ended = axum::serve(tcp, router.clone()) => ended,
        ended = axum::serve(unix, router) => ended,
    };
    ended.err().unwrap_or_else(|| std::io::Error::other("a listener closed"))
}

fn router(questions: Sender<Question>) -> Router {
    Router::new().route("/health", get(health)).route("/stats.json", get(stats)).with_state(questions)
}

/// Alive is: the worker takes turns.
async fn health(State(questions): State<Sender<Question>>) -> Response {
    match ask(&questions).await {
        Some(_) => "ok\n".into_response(),
        None => unavailable(),
    }
}

async fn stats(State(questions): State<Sender<Question>>) -> Response {
    match ask(&questions).await {
        Some(snapshot) => Json(snapshot).into_response(),
        None => unavailable(),
    }
}

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the worker does not answer\n").into_response()
}

async fn ask(questions: &Sender<Question>) -> Option<Snapshot> {
    let (question, answer) = oneshot::channel();
    let question = Question { answer: question, restart_sojourn: false };
    questions.try_send(question).ok()?;
    tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
}

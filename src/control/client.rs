//! The asking side: one request over the control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, TE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use portlane_stats::snapshot::Snapshot;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time;

use crate::capture::{self, Trailers};

/// How long a running portlane may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read: 65,536 containers take less.
const MAX_ANSWER: usize = 1 << 30;

/// The longest problem document.
const MAX_PROBLEM: usize = 64 << 10;

/// How often there is a look at whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "no portlane listens on {socket}: {cause} (is `portlane run` running? another socket is named with --socket)"
    )]
    Connect {
        /// The socket.
        socket: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Somebody listens and does not answer as portlane does.
    #[error("{socket} does not answer as portlane does: {why}")]
    Answer {
        /// The socket.
        socket: String,
        /// What was wrong.
        why: String,
    },
    /// portlane refuses.
    #[error("{0}")]
    Refused(String),
}

/// How a capture went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Frames that the capture was to have, and those among them that found no room; `None`: it was cut before they were told.
    pub counts: Option<(u64, u64)>,
    /// Why it has ended early, if somebody else ended it.
    pub why: Option<String>,
}

/// What may go wrong on the way.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Asks the portlane that listens on `socket` for a snapshot.
///
/// # Errors
///
/// Nobody listens there, or the answer is not a snapshot.
pub fn snapshot(socket: &Path) -> Result<Snapshot, AskError> {
    let name = socket.display().to_string();
    runtime(&name)?.block_on(async {
        let stream = connect(socket, &name).await?;
        let wrong = |why: String| AskError::Answer { socket: name.clone(), why };
        match time::timeout(PATIENCE, get(stream, "/stats.json")).await {
            Ok(Ok(body)) => serde_json::from_slice(&body).map_err(|error| wrong(error.to_string())),
            Ok(Err(error)) => Err(wrong(error.to_string())),
            Err(_) => Err(wrong(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    })
}

/// Asks the portlane that listens on `socket` for a change, or for what there is to change; returns its answer.
///
/// # Errors
///
/// Nobody listens there, or it refuses.
pub fn change(socket: &Path, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, AskError> {
    let name = socket.display().to_string();
    runtime(&name)?.block_on(async {
        let stream = connect(socket, &name).await?;
        let wrong = |why: String| AskError::Answer { socket: name.clone(), why };
        let body = body.map(ToString::to_string).unwrap_or_default();
        let sent = time::timeout(PATIENCE, send(stream, method, path, body)).await;
        let sent = sent.map_err(|_| wrong(format!("no answer within {} s", PATIENCE.as_secs())))?;
        let response = sent.map_err(|error| wrong(error.to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response, &name).await);
        }
        let body =
            Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| wrong(error.to_string()))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| wrong(error.to_string()))
    })
}

/// Has the portlane that listens on `socket` show its frames. What comes goes to `write`: pcapng, in whole blocks, but for the last
/// where the capture is cut. `begin` makes that when the capture has begun. Ends early if `stop` says so.
///
/// # Errors
///
/// Nobody listens there, or it refuses; or what `begin` or `write` say.
pub fn capture<W: FnMut(&[u8]) -> Result<(), E>, E: From<AskError>>(
    socket: &Path,
    request: &capture::Request,
    begin: impl FnOnce() -> Result<W, E>,
    stop: impl Fn() -> bool,
) -> Result<Captured, E> {
    let name = socket.display().to_string();
    runtime(&name)?.block_on(async {
        let stream = connect(socket, &name).await?;
        let wrong = |why: String| AskError::Answer { socket: name.clone(), why };
        let body = serde_json::to_vec(request).map_err(|error| wrong(error.to_string()))?;
        let asked = time::timeout(PATIENCE, send(stream, &Method::POST, capture::Request::PATH, body)).await;
        let asked = asked.map_err(|_| wrong(format!("no answer within {} s", PATIENCE.as_secs())))?;
        let response = asked.map_err(|error| wrong(error.to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response, &name).await.into());
        }
        let (mut body, mut write) = (response.into_body(), begin()?);
        while !stop() {
            let Ok(frame) = time::timeout(LOOK, body.frame()).await else { continue };
            let Some(Ok(frame)) = frame else { break };
            match frame.into_data() {
                Ok(bytes) => write(&bytes)?,
                Err(other) => return Ok(other.trailers_ref().map(captured).unwrap_or(CUT)),
            }
        }
        Ok(CUT)
    })
}

/// A capture that was cut.
const CUT: Captured = Captured { counts: None, why: None };

fn captured(trailers: &HeaderMap) -> Captured {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let number = |name| text(name).and_then(|text| text.parse().ok());
    let counts = number(Trailers::SEEN).zip(number(Trailers::LOST));
    Captured { counts, why: text(Trailers::WHY).map(str::to_owned) }
}

fn runtime(socket: &str) -> Result<Runtime, AskError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| AskError::Connect { socket: socket.to_owned(), cause })
}

async fn connect(socket: &Path, name: &str) -> Result<UnixStream, AskError> {
    let stream = UnixStream::connect(socket).await;
    stream.map_err(|cause| AskError::Connect { socket: name.to_owned(), cause })
}

/// Sends a request, whose body is JSON if there is one; returns the answer's head, with the body to be read.
async fn send(
    stream: UnixStream,
    method: &Method,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<Response<Incoming>, Trouble> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the body that is read from it.
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(HOST, "portlane");
    let request = request.header(CONTENT_TYPE, "application/json").header(TE, "trailers");
    Ok(sender.send_request(request.body(Full::new(body.into()))?).await?)
}

/// What a problem document (RFC 9457) says.
async fn refusal(response: Response<Incoming>, socket: &str) -> AskError {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_PROBLEM).collect().await;
    let problem = body.ok().and_then(|body| serde_json::from_slice::<Value>(&body.to_bytes()).ok());
    match problem.as_ref().and_then(|problem| problem["detail"].as_str()) {
        Some(detail) => AskError::Refused(detail.to_owned()),
        None => AskError::Answer { socket: socket.to_owned(), why: format!("it answers {status}") },
    }
}

async fn get(stream: UnixStream, path: &str) -> Result<Bytes, Trouble> {
    let response = send(stream, &Method::GET, path, Bytes::new()).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    if status == StatusCode::OK { Ok(body) } else { Err(format!("{path} answers {status}").into()) }
}

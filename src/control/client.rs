//! The asking side: one request over the control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use portlane_stats::snapshot::Snapshot;
use tokio::net::UnixStream;

/// How long a running portlane may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read: 65,536 containers take less.
const MAX_ANSWER: usize = 1 << 30;

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
}

/// Asks the portlane that listens on `socket` for a snapshot.
///
/// # Errors
///
/// Nobody listens there, or the answer is not a snapshot.
pub fn snapshot(socket: &Path) -> Result<Snapshot, AskError> {
    let name = socket.display().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| AskError::Connect { socket: name.clone(), cause })?;
    runtime.block_on(async {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.map_err(|cause| AskError::Connect { socket: name.clone(), cause })?;
        let wrong = |why: String| AskError::Answer { socket: name.clone(), why };
        match tokio::time::timeout(PATIENCE, get(stream, "/stats.json")).await {
            Ok(Ok(body)) => serde_json::from_slice(&body).map_err(|error| wrong(error.to_string())),
            Ok(Err(error)) => Err(wrong(error.to_string())),
            Err(_) => Err(wrong(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    })
}

async fn get(stream: UnixStream, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", "portlane").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    connection.abort();
    if status == StatusCode::OK { Ok(body) } else { Err(format!("{path} answers {status}").into()) }
}

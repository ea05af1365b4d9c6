//! Connections: so many at a time, and none for long, so that idle ones take nothing from others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time;

/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may take from its beginning to its end.
const WHOLE: Duration = Duration::from_secs(15);

/// The longest head of a request, in bytes; a longer one is answered by 431.
const MAX_HEAD: usize = 16 << 10;

/// Serves one request on each connection, and at most `most` connections at a time: more are closed at once.
pub(super) async fn serve(mut listener: impl Listener, most: usize, router: Router) -> Infallible {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false).half_close(true).max_buf_size(MAX_HEAD);
    let seats = Arc::new(Semaphore::new(most));
    loop {
        let (stream, _) = listener.accept().await;
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // How it ended concerns the other side alone.
            let _ = time::timeout(WHOLE, connection).await;
            drop(seat);
        });
    }
}

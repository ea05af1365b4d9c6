//! Connections: so many at a time, and none for long, so that idle ones take nothing from others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::time::{self, Instant};

/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may take from its beginning to its end, unless it has a longer lease.
const WHOLE: Duration = Duration::from_secs(15);

/// The longest head of a request, in bytes; a longer one is answered by 431.
const MAX_HEAD: usize = 16 << 10;

/// How long a connection may last. Handlers find theirs among the extensions of a request.
#[derive(Debug, Clone)]
pub(super) struct Lease(Arc<watch::Sender<Instant>>);

impl Lease {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now() + WHOLE)))
    }

    /// The connection may last until then.
    pub(super) fn extend(&self, until: Instant) {
        self.0.send_replace(until);
    }

    async fn ends(&self) {
        let mut until = self.0.subscribe();
        loop {
            let end = *until.borrow_and_update();
            tokio::select! {
                () = time::sleep_until(end) => return,
                // It has another end now.
                _ = until.changed() => {}
            }
        }
    }
}

/// Serves one request on each connection, and at most `most` connections at a time: more are closed at once.
pub(super) async fn serve(mut listener: impl Listener, most: usize, router: Router) -> Infallible {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false).half_close(true).max_buf_size(MAX_HEAD);
    let seats = Arc::new(Semaphore::new(most));
    loop {
        let (stream, _) = listener.accept().await;
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let (lease, router) = (Lease::new(), TowerToHyperService::new(router.clone()));
        let leased = lease.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(leased.clone());
            router.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // How it ended concerns the other side alone.
            tokio::select! {
                _ = connection => {}
                () = lease.ends() => {}
            }
            drop(seat);
        });
    }
}

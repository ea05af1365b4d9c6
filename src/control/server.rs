//! The answering side: a thread of its own, which asks the worker for a snapshot between two turns.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use nix::unistd::{Pid, gettid};
use tokio::sync::oneshot;

use super::answers::Answers;
pub use super::answers::Beside;
use super::captures::Captures;
use super::changes;
use super::connections;
use super::endpoints::{Source, router};
use super::flows;
use super::meters;
use super::questions::{self, Questions};
use super::socket::ControlSocket;
use crate::config::Plan;
use crate::containers::Orders;
use crate::failure::{self, Failure};
use crate::live;
use crate::privileges;

/// Requests that may wait for the worker at a time: a question, a reload and a capture. One question is asked at a time: another waits
/// only if the worker let its asker wait in vain, and then there is no use in asking on.
const MAX_WAITING: usize = 3;

/// Connections at a time. Those of anybody, and those of the socket's owner, whom the others cannot keep out.
const MAX_TCP: usize = 32;
const MAX_UNIX: usize = 8;

/// How old numbers may be for anybody: so the worker builds four snapshots a second at most. The owner gets new ones.
const ANYBODYS_AGE: Duration = Duration::from_millis(250);

/// The running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    id: Pid,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens where `plan` says, and returns the channel of the questions that come in, once the thread has given up its privileges.
    /// Call it before anything is attached: a place that is taken is a refusal.
    ///
    /// # Errors
    ///
    /// Refused if the control socket or the HTTP address cannot be had; failed if there is no thread to be had, or it keeps privileges.
    pub fn start(plan: &Plan, orders: Option<Orders>, beside: Beside) -> Result<(Self, Questions), Failure> {
        let control = ControlSocket::listen(&plan.socket)?;
        let http = TcpListener::bind(plan.listen)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|cause| {
                let remedy = "choose another with [http] listen = \"127.0.0.1:PORT\"";
                Failure::refused(format!("HTTP address {}: {cause}: {remedy}", plan.listen))
            })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
        let (questions, inbox) = questions::channel(MAX_WAITING);
        let (asked, pulse, rates) = (questions.clone(), inbox.pulse(), plan.rates);
        let (stop, stopped) = oneshot::channel();
        let (begun, id) = mpsc::channel();
        let serve = move || {
            let given_up = privileges::give_up().map(|()| gettid());
            let goes_on = given_up.is_ok();
            // Who started it waits.
            let _ = begun.send(given_up);
            if !goes_on {
                return;
            }
            runtime.block_on(async {
                let (meters, observed) = (beside.meters.clone(), beside.observed.clone());
                let answers = Answers::start(asked.clone(), rates, beside);
                let captures = Captures::new(answers.clone(), asked, pulse.clone());
                let anybodys = Source::new(answers.clone(), pulse.clone(), ANYBODYS_AGE);
                let owners = Source::new(answers, pulse, Duration::ZERO);
                let owners = router(owners).merge(captures.router()).merge(changes::router(orders));
                let owners = owners.merge(meters::reading(meters.clone())).merge(meters::changing(meters.clone()));
                let owners = owners.merge(flows::reading(observed.clone()));
                let anybodys = router(anybodys).merge(meters::reading(meters)).merge(flows::reading(observed));
                tokio::select! {
                    _ = stopped => {}
                    failed = serve((control, owners), (http, anybodys)) => failure::tell(format!("portlane: HTTP ended: {failed}")),
                }
            });
        };
        let thread = thread::Builder::new().name("portlane-http".to_owned()).spawn(serve).map_err(Failure::failed)?;
        let id = id.recv().map_err(Failure::failed)??;
        Ok((Self { stop: Some(stop), id, thread: Some(thread) }, (questions, inbox)))
    }
}

impl Server {
    /// Has it run on other cores than those of workers.
    pub fn keep_off(&self, cores: &[Option<usize>]) {
        live::keep_off(cores, self.id);
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

/// Serves for ever, to the owner and to anybody; returns why it cannot.
async fn serve(owners: (ControlSocket, Router), anybodys: (TcpListener, Router)) -> std::io::Error {
    let ((control, owners), (http, anybodys)) = (owners, anybodys);
    let tcp = match tokio::net::TcpListener::from_std(http) {
        Ok(tcp) => tcp,
        Err(error) => return error,
    };
    let unix = match control.listener.try_clone().and_then(tokio::net::UnixListener::from_std) {
        Ok(unix) => unix,
        Err(error) => return error,
    };
    let never = tokio::select! {
        never = connections::serve(tcp, MAX_TCP, anybodys) => never,
        never = connections::serve(unix, MAX_UNIX, owners) => never,
    };
    match never {}
}

#[cfg(test)]
mod tests;

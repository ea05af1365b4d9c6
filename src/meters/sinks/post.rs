//! A receiver that reports are posted to, one after the other, each until it has it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use portlane_shaper::Size;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time;

use super::spool::{Kept, Spool};
use crate::failure::{self, Failure};
use crate::meters::delivery::Delivery;
use crate::meters::event::Event;
use crate::meters::settings::Url;

/// How long a receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is waited after a first failure; each one doubles it, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A thread that posts; when dropped it tries what waits once more, and leaves the rest in the spool.
#[derive(Debug)]
pub(super) struct Post {
    /// Before it begins.
    courier: Option<Courier>,
    reports: Option<Sender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Post {
    /// One that has yet to begin, with what waits since earlier.
    pub(super) fn open(
        url: &Url,
        spool: Option<&Path>,
        limit: Size,
        delivery: &Arc<Delivery>,
    ) -> Result<Self, Failure> {
        let spool = Spool::open(spool, limit.0).map_err(|cause| {
            let folder = spool.unwrap_or(Path::new("")).display();
            Failure::refused(format!("[meters] spool {folder}: {cause}: name a folder that can be written"))
        })?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
        delivery.wait(spool.len());
        let (url, delivery) = (url.clone(), Arc::clone(delivery));
        let courier = Courier { url, spool, runtime, pause: Duration::ZERO, complained: false, delivery };
        Ok(Self { courier: Some(courier), reports: None, thread: None })
    }

    /// Starts the thread, which has the cores and capabilities of the calling one.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let Some(mut courier) = self.courier.take() else { return Ok(()) };
        let (reports, published) = mpsc::channel();
        let work = move || courier.work(&published);
        self.thread = Some(thread::Builder::new().name("portlane-post".to_owned()).spawn(work)?);
        self.reports = Some(reports);
        Ok(())
    }

    pub(super) fn publish(&self, events: &[Event]) {
        if let (Some(reports), Ok(report)) = (&self.reports, serde_json::to_vec(events)) {
            // The thread lives as long as this.
            let _ = reports.send(report);
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        drop(self.reports.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// What becomes of a report that was posted.
enum Verdict {
    Taken,
    /// It never will be.
    Refused(StatusCode),
    /// Not now.
    Failed(String),
}

#[derive(Debug)]
struct Courier {
    url: Url,
    spool: Spool,
    runtime: Runtime,
    /// From a failure to the next try.
    pause: Duration,
    /// It was said that the receiver does not take reports.
    complained: bool,
    delivery: Arc<Delivery>,
}

impl Courier {
    fn work(&mut self, published: &mpsc::Receiver<Vec<u8>>) {
        loop {
            let goes_on = self.take_in(published);
            while goes_on.is_ok() && self.spool.len() > 0 && self.deliver() {}
            if goes_on.is_err() {
                return self.end();
            }
        }
    }

    /// Waits for reports, or until it is time to try again; an error at the end.
    fn take_in(&mut self, published: &mpsc::Receiver<Vec<u8>>) -> Result<(), ()> {
        let until = Instant::now() + self.pause;
        loop {
            let wait = until.saturating_duration_since(Instant::now());
            let nothing_waits = self.spool.len() == 0;
            let report = if nothing_waits {
                published.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                published.recv_timeout(wait)
            };
            match report {
                Ok(report) => self.keep(&report),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(()),
            }
            while self.pause.is_zero() {
                match published.try_recv() {
                    Ok(report) => self.keep(&report),
                    Err(TryRecvError::Empty) => return Ok(()),
                    Err(TryRecvError::Disconnected) => return Err(()),
                }
            }
        }
    }

    fn keep(&mut self, report: &[u8]) {
        let Kept { dropped, in_memory } = self.spool.push(report);
        if let Some(why) = in_memory {
            failure::tell(format!("a report of meters waits in memory alone: {why}"));
        }
        if dropped > 0 {
            self.delivery.lose(dropped);
            failure::tell(format!("{dropped} reports of meters are lost: no more fit into the spool"));
        }
        self.delivery.wait(self.spool.len());
    }

    /// Posts the oldest; whether there is use in going on at once.
    fn deliver(&mut self) -> bool {
        let report = match self.spool.first() {
            None => return false,
            Some(Ok(report)) => report,
            Some(Err(why)) => {
                failure::tell(format!("a report of meters is lost: it cannot be read again: {why}"));
                self.delivery.lose(1);
                return self.pop();
            }
        };
        match self.post(report) {
            Verdict::Taken => {
                if std::mem::take(&mut self.complained) {
                    failure::tell(format!("{} takes reports of meters again", self.url));
                }
                self.pause = Duration::ZERO;
                self.pop()
            }
            Verdict::Refused(status) => {
                failure::tell(format!("a report of meters is lost: {} answers {status}", self.url));
                self.delivery.lose(1);
                self.pause = Duration::ZERO;
                self.pop()
            }
            Verdict::Failed(why) => {
                if !std::mem::replace(&mut self.complained, true) {
                    failure::tell(format!("{} takes no reports of meters, which wait meanwhile: {why}", self.url));
                }
                self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                false
            }
        }
    }

    fn pop(&mut self) -> bool {
        let popped = self.spool.pop();
        self.delivery.wait(self.spool.len());
        popped
    }

    /// What waits is tried once more; what is in files is there for the next run.
    fn end(&mut self) {
        while self.spool.len() > 0 && self.deliver() {}
        let lost = self.spool.in_memory();
        if lost > 0 {
            failure::tell(format!("{lost} reports of meters are lost: {} does not take them", self.url));
        }
    }

    fn post(&self, report: Vec<u8>) -> Verdict {
        let sent = self.runtime.block_on(async { time::timeout(PATIENCE, send(&self.url, report)).await });
        match sent {
            Ok(Ok(status)) if status.is_success() => Verdict::Taken,
            Ok(Ok(status)) if is_final(status) => Verdict::Refused(status),
            Ok(Ok(status)) => Verdict::Failed(format!("it answers {status}")),
            Ok(Err(why)) => Verdict::Failed(why.to_string()),
            Err(_) => Verdict::Failed(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }
}

/// Whether the same report would be refused again (RFC 9110, section 15.5): not for time or numbers.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && ![StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

async fn send(url: &Url, report: Vec<u8>) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let with_port = url.authority().rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if with_port { url.authority().to_owned() } else { format!("{}:80", url.authority()) };
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It moves the bytes while the answer is waited for, and has nothing to say that the answer does not.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(url.path())
        .header(HOST, url.authority())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(report)))?;
    let response = sender.send_request(request).await?;
    Ok(response.status())
}

#[cfg(test)]
mod tests;

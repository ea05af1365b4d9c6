//! Captures: asked for over the control socket, and answered by pcapng for as long as they last.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue, TRAILER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http_body_util::channel::{self, Channel};
use portlane_pcap::{Annotated, Noted, Way};
use portlane_shaper::{LaneId, Nanos};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{self, Instant};

use super::answers::Answers;
use super::connections::Lease;
use super::problem::Problem;
use super::questions::{self, Begin, Begun, Pulse, Requests};
use crate::capture::{Fate, Merge, NOBODYS, Pipe, Request, Sight, Trailers, Wanted};

/// The longest request.
const MAX_REQUEST: usize = 4 << 10;

/// How long the worker may take to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may take to read what is left when a capture is over, and the workers to notice that.
const AFTER: Duration = Duration::from_secs(10);
const NOTICE: Duration = Duration::from_secs(1);

/// How often there is a look at what the workers have seen.
const LOOK: Duration = Duration::from_millis(5);

/// How often counts are written, which finds out whether somebody still reads; and names of containers are read again.
const BEAT: Duration = Duration::from_secs(1);

/// Bytes handed to the connection at a time.
const PIECE: usize = 64 << 10;

/// Where captures are had.
#[derive(Debug, Clone)]
pub(super) struct Captures {
    answers: Answers,
    requests: Requests,
    pulse: Pulse,
    /// One at a time.
    seat: Arc<Semaphore>,
}

impl Captures {
    pub(super) fn new(answers: Answers, requests: Requests, pulse: Pulse) -> Self {
        Self { answers, requests, pulse, seat: Arc::new(Semaphore::new(1)) }
    }

    pub(super) fn router(self) -> Router {
        Router::new().route(Request::PATH, post(capture)).layer(DefaultBodyLimit::max(MAX_REQUEST)).with_state(self)
    }

    /// Has the workers begin.
    async fn begin(&self, wanted: Wanted, buffer: u64) -> Result<(Merge, Begun), Problem> {
        let silent = || Problem::unavailable("the worker does not answer");
        let pipes: Vec<_> = (0..self.pulse.beats().workers()).map(|_| Arc::new(Pipe::new(buffer))).collect();
        let merge = Merge::new(pipes.clone());
        let (answer, begun) = oneshot::channel();
        let begin = questions::Request::Capture(Box::new(Begin { wanted, pipes, answer }));
        self.requests.try_send(begin).map_err(|_| silent())?;
        let begun = time::timeout(PATIENCE, begun).await.map_err(|_| silent())?.map_err(|_| silent())?;
        Ok((merge, begun))
    }

    async fn names(&self, age: Duration) -> Option<Names> {
        let forms = self.answers.get(age).await?;
        let named = forms.snapshot().with_leaving().map(|one| (one.number, one.id.clone()));
        Some(Names(named.collect()))
    }
}

/// The container of each lane.
#[derive(Debug, Default)]
struct Names(HashMap<u32, String>);

impl Names {
    fn lane(&self, name: &str) -> Option<LaneId> {
        if name == Request::UNMATCHED {
            return Some(NOBODYS);
        }
        self.0.iter().find(|(_, id)| *id == name).map(|(&number, _)| LaneId(number))
    }

    fn of(&self, lane: LaneId) -> Option<&str> {
        if lane == NOBODYS { Some(Request::UNMATCHED) } else { self.0.get(&lane.0).map(String::as_str) }
    }
}

async fn capture(
    State(captures): State<Captures>,
    Extension(lease): Extension<Lease>,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(request) = request.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    if let Some(why) = request.problem() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let busy =
        || Problem::new(StatusCode::CONFLICT, "a capture is running, and there is one at a time: end it, or wait");
    let seat = Arc::clone(&captures.seat).try_acquire_owned().map_err(|_| busy())?;
    let names = captures.names(Duration::ZERO).await;
    let names = names.ok_or_else(|| Problem::unavailable("the worker does not answer"))?;
    let lane = request.container.as_deref().map(|name| {
        names.lane(name).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no container {name:?}")))
    });
    let time = Duration::from_secs(request.seconds);
    let wanted = Wanted {
        lane: lane.transpose()?,
        drops: request.drops,
        snap: usize::try_from(request.snap).unwrap_or(usize::MAX),
        time: Nanos(request.seconds * 1_000_000_000),
    };
    let (merge, begun) = captures.begin(wanted, request.buffer).await?;
    lease.extend(Instant::now() + time + AFTER);
    let interfaces: Vec<_> = begun.interfaces.iter().map(String::as_str).collect();
    let failed = |why: io::Error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why.to_string());
    let file = Annotated::new(&interfaces).map_err(failed)?;
    let (body, channel) = Channel::<Bytes>::new(1);
    let left = request.count.unwrap_or(u64::MAX);
    let now = begun.now;
    let recorder = Recorder { captures, wanted, request, merge, file, body, names, left, now, _seat: seat };
    tokio::spawn(recorder.record());
    let trailers = [Trailers::SEEN, Trailers::LOST, Trailers::WHY].join(", ");
    let trailers = HeaderValue::from_str(&trailers).map_err(|why| failed(io::Error::other(why)))?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/x-pcapng")), (TRAILER, trailers)];
    Ok((headers, Body::new(channel)).into_response())
}

/// A capture at work. When it is dropped, the workers are told that it is over.
struct Recorder {
    captures: Captures,
    wanted: Wanted,
    request: Request,
    merge: Merge,
    file: Annotated,
    body: channel::Sender<Bytes>,
    names: Names,
    /// Frames that are still to be written.
    left: u64,
    /// The time of the frame that was written last.
    now: Nanos,
    _seat: OwnedSemaphorePermit,
}

/// Nobody reads any more.
struct Gone;

impl From<channel::SendError> for Gone {
    fn from(_: channel::SendError) -> Self {
        Self
    }
}

impl From<io::Error> for Gone {
    /// Only what cannot be in a capture cannot be written into memory.
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Recorder {
    async fn record(mut self) {
        // Who has gone is told nothing.
        let _ = self.record_until_gone().await;
    }

    async fn record_until_gone(&mut self) -> Result<(), Gone> {
        let mut why = None;
        let mut beat = Instant::now() + BEAT;
        loop {
            // What was seen before the end is looked for after it.
            let ended = self.merge.has_ended();
            let wrote = self.write()?;
            if self.left == 0 {
                why = Some("as many frames were captured as were asked for");
                break;
            }
            if Instant::now() >= beat {
                beat = Instant::now() + BEAT;
                self.write_counts()?;
                if !self.read_names().await {
                    why = Some("the container is gone");
                    break;
                }
            }
            if self.file.is_empty() {
                time::sleep(LOOK).await;
            } else {
                self.body.send_data(self.file.take().into()).await?;
            }
            if ended && !wrote {
                break;
            }
        }
        self.end(why).await
    }

    /// Writes frames that are there, at most as many as go at a time; whether there were any.
    fn write(&mut self) -> io::Result<bool> {
        let mut wrote = false;
        while self.left > 0 && self.file.len() < PIECE {
            let Some((sight, bytes)) = self.merge.take() else { break };
            self.file.write(&noted(&sight, bytes, &comment(&sight, &self.names)))?;
            self.now = self.now.max(sight.time);
            self.left -= 1;
            wrote = true;
        }
        Ok(wrote)
    }

    fn write_counts(&mut self) -> io::Result<()> {
        let counts = self.merge.counts();
        for (side, (seen, lost)) in (0..).zip(counts.seen.into_iter().zip(counts.lost)) {
            self.file.statistics(side, self.now.0, seen, lost)?;
        }
        Ok(())
    }

    /// Reads again which lane is whose; false if the one that is wanted is nobody's any more.
    async fn read_names(&mut self) -> bool {
        if let Some(names) = self.captures.names(BEAT).await {
            self.names = names;
        }
        match (self.wanted.lane, &self.request.container) {
            (Some(lane), Some(name)) => self.names.of(lane) == Some(name),
            _ => true,
        }
    }

    /// Says what was counted when all workers have noticed the end.
    async fn end(&mut self, why: Option<&'static str>) -> Result<(), Gone> {
        self.merge.close();
        let deadline = Instant::now() + NOTICE;
        while !self.merge.has_ended() && Instant::now() < deadline {
            time::sleep(LOOK).await;
        }
        self.write_counts()?;
        self.body.send_data(self.file.take().into()).await?;
        let counts = self.merge.counts();
        let mut trailers = HeaderMap::new();
        trailers.insert(Trailers::SEEN, HeaderValue::from(counts.seen.iter().sum::<u64>()));
        trailers.insert(Trailers::LOST, HeaderValue::from(counts.lost.iter().sum::<u64>()));
        if let Some(why) = why {
            trailers.insert(Trailers::WHY, HeaderValue::from_static(why));
        }
        Ok(self.body.send_trailers(trailers).await?)
    }
}

fn comment(sight: &Sight, names: &Names) -> String {
    let lane = sight.owner.map(|(lane, _)| lane);
    match lane.map(|lane| (lane, names.of(lane))) {
        Some((_, Some(name))) => sight.comment(name),
        // It has come since names were read.
        Some((LaneId(number), None)) => sight.comment(&format!("#{number}")),
        None => sight.comment(""),
    }
}

fn noted<'a>(sight: &Sight, data: &'a [u8], comment: &'a str) -> Noted<'a> {
    let way = if sight.fate == Fate::Sent { Way::Outbound } else { Way::Inbound };
    let interface = u32::try_from(sight.interface).unwrap_or_default();
    Noted { interface, time_ns: sight.time.0, way, data, original_len: sight.wire_len, comment }
}

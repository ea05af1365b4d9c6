//! One answer for many: building a snapshot takes the worker from its packets, so those who ask at about the same time
//! get the same one.

use std::time::Duration;

use axum::body::Bytes;
use crossbeam::channel::Sender;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant};

use super::questions::{self, Question};

/// How long the worker may take to answer. It does so between two turns, but may have to wait for its core.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that are taken in at a time; others wait, each in its own connection.
const TAKEN_IN: usize = 16;

/// A snapshot as JSON; nothing if the worker did not answer.
type Answer = Option<Bytes>;

#[derive(Debug)]
struct Request {
    came: Instant,
    age: Duration,
    reply: oneshot::Sender<Answer>,
}

/// Where answers are had.
#[derive(Debug, Clone)]
pub(super) struct Answers(mpsc::Sender<Request>);

impl Answers {
    /// Answers from the worker behind `questions`, by a task of the runtime that this is called in.
    ///
    /// The task is not a request's own: a request that is given up after its question was asked would leave no answer to
    /// share, and whoever asks and leaves would get a snapshot built each time.
    pub(super) fn start(questions: Sender<questions::Request>) -> Self {
        let (sender, requests) = mpsc::channel(TAKEN_IN);
        tokio::spawn(answer_in_turn(requests, questions));
        Self(sender)
    }

    /// An answer to a question that was asked at most `age` ago.
    pub(super) async fn get(&self, age: Duration) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request { came: Instant::now(), age, reply }).await.ok()?;
        answer.await.ok()?
    }
}

/// Asks the worker one question at a time. Requests that come meanwhile find the answer to it, or, if it is too old for
/// them, to the next.
async fn answer_in_turn(mut requests: mpsc::Receiver<Request>, questions: Sender<questions::Request>) {
    let mut last: Option<(Instant, Answer)> = None;
    while let Some(Request { came, age, reply }) = requests.recv().await {
        if reply.is_closed() {
            continue;
        }
        let (asked, answer) = match last.take() {
            Some(last) if came.saturating_duration_since(last.0) <= age => last,
            _ => (Instant::now(), ask(&questions).await),
        };
        // Who asked may have gone.
        let _ = reply.send(answer.clone());
        last = Some((asked, answer));
    }
}

async fn ask(questions: &Sender<questions::Request>) -> Answer {
    let (question, answer) = oneshot::channel();
    let question = Question { answer: question, restart_sojourn: false };
    questions.try_send(questions::Request::Read(question)).ok()?;
    let snapshot = time::timeout(PATIENCE, answer).await.ok()?.ok()?;
    serde_json::to_vec(&snapshot).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use portlane_rings::{Layout, Pool, Socket};
    use portlane_shaper::Nanos;
    use portlane_stats::snapshot::Snapshot;

    use super::super::questions::{Inbox, channel};
    use super::*;
    use crate::report::{self, Context};
    use crate::{build, config};

    const LONG: Duration = Duration::from_secs(3_600);

    fn run<F: Future<Output = ()>>(test: impl FnOnce(Answers, Inbox) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (sender, inbox) = channel(1);
        runtime.block_on(async { test(Answers::start(sender), inbox).await });
    }

    /// Lets everybody else go on until all wait.
    async fn settle() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    fn get(answers: &Answers, age: Duration) -> tokio::task::JoinHandle<Answer> {
        let answers = answers.clone();
        tokio::spawn(async move { answers.get(age).await })
    }

    fn answer(inbox: &Inbox, time_ns: u64) {
        let Some(questions::Request::Read(question)) = inbox.turn() else { panic!("a question") };
        question.answer.send(snapshot(time_ns)).unwrap();
    }

    /// Of a line that has counted nothing.
    fn snapshot(time_ns: u64) -> Snapshot {
        let plan = config::parse("[[container]]\nid = \"web\"\nports = [\"7000-7099\"]\n", "test").unwrap();
        let pool = Pool::new(Layout { frames: 64, frame_size: 2_048 }).unwrap();
        let line = build::line::<Socket>(&plan, pool, vec![], [0, 0], [0, 0], Nanos::ZERO);
        report::snapshot(&line, &plan, &Context::default(), Nanos(time_ns))
    }

    #[test]
    fn many_share_one_question() {
        run(|answers, inbox| async move {
            let waiting: Vec<_> = (0..100).map(|_| get(&answers, LONG)).collect();
            settle().await;
            answer(&inbox, 7);
            for one in waiting {
                let answer: Snapshot = serde_json::from_slice(&one.await.unwrap().unwrap()).unwrap();
                assert_eq!(answer.time_ns, 7);
            }
            assert!(answers.get(LONG).await.is_some());
            assert!(inbox.turn().is_none());
        });
    }

    #[test]
    fn who_wants_no_age_gets_the_answer_to_a_later_question() {
        run(|answers, inbox| async move {
            let early = get(&answers, LONG);
            settle().await;
            let fresh: Vec<_> = (0..8).map(|_| get(&answers, Duration::ZERO)).collect();
            settle().await;
            answer(&inbox, 1);
            early.await.unwrap().unwrap();
            settle().await;
            answer(&inbox, 2);
            for one in fresh {
                let answer: Snapshot = serde_json::from_slice(&one.await.unwrap().unwrap()).unwrap();
                assert_eq!(answer.time_ns, 2);
            }
            assert!(inbox.turn().is_none(), "the eight shared one");
        });
    }

    #[test]
    fn asking_and_leaving_does_not_ask_again() {
        run(|answers, inbox| async move {
            let leaves = get(&answers, LONG);
            settle().await;
            leaves.abort();
            settle().await;
            answer(&inbox, 3);
            assert!(answers.get(LONG).await.is_some());
            assert!(inbox.turn().is_none());
        });
    }

    #[test]
    fn a_worker_that_is_gone_is_no_answer() {
        run(|answers, inbox| async move {
            drop(inbox);
            assert_eq!(answers.get(LONG).await, None);
        });
    }
}

//! One answer for many: building a snapshot takes the worker from its packets, so those who ask at about the same time
//! get the same one, and each form of it is made once.

use std::sync::Arc;
use std::time::Duration;

use portlane_stats::estimator::{Estimators, INTERVAL_NS};
use portlane_stats::window::Sampling;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant};

use super::forms::Forms;
use super::questions::{self, Question};
use crate::flows::Observed;
use crate::meters::Meters;
use crate::netstat::Latest;

/// How long the worker may take to answer. It does so between two turns, but may have to wait for its core.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that are taken in at a time; others wait, each in its own connection.
const TAKEN_IN: usize = 16;

/// The worker has to spend no more than a fiftieth of its time on sampling.
const WORKERS_SHARE: u32 = 50;

/// What is told beside what workers count.
#[derive(Debug, Default)]
pub struct Beside {
    /// By prefixes.
    pub meters: Option<Arc<Meters>>,
    /// By the kernel, for containers.
    pub netstat: Latest,
    /// Of flows, if they are observed.
    pub observed: Option<Arc<Observed>>,
}

/// A snapshot in all its forms; nothing if the worker did not answer.
type Answer = Option<Arc<Forms>>;

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
    ///
    /// `rates`: the window of each lane, if percentiles of rate are wanted.
    pub(super) fn start(questions: questions::Requests, rates: Option<Sampling>, beside: Beside) -> Self {
        let (sender, requests) = mpsc::channel(TAKEN_IN);
        let asker = Asker { questions, estimators: Estimators::new(rates), beside };
        tokio::spawn(answer_in_turn(requests, asker, sampled_every(rates)));
        Self(sender)
    }

    /// An answer to a question that was asked at most `age` ago.
    pub(super) async fn get(&self, age: Duration) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request { came: Instant::now(), age, reply }).await.ok()?;
        answer.await.ok()?
    }
}

/// How often rates are sampled where nobody asks: as often as the estimator wants it, and in step with the windows.
fn sampled_every(rates: Option<Sampling>) -> Duration {
    let of_windows = rates.map_or(INTERVAL_NS, Sampling::interval_ns);
    Duration::from_nanos(of_windows / of_windows.div_ceil(INTERVAL_NS))
}

/// Asks the worker one question at a time. Requests that come meanwhile find the answer to it, or, if it is too old for
/// them, to the next. Asks by itself, too, `every` so long, so that rates are sampled.
async fn answer_in_turn(mut requests: mpsc::Receiver<Request>, mut asker: Asker, every: Duration) {
    let mut last: Option<(Instant, Answer)> = None;
    let mut sample = Instant::now() + every;
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            () = time::sleep_until(sample) => {
                let asked = Instant::now();
                let (answer, spent) = asker.sample().await.unzip();
                last = Some((asked, answer));
                sample = asked + every.max(spent.unwrap_or_else(|| asked.elapsed()) * WORKERS_SHARE);
                continue;
            }
        };
        let Some(Request { came, age, reply }) = request else { return };
        if reply.is_closed() {
            continue;
        }
        let (asked, answer) = match last.take() {
            Some(last) if came.saturating_duration_since(last.0) <= age => last,
            _ => (Instant::now(), asker.ask().await),
        };
        // Who asked may have gone.
        let _ = reply.send(answer.clone());
        last = Some((asked, answer));
    }
}

/// Who asks the worker, and follows what it counts.
struct Asker {
    questions: questions::Requests,
    estimators: Estimators,
    beside: Beside,
}

impl Asker {
    async fn ask(&mut self) -> Answer {
        self.sample().await.map(|(answer, _)| answer)
    }

    /// An answer, and what it has cost the workers.
    async fn sample(&mut self) -> Option<(Arc<Forms>, Duration)> {
        let (answer, telling) = oneshot::channel();
        let question = Question { answer, restart_sojourn: false };
        self.questions.try_send(questions::Request::Read(question)).ok()?;
        let told = async { telling.await.ok()?.await.ok() };
        let questions::Answer { mut snapshot, spent } = time::timeout(PATIENCE, told).await.ok()??;
        self.estimators.observe(&mut snapshot);
        snapshot.meters = self.beside.meters.as_ref().map(|meters| meters.reports()).unwrap_or_default();
        snapshot.meter_delivery = self.beside.meters.as_ref().and_then(|meters| meters.delivery().report());
        (snapshot.netstat, snapshot.wire_lost_packets) = self.beside.netstat.get();
        snapshot.flows = self.beside.observed.as_ref().map(|observed| observed.report());
        Some((Arc::new(Forms::new(snapshot)), spent))
    }
}

#[cfg(test)]
pub(super) mod tests {
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
        run_with(None, test);
    }

    fn run_with<F: Future<Output = ()>>(rates: Option<Sampling>, test: impl FnOnce(Answers, Inbox) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (sender, inbox) = channel(1);
        runtime.block_on(async { test(Answers::start(sender, rates, Beside::default()), inbox).await });
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
        question.answer.send(telling(snapshot(time_ns))).ok().unwrap();
    }

    pub(in crate::control) fn telling(snapshot: Snapshot) -> questions::Telling {
        Box::pin(async { Ok(questions::Answer { snapshot, spent: Duration::ZERO }) })
    }

    /// Of a line that has counted nothing.
    pub(in crate::control) fn snapshot(time_ns: u64) -> Snapshot {
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
                assert_eq!(one.await.unwrap().unwrap().snapshot().time_ns, 7);
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
                assert_eq!(one.await.unwrap().unwrap().snapshot().time_ns, 2);
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
            assert!(answers.get(LONG).await.is_none());
        });
    }

    /// Nobody asks, and yet the worker is asked every second; the rates are those of what has passed between.
    #[test]
    fn rates_are_sampled_though_nobody_asks() {
        run(|answers, inbox| async move {
            time::pause();
            for second in 1..=3 {
                time::sleep(sampled_every(None)).await;
                settle().await;
                let Some(questions::Request::Read(question)) = inbox.turn() else { panic!("a question") };
                let mut counted = snapshot(second * 1_000_000_000);
                counted.containers[0].egress.traffic_control[0].bytes = second * 8_000;
                question.answer.send(telling(counted)).ok().unwrap();
                settle().await;
            }
            let answer = answers.get(LONG).await.unwrap();
            assert_eq!(answer.snapshot().containers[0].egress.bw_limit().ratebps, 1_000 + 875);
            assert!(inbox.turn().is_none());
        });
    }

    #[test]
    fn windows_are_sampled_in_step() {
        let every = |interval_ms: u64| {
            let interval = interval_ms * 1_000_000;
            sampled_every(Some(Sampling::new(60 * interval, interval).unwrap())).as_millis()
        };
        assert_eq!(sampled_every(None).as_millis(), 1_000);
        assert_eq!([20, 999, 1_000, 1_500, 5_000].map(every), [20, 999, 1_000, 750, 1_000]);
    }

    /// Rates of a fifth of a second are seen, which the estimate of eight hides.
    #[test]
    fn windows_see_what_an_average_hides() {
        let interval = 200_000_000;
        run_with(Some(Sampling::new(10 * interval, interval).unwrap()), |answers, inbox| async move {
            time::pause();
            let mut bytes = 0;
            for round in 1..=6 {
                time::sleep(Duration::from_nanos(interval)).await;
                settle().await;
                let Some(questions::Request::Read(question)) = inbox.turn() else { panic!("a question") };
                let mut counted = snapshot(round * interval);
                bytes += if round == 4 { 100_000 } else { 200 };
                counted.containers[0].egress.sent_bytes = bytes;
                question.answer.send(telling(counted)).ok().unwrap();
                settle().await;
            }
            let answer = answers.get(LONG).await.unwrap();
            let rate = answer.snapshot().containers[0].egress.rates.unwrap().bytes_per_s;
            assert_eq!((rate.samples, rate.min, rate.p50, rate.max), (5, 1_000, 1_000, 500_000));
        });
    }
}

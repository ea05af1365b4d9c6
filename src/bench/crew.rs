//! Several workers on cores of their own: what they do together, beside what one of them does alone.
//!
//! Containers are divided among workers, and what limits a lane is as in a [`Scenario`] of one worker's containers; the link
//! has no limit, for then all lanes would be one worker's. Two kinds of traffic are measured: of its own containers alone at
//! each worker, and of the next worker's alone, so that every packet is handed over.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use core_affinity::CoreId;
use portlane_classify::Arriving;

use super::load::Setup;
use super::plan::{blocks, plan_without_link};
use super::rounds::Times;
use super::scenario::{FRAME_SIZE, KEY, SPARE, pool};
use super::source::Source;
use super::traffic::Traffic;
use super::{Options, Scenario};
use crate::failure::Failure;
use crate::line::{BATCH, Port};
use crate::workers::{self, Owners};

/// Rounds of each kind, in turns. The median is what counts: workers who disturb each other make no round shorter.
const ROUNDS: usize = 25;

/// Turns between two looks at how far the others are.
const STRIDE: u64 = 16;

/// What came out. Times are nanoseconds from one packet to the next, of all workers together.
#[derive(Debug)]
pub struct Together {
    /// What was measured.
    pub options: Options,
    /// Workers.
    pub workers: u32,
    /// Packets of a round, at each worker.
    pub packets: u64,
    /// Number of rounds.
    pub rounds: usize,
    /// The first worker alone, with its own containers.
    pub alone: Times,
    /// All of them, each with its own containers.
    pub separate: Times,
    /// All of them, each with packets of the next one's containers. What was dropped on the way does not count.
    pub handed_over: Times,
    /// How many times as many packets as one alone, in the median of the rounds: on separate containers, and handed over.
    pub gain: [f64; 2],
    /// Of the packets to be handed over, those that were dropped because the other worker was late, in percent.
    pub handoff_percent: f64,
}

/// Measures rounds of at least so many packets at each worker.
///
/// # Errors
///
/// Refused as [`Scenario::new`] says, if there are fewer containers than workers, or fewer cores.
pub fn measure_together(options: &Options, packets: u64, workers: u32) -> Result<Together, Failure> {
    let cores = cores(workers)?;
    let mut separate = crew(options, workers, 0)?;
    let mut handed = crew(options, workers, 1)?;
    let turns = packets.div_ceil(BATCH as u64);
    for crew in [&mut separate, &mut handed] {
        let turns = crew.iter().map(Scenario::turns_to_warm_up).max().unwrap_or(0);
        run(crew, &cores, turns);
    }
    let before = handoffs(&handed);
    let mut times = [const { Vec::new() }; 3];
    let mut gain = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let alone = run(&mut separate[..1], &cores, turns);
        let both = [run(&mut separate, &cores, turns), run(&mut handed, &cores, turns)];
        for (gain, ns) in gain.iter_mut().zip(both) {
            gain.push(alone / ns);
        }
        times.iter_mut().zip([alone, both[0], both[1]]).for_each(|(times, ns)| times.push(ns));
    }
    let (received, dropped) = handoffs(&handed);
    let handoff_percent = 100.0 * (dropped - before.1) as f64 / (received - before.0) as f64;
    let [alone, separate, handed_over] = times.map(Times::sorted);
    let gain = gain.map(|gain| Times::sorted(gain).median());
    let packets = turns * BATCH as u64;
    Ok(Together {
        options: *options,
        workers,
        packets,
        rounds: ROUNDS,
        alone,
        separate,
        handed_over,
        gain,
        handoff_percent,
    })
}

/// The cores for so many workers: the first ones of those allowed.
fn cores(workers: u32) -> Result<Vec<CoreId>, Failure> {
    let mut cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.len() < workers as usize {
        return Err(Failure::refused(format!("{workers} workers: there are {} cores", cores.len())));
    }
    cores.truncate(workers as usize);
    Ok(cores)
}

/// A line for each worker. What arrives at one is for containers of the worker at this distance.
fn crew(options: &Options, workers: u32, distance: u32) -> Result<Vec<Scenario>, Failure> {
    let Options { containers, .. } = *options;
    if containers < workers {
        return Err(Failure::refused(format!(
            "{containers} containers: must be {workers} (one for each worker) or more"
        )));
    }
    // As many for each: the last ones have no traffic where there are too many.
    let share =
        Options { containers: containers / workers, flows: options.flows.map(|flows| flows / workers), ..*options };
    let setup = Setup::new(&share);
    let plan = plan_without_link(containers, &setup)?;
    let owners = Owners::assign(&plan, workers as usize);
    let traffic = |worker: usize| {
        let of = (worker + distance as usize) % workers as usize;
        let own = blocks(containers).zip(0..).filter(|&(_, lane)| owners.of_lane(lane) == of).map(|(block, _)| block);
        Traffic::of(&share, own.take(share.containers as usize))
    };
    let mut traffic = (0..workers as usize).map(traffic).collect::<Result<Vec<_>, _>>()?.into_iter();
    // Half of a worker's frames may be with others: twice what waits, and what may be between two.
    let of_each = 2 * (share.frames() as u64 + setup.queued + SPARE + u64::from(workers::RING));
    let pool = pool(u64::from(workers) * of_each)?;
    let lent = u32::try_from(setup.queued).unwrap_or(u32::MAX).saturating_add(workers::RING / 2);
    let ports = |_, pool: &mut _| {
        let device = Source::new(traffic.next().expect("one for each worker"), share.batches(), pool).patient(lent);
        vec![Port { device, arriving: Arriving::Egress }]
    };
    let lines = workers::lines(&plan, &owners, workers, pool, ports, [0, 0], KEY)
        .map_err(|cause| Failure::refused(format!("frames of {FRAME_SIZE} bytes: {cause}")))?;
    Ok(lines.into_iter().map(|line| Scenario::of(line, setup)).collect())
}

/// All workers take so many turns each, and go on until everyone has. Returns nanoseconds a packet of all together; those
/// that were dropped between two workers do not count.
fn run(crew: &mut [Scenario], cores: &[CoreId], turns: u64) -> f64 {
    let (start, done, count) = (Barrier::new(crew.len()), AtomicUsize::new(0), crew.len());
    let work = |scenario: &mut Scenario, core: CoreId| {
        core_affinity::set_for_current(core);
        start.wait();
        let before = moved(scenario);
        let started = Instant::now();
        let mut taken = 0;
        while done.load(Ordering::Relaxed) < count {
            scenario.turns(STRIDE);
            taken += STRIDE;
            if (turns..turns + STRIDE).contains(&taken) {
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
        (moved(scenario) - before) as f64 / (started.elapsed().as_secs_f64() * 1e9)
    };
    let rate: f64 = thread::scope(|scope| {
        let threads: Vec<_> =
            crew.iter_mut().zip(cores).map(|(scenario, &core)| scope.spawn(move || work(scenario, core))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).sum()
    });
    1.0 / rate
}

/// Packets that have got to their lanes, or are on their way there.
fn moved(scenario: &Scenario) -> u64 {
    let counters = &scenario.line().counters;
    counters.received - counters.handoff
}

/// Packets received, and those of them dropped between workers.
fn handoffs(crew: &[Scenario]) -> (u64, u64) {
    let counters = crew.iter().map(|scenario| &scenario.line().counters);
    counters.fold((0, 0), |(received, dropped), one| (received + one.received, dropped + one.handoff))
}

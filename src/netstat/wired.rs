//! Who tells TCP's counters from frames, on a thread that keeps no packet waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel;
use crossbeam::queue::ArrayQueue;
use nix::unistd::gettid;
use portlane_classify::{Arriving, Direction, parse};
use portlane_netstat::{Counters, Segment, Wire};

use super::{Latest, Values, WIRE};
use crate::clock::Clock;
use crate::config::Plan;
use crate::failure::Failure;
use crate::flows::heads::{Head, Receiver, Taken};
use crate::flows::names::{List, Names};
use crate::flows::owners::Owners;
use crate::{live, privileges};

/// Slots of each worker's ring: 4 MiB.
pub const SLOTS: u32 = 1 << 16;

/// How long it sleeps when there is nothing to see.
const NAP: Duration = Duration::from_millis(1);

/// How often counters are told.
const TOLD_EVERY_NS: u64 = 250_000_000;

/// How much later than others a worker may show what it saw at the same time.
const PATIENCE_NS: u64 = 1_000_000;

/// What is followed, from now on.
#[derive(Debug, Clone)]
pub struct Followed(Arc<ArrayQueue<Arc<Plan>>>);

impl Default for Followed {
    fn default() -> Self {
        Self(Arc::new(ArrayQueue::new(1)))
    }
}

impl Followed {
    /// Another plan.
    pub fn follow(&self, plan: Arc<Plan>) {
        self.0.force_push(plan);
    }
}

/// What is looked at, and what is needed for it.
#[derive(Debug)]
pub struct Watched {
    /// What workers show.
    pub receivers: Vec<Receiver>,
    /// Connections that are remembered.
    pub connections: usize,
    /// What is followed first.
    pub plan: Arc<Plan>,
    /// What is followed later.
    pub followed: Followed,
    /// For hashing: secret.
    pub key: [u64; 2],
    /// That of workers.
    pub clock: Clock,
    /// Those of workers.
    pub cores: Vec<Option<usize>>,
    /// Where all is told.
    pub latest: Latest,
}

/// Tells until it is dropped.
#[derive(Debug)]
pub struct Wired {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wired {
    /// Begins, and returns when its thread has given up its privileges.
    ///
    /// # Errors
    ///
    /// Failed if there is no thread to be had, or it keeps privileges.
    pub fn start(watched: Watched) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, begun) = channel::bounded(1);
        let stopped = Arc::clone(&stop);
        let work = move || {
            live::keep_off(&watched.cores, gettid());
            let given_up = privileges::give_up();
            let goes_on = given_up.is_ok();
            // Who started it waits.
            let _ = ready.send(given_up);
            if goes_on {
                Teller::new(watched).until(&stopped);
            }
        };
        let thread = thread::Builder::new().name("portlane-wire".to_owned()).spawn(work).map_err(Failure::failed)?;
        let wired = Self { stop, thread: Some(thread) };
        begun.recv().map_err(Failure::failed)??;
        Ok(wired)
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// A segment of a container's, and whether it is given to it.
type Passed = (u32, bool, Segment);

struct Teller {
    receivers: Vec<Receiver>,
    followed: Followed,
    clock: Clock,
    latest: Latest,
    owners: Owners,
    names: Names,
    /// By number; told of are those that are in the plan.
    list: List,
    plan: Arc<Plan>,
    wire: Wire,
    /// Those of one time.
    passed: Vec<Passed>,
    taken: Taken,
    told_ns: u64,
}

impl Teller {
    fn new(watched: Watched) -> Self {
        let Watched { receivers, connections, plan, followed, key, clock, latest, .. } = watched;
        let mut names = Names::default();
        let owners = Arc::new(names.follow(&plan, clock.now().0));
        let mut teller = Self {
            receivers,
            followed,
            clock,
            latest,
            owners: Owners::new(owners, plan.host_addresses.clone(), key),
            list: names.list(),
            names,
            plan,
            wire: Wire::new(connections, key),
            passed: Vec::new(),
            taken: Taken::default(),
            told_ns: 0,
        };
        teller.wire.make_room(teller.list.len());
        teller
    }

    fn until(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if let Some(plan) = self.followed.0.pop() {
                self.follow(plan);
            }
            let now_ns = self.clock.now().0;
            let looked = self.look(now_ns);
            while self.wire.expire(now_ns) {}
            if now_ns.saturating_sub(self.told_ns) >= TOLD_EVERY_NS {
                self.tell(now_ns);
            }
            if looked == 0 {
                thread::sleep(NAP);
            }
        }
    }

    fn follow(&mut self, plan: Arc<Plan>) {
        let owners = Arc::new(self.names.follow(&plan, self.clock.now().0));
        self.owners.replace(owners, plan.host_addresses.clone());
        let former = std::mem::replace(&mut self.list, self.names.list());
        self.wire.make_room(self.list.len());
        // Numbers that others have now.
        for (number, (before, name)) in (0..).zip(former.iter().zip(self.list.iter())) {
            if before != name {
                self.wire.forget(number);
            }
        }
        self.plan = plan;
    }

    /// Looks at all that has been shown; returns how many frames it was.
    fn look(&mut self, now_ns: u64) -> usize {
        let until_ns = if self.receivers.len() == 1 { u64::MAX } else { now_ns.saturating_sub(PATIENCE_NS) };
        let mut looked = 0;
        while let Some(oldest_ns) = self.oldest_ns().filter(|&oldest_ns| oldest_ns <= until_ns) {
            for receiver in &mut self.receivers {
                while let Some(head) = receiver.take(oldest_ns, &mut self.taken) {
                    looked += 1;
                    self.passed.extend(passed(&head, &mut self.owners));
                }
                receiver.release();
            }
            // What a turn has received was sent before the turn gave anything.
            self.passed.sort_by_key(|&(_, is_given, _)| is_given);
            for (container, is_given, segment) in self.passed.drain(..) {
                if is_given {
                    self.wire.delivered(container, &segment, oldest_ns);
                } else {
                    self.wire.sent(container, &segment, oldest_ns);
                }
            }
        }
        looked
    }

    fn oldest_ns(&mut self) -> Option<u64> {
        self.receivers.iter_mut().filter_map(Receiver::oldest_ns).min()
    }

    fn tell(&mut self, now_ns: u64) {
        self.told_ns = now_ns;
        let lost = self.receivers.iter().map(|receiver| receiver.lost().packets).sum();
        let numbers: BTreeMap<&str, u32> = self.list.iter().map(AsRef::as_ref).zip(0..).collect();
        let ids = self.plan.containers.iter().map(|container| container.id.as_str());
        let told = ids.filter_map(|id| Some((id, values(&self.wire.counters(*numbers.get(id)?)))));
        self.latest.replace(WIRE, told.collect(), lost);
    }
}

/// Whose segment a frame is, if it is one: of its receiver if it comes from the network, else of who sent it.
fn passed(head: &Head<'_>, owners: &mut Owners) -> Option<Passed> {
    let link = head.link?;
    let headers = parse(link, head.bytes, head.wire_len).ok()?;
    let arriving = if owners.knows_the_host() { Arriving::Either } else { head.arriving };
    let (source, destination) = owners.of(&headers, arriving, head.time_ns);
    let is_given = head.arriving == Arriving::Ingress;
    let (container, direction) =
        if is_given { (destination?, Direction::Ingress) } else { (source?, Direction::Egress) };
    Some((container, is_given, Segment::read(link, head.bytes, head.wire_len, direction)?))
}

/// By the kernel's names, and two of our own.
fn values(counters: &Counters) -> Values {
    let named = counters.named().into_iter().map(|(protocol, name, value)| (format!("{protocol}_{name}"), value));
    let own = [("Wire_UnansweredSyns", counters.unanswered_syns), ("Wire_Untracked", counters.untracked)];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let checked = |(name, _): &(String, u64)| !["Tcp_InErrs", "Tcp_InCsumErrors"].contains(&name.as_str());
    named.chain(own).filter(checked).map(|(name, value)| (name, i64::try_from(value).unwrap_or(i64::MAX))).collect()
}

//! Frames whose lane is another worker's: they are handed over after they have been classified, and join their lanes there.

use std::io;
use std::sync::Arc;

use portlane_classify::{Found, Malformed};
use portlane_rings::{Device, Frame, Peer};
use portlane_shaper::{LaneId, Nanos};

use super::{BATCH, End, Line, Watch};

/// Batches taken over from another worker in one turn, at most: more than one, so that a worker who has fallen behind can
/// catch up, and few, so that its own devices do not wait for long.
const BATCHES: usize = 4;

/// The other workers, as one of them sees them.
#[derive(Debug)]
pub struct Neighbours {
    /// The worker of each lane, in both directions.
    worker_of: Arc<[u8]>,
    /// By worker; `None`: this one.
    peers: Vec<Option<Peer<Found<u32>>>>,
    /// Frames of a batch that stay, and whose they are; empty between turns.
    staying: Vec<Frame>,
    owners: Vec<Result<Found<u32>, Malformed>>,
    /// Those who sleep and have been handed something: a bit for each worker.
    to_wake: u64,
}

impl Neighbours {
    /// The workers behind `peers`, of which `worker_of` says who has which lane.
    #[must_use]
    pub fn new(worker_of: Arc<[u8]>, peers: Vec<Option<Peer<Found<u32>>>>) -> Self {
        let (staying, owners) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        Self { worker_of, peers, staying, owners, to_wake: 0 }
    }

    /// The worker, if it is another one, whose a packet is.
    #[inline]
    fn peer(&mut self, owner: &Result<Found<u32>, Malformed>) -> Option<(&mut Peer<Found<u32>>, Found<u32>)> {
        let found = owner.as_ref().ok()?;
        let worker = self.worker_of[found.owner as usize];
        Some((self.peers[usize::from(worker)].as_mut()?, *found))
    }
}

impl<D: Device> Line<D> {
    /// The line of a worker who has some of the lanes, and neighbours who have the others. Its devices are of the clock on the
    /// wall: what is handed over arrives when it does.
    #[must_use]
    pub fn among(self, neighbours: Neighbours) -> Self {
        Self { neighbours: Some(Box::new(neighbours)), ..self }
    }

    /// Other workers own other lanes from now on. Nothing may be on its way between them.
    pub(crate) fn set_owners(&mut self, worker_of: Arc<[u8]>) {
        if let Some(neighbours) = &mut self.neighbours {
            neighbours.worker_of = worker_of;
        }
    }

    /// Whether somebody has to be woken, since this was asked last: bit n is for worker n, who sleeps and has been handed
    /// something.
    #[inline]
    pub fn take_wakes(&mut self) -> u64 {
        self.neighbours.as_mut().map_or(0, |neighbours| std::mem::take(&mut neighbours.to_wake))
    }

    /// Says to the others that this worker is going to sleep, and wants to be woken when something is handed over. False if
    /// something has been: then it must not sleep. Awake again, it [says so](Self::is_awake).
    #[must_use]
    pub fn falls_asleep(&self) -> bool {
        self.peers().all(Peer::falls_asleep)
    }

    /// Says to the others that this worker is awake.
    pub fn is_awake(&self) {
        self.peers().for_each(Peer::is_awake);
    }

    fn peers(&self) -> impl Iterator<Item = &Peer<Found<u32>>> {
        self.neighbours.iter().flat_map(|neighbours| neighbours.peers.iter().flatten())
    }

    /// Takes over everything that others have handed over.
    pub(crate) fn take_over_all(&mut self, now: Nanos) -> io::Result<()> {
        loop {
            let before = self.counters.taken_over;
            self.take_over_seen(now)?;
            if self.counters.taken_over == before {
                return Ok(());
            }
        }
    }

    /// Frames of the batch that are others' go to them, or are dropped if there is no room; the others stay, in their order.
    #[inline]
    pub(super) fn hand_over(&mut self, watch: impl Watch) {
        if self.neighbours.is_some() {
            self.hand_over_to_neighbours(watch);
        }
    }

    #[inline(never)]
    fn hand_over_to_neighbours(&mut self, mut watch: impl Watch) {
        let Self { neighbours: Some(neighbours), pool, batch, owners, counters, .. } = self else { return };
        let Some(first) = owners.iter().position(|owner| neighbours.peer(owner).is_some()) else { return };
        for (frame, owner) in batch.drain(first..).zip(owners.drain(first..)) {
            let Some((peer, found)) = neighbours.peer(&owner) else {
                neighbours.staying.push(frame);
                neighbours.owners.push(owner);
                continue;
            };
            match peer.hand_over(pool, frame, found) {
                Ok(()) => counters.handed_over += 1,
                Err(frame) => {
                    counters.handoff += 1;
                    watch.turns_to(found.direction);
                    watch.ends(pool, &frame, End::HandOff { lane: LaneId(found.owner) });
                    pool.put(frame);
                }
            }
        }
        batch.append(&mut neighbours.staying);
        owners.append(&mut neighbours.owners);
        for (worker, peer) in neighbours.peers.iter_mut().enumerate() {
            if peer.as_mut().is_some_and(Peer::publish) {
                neighbours.to_wake |= 1 << worker;
            }
        }
    }

    /// What others have handed over goes straight through, or joins its lanes. Returns how many were taken over and sent.
    #[inline]
    pub(super) fn take_over(&mut self, now: Nanos, watch: impl Watch) -> io::Result<usize> {
        if self.neighbours.is_some() { self.take_over_from_neighbours(now, watch) } else { Ok(0) }
    }

    #[inline(never)]
    fn take_over_from_neighbours(&mut self, now: Nanos, mut watch: impl Watch) -> io::Result<usize> {
        let workers = self.neighbours.as_ref().map_or(0, |neighbours| neighbours.peers.len());
        let mut moved = 0;
        for worker in 0..workers {
            for _ in 0..BATCHES {
                let taken = self.take_batch(worker);
                moved += taken + self.enqueue(0, now, watch.lend())?;
                if taken < BATCH {
                    break;
                }
            }
        }
        Ok(moved)
    }

    /// Frames that a neighbour has handed over fill the batch. Returns how many.
    fn take_batch(&mut self, worker: usize) -> usize {
        let Self { neighbours: Some(neighbours), pool, batch, owners, counters, shapers, .. } = self else { return 0 };
        let Some(peer) = &mut neighbours.peers[worker] else { return 0 };
        for _ in 0..BATCH {
            let Some((frame, found)) = peer.take_over(pool) else { break };
            shapers[found.direction.index()].prefetch(LaneId(found.owner));
            batch.push(frame);
            owners.push(Ok(found));
        }
        peer.release();
        counters.taken_over += batch.len() as u64;
        batch.len()
    }
}

//! Packets leave: one at a time, or all that may.

use super::{Departure, Fate, Shaper, Way};
use crate::lane::{Place, Readiness};
use crate::queue::Queued;
use crate::tree::{Afterwards, Chosen};
use crate::units::Nanos;

impl<P> Shaper<P> {
    /// The next packet that may leave at `now`; `None` if none may.
    #[inline]
    pub fn dequeue(&mut self, now: Nanos, fate: &mut impl Fate<P>) -> Option<Departure<P>> {
        if self.rests(now) { None } else { self.dequeue_queued(now, fate) }
    }

    /// Whether nobody waits for anything, neither packets nor tokens. If so it is as if [`dequeue`](Self::dequeue) had been asked
    /// at `now`, and had said that nothing may leave.
    #[inline]
    pub fn rests(&mut self, now: Nanos) -> bool {
        let rests = self.queued() == 0 && self.tree.is_at_rest();
        if rests {
            (self.woken, self.still_at) = (Some(now), Some(now));
        }
        rests
    }

    /// All packets that may leave at `now` do, one after the other as [`dequeue`](Self::dequeue) has it, until one
    /// [comes back](Self::put_back). Returns how many have left.
    #[inline]
    pub fn dequeue_all(&mut self, now: Nanos, way: &mut impl Way<P>) -> usize {
        if self.rests(now) { 0 } else { self.dequeue_all_queued(now, way) }
    }

    #[inline(never)]
    fn dequeue_all_queued(&mut self, now: Nanos, way: &mut impl Way<P>) -> usize {
        let mut sent = 0;
        while let Some(departure) = self.dequeue_queued(now, way) {
            if let Err(departure) = way.send(departure) {
                self.put_back(departure);
                break;
            }
            sent += 1;
            // Nothing has come back, and such turns make no waits that have ended.
            let awake = self.woken == Some(now);
            while awake && let Some(departure) = self.dequeue_directly(now, way) {
                if let Err(departure) = way.send(departure) {
                    self.has_given_directly(&departure);
                    self.put_back(departure);
                    return sent;
                }
                sent += 1;
            }
        }
        sent
    }

    #[inline(always)]
    fn dequeue_queued(&mut self, now: Nanos, fate: &mut impl Fate<P>) -> Option<Departure<P>> {
        self.still_at = None;
        if self.returned.is_some() {
            return self.give_again();
        }
        self.wake(now, fate);
        if let Some(departure) = self.dequeue_directly(now, fate) {
            self.has_given_directly(&departure);
            self.still_at = self.tree.is_still().then_some(now);
            return Some(departure);
        }
        while let Some(chosen) = self.tree.choose(now) {
            let id = chosen.lane;
            let lane = &mut self.lanes[id.index()];
            let before = lane.spare();
            let taken = lane.take(id, &mut self.store, now, fate);
            let readiness = lane.readiness(id, &mut self.store, now, fate);
            match &taken {
                Some(item) => self.tree.sent(chosen, item.len, readiness == Readiness::Ready, now),
                None => self.tree.skip(chosen),
            }
            // Who has sent and has more is where it was.
            if taken.is_none() || readiness != Readiness::Ready {
                self.put(id, readiness);
            }
            self.lengths.changed(id.0, before, self.lanes[id.index()].spare());
            if let Some(Queued { packet, len, enqueued, .. }) = taken {
                self.given_again = false;
                self.last = Some(chosen);
                self.see_if_still(now);
                return Some(Departure { lane: id, packet, len, enqueued, passed: false });
            }
        }
        self.see_if_still(now);
        None
    }

    /// What [`dequeue`](Self::dequeue) comes to where it is the turn of a lane without a filter, right under the link, and CoDel
    /// lets a packet of it go; else `None`, and others are to be asked. What has left [is kept in mind](Self::has_given_directly) by
    /// the caller.
    #[inline(always)]
    fn dequeue_directly(&mut self, now: Nanos, fate: &mut impl Fate<P>) -> Option<Departure<P>> {
        let turn = self.tree.direct_turn()?;
        let chosen = turn.chosen();
        let id = chosen.lane;
        let lane = &mut self.lanes[id.index()];
        let before = lane.spare();
        if lane.is_filtered() {
            return None;
        }
        let taken = lane.take_unfiltered(id, &mut self.store, now, fate);
        let after = lane.spare();
        let Some(popped) = taken else {
            self.tree.skip(chosen);
            self.settle(id, now, fate);
            self.lengths.changed(id.0, before, after);
            return None;
        };
        if after == 0 {
            lane.set_place(Place::Idle);
        }
        if turn.sent(popped.len, after > 0, now) == Afterwards::UpdateLink {
            self.tree.update_link();
        }
        self.lengths.changed(id.0, before, after);
        let Queued { packet, len, enqueued, .. } = self.store.take(popped);
        Some(Departure { lane: id, packet, len, enqueued, passed: false })
    }

    /// Keeps in mind what may come back.
    #[inline]
    fn has_given_directly(&mut self, departure: &Departure<P>) {
        self.given_again = false;
        self.last = Some(Chosen { lane: departure.lane, level: 0 });
    }

    /// The packet that came back leaves again.
    #[cold]
    fn give_again(&mut self) -> Option<Departure<P>> {
        let departure = self.returned.take()?;
        self.store.take_up();
        self.lanes[departure.lane.index()].counters.sent.add(departure.len);
        if let Some(last) = self.last {
            self.tree.count_again(last, departure.len);
        }
        self.given_again = true;
        Some(departure)
    }

    /// Takes back a packet that [`dequeue`](Self::dequeue) gave and the device's ring had no room for. It stays at the
    /// head: the next call gives it again. Only the packet given last may come back, as often as need be: `requeues` counts
    /// the first time.
    ///
    /// # Panics
    ///
    /// If one has come back already.
    #[cold]
    #[inline(never)]
    pub fn put_back(&mut self, departure: Departure<P>) {
        assert!(self.returned.is_none(), "only the packet given last may come back");
        self.still_at = None;
        let counters = &mut self.lanes[departure.lane.index()].counters;
        if departure.passed {
            (self.last, self.given_again) = (Some(Chosen { lane: departure.lane, level: 0 }), false);
            self.tree.unpass(departure.lane, departure.len);
            counters.offered.add(departure.len);
            counters.dequeued.add(departure.len);
        } else {
            counters.sent.sub(departure.len);
        }
        counters.requeues += u64::from(!self.given_again);
        if let Some(last) = self.last {
            self.tree.uncount(last, departure.len);
        }
        self.returned = Some(Departure { passed: false, ..departure });
        self.store.put_aside();
    }
}

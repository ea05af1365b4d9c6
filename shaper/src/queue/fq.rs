//! FQ-CoDel: a queue for each flow, served in turn, each under CoDel (RFC 8290), step by step as `sch_fq_codel`.
//!
//! Flows that began to send lately are in the list of new flows, which goes first; the others are in the list of old ones.
//! A flow that has become empty leaves its list when its turn comes, not before. A flow is kept while it is in a list, and
//! then for as long as its CoDel could tell the difference.
//!
//! A lane that nothing holds up mostly has no packets and one flow listed, the one that sent last. That flow is kept in the
//! lane itself ([`Lone`]): such lanes need no memory for flows, and a packet that goes straight through touches nothing else.

use super::lone::{Lone, Seat};
use super::slab::{List, Slab};
use super::store::{Fifo, Queued, Store};
use super::table::Table;
use super::{Outcome, Popped, Totals, Watched};
use crate::params::FqParams;
use crate::units::Nanos;
use crate::{Fate, codel};
use std::sync::Arc;

/// A flow: what is hashed into one bucket of a lane.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) codel: codel::State,
    pub(super) fifo: Fifo,
    /// Bytes that the flow may still send in its turn, less what it sent too much.
    pub(super) deficit: i32,
    pub(super) bucket: u16,
    /// In the list of new flows or in that of old ones.
    listed: bool,
}

impl Flow {
    fn new(bucket: u16) -> Self {
        Self { codel: codel::State::default(), fifo: Fifo::default(), deficit: 0, bucket, listed: false }
    }
}

/// The flows of a lane. The order of its fields is that of [`Lane`](crate::lane::Lane).
#[derive(Debug)]
#[repr(C)]
pub(super) struct FqCodel {
    /// If there is one, lists and table are empty.
    pub(super) lone: Seat,
    /// Times that a flow came into the list of new ones.
    pub(super) new_flow_count: u64,
    params: Arc<FqParams>,
    pub(super) new: List,
    pub(super) old: List,
    table: Table,
}

impl FqCodel {
    /// Of parameters that are [kept](Self::kept).
    pub(super) fn new(params: Arc<FqParams>) -> Self {
        let (new, old) = (List::default(), List::default());
        Self { params, lone: Seat::EMPTY, new_flow_count: 0, new, old, table: Table::default() }
    }

    /// Parameters as lanes keep them: a quantum that nobody can use up is no longer than a deficit.
    pub(super) fn kept(params: &FqParams) -> Arc<FqParams> {
        Arc::new(FqParams { quantum: params.quantum.min(i32::MAX.unsigned_abs()), ..*params })
    }

    /// What a new flow may send.
    #[inline]
    fn quantum(&self) -> i32 {
        self.params.quantum.cast_signed()
    }

    /// The bucket of a hash (`reciprocal_scale`); there are at most 65,536.
    #[inline]
    fn bucket_of(&self, hash: u32) -> u16 {
        let scaled = (u64::from(hash) * u64::from(self.params.flows)) >> 32;
        (scaled & 0xffff) as u16
    }

    /// A packet of a lane without packets comes and goes, as [`push`](Self::push) and [`dequeue`](Self::dequeue) would have
    /// it; false, and nothing happened, if that takes more than a lane's [`Lone`] flow can tell.
    pub(super) fn pass(&mut self, hash: u32, len: u32) -> bool {
        let (bucket, quantum) = (self.bucket_of(hash), self.quantum());
        let Some(mut lone) = self.lone.get() else { return self.pass_first(bucket, len) };
        if lone.deficit <= 0 {
            // Another flow would not leave its list when it is visited, but go to the old ones.
            if lone.bucket != bucket {
                return false;
            }
            lone.revisit(quantum);
            self.lone = lone.into();
        }
        self.pass_alone(hash, len)
    }

    /// The same for a lane that has no lone flow: none at all, or more than one.
    fn pass_first(&mut self, bucket: u16, len: u32) -> bool {
        let first = self.table.is_empty();
        if first {
            let deficit = self.quantum() - len.cast_signed();
            self.lone = Lone { bucket, old: false, deficit, ldelay: Nanos::ZERO }.into();
            self.new_flow_count += 1;
        }
        first
    }

    /// What [`pass`](Self::pass) does if there is a lone flow, and it has some of its deficit left; else false, and nothing
    /// happened.
    #[inline(always)]
    pub(super) fn pass_alone(&mut self, hash: u32, len: u32) -> bool {
        let (bucket, quantum) = (self.bucket_of(hash), self.quantum());
        let passed = self.lone.pass(bucket, quantum, len);
        if let Some(another) = passed {
            self.new_flow_count += u64::from(another);
        }
        passed.is_some()
    }

    /// Gives the lone flow a place in store, list and table.
    #[inline]
    fn accompany(&mut self, flows: &mut Slab<Flow>, now: Nanos) {
        if let Some(Lone { bucket, old, deficit, ldelay }) = std::mem::replace(&mut self.lone, Seat::EMPTY).get() {
            let index = self.add_flow(bucket, flows, now);
            let flow = flows.get_mut(index);
            (flow.deficit, flow.codel.ldelay, flow.listed) = (deficit, ldelay, true);
            let list = if old { &mut self.old } else { &mut self.new };
            list.push(flows, index);
        }
    }

    /// The packets are all gone: if one flow is left that can do without a place, it is lone again.
    #[inline(never)]
    pub(super) fn isolate(&mut self, flows: &mut Slab<Flow>) {
        if self.table.len() != 1 {
            return;
        }
        let old = self.new.len() == 0;
        let Some(index) = self.next_flow() else { return };
        let &Flow { codel, deficit, bucket, .. } = flows.get(index);
        if codel.is_fresh() {
            (self.new, self.old) = (List::default(), List::default());
            self.table.remove(bucket);
            flows.remove(index);
            self.lone = Lone { bucket, old, deficit, ldelay: codel.ldelay }.into();
        }
    }

    /// Changes the parameters; false, and nothing changed, if packets would be in other buckets. What may be forgotten by
    /// now is: a longer interval does not bring it back.
    pub(super) fn set(&mut self, params: &FqParams, flows: &mut Slab<Flow>, now: Nanos) -> bool {
        let same = self.params.flows == params.flows;
        if same {
            self.forget(flows, now);
            self.params = Self::kept(params);
        }
        same
    }

    /// Appends a packet to its flow, and returns the flow (`fq_codel_enqueue`).
    #[inline]
    pub(super) fn push<P>(&mut self, store: &mut Store<P>, item: Queued<P>) -> u32 {
        self.accompany(&mut store.flows, item.enqueued);
        let index = self.flow_of(item.flow, &mut store.flows, item.enqueued);
        let flow = store.flows.get_mut(index);
        flow.fifo.push(&mut store.packets, item);
        if !flow.listed {
            flow.listed = true;
            flow.deficit = self.quantum();
            self.new.push(&mut store.flows, index);
            self.new_flow_count += 1;
        }
        index
    }

    /// The flow of a hash.
    #[inline]
    fn flow_of(&mut self, hash: u32, flows: &mut Slab<Flow>, now: Nanos) -> u32 {
        let bucket = self.bucket_of(hash);
        self.table.find(bucket).unwrap_or_else(|| self.add_flow(bucket, flows, now))
    }

    fn add_flow(&mut self, bucket: u16, flows: &mut Slab<Flow>, now: Nanos) -> u32 {
        if self.table.is_crowded(self.params.flows) {
            self.forget(flows, now);
            self.table.make_room();
        }
        let index = flows.insert(Flow::new(bucket));
        self.table.insert(bucket, index);
        index
    }

    /// Forgets the flows that are in no list and whose CoDel cannot tell the difference.
    fn forget(&mut self, flows: &mut Slab<Flow>, now: Nanos) {
        let interval = self.params.codel.interval;
        self.table.retain(|index| {
            let flow = flows.get(index);
            let keep = flow.listed || !flow.codel.forgettable(interval, now);
            if !keep {
                flows.remove(index);
            }
            keep
        });
    }

    /// The packet that is to leave now, CoDel permitting (`fq_codel_dequeue`).
    #[inline(always)]
    pub(super) fn dequeue<P, F: Fate<P>>(
        &mut self,
        store: &mut Store<P>,
        totals: &mut Totals,
        maxpacket: &mut u32,
        now: Nanos,
        outcome: &mut Outcome<'_, F>,
    ) -> Option<Popped> {
        if !self.lone.is_empty() {
            // Nobody else has packets either.
            self.lone = Seat::EMPTY;
            return None;
        }
        let Store { packets, flows, .. } = store;
        loop {
            let index = self.next_flow()?;
            let flow = flows.get_mut(index);
            if flow.deficit <= 0 {
                flow.deficit = flow.deficit.saturating_add(self.quantum());
                self.pass_to_old(flows);
                continue;
            }
            let mut queue = Watched { fifo: &mut flow.fifo, packets, totals, maxpacket, outcome };
            if let Some(popped) = flow.codel.dequeue(&self.params.codel, now, &mut queue) {
                flow.deficit = flow.deficit.saturating_sub_unsigned(popped.len);
                return Some(popped);
            }
            if self.new.len() > 0 && self.old.len() > 0 {
                // One pass through the old flows, or flows that come and go would starve them.
                self.pass_to_old(flows);
            } else {
                self.unlist(flows, now);
            }
        }
    }

    /// The flow whose turn it is.
    #[inline]
    pub(super) fn next_flow(&self) -> Option<u32> {
        self.new.first().or_else(|| self.old.first())
    }

    /// The flow whose turn it is goes to the end of the old flows.
    #[inline]
    fn pass_to_old(&mut self, flows: &mut Slab<Flow>) {
        if let Some(index) = self.new.pop(flows).or_else(|| self.old.pop(flows)) {
            self.old.push(flows, index);
        }
    }

    /// The flow whose turn it is, now empty, leaves the lists.
    #[inline(never)]
    fn unlist(&mut self, flows: &mut Slab<Flow>, now: Nanos) {
        let Some(index) = self.new.pop(flows).or_else(|| self.old.pop(flows)) else { return };
        let flow = flows.get_mut(index);
        flow.listed = false;
        if flow.codel.forgettable(self.params.codel.interval, now) {
            self.table.remove(flow.bucket);
            flows.remove(index);
        }
    }

    /// The flow of a hash, if it has a place.
    #[inline(always)]
    pub(super) fn known_flow(&self, hash: u32) -> Option<u32> {
        self.table.find(self.bucket_of(hash))
    }

    /// The flow of a hash, if it has packets.
    #[inline(always)]
    pub(super) fn flow_that_waits(&self, flows: &Slab<Flow>, hash: u32) -> Option<u32> {
        let index = self.known_flow(hash)?;
        (flows.get(index).fifo.packets() > 0).then_some(index)
    }

    /// What the packets' memory may come to, in bytes.
    #[inline]
    pub(super) fn memory_limit(&self) -> u64 {
        self.params.memory_limit.0
    }

    /// Whether the packets hold more memory than they may.
    #[inline]
    pub(super) fn is_over_memory(&self, totals: &Totals) -> bool {
        totals.memory > self.memory_limit()
    }

    /// Packets that are dropped at a time when a limit is reached, at most.
    pub(super) fn drop_batch(&self) -> u32 {
        self.params.drop_batch
    }

    /// Drops the oldest packets of the flow with the most bytes, the first of several in the order of buckets: `most` of
    /// them, but at least one, and no more than it takes to be rid of half of the bytes (`fq_codel_drop`). Returns the
    /// flow and how many. `None` if all flows are empty.
    pub(super) fn drop_longest<P>(
        &mut self,
        store: &mut Store<P>,
        totals: &mut Totals,
        most: u32,
        mut drop: impl FnMut(Queued<P>),
    ) -> Option<(u32, u32)> {
        let Store { packets, flows, .. } = store;
        let index = self.longest(flows)?;
        let Flow { fifo, codel, .. } = flows.get_mut(index);
        let (mut dropped, mut bytes, half) = (0, 0, fifo.bytes() / 2);
        while let Some(item) = fifo.take(packets) {
            totals.sub(&item);
            dropped += 1;
            bytes += u64::from(item.len);
            drop(item);
            if dropped >= most || bytes >= half {
                break;
            }
        }
        // The flow has shown that it needs a stronger signal.
        codel.count = codel.count.saturating_add(dropped);
        Some((index, dropped))
    }

    /// Drops `count` packets, those of the longest flows first.
    pub(super) fn give_up<P>(
        &mut self,
        store: &mut Store<P>,
        totals: &mut Totals,
        count: u32,
        mut drop: impl FnMut(Queued<P>),
    ) {
        let mut left = count;
        while left > 0 {
            let Some((index, dropped)) = self.drop_longest(store, totals, left, &mut drop) else { break };
            left -= dropped;
            let flow = store.flows.get_mut(index);
            if flow.fifo.packets() == 0 {
                flow.codel.emptied();
            }
        }
    }

    fn longest(&self, flows: &Slab<Flow>) -> Option<u32> {
        let mut longest: Option<(u64, u16, u32)> = None;
        for index in self.table.flows() {
            let Flow { fifo, bucket, .. } = flows.get(index);
            let longer = longest
                .is_none_or(|(bytes, first, _)| fifo.bytes() > bytes || fifo.bytes() == bytes && *bucket < first);
            if longer && fifo.packets() > 0 {
                longest = Some((fifo.bytes(), *bucket, index));
            }
        }
        longest.map(|(_, _, index)| index)
    }

    /// The flows in the order in which their turns come: new ones, then old ones.
    pub(super) fn listed<'a>(&self, flows: &'a Slab<Flow>) -> impl Iterator<Item = &'a Flow> + use<'a> {
        self.new.iter(flows).chain(self.old.iter(flows)).map(|index| flows.get(index))
    }

    /// Takes all packets, in the order in which they came, and forgets all flows.
    pub(super) fn drain<P>(&mut self, store: &mut Store<P>) -> Vec<Queued<P>> {
        let mut all = Vec::new();
        for index in std::mem::take(&mut self.table).flows() {
            let mut flow = store.flows.remove(index);
            let mut latest = Nanos::ZERO;
            while let Some(item) = flow.fifo.take(&mut store.packets) {
                // Within a flow the order stays, even if the clock ran backwards.
                latest = latest.max(item.enqueued);
                all.push((latest, item));
            }
        }
        (self.new, self.old, self.lone) = (List::default(), List::default(), Seat::EMPTY);
        all.sort_by_key(|&(at, _)| at);
        all.into_iter().map(|(_, item)| item).collect()
    }
}

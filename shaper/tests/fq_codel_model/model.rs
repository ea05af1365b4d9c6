//! FQ-CoDel as RFC 8290 sections 4 and 5 tell it, where they leave freedom as `sch_fq_codel`, before a limiter or
//! before nothing. Plain lists, every flow's state kept for ever.

use std::collections::VecDeque;

use portlane_shaper::{DropReason, FqParams};

use crate::gate::Gate;
use crate::log::{Event, FlowState, Log, Memory, Stats};
use crate::rfc8289::{Codel, Packet, Queue};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// A queue with its credits (section 4) and the CoDel that watches it.
#[derive(Default, Clone)]
struct Flow {
    queue: VecDeque<Packet>,
    bytes: u64,
    credits: i64,
    codel: Codel,
    /// Delay of the packet looked at last.
    ldelay: u64,
}

pub(crate) struct Model {
    limit: u64,
    params: FqParams,
    flows: Vec<Flow>,
    new_flows: VecDeque<usize>,
    old_flows: VecDeque<usize>,
    stats: Stats,
    gate: Gate,
    log: Log,
    /// Flows that CoDel emptied by dropping their last packet.
    pub(crate) emptied_by_codel: u64,
    /// Packets dropped over a limit together with one before.
    pub(crate) dropped_in_batches: u64,
}

impl Model {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            limit: u64::from(scenario.limit),
            params: scenario.params,
            flows: vec![Flow::default(); scenario.params.flows as usize],
            new_flows: VecDeque::new(),
            old_flows: VecDeque::new(),
            stats: Stats::default(),
            gate: Gate::new(scenario.limiter),
            log: Log::new(),
            emptied_by_codel: 0,
            dropped_in_batches: 0,
        }
    }

    /// Times that a flow's CoDel entered the dropping state at a pace remembered.
    pub(crate) fn resumed(&self) -> u64 {
        self.flows.iter().map(|flow| flow.codel.resumed).sum()
    }

    /// Packets marked because they were later than the threshold.
    pub(crate) fn ce_marked(&self) -> u64 {
        self.stats.ce_mark
    }

    /// Packets in the queue and in the gate.
    fn held(&self) -> u64 {
        self.stats.packets + u64::from(self.gate.held().is_some())
    }

    /// TBF asks for what it will send next whenever something arrived or was sent, even an empty queue.
    fn fill_gate(&mut self, now: u64) {
        if matches!(self.gate, Gate::Tbf(_, None)) {
            let packet = self.dequeue_flow(now);
            if let Gate::Tbf(_, held) = &mut self.gate {
                *held = packet;
            }
        }
    }

    /// Section 4.1.2, last paragraphs: from the head of the flow with the largest backlog, a batch of packets, until at
    /// least half of the backlog went. Returns the flow.
    fn drop_from_fattest(&mut self, now: u64, reason: DropReason) -> usize {
        let most = self.flows.iter().map(|flow| flow.bytes).max().expect("at least one flow");
        let fattest = self.flows.iter().position(|flow| flow.bytes == most).expect("one of them");
        let (mut packets, mut bytes) = (0, 0);
        while packets == 0 || (packets < self.params.drop_batch && bytes < most / 2) {
            let packet = self.flows[fattest].queue.pop_front().expect("half of its bytes are left");
            packets += 1;
            bytes += u64::from(packet.len);
            self.stats.memory_used -= u64::from(packet.memory);
            self.log.push((now, Event::Dropped(packet.id, reason)));
        }
        self.flows[fattest].bytes -= bytes;
        self.flows[fattest].codel.count += u64::from(packets);
        self.stats.packets -= u64::from(packets);
        self.stats.bytes -= bytes;
        self.stats.drop_overlimit += u64::from(packets);
        self.stats.drop_overmemory += if reason == DropReason::Memory { u64::from(packets) } else { 0 };
        self.dropped_in_batches += u64::from(packets) - 1;
        fattest
    }

    /// Section 4.2: new flows go first; a flow without credits goes to the end of the old ones with another quantum; one
    /// that is found empty goes there too if it was new, else off the lists. Where the section would have a new one go
    /// there always, `fq_codel_dequeue` takes it off the lists if there are no old flows that it could starve.
    fn dequeue_flow(&mut self, now: u64) -> Option<Packet> {
        loop {
            let from_new = !self.new_flows.is_empty();
            let list = if from_new { &mut self.new_flows } else { &mut self.old_flows };
            let index = list.pop_front()?;
            if self.flows[index].credits <= 0 {
                self.flows[index].credits += i64::from(self.params.quantum);
                self.old_flows.push_back(index);
                continue;
            }
            let Some(packet) = self.dequeue_codel(index, now) else {
                if from_new && !self.old_flows.is_empty() {
                    self.old_flows.push_back(index);
                }
                continue;
            };
            self.flows[index].credits -= i64::from(packet.len);
            if from_new { &mut self.new_flows } else { &mut self.old_flows }.push_front(index);
            return Some(packet);
        }
    }

    fn dequeue_codel(&mut self, index: usize, now: u64) -> Option<Packet> {
        let flow = &mut self.flows[index];
        let had_packets = !flow.queue.is_empty();
        let mut queue = Watched {
            queue: &mut flow.queue,
            bytes: &mut flow.bytes,
            ldelay: &mut flow.ldelay,
            now,
            stats: &mut self.stats,
            log: &mut self.log,
        };
        let packet = flow.codel.dequeue(&self.params.codel, now, &mut queue);
        self.emptied_by_codel += u64::from(had_packets && packet.is_none());
        let packet = packet?;
        let too_late = self.params.codel.ce_threshold.is_some_and(|threshold| now - packet.enqueued > threshold.0);
        if too_late && packet.ect {
            self.stats.ce_mark += 1;
            self.log.push((now, Event::Marked(packet.id)));
        }
        Some(packet)
    }
}

impl Subject for Model {
    /// Section 4.1.
    fn enqueue(&mut self, now: u64, packet: Packet) {
        let share = u64::from(packet.flow) * self.flows.len() as u64 / (1 << 32);
        let index = usize::try_from(share).expect("an index");
        self.flows[index].queue.push_back(packet);
        self.flows[index].bytes += u64::from(packet.len);
        if !self.new_flows.contains(&index) && !self.old_flows.contains(&index) {
            self.new_flows.push_back(index);
            self.flows[index].credits = i64::from(self.params.quantum);
            self.stats.new_flow_count += 1;
        }
        self.stats.packets += 1;
        self.stats.bytes += u64::from(packet.len);
        self.stats.memory_used += u64::from(packet.memory);
        let over_memory = self.stats.memory_used > self.params.memory_limit.0;
        if over_memory || self.held() > self.limit {
            let reason = if over_memory { DropReason::Memory } else { DropReason::Limit };
            let dropped_of = self.drop_from_fattest(now, reason);
            self.stats.refused += u64::from(dropped_of == index);
        }
        self.fill_gate(now);
    }

    /// But for TBF nobody asks an empty queue: its last flow stays on its list until more arrives.
    fn dequeue(&mut self, now: u64) {
        if self.gate.opens_at() > now || self.held() == 0 {
            return;
        }
        let packet = if let Gate::Tbf(_, held) = &mut self.gate { held.take() } else { self.dequeue_flow(now) };
        let packet = packet.expect("CoDel leaves the last packet");
        self.gate.pay(packet, now);
        self.fill_gate(now);
        self.log.push((now, Event::Sent(packet.id)));
    }

    fn next_wake(&mut self, now: u64) -> Option<u64> {
        (self.held() > 0).then(|| self.gate.opens_at().max(now))
    }

    fn change(&mut self, _now: u64, limit: u32, params: FqParams) {
        self.limit = u64::from(limit);
        self.params = params;
    }

    fn stats(&self) -> Stats {
        Stats {
            packets: self.held(),
            bytes: self.stats.bytes + self.gate.held().map_or(0, |packet| u64::from(packet.len)),
            new_flows_len: self.new_flows.len() as u64,
            old_flows_len: self.old_flows.len() as u64,
            ..self.stats
        }
    }

    fn flows(&self, now: u64) -> Vec<FlowState> {
        let state = |&index: &usize| {
            let Flow { queue, bytes, credits, codel, ldelay } = &self.flows[index];
            let Codel { first_above_time, dropping, drop_next, count, lastcount, .. } = *codel;
            let dropping = dropping && first_above_time > 0;
            let memory = Memory { drop_next, count, lastcount };
            FlowState {
                index: index as u64,
                packets: queue.len() as u64,
                bytes: *bytes,
                credits: *credits,
                first_above_time,
                dropping,
                ldelay: (first_above_time > 0).then_some(*ldelay),
                memory: memory.if_of_use(dropping, self.params.codel.interval.0, now),
            }
        };
        self.new_flows.iter().chain(&self.old_flows).map(state).collect()
    }

    fn log(&mut self) -> &mut Log {
        &mut self.log
    }
}

/// The packets of one flow as CoDel sees them. "Less than one packet in the queue" is judged by the backlog of all flows.
struct Watched<'a> {
    queue: &'a mut VecDeque<Packet>,
    bytes: &'a mut u64,
    ldelay: &'a mut u64,
    now: u64,
    stats: &'a mut Stats,
    log: &'a mut Log,
}

impl Queue for Watched<'_> {
    fn dequeue(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front()?;
        *self.bytes -= u64::from(packet.len);
        *self.ldelay = self.now - packet.enqueued;
        self.stats.packets -= 1;
        self.stats.bytes -= u64::from(packet.len);
        self.stats.memory_used -= u64::from(packet.memory);
        self.stats.maxpacket = self.stats.maxpacket.max(packet.len);
        Some(packet)
    }

    fn bytes(&self) -> u64 {
        self.stats.bytes
    }

    fn drop(&mut self, now: u64, packet: Packet) {
        self.log.push((now, Event::Dropped(packet.id, DropReason::Codel)));
    }

    fn mark(&mut self, now: u64, packet: Packet) {
        self.stats.ecn_mark += 1;
        self.log.push((now, Event::Marked(packet.id)));
    }
}

//! `sch_fq_codel` once more, as plainly as can be.

use std::collections::VecDeque;

use crate::params::FqParams;
use crate::queue::Queued;
use crate::{DropReason, Fate, LaneId, Nanos, codel};

#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) id: usize,
    pub(super) ect: bool,
}

/// What became of packets that did not leave, and which were marked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) dropped: Vec<(usize, DropReason)>,
    pub(super) marked: Vec<usize>,
}

impl Fate<Packet> for Log {
    fn dropped(&mut self, _lane: LaneId, packet: Packet, reason: DropReason) {
        self.dropped.push((packet.id, reason));
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        if packet.ect {
            self.marked.push(packet.id);
        }
        packet.ect
    }
}

/// `sch_fq_codel` in a few lines: an array of flows, none ever forgotten. CoDel is the shaper's own.
pub(super) struct Model {
    pub(super) limit: usize,
    pub(super) params: FqParams,
    pub(super) flows: Vec<FlowModel>,
    pub(super) new: VecDeque<usize>,
    pub(super) old: VecDeque<usize>,
    pub(super) new_flow_count: u64,
    pub(super) log: Log,
}

#[derive(Debug, Default)]
pub(super) struct FlowModel {
    pub(super) packets: VecDeque<Queued<Packet>>,
    pub(super) deficit: i64,
    codel: codel::State,
}

impl FlowModel {
    pub(super) fn bytes(&self) -> u64 {
        self.packets.iter().map(|item| u64::from(item.len)).sum()
    }
}

impl Model {
    pub(super) fn new(limit: u32, params: FqParams) -> Self {
        let flows = (0..params.flows).map(|_| FlowModel::default()).collect();
        let (new, old) = (VecDeque::new(), VecDeque::new());
        Self { limit: limit as usize, params, flows, new, old, new_flow_count: 0, log: Log::default() }
    }

    pub(super) fn packets(&self) -> usize {
        self.flows.iter().map(|flow| flow.packets.len()).sum()
    }

    pub(super) fn memory(&self) -> u64 {
        self.flows.iter().flat_map(|flow| &flow.packets).map(|item| u64::from(item.memory)).sum()
    }

    /// Returns whether the packet's flow is unharmed.
    pub(super) fn push(&mut self, item: Queued<Packet>) -> bool {
        let index = usize::try_from((u64::from(item.flow) * u64::from(self.params.flows)) >> 32).unwrap();
        self.flows[index].packets.push_back(item);
        if !self.new.contains(&index) && !self.old.contains(&index) {
            self.new.push_back(index);
            self.new_flow_count += 1;
            self.flows[index].deficit = self.params.quantum.into();
        }
        let reason = match (self.memory() > self.params.memory_limit.0, self.packets() > self.limit) {
            (true, _) => DropReason::Memory,
            (false, true) => DropReason::Limit,
            (false, false) => return true,
        };
        let most = self.flows.iter().map(FlowModel::bytes).max().unwrap();
        let longest = self.flows.iter().position(|flow| flow.bytes() == most).unwrap();
        let flow = &mut self.flows[longest];
        let mut bytes = 0;
        for number in 1.. {
            let item = flow.packets.pop_front().unwrap();
            bytes += u64::from(item.len);
            flow.codel.count += 1;
            self.log.dropped.push((item.packet.id, reason));
            if number >= self.params.drop_batch || bytes >= most / 2 {
                break;
            }
        }
        longest != index
    }

    pub(super) fn dequeue(&mut self, now: Nanos) -> Option<usize> {
        loop {
            let from_new = !self.new.is_empty();
            let list = if from_new { &mut self.new } else { &mut self.old };
            let index = *list.front()?;
            if self.flows[index].deficit <= 0 {
                self.flows[index].deficit += i64::from(self.params.quantum);
                list.pop_front();
                self.old.push_back(index);
                continue;
            }
            let mut queue = ModelQueue {
                backlog: self.flows.iter().map(FlowModel::bytes).sum(),
                packets: std::mem::take(&mut self.flows[index].packets),
                log: &mut self.log,
            };
            let FlowModel { packets, deficit, codel } = &mut self.flows[index];
            let item = codel.dequeue(&self.params.codel, now, &mut queue);
            *packets = queue.packets;
            if let Some(item) = item {
                *deficit -= i64::from(item.len);
                return Some(item.packet.id);
            }
            list.pop_front();
            if from_new && !self.old.is_empty() {
                self.old.push_back(index);
            }
        }
    }
}

struct ModelQueue<'a> {
    packets: VecDeque<Queued<Packet>>,
    backlog: u64,
    log: &'a mut Log,
}

impl codel::Packet for Queued<Packet> {
    fn enqueued(&self) -> Nanos {
        self.enqueued
    }
}

impl codel::Source for ModelQueue<'_> {
    type Packet = Queued<Packet>;

    fn pop(&mut self) -> Option<Queued<Packet>> {
        let item = self.packets.pop_front()?;
        self.backlog -= u64::from(item.len);
        Some(item)
    }

    fn backlog(&self) -> u64 {
        self.backlog
    }

    fn drop(&mut self, item: Queued<Packet>) {
        self.log.dropped(LaneId(0), item.packet, DropReason::Codel);
    }

    fn mark(&mut self, item: &mut Queued<Packet>, _why: codel::Mark) -> bool {
        self.log.mark(&mut item.packet)
    }
}

//! What was asked for, and a queue's state, in the words of reports.

use portlane_shaper::{
    Aqm, FlowStats, FqParams, LaneParams, Limiter, Nanos, NodeReading, QueueParams, QueueStats, Rate, Shape, codel,
};
use portlane_stats::lane::{
    ClassReport, CodelReport, FlowReport, FqCodelReport, HtbReport, LimitReport, PeakReport, QueueReport, TbfReport,
};

use crate::reading::{LaneCopy, Reading};

pub(super) fn limit(params: &LaneParams) -> LimitReport {
    match params.limiter {
        Limiter::None => LimitReport::None,
        Limiter::Htb(shape) => LimitReport::Htb(htb(shape)),
        Limiter::Tbf { rate, burst, peak } => LimitReport::Tbf(TbfReport {
            rate_bits_per_s: rate.bits_per_second(),
            burst_bytes: burst.0,
            limit_bytes: params.queue.limit_bytes.map_or(u64::MAX, |limit| limit.0),
            peak: peak.map(|peak| PeakReport { rate_bits_per_s: peak.rate.bits_per_second(), mtu_bytes: peak.mtu.0 }),
        }),
    }
}

/// How a node of the tree stands.
pub(super) fn class(node: &NodeReading) -> ClassReport {
    ClassReport {
        guarantee_bits_per_s: node.guarantee.map(Rate::bits_per_second),
        level: u32::from(node.level),
        priority: u32::from(node.priority),
        quantum_bytes: node.quantum,
        overhead_bytes: u32::from(node.framing.overhead),
        mpu_bytes: u32::from(node.framing.mpu),
        tokens_ns: node.tokens_ns,
        ctokens_ns: node.ctokens_ns,
        lended: node.lended,
        borrowed: node.borrowed,
        overlimits: node.overlimits,
    }
}

pub(super) fn htb(shape: Shape) -> HtbReport {
    HtbReport {
        rate_bits_per_s: shape.rate.bits_per_second(),
        ceil_bits_per_s: shape.ceil.bits_per_second(),
        burst_bytes: shape.burst.0,
        cburst_bytes: shape.cburst.0,
    }
}

pub(super) fn queue(reading: &Reading, lane: &LaneCopy, params: &QueueParams, now: Nanos) -> QueueReport {
    let limit_packets = u64::from(params.limit);
    match (&params.aqm, &lane.codel) {
        (Aqm::FqCodel(fq_codel), _) => {
            QueueReport::FqCodel(fq(&lane.queue, reading.flows(lane), limit_packets, fq_codel, now))
        }
        (Aqm::Codel(codel), Some(state)) => QueueReport::Codel(CodelReport {
            limit_packets,
            target_ns: codel.target.0,
            interval_ns: codel.interval.0,
            ce_threshold_ns: codel.ce_threshold.map(|threshold| threshold.0),
            ecn: codel.ecn,
            count: state.count,
            lastcount: state.lastcount,
            ldelay_ns: state.ldelay.0,
            dropping: state.dropping,
            drop_next_ns: until_drop(state, now),
            maxpacket: lane.queue.maxpacket,
            ce_mark: lane.queue.ce_mark,
        }),
        (Aqm::Fifo | Aqm::Codel(_), _) => QueueReport::Fifo { limit_packets },
    }
}

fn fq(stats: &QueueStats, flows: &[FlowStats], limit_packets: u64, params: &FqParams, now: Nanos) -> FqCodelReport {
    FqCodelReport {
        limit_packets,
        flows: params.flows,
        quantum_bytes: params.quantum,
        target_ns: params.codel.target.0,
        interval_ns: params.codel.interval.0,
        ce_threshold_ns: params.codel.ce_threshold.map(|threshold| threshold.0),
        memory_limit_bytes: params.memory_limit.0,
        ecn: params.codel.ecn,
        drop_batch: params.drop_batch,
        maxpacket: stats.maxpacket,
        drop_overlimit: stats.drop_overlimit,
        drop_overmemory: stats.drop_overmemory,
        ecn_mark: stats.ecn_mark,
        ce_mark: stats.ce_mark,
        new_flow_count: stats.new_flow_count,
        new_flows_len: u64::from(stats.new_flows_len),
        old_flows_len: u64::from(stats.old_flows_len),
        memory_used_bytes: stats.memory_used,
        flow_states: flows.iter().map(|flow| flow_state(flow, now)).collect(),
    }
}

fn flow_state(flow: &FlowStats, now: Nanos) -> FlowReport {
    FlowReport {
        flow: flow.index,
        backlog_bytes: flow.backlog.bytes,
        qlen: flow.backlog.packets,
        deficit_bytes: i64::from(flow.deficit),
        count: flow.codel.count,
        lastcount: flow.codel.lastcount,
        ldelay_ns: flow.codel.ldelay.0,
        dropping: flow.codel.dropping,
        drop_next_ns: until_drop(&flow.codel, now),
    }
}

fn until_drop(state: &codel::State, now: Nanos) -> i64 {
    let until = i128::from(state.drop_next.0) - i128::from(now.0);
    if state.dropping { i64::try_from(until).unwrap_or(0) } else { 0 }
}

//! Snapshots for tests: the lanes of the kernel's tree in `tests/golden`, as egress; a CoDel lane or two, as ingress.

use crate::counters::{DropReason, LaneCounters, Volume};
use crate::histogram::Histograms;
use crate::lane::{
    CodelReport, HtbReport, LaneReading, LaneReport, LimitReport, PeakReport, QueueReport, Rate, TbfReport,
};
use crate::snapshot::{ContainerReport, Directions, LinkReport, Mode, Snapshot, Totals};

const DURATION_NS: u64 = 2_000_000_000;

/// Three containers: `web` has 5 Mbit/s of egress, `db` 2 Mbit/s by a token bucket filter, `slow` 16 kbit/s.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        time_ns: 1_436_300_487_415_950_000,
        duration_ns: DURATION_NS,
        devices: Directions { ingress: "veth-web".to_owned(), egress: "eth0".to_owned() },
        mode: [("eth0".to_owned(), Mode::ZeroCopy), ("veth-web".to_owned(), Mode::Generic)].into(),
        totals: totals(),
        link: Directions { ingress: None, egress: Some(link()) },
        containers: vec![
            ContainerReport { id: "web".to_owned(), ingress: marking(), egress: plain_htb() },
            ContainerReport { id: "db".to_owned(), ingress: idle(), egress: filtered() },
            ContainerReport { id: "slow".to_owned(), ingress: idle(), egress: backlogged() },
        ],
        unmatched: Directions { ingress: idle(), egress: unlimited() },
    }
}

/// 90 packets to `web`; 477 from all; 3 malformed.
fn totals() -> Totals {
    Totals {
        received: 570,
        sent: 80 + 407,
        dropped: 4 + 66 + 3,
        queued: 6 + 4,
        unmatched: 37,
        malformed: [("ipv4_truncated".to_owned(), 3)].into(),
        missed: 0,
        unsent: 0,
        backwards_timestamps: 2,
    }
}

fn link() -> LinkReport {
    LinkReport { limit: htb(20_000_000, 15_360, 0, [89_487, 3_487]), overlimits: 17 }
}

fn plain_htb() -> LaneReport {
    let counters = passed(300, 312_600);
    let counters = LaneCounters { overlimits: 298, ..counters };
    let limit = LimitReport::Htb(htb(5_000_000, 15_360, 0, [318_655, -25_345]));
    report(&counters, Volume::default(), limit, QueueReport::Fifo { limit_packets: 1000 })
}

fn filtered() -> LaneReport {
    let mut counters = LaneCounters { overlimits: 461, ..passed(67, 69_814) };
    drop_many(&mut counters, DropReason::Limit, 53, 1042);
    let limit = LimitReport::Tbf(TbfReport {
        rate_bits_per_s: 2_000_000,
        burst_bytes: 16_384,
        limit_bytes: 65_536,
        peak: Some(PeakReport { rate_bits_per_s: 3_000_000, mtu_bytes: 1599 }),
    });
    report(&counters, Volume::default(), limit, QueueReport::Fifo { limit_packets: 20 })
}

fn backlogged() -> LaneReport {
    let mut counters = LaneCounters { overlimits: 2, ..passed(3, 3126) };
    drop_many(&mut counters, DropReason::Limit, 13, 1042);
    let queued = Volume { packets: 4, bytes: 4168 };
    counters.offered = counters.offered.plus(queued);
    let limit = LimitReport::Htb(htb(16_000, 1600, 3, [-8_140_244, -8_140_244]));
    report(&counters, queued, limit, QueueReport::Fifo { limit_packets: 5 })
}

fn unlimited() -> LaneReport {
    let queue = QueueReport::Fifo { limit_packets: 1000 };
    report(&passed(37, 8954), Volume::default(), LimitReport::None, queue)
}

fn idle() -> LaneReport {
    let queue = QueueReport::Codel(codel(false));
    report(&LaneCounters::default(), Volume::default(), LimitReport::None, queue)
}

/// A lane in CoDel's dropping state, with marks, a CoDel drop, queue-full drops and a requeue.
fn marking() -> LaneReport {
    let mut counters = LaneCounters { ecn_marks: 7, overlimits: 60, requeues: 1, ..passed(80, 80_000) };
    drop_many(&mut counters, DropReason::Codel, 1, 1000);
    drop_many(&mut counters, DropReason::Limit, 3, 1000);
    let queued = Volume { packets: 6, bytes: 6000 };
    counters.offered = counters.offered.plus(queued);
    let limit = LimitReport::Htb(HtbReport { ceil_bits_per_s: 80_000_000, ..htb(50_000_000, 1600, 0, [-100, 250]) });
    report(&counters, queued, limit, QueueReport::Codel(codel(true)))
}

fn codel(dropping: bool) -> CodelReport {
    let settings = CodelReport {
        limit_packets: 1000,
        target_ns: 5_000_000,
        interval_ns: 100_000_000,
        ecn: dropping,
        count: 0,
        lastcount: 0,
        ldelay_ns: 0,
        dropping,
        drop_next_ns: 0,
        maxpacket: 0,
    };
    if !dropping {
        return settings;
    }
    CodelReport {
        count: 8,
        lastcount: 1,
        ldelay_ns: 7_234_567,
        drop_next_ns: -232_000_999,
        maxpacket: 1514,
        ..settings
    }
}

fn htb(bits_per_s: u64, burst_bytes: u64, priority: u32, ticks: [i64; 2]) -> HtbReport {
    HtbReport {
        rate_bits_per_s: bits_per_s,
        ceil_bits_per_s: bits_per_s,
        burst_bytes,
        cburst_bytes: 1600,
        priority,
        tokens_ns: ticks[0] * 64,
        ctokens_ns: ticks[1] * 64 + 63,
    }
}

fn passed(packets: u64, bytes: u64) -> LaneCounters {
    let all = Volume { packets, bytes };
    LaneCounters { offered: all, dequeued: all, sent: all, ..LaneCounters::default() }
}

fn drop_many(counters: &mut LaneCounters, reason: DropReason, packets: u32, len: u32) {
    for _ in 0..packets {
        counters.offered.add(len);
        counters.drop_frame(reason, len);
    }
}

/// A report whose sojourn times are 1 µs, 2 µs, 3 µs, and so on, one for each packet sent.
fn report(counters: &LaneCounters, queued: Volume, limit: LimitReport, queue: QueueReport) -> LaneReport {
    assert!(counters.accounts_for(queued));
    let mut sojourn = Histograms::new(1);
    for packet in 1..=counters.sent.packets {
        sojourn.record(0, packet * 1000);
    }
    LaneReport::new(LaneReading {
        counters,
        queued,
        sent_rate: Rate::average(counters.sent, DURATION_NS),
        dequeued_rate: Rate::average(counters.dequeued, DURATION_NS),
        sojourn: &sojourn.lane(0),
        limit,
        queue,
    })
}

//! Snapshots for tests: the kernel's trees in `tests/golden`, as egress; a CoDel lane or two, as ingress.

use std::collections::BTreeMap;

use crate::counters::{DropReason, LaneCounters, Volume};
use crate::estimator::{Estimators, INTERVAL_NS};
use crate::histogram::Histograms;
use crate::lane::{
    ClassReport, CodelReport, HtbReport, LaneReading, LaneReport, LimitReport, LimitedBy, PeakReport, QueueReport,
    Rate, TbfReport,
};
use crate::live::{AttachedReport, FrameReport, MemoryReport, OffenderReport, Rings, SocketReport, WorkerReport};
use crate::snapshot::{ContainerReport, Directions, Gone, GroupReport, Identity, Mode, NodeReport, Snapshot, Totals};
use crate::window::Sampling;

const DURATION_NS: u64 = 2_000_000_000;

/// Three containers: `web` has 5 Mbit/s of egress, `db` 2 Mbit/s by a token bucket filter, `slow` 16 kbit/s.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        time_ns: 1_436_300_487_415_950_000,
        duration_ns: DURATION_NS,
        slices: 1,
        gone: Gone::default(),
        devices: Directions { ingress: "veth-web".to_owned(), egress: "eth0".to_owned() },
        mode: [("eth0".to_owned(), Mode::ZeroCopy), ("veth-web".to_owned(), Mode::Generic)].into(),
        offloads: BTreeMap::new(),
        steering: BTreeMap::new(),
        attached: BTreeMap::new(),
        sockets: BTreeMap::new(),
        memory: None,
        workers: Vec::new(),
        totals: totals(),
        link: Directions { ingress: carried(80, 80_000), egress: link() },
        groups: Vec::new(),
        containers: vec![
            container("web", 0x10, marking(), plain_htb()),
            container("db", 0x11, idle(), filtered()),
            container("slow", 0x12, idle(), backlogged()),
        ],
        unmatched: Directions { ingress: idle(), egress: unlimited() },
        leaving: Vec::new(),
        meters: Vec::new(),
        meter_delivery: None,
        netstat: BTreeMap::new(),
        wire_lost_packets: 0,
        flows: None,
    }
}

/// The same, two seconds later: every lane's rates have been followed, and `web` has sent 1,000 B and then 3,000 B.
pub(crate) fn followed() -> Snapshot {
    let sampling = Sampling::new(60 * INTERVAL_NS, INTERVAL_NS).unwrap();
    let (mut estimators, mut snapshot) = (Estimators::new(Some(sampling)), snapshot());
    estimators.observe(&mut snapshot);
    for bytes in [1_000, 3_000] {
        snapshot.time_ns += INTERVAL_NS;
        snapshot.containers[0].egress.sent_bytes += bytes;
        snapshot.containers[0].egress.sent_packets += bytes / 100;
        estimators.observe(&mut snapshot);
    }
    snapshot
}

/// The same on a network card that the host uses, too.
pub(crate) fn steered() -> Snapshot {
    let counted =
        |verdicts: &[(&str, u64)]| verdicts.iter().map(|&(verdict, count)| (verdict.to_owned(), count)).collect();
    let uplink = counted(&[("foreign_port", 12_345), ("malformed", 0), ("other_protocol", 7), ("owned", 90)]);
    let containers = counted(&[("asked", 2), ("foreign_port", 0), ("owned", 477)]);
    let last_offender =
        OffenderReport { verdict: "foreign_port".to_owned(), protocol: 17, address: [10, 0, 0, 1].into(), port: 6_999 };
    let attached = AttachedReport { undelivered: 3, last_offender: Some(last_offender) };
    Snapshot {
        steering: [("eth0".to_owned(), uplink), ("veth-web".to_owned(), containers)].into(),
        attached: [("veth-web".to_owned(), attached)].into(),
        ..snapshot()
    }
}

/// Two containers in a group: `web` has 5 Mbit/s of egress and may borrow to 10, `db` 1 and may borrow to 2.
pub(crate) fn grouped() -> Snapshot {
    let group = GroupReport {
        id: "tenant-a".to_owned(),
        number: 0,
        group: None,
        ingress: NodeReport::default(),
        egress: NodeReport {
            limit: Some(HtbReport { cburst_bytes: 1597, ..htb(8_000_000, 12_000_000, 15_360) }),
            class: ClassReport { overlimits: 382, ..class([233, 368], [-7_450, 5_801]) },
            ..carried(1306, 1_360_852)
        },
    };
    let in_group =
        |id, class, egress| ContainerReport { group: Some(group.id.clone()), ..container(id, class, idle(), egress) };
    let link = NodeReport {
        limit: Some(htb(20_000_000, 20_000_000, 15_360)),
        class: ClassReport { overlimits: 93, ..class([368, 0], [89_487, 3_487]) },
        ..carried(1339, 1_368_362)
    };
    let mut snapshot = Snapshot {
        totals: Totals { received: 1683, sent: 1339, dropped: 344, unmatched: 33, ..Totals::default() },
        link: Directions { ingress: NodeReport::default(), egress: link },
        containers: vec![in_group("web", 0x10, borrowing()), in_group("db", 0x11, with_overhead())],
        unmatched: Directions { ingress: idle(), egress: lending() },
        ..snapshot()
    };
    snapshot.groups.push(group);
    snapshot
}

/// A container by its class in the kernel's trees.
fn container(id: &str, class: u32, ingress: LaneReport, egress: LaneReport) -> ContainerReport {
    let (mesos, number) = (Identity::default(), class - 2);
    ContainerReport {
        id: id.to_owned(),
        number,
        group: None,
        mesos,
        ephemeral_ports: None,
        interface: None,
        ingress,
        egress,
    }
}

/// The first, live: with a socket and a worker.
pub(crate) fn live() -> Snapshot {
    let offloads = ["rx-gro", "rx-vlan-hw-parse"].map(str::to_owned).to_vec();
    let (sockets, workers) = ([("eth0:0".to_owned(), socket())].into(), vec![worker()]);
    let memory = Some(MemoryReport { frames: 16_384, frame_bytes: 2_048, huge_pages: true });
    Snapshot { offloads: [("eth0".to_owned(), offloads)].into(), sockets, memory, workers, ..snapshot() }
}

fn socket() -> SocketReport {
    SocketReport {
        mode: Some(Mode::Copy),
        rx_ring_full: 3,
        kicks: 12,
        rings: Rings { size: 2_048, rx: 5, fill: 2_040, tx: 0, completion: 1 },
        batches: [7, 0, 2, 0, 0, 0, 1],
        ..SocketReport::default()
    }
}

fn worker() -> WorkerReport {
    WorkerReport {
        core: Some(1),
        queues: vec!["eth0:0".to_owned(), "veth0:0".to_owned()],
        containers: 2,
        idle: "adaptive".to_owned(),
        turns: 1_000,
        busy_turns: 10,
        sleeps: 20,
        woken_by_packet: 9,
        woken_by_worker: 2,
        slept_ns: 1_900_000_000,
        handed_over: 40,
        taken_over: 30,
        handoff: 1,
        frames: FrameReport { total: 16_384, free: 12_280, filling: 4_093, sending: 1, queued: 10 },
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
        handoff: 0,
        missed: 0,
        too_long: 0,
        unsent: 0,
        backwards_timestamps: 2,
    }
}

fn link() -> NodeReport {
    NodeReport {
        limit: Some(htb(20_000_000, 20_000_000, 15_360)),
        class: ClassReport { overlimits: 17, ..class([104, 0], [89_487, 3_487]) },
        ..carried(407, 394_494)
    }
}

fn carried(sent_packets: u64, sent_bytes: u64) -> NodeReport {
    NodeReport { sent_packets, sent_bytes, ..NodeReport::default() }
}

fn plain_htb() -> LaneReport {
    let counters = LaneCounters { overlimits: 298, ..passed(300, 312_600) };
    let limit = LimitReport::Htb(htb(5_000_000, 5_000_000, 15_360));
    let class = ClassReport { overlimits: 298, ..class([300, 0], [318_655, -25_345]) };
    report(&counters, Volume::default(), limit, class, fifo(1000))
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
    report(&counters, Volume::default(), limit, class([0, 67], [0, 0]), fifo(20))
}

fn backlogged() -> LaneReport {
    let mut counters = LaneCounters { overlimits: 2, ..passed(3, 3126) };
    drop_many(&mut counters, DropReason::Limit, 13, 1042);
    let queued = Volume { packets: 4, bytes: 4168 };
    counters.offered = counters.offered.plus(queued);
    let limit = LimitReport::Htb(htb(16_000, 16_000, 1600));
    let class = ClassReport { overlimits: 2, priority: 3, ..class([3, 0], [-8_140_244, -8_140_244]) };
    LaneReport { limited_by: LimitedBy::Rate, ..report(&counters, queued, limit, class, fifo(5)) }
}

fn unlimited() -> LaneReport {
    report(&passed(37, 8954), Volume::default(), LimitReport::None, class([0, 37], [0, 0]), fifo(1000))
}

fn borrowing() -> LaneReport {
    let mut counters = passed(1156, 1_204_552);
    drop_many(&mut counters, DropReason::Limit, 344, 1042);
    let limit = LimitReport::Htb(htb(5_000_000, 10_000_000, 15_360));
    let class = ClassReport { overlimits: 1154, ..class([592, 564], [-13_237, -12_537]) };
    let group = LimitedBy::Group("tenant-a".to_owned());
    LaneReport { limited_by: group, ..report(&counters, Volume::default(), limit, class, fifo(10)) }
}

fn with_overhead() -> LaneReport {
    let limit = LimitReport::Htb(htb(1_000_000, 2_000_000, 1600));
    let class = ClassReport { priority: 1, overhead_bytes: 24, ..class([113, 37], [-7_094, 33_375]) };
    report(&passed(150, 156_300), Volume::default(), limit, class, fifo(20))
}

fn lending() -> LaneReport {
    let limit = LimitReport::Htb(htb(1_000_000, 20_000_000, 1600));
    report(&passed(33, 7510), Volume::default(), limit, class([33, 0], [169_750, 8_487]), fifo(1000))
}

fn idle() -> LaneReport {
    let queue = QueueReport::Codel(codel(false));
    report(&LaneCounters::default(), Volume::default(), LimitReport::None, ClassReport::default(), queue)
}

/// A lane in CoDel's dropping state, with marks, a CoDel drop, queue-full drops and a requeue.
fn marking() -> LaneReport {
    let mut counters = LaneCounters { ecn_marks: 7, overlimits: 60, requeues: 1, ..passed(80, 80_000) };
    drop_many(&mut counters, DropReason::Codel, 1, 1000);
    drop_many(&mut counters, DropReason::Limit, 3, 1000);
    let queued = Volume { packets: 6, bytes: 6000 };
    counters.offered = counters.offered.plus(queued);
    let limit = LimitReport::Htb(htb(50_000_000, 80_000_000, 1600));
    let report = report(&counters, queued, limit, class([80, 0], [-100, 250]), QueueReport::Codel(codel(true)));
    LaneReport { limited_by: LimitedBy::Codel, ..report }
}

fn fifo(limit_packets: u64) -> QueueReport {
    QueueReport::Fifo { limit_packets }
}

fn codel(dropping: bool) -> CodelReport {
    let settings = CodelReport {
        limit_packets: 1000,
        target_ns: 5_000_000,
        interval_ns: 100_000_000,
        ce_threshold_ns: None,
        ecn: dropping,
        count: 0,
        lastcount: 0,
        ldelay_ns: 0,
        dropping,
        drop_next_ns: 0,
        maxpacket: 0,
        ce_mark: 0,
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

fn htb(rate_bits_per_s: u64, ceil_bits_per_s: u64, burst_bytes: u64) -> HtbReport {
    HtbReport { rate_bits_per_s, ceil_bits_per_s, burst_bytes, cburst_bytes: 1600 }
}

/// A class by what it lended and borrowed, and by its tokens and ctokens in tc's ticks.
fn class([lended, borrowed]: [u64; 2], ticks: [i64; 2]) -> ClassReport {
    ClassReport { lended, borrowed, tokens_ns: ticks[0] * 64, ctokens_ns: ticks[1] * 64 + 63, ..ClassReport::default() }
}

fn passed(packets: u64, bytes: u64) -> LaneCounters {
    let all = Volume { packets, bytes };
    LaneCounters { offered: all, dequeued: all, sent: all, ..LaneCounters::default() }
}

fn drop_many(counters: &mut LaneCounters, reason: DropReason, packets: u32, len: u32) {
    for _ in 0..packets {
        counters.offered.add(len);
        counters.drop_frame(reason, len);
        counters.refused += u64::from(reason == DropReason::Limit);
    }
}

/// A report whose sojourn times are 1 µs, 2 µs, 3 µs, and so on, one for each packet sent.
pub(crate) fn report(
    counters: &LaneCounters,
    queued: Volume,
    limit: LimitReport,
    class: ClassReport,
    queue: QueueReport,
) -> LaneReport {
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
        class,
        queue,
        limited_by: LimitedBy::Nothing,
    })
}

//! Any frames of any flows, at any time: nothing is lost, and all tables say the same.

use bolero::check;
use portlane_classify::Link;
use portlane_flows::{
    Batch, Config, Counters, Digest, FlowId, Grain, Kind, Meter, Record, Rows, Sink, Table, Tag, Traffic,
};

use crate::BUDGET;

/// Of an Ethernet frame: TCP over IPv4 without options, from 10.0.0.1:40000 to 10.0.0.2:80.
const FRAME: [u8; 54] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, // Ethernet
    0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0, // TCP
];

/// What one step of an input is made of.
const STEP: usize = 8;

#[test]
fn any_flows() {
    check!(name = "flows").with_test_time(BUDGET).for_each(|input: &[u8]| {
        let config = Config { capacity: 1 + input.len() % 7, tags: true, ..Config::default() };
        let mut table = Table::new(config, [1, 2]);
        let mut all = Told { rows: Rows::new(5, &config.timeouts), meter: Meter::default(), flags: 0 };
        let (mut sums, mut now, mut fed, mut segments) = (Sums::default(), 0, 0, 0);
        for step in input.chunks_exact(STEP) {
            now = time(step, now);
            let Some(digest) = digest(step, now) else { continue };
            fed += 1;
            let counted = table.counters().counted.packets;
            table.packet(&digest, &mut all);
            if matches!(digest.kind, Kind::Tcp(_)) {
                segments += table.counters().counted.packets - counted;
            }
            all.rows.close_before(table.window(), &mut |batch| sums.add(&batch));
        }
        let Counters { counted, refused, late } = table.counters();
        assert_eq!(counted.packets + refused.packets + late.packets, fed);
        table.finish(&mut all);
        let Told { rows, meter: told, flags } = all;
        assert_eq!(flags, segments, "each segment has flags");
        assert_eq!((told.packet.sum(), told.byte.sum()), (counted.packets, counted.bytes));
        assert_eq!(told.new_flow, told.closes.total());
        let missing = rows.refused();
        rows.finish(&mut |batch| sums.add(&batch));
        assert!(sums.edges <= told.packet.sum() && sums.flags <= flags);
        assert!(sums.edges + missing.packets >= told.packet.sum() && sums.flags + missing.packets >= flags);
    });
}

/// What a table has told, and its rows.
struct Told {
    rows: Rows,
    meter: Meter,
    /// Packets by flags.
    flags: u64,
}

impl Sink for Told {
    fn record(&mut self, record: &Record) {
        self.meter += &record.meter;
        self.rows.record(record);
    }

    fn tagged(&mut self, flow: &FlowId, second: u64, tag: Tag, traffic: &Traffic) {
        if tag.kind() == 2 {
            self.flags += traffic.packet.sum();
        }
        self.rows.tagged(flow, second, tag, traffic);
    }
}

/// Packets in rows of seconds.
#[derive(Default)]
struct Sums {
    edges: u64,
    flags: u64,
}

impl Sums {
    fn add(&mut self, batch: &Batch) {
        if batch.grain == Grain::Second {
            self.edges += batch.flow_edge.iter().map(|row| row.meter.packet.sum()).sum::<u64>();
            let of_flags = batch.packet_edge.iter().filter(|row| row.tag.kind() == 2);
            self.flags += of_flags.map(|row| row.traffic.packet.sum()).sum::<u64>();
        }
    }
}

/// Mostly a little later, sometimes much, sometimes earlier.
fn time(step: &[u8], now: u64) -> u64 {
    let by = u64::from(step[1]) * 10_000_000;
    match step[0] % 16 {
        0 => now.saturating_sub(by),
        1 => now.saturating_add(by * 1_000),
        2 if step[1] == 255 => u64::MAX,
        _ => now.saturating_add(by),
    }
}

/// A frame with some bytes of its own; of TCP, UDP, ICMP or any protocol.
fn digest(step: &[u8], now: u64) -> Option<Digest> {
    let mut frame = FRAME;
    let [_, _, ends, flags, seq, len, protocol, damage] = *step else { return None };
    if ends & 1 == 1 {
        let (source, destination) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        frame[26..30].copy_from_slice(&destination);
        frame[30..34].copy_from_slice(&source);
        frame[34..38].copy_from_slice(&[0, 80, 0x9c, 0x40]);
    }
    frame[37] ^= ends >> 5;
    frame[23] = [6, 6, 6, 17, 1, protocol][usize::from(protocol % 6)];
    // Numbers come round.
    frame[38..41].fill(if seq >= 128 { 0xff } else { 0 });
    frame[41] = seq;
    frame[45] = seq ^ ends;
    frame[47] = flags;
    frame[17] = frame[17].saturating_add(len);
    frame[usize::from(damage) % FRAME.len()] ^= if damage > 200 { flags } else { 0 };
    let wire_len = 54 + u32::from(len);
    let digest = Digest::read(Link::Ethernet, &frame, wire_len, now).ok()??;
    Some(digest.owned_by(None, (ends & 16 > 0).then_some(u32::from(ends & 2))))
}

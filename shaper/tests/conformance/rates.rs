//! How exactly a lane keeps its rate.

use portlane_shaper::{Framing, GroupId, GroupParams, LaneParams, Limiter, LinkParams, Nanos, Shape, TreeParams};

use crate::load::{Greedy, Load};
use crate::table::{Millis, Table};
use crate::{NANOBITS, fifo, rate, size};

const RATES: [&str; 7] = ["64kbit", "1mbit", "10mbit", "1gbit", "10gbit", "100gbit", "400gbit"];

/// Lengths of the packets of a run; the last is a mixture of 64 to 9000.
const LENGTHS: [Option<u32>; 5] = [Some(64), Some(576), Some(1_514), Some(9_000), None];

/// A run lasts for a second, but for this many packets at least and at most: few fit into a second at the low end, and
/// too many to wait for at the high end, where a shorter window is the stricter test.
const PACKETS: (u64, u64) = (2_000, 200_000);

/// A run from the first departure that had to be waited for, when the burst is spent.
struct Run {
    packets: u64,
    window: Nanos,
    /// In nanobits: what the rate allows in the window, and what was sent.
    earned: i128,
    sent: i128,
    /// Likewise: over all windows from one departure to another, the most that was sent too much or too little.
    worst: i128,
}

/// Bytes are counted as `framing` has them.
fn backlogged(tree: &TreeParams, framing: Framing, bits_per_second: u64, len: Option<u32>) -> Run {
    let mut load = Load::new(tree, vec![Greedy::in_lane(0, len)]);
    let mut start = None;
    let (mut packets, mut sent, mut ahead) = (0, 0, (i128::MAX, i128::MIN));
    loop {
        let before = load.now;
        let departure = load.step(Nanos::MAX).expect("there is a backlog");
        if load.now > before && start.is_none() {
            start = Some(load.now);
        }
        let Some(start) = start else { continue };
        let window = load.now - start;
        let earned = i128::from(window.0) * i128::from(bits_per_second);
        ahead = (ahead.0.min(sent - earned), ahead.1.max(sent - earned));
        let second_over = window >= Nanos::from_secs(1) && packets >= PACKETS.0;
        if second_over || packets == PACKETS.1 {
            return Run { packets, window, earned, sent, worst: ahead.1 - ahead.0 };
        }
        sent += i128::from(framing.on_wire(departure.len)) * NANOBITS;
        packets += 1;
    }
}

pub(crate) fn table() -> Table {
    let mut table =
        Table::new("Rate of a backlogged lane, after the burst is spent: bytes sent, and the worst of all windows");
    for rate_text in RATES {
        let shape = Shape::flat(rate(rate_text), size("1600b"));
        rows(&mut table, "htb", &of_lane(fifo(Limiter::Htb(shape))), Framing::default(), rate_text);
    }
    for rate_text in RATES {
        let limiter = Limiter::Tbf { rate: rate(rate_text), burst: size("16kb"), peak: None };
        rows(&mut table, "tbf", &of_lane(fifo(limiter)), Framing::default(), rate_text);
    }
    others(&mut table);
    table
}

fn of_lane(lane: LaneParams) -> TreeParams {
    TreeParams { lanes: vec![lane], ..TreeParams::default() }
}

/// The other nodes and rates that a lane may be held to.
fn others(table: &mut Table) {
    let shape = |rate_text| Shape::flat(rate(rate_text), size("1600b"));
    let borrowing = Shape { rate: rate("1mbit"), ..shape("10mbit") };
    rows(table, "ceil", &of_lane(fifo(Limiter::Htb(borrowing))), Framing::default(), "10mbit");

    let group = GroupParams { shape: Some(shape("10mbit")), ..GroupParams::default() };
    let lane = LaneParams { group: Some(GroupId(0)), ..fifo(Limiter::None) };
    let tree = TreeParams { groups: vec![group], ..of_lane(lane) };
    rows(table, "group", &tree, Framing::default(), "10mbit");

    let link = LinkParams { shape: Some(shape("1gbit")), ..LinkParams::default() };
    rows(table, "link", &TreeParams { link, ..of_lane(fifo(Limiter::None)) }, Framing::default(), "1gbit");

    // Ethernet's preamble, check sequence and gap between frames, and its shortest frame with them.
    let framing = Framing { overhead: 24, mpu: 84 };
    let wire = LaneParams { framing: framing.into(), ..fifo(Limiter::Htb(shape("10mbit"))) };
    rows(table, "wire", &of_lane(wire), framing, "10mbit");
    let link = LinkParams { framing, ..link };
    rows(table, "wire", &TreeParams { link, ..of_lane(fifo(Limiter::None)) }, framing, "1gbit");
}

fn rows(table: &mut Table, kind: &str, tree: &TreeParams, framing: Framing, rate_text: &str) {
    let bits = rate(rate_text).bits_per_second();
    for len in LENGTHS {
        let Run { packets, window, earned, sent, worst } = backlogged(tree, framing, bits, len);
        let one_packet = i128::from(framing.on_wire(len.unwrap_or(9_000))) * NANOBITS;
        // The worst window may be a short one: it gets no more than a thousandth of a second's bytes, nor of the run's.
        let thousandth = earned.min(i128::from(bits) * 1_000_000_000) / 1_000;
        let sizes = len.map_or("mixed".to_owned(), |len| len.to_string());
        table.row(
            format!("{kind:>5} {rate_text:>7} x {sizes:>5}: {packets:>6} packets in {:>15}", Millis(window)),
            earned / NANOBITS,
            format!("{}, worst {} off", sent / NANOBITS, worst / NANOBITS),
            format!("{} + {}", thousandth / NANOBITS, one_packet / NANOBITS),
            worst <= thousandth + one_packet && (sent - earned).abs() <= earned / 1_000 + one_packet,
        );
    }
}

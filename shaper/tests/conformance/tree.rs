//! Two groups of three lanes: what is guaranteed, what is lent to whom, and what is never exceeded.

use portlane_shaper::{GroupId, GroupParams, LaneParams, Limiter, LinkParams, Nanos, Shape, Share, TreeParams};

use crate::load::{Greedy, Load};
use crate::table::Table;
use crate::{fifo, rate, size};

const LANES: [&str; 6] = ["a1", "a2", "a3", "b1", "b2", "b3"];

fn shape(guaranteed: &str, ceil: &str) -> Shape {
    Shape { rate: rate(guaranteed), ceil: rate(ceil), burst: size("1600b"), cburst: size("1600b") }
}

fn group(guaranteed: &str, ceil: &str) -> GroupParams {
    GroupParams { shape: Some(shape(guaranteed, ceil)), ..GroupParams::default() }
}

/// A lane of group 0 or 1. The quantum is a frame for each unit of weight.
fn lane(group: u32, guaranteed: &str, ceil: &str, priority: u8, weight: u32) -> LaneParams {
    let share = Share { priority: Some(priority), weight, quantum: Some(1_514) };
    LaneParams { group: Some(GroupId(group)), share, ..fifo(Limiter::Htb(shape(guaranteed, ceil))) }
}

fn link() -> LinkParams {
    LinkParams { shape: Some(shape("100mbit", "100mbit")), ..LinkParams::default() }
}

fn tree() -> TreeParams {
    let lanes = vec![
        lane(0, "30mbit", "100mbit", 0, 1),
        lane(0, "20mbit", "100mbit", 1, 1),
        lane(0, "10mbit", "35mbit", 1, 3),
        lane(1, "20mbit", "60mbit", 1, 1),
        lane(1, "10mbit", "60mbit", 1, 2),
        lane(1, "10mbit", "60mbit", 1, 4),
    ];
    TreeParams { link: link(), groups: vec![group("60mbit", "100mbit"), group("40mbit", "60mbit")], lanes }
}

/// Rates add up to twice what there is, at every node.
fn oversubscribed() -> TreeParams {
    let lanes = ["80mbit", "40mbit", "40mbit"].map(|rate| lane(0, rate, "100mbit", 0, 1)).into_iter();
    let more = ["80mbit", "40mbit", "40mbit"].map(|rate| lane(1, rate, "100mbit", 0, 1));
    let groups = vec![group("120mbit", "120mbit"), group("80mbit", "100mbit")];
    TreeParams { link: link(), groups, lanes: lanes.chain(more).collect() }
}

/// Which lanes send, and what each gets then, in kbit.
const PHASES: [(&str, [u64; 6]); 7] = [
    ("all send: what is guaranteed", [30_000, 20_000, 10_000, 20_000, 10_000, 10_000]),
    ("a1 idle: lent in its group, 1:3", [0, 27_500, 32_500, 20_000, 10_000, 10_000]),
    ("a2 and a3: up to a3's ceil", [0, 65_000, 35_000, 0, 0, 0]),
    ("a1 and a2: lent to the first priority", [80_000, 20_000, 0, 0, 0, 0]),
    ("b: lent by the link, 1:2:4, up to b's ceil", [0, 0, 0, 22_857, 15_714, 21_429]),
    ("b3 alone: its ceil", [0, 0, 0, 0, 0, 60_000]),
    ("a1 alone: the link", [100_000, 0, 0, 0, 0, 0]),
];

pub(crate) fn table() -> Table {
    let mut table =
        Table::new("A tree: link of 100 mbit; group a 60 to 100, lanes 30, 20, 10; group b 40 to 60, lanes 20, 10, 10");
    let lens = [None, Some(64), Some(1_514), Some(9_000), Some(576), Some(1_514)];
    let sources = |lens: [Option<u32>; 6]| (0..6).zip(lens).map(|(lane, len)| Greedy::in_lane(lane, len)).collect();
    let mut load = Load::new(&tree(), sources(lens));
    for (name, expected) in PHASES {
        phase(&mut table, &mut load, name, expected);
    }
    let mut load = Load::new(&oversubscribed(), sources(lens));
    let expected = [30_000, 15_000, 15_000, 20_000, 10_000, 10_000];
    phase(&mut table, &mut load, "over-subscribed: in proportion", expected);
    table
}

/// Five seconds, measured half a second after the change.
fn phase(table: &mut Table, load: &mut Load, name: &str, expected: [u64; 6]) {
    expected.iter().enumerate().for_each(|(lane, &kbit)| load.set_active(lane, kbit > 0));
    load.sent_until(load.now + Nanos::from_millis(500));
    let sent = load.sent_until(load.now + Nanos::from_secs(5));
    for ((lane, expected), bytes) in LANES.into_iter().zip(expected).zip(sent) {
        if expected > 0 {
            table.within(format!("{name}: {lane}"), expected, bytes * 8 / 5 / 1_000, 1, "kbit");
        }
    }
}

/// Lanes of different weight: what is lent is shared by it.
pub(crate) fn weights() -> Table {
    let mut table = Table::new("Weights 1:2:4 of three lanes under a link of 1 gbit");
    let borrows = shape("1mbit", "1gbit");
    // The link's rate less what is guaranteed, a seventh of it for each unit of weight.
    let lent = |guaranteed: u64, weight: u64| guaranteed + (1_000_000 - 3 * guaranteed) * weight / 7;
    for (name, limiter, guaranteed) in [("of 1 mbit", Limiter::Htb(borrows), 1_000), ("without rate", Limiter::None, 0)]
    {
        let lane = |weight| LaneParams { share: Share { weight, ..Share::default() }, ..fifo(limiter) };
        let link = LinkParams { shape: Some(shape("1gbit", "1gbit")), ..LinkParams::default() };
        let tree = TreeParams { link, groups: vec![], lanes: [1, 2, 4].map(lane).to_vec() };
        let sources = (0..3).zip([64, 9_000, 576]).map(|(lane, len)| Greedy::in_lane(lane, Some(len))).collect();
        let sent = Load::new(&tree, sources).sent_until(Nanos::from_secs(1));
        for (weight, bytes) in [1_u32, 2, 4].into_iter().zip(sent) {
            let what = format!("lane {name} and weight {weight}");
            table.within(what, lent(guaranteed, weight.into()), bytes * 8 / 1_000, 1, "kbit");
        }
    }
    table
}

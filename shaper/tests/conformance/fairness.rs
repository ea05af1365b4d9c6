//! How evenly flows share a lane, and lanes a link, when all of them could fill it.

use portlane_shaper::{LaneId, LaneParams, Limiter, LinkParams, Nanos, Shape, TreeParams};

use crate::load::{Greedy, Load, hash_of};
use crate::table::Table;
use crate::{fifo, rate, size};

/// Jain's index is given in millionths, where 1,000,000 is equality; this much is asked for.
const EQUAL_ENOUGH: u128 = 999_000;

/// The lengths that a source's packets have, by its number: some send only small packets, some only jumbos.
fn len_of(source: u32) -> Option<u32> {
    [Some(64), Some(9_000), Some(576), Some(1_514), None][source as usize % 5]
}

pub(crate) fn table() -> Table {
    let mut table = Table::new("Fairness: greedy flows and lanes with packets of 64, 576, 1514, 9000 bytes and mixed");
    for flows in [2, 10, 100] {
        let limiter = Limiter::Htb(Shape::flat(rate("1gbit"), size("1600b")));
        let lane = LaneParams { limiter, ..LaneParams::default() };
        let tree = TreeParams { lanes: vec![lane], ..TreeParams::default() };
        let flow = |flow| Greedy { lane: LaneId(0), flow: hash_of(flow, 1_024), len: len_of(flow) };
        equal(&mut table, &format!("{flows} flows in a lane of fq_codel"), &tree, (0..flows).map(flow).collect());
    }
    for lanes in [2, 10, 100] {
        let tree = TreeParams { link: link(), groups: vec![], lanes: vec![fifo(Limiter::None); lanes as usize] };
        let sources = (0..lanes).map(|lane| Greedy::in_lane(lane, len_of(lane))).collect();
        equal(&mut table, &format!("{lanes} lanes under a link"), &tree, sources);
    }
    table
}

fn link() -> LinkParams {
    LinkParams { shape: Some(Shape::flat(rate("1gbit"), size("16kb"))), ..LinkParams::default() }
}

/// Each source sends 2 MB on average.
fn equal(table: &mut Table, what: &str, tree: &TreeParams, sources: Vec<Greedy>) {
    let count = sources.len() as u64;
    let sent = Load::new(tree, sources).sent_until(Nanos(count * 2_000_000 * 8));
    let total: u64 = sent.iter().sum();
    let fair = total / count;
    let percent = |bytes: u64| bytes * 1_000 / fair;
    let least = percent(sent.iter().copied().min().expect("there are sources"));
    let most = percent(sent.iter().copied().max().expect("there are sources"));
    // Jain, Chiu and Hawe 1984: (sum x)^2 / (n * sum x^2), 1 when all are equal.
    let squares: u128 = sent.iter().map(|&bytes| u128::from(bytes).pow(2)).sum();
    let jain = u128::from(total).pow(2) * 1_000_000 / (u128::from(count) * squares);
    let ok = jain >= EQUAL_ENOUGH && least >= 990 && most <= 1_010;
    let measured = format!("Jain {}.{:06}, {least} to {most} permille", jain / 1_000_000, jain % 1_000_000);
    table.row(what, format!("{fair} bytes each"), measured, "Jain 0.999, within 1 %", ok);
}

//! What a lane that was silent may send at once, and no more.

use portlane_shaper::{Limiter, Nanos, Peak, Shape, TreeParams};

use crate::load::{Greedy, Load};
use crate::table::Table;
use crate::{fifo, rate, size};

const LEN: u32 = 1_000;

/// Bytes in a bucket of `burst` bytes that fills at `mbit` and was full `after` ago.
fn allowed(burst: u64, mbit: u64, after: Nanos) -> u64 {
    burst + after.0 * mbit / 8_000
}

pub(crate) fn table() -> Table {
    let mut table = Table::new("Bursts: bytes in the time after a silence, in packets of 1,000 bytes");
    let htb = Shape::flat(rate("10mbit"), size("64kb"));
    let borrowing = Shape { ceil: rate("20mbit"), cburst: size("16kb"), ..htb };
    let tbf = |peak| Limiter::Tbf { rate: rate("10mbit"), burst: size("64kb"), peak };
    let peak = Peak { rate: rate("20mbit"), mtu: size("1514b") };
    for after in [Nanos::ZERO, Nanos::from_millis(1), Nanos::from_millis(10), Nanos::from_secs(1)] {
        let burst = allowed(65_536, 10, after);
        let cburst = allowed(16_384, 20, after);
        let peak_burst = burst.min(allowed(1_514, 20, after));
        // HTB sends as long as nothing is owed, TBF only what can be paid for.
        row(&mut table, "htb, 10 mbit, burst 64 kb", Limiter::Htb(htb), after, burst..=burst + 1_000);
        row(&mut table, "htb, ceil 20 mbit, cburst 16 kb", Limiter::Htb(borrowing), after, cburst..=cburst + 1_000);
        row(&mut table, "tbf, 10 mbit, burst 64 kb", tbf(None), after, burst - 1_000..=burst);
        row(&mut table, "tbf, peak rate of 20 mbit, mtu 1514", tbf(Some(peak)), after, peak_burst - 1_000..=peak_burst);
    }
    table
}

fn row(table: &mut Table, what: &str, limiter: Limiter, after: Nanos, bound: std::ops::RangeInclusive<u64>) {
    let tree = TreeParams { lanes: vec![fifo(limiter)], ..TreeParams::default() };
    let mut load = Load::new(&tree, vec![Greedy::in_lane(0, Some(LEN))]);
    load.sent_until(Nanos::from_secs(1));
    load.set_active(0, false);
    load.sent_until(Nanos::from_secs(11));
    load.set_active(0, true);
    let sent = load.sent_until(load.now + after)[0];
    let (least, most) = bound.clone().into_inner();
    let what = format!("{what}: in {} ms", after.0 / 1_000_000);
    table.row(what, "burst and rate x time", sent, format!("{least} to {most}"), bound.contains(&sent));
}

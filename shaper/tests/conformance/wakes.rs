//! "When to ask again" is exact, and no time is lost in a year of it.

use portlane_shaper::{
    GroupId, GroupParams, LaneId, LaneParams, Limiter, LinkParams, Nanos, Peak, Rate, Shape, Shaper, Size, TreeParams,
    Wake,
};

use crate::load::{Greedy, Load};
use crate::support::{Rng, arrival};
use crate::table::Table;
use crate::{Bin, fifo, rate, size};

/// What was found when asking at the time that was told, and a nanosecond before.
#[derive(Default, Clone, Copy)]
struct Asked {
    waits: u64,
    early: u64,
    in_time: u64,
}

/// What the lanes are that are asked.
#[derive(Debug, Clone, Copy)]
struct Kind {
    tbf: bool,
    /// There are a link and a group with rates of their own.
    limited_above: bool,
}

/// Some lanes, half of them in a group, and random traffic.
fn ask(seed: u64, kind: Kind) -> Asked {
    let mut rng = Rng::new(seed);
    let above = |text| kind.limited_above.then(|| Shape::flat(rate(text), size("1600b")));
    let link = LinkParams { shape: above("30mbit"), ..LinkParams::default() };
    let group = GroupParams { shape: above("20mbit"), ..GroupParams::default() };
    let lane = |rng: &mut Rng| {
        let group = rng.one_of(&[None, Some(GroupId(0))]);
        LaneParams { group, ..fifo(limiter(rng, kind.tbf)) }
    };
    let lanes = (0..rng.between(1, 8)).map(|_| lane(&mut rng)).collect::<Vec<_>>();
    let last_lane = lanes.len() as u64 - 1;
    let tree = TreeParams { link, groups: vec![group], lanes };
    let mut shaper = Shaper::new(&tree, 64, Nanos::ZERO).expect("a valid tree");
    let (mut now, mut asked) = (Nanos::ZERO, Asked::default());
    for _ in 0..2_000 {
        let arrives = now + Nanos(rng.between(0, 2_000_000));
        loop {
            match shaper.next_wake(now) {
                Wake::Now => {
                    shaper.dequeue(now, &mut Bin).expect("a packet that may leave now");
                }
                Wake::At(at) if at < arrives => {
                    asked.waits += 1;
                    asked.early += u64::from(shaper.dequeue(at - Nanos(1), &mut Bin).is_some());
                    asked.in_time += u64::from(shaper.dequeue(at, &mut Bin).is_some());
                    now = at;
                }
                Wake::At(_) | Wake::Never => break,
            }
        }
        now = arrives;
        let lane = LaneId(u32::try_from(rng.between(0, last_lane)).expect("a lane"));
        let len = rng.packet_len();
        shaper.enqueue(lane, arrival((), len), now, &mut Bin);
    }
    asked
}

fn limiter(rng: &mut Rng, tbf: bool) -> Limiter {
    let bits = rng.between(500_000, 20_000_000);
    let rate_of = |bits| Rate::from_bits_per_second(bits).expect("a rate");
    let htb = Shape::flat(rate_of(bits), Size(1_600));
    let borrowing = Shape { ceil: rate_of(bits * 2), ..htb };
    let peak = Peak { rate: rate("40mbit"), mtu: size("9000b") };
    let tbf_of = |peak| Limiter::Tbf { rate: htb.rate, burst: Size(16_384), peak };
    let htbs = [Limiter::None, Limiter::Htb(htb), Limiter::Htb(borrowing)];
    if tbf { rng.one_of(&[htbs[0], htbs[1], tbf_of(None), tbf_of(Some(peak))]) } else { rng.one_of(&htbs) }
}

pub(crate) fn table() -> Table {
    let mut table = Table::new("When to ask again, and a year of it");
    for (name, tbf, limited_above) in [
        ("htb", false, false),
        ("htb, limits above", false, true),
        ("tbf and htb", true, false),
        ("tbf and htb, limits above", true, true),
    ] {
        let mut total = Asked::default();
        for seed in 0..50 {
            let Asked { waits, early, in_time } = ask(seed, Kind { tbf, limited_above });
            total = Asked { waits: total.waits + waits, early: total.early + early, in_time: total.in_time + in_time };
        }
        let Asked { waits, early, in_time } = total;
        table.at_most(format!("{name}: asked a nanosecond before the time told: packets"), "0", early, 0);
        table.at_least(format!("{name}: asked at the time told: packets"), &waits.to_string(), in_time, waits);
    }
    // A rate that does not divide a second, so that every wait is rounded.
    let (bits, burst) = (16_007, Size(LONGEST.into()));
    let rate = Rate::from_bits_per_second(bits).expect("a rate");
    year(&mut table, "htb of 16,007 bit, a year", Limiter::Htb(Shape::flat(rate, burst)), bits);
    year(&mut table, "tbf of 16,007 bit, a year", Limiter::Tbf { rate, burst, peak: None }, bits);
    table
}

/// The longest IP packet: a year of them is few.
const LONGEST: u32 = 65_535;

/// From the first packet that had to be waited for, a year of sending.
fn year(table: &mut Table, what: &str, limiter: Limiter, bits: u64) {
    let tree = TreeParams { lanes: vec![fifo(limiter)], ..TreeParams::default() };
    let mut load = Load::new(&tree, vec![Greedy::in_lane(0, Some(LONGEST))]);
    load.step(Nanos::ZERO);
    load.step(Nanos::MAX);
    let start = load.now;
    let sent = load.sent_until(start + Nanos::from_secs(365 * 86_400))[0];
    let earned = 365 * 86_400 * bits / 8;
    let bound = format!("within {LONGEST} bytes");
    table.row(what, format!("{earned} bytes"), format!("{sent} bytes"), bound, sent.abs_diff(earned) <= LONGEST.into());
}

//! What a lane notices of its neighbour being flooded: less than a round.

use portlane_shaper::{LaneId, LaneParams, Limiter, Nanos, QueueParams, Shaper};

use crate::support::Rng;
use crate::{Bin, counters, link, millis, next_departure, percentile, rate, size};

const LINK: &str = "100mbit";
/// Well-behaved lanes, of 5 mbit each: together with the flooded one's fair share less than the link.
const OTHERS: u32 = 8;
const FLOODED: LaneId = LaneId(OTHERS);
const LEN: u32 = 1_000;
const SECONDS: u64 = 5;

/// What the well-behaved lanes saw.
#[derive(Debug)]
struct Seen {
    sent_bytes: Vec<u64>,
    dropped: u64,
    p50: Nanos,
    p99: Nanos,
    flood_kbit: u64,
    flood_dropped: u64,
}

/// Arrivals of all lanes in the order of time; lane `FLOODED` offers `flood` times what another does.
fn arrivals(flood: u64) -> Vec<(u64, LaneId)> {
    let mean_gap = u64::from(LEN) * 8 * 1_000 / 5;
    let mut arrivals = Vec::new();
    for lane in 0..=OTHERS {
        let mut rng = Rng::new(u64::from(lane));
        let gap = if LaneId(lane) == FLOODED { mean_gap / flood } else { mean_gap };
        let mut now = rng.between(0, gap);
        while now < SECONDS * 1_000_000_000 {
            arrivals.push((now, LaneId(lane)));
            now += rng.between(gap / 2, gap * 3 / 2);
        }
    }
    arrivals.sort_unstable();
    arrivals
}

fn run(limiter: Limiter, flood: u64) -> Seen {
    let params = LaneParams { limiter, queue: QueueParams::default() };
    let lanes = vec![params; OTHERS as usize + 1];
    let mut shaper = Shaper::new(link(Some((rate(LINK), size("1600b")))), lanes, 2_048, Nanos::ZERO);
    let mut sojourns = Vec::new();
    let mut now = Nanos::ZERO;
    for (at, lane) in arrivals(flood) {
        while let Some(departs) = next_departure(&shaper, now).filter(|&departs| departs < Nanos(at)) {
            now = departs;
            let departure = shaper.dequeue(now, &mut Bin).expect("it is time");
            if departure.lane != FLOODED {
                sojourns.push((now - departure.enqueued).0);
            }
        }
        now = Nanos(at);
        shaper.enqueue(lane, (), LEN, now, &mut Bin);
    }
    sojourns.sort_unstable();
    let (flooded, others) = (*shaper.counters(FLOODED), &counters(&shaper)[..OTHERS as usize]);
    Seen {
        sent_bytes: others.iter().map(|lane| lane.sent.bytes).collect(),
        dropped: others.iter().map(|lane| lane.dropped_total().packets).sum(),
        p50: percentile(&sojourns, 50),
        p99: percentile(&sojourns, 99),
        flood_kbit: flooded.sent.bytes * 8 / SECONDS / 1_000,
        flood_dropped: flooded.dropped_total().packets,
    }
}

#[test]
fn a_flooded_lane_is_alone_with_its_trouble() {
    // The longest round: every lane sends its quantum and, at its end, one packet more; a bit takes 10 ns.
    let round = Nanos(u64::from(OTHERS + 1) * u64::from(1_514 + LEN) * 8 * 10);
    println!("\n8 lanes of 5 mbit and one flooded, on a link of {LINK}; a round is at most {}", millis(round));
    println!("{:>16} {:>6} {:>14} {:>12} {:>12} {:>12}", "lanes", "flood", "flood's kbit", "its drops", "p50", "p99");
    let limited = Limiter::Htb { rate: rate("20mbit"), burst: size("1600b") };
    for (name, limiter) in [("unlimited", Limiter::None), ("20 mbit each", limited)] {
        let calm = run(limiter, 1);
        let flooded = run(limiter, 100);
        for (flood, seen) in [(1, &calm), (100, &flooded)] {
            let (p50, p99) = (millis(seen.p50), millis(seen.p99));
            println!("{name:>16} {flood:>6} {:>14} {:>12} {p50:>12} {p99:>12}", seen.flood_kbit, seen.flood_dropped);
            assert_eq!(seen.dropped, 0, "a well-behaved lane lost packets");
        }
        for (calm, flooded) in calm.sent_bytes.iter().zip(&flooded.sent_bytes) {
            // A packet or two may still be on their way when time is up.
            assert!(calm.abs_diff(*flooded) <= 2 * u64::from(LEN), "{calm} bytes became {flooded}");
        }
        assert!(flooded.p99 <= calm.p99 + round, "p99 {} became {}", calm.p99, flooded.p99);
        assert!(flooded.flood_dropped > 100_000);
    }
}

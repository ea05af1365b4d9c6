//! How evenly lanes share a link that all of them could fill.

use portlane_shaper::{LaneId, Limiter, LinkParams, Nanos, Shaper};

use crate::support::Rng;
use crate::{Bin, counters, fifo, next_departure, rate, size};

/// The lengths that a lane's packets have, by the lane's number: some lanes send only small packets, some only jumbos.
fn len_in(lane: LaneId, rng: &mut Rng) -> u32 {
    match lane.0 % 5 {
        0 => 64,
        1 => 9_000,
        2 => 576,
        3 => 1_514,
        _ => rng.packet_len(),
    }
}

/// Bytes that each greedy lane sends while the link sends `each` for every lane.
fn greedy(lanes: u32, quantum: u32, each: u64) -> Vec<u64> {
    let mut rng = Rng::new(u64::from(lanes));
    let link = LinkParams { limit: Some((rate("1gbit"), size("16kb"))), quantum };
    let mut shaper = Shaper::new(link, vec![fifo(Limiter::None); lanes as usize], 1_024, Nanos::ZERO);
    for lane in (0..lanes).map(LaneId) {
        (0..3).for_each(|_| shaper.enqueue(lane, (), len_in(lane, &mut rng), Nanos::ZERO, &mut Bin));
    }
    let (mut now, mut left) = (Nanos::ZERO, u64::from(lanes) * each);
    while left > 0 {
        now = next_departure(&shaper, now).expect("there is a backlog");
        let departure = shaper.dequeue(now, &mut Bin).expect("it is time");
        left = left.saturating_sub(u64::from(departure.len));
        shaper.enqueue(departure.lane, (), len_in(departure.lane, &mut rng), now, &mut Bin);
    }
    counters(&shaper).iter().map(|lane| lane.sent.bytes).collect()
}

#[test]
fn greedy_lanes_share_a_link_evenly_whatever_their_packets() {
    println!("\nbytes sent by greedy lanes, in hundredths of a percent of the fair share");
    println!("{:>6} {:>8} {:>12} {:>8} {:>8} {:>12}", "lanes", "quantum", "fair share", "least", "most", "Jain x 10^6");
    for (lanes, quantum, each) in [
        (2, 1_514, 4_000_000),
        (5, 1_514, 4_000_000),
        (5, 9_000, 4_000_000),
        (5, 64, 4_000_000),
        (64, 1_514, 3_000_000),
        (500, 1_514, 1_500_000),
    ] {
        let sent = greedy(lanes, quantum, each);
        let total: u64 = sent.iter().sum();
        let fair = total / u64::from(lanes);
        let share = |bytes: Option<&u64>| bytes.expect("there are lanes") * 10_000 / fair;
        let (least, most) = (share(sent.iter().min()), share(sent.iter().max()));
        // Jain, Chiu and Hawe 1984: (sum x)^2 / (n * sum x^2), 1 when all are equal.
        let squares: u128 = sent.iter().map(|&bytes| u128::from(bytes).pow(2)).sum();
        let jain = u128::from(total).pow(2) * 1_000_000 / (u128::from(lanes) * squares);
        println!("{lanes:>6} {quantum:>8} {fair:>12} {least:>8} {most:>8} {jain:>12}");
        assert!(least >= 9_900 && most <= 10_100 && jain >= 999_000);
    }
}

//! How exactly a lane keeps its rate.

use portlane_shaper::{LaneId, Limiter, Nanos, Shaper};

use crate::support::Rng;
use crate::{Bin, NANOBITS, fifo, link, next_departure, rate, size};

const RATES: [&str; 9] = ["64kbit", "1mbit", "10mbit", "100mbit", "1gbit", "10gbit", "40gbit", "100gbit", "400gbit"];

/// Lengths of the packets of a run; the last column is a mixture.
const LENGTHS: [Option<u32>; 5] = [Some(64), Some(576), Some(1_514), Some(9_000), None];

/// A run lasts for a second, but for this many packets at least and at most: few fit into a second at the low end, and
/// too many to wait for at the high end, where a shorter window is the stricter test.
const PACKETS: (u64, u64) = (20_000, 1_000_000);

/// A run from the first departure that had to be waited for, when the burst is spent.
struct Run {
    packets: u64,
    /// Bits sent against bits earned, in millionths of those earned.
    error_ppm: i128,
    /// In nanobits: over all windows from one departure to another, the most that was sent too much or too little.
    worst: i128,
}

fn backlogged(limiter: Limiter, bits_per_second: u64, len: Option<u32>) -> Run {
    let mut rng = Rng::new(bits_per_second);
    let mut shaper = Shaper::new(link(None), vec![fifo(limiter)], 8, Nanos::ZERO);
    let (mut now, mut start) = (Nanos::ZERO, None);
    let (mut packets, mut sent, mut ahead) = (0, 0, (i128::MAX, i128::MIN));
    loop {
        while shaper.queued() < 4 {
            let len = len.unwrap_or_else(|| rng.packet_len());
            shaper.enqueue(LaneId(0), (), len, now, &mut Bin);
        }
        let at = next_departure(&shaper, now).expect("there is a backlog");
        if at > now && start.is_none() {
            start = Some(at);
        }
        now = at;
        let len = shaper.dequeue(now, &mut Bin).expect("it is time").len;
        let Some(start) = start else { continue };
        let window = now - start;
        let lead = sent - i128::from(window.0) * i128::from(bits_per_second);
        ahead = (ahead.0.min(lead), ahead.1.max(lead));
        let second_over = window >= Nanos::from_secs(1) && packets >= PACKETS.0;
        if second_over || packets == PACKETS.1 {
            let error_ppm = lead * 1_000_000 / (sent - lead);
            return Run { packets, error_ppm, worst: ahead.1 - ahead.0 };
        }
        sent += i128::from(len) * NANOBITS;
        packets += 1;
    }
}

/// `slack`: packets that a window may pass too much or too little.
fn table(name: &str, slack: i128, limiter: impl Fn(&str) -> Limiter) {
    println!("\n{name}: departure from the rate in ppm, by packet length");
    println!("{:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>12}", "rate", 64, 576, 1_514, 9_000, "mixed", "packets");
    for text in RATES {
        let bits = rate(text).bits_per_second();
        let mut packets = 0;
        print!("{text:>8}");
        for len in LENGTHS {
            let run = backlogged(limiter(text), bits, len);
            print!(" {:>8}", run.error_ppm);
            packets += run.packets;
            // Nothing but what the last nanosecond earned: so nothing adds up, in any window.
            let one_packet = i128::from(len.unwrap_or(9_000)) * NANOBITS;
            assert!(run.worst <= slack * one_packet + i128::from(bits), "{text} {len:?}: {} nanobits off", run.worst);
            assert!(run.error_ppm.abs() <= 1_000, "{text} {len:?}: {} ppm", run.error_ppm);
        }
        println!(" {packets:>12}");
    }
}

#[test]
fn a_backlogged_lane_gets_its_rate() {
    // Between two departures a class of HTB repays exactly what it owed; TBF saves for packets of different lengths.
    table("htb", 0, |text| Limiter::Htb { rate: rate(text), burst: size("1600b") });
    table("tbf", 1, |text| Limiter::Tbf { rate: rate(text), burst: size("16kb"), peak: None });
}

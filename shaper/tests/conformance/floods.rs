//! What others notice of an unresponsive flood: other lanes nothing, and a sparse flow in the flooded lane nothing either.

use portlane_shaper::{
    Arrival, Departure, DropReason, LaneId, LaneParams, Limiter, LinkParams, Nanos, Shape, Shaper, TreeParams,
};

use crate::load::hash_of;
use crate::support::{Rng, arrival};
use crate::table::{Millis, Table};
use crate::{Bin, next_departure, rate, size};

const LINK: &str = "100mbit";
/// Well-behaved lanes, which offer 5 mbit each: together with the flooded one's fair share less than the link.
const OTHERS: u32 = 8;
const FLOODED: LaneId = LaneId(OTHERS);
const LEN: u32 = 1_000;
/// Nanoseconds between two packets of a well-behaved lane, on average.
const GAP: u64 = LEN as u64 * 8 * 1_000 / 5;
const SECONDS: u64 = 10;
/// Nanoseconds between two packets of the sparse flow, on average: more than the longest round.
const SPARSE_GAP: u64 = 200_000_000;
/// Buckets of a lane's FQ-CoDel; the sparse flow has the last one of the flooded lane.
const FLOWS: u32 = 1_024;

/// Whose packet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    Other(LaneId),
    Flood(u32),
    /// Beside the flood in its lane.
    Sparse,
}

impl Sender {
    fn lane_and_flow(self) -> (LaneId, u32) {
        match self {
            Self::Other(lane) => (lane, 0),
            Self::Flood(flow) => (FLOODED, hash_of(flow, FLOWS)),
            Self::Sparse => (FLOODED, hash_of(FLOWS - 1, FLOWS)),
        }
    }
}

/// Arrivals of all in the order of time. The flood is of 200 mbit, in so many flows, or there is none.
fn arrivals(flood_flows: Option<u32>) -> Vec<(u64, Sender)> {
    let mut arrivals = Vec::new();
    let mut source = |seed: u64, gap: u64, sender: &dyn Fn(&mut Rng) -> Sender| {
        let mut rng = Rng::new(seed);
        let mut now = rng.between(0, gap);
        while now < SECONDS * 1_000_000_000 {
            arrivals.push((now, sender(&mut rng)));
            now += rng.between(gap / 2, gap * 3 / 2);
        }
    };
    (0..OTHERS).for_each(|lane| source(u64::from(lane), GAP, &|_| Sender::Other(LaneId(lane))));
    source(100, SPARSE_GAP, &|_| Sender::Sparse);
    if let Some(flows) = flood_flows {
        let any_flow = |rng: &mut Rng| u32::try_from(rng.between(0, u64::from(flows - 1))).expect("a flow");
        source(101, GAP / 40, &|rng| Sender::Flood(any_flow(rng)));
    }
    arrivals.sort_unstable();
    arrivals
}

/// What became of the packets.
#[derive(Default)]
struct Outcome {
    others_dropped: u64,
    others_longest: Nanos,
    sparse_offered: u64,
    sparse_sent: u64,
    sparse_longest: Nanos,
    flood_bytes: u64,
    dropped_by_codel: u64,
    dropped_over_limit: u64,
}

impl Outcome {
    fn see(&mut self, departure: &Departure<Sender>, now: Nanos) {
        let wait = now - departure.enqueued;
        match departure.packet {
            Sender::Other(_) => self.others_longest = self.others_longest.max(wait),
            Sender::Sparse => {
                self.sparse_sent += 1;
                self.sparse_longest = self.sparse_longest.max(wait);
            }
            Sender::Flood(_) if now < Nanos::from_secs(SECONDS) => self.flood_bytes += u64::from(departure.len),
            Sender::Flood(_) => {}
        }
    }

    fn count(&mut self, shaper: &Shaper<Sender>) {
        let flooded = shaper.counters(FLOODED);
        self.others_dropped = (0..OTHERS).map(|lane| shaper.counters(LaneId(lane)).dropped_total().packets).sum();
        self.dropped_by_codel = flooded.dropped_for(DropReason::Codel).packets;
        self.dropped_over_limit = flooded.dropped_for(DropReason::Limit).packets;
    }
}

/// Sends all that arrives, and then all that is left.
fn run(limiter: Limiter, arrivals: &[(u64, Sender)]) -> Outcome {
    let mut lanes = vec![LaneParams::default(); OTHERS as usize];
    lanes.push(LaneParams { limiter, ..LaneParams::default() });
    let link = LinkParams { shape: Some(Shape::flat(rate(LINK), size("1600b"))), ..LinkParams::default() };
    let tree = TreeParams { link, groups: vec![], lanes };
    let mut shaper = Shaper::new(&tree, 2_048, Nanos::ZERO).expect("a valid tree");
    let (mut now, mut outcome) = (Nanos::ZERO, Outcome::default());
    for next in arrivals.iter().map(Some).chain([None]) {
        let until = next.map_or(Nanos::MAX, |&(at, _)| Nanos(at));
        while let Some(departs) = next_departure(&mut shaper, now).filter(|&departs| departs < until) {
            now = departs;
            outcome.see(&shaper.dequeue(now, &mut Bin).expect("it is time"), now);
        }
        let Some(&(at, sender)) = next else { break };
        now = Nanos(at);
        let (lane, flow) = sender.lane_and_flow();
        shaper.enqueue(lane, Arrival { flow, ..arrival(sender, LEN) }, now, &mut Bin);
        outcome.sparse_offered += u64::from(sender == Sender::Sparse);
    }
    outcome.count(&shaper);
    outcome
}

pub(crate) fn table() -> Table {
    let mut table = Table::new(
        "Floods: 200 mbit that respond to nothing, into one of nine lanes on a link of 100 mbit; the others offer 5 mbit each",
    );
    let of_20_mbit = Limiter::Htb(Shape::flat(rate("20mbit"), size("1600b")));
    for (name, limiter, kbit) in [("20 mbit", of_20_mbit, 20_000), ("no rate", Limiter::None, 60_000)] {
        let calm = run(limiter, &arrivals(None));
        for flows in [1, 100] {
            let flooded = run(limiter, &arrivals(Some(flows)));
            rows(&mut table, &format!("lane of {name}, {flows} flows"), flows, kbit, &calm, &flooded);
        }
    }
    table
}

fn rows(table: &mut Table, what: &str, flows: u32, kbit: u64, calm: &Outcome, flooded: &Outcome) {
    // The longest round of the link: each lane sends its quantum and at its end one packet more; a byte takes 80 ns.
    let round = Nanos(u64::from(OTHERS + 1) * u64::from(1_514 + LEN) * 80);
    // Of the lane: a quantum and a packet of each flow of the flood, at the lane's rate.
    let own_round = Nanos(u64::from(flows + 1) * u64::from(1_514 + LEN) * 8 * 1_000_000 / kbit);
    table.at_most(format!("{what}: drops of other lanes"), "0", flooded.others_dropped, 0);
    let longest = Millis(flooded.others_longest);
    let expected = format!("{} when calm", Millis(calm.others_longest));
    table.at_most(
        format!("{what}: longest wait in other lanes"),
        &expected,
        longest,
        Millis(calm.others_longest + round),
    );
    let lost = flooded.sparse_offered - flooded.sparse_sent;
    table.at_most(format!("{what}: lost of its sparse flow"), "0", lost, 0);
    let expected = format!("{} when calm", Millis(calm.sparse_longest));
    let (longest, bound) = (Millis(flooded.sparse_longest), Millis(calm.sparse_longest + round + own_round));
    table.at_most(format!("{what}: longest wait of its sparse flow"), &expected, longest, bound);
    let sent = flooded.flood_bytes * 8 / SECONDS / 1_000;
    table.within(format!("{what}: the flood's rate"), kbit, sent, 2, "kbit");
    let (codel, limit) = (flooded.dropped_by_codel, flooded.dropped_over_limit);
    let measured = format!("{codel} and {limit}");
    table.row(format!("{what}: dropped by CoDel and limit"), "both", measured, "more than 0", codel > 0 && limit > 0);
}

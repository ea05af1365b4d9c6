//! How long a flow that sends little waits beside greedy ones in its lane.

use portlane_shaper::{Aqm, FqParams, LaneId, LaneParams, Limiter, Nanos, QueueParams, Shape, TreeParams, codel};

use crate::load::{Greedy, Load, hash_of};
use crate::support::Rng;
use crate::table::{Millis, Table};
use crate::{rate, size};

/// The greedy flows have the first buckets, the sparse one has the last.
const FLOWS: u32 = 2_048;
const QUANTUM: u64 = 1_514;
const LONGEST: u64 = 1_514;
const SPARSE_LEN: u32 = 100;
/// That the sparse flow sends in a run.
const PACKETS: u64 = 100;

/// 100 mbit: a byte takes 80 ns.
const BYTE: u64 = 80;

pub(crate) fn table() -> Table {
    let mut table = Table::new("Longest wait of a sparse flow beside greedy ones in a lane of 100 mbit");
    for greedy in [1, 10, 100, 1_000] {
        let quanta = u64::from(greedy) * QUANTUM;
        let full_size = |_| 1_514;
        // A flow may overdraw its quantum by all but a byte of its last packet, and has less the next time.
        let overdrawn = u64::from(greedy) * (LONGEST - 1);
        let mixed_size = |flow| 64 + flow * 97 % 1_451;

        let name = format!("{greedy:>4} greedy flows");
        let (often, seldom) = (0..=quanta * BYTE, quanta * BYTE * 3..=quanta * BYTE * 4);
        // Without drops: a greedy flow that CoDel empties would come back as a new flow too.
        let longest = longest_wait(sources(greedy, full_size), lane(Nanos::from_secs(100)), &seldom);
        row(&mut table, &format!("{name} of 1514, after rounds of silence"), "a packet", longest, LONGEST);
        let target = codel::Params::default().target;
        let longest = longest_wait(sources(greedy, full_size), lane(target), &often);
        row(&mut table, &format!("{name} of 1514"), "a quantum per flow, a packet", longest, quanta + LONGEST);
        let longest = longest_wait(sources(greedy, mixed_size), lane(target), &often);
        let bound = quanta + overdrawn + LONGEST;
        row(&mut table, &format!("{name} of 64 to 1514"), "likewise, overdrawn", longest, bound);
    }
    table
}

fn row(table: &mut Table, what: &str, expected: &str, longest: Nanos, bound: u64) {
    table.at_most(what, expected, Millis(longest), Millis(Nanos(bound * BYTE)));
}

fn sources(greedy: u32, len: impl Fn(u32) -> u32) -> Vec<Greedy> {
    let flow = |flow| Greedy { lane: LaneId(0), flow: hash_of(flow, FLOWS), len: Some(len(flow)) };
    (0..greedy).map(flow).collect()
}

/// The longest wait of a packet of the sparse flow, for ever if it was dropped. The flow sends after a silence within these bounds, in nanoseconds, after
/// its last packet left.
fn longest_wait(sources: Vec<Greedy>, lane: LaneParams, silence: &std::ops::RangeInclusive<u64>) -> Nanos {
    let mut rng = Rng::new(1);
    let sparse = sources.len();
    let mut load = Load::new(&TreeParams { lanes: vec![lane], ..TreeParams::default() }, sources);
    let mut longest = Nanos::ZERO;
    for _ in 0..PACKETS {
        let arrives = load.now + Nanos(rng.between(*silence.start(), *silence.end()));
        load.sent_until(arrives);
        load.enqueue(LaneId(0), hash_of(FLOWS - 1, FLOWS), sparse, SPARSE_LEN);
        longest = longest.max(load.wait_of(sparse, load.now + Nanos::from_secs(10)).unwrap_or(Nanos::MAX));
    }
    longest
}

/// A lane under CoDel with this target.
fn lane(target: Nanos) -> LaneParams {
    let codel = codel::Params { target, ..codel::Params::default() };
    let queue = QueueParams {
        aqm: Aqm::FqCodel(FqParams { codel, flows: FLOWS, ..FqParams::default() }),
        ..QueueParams::default()
    };
    LaneParams { limiter: Limiter::Htb(Shape::flat(rate("100mbit"), size("1b"))), queue, ..LaneParams::default() }
}

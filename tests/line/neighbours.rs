//! Bad neighbours: one that sends from ports that are not its own, and one whose queue is always full. The same packets of another
//! container leave as they do without them.

use portlane_classify::Direction;
use portlane_shaper::Nanos;

use crate::rig::{Kind, Rig, lane};

/// What its neighbours may change for a container, in percent.
const MOST: u64 = 5;

/// Who is disturbed, and who fills its queue.
const QUIET: Kind = Kind::Container(0);
const GREEDY: Kind = Kind::Container(1);

/// Packets arrive at multiples of this: 100,000 in a second.
const STEP: Nanos = Nanos::from_micros(10);
const SECONDS: u64 = 3;
const STEPS: u64 = SECONDS * 100_000;

/// The neighbours that there are.
#[derive(Debug, Clone, Copy)]
struct Neighbours {
    /// 100,000 packets a second of nobody's ports. Behind a gate they would not even get here.
    foreign: bool,
    /// Four times its rate.
    greedy: bool,
}

/// What the container got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Got {
    bytes: u64,
    p99: u64,
    dropped: u64,
}

/// Three seconds of the same packets of one container, `offered` of 20mbit in percent, in bursts.
fn run(offered: u64, neighbours: Neighbours) -> Got {
    let limit = "egress = { rate = \"20mbit\", burst = \"15kb\" }\n";
    // Less than all of them want: 51mbit of nobody's, and 20 or more of each container.
    let link = "[link]\nrate = \"50mbit\"\n";
    let mut rig = Rig::new(&(link.to_owned() + &Rig::containers(2, |_| limit.to_owned())), 16_384, 4_096);
    for step in 0..STEPS {
        // A burst of twenty packets of 1,250 bytes each 10 ms is 20mbit.
        if step % 1_000 == 0 {
            (0..offered / 5).for_each(|_| assert!(rig.arrive(Direction::Egress, QUIET, 1_250)));
        }
        if neighbours.greedy && step % 12 == 0 {
            assert!(rig.arrive(Direction::Egress, GREEDY, 1_250));
        }
        if neighbours.foreign {
            assert!(rig.arrive(Direction::Egress, Kind::Foreign, 64));
        }
        rig.advance(STEP);
        rig.take_all();
    }
    let snapshot = rig.check();
    let of = lane(&snapshot, Direction::Egress, 0);
    if neighbours.greedy {
        let greedy = lane(&snapshot, Direction::Egress, 1);
        assert!(greedy.dropped().packets > 1_000 && greedy.queued().packets > 0, "its queue is full: {greedy:?}");
    }
    if neighbours.foreign {
        let foreign = &snapshot.unmatched.egress;
        assert!(foreign.dropped().packets + foreign.queued().packets > 1_000, "the link is too narrow: {foreign:?}");
    }
    assert_eq!(snapshot.totals.unmatched, if neighbours.foreign { STEPS } else { 0 });
    Got { bytes: of.sent_bytes, p99: of.sojourn_ns.p99, dropped: of.dropped().packets }
}

fn assert_alike(alone: u64, beside: u64, what: &str) {
    assert!(alone.abs_diff(beside) * 100 <= alone * MOST, "{what}: {alone} alone, {beside} beside neighbours");
}

#[test]
fn a_container_does_not_feel_its_neighbours() {
    // Less than its rate, and more: in the second case its own queue is always full, too.
    for offered in [80, 150] {
        let alone = run(offered, Neighbours { foreign: false, greedy: false });
        assert_eq!(
            alone,
            run(offered, Neighbours { foreign: false, greedy: false }),
            "the same frames, the same times"
        );
        assert!(alone.p99 > 1_000_000, "something waits: {alone:?}");
        for neighbours in [(true, false), (false, true), (true, true)] {
            let neighbours = Neighbours { foreign: neighbours.0, greedy: neighbours.1 };
            let got = run(offered, neighbours);
            eprintln!("{offered} %: alone {alone:?}, beside {neighbours:?} {got:?}");
            assert_alike(alone.bytes, got.bytes, "bytes");
            assert_alike(alone.p99, got.p99, "p99 of the sojourn time");
        }
    }
}

//! Random traffic through random lanes: the books balance after every step.

use portlane_classify::Direction;
use portlane_shaper::Nanos;
use proptest::prelude::*;

use crate::rig::{Kind, Rig, SHORTEST};

#[derive(Debug, Clone)]
enum Step {
    Arrive { direction: Direction, kind: Kind, len: usize, count: usize },
    Advance(Nanos),
    Take { direction: Direction, count: usize },
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)]
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        6 => (0..4_u16).prop_map(Kind::Container),
        1 => Just(Kind::Foreign),
        1 => Just(Kind::NotIp),
        1 => Just(Kind::Malformed),
    ];
    prop_oneof![
        4 => (direction(), kind, SHORTEST..1_514, 1..100_usize)
            .prop_map(|(direction, kind, len, count)| Step::Arrive { direction, kind, len, count }),
        3 => (0..20_000_000_u64).prop_map(|nanos| Step::Advance(Nanos(nanos))),
        2 => (direction(), 0..200_usize).prop_map(|(direction, count)| Step::Take { direction, count }),
    ]
}

/// Four containers: of each kind of limiter, with CoDel and without, and one without a limit; a link that all share.
fn config() -> String {
    let keys = [
        "ingress = { rate = \"10mbit\" }\negress = { rate = \"2mbit\", burst = \"16kb\" }\n",
        "egress = { kind = \"tbf\", rate = \"5mbit\", burst = \"3kb\", limit = \"32kb\" }\nqueue = { ecn = true }\n",
        "ingress = { kind = \"tbf\", rate = \"5mbit\", burst = \"1514b\", latency = \"50ms\", peakrate = \"9mbit\", \
         mtu = \"1400b\" }\nqueue = { kind = \"fifo\", limit = 20 }\n",
        "",
    ];
    let containers = Rig::containers(4, |number| keys[usize::from(number)].to_owned());
    format!("[link]\nrate = \"40mbit\"\nburst = \"4kb\"\n\n{containers}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn every_packet_has_one_fate(
        steps in prop::collection::vec(step(), 1..80),
        frames in prop_oneof![8..64_u32, 64..1_024_u32],
        ring in 1..300_usize,
    ) {
        let mut rig = Rig::new(&config(), frames, ring);
        for step in steps {
            match step {
                Step::Arrive { direction, kind, len, count } => {
                    let received = (0..count).take_while(|_| rig.arrive(direction, kind, len)).count();
                    prop_assert!(received <= count);
                }
                Step::Advance(by) => rig.advance(by),
                Step::Take { direction, count } => {
                    rig.take(direction, count);
                }
            }
            rig.check();
        }
        rig.drain();
        let totals = rig.check().totals;
        prop_assert_eq!(totals.queued, 0);
        prop_assert_eq!(totals.received, totals.sent + totals.dropped);
        prop_assert_eq!(rig.line.pool.free(), rig.line.pool.total());
    }
}

//! Another configuration while packets are queued: the books balance, nothing is lost, and what stays stays as it was.

use portlane_classify::Direction;
use portlane_shaper::Nanos;
use proptest::prelude::*;

use crate::rig::{Kind, Rig, lane};

/// Containers that there may be.
const CONTAINERS: u16 = 6;

/// Groups that there may be.
const GROUPS: usize = 5;

const MS: Nanos = Nanos::from_millis(1);

/// A group, or a container, of a random configuration.
#[derive(Debug, Clone)]
struct Node {
    /// The group that it is in, of those before it in `order`; or the link.
    parent: prop::sample::Index,
    keys: usize,
}

/// What of all groups and containers there is, and how the groups are nested: each is in one that comes before.
#[derive(Debug, Clone)]
struct Shape {
    order: Vec<usize>,
    groups: Vec<Option<Node>>,
    containers: Vec<Option<Node>>,
    link: usize,
}

fn shape() -> impl Strategy<Value = Shape> {
    let node = || {
        prop::option::of((any::<prop::sample::Index>(), 0..4_usize).prop_map(|(parent, keys)| Node { parent, keys }))
    };
    let containers = prop::collection::vec(node(), usize::from(CONTAINERS));
    let order = Just((0..GROUPS).collect::<Vec<_>>()).prop_shuffle();
    (order, prop::collection::vec(node(), GROUPS), containers, 0..3_usize)
        .prop_map(|(order, groups, containers, link)| Shape { order, groups, containers, link })
}

impl Shape {
    fn config(&self) -> String {
        let link = ["", "[link]\nrate = \"30mbit\"\n", "[link]\nrate = \"8mbit\"\noverhead = \"24b\"\n"][self.link];
        let present: Vec<usize> = self.order.iter().copied().filter(|&group| self.groups[group].is_some()).collect();
        let parent = |node: &Node, above: &[usize]| match node.parent.index(above.len() + 1).checked_sub(1) {
            Some(at) => format!("group = \"g{}\"\n", above[at]),
            None => String::new(),
        };
        let mut text = link.to_owned();
        // Written in the order of their names: a group may be written before the one that it is in.
        for (group, node) in self.groups.iter().enumerate().filter_map(|(group, node)| Some((group, node.as_ref()?))) {
            let above = present.iter().position(|&other| other == group).unwrap();
            let keys = [
                "",
                "egress = { rate = \"4mbit\", ceil = \"20mbit\" }\n",
                "ingress = { rate = \"9mbit\", priority = 3 }\n",
                "egress = { weight = 3 }\n",
            ];
            text += &format!("[[group]]\nid = \"g{group}\"\n{}{}", parent(node, &present[..above]), keys[node.keys]);
        }
        let mut any = false;
        let all = Rig::containers(CONTAINERS, |number| match &self.containers[usize::from(number)] {
            Some(node) => format!("{}{}", parent(node, &present), KEYS[node.keys]),
            None => "absent".to_owned(),
        });
        for container in all
            .split_inclusive("\n\n")
            .flat_map(|part| part.split("[[container]]"))
            .filter(|part| !part.trim().is_empty())
        {
            if !container.contains("absent") {
                any = true;
                text += &format!("[[container]]{container}\n");
            }
        }
        // A configuration has a container.
        if any { text } else { format!("{text}{}", Rig::containers(1, |_| String::new())) }
    }
}

const KEYS: [&str; 4] = [
    "",
    "ingress = { rate = \"3mbit\", ceil = \"6mbit\", burst = \"4kb\" }\n",
    "egress = { kind = \"tbf\", rate = \"5mbit\", burst = \"3kb\", limit = \"32kb\" }\nqueue = { ecn = true, flows = 16 }\n",
    "egress = { rate = \"1mbit\", weight = 4 }\nqueue = { kind = \"fifo\", limit = 30 }\n",
];

#[derive(Debug, Clone)]
enum Step {
    Change(Shape),
    Arrive { direction: Direction, kind: Kind, len: usize, count: usize },
    Advance(Nanos),
    Take { direction: Direction, count: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let direction = || prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let kind =
        prop_oneof![8 => (0..CONTAINERS).prop_map(Kind::Container), 1 => Just(Kind::Foreign), 1 => Just(Kind::NotIp)];
    prop_oneof![
        2 => shape().prop_map(Step::Change),
        5 => (direction(), kind, 60..1_514_usize, 1..40_usize)
            .prop_map(|(direction, kind, len, count)| Step::Arrive { direction, kind, len, count }),
        4 => (0..20_000_000_u64).prop_map(|nanos| Step::Advance(Nanos(nanos))),
        3 => (direction(), 0..200_usize).prop_map(|(direction, count)| Step::Take { direction, count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn every_packet_has_one_fate_whatever_changes(first in shape(), steps in prop::collection::vec(step(), 1..60)) {
        let mut rig = Rig::new(&first.config(), 1_024, 4_096);
        for step in steps {
            match step {
                Step::Change(shape) => {
                    rig.change(&shape.config());
                }
                Step::Arrive { direction, kind, len, count } => {
                    (0..count).take_while(|_| rig.arrive(direction, kind, len)).count();
                }
                Step::Advance(by) => rig.advance(by),
                Step::Take { direction, count } => {
                    rig.take(direction, count);
                }
            }
            rig.check();
        }
        rig.drain();
        let snapshot = rig.check();
        prop_assert_eq!(snapshot.totals.queued, 0);
        prop_assert_eq!(rig.line.pool.free(), rig.line.pool.total());
        rig.change(&first.config());
        prop_assert_eq!(rig.check().leaving, vec![], "who has left, and is empty, is gone");
    }
}

/// A limited container that no change concerns, and others that come, go and move.
fn scene(round: u64) -> String {
    let steady = "group = \"tenant\"\nqueue = { kind = \"fifo\", limit = 40 }\ningress = { rate = \"4mbit\", burst = \"3kb\" }\n";
    let of = |number: u16| match number {
        0 => steady.to_owned(),
        1 => format!("ingress = {{ rate = \"{}mbit\" }}\n", 1 + round % 7),
        2 if round.is_multiple_of(3) => "group = \"tenant\"\n".to_owned(),
        2 => "group = \"other\"\negress = { rate = \"1mbit\" }\n".to_owned(),
        _ => format!("egress = {{ rate = \"{}mbit\", ceil = \"9mbit\" }}\n", 1 + round % 5),
    };
    let nested = if round % 4 < 2 { "" } else { "group = \"tenant\"\n" };
    let groups = format!("[[group]]\nid = \"tenant\"\n[[group]]\nid = \"other\"\n{nested}");
    let count = if round.is_multiple_of(5) { 3 } else { 4 + u16::try_from(round % 3).unwrap() };
    format!("[link]\nrate = \"30mbit\"\n{groups}{}", Rig::containers(count, of))
}

#[test]
fn a_thousand_changes_under_load_lose_nothing() {
    let mut rig = Rig::new(&scene(0), 4_096, 8_192);
    let mut steady_sent = 0;
    for round in 1..=1_000 {
        for kind in (0..CONTAINERS).map(Kind::Container).chain([Kind::Foreign]) {
            for direction in Direction::ALL {
                assert!(rig.arrive(direction, kind, 700) && rig.arrive(direction, kind, 1_000));
            }
        }
        rig.advance(MS);
        let before = rig.check();
        rig.change(&scene(round));
        let after = rig.check();
        assert_eq!(lane(&before, Direction::Ingress, 0), lane(&after, Direction::Ingress, 0), "round {round}");
        assert_eq!(before.totals, after.totals, "round {round}");
        rig.advance(MS);
        rig.take_all();
        steady_sent = lane(&rig.check(), Direction::Ingress, 0).sent_bytes;
    }
    // 4 mbit/s for two seconds, and the burst: as if nothing had changed around it.
    assert!((1_000_000 - 2_000..=1_000_000 + 3_072 + 1_000).contains(&steady_sent), "{steady_sent}");
    rig.drain();
    let totals = rig.check().totals;
    assert_eq!((totals.queued, totals.received), (0, totals.sent + totals.dropped));
}

#[test]
fn a_change_is_told_in_numbers() {
    let mut rig = Rig::new(&Rig::containers(3, |_| String::new()), 256, 256);
    let keys = |number| if number == 1 { "egress = { rate = \"1mbit\" }\n" } else { "" };
    let change = rig.change(&Rig::containers(5, |number| keys(number).to_owned()));
    assert_eq!((change.added, change.changed, change.removed), (2, 1, 0));
    let change = rig.change(&Rig::containers(2, |number| keys(number).to_owned()));
    assert_eq!((change.added, change.changed, change.removed), (0, 0, 3));
}

#[test]
fn a_container_that_goes_drains_and_one_that_returns_goes_on() {
    let keys = "egress = { rate = \"1mbit\", burst = \"1514b\" }\nqueue = { kind = \"fifo\" }\n";
    let both = Rig::containers(2, |_| keys.to_owned());
    let one = Rig::containers(1, |_| String::new());
    let mut rig = Rig::new(&both, 256, 256);
    (0..20).for_each(|_| assert!(rig.arrive(Direction::Egress, Kind::Container(1), 1_000)));
    rig.advance(MS);
    let queued = |rig: &Rig| rig.check().leaving.iter().map(|leaving| leaving.egress.queued().packets).sum::<u64>();
    rig.change(&one);
    assert_eq!((rig.check().leaving.len(), queued(&rig)), (1, 18));
    (0..40).for_each(|_| rig.advance(MS));
    assert_eq!(queued(&rig), 13, "at its own rate: 8 ms a packet");
    // Its port is nobody's now.
    assert!(rig.arrive(Direction::Egress, Kind::Container(1), 1_000));
    rig.advance(MS);
    assert_eq!(rig.check().unmatched.egress.sent_packets, 1);
    rig.change(&both);
    let snapshot = rig.check();
    let returned = lane(&snapshot, Direction::Egress, 1);
    assert_eq!((snapshot.leaving.len(), returned.offered_packets, returned.queued().packets), (0, 20, 13));
    rig.take_all();
    rig.drain();
    assert_eq!(rig.check().totals.sent, 21);
}

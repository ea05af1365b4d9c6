//! The same decisions as the model's, at the same times.

use proptest::prelude::*;

use super::model::Model;
use super::scene::{nodes, trees};
use crate::LaneId;
use crate::params::{NodeId, TreeParams};
use crate::tree::Tree;
use crate::units::Nanos;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// Packets arrive in a lane.
    Arrive(prop::sample::Index, Vec<u32>),
    /// Time passes, in nanoseconds.
    Pass(u64),
    /// The time comes at which something may be sent.
    Wake,
    /// A device has room for some packets.
    Send(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lens = prop::collection::vec(prop::sample::select(vec![60_u32, 61, 576, 1_000, 1_514, 9_000]), 1..30);
    let step = prop_oneof![
        3 => (any::<prop::sample::Index>(), lens).prop_map(|(lane, lens)| Step::Arrive(lane, lens)),
        2 => prop_oneof![0..5_000_u64, 0..2_000_000_u64, 0..400_000_000_u64].prop_map(Step::Pass),
        3 => Just(Step::Wake),
        5 => (1..20_usize).prop_map(Step::Send),
    ];
    prop::collection::vec(step, 1..160)
}

/// The tree and its model, side by side.
struct Pair {
    tree: Tree,
    model: Model,
    now: u64,
}

impl Pair {
    fn send(&mut self, most: usize) -> usize {
        for count in 0..most {
            self.tree.expire(Nanos(self.now), |_| (), |_| ());
            let chosen = self.tree.choose(Nanos(self.now));
            let expected = self.model.dequeue(self.now);
            let got = chosen.map(|chosen| (chosen.lane.index(), usize::from(chosen.level)));
            assert_eq!(got, expected.map(|(lane, level, _)| (lane, level)), "packet {count} at {}", self.now);
            let (Some(chosen), Some((lane, _, len))) = (chosen, expected) else { return count };
            let more = !self.model.lane(lane).queue.is_empty();
            self.tree.sent(chosen, len, more, Nanos(self.now));
            self.tree.check_invariants();
        }
        most
    }

    /// Goes to the next time at which something may be sent, and sees that it is the first.
    fn wake(&mut self) {
        self.tree.expire(Nanos(self.now), |_| (), |_| ());
        let at = self.tree.next_wake(Nanos(self.now));
        assert_eq!(at.0, self.model.wakes(self.now).unwrap_or(u64::MAX));
        if at == Nanos::MAX {
            return;
        }
        if at.0 > self.now + 1 {
            self.now = at.0 - 1;
            assert_eq!(self.send(1), 0, "woken too late");
            assert_eq!(self.tree.next_wake(Nanos(self.now)), at);
        }
        self.now = at.0;
        assert_eq!(self.send(1), 1, "woken too early");
    }

    fn step(&mut self, step: &Step, lanes: usize) {
        match step {
            Step::Arrive(lane, lens) => {
                let lane = lane.index(lanes);
                for &len in lens {
                    self.model.enqueue(lane, len);
                }
                self.tree.activate(LaneId(u32::try_from(lane).unwrap()));
            }
            Step::Pass(nanos) => self.now += nanos,
            Step::Wake => self.wake(),
            Step::Send(most) => {
                self.send(*most);
            }
        }
        self.tree.check_invariants();
    }

    /// Counters at the end. A wait that has ended is seen to later if its level is not looked at; a node that pays
    /// meanwhile never left the mode that it was in, in the kernel, and does not count that it is above its ceil again.
    fn compare_counters(&self, params: &TreeParams) {
        for (id, class) in nodes(params).zip(&self.model.classes) {
            let node = self.tree.node(id, Nanos(self.now));
            assert_eq!((node.lended, node.borrowed), (class.lends, class.borrows), "{id:?}");
            match id {
                NodeId::Lane(_) => assert_eq!(node.overlimits, class.overlimits, "{id:?}"),
                _ => assert!(node.overlimits >= class.overlimits, "{id:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_decision_is_the_kernels(params in trees(), steps in steps()) {
        let mut pair = Pair { tree: Tree::new(&params, Nanos::ZERO).unwrap(), model: Model::new(&params), now: 0 };
        for step in &steps {
            pair.step(step, params.lanes.len());
        }
        pair.compare_counters(&params);
    }
}

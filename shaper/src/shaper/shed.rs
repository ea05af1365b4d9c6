//! Giving up packets when memory runs short: the longest queues first, and of those under FQ-CoDel the longest flows.

use super::{Fate, LaneId, Shaper};

/// Queues looked at before packets are given up, at most.
const LOOKS: usize = 64;

/// Drops up to `count` packets from the heads of the longest lanes of all `shapers` (reason `no_frame`), and returns how
/// many. An FQ-CoDel lane gives up from the heads of its longest flows. Packets that wait for tokens at the head of a TBF lane stay.
///
/// A lane gives up what it has more than the next longest, or an eighth of its queue; so a lane with less than its fair
/// share loses nothing. That is exact while at most 64 lanes, divided evenly among the shapers, are within a factor of two
/// of the longest; of more, the longest of 64 counts as the longest of all, and who is safe is a lane with less than half
/// of what the longest has. A call costs the same however many lanes there are.
pub fn shed<P>(shapers: &mut [Shaper<P>], count: u32, fate: &mut impl Fate<P>) -> u32 {
    shed_and_tell(shapers, count, fate).dropped
}

/// What a call did.
#[derive(Debug, Default, PartialEq, Eq)]
struct Work {
    /// Packets dropped.
    dropped: u32,
    /// Queues looked at.
    looks: usize,
}

fn shed_and_tell<P>(shapers: &mut [Shaper<P>], count: u32, fate: &mut impl Fate<P>) -> Work {
    let mut work = Work::default();
    while work.dropped < count {
        let mut longest = Longest::of(shapers);
        if longest.count == 0 {
            break;
        }
        work.looks += longest.count;
        while work.dropped < count {
            let Some((place, share)) = longest.choose() else { break };
            let share = share.min(count - work.dropped);
            let Candidate { shaper, lane, .. } = longest.candidates[place];
            fate.turns_to(shaper);
            shapers[shaper].give_up(LaneId(lane), share, fate);
            longest.gave_up(place, share);
            work.dropped += share;
        }
    }
    work
}

#[derive(Debug, Clone, Copy, Default)]
struct Candidate {
    packets: u32,
    shaper: usize,
    lane: u32,
}

/// Lanes whose queues are within a factor of two of the longest: all of them, or as many as may be looked at.
struct Longest {
    candidates: [Candidate; LOOKS],
    count: usize,
    /// No other lane has that many packets, unless it was not looked at.
    at_least: u32,
}

impl Longest {
    fn of<P>(shapers: &[Shaper<P>]) -> Self {
        let mut longest = Self { candidates: [Candidate::default(); LOOKS], count: 0, at_least: 0 };
        let Some(list) = shapers.iter().filter_map(|shaper| shaper.lengths.longest()).max() else { return longest };
        longest.at_least = 1 << list;
        let each = (LOOKS / shapers.len()).max(1);
        let found = shapers.iter().enumerate().flat_map(|(index, shaper)| {
            let members = shaper.lengths.members(list).take(each);
            members.map(move |lane| Candidate { packets: shaper.lanes[lane as usize].spare(), shaper: index, lane })
        });
        for (place, candidate) in longest.candidates.iter_mut().zip(found) {
            *place = candidate;
            longest.count += 1;
        }
        longest
    }

    /// The place of the longest, and how many packets of it may go at once.
    fn choose(&self) -> Option<(usize, u32)> {
        let (mut longest, mut next, mut place) = (0, self.at_least - 1, 0);
        for (index, candidate) in self.candidates[..self.count].iter().enumerate() {
            if candidate.packets > longest {
                next = next.max(longest);
                (longest, place) = (candidate.packets, index);
            } else {
                next = next.max(candidate.packets);
            }
        }
        (self.count > 0).then(|| (place, (longest - next).max(longest / 8).max(1)))
    }

    fn gave_up(&mut self, place: usize, share: u32) {
        self.candidates[place].packets -= share;
        if self.candidates[place].packets < self.at_least {
            self.count -= 1;
            self.candidates.swap(place, self.count);
        }
    }
}

impl<P> Shaper<P> {
    /// Drops up to `count` packets from the heads of the longest lanes, as [`shed`] does of several shapers.
    pub fn shed(&mut self, count: u32, fate: &mut impl Fate<P>) -> u32 {
        shed(std::slice::from_mut(self), count, fate)
    }

    /// A lane drops `count` packets: its oldest, or those of its longest flows.
    fn give_up(&mut self, id: LaneId, count: u32, fate: &mut impl Fate<P>) {
        self.still_at = None;
        let lane = &mut self.lanes[id.index()];
        let before = lane.spare();
        lane.give_up(id, &mut self.store, count, fate);
        self.lengths.changed(id.0, before, lane.spare());
        if lane.held().packets == 0 {
            self.retire(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrival, DropReason, LaneParams, Limiter, Nanos, TreeParams};

    struct Bin;

    impl Fate<()> for Bin {
        fn dropped(&mut self, _lane: LaneId, (): (), _reason: DropReason) {}

        fn mark(&mut self, _packet: &mut ()) -> bool {
            false
        }
    }

    fn arrival(flow: u32) -> Arrival<()> {
        Arrival { packet: (), len: 1_000, memory: 2_048, flow, ect: true }
    }

    /// Two shapers of equal lanes with `packets` each.
    fn shapers(lanes: u32, packets: u32, limiter: Limiter) -> [Shaper<()>; 2] {
        [(); 2].map(|()| {
            let params = vec![LaneParams { limiter, ..LaneParams::default() }; lanes as usize];
            let tree = TreeParams { lanes: params, ..TreeParams::default() };
            let mut shaper = Shaper::new(&tree, 0, Nanos::ZERO).expect("a valid tree");
            for lane in (0..packets).flat_map(|_| (0..lanes).map(LaneId)) {
                shaper.enqueue(lane, arrival(lane.0 << 16), Nanos::ZERO, &mut Bin);
            }
            shaper
        })
    }

    #[test]
    fn the_work_is_the_same_for_any_number_of_lanes() {
        for packets in [1, 2, 3, 20] {
            let work = |lanes| {
                let mut shapers = shapers(lanes, packets, Limiter::None);
                [1, 8, 64, 64].map(|count| shed_and_tell(&mut shapers, count, &mut Bin))
            };
            let few = work(200);
            assert_eq!(few, work(10_000), "{packets} packets in each");
            assert!(few.iter().all(|work| work.looks <= work.dropped as usize + LOOKS), "{few:?}");
        }
    }

    #[test]
    fn the_longest_of_all_shapers_gives_up_first() {
        let mut shapers = shapers(100, 10, Limiter::None);
        for _ in 0..90 {
            shapers[1].enqueue(LaneId(7), arrival(0), Nanos::ZERO, &mut Bin);
        }
        assert_eq!(shed(&mut shapers, 84, &mut Bin), 84);
        assert_eq!(shapers[1].backlog(LaneId(7)).packets, 16);
        assert_eq!(shapers.iter().map(Shaper::queued).sum::<usize>(), 2_006);
    }

    #[test]
    fn all_may_be_given_up_and_then_there_is_none() {
        let mut shapers = shapers(70, 3, Limiter::None);
        assert_eq!(shed(&mut shapers, u32::MAX, &mut Bin), 420);
        assert_eq!(shed(&mut shapers, 1, &mut Bin), 0);
        assert_eq!(shed::<()>(&mut [], 1, &mut Bin), 0);
        assert!(shapers.iter_mut().all(|shaper| shaper.next_wake(Nanos::ZERO) == crate::Wake::Never));
    }
}

//! Which ways packets went, so that a test that stops trying one of them is noticed.

use std::cell::RefCell;

use crate::twin::LaneReading;

/// Packets that left when they were offered, and those that came back.
#[derive(Debug, Default)]
pub(crate) struct Seen(RefCell<Counts>);

#[derive(Debug, Default)]
struct Counts {
    through_fifo: u64,
    through_codel: u64,
    /// CoDel had dropped or marked before, and still has the count.
    through_codel_with_memory: u64,
    of_first_flow: u64,
    of_same_flow: u64,
    /// Went to the old flows, or round among them.
    of_same_flow_in_deficit: u64,
    of_another_flow: u64,
    /// It put its lane into debt.
    into_debt: u64,
    /// It had to be queued, and left at once: there was a filter, or more than one flow.
    by_the_queue: u64,
    /// The same, for the CoDel of a flow had something to remember.
    by_the_queue_with_memory: u64,
    /// The device did not take what had gone straight through.
    put_back: u64,
    put_back_from_queue: u64,
}

impl Seen {
    /// A packet left, and a lane read so before and after.
    pub(crate) fn left(&self, before: &LaneReading, after: &LaneReading, passed: bool) {
        let mut seen = self.0.borrow_mut();
        if !passed {
            seen.by_the_queue += 1;
            seen.by_the_queue_with_memory += u64::from(before.flows.iter().any(|flow| flow.codel.count > 0));
            return;
        }
        seen.into_debt += u64::from(before.node.tokens_ns >= 0 && after.node.tokens_ns < 0);
        match (&before.codel, before.flows.first(), after.flows.first()) {
            (None, _, None) => seen.through_fifo += 1,
            (Some(codel), ..) => {
                seen.through_codel += 1;
                seen.through_codel_with_memory += u64::from(codel.count > 0);
            }
            (None, None, Some(_)) => seen.of_first_flow += 1,
            (None, Some(one), Some(other)) if one.index != other.index => seen.of_another_flow += 1,
            (None, Some(flow), Some(_)) => {
                seen.of_same_flow += 1;
                seen.of_same_flow_in_deficit += u64::from(flow.deficit <= 0);
            }
        }
    }

    pub(crate) fn put_back(&self, passed: bool) {
        let mut seen = self.0.borrow_mut();
        if passed {
            seen.put_back += 1;
        } else {
            seen.put_back_from_queue += 1;
        }
    }

    pub(crate) fn assert_that_all_was_tried(&self) {
        let seen = self.0.borrow();
        println!("{seen:?}");
        let Counts { through_fifo, through_codel, through_codel_with_memory, of_first_flow, .. } = *seen;
        let Counts { of_same_flow, of_same_flow_in_deficit, of_another_flow, .. } = *seen;
        let Counts { into_debt, by_the_queue, by_the_queue_with_memory, put_back, put_back_from_queue, .. } = *seen;
        let kinds = [through_fifo, through_codel, through_codel_with_memory];
        let flows = [of_first_flow, of_same_flow, of_same_flow_in_deficit, of_another_flow];
        let others = [into_debt, by_the_queue, by_the_queue_with_memory, put_back, put_back_from_queue];
        let mut all = kinds.into_iter().chain(flows).chain(others);
        assert!(all.all(|times| times > 20), "too seldom: {seen:?}");
    }
}

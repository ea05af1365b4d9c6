//! Which ways packets went, so that a test that stops trying one of them is noticed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::twin::LaneReading;

/// Each is to be gone more often than this.
const SELDOM: u64 = 20;

/// How packets left when they were offered, and came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    ThroughFifo,
    ThroughCodel,
    /// CoDel had dropped or marked before, and still has the count.
    ThroughCodelWithMemory,
    OfFirstFlow,
    OfSameFlow,
    /// It went to the old flows, or round among them.
    OfSameFlowInDeficit,
    OfAnotherFlow,
    /// It put its lane into debt.
    IntoDebt,
    /// It had to be queued, and left at once: there was a filter, or more than one flow.
    ByTheQueue,
    /// The same, for the CoDel of a flow had something to remember.
    ByTheQueueWithMemory,
    /// The device did not take what had gone straight through.
    PutBack,
    PutBackFromQueue,
}

impl Way {
    const ALL: [Self; 12] = [
        Self::ThroughFifo,
        Self::ThroughCodel,
        Self::ThroughCodelWithMemory,
        Self::OfFirstFlow,
        Self::OfSameFlow,
        Self::OfSameFlowInDeficit,
        Self::OfAnotherFlow,
        Self::IntoDebt,
        Self::ByTheQueue,
        Self::ByTheQueueWithMemory,
        Self::PutBack,
        Self::PutBackFromQueue,
    ];
}

/// How often each way was gone.
#[derive(Debug, Default)]
pub(crate) struct Seen(RefCell<BTreeMap<Way, u64>>);

impl Seen {
    /// A packet left, and a lane read so before and after.
    pub(crate) fn left(&self, before: &LaneReading, after: &LaneReading, passed: bool) {
        if !passed {
            self.count(Way::ByTheQueue, true);
            self.count(Way::ByTheQueueWithMemory, before.flows.iter().any(|flow| flow.codel.count > 0));
            return;
        }
        self.count(Way::IntoDebt, before.node.tokens_ns >= 0 && after.node.tokens_ns < 0);
        match (&before.codel, before.flows.first(), after.flows.first()) {
            (None, _, None) => self.count(Way::ThroughFifo, true),
            (Some(codel), ..) => {
                self.count(Way::ThroughCodel, true);
                self.count(Way::ThroughCodelWithMemory, codel.count > 0);
            }
            (None, None, Some(_)) => self.count(Way::OfFirstFlow, true),
            (None, Some(one), Some(other)) if one.index != other.index => self.count(Way::OfAnotherFlow, true),
            (None, Some(flow), Some(_)) => {
                self.count(Way::OfSameFlow, true);
                self.count(Way::OfSameFlowInDeficit, flow.deficit <= 0);
            }
        }
    }

    pub(crate) fn put_back(&self, passed: bool) {
        self.count(if passed { Way::PutBack } else { Way::PutBackFromQueue }, true);
    }

    fn count(&self, way: Way, gone: bool) {
        *self.0.borrow_mut().entry(way).or_default() += u64::from(gone);
    }

    pub(crate) fn assert_that_all_was_tried(&self) {
        let seen = self.0.borrow();
        println!("{seen:?}");
        let seldom: Vec<_> = Way::ALL.iter().filter(|way| seen.get(way).is_none_or(|&times| times <= SELDOM)).collect();
        assert!(seldom.is_empty(), "too seldom: {seldom:?} of {seen:?}");
    }
}

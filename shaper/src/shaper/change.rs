//! Changes while packets are queued: nothing is lost, and nothing reordered within a flow.

use super::Shaper;
use crate::lane::{Lane, Place};
use crate::params::{GroupParams, LaneParams, LinkParams, NodeId, QueueParams};
use crate::tree::{Rule, TreeError};
use crate::units::Nanos;
use crate::{Fate, GroupId, LaneId};

/// Each change is made as a whole or, if it is refused, not at all. Credit that nodes have earned stays as far as their new
/// bursts permit; debt stays debt.
impl<P> Shaper<P> {
    /// Changes the link.
    ///
    /// # Errors
    ///
    /// Which rule the parameters break.
    pub fn set_link(&mut self, params: LinkParams, now: Nanos) -> Result<(), TreeError> {
        (self.woken, self.still_at) = (None, None);
        self.tree.set_link(params, now)?;
        self.pass_framing_on(now);
        Ok(())
    }

    /// Adds a group, without lanes.
    ///
    /// # Errors
    ///
    /// Which rule the parameters break.
    pub fn add_group(&mut self, params: GroupParams, now: Nanos) -> Result<GroupId, TreeError> {
        self.tree.add_group(params, now)
    }

    /// Changes a group, or moves it with all that is in it.
    ///
    /// # Errors
    ///
    /// Which rule the parameters break, or that there is no such group.
    pub fn set_group(&mut self, id: GroupId, params: GroupParams, now: Nanos) -> Result<(), TreeError> {
        (self.woken, self.still_at) = (None, None);
        self.count_returned();
        self.tree.set_group(id, params, now)?;
        self.pass_framing_on(now);
        Ok(())
    }

    /// Removes a group. Its number is given again to a group that is added later.
    ///
    /// # Errors
    ///
    /// The group is not empty, or there is no such group.
    pub fn remove_group(&mut self, id: GroupId, now: Nanos) -> Result<(), TreeError> {
        self.tree.remove_group(id, now)
    }

    /// Adds a lane, empty and in full credit.
    ///
    /// # Errors
    ///
    /// Which rule the parameters break.
    pub fn add_lane(&mut self, params: &LaneParams, now: Nanos) -> Result<LaneId, TreeError> {
        let id = self.tree.add_lane(params, now)?;
        let lane = Lane::new(params, self.tree.framing(id), now, &mut None);
        match self.lanes.get_mut(id.index()) {
            Some(vacant) => *vacant = lane,
            None => self.lanes.push(lane),
        }
        self.lengths.grow(self.lanes.len());
        Ok(id)
    }

    /// Changes a lane, or moves it to another group. What is queued stays, in its order; the queue's limits apply to what
    /// comes later. CoDel begins anew, unless the kind of queue stays the same and, of FQ-CoDel, the number of flows.
    ///
    /// # Errors
    ///
    /// Which rule the parameters break.
    pub fn set_lane(
        &mut self,
        id: LaneId,
        params: &LaneParams,
        now: Nanos,
        fate: &mut impl Fate<P>,
    ) -> Result<(), TreeError> {
        self.count_returned();
        self.tree.set_lane(id, params, now)?;
        (self.woken, self.still_at) = (None, None);
        let lane = &mut self.lanes[id.index()];
        lane.set_queue(&mut self.store, &params.queue, now);
        lane.set_limiter(params.limiter, self.tree.framing(id), now);
        let before = lane.spare();
        // A filter may have come or gone, or its packet become affordable.
        self.retire(id);
        self.settle(id, now, fate);
        self.lengths.changed(id.0, before, self.lanes[id.index()].spare());
        Ok(())
    }

    /// Brings the lanes' filters to the framing that is above them, and those that wait to the time that this makes it.
    fn pass_framing_on(&mut self, now: Nanos) {
        for (id, lane) in (0..).map(LaneId).zip(&mut self.lanes) {
            lane.set_framing(self.tree.framing(id));
            if lane.place() != Place::Parked {
                continue;
            }
            self.tree.unpark(id);
            match lane.filter_opens(now) {
                Some(until) if until < Nanos::MAX => self.tree.park(id, until),
                Some(_) => {}
                None => {
                    lane.set_place(Place::Active);
                    self.tree.activate(id);
                }
            }
        }
    }

    /// Counts a packet that came back as sent by the nodes that it was sent by: these may no longer be above its lane.
    fn count_returned(&mut self) {
        if let (Some(departure), Some(last)) = (&self.returned, self.last.take()) {
            self.tree.count_again(last, departure.len);
        }
    }

    /// Changes a lane's queue alone, as [`set_lane`](Self::set_lane) does.
    ///
    /// # Errors
    ///
    /// Which rule the parameters break, or that there is no such lane.
    pub fn set_queue(&mut self, id: LaneId, params: &QueueParams, now: Nanos) -> Result<(), TreeError> {
        self.tree.check_queue(id, params)?;
        self.lanes[id.index()].set_queue(&mut self.store, params, now);
        Ok(())
    }

    /// Removes a lane that is empty. Its number is given again to a lane that is added later.
    ///
    /// # Errors
    ///
    /// The lane has packets: let it drain, and ask again; or there is no such lane.
    pub fn remove_lane(&mut self, id: LaneId, now: Nanos) -> Result<(), TreeError> {
        let busy = self.lanes.get(id.index()).is_some_and(|_| self.backlog(id).packets > 0);
        if busy {
            return Err(TreeError { node: NodeId::Lane(id), rule: Rule::HasPackets });
        }
        self.tree.remove_lane(id, now)?;
        // Flows that have become empty may still be listed.
        self.lanes[id.index()].set_queue(&mut self.store, &QueueParams::fifo(0), now);
        Ok(())
    }
}

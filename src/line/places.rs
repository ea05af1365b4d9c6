//! Where the nodes of a configuration are in the shapers of a line, and what has been counted by those that are gone.

use portlane_shaper::{GroupId, LaneId, LaneParams, Nanos};
use portlane_stats::snapshot::{Former, Gone};

use crate::config::{Mode, Plan};

/// Which lane is a container's, and which group of the shapers a group's. Both directions have the same.
///
/// As the line is built, containers are lanes, and groups groups, by their positions in the plan, and the last lane is
/// nobody's; later plans keep the lanes and groups of those that stay.
#[derive(Debug, Clone)]
pub struct Places {
    /// Of each container of the plan, in its order.
    pub containers: Vec<Place>,
    /// Of each group of the plan, in its order.
    pub groups: Vec<GroupId>,
    /// The lane of traffic that no container owns.
    pub unmatched: LaneId,
    /// When it was made, unless with the line.
    pub unmatched_since: Option<Nanos>,
    /// Containers that the plan no longer has, and that still have packets.
    pub leaving: Vec<Leaving>,
    /// What is in a group's counters for those that are no longer in it: of each group of the plan, then of the link; by
    /// [`Direction::index`](portlane_classify::Direction::index).
    pub former: Vec<[Former; 2]>,
    /// What lanes have counted that are gone.
    pub gone: Gone,
}

/// A container's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number, in both directions.
    pub lane: LaneId,
    /// When it was made, unless with the line.
    pub since: Option<Nanos>,
}

/// A container that the plan no longer has: its lanes stay until they are empty.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub place: Place,
    /// Whether its limits hold.
    pub mode: Mode,
    /// What its lanes are, by [`Direction::index`](portlane_classify::Direction::index);
    /// the group is a position in the plan.
    pub lanes: [LaneParams; 2],
}

impl Places {
    /// Those of a line that is built for `plan`.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let containers = (0..plan.owners.unmatched()).map(|lane| Place { lane: LaneId(lane), since: None });
        Self {
            containers: containers.collect(),
            groups: (0..).map(GroupId).take(plan.groups.len()).collect(),
            unmatched: LaneId(plan.owners.unmatched()),
            unmatched_since: None,
            leaving: Vec::new(),
            former: vec![[Former::default(); 2]; plan.groups.len() + 1],
            gone: Gone::default(),
        }
    }

    /// Every lane that there is: the containers' in their order, nobody's, then of those that are leaving.
    pub fn lanes(&self) -> impl Iterator<Item = LaneId> {
        let containers = self.containers.iter().map(|place| place.lane);
        containers.chain([self.unmatched]).chain(self.leaving.iter().map(|leaving| leaving.place.lane))
    }

    /// The lane at a position among [these](Self::lanes).
    #[must_use]
    pub fn lane(&self, position: usize) -> Option<LaneId> {
        let behind = position.checked_sub(self.containers.len());
        match behind.map(|behind| behind.checked_sub(1)) {
            None => Some(self.containers[position].lane),
            Some(None) => Some(self.unmatched),
            Some(Some(leaving)) => self.leaving.get(leaving).map(|leaving| leaving.place.lane),
        }
    }
}

//! One direction of a snapshot: the tree on one interface.

use std::collections::{BTreeSet, HashMap};
use std::iter;

use super::super::handles::{self, Handle, LaneHandles, Others};
use super::{Class, ClassKind, HtbClass, Kind, Qdisc, Stats};
use crate::counters::DropReason;
use crate::lane::{FlowReport, LaneReport, LimitReport, QueueReport, TrafficControl};
use crate::snapshot::{GroupReport, NodeReport, Snapshot};

pub(super) struct Side<'a> {
    dev: &'a str,
    link: &'a NodeReport,
    groups: Vec<Group<'a>>,
    lanes: Vec<Lane<'a>>,
    unmatched: Handle,
}

struct Group<'a> {
    handle: Handle,
    parent: Option<Handle>,
    node: &'a NodeReport,
}

struct Lane<'a> {
    at: LaneHandles,
    /// Its queue, if what is right below its class is a token bucket filter.
    below_tbf: Handle,
    parent: Option<Handle>,
    report: &'a LaneReport,
}

/// Where the classes of a direction are: under the link's, if it has one, or a group's.
struct Parents<'a> {
    top: Option<Handle>,
    groups: HashMap<&'a str, Handle>,
}

impl<'a> Parents<'a> {
    fn new(snapshot: &'a Snapshot, link: &NodeReport, others: Others) -> Self {
        let handles = snapshot.groups.iter().map(|group| (group.id.as_str(), others.group(group.number)));
        Self { top: link.limit.as_ref().map(|_| handles::link()), groups: handles.collect() }
    }

    fn of(&self, group: Option<&str>) -> Option<Handle> {
        group.and_then(|id| self.groups.get(id)).copied().or(self.top)
    }
}

impl<'a> Side<'a> {
    pub(super) fn both(snapshot: &'a Snapshot) -> [Self; 2] {
        let (devices, link) = (&snapshot.devices, &snapshot.link);
        [
            Self::new(snapshot, &devices.ingress, &link.ingress, snapshot.ingress(), |group| &group.ingress),
            Self::new(snapshot, &devices.egress, &link.egress, snapshot.egress(), |group| &group.egress),
        ]
    }

    fn new(
        snapshot: &'a Snapshot,
        dev: &'a str,
        link: &'a NodeReport,
        lanes: impl Iterator<Item = (&'a str, &'a LaneReport)>,
        of: impl Fn(&'a GroupReport) -> &'a NodeReport,
    ) -> Self {
        let others = Others::beside_containers_of(snapshot);
        let parents = Parents::new(snapshot, link, others);
        let groups = snapshot.groups.iter().filter_map(|group| {
            let handle = *parents.groups.get(group.id.as_str())?;
            Some(Group { handle, parent: parents.of(group.group.as_deref()), node: of(group) })
        });
        // The last lane is the unmatched one.
        let places = snapshot.with_leaving();
        let places = places.map(|one| (handles::container(one.number), parents.of(one.group.as_deref())));
        let places = places.chain([(others.unmatched(), parents.top)]);
        let lanes = places.zip(lanes).map(|((at, parent), (_, report))| {
            let below_tbf = others.below_tbf(at.leaf);
            Lane { at, below_tbf, parent, report }
        });
        let unmatched = others.unmatched().class;
        Self { dev, link, groups: groups.collect(), lanes: lanes.collect(), unmatched }
    }

    pub(super) fn qdiscs(&self) -> Vec<Qdisc<'a>> {
        let of_groups = self.groups.iter().map(|group| Handle { minor: 0, ..group.handle });
        let of_lanes = self.lanes.iter().map(|lane| lane.at.root());
        let roots: BTreeSet<_> = of_lanes.chain(of_groups).chain([handles::root()]).collect();
        let below = self.lanes.iter().flat_map(|lane| lane.qdiscs(self.dev));
        roots.into_iter().map(|root| self.root(root)).chain(below).collect()
    }

    fn root(&self, handle: Handle) -> Qdisc<'a> {
        let default = if self.unmatched.major == handle.major { self.unmatched.minor } else { 0 };
        let stats = self.root_stats(handle);
        Qdisc { dev: self.dev, handle, parent: None, kind: Kind::Htb { default }, stats }
    }

    pub(super) fn classes(&self) -> Vec<Class<'a>> {
        let link = self.link.limit.as_ref().map(|_| self.inner_class(handles::link(), None, self.link));
        let groups = self.groups.iter().map(|group| self.inner_class(group.handle, group.parent, group.node));
        let below = self.lanes.iter().flat_map(|lane| lane.classes(self.dev));
        link.into_iter().chain(groups).chain(below).collect()
    }

    /// Sums over the lanes; overlimits over the classes of the htb.
    fn root_stats(&self, root: Handle) -> Stats {
        let lanes = || self.lanes.iter().filter(|lane| lane.at.root() == root).map(|lane| lane.report);
        let sum = |figure: fn(&TrafficControl) -> u64| {
            lanes().map(|lane| figure(lane.bw_limit())).fold(0, u64::saturating_add)
        };
        let link = (root == handles::root()).then_some(self.link);
        let groups = self.groups.iter().filter(|group| group.handle.major == root.major).map(|group| group.node);
        let inner = groups.chain(link).map(|node| node.class.overlimits);
        let overlimits = inner.chain(lanes().map(|lane| lane.class.overlimits));
        Stats {
            bytes: sum(|element| element.bytes),
            packets: sum(|element| element.packets),
            drops: sum(|element| element.drops),
            overlimits: overlimits.fold(0, u64::saturating_add),
            requeues: sum(|element| element.requeues),
            backlog: sum(|element| element.backlog),
            qlen: sum(|element| element.qlen),
        }
    }

    fn inner_class(&self, handle: Handle, parent: Option<Handle>, node: &'a NodeReport) -> Class<'a> {
        let stats = Stats {
            bytes: node.sent_bytes,
            packets: node.sent_packets,
            overlimits: node.class.overlimits,
            ..Stats::default()
        };
        let kind = ClassKind::Htb(HtbClass { limit: node.limit.as_ref(), class: &node.class, stats });
        Class { dev: self.dev, handle, parent, leaf: None, kind }
    }
}

impl<'a> Lane<'a> {
    /// The class of the lane's token bucket filter.
    fn class_of_tbf(&self) -> Handle {
        Handle { minor: 1, ..self.at.leaf }
    }

    /// The qdisc that is the lane's queue.
    fn queue(&self) -> Handle {
        match self.report.limit {
            LimitReport::Tbf(_) => self.below_tbf,
            LimitReport::None | LimitReport::Htb(_) => self.at.leaf,
        }
    }

    fn qdiscs(&self, dev: &'a str) -> Vec<Qdisc<'a>> {
        let queue = |parent| Qdisc {
            dev,
            handle: self.queue(),
            parent: Some(parent),
            kind: queue_kind(self.report),
            stats: Stats::from(self.report.bloat_reduction()),
        };
        let LimitReport::Tbf(tbf) = &self.report.limit else {
            return vec![queue(self.at.class)];
        };
        let filter = Qdisc {
            dev,
            handle: self.at.leaf,
            parent: Some(self.at.class),
            kind: Kind::Tbf(tbf),
            // Only a root is given back what a device refuses.
            stats: Stats { requeues: 0, ..Stats::from(self.report.bw_limit()) },
        };
        vec![filter, queue(self.class_of_tbf())]
    }

    /// The class of the lane, that of its token bucket filter if it has one, and those of its flows.
    fn classes(&self, dev: &'a str) -> Vec<Class<'a>> {
        let (limit, filter) = match &self.report.limit {
            LimitReport::Htb(htb) => (Some(htb), None),
            LimitReport::None => (None, None),
            LimitReport::Tbf(_) => (None, Some(self.class_of_tbf())),
        };
        let lane = Class {
            dev,
            handle: self.at.class,
            parent: self.parent,
            leaf: Some(self.at.leaf),
            kind: ClassKind::Htb(HtbClass { limit, class: &self.report.class, stats: class_stats(self.report) }),
        };
        let filter = filter.map(|handle| Class {
            dev,
            handle,
            parent: Some(self.at.leaf),
            leaf: Some(self.queue()),
            kind: ClassKind::Tbf,
        });
        let flows = match &self.report.queue {
            QueueReport::FqCodel(fq_codel) => fq_codel.flow_states.as_slice(),
            QueueReport::Fifo { .. } | QueueReport::Codel(_) => &[],
        };
        let flows = flows.iter().map(|flow| flow_class(dev, self.queue(), flow));
        iter::once(lane).chain(filter).chain(flows).collect()
    }
}

/// The class of a flow; its number is the flow's plus one (`fq_codel_walk`).
fn flow_class<'a>(dev: &'a str, qdisc: Handle, flow: &'a FlowReport) -> Class<'a> {
    let stats = Stats { backlog: flow.backlog_bytes, qlen: flow.qlen, ..Stats::default() };
    Class {
        dev,
        handle: Handle { minor: u64::from(flow.flow) + 1, ..qdisc },
        parent: Some(qdisc),
        leaf: None,
        kind: ClassKind::FqCodel { flow, stats },
    }
}

/// What a lane's htb class counts: of the drops those it was told of at enqueue, of the overlimits its own and not a
/// filter's below it.
fn class_stats(lane: &LaneReport) -> Stats {
    Stats {
        drops: lane.shaped_marks_and_refusals().1,
        overlimits: lane.class.overlimits,
        requeues: 0,
        ..Stats::from(lane.bw_limit())
    }
}

fn queue_kind(lane: &LaneReport) -> Kind<'_> {
    match &lane.queue {
        QueueReport::Fifo { limit_packets } => Kind::Pfifo { limit_packets: *limit_packets },
        QueueReport::Codel(codel) => Kind::Codel {
            codel,
            ecn_marks: lane.shaped_marks_and_refusals().0,
            drop_overlimit: lane.shaped_drops().get(&DropReason::Limit).copied().unwrap_or(0),
        },
        QueueReport::FqCodel(fq_codel) => Kind::FqCodel(fq_codel),
    }
}

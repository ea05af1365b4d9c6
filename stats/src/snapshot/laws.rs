//! What has to be true of every report.

use std::collections::HashMap;

use super::{Former, GroupReport, NodeReport, Snapshot, Totals};
use crate::counters::Volume;
use crate::lane::{ClassReport, LaneReport};

/// A count that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// A packet has no fate, or two.
    #[error("{who}: {taken} {unit} taken are not {sent} sent + {dropped} dropped + {queued} queued")]
    Fates {
        /// Whose count: `all lanes`, or a container's id and a direction.
        who: String,
        /// `packets` or `bytes`.
        unit: &'static str,
        /// Received or offered.
        taken: u64,
        /// Sent.
        sent: u64,
        /// Dropped.
        dropped: u64,
        /// Queued.
        queued: u64,
    },
    /// A packet was sent on nobody's credit, or on that of two.
    #[error("{who}: {charged} packets charged are not {lended} lended + {borrowed} borrowed")]
    Credit {
        /// A container's or a group's id, or `link`, and a direction.
        who: String,
        /// Sent by the lane; of a group or the link, borrowed by its members.
        charged: u64,
        /// Sent on its own credit.
        lended: u64,
        /// Sent on the credit of a node above.
        borrowed: u64,
    },
    /// A group or the link has not sent what its members have.
    #[error("{who}: {sent} {unit} sent are not the {members} that its members sent")]
    Members {
        /// A group's id, or `link`, and a direction.
        who: String,
        /// `packets` or `bytes`.
        unit: &'static str,
        /// Sent by the node.
        sent: u64,
        /// Sent by those directly below it.
        members: u64,
    },
    /// Lanes together, and those that are gone, have not sent or dropped what the line has.
    #[error("all lanes: {lanes} packets {what} are not the {line} of the line")]
    Together {
        /// What became of them.
        what: &'static str,
        /// By the lanes.
        lanes: u64,
        /// By the line.
        line: u64,
    },
}

impl Snapshot {
    /// Checks the laws:
    ///
    /// - all packets, and every lane: received or offered = sent + dropped + queued (of lanes, in bytes too)
    /// - all lanes together, those that are gone included: what they sent and dropped is what the line did, and what their
    ///   packets met with outside of them; if all is of one instant
    /// - every lane: sent = lended + borrowed
    /// - every group and the link: sent is what its members sent, former ones included, and what they borrowed it lended or
    ///   borrowed; this one if all is of one instant
    /// - every observed lane: the same of what it would have sent, dropped and queued
    ///
    /// # Errors
    ///
    /// The first count that does not add up.
    pub fn check(&self) -> Result<(), Unbalanced> {
        let totals = &self.totals;
        balance("all lanes", "packets", totals.received, [totals.sent, totals.dropped, totals.queued])?;
        self.check_direction("ingress", &self.link.ingress, self.ingress(), |group| &group.ingress)?;
        self.check_direction("egress", &self.link.egress, self.egress(), |group| &group.egress)?;
        if self.slices > 1 { Ok(()) } else { self.check_lanes_together() }
    }

    /// The line counts its packets by itself. A lane has sent what the device lost, too.
    fn check_lanes_together(&self) -> Result<(), Unbalanced> {
        let Totals { sent, dropped, unsent, missed, too_long, handoff, ref malformed, .. } = self.totals;
        let elsewhere = malformed.values().copied().chain([missed, too_long, handoff, unsent]);
        let elsewhere = elsewhere.fold(0, u64::saturating_add);
        let lanes = || self.ingress().chain(self.egress()).map(|(_, lane)| lane);
        let together = |gone: u64, of: fn(&LaneReport) -> Volume| {
            lanes().map(of).fold(gone, |sum, volume| sum.saturating_add(volume.packets))
        };
        let by_lanes = [
            ("sent", together(self.gone.sent, LaneReport::sent), sent.saturating_add(unsent)),
            ("dropped", together(self.gone.dropped, LaneReport::dropped), dropped.saturating_sub(elsewhere)),
        ];
        match by_lanes.into_iter().find(|&(_, lanes, line)| lanes != line) {
            Some((what, lanes, line)) => Err(Unbalanced::Together { what, lanes, line }),
            None => Ok(()),
        }
    }

    fn check_direction<'a>(
        &'a self,
        direction: &str,
        link: &'a NodeReport,
        lanes: impl Iterator<Item = (&'a str, &'a LaneReport)>,
        of: impl Fn(&'a GroupReport) -> &'a NodeReport,
    ) -> Result<(), Unbalanced> {
        let mut members: HashMap<Option<&str>, Members> = HashMap::new();
        let parents = self.with_leaving().map(|container| container.group.as_deref()).chain([None]);
        for ((id, lane), parent) in lanes.zip(parents) {
            check_lane(&format!("{id} {direction}"), lane)?;
            members.entry(parent).or_default().add(lane.shaped(), lane.class.borrowed);
        }
        for group in &self.groups {
            let node = of(group);
            members.entry(group.group.as_deref()).or_default().add(node.sent(), node.class.borrowed);
        }
        if self.slices > 1 {
            return Ok(());
        }
        let groups = self.groups.iter().map(|group| (Some(group.id.as_str()), of(group)));
        for (id, node) in groups.chain([(None, link)]) {
            let mut members = members.remove(&id).unwrap_or_default();
            members.add_former(node.former);
            members.check(&format!("{} {direction}", id.unwrap_or("link")), node)?;
        }
        Ok(())
    }
}

/// Sums over what is directly below a node.
#[derive(Default)]
struct Members {
    sent: Volume,
    borrowed: u64,
}

impl Members {
    fn add(&mut self, sent: Volume, borrowed: u64) {
        self.sent = self.sent.plus(sent);
        self.borrowed = self.borrowed.saturating_add(borrowed);
    }

    /// Wraps where the sum of all members, former ones included, does not.
    fn add_former(&mut self, former: Former) {
        self.sent.packets = self.sent.packets.wrapping_add_signed(former.packets);
        self.sent.bytes = self.sent.bytes.wrapping_add_signed(former.bytes);
        self.borrowed = self.borrowed.wrapping_add_signed(former.borrowed);
    }

    fn check(&self, who: &str, node: &NodeReport) -> Result<(), Unbalanced> {
        let (sent, members) = (node.sent(), self.sent);
        for (unit, sent, members) in [("packets", sent.packets, members.packets), ("bytes", sent.bytes, members.bytes)]
        {
            if sent != members {
                return Err(Unbalanced::Members { who: who.to_owned(), unit, sent, members });
            }
        }
        check_credit(who, self.borrowed, &node.class)
    }
}

fn check_lane(who: &str, lane: &LaneReport) -> Result<(), Unbalanced> {
    check_fates(who, lane.offered(), [lane.sent(), lane.dropped(), lane.held()])?;
    if let Some(would) = &lane.would {
        let dropped = Volume { packets: would.drops.values().sum(), bytes: would.dropped_bytes };
        check_fates(&format!("{who}, observed"), lane.offered(), [lane.shaped(), dropped, lane.queued()])?;
    }
    check_credit(who, lane.shaped().packets, &lane.class)
}

fn check_fates(who: &str, offered: Volume, fates: [Volume; 3]) -> Result<(), Unbalanced> {
    balance(who, "packets", offered.packets, fates.map(|fate| fate.packets))?;
    balance(who, "bytes", offered.bytes, fates.map(|fate| fate.bytes))
}

fn check_credit(who: &str, charged: u64, class: &ClassReport) -> Result<(), Unbalanced> {
    let &ClassReport { lended, borrowed, .. } = class;
    if u128::from(lended) + u128::from(borrowed) == u128::from(charged) {
        return Ok(());
    }
    Err(Unbalanced::Credit { who: who.to_owned(), charged, lended, borrowed })
}

fn balance(who: &str, unit: &'static str, taken: u64, fates: [u64; 3]) -> Result<(), Unbalanced> {
    let sum: u128 = fates.into_iter().map(u128::from).sum();
    if sum == u128::from(taken) {
        return Ok(());
    }
    let [sent, dropped, queued] = fates;
    Err(Unbalanced::Fates { who: who.to_owned(), unit, taken, sent, dropped, queued })
}

#[cfg(test)]
mod tests {
    use super::{Snapshot, Volume};
    use crate::counters::DropReason;
    use crate::histogram::LaneHistogram;
    use crate::samples;

    /// What `check` says of the sample after `slip`.
    fn slip(slip: impl FnOnce(&mut Snapshot)) -> String {
        let mut snapshot = samples::grouped();
        assert_eq!(snapshot.check(), Ok(()));
        slip(&mut snapshot);
        snapshot.check().unwrap_err().to_string()
    }

    #[test]
    fn a_packet_without_a_fate_is_noticed() {
        let error = slip(|lost| lost.totals.received += 1);
        assert_eq!(error, "all lanes: 1684 packets taken are not 1339 sent + 344 dropped + 0 queued");
        let error = slip(|lost| lost.containers[0].egress.sent_packets -= 1);
        assert_eq!(error, "web egress: 1500 packets taken are not 1155 sent + 344 dropped + 0 queued");
        let error = slip(|lost| lost.unmatched.ingress.offered_bytes += 1);
        assert_eq!(error, "unmatched ingress: 1 bytes taken are not 0 sent + 0 dropped + 0 queued");
        assert_eq!(samples::snapshot().check(), Ok(()));
    }

    #[test]
    fn an_observed_lane_has_two_books() {
        let observe = |snapshot: &mut Snapshot| {
            let lane = snapshot.containers[0].egress.clone();
            // What it would have dropped has left.
            let dropped = lane.dropped().packets;
            snapshot.totals.sent += dropped;
            snapshot.totals.dropped -= dropped;
            snapshot.containers[0].egress = lane.observed(&LaneHistogram::default(), Volume::default());
        };
        let mut snapshot = samples::grouped();
        observe(&mut snapshot);
        let (lane, queued) = (&snapshot.containers[0].egress, samples::grouped().containers[0].egress.queued());
        assert_eq!((lane.sent(), lane.held(), lane.queued()), (lane.offered(), Volume::default(), queued));
        assert_eq!(snapshot.check(), Ok(()));
        let error = slip(|lost| {
            observe(lost);
            lost.containers[0].egress.would.iter_mut().for_each(|would| would.sent_packets -= 1);
        });
        assert!(error.starts_with("web egress, observed: 1500 packets taken are not 1155 sent + "), "{error}");
        let error = slip(|lost| {
            observe(lost);
            lost.containers[0].egress.drops.insert(DropReason::Codel, 1);
        });
        assert_eq!(error, "web egress: 1500 packets taken are not 1500 sent + 1 dropped + 0 queued");
        let json = serde_json::to_string(&snapshot).unwrap();
        assert!(json.contains("\"mode\":\"observe\"") && serde_json::from_str::<Snapshot>(&json).unwrap() == snapshot);
    }

    #[test]
    fn lanes_and_line_count_the_same_packets() {
        let error = slip(|odd| (odd.totals.sent, odd.totals.dropped) = (odd.totals.sent + 1, odd.totals.dropped - 1));
        assert_eq!(error, "all lanes: 1339 packets sent are not the 1340 of the line");
        let error = slip(|odd| (odd.totals.received, odd.totals.dropped) = (1_684, 345));
        assert_eq!(error, "all lanes: 344 packets dropped are not the 345 of the line");
        let error = slip(|odd| odd.gone.sent = 1);
        assert_eq!(error, "all lanes: 1340 packets sent are not the 1339 of the line");
        let mut apart = samples::grouped();
        (apart.slices, apart.gone.sent) = (2, 1);
        assert_eq!(apart.check(), Ok(()), "lanes are of other instants");
    }

    #[test]
    fn a_packet_without_credit_is_noticed() {
        let error = slip(|free| free.containers[1].egress.class.borrowed -= 1);
        assert_eq!(error, "db egress: 150 packets charged are not 113 lended + 36 borrowed");
        let error = slip(|free| free.groups[0].egress.class.lended += 1);
        assert_eq!(error, "tenant-a egress: 601 packets charged are not 234 lended + 368 borrowed");
        let error = slip(|free| free.link.egress.class.lended = 0);
        assert_eq!(error, "link egress: 368 packets charged are not 0 lended + 0 borrowed");
    }

    #[test]
    fn a_group_must_have_sent_what_its_members_sent() {
        let error = slip(|odd| odd.groups[0].egress.sent_bytes -= 1);
        assert_eq!(error, "tenant-a egress: 1360851 bytes sent are not the 1360852 that its members sent");
        let error = slip(|odd| odd.link.ingress.sent_packets += 1);
        assert_eq!(error, "link ingress: 1 packets sent are not the 0 that its members sent");
        let error = slip(|odd| odd.containers[1].group = None);
        assert_eq!(error, "tenant-a egress: 1306 packets sent are not the 1156 that its members sent");
    }

    #[test]
    fn modes_are_named_as_serialized() {
        use crate::snapshot::Mode;
        for mode in [Mode::ZeroCopy, Mode::Copy, Mode::Generic, Mode::Packet] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("{:?}", mode.as_str()));
        }
    }
}

//! What packets have in common besides their flows: flags, and to how many they are sent.

#[cfg(test)]
mod tests;

use portlane_classify::Link;

use crate::digest::{Digest, Flags, Kind};
use crate::meter::{Side, Traffic};

/// Who a frame is for, if not for the one interface that it was seen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// All.
    Broadcast,
    /// A group.
    Multicast,
    /// Another interface, as the system that captured it said.
    Unicast,
}

impl Cast {
    /// By the address that an Ethernet frame is for (IEEE 802-2014, section 8.2), or by the packet type of a Linux cooked one
    /// (`PACKET_BROADCAST`, `PACKET_MULTICAST` and `PACKET_OTHERHOST` of packet(7)).
    pub(crate) fn of(link: Link, frame: &[u8]) -> Option<Self> {
        let packet_type = match link {
            Link::Ethernet => return Self::of_address(frame.first_chunk()?),
            Link::LinuxSll => u16::from_be_bytes(*frame.first_chunk()?),
            Link::LinuxSll2 => u16::from(*frame.get(10)?),
            Link::Ip => return None,
        };
        [Self::Broadcast, Self::Multicast, Self::Unicast]
            .into_iter()
            .zip(1..)
            .find(|(_, n)| *n == packet_type)
            .map(|(cast, _)| cast)
    }

    fn of_address(address: &[u8; 6]) -> Option<Self> {
        match address {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Some(Self::Broadcast),
            [first, ..] if first & 1 == 1 => Some(Self::Multicast),
            _ => None,
        }
    }
}

/// What packets are counted by in `vtap_packet` and `vtap_packet_edge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    /// TCP with SYN alone.
    Syn,
    /// TCP with SYN and ACK alone.
    SynAck,
    /// TCP with ACK alone.
    Ack,
    /// TCP with PSH and ACK alone.
    PshAck,
    /// TCP with FIN and ACK alone.
    FinAck,
    /// TCP with RST and ACK alone.
    RstAck,
    /// TCP with any other flags.
    OtherFlags,
    /// Frames for all.
    Broadcast,
    /// Frames for a group.
    Multicast,
    /// Frames for another interface.
    Unicast,
}

impl Tag {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Syn,
        Self::SynAck,
        Self::Ack,
        Self::PshAck,
        Self::FinAck,
        Self::RstAck,
        Self::OtherFlags,
        Self::Broadcast,
        Self::Multicast,
        Self::Unicast,
    ];

    /// `tag_type` of `FlowMetrics`: 2 of flags, 3 of who frames are for.
    #[must_use]
    pub const fn kind(self) -> u8 {
        match self {
            Self::Broadcast | Self::Multicast | Self::Unicast => 3,
            _ => 2,
        }
    }

    /// `tag_value` of `FlowMetrics`: the byte of flags, and 255 of others; or a name.
    #[must_use]
    pub const fn value(self) -> &'static str {
        match self {
            Self::Syn => "2",
            Self::SynAck => "18",
            Self::Ack => "16",
            Self::PshAck => "24",
            Self::FinAck => "17",
            Self::RstAck => "20",
            Self::OtherFlags => "255",
            Self::Broadcast => "broadcast",
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
        }
    }

    /// Those of a packet: one for its flags and one for who it is for, as far as it has them.
    pub(crate) fn of(digest: &Digest) -> impl Iterator<Item = Self> + use<> {
        let flags = match digest.kind {
            Kind::Tcp(segment) => Some(Self::of_flags(segment.flags)),
            _ => None,
        };
        let cast = digest.cast.map(|cast| match cast {
            Cast::Broadcast => Self::Broadcast,
            Cast::Multicast => Self::Multicast,
            Cast::Unicast => Self::Unicast,
        });
        flags.into_iter().chain(cast)
    }

    fn of_flags(flags: Flags) -> Self {
        const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
        const PSH_ACK: Flags = Flags::PSH.with(Flags::ACK);
        const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
        const RST_ACK: Flags = Flags::RST.with(Flags::ACK);
        match flags {
            Flags::SYN => Self::Syn,
            SYN_ACK => Self::SynAck,
            Flags::ACK => Self::Ack,
            PSH_ACK => Self::PshAck,
            FIN_ACK => Self::FinAck,
            RST_ACK => Self::RstAck,
            _ => Self::OtherFlags,
        }
    }
}

/// In 32 bits, for every flow has twenty of these.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    packets: u32,
    bytes: u32,
    l3_bytes: u32,
    l4_bytes: u32,
}

/// What a flow's packets of a second had in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tagged {
    /// One bit for each tag that was counted.
    used: u16,
    /// By tag, then by side, the client's first.
    counts: [[Count; 2]; Tag::ALL.len()],
}

impl Tagged {
    /// Whether another packet can be counted before what there is has been [taken](Self::take).
    pub(crate) fn has_room_for(&self, digest: &Digest, side: Side) -> bool {
        Tag::of(digest).all(|tag| {
            let Count { packets, bytes, .. } = self.counts[tag as usize][side as usize];
            // The other bytes are some of these.
            packets < u32::MAX && bytes.checked_add(digest.frame_bytes).is_some()
        })
    }

    /// Counts a packet.
    pub(crate) fn count(&mut self, digest: &Digest, side: Side) {
        for tag in Tag::of(digest) {
            self.used |= 1 << tag as u16;
            let count = &mut self.counts[tag as usize][side as usize];
            count.packets = count.packets.saturating_add(1);
            count.bytes = count.bytes.saturating_add(digest.frame_bytes);
            count.l3_bytes = count.l3_bytes.saturating_add(digest.l3_bytes);
            count.l4_bytes = count.l4_bytes.saturating_add(digest.l4_bytes);
        }
    }

    /// Gives out what was counted; then nothing is.
    pub(crate) fn take(&mut self, mut out: impl FnMut(Tag, &Traffic)) {
        let used = std::mem::take(&mut self.used);
        for tag in Tag::ALL.into_iter().filter(|&tag| used >> tag as u16 & 1 == 1) {
            let mut traffic = Traffic::default();
            let counts = std::mem::take(&mut self.counts[tag as usize]);
            for (side, count) in [Side::Client, Side::Server].into_iter().zip(counts) {
                traffic.packet.add(side, count.packets.into());
                traffic.byte.add(side, count.bytes.into());
                traffic.l3_byte.add(side, count.l3_bytes.into());
                traffic.l4_byte.add(side, count.l4_bytes.into());
            }
            out(tag, &traffic);
        }
    }
}

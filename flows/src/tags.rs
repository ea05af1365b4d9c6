//! What packets have in common besides their flows: flags, and to how many they are sent.

#[cfg(test)]
mod tests;

use portlane_classify::Link;
use portlane_hint::prefetch_at;

use crate::digest::{Digest, Flags, Kind, TCP};
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

    /// [`kind`](Self::kind) of those that are flags.
    const FLAGS: u8 = 2;

    /// `tag_type` of `FlowMetrics`: 2 of flags, 3 of who frames are for.
    #[must_use]
    pub const fn kind(self) -> u8 {
        match self {
            Self::Broadcast | Self::Multicast | Self::Unicast => 3,
            _ => Self::FLAGS,
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

    fn of_cast(cast: Cast) -> Self {
        match cast {
            Cast::Broadcast => Self::Broadcast,
            Cast::Multicast => Self::Multicast,
            Cast::Unicast => Self::Unicast,
        }
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

/// Where packets of TCP are counted of which no flags were captured: those with ACK alone are counted nowhere.
const NO_FLAGS: usize = Tag::Ack as usize;

/// Places of [`Tagged`], one bit for each: where a packet is counted, by its flags and by who it is for; or where something was. That is kept
/// with a flow, so that nobody looks there in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places(u16);

impl Places {
    /// Those of a packet: none of most.
    #[inline]
    pub(crate) fn of(digest: &Digest) -> Self {
        let flags = match digest.kind {
            Kind::Tcp(segment) if segment.flags == Flags::ACK => 0,
            Kind::Tcp(segment) => 1 << Tag::of_flags(segment.flags) as u16,
            _ => u16::from(digest.protocol == TCP) << NO_FLAGS,
        };
        Self(flags | digest.cast.map_or(0, |cast| 1 << Tag::of_cast(cast) as u16))
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let place = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (place < Tag::ALL.len()).then_some(place)
        })
    }
}

/// What a flow's packets of a second had in common.
///
/// Segments with ACK alone, of which there are most, are not counted one by one: they are what a flow of TCP has sent besides all
/// others. So most packets take no look at these counts, which are far from the rest of a flow.
#[derive(Clone, Debug, Default)]
#[repr(align(64))] // Both sides of a place are in one line of the cache.
pub(crate) struct Tagged {
    /// By tag, then by side, the client's first.
    counts: [[Count; 2]; Tag::ALL.len()],
}

impl Tagged {
    /// Counts a packet, and says in `used` where; false if there is no room for it before what there is has been [taken](Self::take).
    pub(crate) fn count(&mut self, used: &mut Places, places: Places, digest: &Digest, side: Side) -> bool {
        let has_room = |place: usize| {
            let Count { packets, bytes, .. } = self.counts[place][side as usize];
            // The other bytes are some of these.
            packets < u32::MAX && bytes.checked_add(digest.frame_bytes).is_some()
        };
        if !places.iter().all(has_room) {
            return false;
        }
        used.0 |= places.0;
        for place in places.iter() {
            let count = &mut self.counts[place][side as usize];
            count.packets = count.packets.saturating_add(1);
            count.bytes = count.bytes.saturating_add(digest.frame_bytes);
            count.l3_bytes = count.l3_bytes.saturating_add(digest.l3_bytes);
            count.l4_bytes = count.l4_bytes.saturating_add(digest.l4_bytes);
        }
        true
    }

    /// Starts to bring what is counted in these places into the cache.
    pub(crate) fn prefetch(&self, places: Places) {
        places.iter().for_each(|place| prefetch_at(&self.counts, place));
    }

    /// Gives out what was counted; then nothing is. `segments` is all that was counted of a flow of TCP since the last time.
    pub(crate) fn take(&mut self, used: Places, segments: Option<Traffic>, mut out: impl FnMut(Tag, &Traffic)) {
        let mut rest = segments;
        for place in used.iter() {
            let tag = Tag::ALL[place];
            let traffic = traffic(std::mem::take(&mut self.counts[place]));
            if tag.kind() == Tag::FLAGS {
                rest = rest.map(|rest| rest.without(&traffic));
            }
            if place != NO_FLAGS {
                out(tag, &traffic);
            }
        }
        if let Some(rest) = rest.filter(|rest| rest.packet.sum() > 0) {
            out(Tag::Ack, &rest);
        }
    }
}

fn traffic(counts: [Count; 2]) -> Traffic {
    let mut traffic = Traffic::default();
    for (side, count) in [Side::Client, Side::Server].into_iter().zip(counts) {
        traffic.packet.add(side, count.packets.into());
        traffic.byte.add(side, count.bytes.into());
        traffic.l3_byte.add(side, count.l3_bytes.into());
        traffic.l4_byte.add(side, count.l4_bytes.into());
    }
    traffic
}

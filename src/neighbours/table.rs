//! The host's neighbour table, by netlink (rtnetlink(7)).

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::Conversation;

/// A neighbour with a hardware address that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) hardware: [u8; 6],
    /// Forwards packets (RFC 4861, section 4.4).
    pub(super) is_router: bool,
    /// Has not been heard of for a while.
    pub(super) is_stale: bool,
}

/// The neighbours of one interface.
pub(super) struct NeighbourTable {
    kernel: Conversation,
    interface: u32,
}

impl NeighbourTable {
    pub(super) fn of(interface: u32) -> io::Result<Self> {
        let kernel = Conversation::open()?;
        // The kernel has answered when a request has been sent: nothing is ever waited for.
        kernel.never_wait()?;
        Ok(Self { kernel, interface })
    }

    /// What is known of an address; `None` if it is not, or not yet.
    pub(super) fn find(&mut self, address: IpAddr) -> io::Result<Option<Neighbour>> {
        let request = self.message(address);
        self.kernel.send(RouteNetlinkMessage::GetNeighbour(request), NLM_F_REQUEST)?;
        loop {
            let bytes = self.kernel.datagram()?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).map_err(io::Error::other)?;
            if !self.kernel.is_answer(&answer) {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(found)) => Ok(neighbour(&found)),
                // That there is none.
                _ => Ok(None),
            };
        }
    }

    /// Has the kernel find out, as if it had something to send there (`NTF_USE`).
    pub(super) fn look_for(&mut self, address: IpAddr) -> io::Result<()> {
        let mut request = self.message(address);
        request.header.flags = NeighbourFlags::Use;
        self.kernel.send(RouteNetlinkMessage::NewNeighbour(request), NLM_F_REQUEST | NLM_F_CREATE)
    }

    fn message(&self, address: IpAddr) -> NeighbourMessage {
        let (family, address) = match address {
            IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
            IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
        };
        let mut message = NeighbourMessage::default();
        message.header.family = family;
        message.header.ifindex = self.interface;
        message.attributes.push(NeighbourAttribute::Destination(address));
        message
    }
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let state = message.header.state;
    let is_unknown = matches!(
        state,
        NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None | NeighbourState::Other(_)
    );
    let hardware = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(address) => address.as_slice().try_into().ok(),
        _ => None,
    })?;
    (!is_unknown).then_some(Neighbour {
        hardware,
        is_router: message.header.flags.contains(NeighbourFlags::Router),
        is_stale: state == NeighbourState::Stale,
    })
}

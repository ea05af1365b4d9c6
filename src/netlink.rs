//! Talking with the kernel by rtnetlink(7): one question, and what it answers to that.

use std::io;

use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// A socket, and the number of the question asked last.
pub(crate) struct Conversation {
    socket: Socket,
    sequence: u32,
}

impl Conversation {
    /// About the network namespace of the calling thread; from then on it may be used by any.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// From now on [`datagram`](Self::datagram) fails with `WouldBlock` instead of waiting.
    pub(crate) fn never_wait(&self) -> io::Result<()> {
        self.socket.set_non_blocking(true)
    }

    /// Asks something, or orders it.
    pub(crate) fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// The next of the kernel's datagrams: messages one behind the other.
    pub(crate) fn datagram(&self) -> io::Result<Vec<u8>> {
        self.socket.recv_from_full().map(|(datagram, _)| datagram)
    }

    /// Whether a message is about what was asked last.
    pub(crate) fn is_answer(&self, message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
        message.header.sequence_number == self.sequence
    }
}

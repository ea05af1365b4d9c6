//! Talking with the kernel by netlink(7): one question, and what it answers to that.

use std::io;
use std::marker::PhantomData;

use netlink_packet_core::{NetlinkDeserializable, NetlinkMessage, NetlinkPayload, NetlinkSerializable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_sys::protocols::{NETLINK_ROUTE, NETLINK_SOCK_DIAG};
use netlink_sys::{Socket, SocketAddr};

/// A socket, and the number of the question asked last.
pub(crate) struct Conversation<M = RouteNetlinkMessage> {
    socket: Socket,
    sequence: u32,
    messages: PhantomData<M>,
}

impl Conversation {
    /// About the network namespace of the calling thread (rtnetlink(7)); from then on it may be used by any.
    pub(crate) fn open() -> io::Result<Self> {
        Self::with(NETLINK_ROUTE)
    }
}

impl Conversation<SockDiagMessage> {
    /// About the sockets there (sock_diag(7)).
    pub(crate) fn about_sockets() -> io::Result<Self> {
        Self::with(NETLINK_SOCK_DIAG)
    }
}

impl<M> Conversation<M> {
    fn with(protocol: isize) -> io::Result<Self> {
        let socket = Socket::new(protocol)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0, messages: PhantomData })
    }

    /// From now on [`datagram`](Self::datagram) fails with `WouldBlock` instead of waiting.
    pub(crate) fn never_wait(&self) -> io::Result<()> {
        self.socket.set_non_blocking(true)
    }

    /// The next of the kernel's datagrams: messages one behind the other.
    pub(crate) fn datagram(&self) -> io::Result<Vec<u8>> {
        self.socket.recv_from_full().map(|(datagram, _)| datagram)
    }

    /// Whether a message is about what was asked last.
    pub(crate) fn is_answer(&self, message: &NetlinkMessage<M>) -> bool {
        message.header.sequence_number == self.sequence
    }
}

impl<M: NetlinkSerializable + Into<NetlinkPayload<M>>> Conversation<M> {
    /// Asks something, or orders it.
    pub(crate) fn send(&mut self, message: M, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }
}

impl<M: NetlinkDeserializable> Conversation<M> {
    /// Reads until the kernel has said that this was all. What cannot be read (a later kernel may say more) is passed over.
    pub(crate) fn answers(&self, mut take: impl FnMut(M)) -> io::Result<()> {
        self.answers_while(|answer| {
            take(answer);
            true
        })
    }

    /// The same, until `take` says that this is enough. Then the rest is still to be read.
    pub(crate) fn answers_while(&self, mut take: impl FnMut(M) -> bool) -> io::Result<()> {
        loop {
            let datagram = self.datagram()?;
            let mut rest = &datagram[..];
            while let Some(length) = rest.first_chunk::<4>().map(|&length| u32::from_ne_bytes(length) as usize) {
                let Some(bytes) = rest.get(..length).filter(|_| length > 0) else { break };
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                let Ok(answer) = NetlinkMessage::<M>::deserialize(bytes) else { continue };
                if !self.is_answer(&answer) {
                    continue;
                }
                let goes_on = match answer.payload {
                    NetlinkPayload::InnerMessage(message) => take(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => false,
                    _ => true,
                };
                if !goes_on {
                    return Ok(());
                }
            }
        }
    }
}

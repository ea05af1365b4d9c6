//! Where packets arrive, with the kernel's own timestamps.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use portlane::netns::Namespace;

use crate::virtual_time::{HEADERS, Packet, Tag};

/// A UDP socket. Its timestamps are taken where the interface hands packets in: on a veth, while the other end sends
/// them, so they are times of departure.
pub(crate) struct Sink {
    socket: UdpSocket,
}

impl Sink {
    pub(crate) fn open(namespace: &Namespace, address: (Ipv4Addr, u16), buffer: usize) -> Self {
        let socket = namespace.within(|| UdpSocket::bind(address)).unwrap().unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &buffer).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { socket }
    }

    /// All packets, until there are none and all have left.
    pub(crate) fn receive(&self, all_left: &AtomicBool) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            let ended = all_left.load(Ordering::Acquire);
            match self.next() {
                Ok(packet) => packets.push(packet),
                Err(error) if error == Errno::EAGAIN && ended => return packets,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn next(&self) -> nix::Result<Packet> {
        let mut bytes = [0; 2_048];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let mut control = cmsg_space!(TimeSpec);
        let message =
            recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())?;
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
            _ => None,
        });
        let stamp = stamp.expect("the socket was asked for timestamps");
        let (port, len) = (message.address.unwrap().port(), message.bytes);
        let time_ns = Duration::from(stamp).as_nanos().try_into().unwrap();
        let len = u32::try_from(len + HEADERS).unwrap();
        Ok(Packet { time_ns, len, port, ecn: 0, tag: Tag::of(&bytes).unwrap() })
    }
}

//! What the kernel says about a network interface.
//!
//! Asked of the network namespace that the calling thread is in, by ioctl: /sys may show another namespace's.
#![allow(unsafe_code, reason = "ioctl and setsockopt")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// `ETHTOOL_GCHANNELS` of `linux/ethtool.h`.
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_channels` of `linux/ethtool.h`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// A network interface, as it was when asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The number by which the kernel knows it.
    pub index: u32,
    /// True if it is administratively up.
    pub up: bool,
    /// Largest network-layer packet, in bytes; the Ethernet header comes on top.
    pub mtu: u32,
    /// Receive queues that share work with a transmit queue; 0 if the driver keeps the two apart.
    pub combined_queues: u32,
    /// Receive queues, the combined ones included; at least 1.
    pub receive_queues: u32,
    /// Ethernet address.
    pub address: [u8; 6],
    /// What its frames start with: an ARPHRD_ number of `linux/if_arp.h`.
    pub hardware: u16,
}

impl Interface {
    /// Asks about the interface called `name` in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is none.
    pub fn query(name: &str) -> io::Result<Self> {
        let kernel = Kernel::of(name)?;
        let index = kernel.ask(libc::SIOCGIFINDEX)?;
        let flags = kernel.ask(libc::SIOCGIFFLAGS)?;
        let mtu = kernel.ask(libc::SIOCGIFMTU)?;
        let hardware = kernel.ask(libc::SIOCGIFHWADDR)?;
        // SAFETY: SIOCGIFINDEX fills in this member; each is plain data.
        let index = unsafe { index.ifr_ifru.ifru_ifindex };
        // SAFETY: as above, for SIOCGIFFLAGS.
        let flags = unsafe { flags.ifr_ifru.ifru_flags };
        // SAFETY: as above, for SIOCGIFMTU.
        let mtu = unsafe { mtu.ifr_ifru.ifru_mtu };
        // SAFETY: as above, for SIOCGIFHWADDR.
        let hardware = unsafe { hardware.ifr_ifru.ifru_hwaddr };
        let channels = kernel.channels();
        Ok(Self {
            name: name.to_owned(),
            index: index.cast_unsigned(),
            up: libc::c_int::from(flags) & libc::IFF_UP != 0,
            mtu: mtu.cast_unsigned(),
            combined_queues: channels.combined,
            receive_queues: (channels.rx + channels.combined).max(1),
            address: std::array::from_fn(|byte| hardware.sa_data[byte].to_ne_bytes()[0]),
            hardware: hardware.sa_family,
        })
    }
}

/// A socket of the calling thread's namespace, and the interface to ask about.
#[derive(Debug)]
pub(super) struct Kernel<'a> {
    socket: UnixDatagram,
    name: &'a str,
}

impl<'a> Kernel<'a> {
    pub(super) fn of(name: &'a str) -> io::Result<Self> {
        Ok(Self { socket: UnixDatagram::unbound()?, name })
    }

    /// A command of ethtool: its number, what it asks, and room for all that it answers.
    pub(super) fn ethtool(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = self.request()?;
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        self.ioctl(libc::SIOCETHTOOL, &mut request)
    }

    fn request(&self) -> io::Result<libc::ifreq> {
        // SAFETY: all members are plain data for which zero is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // One byte is left for the zero at the end; no interface has a longer name.
        if self.name.len() >= request.ifr_name.len() || self.name.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(self.name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        Ok(request)
    }

    fn ask(&self, code: libc::c_ulong) -> io::Result<libc::ifreq> {
        let mut request = self.request()?;
        self.ioctl(code, &mut request)?;
        Ok(request)
    }

    /// How many queues there are; all 0 if the driver does not say.
    fn channels(&self) -> Channels {
        let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
        let asked = self.request().and_then(|mut request| {
            request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut channels).cast();
            self.ioctl(libc::SIOCETHTOOL, &mut request)
        });
        if asked.is_ok() { channels } else { Channels::default() }
    }

    fn ioctl(&self, code: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: every code used here reads and writes one `ifreq`, and SIOCETHTOOL what that points to: `Channels`, or words
        // of which there are as many as the command in the first of them reads and writes.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), code, request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Keeps an interface in promiscuous mode: a wire carries frames to addresses that are not its own.
///
/// It is the membership of a packet socket that never receives; the kernel takes it back with the socket, however the
/// process dies.
#[derive(Debug)]
pub(crate) struct Promiscuous {
    _socket: OwnedFd,
}

impl Promiscuous {
    pub(crate) fn new(interface: u32) -> io::Result<Self> {
        let socket = deaf_packet_socket()?;
        let membership = libc::packet_mreq {
            mr_ifindex: interface.cast_signed(),
            mr_type: u16::try_from(libc::PACKET_MR_PROMISC).expect("it is 1"),
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let size = libc::socklen_t::try_from(size_of_val(&membership)).expect("a few bytes");
        // SAFETY: the kernel reads `size` bytes of `membership`.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                std::ptr::from_ref(&membership).cast(),
                size,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { _socket: socket }) }
    }
}

/// A packet socket that never receives.
pub(crate) fn deaf_packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor, touches no memory. Protocol 0: it gets no packets.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Has a packet socket send by one interface, and receive from it what is of `protocol` (an ETH_P_ number); of 0 nothing.
pub(crate) fn bind_to(socket: &OwnedFd, interface: u32, protocol: u16) -> io::Result<()> {
    let (address, size) = link_address(interface, protocol);
    // SAFETY: the kernel reads `size` bytes of `address`.
    let result = unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An interface as an address of packet sockets, and the size of that.
pub(super) fn link_address(interface: u32, protocol: u16) -> (libc::sockaddr_ll, libc::socklen_t) {
    // SAFETY: all members are plain data for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).expect("it is 17");
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface.cast_signed();
    (address, libc::socklen_t::try_from(size_of_val(&address)).expect("a few bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known() {
        let loopback = Interface::query("lo").unwrap();
        assert_eq!((loopback.name.as_str(), loopback.index, loopback.address), ("lo", 1, [0; 6]));
        assert_eq!((loopback.receive_queues, loopback.combined_queues), (1, 0));
    }

    #[test]
    fn names_that_no_interface_can_have_are_not_found() {
        for name in ["", "no-such-name", "a-name-that-is-longer-than-any", "l\0o"] {
            assert_eq!(Interface::query(name).unwrap_err().raw_os_error(), Some(libc::ENODEV), "{name:?}");
        }
    }
}

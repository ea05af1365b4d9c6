//! What containers ask on their link: who has an address?
#![allow(unsafe_code, reason = "a packet socket")]

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

use super::interface::{deaf_packet_socket, link_address};
use super::socket;
use super::steering::Steering;

/// A container asks for a neighbour's hardware address: an ARP request, or a neighbour solicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// Whose hardware address is asked for.
    pub target: IpAddr,
    /// Who asks; unspecified (all zeros) for somebody who would like to have the address.
    pub sender: IpAddr,
    /// The Ethernet address of who asks.
    pub hardware: [u8; 6],
    /// The index of the host's interface that it was asked on.
    pub interface: u32,
}

impl Solicitation {
    /// Reads `struct solicitation` of `bpf/solicitation.h`.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (target, rest) = address(bytes)?;
        let (sender, rest) = address(rest)?;
        let (hardware, rest) = rest.split_first_chunk::<8>()?;
        let [hardware @ .., _, _] = *hardware;
        Some(Self { target, sender, hardware, interface: u32::from_ne_bytes(*rest.first_chunk()?) })
    }
}

/// Reads `struct address` of `bpf/headers.h`; returns what follows it, too.
pub(super) fn address(bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (version, rest) = bytes.split_first_chunk::<4>()?;
    let (octets, rest) = rest.split_first_chunk::<16>()?;
    let address = match u32::from_ne_bytes(*version) {
        4 => IpAddr::from(*octets.first_chunk::<4>()?),
        6 => IpAddr::from(*octets),
        _ => return None,
    };
    Some((address, rest))
}

/// What containers ask, and how they are answered: the program hands on who is asked for, and the answer goes out by a packet
/// socket, on the interface where it was asked.
///
/// Not from the program itself: the end of a veth pair that knows nothing of XDP drops frames that a program sends back.
pub struct Solicitations {
    ring: RingBuf<MapData>,
    socket: OwnedFd,
}

impl Solicitations {
    pub(super) fn new(steering: &mut Steering) -> io::Result<Self> {
        Ok(Self { ring: steering.take_solicitations()?, socket: deaf_packet_socket()? })
    }

    /// Waits until something has been asked, at most for `timeout`. True if something has.
    ///
    /// # Errors
    ///
    /// What ppoll(2) says.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        socket::poll_readable(&[self.ring.as_fd().as_raw_fd()], timeout)
    }

    /// The next thing asked; `None` if nothing is.
    pub fn next_asked(&mut self) -> Option<Solicitation> {
        while let Some(entry) = self.ring.next() {
            if let Some(asked) = Solicitation::read(&entry) {
                return Some(asked);
            }
        }
        None
    }

    /// Sends an Ethernet frame to who has asked.
    ///
    /// # Errors
    ///
    /// What sendto(2) says: of an interface that is gone `ENXIO`.
    pub fn answer(&self, asked: &Solicitation, frame: &[u8]) -> io::Result<()> {
        let (address, size) = link_address(asked.interface, 0);
        // SAFETY: the kernel reads the bytes of `frame`, and `size` bytes of `address`.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                std::ptr::from_ref(&address).cast(),
                size,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl fmt::Debug for Solicitations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Solicitations").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_writes_is_read() {
        let address = |version: u32, octets: &[u8]| {
            let mut bytes = version.to_ne_bytes().to_vec();
            bytes.extend_from_slice(octets);
            bytes.resize(20, 0);
            bytes
        };
        let rest = [&[2, 0, 0, 0, 0, 1, 0, 0][..], &7_u32.to_ne_bytes()].concat();
        let entry = [address(4, &[10, 0, 0, 2]), address(4, &[10, 0, 0, 1]), rest].concat();
        let (target, sender) = (IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 1]));
        let expected = Solicitation { target, sender, hardware: [2, 0, 0, 0, 0, 1], interface: 7 };
        assert_eq!(Solicitation::read(&entry), Some(expected));
        assert_eq!(Solicitation::read(&entry[..51]), None);
        assert_eq!(Solicitation::read(&[address(5, &[]), entry].concat()), None);
    }
}

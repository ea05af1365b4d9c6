//! Packet sockets: the system calls, each for a batch of frames.
#![allow(unsafe_code, reason = "system calls on memory that a device holds")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::Frame;
use crate::af_xdp::{Promiscuous, bind_to, deaf_packet_socket};
use crate::area::Area;

/// Frames in one system call, at most.
pub(super) const BATCH: usize = 64;

/// A frame that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Bytes that it has, the tag apart: more than there was room for if it was cut.
    pub(super) len: u32,
    /// Sent by this host, not received.
    pub(super) outgoing: bool,
    /// The VLAN tag that the kernel has taken out of it.
    pub(super) tag: Option<Tag>,
}

/// A VLAN tag: the protocol that names it, and its priority and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) protocol: u16,
    pub(super) control: u16,
}

/// What a packet socket has lost since it was asked last: `struct tpacket_stats`.
#[repr(C)]
#[derive(Default)]
struct Counted {
    /// Those dropped included.
    packets: u32,
    dropped: u32,
}

/// What the kernel says beside a frame.
#[repr(C)]
struct Beside {
    from: libc::sockaddr_ll,
    control: Control,
}

/// One control message, as `CMSG_DATA` would find it.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    data: libc::tpacket_auxdata,
}

/// A packet socket on one interface.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    _promiscuous: Promiscuous,
}

impl Socket {
    /// Opens a socket on an interface; frames arrive from then on, up to `buffer` bytes of them.
    pub(super) fn open(interface: u32, buffer: u32) -> io::Result<Self> {
        let descriptor = deaf_packet_socket()?;
        let promiscuous = Promiscuous::new(interface)?;
        let socket = Self { descriptor, _promiscuous: promiscuous };
        socket.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
        // Linux before 4.20 does not know it: there, frames that were sent are told by their address.
        let _ = socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32);
        let buffer = i32::try_from(buffer).unwrap_or(i32::MAX);
        // Beyond the system's bound with CAP_NET_ADMIN alone.
        socket
            .set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &buffer)
            .or_else(|_| socket.set(libc::SOL_SOCKET, libc::SO_RCVBUF, &buffer))?;
        bind_to(&socket.descriptor, interface, u16::try_from(libc::ETH_P_ALL).expect("it is 3"))?;
        Ok(socket)
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Lets nothing more arrive. What has arrived can still be received.
    pub(super) fn stop_taking(&self) -> io::Result<()> {
        /// `BPF_RET | BPF_K` of `linux/filter.h`.
        const RETURN: u16 = 0x06;
        // Keeps no byte of any frame, so the kernel keeps no frame.
        let mut nothing = libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 };
        let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Packets dropped, for lack of room, since this was asked last.
    pub(super) fn dropped(&self) -> io::Result<u32> {
        let mut counted = Counted::default();
        let mut size = size_of_length(&counted);
        let value = ptr::from_mut(&mut counted).cast();
        // SAFETY: the kernel writes at most `size` bytes, numbers all, to `counted`.
        let result = unsafe {
            libc::getsockopt(self.descriptor(), libc::SOL_PACKET, libc::PACKET_STATISTICS, value, &raw mut size)
        };
        checked(result).map(|_| counted.dropped)
    }

    /// Whether the interface is up; `ENODEV` if it is gone, or in another network namespace.
    pub(super) fn is_up(&self, interface: u32) -> io::Result<bool> {
        // SAFETY: all members are plain data for which zero is a value.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        request.ifr_ifru.ifru_ifindex = interface.cast_signed();
        // It may have been renamed.
        self.ioctl(libc::SIOCGIFNAME, &mut request)?;
        self.ioctl(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: SIOCGIFFLAGS fills in this member, plain data.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
    }

    fn ioctl(&self, code: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: both codes read and write one `ifreq`.
        let result = unsafe { libc::ioctl(self.descriptor(), code, request) };
        checked(result).map(drop)
    }

    /// Receives into frames, which are of `area` and held by the caller, and says of each that came what it is.
    pub(super) fn receive(&self, area: &mut Area, frames: &[Frame], each: impl FnMut(Arrived)) -> io::Result<()> {
        // SAFETY: plain data for which zero is a value.
        let mut said: [Beside; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut parts: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above; null pointers of length 0.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let places = parts.iter_mut().zip(&mut said);
        for ((message, (part, beside)), frame) in messages.iter_mut().zip(places).zip(frames) {
            let bytes = area.slice_mut(frame.address, frame.len());
            *part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            let header = &mut message.msg_hdr;
            (header.msg_iov, header.msg_iovlen) = (part, 1);
            (header.msg_name, header.msg_namelen) =
                (ptr::from_mut(&mut beside.from).cast(), size_of_length(&beside.from));
            (header.msg_control, header.msg_controllen) =
                (ptr::from_mut(&mut beside.control).cast(), size_of::<Control>());
        }
        let count = libc::c_uint::try_from(frames.len().min(BATCH)).expect("it is at most 64");
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: each of the `count` messages points to one part, which is the memory of a frame that the caller holds, and
        // to what is said beside it; all outlive the call, and the kernel writes no more than the given lengths.
        let received =
            unsafe { libc::recvmmsg(self.descriptor(), messages.as_mut_ptr(), count, flags as _, ptr::null_mut()) };
        let received = checked(received)?;
        messages.iter().zip(&said).take(received).map(|(message, beside)| beside.arrived(message)).for_each(each);
        Ok(())
    }

    /// Sends frames, which are of `area` and held by the caller, until one cannot be sent: how many were sent, or why the
    /// first was not.
    pub(super) fn send(&self, area: &Area, frames: &[Frame]) -> io::Result<usize> {
        // SAFETY: plain data for which zero is a value.
        let mut parts: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above; null pointers of length 0.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for ((message, part), frame) in messages.iter_mut().zip(&mut parts).zip(frames) {
            let bytes = area.slice(frame.address, frame.len());
            *part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (part, 1);
        }
        let count = libc::c_uint::try_from(frames.len().min(BATCH)).expect("it is at most 64");
        // SAFETY: each of the `count` messages points to one part, which is the packet of a frame that the caller holds; the
        // kernel reads them, and has copied what it keeps when the call ends.
        let sent = unsafe { libc::sendmmsg(self.descriptor(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
        checked(sent)
    }

    fn set<T>(&self, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
        let size = size_of_length(value);
        // SAFETY: the kernel reads `size` bytes of `value`, and what that points to outlives the call.
        let result = unsafe { libc::setsockopt(self.descriptor(), level, name, ptr::from_ref(value).cast(), size) };
        checked(result).map(drop)
    }
}

impl Beside {
    fn arrived(&self, message: &libc::mmsghdr) -> Arrived {
        Arrived {
            len: message.msg_len,
            outgoing: self.from.sll_pkttype == libc::PACKET_OUTGOING,
            tag: self.control.tag(message.msg_hdr.msg_controllen),
        }
    }
}

impl Control {
    /// The tag, if the kernel has written `len` bytes.
    fn tag(&self, len: usize) -> Option<Tag> {
        let Self { header, data } = self;
        let is_told = len >= size_of::<Self>()
            && (header.cmsg_level, header.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA)
            && data.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
        let is_named = data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        // Linux before 3.14 knows no other than 802.1Q.
        let protocol = if is_named { data.tp_vlan_tpid } else { 0x8100 };
        is_told.then_some(Tag { protocol, control: data.tp_vlan_tci })
    }
}

/// What a system call returns, which is negative if it failed.
fn checked(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn size_of_length<T>(value: &T) -> libc::socklen_t {
    length(size_of_val(value))
}

fn length(bytes: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(bytes).expect("a few bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(status: u32, protocol: u16) -> Control {
        // SAFETY: plain data for which zero is a value.
        let mut control: Control = unsafe { mem::zeroed() };
        (control.header.cmsg_level, control.header.cmsg_type) = (libc::SOL_PACKET, libc::PACKET_AUXDATA);
        (control.data.tp_status, control.data.tp_vlan_tpid, control.data.tp_vlan_tci) = (status, protocol, 0x6007);
        control
    }

    #[test]
    fn a_control_message_is_where_the_kernel_writes_it() {
        // SAFETY: arithmetic alone.
        let space = unsafe { libc::CMSG_SPACE(length(size_of::<libc::tpacket_auxdata>())) };
        assert!(mem::offset_of!(Control, data) == size_of::<libc::cmsghdr>() && size_of::<Control>() <= space as usize);
        // SAFETY: as above.
        let len = unsafe { libc::CMSG_LEN(length(size_of::<libc::tpacket_auxdata>())) };
        assert_eq!(mem::offset_of!(Control, data) + size_of::<libc::tpacket_auxdata>(), len as usize);
    }

    #[test]
    fn a_tag_is_there_if_the_kernel_says_so() {
        let valid = libc::TP_STATUS_VLAN_VALID;
        let named = valid | libc::TP_STATUS_VLAN_TPID_VALID;
        let tag = |protocol| Some(Tag { protocol, control: 0x6007 });
        let whole = size_of::<Control>();
        assert_eq!(control(named, 0x88a8).tag(whole), tag(0x88a8));
        assert_eq!(control(valid, 0).tag(whole), tag(0x8100));
        assert_eq!(control(0, 0x8100).tag(whole), None);
        assert_eq!(control(named, 0x8100).tag(whole - 1), None, "it was cut");
        let mut other = control(named, 0x8100);
        other.header.cmsg_type = 0;
        assert_eq!(other.tag(whole), None);
    }
}

//! How long connections' packets and their answers take, as the kernel has measured it.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use nix::libc::ENOENT;

use crate::netlink::Conversation;

/// So many connections are read of each family. The kernel names them in the order of a hash of its own, so the first are as good a sample
/// as any.
const MOST: usize = 4_096;

/// Where `tcpi_rtt` is in `struct tcp_info` (`linux/tcp.h`), which is longer with each kernel and begins with the same.
const RTT_AT: usize = 68;

/// The kernel's smoothed round-trip times in microseconds, of TCP connections in the network namespace of the calling thread that have one.
pub(super) fn all(has_v4: bool, has_v6: bool) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    let families = [(has_v4, AF_INET, SocketId::new_v4()), (has_v6, AF_INET6, SocketId::new_v6())];
    for (_, family, socket_id) in families.into_iter().filter(|&(is_there, ..)| is_there) {
        match of_family(family, socket_id, &mut found) {
            // A kernel without this family.
            Err(cause) if cause.raw_os_error() == Some(ENOENT) => {}
            read => read?,
        }
    }
    Ok(found)
}

fn of_family(family: u8, socket_id: SocketId, found: &mut Vec<u32>) -> io::Result<()> {
    // Others have not exchanged anything, or have forgotten what.
    let states = StateFlags::ESTABLISHED
        | StateFlags::FIN_WAIT1
        | StateFlags::FIN_WAIT2
        | StateFlags::CLOSE_WAIT
        | StateFlags::LAST_ACK
        | StateFlags::CLOSING;
    let request = InetRequest { family, protocol: IPPROTO_TCP, extensions: ExtensionFlags::INFO, states, socket_id };
    let mut kernel = Conversation::about_sockets()?;
    kernel.send(SockDiagMessage::InetRequest(request), NLM_F_REQUEST | NLM_F_DUMP)?;
    let mut room = MOST;
    kernel.answers_while(|answer| {
        if let SockDiagMessage::InetResponse(response) = answer {
            room -= 1;
            found.extend(response.nlas.iter().find_map(rtt).filter(|&microseconds| microseconds > 0));
        }
        room > 0
    })
}

fn rtt(attribute: &Nla) -> Option<u32> {
    let Nla::TcpInfo(info) = attribute else { return None };
    info.get(RTT_AT..)?.first_chunk().map(|&bytes| u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection over each family, of which both ends are here.
    #[test]
    fn the_kernel_says_what_it_has_measured() {
        for (address, is_v6) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
            // Where there is no IPv6, there is nothing to measure.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut there = listener.accept().unwrap().0;
            here.write_all(b"how long?").unwrap();
            there.read_exact(&mut [0; 9]).unwrap();
            let found = all(!is_v6, is_v6).unwrap();
            assert!(!found.is_empty() && found.iter().all(|&microseconds| microseconds > 0), "{found:?}");
        }
        assert_eq!(all(false, false).unwrap(), Vec::<u32>::new());
    }
}

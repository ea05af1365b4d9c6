//! Programs of the host that listen where containers' ports are.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use nix::libc::ENOENT;
use portlane_classify::PortRange;

use crate::netlink::Conversation;

/// A socket that is there for whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listener {
    address: SocketAddr,
    protocol: &'static str,
}

/// What is asked for: TCP that listens, and UDP that is connected to nobody.
const WANTED: [(&str, u8, StateFlags); 2] =
    [("tcp", IPPROTO_TCP, StateFlags::LISTEN), ("udp", IPPROTO_UDP, StateFlags::CLOSE)];

/// Those in the network namespace of the calling thread that the network could reach.
pub(super) fn all() -> io::Result<Vec<Listener>> {
    let mut kernel = Conversation::about_sockets()?;
    let mut found = Vec::new();
    for (protocol, number, states) in WANTED {
        for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let request = InetRequest {
                family,
                protocol: number,
                extensions: ExtensionFlags::empty(),
                states: states.clone(),
                socket_id,
            };
            kernel.send(SockDiagMessage::InetRequest(request), NLM_F_REQUEST | NLM_F_DUMP)?;
            let answered = kernel.answers(|answer| {
                let SockDiagMessage::InetResponse(response) = answer else { return };
                let id = response.header.socket_id;
                found.push(Listener { address: SocketAddr::new(id.source_address, id.source_port), protocol });
            });
            match answered {
                // A kernel without this family.
                Err(cause) if cause.raw_os_error() == Some(ENOENT) => {}
                answered => answered?,
            }
        }
    }
    found.retain(|listener| !is_within(listener.address.ip()));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Whether an address is one that no other host reaches.
fn is_within(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// What to tell of a container with these ports: `None` if nobody listens there.
pub(super) fn warning(id: &str, ports: &[PortRange], listeners: &[Listener]) -> Option<String> {
    /// So many are named.
    const NAMED: usize = 3;
    let is_there = |listener: &&Listener| ports.iter().any(|range| range.contains(listener.address.port()));
    let mut by_port: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for listener in listeners.iter().filter(is_there) {
        by_port.entry(listener.address.port()).or_default().push(listener);
    }
    let named: Vec<_> = by_port.values().flatten().take(NAMED).map(ToString::to_string).collect();
    let more = by_port.values().map(Vec::len).sum::<usize>() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| {
        format!(
            "container {id:?} has ports that programs of the host listen at ({}{more}): what the network sends there is the \
             container's now, and they hear nothing of it",
            named.join(", ")
        )
    })
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.address)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn listener(protocol: &'static str, address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), protocol }
    }

    #[test]
    fn those_at_a_containers_ports_are_told_of() {
        let ports = ["80", "7000-7099"].map(|range| range.parse().unwrap());
        let others = [listener("tcp", "0.0.0.0:81"), listener("udp", "[::]:7100")];
        assert_eq!(warning("web", &ports, &others), None);
        let some = [others[0], listener("udp", "10.0.0.1:7099"), listener("tcp", "0.0.0.0:80")];
        let told = warning("web", &ports, &some).unwrap();
        assert!(told.contains("container \"web\"") && told.contains("(tcp 0.0.0.0:80, udp 10.0.0.1:7099)"), "{told}");
        let many: Vec<_> = (7_000..7_010).map(|port| listener("tcp", &format!("[::]:{port}"))).collect();
        let told = warning("web", &ports, &many).unwrap();
        assert!(told.contains("(tcp [::]:7000, tcp [::]:7001, tcp [::]:7002 and 7 more)"), "{told}");
    }

    #[test]
    fn the_kernel_says_who_listens() {
        let (tcp, udp) = (TcpListener::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("0.0.0.0:0").unwrap());
        let within = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = all().unwrap();
        let has = |protocol, address| found.contains(&Listener { address, protocol });
        assert!(has("tcp", tcp.local_addr().unwrap()) && has("udp", udp.local_addr().unwrap()), "{found:?}");
        assert!(!has("tcp", within.local_addr().unwrap()), "{found:?}");
    }
}

//! The namespaces of the demo and the links between them.
//!
//! ```text
//! client fast ─┐
//! client slow ─┼─ bridge ─── network │ line │ container ─── servers (10.77.0.1, all containers)
//! client free ─┘
//! ```
//!
//! Each client has a namespace, an interface and an address of its own, so that the kernel counts what each container
//! sent without knowing of containers.

use std::io;

use crate::netns::{InterfaceCounters, Namespace};

/// The address that all containers share.
pub(super) const SERVER: [u8; 4] = [10, 77, 0, 1];

/// What the outer interface of each end host is called.
const ETHERNET: &str = "eth0";

/// The line's interfaces, as the demo's configuration names them.
const NETWORK: &str = "network";
const CONTAINER: &str = "container";

#[derive(Debug)]
pub(super) struct Topology {
    /// One for each container's clients.
    pub(super) clients: Vec<Namespace>,
    /// All containers' servers.
    pub(super) servers: Namespace,
    /// Where portlane is.
    pub(super) line: Namespace,
    /// Holds the bridge; nothing is done there.
    _bridge: Namespace,
}

impl Topology {
    pub(super) fn build(clients: usize) -> io::Result<Self> {
        let bridge = quiet_namespace()?;
        let line = quiet_namespace()?;
        let servers = quiet_namespace()?;
        bridge.command("ip", &["link", "add", "bridge", "type", "bridge", "mcast_snooping", "0"])?;
        bridge.command("ip", &["link", "set", "bridge", "up"])?;
        let plug = |other: &Namespace, there: &str, port: &str| {
            bridge.join(port, other, there)?;
            bridge.command("ip", &["link", "set", port, "master", "bridge"])
        };
        plug(&line, NETWORK, "to-line")?;
        line.join(CONTAINER, &servers, ETHERNET)?;
        end_host(&servers, SERVER)?;
        let clients = (0..clients)
            .map(|number| {
                let client = quiet_namespace()?;
                plug(&client, ETHERNET, &format!("to-client{number}"))?;
                end_host(&client, client_address(number))?;
                Ok(client)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { clients, servers, line, _bridge: bridge })
    }

    /// What the far end of a container's egress has received.
    pub(super) fn received_by(&self, client: usize) -> io::Result<InterfaceCounters> {
        self.clients[client].counters(ETHERNET)
    }

    /// Packets that both of the line's interfaces have received and sent.
    pub(super) fn line_packets(&self) -> io::Result<(u64, u64)> {
        let (outer, inner) = (self.line.counters(NETWORK)?, self.line.counters(CONTAINER)?);
        Ok((outer.rx_packets + inner.rx_packets, outer.tx_packets + inner.tx_packets))
    }
}

fn client_address(number: usize) -> [u8; 4] {
    [10, 77, 1, u8::try_from(number + 1).expect("a demo has a few clients")]
}

/// A namespace in which the kernel sends nothing of its own accord.
fn quiet_namespace() -> io::Result<Namespace> {
    let namespace = Namespace::new()?;
    for interfaces in ["all", "default"] {
        match namespace.set(&format!("ipv6/conf/{interfaces}/disable_ipv6"), "1") {
            // A kernel without IPv6 is as quiet.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(namespace)
}

/// Least, first and largest size of a TCP socket's buffers, in bytes: from the first moment more than the queues can
/// hold, so that the queue limits a flow and not its window.
const TCP_BUFFERS: &str = "4096 2097152 8388608";

/// An address, ample buffers, and frames as they would be on a cable: AF_XDP sends a frame as it came, and a veth would leave the
/// checksum to the next device and pass on segments that were never cut.
fn end_host(namespace: &Namespace, address: [u8; 4]) -> io::Result<()> {
    for buffers in ["ipv4/tcp_rmem", "ipv4/tcp_wmem"] {
        namespace.set(buffers, TCP_BUFFERS)?;
    }
    let address = format!("{}/16", std::net::Ipv4Addr::from(address));
    namespace.command("ip", &["address", "add", &address, "dev", ETHERNET])?;
    namespace.command("ethtool", &["-K", ETHERNET, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])?;
    Ok(())
}

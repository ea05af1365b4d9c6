//! The namespaces of the demo and the links between them.
//!
//! ```text
//! client fast ─┐
//! client slow ─┼─ bridge ─── network │ line │ container ─── servers (10.77.0.1, all containers)
//! client free ─┘
//! ```
//!
//! Of a host, whose containers portlane attaches:
//!
//! ```text
//! client fast ─┐                            ┌─ container fast (10.77.0.1)
//! client slow ─┼─ bridge ─── eth0 │ host │ ─┼─ container slow (10.77.0.1)
//! client free ─┘              (10.77.0.1)   └─ container free (10.77.0.1)
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
    /// One that has the servers of all containers, or one for each container.
    servers: Vec<Namespace>,
    /// Where portlane is.
    pub(super) line: Namespace,
    /// The interfaces there.
    interfaces: &'static [&'static str],
    /// Holds the bridge; nothing is done there.
    _bridge: Namespace,
}

impl Topology {
    /// Of containers that are behind one wire.
    pub(super) fn of_wire(clients: usize) -> io::Result<Self> {
        let topology = Self::with_clients(clients, NETWORK, vec![quiet_namespace()?], &[NETWORK, CONTAINER])?;
        topology.line.join(CONTAINER, &topology.servers[0], ETHERNET)?;
        end_host(&topology.servers[0], SERVER)?;
        Ok(topology)
    }

    /// Of a host with its own address, and of containers that have nothing yet.
    pub(super) fn of_host(clients: usize) -> io::Result<Self> {
        let container = |_| quiet_namespace().and_then(|namespace| ample_buffers(&namespace).map(|()| namespace));
        let containers = (0..clients).map(container).collect::<io::Result<_>>()?;
        let topology = Self::with_clients(clients, ETHERNET, containers, &[ETHERNET])?;
        end_host(&topology.line, SERVER)?;
        // Ports of the host's own, apart from the containers'.
        topology.line.set("ipv4/ip_local_port_range", "49152 60999")?;
        Ok(topology)
    }

    /// Clients, and a line with one interface.
    fn with_clients(
        clients: usize,
        uplink: &str,
        servers: Vec<Namespace>,
        interfaces: &'static [&'static str],
    ) -> io::Result<Self> {
        let bridge = quiet_namespace()?;
        let line = quiet_namespace()?;
        bridge.command("ip", &["link", "add", "bridge", "type", "bridge", "mcast_snooping", "0"])?;
        bridge.command("ip", &["link", "set", "bridge", "up"])?;
        let plug = |other: &Namespace, there: &str, port: &str| {
            bridge.join(port, other, there)?;
            bridge.command("ip", &["link", "set", port, "master", "bridge"])
        };
        plug(&line, uplink, "to-line")?;
        let clients = (0..clients)
            .map(|number| {
                let client = quiet_namespace()?;
                plug(&client, ETHERNET, &format!("to-client{number}"))?;
                end_host(&client, client_address(number))?;
                Ok(client)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { clients, servers, line, interfaces, _bridge: bridge })
    }

    /// Where a container's servers are.
    pub(super) fn servers_of(&self, container: usize) -> &Namespace {
        &self.servers[container.min(self.servers.len() - 1)]
    }

    /// The interfaces of the host and of the containers, and their addresses; the host's routes, and the rules for them.
    pub(super) fn state(&self) -> io::Result<String> {
        let of = |namespace: &Namespace| {
            let links = namespace.command("ip", &["-details", "link"])?;
            let addresses = namespace.command("ip", &["-brief", "address"])?;
            // A namespace gets a number when somebody looks for it.
            let lasting: Vec<_> = links.lines().filter(|line| !line.contains("link-netnsid")).collect();
            Ok(lasting.join("\n") + &addresses)
        };
        let of_all: io::Result<String> = [&self.line].into_iter().chain(&self.servers).map(of).collect();
        Ok(of_all?
            + &self.line.command("ip", &["rule"])?
            + &self.line.command("ip", &["route", "show", "table", "all"])?)
    }

    /// What the far end of a container's egress has received.
    pub(super) fn received_by(&self, client: usize) -> io::Result<InterfaceCounters> {
        self.clients[client].counters(ETHERNET)
    }

    /// Packets that the line's interfaces have received and sent.
    pub(super) fn line_packets(&self) -> io::Result<(u64, u64)> {
        self.interfaces.iter().try_fold((0, 0), |(received, sent), interface| {
            let counted = self.line.counters(interface)?;
            Ok((received + counted.rx_packets, sent + counted.tx_packets))
        })
    }
}

pub(super) fn client_address(number: usize) -> [u8; 4] {
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

fn ample_buffers(namespace: &Namespace) -> io::Result<()> {
    ["ipv4/tcp_rmem", "ipv4/tcp_wmem"].iter().try_for_each(|buffers| namespace.set(buffers, TCP_BUFFERS))
}

/// An address, ample buffers, and frames as they would be on a cable: AF_XDP sends a frame as it came, and a veth would leave the
/// checksum to the next device and pass on segments that were never cut.
fn end_host(namespace: &Namespace, address: [u8; 4]) -> io::Result<()> {
    ample_buffers(namespace)?;
    let address = format!("{}/16", std::net::Ipv4Addr::from(address));
    namespace.command("ip", &["address", "add", &address, "dev", ETHERNET])?;
    namespace.command("ethtool", &["-K", ETHERNET, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])?;
    Ok(())
}

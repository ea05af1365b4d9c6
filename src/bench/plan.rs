//! The configuration of a scenario: what an operator would have written.

use std::net::Ipv4Addr;

use super::load::{INTERVAL, Setup, TARGET};
use crate::config::{self, Plan};
use crate::failure::Failure;

/// The addresses of the containers' host. Both give the same checksum of an IP header.
pub(super) const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 1, 0, 1)];

/// Ports of an address that can be owned: all but 0.
pub(super) const PORTS: u32 = 65_535;

/// The ports of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Which of [`ADDRESSES`] they are on.
    pub(super) address: usize,
    pub(super) first: u16,
    pub(super) ports: u16,
}

/// The blocks of so many containers, all of one length.
pub(super) fn blocks(containers: u32) -> impl Iterator<Item = Block> {
    let addresses = containers.div_ceil(PORTS);
    let on_each = containers.div_ceil(addresses);
    let ports = PORTS / on_each;
    let narrow = |number: u32| u16::try_from(number).expect("blocks end at the last port");
    (0..containers).map(move |container| Block {
        address: usize::from(container >= on_each),
        first: narrow(1 + container % on_each * ports),
        ports: narrow(ports),
    })
}

/// Reads the configuration that gives each of `containers` its block and its lane, under a link.
pub(super) fn plan(containers: u32, setup: &Setup) -> Result<Plan, Failure> {
    let Setup { link, link_burst, .. } = setup;
    let link = format!("[link]\nrate = \"{link}bit\"\nburst = \"{link_burst}b\"\n");
    config::parse(&text(&link, containers, setup), "bench").map_err(Failure::refused)
}

/// The same without a limit for the link: then containers can be divided among workers.
pub(super) fn plan_without_link(containers: u32, setup: &Setup) -> Result<Plan, Failure> {
    config::parse(&text("", containers, setup), "bench").map_err(Failure::refused)
}

fn text(link: &str, containers: u32, setup: &Setup) -> String {
    let Setup { rate, burst, .. } = setup;
    let mut text = format!(
        r#"
{link}
[defaults]
egress = {{ rate = "{rate}bit", burst = "{burst}b" }}
queue = {{ kind = "fq_codel", target = "{TARGET}", interval = "{INTERVAL}" }}
"#
    );
    let several_addresses = containers > PORTS;
    for (number, Block { address, first, ports }) in blocks(containers).enumerate() {
        let last = first + (ports - 1);
        text.push_str(&format!("\n[[container]]\nid = \"c{number}\"\nports = [\"{first}-{last}\"]\n"));
        if several_addresses {
            text.push_str(&format!("addresses = [\"{}\"]\n", ADDRESSES[address]));
        }
    }
    text
}

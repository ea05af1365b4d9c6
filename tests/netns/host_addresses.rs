//! Containers behind interfaces of their own have the host's addresses, also when those change.

use std::net::{IpAddr, Ipv4Addr};

use portlane::netns::Namespace;

use crate::bench::{CLIENT, NOBODYS, SERVER};
use crate::host::{DB, Host, WEB};
use crate::portlane::eventually;
use crate::traffic::{Echo, payload, transfer_between};

const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

/// Sets addresses of the host, and waits until the containers have them.
fn set(host: &Host, words: &[&str], expected: &[&str]) {
    let words = [&["address"], words, &["dev", "eth0"]].concat();
    host.host.command("ip", &words).unwrap();
    let of = |namespace: &Namespace| {
        let said = namespace.command("ip", &["-brief", "address", "show", "dev", "eth0", "scope", "global"]).unwrap();
        let addresses = said.split_ascii_whitespace().skip(2).filter(|address| !address.starts_with("10.9."));
        let mut addresses: Vec<_> = addresses.map(str::to_owned).collect();
        addresses.sort_unstable();
        addresses
    };
    for namespace in [&host.web, &host.db] {
        eventually(|| of(namespace) == expected, || format!("{:?}, not {expected:?}", of(namespace)));
    }
}

fn ask(host: &Host, address: impl Into<IpAddr> + Copy) {
    for (inside, port) in [(&host.web, WEB), (&host.db, DB)] {
        Echo::between(&host.client, inside, (address, port)).ask(b"whose is this address?");
    }
}

pub(crate) fn followed() {
    let host = Host::new();
    host.host.set("ipv4/conf/all/promote_secondaries", "1").unwrap();
    host.host.command("ip", &["route", "add", "default", "via", &CLIENT.to_string()]).unwrap();
    let portlane = host.start(&host.both(""));
    ask(&host, SERVER);
    // What a container has given itself is its own.
    host.web.command("ip", &["address", "add", "10.9.9.8/32", "dev", "eth0"]).unwrap();
    set(&host, &["add", "10.77.0.9/24"], &["10.77.0.1/24", "10.77.0.9/24"]);
    ask(&host, SERVER);
    ask(&host, OTHER);
    set(&host, &["delete", "10.77.0.1/24"], &["10.77.0.9/24"]);
    ask(&host, OTHER);
    // What the container begins comes from the address that there is, and finds its way as before.
    transfer_between(&host.web, &host.client, (CLIENT, NOBODYS), &payload(1 << 16));
    let routes = host.web.command("ip", &["route"]).unwrap();
    assert!(routes.contains(&format!("default via {CLIENT} dev eth0")), "{routes}");
    let words = "interface eth0 has other addresses now: containers get them\n";
    assert_eq!(portlane.stderr(), words.repeat(2));

    // Without any, theirs stay.
    host.host.command("ip", &["address", "flush", "dev", "eth0"]).unwrap();
    let told = || portlane.stderr().contains("interface eth0 has no address any more: containers keep theirs");
    eventually(told, || portlane.stderr());
    assert!(host.web.command("ip", &["-brief", "address"]).unwrap().contains("10.77.0.9/24"));
    set(&host, &["add", "10.77.0.1/24"], &["10.77.0.1/24"]);
    ask(&host, SERVER);
    assert!(host.web.command("ip", &["-brief", "address"]).unwrap().contains("10.9.9.8/32"));
    host.end_telling(portlane);
}

/// Addresses of IPv6 come and go with it, and those that nothing new is to begin from stay until they are gone.
pub(crate) fn followed_over_ipv6() {
    let host = Host::new();
    for namespace in [&host.client, &host.host] {
        namespace.set("ipv6/conf/eth0/disable_ipv6", "0").unwrap();
    }
    for namespace in [&host.web, &host.db] {
        namespace.set("ipv6/conf/default/disable_ipv6", "0").unwrap();
    }
    host.client.command("ip", &["-6", "address", "add", "fd77::2/64", "dev", "eth0", "nodad"]).unwrap();
    let portlane = host.start(&host.both(""));
    let ipv4 = "10.77.0.1/24";
    set(&host, &["add", "fd77::1/64", "nodad"], &[ipv4, "fd77::1/64"]);
    let first: IpAddr = "fd77::1".parse().unwrap();
    ask(&host, first);
    let deprecated = ["change", "fd77::1/64", "preferred_lft", "0", "valid_lft", "3600"];
    host.host.command("ip", &[&["address"], &deprecated[..], &["dev", "eth0"]].concat()).unwrap();
    set(&host, &["add", "fd77::9/64", "nodad"], &[ipv4, "fd77::1/64", "fd77::9/64"]);
    ask(&host, first);
    ask(&host, "fd77::9".parse::<IpAddr>().unwrap());
    set(&host, &["delete", "fd77::1/64"], &[ipv4, "fd77::9/64"]);
    ask(&host, "fd77::9".parse::<IpAddr>().unwrap());
    drop(portlane);
}

//! Containers behind interfaces of their own: many of them, IPv6, and what the run keeps of its privileges.

use std::fs;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use portlane::netns::Namespace;

use crate::bench::{CLIENT, NOBODYS, SERVER, ping, quiet_namespace};
use crate::busy::assert_in_time;
use crate::host::Host;
use crate::random_frames::Random;
use crate::traffic::{Echo, Flood, payload, transfer_between};

/// They come and go in no order while one of them gets all it can; those that are there have their ports, and none is left.
pub(crate) fn in_any_order() {
    const MANY: usize = 200;
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let others: Vec<_> = (0..MANY).map(|_| quiet_namespace()).collect();
    let before = host.state();
    let flood = Flood::start(&host.client, (SERVER, 7_050), 200, 5);
    let (mut random, mut there, mut took) = (Random::new(7), Vec::new(), Vec::new());
    let port = |one: usize| 10_000 + 10 * u16::try_from(one).unwrap();
    let mut absent: Vec<_> = (0..MANY).collect();
    while !absent.is_empty() || !there.is_empty() {
        let comes = !absent.is_empty() && (there.is_empty() || random.below(3) > 0);
        let from = if comes { &mut absent } else { &mut there };
        let one: usize = from.swap_remove(random.below(u32::try_from(from.len()).unwrap()) as usize);
        let id = format!("container-number-{one}");
        if comes {
            let (ports, netns) = (format!("{}-{}", port(one), port(one) + 9), others[one].path());
            let started = Instant::now();
            host.said(&["container", "add", &id, "--ports", &ports, "--netns", &netns]);
            took.push(started.elapsed());
            there.push(one);
            Echo::between(&host.client, &others[one], (SERVER, port(one) + 9)).ask(b"are you there?");
        } else {
            host.said(&["container", "remove", &id]);
        }
        if let Some(&still) = there.first() {
            Echo::between(&host.client, &others[still], (SERVER, port(still))).ask(b"and you?");
        }
    }
    took.sort_unstable();
    let [median, longest] = [took[MANY / 2], took[MANY - 1]];
    eprintln!("a container is attached in {median:?} at the median, the longest took {longest:?}");
    assert_in_time(median < Duration::from_millis(100), || format!("attaching took {median:?} at the median"));
    assert!(flood.stop() > 0);
    let snapshot = host.settled();
    assert_eq!(snapshot.steering["pld-eth0"]["foreign_port"], 0, "{:?}", snapshot.steering["pld-eth0"]);
    assert_eq!(host.state(), before, "none is left");
    host.end(portlane);
}

pub(crate) fn ipv6() {
    let host = Host::new();
    let [client, server] = ["fd77::2", "fd77::1"].map(|address| address.parse::<Ipv6Addr>().unwrap());
    let on = |namespace: &Namespace, interface: &str| {
        namespace.set(&format!("ipv6/conf/{interface}/disable_ipv6"), "0").unwrap();
    };
    for (namespace, address) in [(&host.client, client), (&host.host, server)] {
        on(namespace, "eth0");
        let add = ["-6", "address", "add", &format!("{address}/64"), "dev", "eth0", "nodad"];
        namespace.command("ip", &add).unwrap();
    }
    on(&host.web, "default");
    let portlane = host.start(&host.both(""));
    ping(&host.client, "fd77::1");
    let echo = Echo::between(&host.client, &host.web, (server, 7_000));
    [100, 1_000, 4_000].iter().for_each(|&len| echo.ask(&vec![7; len]));
    Echo::between(&host.web, &host.client, (client, NOBODYS)).ask(b"from within");
    let snapshot = host.settled();
    assert!(snapshot.steering["plc-web"]["asked"] >= 1, "{:?}", snapshot.steering["plc-web"]);
    // db has IPv6 off, and IPv4 all the same.
    Echo::between(&host.client, &host.db, (SERVER, 8_000)).ask(b"of old");
    assert!(!host.db.command("ip", &["-brief", "address"]).unwrap().contains("fd77"));
    drop(portlane);
}

/// Packets of several buffers pass both ways, and the containers' interfaces are as wide as the uplink.
pub(crate) fn long_packets() {
    let host = Host::new();
    for namespace in [&host.host, &host.client] {
        namespace.command("ip", &["link", "set", "eth0", "mtu", "9000"]).unwrap();
    }
    let before = host.state();
    let portlane = host.start(&host.both(""));
    assert!(host.web.command("ip", &["link", "show", "eth0"]).unwrap().contains("mtu 9000"));
    let echo = Echo::between(&host.client, &host.web, (SERVER, 7_000));
    [1_472, 3_800, 8_000].iter().for_each(|&len| echo.ask(&payload(len)));
    transfer_between(&host.web, &host.client, (CLIENT, NOBODYS), &payload(1 << 20));
    transfer_between(&host.client, &host.web, (SERVER, 7_001), &payload(1 << 20));
    assert_eq!(host.settled().steering["plc-web"]["malformed"], 0);
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    assert_eq!(host.state(), before);
}

/// Namespaces are entered by a process that does nothing else; the run itself cannot.
pub(crate) fn few_privileges() {
    const NET_ADMIN: u32 = 12;
    const SYS_PTRACE: u32 = 19;
    const SYS_ADMIN: u32 = 21;
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let status = |path: String| fs::read_to_string(path + "/status").unwrap();
    let permitted = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let id = portlane.id();
    for thread in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        let kept = permitted(&status(thread.unwrap().path().display().to_string()));
        assert_eq!(kept & (1 << SYS_ADMIN | 1 << SYS_PTRACE), 0, "{kept:x}");
    }
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let [helper] = children.split_ascii_whitespace().collect::<Vec<_>>()[..] else { panic!("{children}") };
    let kept = permitted(&status(format!("/proc/{helper}")));
    assert_eq!(kept, 1 << NET_ADMIN | 1 << SYS_PTRACE | 1 << SYS_ADMIN, "{kept:x}");

    // Without it those that are attached stay so, and others are refused.
    signal::kill(Pid::from_raw(helper.parse().unwrap()), Signal::SIGKILL).unwrap();
    let other = quiet_namespace();
    let why = host.refused(&["container", "add", "other", "--ports", "9000", "--netns", &other.path()]);
    assert!(why.contains("the process that enters containers' namespaces does not answer"), "{why}");
    assert!(!why.contains("error: error: "), "{why}");
    Echo::between(&host.client, &host.web, (SERVER, 7_000)).ask(b"still there?");
    drop(portlane);
}

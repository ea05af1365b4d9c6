//! Changes that the workers have followed already when the kernel refuses its part of them.

use std::fs;
use std::process::Command;

use crate::bench::{Bench, FREE, FREE_CONTAINER, NOBODYS, SERVER, SLOW};
use crate::containers::{refused, said};
use crate::portlane::Portlane;
use crate::traffic::Echo;

/// Rules can be prepared and not be put in force once their map takes no more writes: everything is as it was then.
pub(crate) fn ports_that_the_kernel_does_not_take() {
    let bench = Bench::shared();
    let portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    let [slow, nobodys] = [SLOW, NOBODYS].map(|port| port.to_string());
    said(&bench, &["container", "add", "slow", "--ports", &slow]);
    let containers_own = |port| Echo::new(&bench, port).ask(b"a container's");
    let hosts_own = |port| Echo::between(&bench.client, &bench.line, (SERVER, port)).ask(b"the host's");
    containers_own(SLOW);
    let written = || fs::read_to_string(bench.path("containers.toml")).unwrap();
    let before = (said(&bench, &["container", "list"]), written());

    freeze_rules(&portlane);
    let is_taken_back = |words: &[&str]| {
        let told = refused(&bench, words);
        assert!(told.contains("the kernel does not take the ports of containers"), "{words:?}: {told}");
        assert_eq!((said(&bench, &["container", "list"]), written()), before, "{words:?}");
        let ids: Vec<_> = bench.stats().containers.into_iter().map(|container| container.id).collect();
        assert_eq!(ids, ["free", "slow"], "{words:?}");
        containers_own(FREE);
        containers_own(SLOW);
        hosts_own(NOBODYS);
    };
    is_taken_back(&["container", "add", "late", "--ports", &nobodys]);
    is_taken_back(&["container", "set", "slow", "--key", "ports = [\"9000\"]"]);
    is_taken_back(&["reload"]);
    let snapshot = bench.stats();
    let [free, slow] = &snapshot.containers[..] else { panic!("{:?}", snapshot.containers) };
    assert_eq!((free.ingress.sent_packets, free.egress.sent_packets), (3, 3));
    assert_eq!((slow.ingress.sent_packets, slow.egress.sent_packets), (4, 4));
    is_taken_back(&["container", "remove", "slow"]);
    let (snapshot, _) = bench.settled_books();
    assert_eq!(snapshot.totals.received, snapshot.totals.sent, "{:?}", snapshot.totals);
}

/// Has the kernel refuse every other set of rules: what is in force is the one entry of a map of maps.
fn freeze_rules(portlane: &Portlane) {
    const ARRAY_OF_MAPS: &str = "map_type:\t12\n";
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", portlane.id())).unwrap();
    let mut descriptors = descriptors.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let rules = descriptors.find(|text| text.contains(ARRAY_OF_MAPS)).unwrap();
    let id = rules.lines().find_map(|line| line.strip_prefix("map_id:")).unwrap().trim();
    let frozen = Command::new("bpftool").args(["map", "freeze", "id", id]).output().unwrap();
    assert!(frozen.status.success(), "{frozen:?}");
}

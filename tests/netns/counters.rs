//! The kernel's own counters of containers that are not attached: of those whose namespaces are told.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use portlane::netstat::Values;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, NOBODYS, SERVER};
use crate::containers::{refused, said};
use crate::host_counters::inside;
use crate::portlane::{Portlane, eventually};
use crate::traffic::{payload, transfer_between};

const READS: &str = "[netstat]\nproc = true\n";

/// A path that outlives no process of the trial's, as a name in `/run/netns` does.
fn named(bench: &Bench, namespace: &Namespace) -> PathBuf {
    let path = bench.path("server.ns");
    symlink(namespace.path(), &path).unwrap();
    path
}

/// What portlane tells of a container, besides round-trip times.
fn told(bench: &Bench, id: &str) -> Option<Values> {
    let mut values = bench.stats().netstat.get(id)?.get("proc")?.clone();
    values.retain(|name, _| !name.starts_with("rtt_"));
    Some(values)
}

fn assert_as_inside(bench: &Bench, id: &str, namespace: &Namespace) {
    let looks_alike = || told(bench, id).is_some_and(|told| told == inside(namespace));
    eventually(looks_alike, || {
        let (ours, kernels) = (told(bench, id).unwrap_or_default(), inside(namespace));
        let differ = kernels.iter().filter(|(name, value)| ours.get(*name) != Some(value));
        format!("{id}: {:?}", differ.collect::<BTreeMap<_, _>>())
    });
}

fn sleeper(namespace: &Namespace) -> Child {
    namespace.within(|| Command::new("sleep").arg("120").spawn()).unwrap().unwrap()
}

fn end(bench: &Bench, portlane: Portlane) {
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    bench.assert_untouched();
}

/// One that the configuration has, by a path, and one that is added, by a process: behind a wire, whatever their interfaces are.
pub(crate) fn of_a_wire() {
    let bench = Bench::new();
    let path = named(&bench, &bench.server);
    let containers = format!("{FREE_CONTAINER}netns = {path:?}\n{READS}");
    let portlane = bench.start(&containers);
    transfer_between(&bench.client, &bench.server, (SERVER, FREE), &payload(100_000));
    transfer_between(&bench.server, &bench.client, (CLIENT, NOBODYS), &payload(50_000));
    assert_as_inside(&bench, "free", &bench.server);
    let free = told(&bench, "free").unwrap();
    assert_eq!((free["Tcp_PassiveOpens"], free["Tcp_ActiveOpens"]), (1, 1));

    let job = sleeper(&bench.client);
    let number = job.id().to_string();
    said(&bench, &["container", "add", "job", "--ports", "9100-9199", "--pid", &number]);
    assert_as_inside(&bench, "job", &bench.client);
    let metrics = said(&bench, &["stats", "--format", "prometheus"]);
    for (id, namespace) in [("free", &bench.server), ("job", &bench.client)] {
        let opened = inside(namespace)["Tcp_ActiveOpens"];
        let line = format!("node_netstat_Tcp_ActiveOpens{{container={id:?},source=\"proc\"}} {opened}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    // One that says nothing of where it is has none.
    said(&bench, &["container", "add", "other", "--ports", "9200"]);
    said(&bench, &["container", "remove", "other"]);
    for (place, why) in [
        (["--netns", "/run/netns/no-such"], "container \"other\" cannot be read: there is no network namespace"),
        (["--netns", "/etc/hostname"], "/etc/hostname is no network namespace"),
        (["--pid", "4194304"], "there is no process 4194304"),
        (["--netns", path.to_str().unwrap()], "have the same network namespace"),
    ] {
        let said = refused(&bench, &[&["container", "add", "other", "--ports", "9200"], &place[..]].concat());
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(portlane.stderr(), "");
    end(&bench, portlane);
    vanishing(&bench, &containers, job);
}

/// The number of a process that was told to an earlier run may be another's now; and a process that ends takes nothing with it but
/// what would have been read next.
fn vanishing(bench: &Bench, containers: &str, mut job: Child) {
    let portlane = bench.start(containers);
    let number = job.id().to_string();
    let stderr = portlane.stderr();
    assert!(
        stderr.contains(&format!("container \"job\" is not read: who has the number of /proc/{number}/ns/net now")),
        "{stderr}"
    );
    assert_as_inside(bench, "free", &bench.server);
    assert_eq!(told(bench, "job"), None);
    said(bench, &["container", "remove", "job"]);
    said(bench, &["container", "add", "job", "--ports", "9100-9199", "--pid", &number]);
    assert_as_inside(bench, "job", &bench.client);
    job.kill().unwrap();
    job.wait().unwrap();
    transfer_between(&bench.client, &bench.server, (SERVER, FREE), &payload(10_000));
    assert_as_inside(bench, "free", &bench.server);
    // What goes on has been read already: whether it still could be is not asked.
    said(bench, &["reload"]);
    said(bench, &["container", "set", "job", "--ports", "9100-9299"]);
    assert!(told(bench, "job").is_some());
    said(bench, &["container", "remove", "job"]);
    eventually(|| told(bench, "job").is_none(), || "what is no more is still told".to_owned());
    end(bench, portlane);
}

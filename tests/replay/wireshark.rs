//! Counts by an independent program, where it is installed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::packets::Packet;
use crate::scene::{Scene, THREE};
use crate::traffic::mixed;

/// Runs tshark on a capture; `None` where there is none. What it complains of comes second.
fn tshark(capture: &Path, arguments: &[&str]) -> Option<(String, String)> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-o", "ip.defragment:FALSE"]).args(arguments).stdin(Stdio::null());
    let Ok(output) = command.output() else {
        assert!(std::env::var_os("CI").is_none(), "CI compares with tshark: install it");
        println!("note: tshark is not installed: its counts were not compared");
        return None;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints = complaints.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success(), "{complaints}");
    Some((String::from_utf8(output.stdout).unwrap(), complaints))
}

/// How many packets of a capture match a display filter.
fn count(capture: &Path, filter: &str) -> Option<usize> {
    let (printed, _) = tshark(capture, &["-Y", filter, "-T", "fields", "-e", "frame.number"])?;
    Some(printed.lines().count())
}

fn ports(end: &str, first: u16, last: u16) -> String {
    let one = |protocol: &str| format!("{protocol}.{end} >= {first} && {protocol}.{end} <= {last}");
    format!("({}) || ({})", one("tcp"), one("udp"))
}

#[test]
fn tshark_counts_what_lanes_were_offered() {
    let well_formed = mixed(3_000).into_iter().filter(|offered| offered.lane.is_some());
    let packets: Vec<Packet> = well_formed.map(|offered| offered.packet).collect();
    let scene = Scene::new(THREE, &packets);
    let replayed = scene.replay(&[]);
    let input = scene.path("in.pcapng");
    for (id, first, last) in [("fast", 31_744, 32_767), ("slow", 32_768, 33_791), ("free", 33_792, 34_815)] {
        let Some(counted) = count(&input, &ports("dstport", first, last)) else { return };
        assert_eq!(replayed.ingress(id).offered_packets, counted as u64, "to {id}");
        let Some(counted) = count(&input, &ports("srcport", first, last)) else { return };
        assert_eq!(replayed.egress(id).offered_packets, counted as u64, "from {id}");
    }
    let Some((printed, complaints)) = tshark(&scene.path("out.pcapng"), &["-T", "fields", "-e", "frame.number"]) else {
        return;
    };
    assert_eq!((printed.lines().count() as u64, complaints.as_str()), (replayed.stats.totals.sent, ""));
}

//! How a replay ends: in each format, at the end of a damaged capture, with a full disk, at the end of time.

use portlane_stats::snapshot::Snapshot;

use crate::packets::{Packet, payload, to_host, udp};
use crate::scene::{Ending, Scene, THREE, capture, packets};
use crate::traffic::{START, mixed};

fn frames(count: u32) -> Vec<Packet> {
    let frame = |number| udp(to_host(34_000), &payload(1_000, number));
    (1..=count).map(|number| Packet::ethernet(START + u64::from(number), frame(number))).collect()
}

#[test]
fn every_format_is_printed() {
    let traffic: Vec<_> = mixed(500).into_iter().map(|offered| offered.packet).collect();
    let scene = Scene::new(THREE, &traffic);
    let print = |format: &[&str]| {
        let Ending { code, stdout, stderr } = scene.run(&[&["in.pcapng", "--config", "config.toml"], format].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(stdout.ends_with('\n'));
        stdout
    };
    let text = print(&[]);
    assert_eq!(text, print(&["--format", "text"]), "text is what is printed");
    assert!(["fast", "slow", "free", "unmatched"].iter().all(|id| text.contains(id)), "{text}");
    let json = print(&["--format", "json"]);
    let snapshot: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!((snapshot.check(), snapshot.totals.received), (Ok(()), 500));
    assert!(print(&["--format", "tc"]).contains("class htb"));
    for format in ["tc-json", "mesos"] {
        let parsed: serde_json::Value = serde_json::from_str(&print(&["--format", format])).unwrap();
        assert!(parsed.is_array(), "{format}");
    }

    scene.replay(&[]);
    assert_eq!(String::from_utf8(scene.bytes("out.json")).unwrap(), json, "json is what --stats writes");
    scene.end(&["--format", "text"]);
    assert_eq!(String::from_utf8(scene.bytes("out.json")).unwrap(), text, "unless --format says otherwise");
    assert_eq!(scene.files(), ["config.toml", "in.pcapng", "out.json", "out.pcapng"]);
}

/// tc derives what it shows as `lat` from the limit in bytes, under the slower of the two buckets.
#[test]
fn the_latency_of_a_token_bucket_is_shown_as_it_was_configured() {
    for peak in ["", ", peakrate = \"50mbit\", mtu = \"1600b\"", ", peakrate = \"4gbit\", mtu = \"1600b\""] {
        let tbf = "kind = \"tbf\", rate = \"40mbit\", burst = \"256kb\", latency = \"50ms\"";
        let config = format!("[[container]]\nid = \"web\"\nports = [\"80\"]\negress = {{ {tbf}{peak} }}\n");
        let scene = Scene::new(&config, &frames(10));
        let Ending { code, stdout, .. } = scene.run(&["in.pcapng", "--config", "config.toml", "--format", "tc"]);
        assert_eq!(code, Some(0));
        assert!(stdout.contains(" lat 50ms "), "{peak}: {stdout}");
    }
}

/// Memory is asked for as if all queues were full, but never for more packets than may wait in a replay.
#[test]
fn two_thousand_containers_fit_into_two_gigabytes() {
    let container = |number| format!("[[container]]\nid = \"c{number}\"\nports = [\"{number}\"]\n");
    let scene = Scene::new(&(1..=2_000).map(container).collect::<String>(), &frames(100));
    let quiet = Ending { code: Some(0), stdout: String::new(), stderr: String::new() };
    assert_eq!(scene.end_within(2_000_000), quiet);
    assert_eq!(scene.outputs().stats.totals.sent, 100);
}

#[test]
fn a_capture_without_packets_is_none_the_worse() {
    let scene = Scene::new(THREE, &[]);
    let replayed = scene.replay(&[]);
    assert_eq!((replayed.stats.totals.received, replayed.stats.duration_ns), (0, 0));
}

#[test]
fn everything_before_a_cut_is_replayed_and_written() {
    let frames = frames(100);
    let whole = capture(&frames);
    let [before, within] = [40, 41].map(|count| capture(&frames[..count]).len());
    for cut in [before + 1, before + 8, before + 500, within - 1] {
        let scene = Scene::with_capture(THREE, &whole[..cut]);
        let Ending { code, stdout, stderr } = scene.end(&[]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        let start = format!("error: in.pcapng: packet 41 (byte {before}): the capture ends inside the ");
        assert!(stderr.starts_with(&start) && stderr.lines().count() == 1, "{stderr}");
        let replayed = scene.outputs();
        assert_eq!((replayed.stats.totals.received, replayed.written.as_slice()), (40, &frames[..40]));
    }
    let scene = Scene::with_capture(THREE, &whole[..before]);
    assert_eq!(scene.replay(&[]).written, frames[..40], "an end between packets is an end");
}

#[test]
fn everything_before_a_broken_record_is_replayed_and_written() {
    let frames = frames(100);
    let mut damaged = capture(&frames);
    let at = capture(&frames[..40]).len();
    damaged[at + 4..at + 8].copy_from_slice(&[0xff; 4]);
    let scene = Scene::with_capture(THREE, &damaged);
    let Ending { code, stderr, .. } = scene.end(&[]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with(&format!("error: in.pcapng: packet 41 (byte {at}): ")), "{stderr}");
    assert_eq!(scene.outputs().written, frames[..40]);
}

/// The first bytes fit into a buffer, so a small capture fails at the end and a large one on the way.
#[test]
fn a_full_disk_is_a_failure() {
    for count in [10, 1_000] {
        let scene = Scene::new(THREE, &frames(count));
        let full = "cannot be written: No space left on device (os error 28)";
        for (output, message) in [
            ("--write", format!("error: /dev/full {full}; what is there so far is not complete\n")),
            ("--stats", format!("error: /dev/full {full}\n")),
        ] {
            let ending = scene.run(&["in.pcapng", "--config", "config.toml", output, "/dev/full"]);
            assert_eq!((ending.code, ending.stderr), (Some(1), message));
        }
    }
}

#[test]
fn outputs_replace_what_was_there() {
    let scene = Scene::new(THREE, &frames(10));
    for name in ["out.pcapng", "out.json"] {
        std::fs::write(scene.path(name), vec![b'x'; 100_000]).unwrap();
    }
    assert_eq!(scene.replay(&[]).written, frames(10));
}

#[test]
fn outputs_need_not_be_files() {
    let scene = Scene::new(THREE, &frames(10));
    let ending = scene.run(&["in.pcapng", "--config", "config.toml", "--write", "/dev/null", "--stats", "/dev/null"]);
    assert_eq!(ending, Ending { code: Some(0), stdout: String::new(), stderr: String::new() });
}

/// Waits that end beyond 64 bits of nanoseconds cannot be replayed: that is said, and nothing is waited for forever.
#[test]
fn at_the_end_of_time_a_replay_ends() {
    let last = u64::MAX - 1_000_000;
    let frame = |number| Packet::ethernet(last, udp(to_host(33_000), &payload(1_400, number)));
    let scene = Scene::new(THREE, &(1..=200).map(frame).collect::<Vec<_>>());
    let Ending { code, stderr, .. } = scene.end(&[]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: in.pcapng: time ended before all packets had left: "), "{stderr}");
    let stats: Snapshot = serde_json::from_slice(&scene.bytes("out.json")).unwrap();
    assert_eq!(stats.check(), Ok(()));
    assert!(stats.totals.queued > 0 && stats.totals.sent == packets(&scene.bytes("out.pcapng")).len() as u64);
}

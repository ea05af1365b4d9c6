//! A folder with a configuration and a capture, and what `portlane replay` makes of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use portlane_pcap::{Reader, Writer};
use portlane_stats::lane::LaneReport;
use portlane_stats::snapshot::Snapshot;
use tempfile::TempDir;

use crate::packets::Packet;

/// The three containers of the example: "fast" owns 31744-32767, "slow" 32768-33791, "free" 33792-34815.
pub(crate) const THREE: &str = include_str!("../../examples/three.toml");

const BOTH_OUTPUTS: [&str; 7] =
    ["in.pcapng", "--config", "config.toml", "--write", "out.pcapng", "--stats", "out.json"];

/// A folder with a configuration and a capture.
pub(crate) struct Scene {
    folder: TempDir,
}

/// How the program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scene {
    pub(crate) fn new(config: &str, packets: &[Packet]) -> Self {
        Self::with_capture(config, &capture(packets))
    }

    /// A scene whose capture is these bytes, whatever they are.
    pub(crate) fn with_capture(config: &str, capture: &[u8]) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(scene.path("config.toml"), config).unwrap();
        fs::write(scene.path("in.pcapng"), capture).unwrap();
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Names of all files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `portlane replay` in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ending {
        self.finish(Command::new(env!("CARGO_BIN_EXE_portlane")).arg("replay").args(arguments))
    }

    /// Runs it with both outputs, and no more than this much address space.
    pub(crate) fn end_within(&self, kilobytes: u32) -> Ending {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh", &kilobytes.to_string()]);
        self.finish(shell.args([env!("CARGO_BIN_EXE_portlane"), "replay"]).args(BOTH_OUTPUTS))
    }

    fn finish(&self, command: &mut Command) -> Ending {
        let output = command.current_dir(self.folder.path()).output().unwrap();
        Ending {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it with both outputs, to `out.pcapng` and `out.json`.
    pub(crate) fn end(&self, more: &[&str]) -> Ending {
        self.run(&[&BOTH_OUTPUTS[..], more].concat())
    }

    /// Runs it with both outputs; it must succeed, silently, and its books must balance.
    pub(crate) fn replay(&self, more: &[&str]) -> Replayed {
        let quiet = Ending { code: Some(0), stdout: String::new(), stderr: String::new() };
        assert_eq!(self.end(more), quiet);
        self.outputs()
    }

    /// What was written; the books must balance, and nothing may be left in a queue.
    pub(crate) fn outputs(&self) -> Replayed {
        let stats: Snapshot = serde_json::from_slice(&self.bytes("out.json")).unwrap();
        stats.check().unwrap_or_else(|slip| panic!("{slip}"));
        let written = packets(&self.bytes("out.pcapng"));
        assert_eq!(stats.totals.queued, 0);
        assert_eq!(stats.totals.sent, written.len() as u64);
        Replayed { stats, written }
    }
}

/// What `portlane replay` made.
pub(crate) struct Replayed {
    pub(crate) stats: Snapshot,
    pub(crate) written: Vec<Packet>,
}

impl Replayed {
    pub(crate) fn ingress(&self, id: &str) -> &LaneReport {
        self.stats.ingress().find(|&(name, _)| name == id).unwrap().1
    }

    pub(crate) fn egress(&self, id: &str) -> &LaneReport {
        self.stats.egress().find(|&(name, _)| name == id).unwrap().1
    }

    /// Packets offered to the lanes of all containers and to "unmatched", both directions, where there are any.
    pub(crate) fn offered(&self) -> Vec<(&str, &str, u64)> {
        let ingress = self.stats.ingress().map(|(id, lane)| (id, "ingress", lane.offered_packets));
        let egress = self.stats.egress().map(|(id, lane)| (id, "egress", lane.offered_packets));
        ingress.chain(egress).filter(|&(.., offered)| offered > 0).collect()
    }
}

/// A capture of these packets.
pub(crate) fn capture(packets: &[Packet]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for Packet { time_ns, link, bytes, original_len } in packets {
        writer.write(*link, *time_ns, bytes, *original_len).unwrap();
    }
    writer.finish().unwrap()
}

/// The packets of a whole capture.
pub(crate) fn packets(capture: &[u8]) -> Vec<Packet> {
    let mut reader = Reader::new(capture).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = reader.next().unwrap() {
        let (link, bytes) = (packet.link, packet.data.to_vec());
        packets.push(Packet { time_ns: packet.time_ns, link, bytes, original_len: packet.original_len });
    }
    packets
}

//! Captures: `portlane replay` beside `tcpdump -r`, both from a file in the page cache.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::run;
use crate::live::forwarder::{FIRST_PORT, PORTS_EACH, configuration};
use crate::peer::{Peer, Sample, alternate};
use crate::report::{Chapter, Comparison, Finding, Limit, Wanted};
use crate::{Failure, Programs};

const ROUNDS: usize = 5;

const PACKETS: u32 = 4_000_000;
const CONTAINERS: u32 = 128;

/// What all containers together may send: their guarantees fit.
const LINK: &str = "25gbit";

const READ: &str = "portlane replay";
const WRITE: &str = "portlane replay --write /dev/null";
const TCPDUMP: &str = "tcpdump -r -w /dev/null";

pub(crate) fn chapter(programs: &Programs, scratch: &Path) -> Result<Chapter, Failure> {
    let capture = scratch.join("packets.pcap");
    let config = scratch.join("replay.toml");
    write_capture(&capture, PACKETS)?;
    std::fs::write(&config, format!("[link]\nrate = \"{LINK}\"\n{}", configuration(CONTAINERS, None)))?;
    let [capture, config] = [&capture, &config].map(|path| path.to_string_lossy().into_owned());
    let portlane = programs.portlane.to_string_lossy().into_owned();
    let command = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let reader = |name, words| Box::new(Reader { name, command: command(words) }) as Box<dyn Peer>;
    let replay = [portlane.as_str(), "replay", &capture, "--config", &config];
    let mut peers = vec![
        reader(READ, &replay),
        reader(WRITE, &[&replay[..], &["--write", "/dev/null"]].concat()),
        reader(TCPDUMP, &["tcpdump", "-Z", "root", "-r", &capture, "-w", "/dev/null"]),
    ];
    let measured = alternate(ROUNDS, &mut peers)?;
    drop(peers);
    let whole = peak_memory(&replay)?;
    write_capture(Path::new(&capture), PACKETS / 8)?;
    let part = peak_memory(&replay)?;
    std::fs::remove_file(&capture)?;
    Ok(Chapter {
        title: format!("A capture of {} million packets of 64 bytes, in memory", PACKETS / 1_000_000),
        about: "The whole run of each program, from start to end. portlane shapes what it reads, for a link and 128 \
                containers, and tells what became of it; nobody exceeds a limit.",
        measured,
        comparisons: vec![Comparison {
            mine: READ.into(),
            peer: TCPDUMP.into(),
            wanted: Some(Wanted::TimesAsFast(3.0)),
        }],
        limits: vec![Limit { mine: READ.into(), ns: 45.0 }, Limit { mine: WRITE.into(), ns: 150.0 }],
        findings: vec![Finding {
            what: "portlane replay, memory at its peak".to_owned(),
            asked: "the same for an eighth of the packets".to_owned(),
            found: format!("{whole} kB, {part} kB"),
            reached: whole.abs_diff(part) < part / 10,
        }],
    })
}

/// A program that reads the capture.
struct Reader {
    name: &'static str,
    command: Vec<String>,
}

impl Peer for Reader {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn measure(&mut self) -> Result<Sample, Failure> {
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let begun = Instant::now();
        run(words[0], &words[1..])?;
        Ok(Sample { ns: begun.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS), note: String::new() })
    }
}

/// The most memory that a program had while it ran, in kB.
///
/// Looked at again and again: the kernel keeps the highest figure, but only for as long as the program runs.
fn peak_memory(command: &[&str]) -> Result<u64, Failure> {
    let mut child = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let highest = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        peak = highest.map_or(Ok(peak), str::parse)?.max(peak);
        thread::sleep(Duration::from_millis(1));
    }
    if peak == 0 { Err("a replay ended before its memory could be looked at".into()) } else { Ok(peak) }
}

/// A microsecond apart, for all containers in turn.
fn write_capture(path: &Path, packets: u32) -> Result<(), Failure> {
    const LINK_ETHERNET: u32 = 1;
    let mut file = BufWriter::new(File::create(path)?);
    for number in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, LINK_ETHERNET] {
        file.write_all(&u32::to_le_bytes(number))?;
    }
    let mut packet = packet();
    let length = u32::try_from(packet.len())?;
    for number in 0..packets {
        let port = u16::try_from(FIRST_PORT + number % CONTAINERS * PORTS_EACH)?;
        packet[36..38].copy_from_slice(&port.to_be_bytes());
        for field in [number / 1_000_000, number % 1_000_000, length, length] {
            file.write_all(&field.to_le_bytes())?;
        }
        file.write_all(&packet)?;
    }
    Ok(file.flush()?)
}

/// UDP over IPv4, without checksums.
fn packet() -> [u8; 64] {
    let mut packet = [0; 64];
    packet[12..14].copy_from_slice(&[8, 0]);
    packet[14..16].copy_from_slice(&[0x45, 0]);
    packet[17] = 64 - 14;
    packet[22..24].copy_from_slice(&[64, 17]);
    packet[26..34].copy_from_slice(&[10, 77, 0, 2, 10, 77, 0, 1]);
    packet[34..36].copy_from_slice(&[0, 9]);
    packet[39] = 64 - 34;
    packet
}

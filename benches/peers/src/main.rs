//! portlane beside DPDK and the kernel: what a packet costs each of them, on one machine and in one run.
//!
//! Started by `benches/peers/run`, in namespaces of its own: processes, mounts and network. Whatever is made here is gone
//! when this process is, however it ends.
//!
//! Speeds of virtual machines swing within minutes. So peers that are compared take turns, round after round
//! ([`peer::alternate`]), and a ratio is that of two neighbours in time. Prints Markdown; progress goes to standard error.

#![forbid(unsafe_code)]

mod capture;
mod command;
mod floor;
mod flows;
mod live;
mod machine;
mod memory;
mod peer;
mod report;
mod trip;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// What went wrong, in words.
type Failure = Box<dyn Error>;

/// Holds everything that is written while it runs; a file system in memory that nobody else sees.
const SCRATCH: &str = "/run/peers";

/// Where the programs are.
struct Programs {
    portlane: PathBuf,
    /// Those that `benches/peers/build` made.
    built: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["compare", portlane, built, ref parts @ ..] => {
            compare(&Programs { portlane: portlane.into(), built: built.into() }, parts)
        }
        ["echo", address] => trip::echo(address),
        ["ask", address, seconds] => trip::ask(address, seconds),
        ["sink", address] => trip::sink(address),
        ["load", address] => trip::load(address),
        ["flood", network, container] => floor::flood([network, container]),
        ["forward", network, container] => floor::forward([network, container]),
        _ => Err("usage: portlane-peers compare PORTLANE DIRECTORY [memory] [flows] [capture] [live] [trip]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Compares everything, or these parts.
fn compare(programs: &Programs, parts: &[&str]) -> Result<(), Failure> {
    let begun = Instant::now();
    machine::needs_two_cores()?;
    std::fs::create_dir_all(SCRATCH)?;
    quiet()?;
    let scratch = Path::new(SCRATCH);
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    let mut chapters = Vec::new();
    if wanted("memory") {
        chapters.extend(memory::chapters(programs)?);
    }
    if wanted("flows") {
        chapters.push(flows::chapter(programs)?);
    }
    if wanted("capture") {
        chapters.push(capture::chapter(programs, scratch)?);
    }
    if wanted("live") {
        chapters.push(live::chapter(programs, scratch)?);
    }
    if wanted("trip") {
        chapters.push(trip::chapter(programs, scratch)?);
    }
    let mut machine = machine::described(programs)?;
    machine.push(("this run took", format!("{} seconds", begun.elapsed().as_secs())));
    print!("{}", report::markdown(&machine, &chapters));
    Ok(())
}

/// Has the kernel send nothing of its own accord on interfaces that are yet to come.
fn quiet() -> Result<(), Failure> {
    for interfaces in ["all", "default"] {
        let setting = format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6");
        if Path::new(&setting).exists() {
            std::fs::write(setting, "1")?;
        }
    }
    Ok(())
}

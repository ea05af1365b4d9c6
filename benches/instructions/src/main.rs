//! Instructions a packet of each element, counted by callgrind and compared with those recorded in the repository.
//!
//! ```text
//! make instructions               # fails where there are more than recorded
//! make instructions NAME=parse    # only those whose name contains `parse`
//! make instructions-record        # writes benches/instructions/baseline.toml
//! ```
//!
//! Unlike time, a count is the same in every run and on every machine, as long as the compiler is the same: seeds and keys
//! are fixed. The program runs itself under valgrind, once for each element; callgrind counts while
//! [`counted_by_callgrind`] is on the stack.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::{Command, ExitCode};

use baseline::{Baseline, Change, Counts, compare};
use support::{ELEMENTS, Element};

mod baseline;
#[path = "../../support/mod.rs"]
mod support;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.toml");

const ABOUT: &str =
    "# Instructions a packet, as counted by callgrind. Written by `make instructions-record`; `make instructions`,
# and with it CI, fails where a count is more than half a percent above the one here.
";

/// Packets that are counted: enough for drops and turns of the wheel to come in their proportion.
const PACKETS: u64 = 1 << 17;

/// The C library copies memory by what the processor can do. So it does it as on the simplest x86-64, and without `rep movsb`,
/// of which callgrind counts every byte.
const PLAIN_COPIES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["--work", name] => {
            work(name);
            Ok(ExitCode::SUCCESS)
        }
        ["--record"] => record(),
        [] => check(""),
        [filter] if !filter.starts_with('-') => check(filter),
        _ => Err("usage: portlane-instructions [--record | NAME]".into()),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::FAILURE
    })
}

/// Counts, and writes down.
fn record() -> Result<ExitCode, Failure> {
    let counted = Baseline { toolchain: toolchain()?, instructions: count("")? };
    if let Ok(recorded) = read() {
        print(&recorded.instructions, &counted.instructions);
    }
    fs::write(BASELINE, ABOUT.to_owned() + &toml::to_string(&counted)?)?;
    println!("recorded in {BASELINE}");
    Ok(ExitCode::SUCCESS)
}

/// Counts the elements whose name contains `filter`, and compares.
fn check(filter: &str) -> Result<ExitCode, Failure> {
    let Baseline { toolchain: recorded_with, instructions: mut recorded } = read()?;
    recorded.retain(|name, _| name.contains(filter));
    let changes = print(&recorded, &count(filter)?);

    let toolchain = toolchain()?;
    if toolchain != recorded_with {
        println!("recorded with {recorded_with}, and this is {toolchain}: that alone may change counts");
    }
    if changes.values().any(|change| change.is_stale()) {
        println!("where a change is meant, or the compiler's: `make instructions-record`");
    }
    let failed: Vec<_> = changes.iter().filter(|(_, change)| change.fails()).collect();
    for (name, change) in &failed {
        eprintln!("{name}: {change}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read() -> Result<Baseline, Failure> {
    let text = fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("{BASELINE}: {error}").into())
}

/// Prints what has become of every element.
fn print(recorded: &Counts, counted: &Counts) -> BTreeMap<String, Change> {
    let changes = compare(recorded, counted);
    let cell = |count: Option<&f64>| count.map_or_else(|| "-".to_owned(), |count| format!("{count:.2}"));
    println!("{:<24} {:>12} {:>12}   change", "instructions a packet", "recorded", "now");
    for (name, change) in &changes {
        println!("{name:<24} {:>12} {:>12}   {change}", cell(recorded.get(name)), cell(counted.get(name)));
    }
    changes
}

/// Instructions a packet of the elements whose name contains `filter`.
fn count(filter: &str) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    for (name, _) in ELEMENTS.iter().filter(|(name, _)| name.contains(filter)) {
        eprintln!("counting {name}");
        counts.insert((*name).to_owned(), under_callgrind(name)?);
    }
    Ok(counts)
}

fn under_callgrind(name: &str) -> Result<f64, Failure> {
    let output = Command::new("valgrind")
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .args(["--tool=callgrind", "--command-line-only=yes", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=*counted_by_callgrind*"])
        .arg(env::current_exe()?)
        .args(["--work", name])
        .output()
        .map_err(|error| format!("valgrind: {error} (`scripts/setup test` installs it)"))?;
    let (printed, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let packets = printed.trim().parse::<u32>();
    let collected = log.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<f64>().ok());
    match (packets, collected) {
        (Ok(packets), Some(collected)) if output.status.success() && collected > 0.0 => {
            Ok((collected / f64::from(packets) * 100.0).round() / 100.0)
        }
        _ => Err(format!("{name}: callgrind counted nothing\n{printed}\n{log}").into()),
    }
}

/// What callgrind runs: prints the number of packets that were counted.
fn work(name: &str) {
    let (_, make) = ELEMENTS.iter().find(|(known, _)| *known == name).expect("the name is the parent's");
    let mut element = make();
    let mut packets = 0;
    while packets < PACKETS {
        counted_by_callgrind(&mut *element);
        packets += element.packets();
    }
    println!("{packets}");
}

#[inline(never)]
fn counted_by_callgrind(element: &mut dyn Element) {
    element.round();
    // Not the last call, so that this function stays on the stack.
    std::hint::black_box(());
}

/// The compiler that cargo uses, and for what machine.
fn toolchain() -> Result<String, Failure> {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output()?;
    Ok(format!("{}, {}", String::from_utf8(output.stdout)?.trim(), env::consts::ARCH))
}

//! The machine, and the versions of what runs on it.

use std::fs;

use crate::command::run;
use crate::live::forwarder::dpdk_version;
use crate::{Failure, Programs};

/// A sender and a forwarder need a core each.
pub(crate) fn needs_two_cores() -> Result<(), Failure> {
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 { Err("two cores are needed, one for the sender".into()) } else { Ok(()) }
}

/// What and its value, for the head of the report.
pub(crate) fn described(programs: &Programs) -> Result<Vec<(&'static str, String)>, Failure> {
    let words = |program: &str, arguments: &[&str]| Ok::<_, Failure>(run(program, arguments)?.trim().to_owned());
    let cores = std::thread::available_parallelism()?.get();
    Ok(vec![
        ("date", words("date", &["--utc", "+%Y-%m-%d %H:%M UTC"])?),
        ("processor", format!("{}, {cores} cores", processor()?)),
        ("kernel", format!("{}; {}", words("uname", &["-srm"])?, mitigations()?)),
        ("portlane", words(&programs.portlane.to_string_lossy(), &["--version"])?),
        ("DPDK", format!("{}; rte_sched of this version compiled with -O3 -march=native", dpdk_version()?)),
        ("tcpdump", run("tcpdump", &["--version"])?.lines().collect::<Vec<_>>().join(", ")),
        ("tc", words("tc", &["-V"])?),
    ])
}

fn processor() -> Result<String, Failure> {
    let table = fs::read_to_string("/proc/cpuinfo")?;
    let value = |key: &str| table.lines().find(|line| line.starts_with(key))?.split_once(": ").map(|(_, value)| value);
    let hypervisor = if table.contains(" hypervisor") { ", a virtual machine" } else { "" };
    let [model, family, number] = ["model name", "cpu family", "model\t"].map(|key| value(key).unwrap_or("?"));
    Ok(format!("{model} (family {family}, model {number}){hypervisor}"))
}

/// What the kernel does about the processor's weaknesses: it decides what a system call and a packet cost.
fn mitigations() -> Result<String, Failure> {
    let mut active = Vec::new();
    for entry in fs::read_dir("/sys/devices/system/cpu/vulnerabilities")? {
        let entry = entry?;
        let state = fs::read_to_string(entry.path())?;
        if !state.starts_with("Not affected") {
            active.push(format!("{}: {}", entry.file_name().to_string_lossy(), state.trim()));
        }
    }
    active.sort();
    Ok(format!("mitigations: {}", if active.is_empty() { "none needed".to_owned() } else { active.join("; ") }))
}

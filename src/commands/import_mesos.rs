//! `portlane import-mesos`: from the flags of a Mesos agent with the `network/port_mapping` isolator to a configuration.
//!
//! Refusals are Mesos' own, as far as it has one, and in its order. Where its releases differ, the rules are those of the newest: there
//! a limit is at least 125000B unless a minimum is given.

use std::fmt::Write as _;

use crate::config;
use crate::failure::Failure;

use self::limits::{Limit, Limits, Note};
use self::pools::{Owner, Pools};
use self::rates::{RateStatistics, rate_statistics};
use super::outputs;

pub mod flags;
mod limits;
mod pools;
mod rates;
pub mod resources;
pub mod values;

pub use flags::ImportMesos;

#[cfg(test)]
mod tests;

/// Runs the command.
///
/// # Errors
///
/// Refused if Mesos would refuse the flags, or portlane has no such thing.
pub fn run(flags: &ImportMesos) -> Result<(), Failure> {
    outputs::print(&import(flags).map_err(Failure::refused)?)
}

/// The configuration, with what each flag was read as in comments.
///
/// # Errors
///
/// Why the flags cannot be used, naming the flag or its value.
pub fn import(flags: &ImportMesos) -> Result<String, String> {
    check_isolation(flags)?;
    let pools = Pools::check(flags)?;
    let limits = limits::both(flags)?;
    let rates = rate_statistics(flags)?;
    flags.egress_flow_classifier_parent.as_deref().map_or(Ok(()), values::check_classifier_parent)?;
    let owners = pools.owners(&flags.container)?;
    let mut notes = pool_notes(flags, &pools, owners.len());
    notes.extend(other_notes(flags));
    notes.extend(rates.as_ref().map(RateStatistics::note));
    let mut text = write(flags, &notes, &limits, &owners)?;
    text += &rates.map_or(String::new(), |rates| rates.to_toml());
    // Whatever Mesos allows, what is printed can be used.
    config::parse(&text, "the equivalent configuration").map_err(|error| error.to_string())?;
    Ok(text)
}

fn check_isolation(flags: &ImportMesos) -> Result<(), String> {
    let Some(list) = &flags.isolation else { return Ok(()) };
    let names = || list.split(',').map(str::trim);
    if names().filter(|name| name.starts_with("network/") && *name != "network/ports").count() > 1 {
        return Err(format!("Using multiple network isolators simultaneously is disallowed: --isolation={list}"));
    }
    if !names().any(|name| name == "network/port_mapping") {
        return Err(format!("--isolation={list} is without network/port_mapping: this agent limits nobody's network"));
    }
    Ok(())
}

fn pool_notes(flags: &ImportMesos, pools: &Pools, containers: usize) -> Vec<Note> {
    let (ports, ephemeral, block) = (&pools.ports, &pools.ephemeral, pools.block);
    let (blocks, count) = (pools.blocks().count(), ephemeral.count());
    let given = if containers < blocks { format!(", of which {containers} are used here") } else { String::new() };
    let mut notes = vec![
        Note {
            flag: "resources".to_owned(),
            meaning: format!("ephemeral_ports {ephemeral}: {count} ports, room for {blocks} blocks{given}"),
        },
        Note {
            flag: format!("ephemeral_ports_per_container={block}"),
            meaning: format!("{block} ports for each container, from a multiple of {block} on"),
        },
    ];
    if ports.count() > 0 {
        let whose = if flags.container.is_empty() {
            "whose they are is not said: name containers with --container ID=RESOURCES"
        } else {
            "those that a container was given are its own"
        };
        notes[0].meaning += &format!("; ports {ports}: {whose}");
    }
    notes
}

/// Flags that need no counterpart, or have none.
fn other_notes(flags: &ImportMesos) -> Vec<Note> {
    let interface =
        |name: &String| format!("interface = \"{name}\" of [nic], with the containers' interface beside it");
    let statistics = [
        ("network_enable_socket_statistics_summary", flags.network_enable_socket_statistics_summary),
        ("network_enable_socket_statistics_details", flags.network_enable_socket_statistics_details),
        ("network_enable_snmp_statistics", flags.network_enable_snmp_statistics),
    ];
    let asked = statistics.into_iter().filter(|(_, asked)| *asked == Some(true));
    let unique = |wanted| if wanted { "so it is" } else { "it is so all the same" };
    let known = [
        flags.eth0_name.as_ref().map(|name| (format!("eth0_name={name}"), interface(name))),
        flags
            .lo_name
            .as_ref()
            .map(|name| (format!("lo_name={name}"), "not used: loopback stays the kernel's".to_owned())),
        flags.network_link_speed.as_ref().map(|speed| {
            let speed = (format!("network_link_speed={speed}"), values::per_second(speed.count));
            (speed.0, format!("{}; a [link] with this rate would share it out", speed.1))
        }),
        flags.egress_unique_flow_per_container.map(|wanted| {
            let meaning = format!("{}: each container has a lane of its own, with fq_codel in it", unique(wanted));
            (format!("egress_unique_flow_per_container={wanted}"), meaning)
        }),
        flags.egress_flow_classifier_parent.as_ref().map(|parent| {
            (
                format!("egress_flow_classifier_parent={parent}"),
                "not used: no qdisc of the kernel's is needed".to_owned(),
            )
        }),
        flags.ingress_isolate_existing_containers.map(|wanted| {
            let meaning = "limits hold for every container from the start".to_owned();
            (format!("ingress_isolate_existing_containers={wanted}"), meaning)
        }),
    ];
    let asked = asked.map(|(flag, _)| (format!("{flag}=true"), "not in this version of portlane".to_owned()));
    known.into_iter().flatten().chain(asked).map(|(flag, meaning)| Note { flag, meaning }).collect()
}

fn write(flags: &ImportMesos, notes: &[Note], limits: &[Limits; 2], owners: &[Owner]) -> Result<String, String> {
    let mut out = "# What these flags of a Mesos agent (network/port_mapping) come to:\n#\n".to_owned();
    for note in notes.iter().chain(limits.iter().flat_map(|limits| &limits.notes)) {
        let _ = writeln!(out, "# --{}\n#     {}", comment(&note.flag), comment(&note.meaning));
    }
    out += "#\n# Queues are Mesos' fq_codel with its defaults, which are portlane's. Limits without a burst have tc's 1600b, as\n\
            # in Mesos: `portlane check` says what would serve better.\n";
    let shared: Vec<_> =
        limits.iter().filter(|limits| !limits.depends_on_cpus() || flags.container.is_empty()).collect();
    if limits.iter().any(Limits::depends_on_cpus) && flags.container.is_empty() {
        out += "# Limits by cpu are as for one: name containers and their cpus with --container ID=RESOURCES.\n";
    }
    let defaults = lines(shared.iter().copied(), None)?;
    if !defaults.is_empty() {
        let _ = write!(out, "\n[defaults]\n{defaults}");
    }
    for owner in owners {
        let id = toml::Value::from(owner.id.as_str());
        let ports: Vec<_> = owner.ports.iter().map(|range| format!("\"{range}\"")).collect();
        let own = limits.iter().filter(|limits| limits.depends_on_cpus() && !flags.container.is_empty());
        let own = lines(own, Some(owner))?;
        let _ = write!(out, "\n[[container]]\nid = {id}\nports = [{}]\n{own}", ports.join(", "));
    }
    Ok(out)
}

/// A line for each direction that is limited: of an owner, or of all.
fn lines<'a>(limits: impl Iterator<Item = &'a Limits>, owner: Option<&Owner>) -> Result<String, String> {
    let mut out = String::new();
    for limits in limits {
        let limit = limits.of(owner.and_then(|owner| owner.millicpus));
        let limit = limit.map_err(|why| owner.map_or(why.clone(), |owner| format!("container {}: {why}", owner.id)))?;
        if let Some(limit) = limit.map(Limit::to_toml) {
            let _ = writeln!(out, "{} = {limit}", limits.direction);
        }
    }
    Ok(out)
}

/// What was given stays on the comment's line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

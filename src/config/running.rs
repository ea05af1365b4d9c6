//! How a live portlane behaves: while nothing happens, when an interface goes down, and at its end.

use std::fmt;

use portlane_shaper::Nanos;
use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;
use super::file;
use super::values::Text;

/// How long queues may drain at the end, if the configuration does not say.
const DEFAULT_DRAIN: Nanos = Nanos::from_millis(1_000);

/// The longest that they may: whoever stops a service (systemd after 90 s) kills what does not stop.
const LONGEST_DRAIN: Nanos = Nanos::from_millis(60_000);

/// How a live portlane behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Which way packets get from the interfaces and back.
    pub io: Io,
    /// What the worker does while nothing happens.
    pub idle: Idle,
    /// What becomes of a run whose interface goes down.
    pub interface_down: InterfaceDown,
    /// How long queues may drain at the end.
    pub drain: Nanos,
    /// What becomes of offloads that have to be off.
    pub offloads: Switching,
    /// What becomes of checksums that were left to a network card.
    pub checksums: Checksums,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            io: Io::default(),
            idle: Idle::default(),
            interface_down: InterfaceDown::default(),
            drain: DEFAULT_DRAIN,
            offloads: Switching::default(),
            checksums: Checksums::default(),
        }
    }
}

/// Which way packets get from the interfaces and back: a rung of the ladder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Io {
    /// The best that the interfaces can do.
    #[default]
    Auto,
    /// AF_XDP: the driver reads and writes frames in place.
    ZeroCopy,
    /// AF_XDP: native XDP in the driver, and one copy.
    Copy,
    /// AF_XDP: XDP after the driver, and one copy.
    Generic,
    /// Packet sockets, where there is no AF_XDP.
    Packet,
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
            Self::Packet => "packet",
        })
    }
}

/// What the worker does while nothing happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// It spins for as long as that is worth it, then sleeps until a packet comes or the next departure is due.
    #[default]
    Adaptive,
    /// It spins, and never sleeps.
    Busy,
    /// It spins, and has the kernel look for packets on its core (`SO_PREFER_BUSY_POLL`), for drivers that can.
    BusyPoll,
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Adaptive => "adaptive",
            Self::Busy => "busy",
            Self::BusyPoll => "busy-poll",
        })
    }
}

/// What becomes of a run whose interface goes down. One that is deleted ends the run in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceDown {
    /// It waits until the interface is up again.
    #[default]
    Wait,
    /// It ends, with exit code 1.
    End,
}

impl fmt::Display for InterfaceDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wait => "wait",
            Self::End => "end",
        })
    }
}

/// What becomes of offloads that have to be off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switching {
    /// They are switched off, and put back at the end.
    #[default]
    Switch,
    /// They stay as they are, and a warning says so.
    Keep,
}

impl fmt::Display for Switching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Switch => "switch",
            Self::Keep => "keep",
        })
    }
}

/// What becomes of checksums of TCP and UDP that were left to a network card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksums {
    /// They are sent on as they came.
    #[default]
    Keep,
    /// They are completed.
    Complete,
}

impl fmt::Display for Checksums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Complete => "complete",
        })
    }
}

/// `nic`: the host has the interface too.
pub(super) fn io(written: Option<&Spanned<Io>>, nic: Option<&file::Nic>) -> Result<Io, Problem> {
    let Some(written) = written else { return Ok(Io::default()) };
    let io = *written.get_ref();
    if matches!(io, Io::Generic | Io::ZeroCopy) && nic.is_some_and(|nic| nic.containers.is_some()) {
        let problem = Problem::at(written.span(), format!("containers that are attached cannot do with io = \"{io}\""));
        return Err(problem.help("they are behind pairs of interfaces, with native XDP and one copy: leave io out"));
    }
    if io == Io::Packet && nic.is_some() {
        let problem = Problem::at(written.span(), "[nic] cannot use io = \"packet\"");
        return Err(problem.help(
            "packet sockets get copies and take nothing, so that the host would answer what is for containers: leave io out, \
             or join two interfaces by [wire]",
        ));
    }
    Ok(io)
}

pub(super) fn drain(written: Option<&Spanned<Text<Nanos>>>) -> Result<Nanos, Problem> {
    let Some(written) = written else { return Ok(DEFAULT_DRAIN) };
    let Text(drain) = *written.get_ref();
    if drain <= LONGEST_DRAIN {
        return Ok(drain);
    }
    let problem = Problem::at(written.span(), format!("drain is {drain}, and the most is {LONGEST_DRAIN}"));
    Err(problem.help("what waits longer than that had better be lost: give a time, as in drain = \"1s\""))
}

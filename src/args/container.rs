//! Arguments of `container`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;

/// What becomes of containers.
#[derive(Debug, Subcommand)]
pub enum Container {
    /// Add a container, or put it in place of one that was added; prints the ports that it has
    Add {
        /// Its name
        #[arg(value_name = "ID")]
        id: String,
        /// Ports, as 8080 or 31000-31499; or auto:N for N of [control] ephemeral_ports, a power of two
        #[arg(long, required = true, value_delimiter = ',', value_name = "PORTS")]
        ports: Vec<String>,
        /// Its network namespace: with containers = "attached" of [nic] it gets an eth0 there, with proc of [netstat] what is
        /// counted there is read
        #[arg(long, value_name = "PATH")]
        netns: Option<PathBuf>,
        /// A process in its network namespace, in place of --netns
        #[arg(long, value_name = "N", conflicts_with = "netns", value_parser = clap::value_parser!(u32).range(1..))]
        pid: Option<u32>,
        /// What else it is
        #[command(flatten)]
        keys: Keys,
        /// Of whom
        #[command(flatten)]
        target: Target,
    },
    /// Change a container that was added: what is not named stays
    Set {
        /// Its name
        #[arg(value_name = "ID")]
        id: String,
        /// Other ports, as with `add`
        #[arg(long, value_delimiter = ',', value_name = "PORTS")]
        ports: Vec<String>,
        /// What else it is to be
        #[command(flatten)]
        keys: Keys,
        /// Of whom
        #[command(flatten)]
        target: Target,
    },
    /// Remove a container that was added; what waits in its lanes still leaves
    Remove {
        /// Its name
        #[arg(value_name = "ID")]
        id: String,
        /// Of whom
        #[command(flatten)]
        target: Target,
    },
    /// Show all containers, and which of them were added
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Of whom
        #[command(flatten)]
        target: Target,
    },
}

/// Keys of a container.
#[derive(Debug, Args)]
pub struct Keys {
    /// Rate of what it receives, as 100mbit
    #[arg(long, value_name = "RATE")]
    pub ingress_rate: Option<String>,
    /// Rate of what it sends
    #[arg(long, value_name = "RATE")]
    pub egress_rate: Option<String>,
    /// The group that it is in
    #[arg(long, value_name = "ID")]
    pub group: Option<String>,
    /// Any key of [[container]] as the configuration has it: --key 'queue = { kind = "codel" }'
    #[arg(long = "key", value_name = "TOML")]
    pub keys: Vec<String>,
}

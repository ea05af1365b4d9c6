//! The flags, by the names that Mesos gave them.

use clap::{ArgAction, Args};

use super::resources::{Resources, Task};
use super::values::{Bytes, Duration};

/// Arguments of `import-mesos`: flags of a Mesos agent, and what the agent is not told but learns.
#[derive(Debug, Args)]
#[command(rename_all = "snake_case")]
pub struct ImportMesos {
    /// As in `cpus:8;ports:[31000-32000];ephemeral_ports:[32768-57344]`
    #[arg(long, value_name = "TEXT")]
    pub resources: Option<Resources>,
    /// Must name network/port_mapping, if given
    #[arg(long, value_name = "LIST")]
    pub isolation: Option<String>,
    /// Ports of each container's block: a power of two, 16 at least
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    pub ephemeral_ports_per_container: u16,
    /// The public interface
    #[arg(long, value_name = "IF")]
    pub eth0_name: Option<String>,
    /// The loopback interface
    #[arg(long, value_name = "IF")]
    pub lo_name: Option<String>,
    /// Limit of each container's egress, bytes per second; 0B is none
    #[arg(long, value_name = "BYTES")]
    pub egress_rate_limit_per_container: Option<Bytes>,
    /// The same for each whole cpu of a container, or `auto`: the link's speed by the agent's cpus
    #[arg(long, value_name = "BYTES|auto")]
    pub egress_rate_per_cpu: Option<String>,
    /// Least limit of egress, bytes per second [without: 125000B]
    #[arg(long, value_name = "BYTES")]
    pub minimum_egress_rate_limit: Option<Bytes>,
    /// Greatest limit of egress, bytes per second
    #[arg(long, value_name = "BYTES")]
    pub maximum_egress_rate_limit: Option<Bytes>,
    /// Egress that may be borrowed up to, bytes per second; counts if it is above the limit
    #[arg(long, value_name = "BYTES")]
    pub egress_ceil_limit: Option<Bytes>,
    /// Burst of egress; counts if there is a ceil
    #[arg(long, value_name = "BYTES")]
    pub egress_burst: Option<Bytes>,
    /// Limit of each container's ingress, bytes per second; 0B is none
    #[arg(long, value_name = "BYTES")]
    pub ingress_rate_limit_per_container: Option<Bytes>,
    /// The same for each whole cpu of a container, or `auto`
    #[arg(long, value_name = "BYTES|auto")]
    pub ingress_rate_per_cpu: Option<String>,
    /// Least limit of ingress, bytes per second [without: 125000B]
    #[arg(long, value_name = "BYTES")]
    pub minimum_ingress_rate_limit: Option<Bytes>,
    /// Greatest limit of ingress, bytes per second
    #[arg(long, value_name = "BYTES")]
    pub maximum_ingress_rate_limit: Option<Bytes>,
    /// Ingress that may be borrowed up to, bytes per second; counts if it is above the limit
    #[arg(long, value_name = "BYTES")]
    pub ingress_ceil_limit: Option<Bytes>,
    /// Burst of ingress; counts if there is a ceil
    #[arg(long, value_name = "BYTES")]
    pub ingress_burst: Option<Bytes>,
    /// Whether limits hold for containers that were started without
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub ingress_isolate_existing_containers: Option<bool>,
    /// Whether each container is a flow of its own on the way out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub egress_unique_flow_per_container: Option<bool>,
    /// Where that is attached: `root`, or `MAJOR:MINOR` in hexadecimal
    #[arg(long, value_name = "PARENT")]
    pub egress_flow_classifier_parent: Option<String>,
    /// The link's speed, bytes per second
    #[arg(long, value_name = "BYTES")]
    pub network_link_speed: Option<Bytes>,
    /// Socket statistics in short
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub network_enable_socket_statistics_summary: Option<bool>,
    /// Socket statistics in detail
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub network_enable_socket_statistics_details: Option<bool>,
    /// The kernel's SNMP counters
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub network_enable_snmp_statistics: Option<bool>,
    /// Percentiles of rates
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub network_enable_rate_statistics: Option<bool>,
    /// How long they look back
    #[arg(long, value_name = "DURATION")]
    pub network_rate_statistics_window: Option<Duration>,
    /// How often rates are sampled: at least 20ms, less than the window
    #[arg(long, value_name = "DURATION")]
    pub network_rate_statistics_interval: Option<Duration>,
    /// The agent host's net.ipv4.ip_local_port_range, to be kept apart from ephemeral_ports [without: not looked at]
    #[arg(long, value_name = "\"FIRST LAST\"")]
    pub ip_local_port_range: Option<String>,
    /// A container and what Mesos gave it, as in `web=cpus:2;ports:[31000-31499]`; it gets the next ephemeral block.
    /// Any number of times [without: a container for each block]
    #[arg(long, value_name = "ID=RESOURCES")]
    pub container: Vec<Task>,
}

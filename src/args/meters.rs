//! Arguments of the commands of meters.

use clap::Args;

use super::Target;

/// Arguments of `meter-label-create`.
#[derive(Debug, Args)]
pub struct NewMeterLabel {
    /// Its name; need not be unique
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Of no meaning to portlane
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    /// Nobody's in particular
    #[arg(long)]
    pub shared: bool,
    /// Who it is for: told with what was counted
    #[arg(long = "project-id", visible_alias = "tenant-id", value_name = "ID", default_value = "")]
    pub project_id: String,
    /// Of whom
    #[command(flatten)]
    pub target: Target,
}

/// A label of meters.
#[derive(Debug, Args)]
pub struct MeterLabel {
    /// Its id, or its name if no other has that
    #[arg(value_name = "LABEL")]
    pub label: String,
    /// Of whom
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `meter-label-rule-create`.
#[derive(Debug, Args)]
pub struct NewMeterRule {
    /// The label's id, or its name if no other has that
    #[arg(value_name = "LABEL")]
    pub label: String,
    /// Of the far end's addresses: the source of ingress, the destination of egress
    #[arg(value_name = "REMOTE_IP_PREFIX")]
    pub remote_ip_prefix: Option<String>,
    /// The same, as an option
    #[arg(long = "remote-ip-prefix", value_name = "PREFIX", conflicts_with = "remote_ip_prefix")]
    pub remote_ip_prefix_option: Option<String>,
    /// Of the packets, as seen from the containers: ingress or egress
    #[arg(long, value_name = "DIRECTION", default_value = "ingress")]
    pub direction: String,
    /// What it names does not count, whatever other rules of the label say
    #[arg(long)]
    pub excluded: bool,
    /// Of the packets' sources
    #[arg(long, value_name = "PREFIX")]
    pub source_ip_prefix: Option<String>,
    /// Of the packets' destinations
    #[arg(long, value_name = "PREFIX")]
    pub destination_ip_prefix: Option<String>,
    /// Of whom
    #[command(flatten)]
    pub target: Target,
}

/// A rule of meters.
#[derive(Debug, Args)]
pub struct MeterRule {
    /// Its id
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// Of whom
    #[command(flatten)]
    pub target: Target,
}

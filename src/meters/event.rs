//! What is told of a meter: Neutron's `l3.meter` (`neutron/services/metering/agents/metering_agent.py`).

use serde::{Deserialize, Serialize};

/// What was counted since the last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `l3.meter`; or `l3.meter.label`, `l3.meter.container`, `l3.meter.project` or `l3.meter.label_container`.
    pub event_type: String,
    /// The figures.
    pub payload: Payload,
    /// `metering.` and the host.
    pub publisher_id: String,
    /// When it was told, in seconds since the epoch.
    pub timestamp: u64,
    /// Of this event alone: a receiver that gets it twice knows it by that.
    pub message_id: String,
}

/// Its figures. Times are in seconds, and since the epoch where they are points in time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Packets since the last report.
    pub pkts: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
    /// How long they were counted for.
    pub time: u64,
    /// When the meter was looked at first.
    pub first_update: u64,
    /// When it was looked at last.
    pub last_update: u64,
    /// The machine.
    pub host: String,
    /// `label-ID`, `container-ID`, `project-ID` or `container-ID-label-ID`; of granular events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// The label, unless several are together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_id: Option<String>,
    /// Its name; of granular events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name: Option<String>,
    /// Whether it is shared; of granular events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_shared: Option<bool>,
    /// The container; of granular events of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The label's project, unless several are together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The same under its older name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

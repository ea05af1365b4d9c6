//! What flows did, in the few numbers that people ask for: by container, by server port, or by pair.

use std::net::IpAddr;
use std::ops::AddAssign;

use clap::ValueEnum;
use portlane_flows::{CloseType, Meter};
use serde::{Deserialize, Serialize};

/// What figures are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Containers, be they client or server; `tx` is what they sent.
    #[default]
    Container,
    /// Ports that containers serve; `tx` is what they sent.
    Port,
    /// Client, server and its port; `tx` is what clients sent.
    Pair,
}

/// Of whom. What it is not added up by is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Of {
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<String>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_0: Option<IpAddr>,
    /// The client's container; empty if it is none's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_id_0: Option<String>,
    /// The server's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_1: Option<IpAddr>,
    /// The server's container; empty if it is none's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_id_1: Option<String>,
    /// IP protocol number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// The server's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_port: Option<u16>,
}

/// Figures of somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whose they are.
    #[serde(flatten)]
    pub of: Of,
    /// What they did.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What there is to say of a time, those with the most bytes first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What it is added up by.
    pub by: By,
    /// From this second since 1970 on.
    pub from: u64,
    /// Up to, and without, this one.
    pub until: u64,
    /// Packets of others than those in `rows`: they were among too many, or not among the first that were asked for.
    pub other_packets: u64,
    /// Figures.
    pub rows: Vec<Line>,
}

impl Told {
    /// These lines, as far as they are among the first `top`.
    pub(super) fn new(by: By, (from, until): (u64, u64), other_packets: u64, mut rows: Vec<Line>, top: usize) -> Self {
        rows.sort_by(|one, other| other.figures.bytes().cmp(&one.figures.bytes()).then_with(|| one.of.cmp(&other.of)));
        let beyond: u64 = rows.iter().skip(top).map(|line| line.figures.packets()).sum();
        rows.truncate(top);
        Self { by, from, until, other_packets: other_packets + beyond, rows }
    }
}

/// Each figure with how two are put together, and what it is of a meter.
macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident: $join:ident, $of:expr;)+) => {
        /// Some columns of the tables of flows, by their names there: times in microseconds.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Figures { $($(#[$doc])* pub $name: u64,)+ }

        impl Figures {
            /// The names of all.
            pub(super) const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// The one of a name.
            pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }
        }

        impl From<&Meter> for Figures {
            fn from(meter: &Meter) -> Self {
                $(let $name: fn(&Meter) -> u64 = $of;)+
                Self { $($name: $name(meter),)+ }
            }
        }

        impl AddAssign<&Figures> for Figures {
            fn add_assign(&mut self, other: &Self) {
                $(self.$name = u64::$join(self.$name, other.$name);)+
            }
        }
    };
}

figures! {
    /// Packets sent.
    packet_tx: saturating_add, |meter| meter.packet.tx;
    /// Packets received.
    packet_rx: saturating_add, |meter| meter.packet.rx;
    /// Bytes sent.
    byte_tx: saturating_add, |meter| meter.byte.tx;
    /// Bytes received.
    byte_rx: saturating_add, |meter| meter.byte.rx;
    /// Flows that began.
    new_flow: saturating_add, |meter| meter.new_flow;
    /// Flows that ended.
    closed_flow: saturating_add, |meter| meter.closes.total();
    /// Handshakes.
    rtt_sum: saturating_add, |meter| meter.rtt.sum_us();
    /// How many.
    rtt_count: saturating_add, |meter| meter.rtt.count;
    /// The longest.
    rtt_max: max, |meter| meter.rtt.max_us();
    /// Questions until they were acknowledged.
    srt_sum: saturating_add, |meter| meter.srt.sum_us();
    /// How many.
    srt_count: saturating_add, |meter| meter.srt.count;
    /// The longest.
    srt_max: max, |meter| meter.srt.max_us();
    /// Questions until they were answered.
    art_sum: saturating_add, |meter| meter.art.sum_us();
    /// How many.
    art_count: saturating_add, |meter| meter.art.count;
    /// The longest.
    art_max: max, |meter| meter.art.max_us();
    /// Sent again.
    retrans_tx: saturating_add, |meter| meter.retrans.tx;
    /// Received again.
    retrans_rx: saturating_add, |meter| meter.retrans.rx;
    /// Windows of 0 sent.
    zero_win_tx: saturating_add, |meter| meter.zero_win.tx;
    /// Windows of 0 received.
    zero_win_rx: saturating_add, |meter| meter.zero_win.rx;
    /// Connections that were not established.
    tcp_establish_fail: saturating_add, |meter| meter.closes.establish_fail();
    /// Connections that failed later.
    tcp_transfer_fail: saturating_add, |meter| meter.closes.transfer_fail();
    /// Connections that were silent for too long: among those that failed later.
    tcp_timeout: saturating_add, |meter| meter.closes.get(CloseType::Timeout);
    /// Questions of applications.
    l7_request: saturating_add, |meter| meter.applications().request.into();
    /// Answers.
    l7_response: saturating_add, |meter| meter.applications().response.into();
    /// Answers of errors.
    l7_error: saturating_add, |meter| meter.applications().error().into();
    /// Questions without answer.
    l7_timeout: saturating_add, |meter| meter.applications().timeout.into();
    /// Questions of applications until they were answered.
    rrt_sum: saturating_add, |meter| meter.applications().rrt.sum_us();
    /// How many.
    rrt_count: saturating_add, |meter| meter.applications().rrt.count;
    /// The longest.
    rrt_max: max, |meter| meter.applications().rrt.max_us();
}

impl Figures {
    /// Packets of both directions.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packet_tx.saturating_add(self.packet_rx)
    }

    /// Bytes of both directions.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.byte_tx.saturating_add(self.byte_rx)
    }
}

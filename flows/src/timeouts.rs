//! How long flows may be silent.

use crate::SECOND;

/// The longest time that a flow may be silent: a day.
const LONGEST: u64 = 86_400 * SECOND;

/// For how many nanoseconds a flow lives on after its last packet: from a second to a day, and what is beyond is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// An established connection.
    pub established: u64,
    /// A connection that was reset after it was established; and ICMP and all that is neither TCP nor UDP, once there are
    /// packets in both directions.
    pub closing_rst: u64,
    /// A connection that the client reset while it was being established.
    pub opening_rst: u64,
    /// A connection that both sides have closed.
    pub closed_fin: u64,
    /// All else: connections that are being opened or closed, that make no sense, or have packets in one direction
    /// alone; UDP.
    pub others: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            established: 300 * SECOND,
            closing_rst: 35 * SECOND,
            opening_rst: SECOND,
            closed_fin: 2 * SECOND,
            others: 5 * SECOND,
        }
    }
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    Established,
    ClosingRst,
    OpeningRst,
    ClosedFin,
    Others,
}

impl Timeouts {
    pub(crate) fn get(&self, which: Timeout) -> u64 {
        let timeout = match which {
            Timeout::Established => self.established,
            Timeout::ClosingRst => self.closing_rst,
            Timeout::OpeningRst => self.opening_rst,
            Timeout::ClosedFin => self.closed_fin,
            Timeout::Others => self.others,
        };
        timeout.clamp(SECOND, LONGEST)
    }

    /// For how long any flow may be silent.
    pub(crate) fn longest(&self) -> u64 {
        use Timeout::{ClosedFin, ClosingRst, Established, OpeningRst, Others};
        let all = [Established, ClosingRst, OpeningRst, ClosedFin, Others];
        all.iter().map(|&which| self.get(which)).max().unwrap_or(LONGEST)
    }
}

//! One TCP connection, as seen from between its ends.

pub(crate) mod state;
#[cfg(test)]
mod tests;

use crate::close::CloseType;
use crate::digest::{Flags, Segment};
use crate::meter::Side;
use crate::tcp::state::State;
use crate::timeouts::Timeout;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    state: State,
    timeout: Timeout,
    /// All flags that each side has ever set, the client's first.
    flags: [Flags; 2],
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self { state: State::Raw, timeout: Timeout::Others, flags: [Flags::NONE; 2] }
    }

    pub(crate) fn packet(&mut self, segment: &Segment, side: Side) {
        let seen = &mut self.flags[side as usize];
        *seen = seen.with(segment.flags);
        (self.state, self.timeout) = self.state.next(segment.flags, side);
    }

    /// How long it may be silent now.
    pub(crate) fn timeout(&self) -> Timeout {
        self.timeout
    }

    /// How it ended, now that it has been silent for too long. `from_server` is how many packets the server has sent.
    pub(crate) fn close_type(&self, from_server: u64) -> CloseType {
        /// More packets than the SYN+ACK and two repetitions of it.
        const GAVE_UP: u64 = 3;
        let server_reset = self.flags[1].contains(Flags::RST);
        match self.state {
            State::Raw | State::Exception => CloseType::Unknown,
            State::Opening1 => CloseType::ServerSynMiss,
            State::Opening2 => CloseType::ClientAckMiss,
            State::Established => CloseType::Timeout,
            State::ClosingTx1 => CloseType::ServerHalfClose,
            State::ClosingRx1 => CloseType::ClientHalfClose,
            State::ClosingTx2 | State::ClosingRx2 | State::Closed => CloseType::Finish,
            State::ServerRefused => CloseType::ServerRefused,
            State::SynAck1 => CloseType::ServerQueueLack,
            State::QueueLackCandidate if from_server > GAVE_UP => CloseType::ServerQueueLack,
            State::QueueLackCandidate => CloseType::ClientReset,
            State::Reset | State::Syn1 | State::PortReuse | State::EstablishReset | State::OpeningReset
                if self.is_probe() =>
            {
                CloseType::Probe
            }
            State::Syn1 | State::PortReuse => CloseType::ClientSourcePortReuse,
            State::Reset if server_reset => CloseType::ServerReset,
            State::Reset => CloseType::ClientReset,
            State::EstablishReset | State::OpeningReset if server_reset => CloseType::ServerEstablishReset,
            State::EstablishReset | State::OpeningReset => CloseType::ClientEstablishReset,
        }
    }

    /// Whether it was no more than a look whether the server answers.
    fn is_probe(&self) -> bool {
        let [client, server] = self.flags;
        let pushed = client.contains(Flags::PSH) || server.contains(Flags::PSH);
        !pushed && client.contains(Flags::SYN.with(Flags::RST)) && server.contains(Flags::SYN.with(Flags::ACK))
    }
}

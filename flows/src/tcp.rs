//! One TCP connection, as seen from between its ends.

mod received;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod times;

use crate::close::CloseType;
use crate::digest::{Flags, Segment};
use crate::meter::{Meter, Side};
use crate::timeouts::Timeout;
use received::{Arrival, Received};
use state::State;
use times::{LEAST_DATA, Times};

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    state: State,
    timeout: Timeout,
    /// All flags that each side has ever set, the client's first, as in all pairs here.
    flags: [Flags; 2],
    syn_sent: [bool; 2],
    syn_ack_sent: [bool; 2],
    /// The latest time of a packet that times were measured by.
    last_ns: u64,
    times: Times,
    received: [Received; 2],
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Raw,
            timeout: Timeout::Others,
            flags: [Flags::NONE; 2],
            syn_sent: [false; 2],
            syn_ack_sent: [false; 2],
            received: Default::default(),
            times: Times::new(),
            last_ns: 0,
        }
    }

    /// A packet with `payload` bytes of data, at `now_ns`. False if it begins with data that was seen before, or is older than others.
    pub(crate) fn packet(
        &mut self,
        segment: &Segment,
        payload: u32,
        side: Side,
        now_ns: u64,
        meter: &mut Meter,
    ) -> bool {
        let seen = &mut self.flags[side as usize];
        *seen = seen.with(segment.flags);
        (self.state, self.timeout) = self.state.next(segment.flags, side);
        let role = Role::of(segment.flags, payload);
        meter.syn_count += u64::from(role == Role::Syn);
        meter.synack_count += u64::from(role == Role::SynAck);
        match role {
            Role::None => {
                self.times.disturbed();
                true
            }
            // Nothing can be measured by times that run backwards.
            _ if now_ns < self.last_ns => false,
            role => {
                self.last_ns = now_ns;
                self.measure(role, segment, payload, side, meter)
            }
        }
    }

    fn measure(&mut self, role: Role, segment: &Segment, payload: u32, side: Side, meter: &mut Meter) -> bool {
        let mut is_new = true;
        match role {
            Role::None => {}
            Role::Syn => {
                if std::mem::replace(&mut self.syn_sent[side as usize], true) {
                    meter.retrans.add(side, 1);
                    meter.retrans_syn += 1;
                }
                self.times.syn(segment, side, self.last_ns);
            }
            Role::SynAck => {
                if std::mem::replace(&mut self.syn_ack_sent[side as usize], true) {
                    meter.retrans.add(side, 1);
                    meter.retrans_synack += 1;
                }
                self.times.syn_ack(segment, side, self.last_ns, meter);
            }
            Role::Data => match self.data(segment, payload, side, meter) {
                Arrival::Overlap => {
                    self.times.overlap(segment, payload, side);
                    return true;
                }
                arrival => {
                    is_new = arrival != Arrival::Again;
                    self.times.packet(segment, payload, side, self.last_ns, meter);
                }
            },
            Role::Other => self.times.packet(segment, payload, side, self.last_ns, meter),
        }
        if segment.window == 0 && !self.times.in_handshake() {
            meter.zero_win.add(side, 1);
        }
        is_new
    }

    /// How data fits what was seen before.
    fn data(&mut self, segment: &Segment, payload: u32, side: Side, meter: &mut Meter) -> Arrival {
        let arrival = self.received[side as usize].segment(segment.seq, payload);
        match arrival {
            Arrival::New | Arrival::Overlap => {}
            Arrival::Again => meter.retrans.add(side, 1),
            Arrival::OutOfOrder => meter.ooo.add(side, 1),
        }
        arrival
    }

    /// How long it may be silent now.
    pub(crate) fn timeout(&self) -> Timeout {
        self.timeout
    }

    /// How it ended, now that it has been silent for too long. `from_server` is how many packets the server has sent, and `answered`
    /// whether all that it said of applications was well.
    pub(crate) fn close_type(&self, from_server: u64, answered: bool) -> CloseType {
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
            // Who has got an answer may hang up.
            State::Reset if answered => CloseType::Probe,
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

/// What a packet is to what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A reset, or flags that no conversation has.
    None,
    /// SYN alone.
    Syn,
    /// SYN+ACK without data.
    SynAck,
    /// Data.
    Data,
    /// Anything else: acknowledgments, the end of data.
    Other,
}

impl Role {
    fn of(flags: Flags, payload: u32) -> Self {
        let has = |flag| flags.contains(flag);
        let senseless = has(Flags::SYN) && has(Flags::FIN);
        let unacknowledged = !has(Flags::ACK) && flags != Flags::SYN;
        if has(Flags::RST) || senseless || unacknowledged {
            Self::None
        } else if flags == Flags::SYN {
            Self::Syn
        } else if flags == Flags::SYN.with(Flags::ACK) && payload == 0 {
            Self::SynAck
        } else if payload >= LEAST_DATA {
            Self::Data
        } else {
            Self::Other
        }
    }
}

//! How long ends take to answer, as seen from between them.

use crate::SECOND;
use crate::digest::{Flags, Segment};
use crate::meter::{Meter, Side};

const LONGEST_RTT: u64 = 30 * SECOND;
const LONGEST_SRT: u64 = 10 * SECOND;
const LONGEST_ART: u64 = 30 * SECOND;

/// Fewer bytes than these are taken for a probe whether the other side is still there.
pub(super) const LEAST_DATA: u32 = 2;

/// How far the handshake is.
#[derive(Clone, Copy, Debug)]
enum Handshake {
    /// Neither SYN nor SYN+ACK yet.
    Before,
    /// The client's SYN was seen.
    Begun {
        /// When.
        syn_ns: u64,
        /// What acknowledges it.
        syn_ack: u32,
        /// When SYN+ACK came first, and what acknowledges that.
        answered: Option<(u64, u32)>,
        /// Whether nothing came in between that has no place in a handshake.
        undisturbed: bool,
    },
    /// Something else was seen after them, or SYN+ACK without SYN.
    Over,
}

/// What times are measured from.
#[derive(Debug)]
pub(super) struct Times {
    handshake: Handshake,
    /// When the client asked, if the next packet may be the server's acknowledgment of it.
    asked_ns: Option<u64>,
    /// When the client asked, if the next data may be the server's answer to it.
    unanswered_ns: Option<u64>,
    /// What follows the last packet of each side, the client's first.
    next_seq: [Option<u32>; 2],
}

impl Times {
    pub(super) fn new() -> Self {
        Self { handshake: Handshake::Before, asked_ns: None, unanswered_ns: None, next_seq: [None; 2] }
    }

    /// Whether SYN was seen and nothing but SYN and SYN+ACK.
    pub(super) fn in_handshake(&self) -> bool {
        matches!(self.handshake, Handshake::Begun { .. })
    }

    /// A packet that has no place in a conversation: what was to be measured cannot be.
    pub(super) fn disturbed(&mut self) {
        self.forget_question();
        if let Handshake::Begun { undisturbed, .. } = &mut self.handshake {
            *undisturbed = false;
        }
    }

    /// Data that contradicts what was seen before: nothing is measured by it, but what follows it goes on there.
    pub(super) fn overlap(&mut self, segment: &Segment, payload: u32, side: Side) {
        self.forget_question();
        self.sent(segment, payload, side);
    }

    fn forget_question(&mut self) {
        (self.asked_ns, self.unanswered_ns) = (None, None);
    }

    /// A SYN.
    pub(super) fn syn(&mut self, segment: &Segment, side: Side, now_ns: u64) {
        self.forget_question();
        if side == Side::Client && matches!(self.handshake, Handshake::Before) {
            let syn_ack = segment.seq.wrapping_add(1);
            self.handshake = Handshake::Begun { syn_ns: now_ns, syn_ack, answered: None, undisturbed: true };
        }
        self.sent(segment, 1, side);
    }

    /// A SYN+ACK.
    pub(super) fn syn_ack(&mut self, segment: &Segment, side: Side, now_ns: u64, meter: &mut Meter) {
        self.forget_question();
        match (&mut self.handshake, side) {
            (Handshake::Begun { syn_ns, syn_ack, answered, .. }, Side::Server) if segment.ack == *syn_ack => {
                meter.rtt_server.measure(*syn_ns, now_ns, LONGEST_RTT);
                answered.get_or_insert((now_ns, segment.seq.wrapping_add(1)));
            }
            // What answers a SYN that was not seen says nothing about one that comes later.
            (Handshake::Before, Side::Server) => self.handshake = Handshake::Over,
            _ => {}
        }
        self.sent(segment, 1, side);
    }

    /// Any other packet.
    pub(super) fn packet(&mut self, segment: &Segment, payload: u32, side: Side, now_ns: u64, meter: &mut Meter) {
        let bare = segment.flags == Flags::ACK && payload == 0;
        if bare && side == Side::Client {
            self.handshake_ends(segment.ack, now_ns, meter);
        }
        // What is left of another connection is no part of this one's.
        if !matches!(self.handshake, Handshake::Before) {
            self.handshake = Handshake::Over;
        }
        match side {
            Side::Client => {
                let asks = segment.flags == Flags::ACK.with(Flags::PSH) && payload >= LEAST_DATA;
                self.asked_ns = asks.then_some(now_ns);
                self.unanswered_ns = self.asked_ns;
            }
            Side::Server => self.answer(segment, payload, bare, now_ns, meter),
        }
        self.sent(segment, payload, side);
    }

    fn handshake_ends(&self, ack: u32, now_ns: u64, meter: &mut Meter) {
        if let Handshake::Begun { syn_ns, answered: Some((answered_ns, expected)), undisturbed, .. } = self.handshake
            && ack == expected
        {
            meter.rtt_client.measure(answered_ns, now_ns, LONGEST_RTT);
            if undisturbed {
                meter.rtt.measure(syn_ns, now_ns, LONGEST_RTT);
            }
        }
    }

    fn answer(&mut self, segment: &Segment, payload: u32, bare: bool, now_ns: u64, meter: &mut Meter) {
        let [client_next, server_next] = self.next_seq;
        if let Some(asked_ns) = self.asked_ns.take()
            && bare
            && client_next == Some(segment.ack)
        {
            meter.srt.measure(asked_ns, now_ns, LONGEST_SRT);
        }
        if bare {
            return;
        }
        if let Some(asked_ns) = self.unanswered_ns.take()
            && payload >= LEAST_DATA
            && server_next == Some(segment.seq)
        {
            meter.art.measure(asked_ns, now_ns, LONGEST_ART);
        }
    }

    fn sent(&mut self, segment: &Segment, len: u32, side: Side) {
        self.next_seq[side as usize] = Some(segment.seq.wrapping_add(len));
    }
}

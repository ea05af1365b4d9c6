//! The states of a connection, and what moves it from one to another.

#[cfg(test)]
mod tests;

use crate::digest::Flags;
use crate::meter::Side;
use crate::timeouts::Timeout;

/// What is known of a connection from the flags seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Nothing yet.
    Raw,
    /// The client's SYN.
    Opening1,
    /// The server's SYN+ACK.
    Opening2,
    /// Open.
    Established,
    /// The server answered a SYN with an ACK alone.
    Syn1,
    /// The server sent SYN+ACK once more after the handshake.
    SynAck1,
    /// The client's FIN.
    ClosingTx1,
    /// The server's FIN after the client's.
    ClosingTx2,
    /// The server's FIN.
    ClosingRx1,
    /// The client's FIN after the server's.
    ClosingRx2,
    /// The last ACK after both.
    Closed,
    /// RST of an open connection.
    Reset,
    /// The server's RST for a SYN.
    ServerRefused,
    /// RST before it was open.
    EstablishReset,
    /// The same after SYN+ACK, by the client.
    OpeningReset,
    /// The client's RST for an ACK that answered its SYN.
    PortReuse,
    /// The server's RST after it had repeated SYN+ACK.
    QueueLackCandidate,
    /// Flags that make no sense.
    Exception,
}

/// What flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Syn,
    SynAck,
    Fin,
    Rst,
    /// ACK and nothing else.
    BareAck,
    /// ACK with PSH.
    Push,
}

impl Class {
    /// `None` for a combination that no stack sends.
    pub(crate) fn of(flags: Flags) -> Option<Self> {
        const PUSH: Flags = Flags::ACK.with(Flags::PSH);
        const URGENT: Flags = PUSH.with(Flags::URG);
        const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
        const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);
        const FIN_PUSH: Flags = Flags::FIN.with(PUSH);
        const RST_ACK: Flags = Flags::RST.with(Flags::ACK);
        const RST_PUSH: Flags = Flags::RST.with(PUSH);
        match flags {
            Flags::SYN => Some(Self::Syn),
            SYN_ACK => Some(Self::SynAck),
            Flags::FIN | FIN_ACK | FIN_PUSH => Some(Self::Fin),
            Flags::RST | RST_ACK | RST_PUSH => Some(Self::Rst),
            Flags::ACK => Some(Self::BareAck),
            PUSH | URGENT => Some(Self::Push),
            _ => None,
        }
    }
}

impl State {
    /// The state after a packet with these flags, and how long the connection may be silent then.
    pub(crate) fn next(self, flags: Flags, side: Side) -> (Self, Timeout) {
        if let Some(forever) = self.absorbing() {
            return forever;
        }
        let class = Class::of(flags);
        let by_server = class.filter(|_| side == Side::Server).and_then(|class| self.after_server(class));
        let next = by_server.or_else(|| class.and_then(|class| self.after_either(class)));
        next.unwrap_or((Self::Exception, Timeout::Others))
    }

    /// What no packet changes any more.
    fn absorbing(self) -> Option<(Self, Timeout)> {
        match self {
            Self::Reset
            | Self::ServerRefused
            | Self::EstablishReset
            | Self::PortReuse
            | Self::QueueLackCandidate
            | Self::Exception => Some((self, Timeout::Others)),
            Self::OpeningReset => Some((self, Timeout::OpeningRst)),
            _ => None,
        }
    }

    /// What a packet of the server's does that would not do the same if it were the client's.
    fn after_server(self, class: Class) -> Option<(Self, Timeout)> {
        use Class::{BareAck, Fin, Push, Rst, SynAck};
        let next = match (self, class) {
            (Self::Raw | Self::Opening1 | Self::Opening2 | Self::Syn1, SynAck) => (Self::Opening2, Timeout::Others),
            (Self::Established | Self::SynAck1, SynAck) => (Self::SynAck1, Timeout::Established),
            (Self::ClosingTx1, Fin) => (Self::ClosingTx2, Timeout::Others),
            (Self::ClosingTx2 | Self::ClosingRx2 | Self::Closed, Fin) => return None,
            (_, Fin) => (Self::ClosingRx1, Timeout::Others),
            (Self::Opening1 | Self::Syn1, BareAck | Push) => (Self::Syn1, Timeout::Others),
            (Self::SynAck1, BareAck | Push) => (Self::Established, Timeout::Established),
            (Self::ClosingTx2, BareAck | Push) => (Self::ClosingTx2, Timeout::Others),
            (Self::ClosingRx2, BareAck) => (Self::Closed, Timeout::ClosedFin),
            (Self::Opening1, Rst) => (Self::ServerRefused, Timeout::Others),
            (Self::Opening2 | Self::Syn1, Rst) => (Self::EstablishReset, Timeout::Others),
            (Self::SynAck1, Rst) => (Self::QueueLackCandidate, Timeout::ClosingRst),
            _ => return None,
        };
        Some(next)
    }

    /// What a packet of either side does.
    fn after_either(self, class: Class) -> Option<(Self, Timeout)> {
        use Class::{BareAck, Fin, Push, Rst, Syn, SynAck};
        let next = match (self, class) {
            (Self::Raw | Self::Opening1 | Self::Syn1, Syn) => (Self::Opening1, Timeout::Others),
            (Self::Opening2, Syn) => (Self::Opening2, Timeout::Others),
            (Self::Established | Self::SynAck1, Syn) => (Self::Established, Timeout::Established),
            (Self::SynAck1, BareAck | Push) => (Self::SynAck1, Timeout::Established),
            (Self::Raw | Self::Opening1 | Self::Opening2 | Self::Syn1 | Self::Established, BareAck | Push) => {
                (Self::Established, Timeout::Established)
            }
            (Self::Raw | Self::Opening1 | Self::Opening2 | Self::Syn1 | Self::Established | Self::SynAck1, Fin) => {
                (Self::ClosingTx1, Timeout::Others)
            }
            (Self::ClosingRx1, Fin) => (Self::ClosingRx2, Timeout::Others),
            (Self::ClosingTx2, BareAck) | (Self::Closed, BareAck) => (Self::Closed, Timeout::ClosedFin),
            (Self::ClosingTx2, Push) | (Self::Closed, _) => return None,
            (
                Self::ClosingTx1 | Self::ClosingTx2 | Self::ClosingRx1 | Self::ClosingRx2,
                Syn | SynAck | Fin | BareAck | Push,
            ) => (self, Timeout::Others),
            (Self::Opening1, Rst) => (Self::EstablishReset, Timeout::Others),
            (Self::Opening2, Rst) => (Self::OpeningReset, Timeout::OpeningRst),
            (Self::Established, Rst) => (Self::Reset, Timeout::ClosingRst),
            (Self::Syn1, Rst) => (Self::PortReuse, Timeout::Others),
            (Self::ClosingTx2 | Self::ClosingRx2, Rst) => (Self::Reset, Timeout::ClosedFin),
            (Self::Raw | Self::SynAck1 | Self::ClosingTx1 | Self::ClosingRx1, Rst) => (Self::Reset, Timeout::Others),
            _ => return None,
        };
        Some(next)
    }
}

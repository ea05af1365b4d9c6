//! What is counted.

use std::ops::AddAssign;

use crate::close::Closes;

/// Who sent a packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who began the conversation.
    Client,
    /// Who was spoken to.
    Server,
}

/// A count for each direction of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// Of what the client sent.
    pub tx: u64,
    /// Of what the server sent.
    pub rx: u64,
}

impl Pair {
    /// Both together.
    #[must_use]
    pub const fn sum(self) -> u64 {
        self.tx.saturating_add(self.rx)
    }

    /// The same from the server's point of view.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self { tx: self.rx, rx: self.tx }
    }

    pub(crate) fn add(&mut self, side: Side, count: u64) {
        match side {
            Side::Client => self.tx += count,
            Side::Server => self.rx += count,
        }
    }
}

impl AddAssign for Pair {
    fn add_assign(&mut self, other: Self) {
        self.tx += other.tx;
        self.rx += other.rx;
    }
}

/// What flows did in some time. All of it adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Packets.
    pub packet: Pair,
    /// Bytes of frames: [`Digest::frame_bytes`](crate::Digest::frame_bytes).
    pub byte: Pair,
    /// Bytes behind IP headers: [`Digest::l3_bytes`](crate::Digest::l3_bytes).
    pub l3_byte: Pair,
    /// Bytes behind TCP's and UDP's headers: [`Digest::l4_bytes`](crate::Digest::l4_bytes).
    pub l4_byte: Pair,
    /// Flows that began.
    pub new_flow: u64,
    /// Flows that ended, by how they did.
    pub closes: Closes,
}

impl AddAssign<&Meter> for Meter {
    fn add_assign(&mut self, other: &Meter) {
        self.packet += other.packet;
        self.byte += other.byte;
        self.l3_byte += other.l3_byte;
        self.l4_byte += other.l4_byte;
        self.new_flow += other.new_flow;
        self.closes += other.closes;
    }
}

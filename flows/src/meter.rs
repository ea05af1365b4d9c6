//! What is counted.

use std::ops::AddAssign;

use crate::application::Application;
use crate::close::Closes;

/// Who sent a packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

impl Pair {
    fn without(self, other: Self) -> Self {
        Self { tx: self.tx.saturating_sub(other.tx), rx: self.rx.saturating_sub(other.rx) }
    }
}

impl AddAssign for Pair {
    fn add_assign(&mut self, other: Self) {
        self.tx += other.tx;
        self.rx += other.rx;
    }
}

/// Packets and their bytes, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packet: Pair,
    /// Bytes of frames: [`Digest::frame_bytes`](crate::Digest::frame_bytes).
    pub byte: Pair,
    /// Bytes behind IP headers: [`Digest::l3_bytes`](crate::Digest::l3_bytes).
    pub l3_byte: Pair,
    /// Bytes behind TCP's and UDP's headers: [`Digest::l4_bytes`](crate::Digest::l4_bytes).
    pub l4_byte: Pair,
}

impl Traffic {
    /// The same from the server's point of view.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self {
            packet: self.packet.swapped(),
            byte: self.byte.swapped(),
            l3_byte: self.l3_byte.swapped(),
            l4_byte: self.l4_byte.swapped(),
        }
    }
}

impl Traffic {
    /// What there is of it besides a part.
    pub(crate) fn without(&self, part: &Self) -> Self {
        Self {
            packet: self.packet.without(part.packet),
            byte: self.byte.without(part.byte),
            l3_byte: self.l3_byte.without(part.l3_byte),
            l4_byte: self.l4_byte.without(part.l4_byte),
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.packet += other.packet;
        self.byte += other.byte;
        self.l3_byte += other.l3_byte;
        self.l4_byte += other.l4_byte;
    }
}

/// How long something took: some of it for each time that it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// All of it, in nanoseconds.
    pub sum_ns: u64,
    /// How often it was measured.
    pub count: u64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
}

impl Timing {
    /// All of it, in whole microseconds.
    #[must_use]
    pub const fn sum_us(self) -> u64 {
        self.sum_ns / 1_000
    }

    /// The longest, in whole microseconds.
    #[must_use]
    pub const fn max_us(self) -> u64 {
        self.max_ns / 1_000
    }

    /// Something took from one time to another. What took no time, or longer than it can, was not measured.
    pub(crate) fn measure(&mut self, from_ns: u64, to_ns: u64, longest_ns: u64) {
        if to_ns > from_ns {
            self.measure_any(from_ns, to_ns, longest_ns);
        }
    }

    /// The same, of what may take no time.
    pub(crate) fn measure_any(&mut self, from_ns: u64, to_ns: u64, longest_ns: u64) {
        if let Some(took) = to_ns.checked_sub(from_ns).filter(|&took| took <= longest_ns) {
            *self += Self { sum_ns: took, count: 1, max_ns: took };
        }
    }

    /// What is less than a microsecond is left out, so that it does not matter in which order times are added up.
    fn settle(&mut self) {
        if self.count > 0 {
            self.sum_ns -= self.sum_ns % 1_000;
            self.max_ns -= self.max_ns % 1_000;
        }
    }
}

impl AddAssign for Timing {
    fn add_assign(&mut self, other: Self) {
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.count += other.count;
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

/// Questions and answers of an application. In 32 bits, for every flow has two of these; what does not fit is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialogue {
    /// Questions.
    pub request: u32,
    /// Answers.
    pub response: u32,
    /// Answers that say that the question was wrong.
    pub client_error: u32,
    /// Answers that say that it could not be answered.
    pub server_error: u32,
    /// Questions that were not answered, or too late.
    pub timeout: u32,
    /// From questions to their answers.
    pub rrt: Timing,
}

impl Dialogue {
    /// Answers of errors.
    #[must_use]
    pub const fn error(&self) -> u32 {
        self.client_error.saturating_add(self.server_error)
    }
}

impl AddAssign for Dialogue {
    fn add_assign(&mut self, other: Self) {
        self.request = self.request.saturating_add(other.request);
        self.response = self.response.saturating_add(other.response);
        self.client_error = self.client_error.saturating_add(other.client_error);
        self.server_error = self.server_error.saturating_add(other.server_error);
        self.timeout = self.timeout.saturating_add(other.timeout);
        self.rrt += other.rrt;
    }
}

/// What flows did in some time. All of it adds up; of the longest times, the longest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)] // What every packet changes is in one place.
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
    /// Packets with SYN alone.
    pub syn_count: u64,
    /// Packets with SYN and ACK, and no data.
    pub synack_count: u64,
    /// From the client's first SYN to its ACK of SYN+ACK.
    pub rtt: Timing,
    /// From the first SYN+ACK to the client's ACK of it.
    pub rtt_client: Timing,
    /// From the client's first SYN to each SYN+ACK that acknowledges it.
    pub rtt_server: Timing,
    /// From the client's question to the server's bare ACK of it; of ICMP, from an echo request to its reply.
    pub srt: Timing,
    /// From the client's question to the first data of the server's answer; of UDP, to the first datagram.
    pub art: Timing,
    /// Packets that begin with what was sent before; SYN and SYN+ACK that came again among them.
    pub retrans: Pair,
    /// SYNs that came again.
    pub retrans_syn: u64,
    /// SYN+ACKs that came again.
    pub retrans_synack: u64,
    /// Packets before others that were seen earlier.
    pub ooo: Pair,
    /// Packets with a window of 0, but SYN, SYN+ACK of a SYN that was seen, and RST.
    pub zero_win: Pair,
    /// Of DNS.
    pub dns: Dialogue,
    /// Of HTTP/1.
    pub http: Dialogue,
}

impl Meter {
    pub(crate) fn dialogue(&mut self, of: Application) -> &mut Dialogue {
        match of {
            Application::Dns => &mut self.dns,
            Application::Http => &mut self.http,
        }
    }

    /// Nothing more is counted in this second: its times are in whole microseconds from now on.
    pub(crate) fn settle(&mut self) {
        let Self { rtt, rtt_client, rtt_server, srt, art, dns, http, .. } = &mut *self;
        [rtt, rtt_client, rtt_server, srt, art, &mut dns.rrt, &mut http.rrt].into_iter().for_each(Timing::settle);
        // A handshake of less than a microsecond took no time.
        self.rtt.count = if self.rtt.sum_ns > 0 { self.rtt.count } else { 0 };
    }

    /// Of all applications together.
    #[must_use]
    pub fn applications(&self) -> Dialogue {
        let mut sum = self.dns;
        sum += self.http;
        sum
    }

    /// Packets and bytes alone.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        Traffic { packet: self.packet, byte: self.byte, l3_byte: self.l3_byte, l4_byte: self.l4_byte }
    }

    /// The same from the server's point of view: `tx` is what it sent.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self {
            packet: self.packet.swapped(),
            byte: self.byte.swapped(),
            l3_byte: self.l3_byte.swapped(),
            l4_byte: self.l4_byte.swapped(),
            retrans: self.retrans.swapped(),
            ooo: self.ooo.swapped(),
            zero_win: self.zero_win.swapped(),
            ..self
        }
    }
}

impl AddAssign<&Meter> for Meter {
    fn add_assign(&mut self, other: &Meter) {
        self.packet += other.packet;
        self.byte += other.byte;
        self.l3_byte += other.l3_byte;
        self.l4_byte += other.l4_byte;
        self.new_flow += other.new_flow;
        self.closes += other.closes;
        self.syn_count += other.syn_count;
        self.synack_count += other.synack_count;
        self.rtt += other.rtt;
        self.rtt_client += other.rtt_client;
        self.rtt_server += other.rtt_server;
        self.srt += other.srt;
        self.art += other.art;
        self.retrans += other.retrans;
        self.retrans_syn += other.retrans_syn;
        self.retrans_synack += other.retrans_synack;
        self.ooo += other.ooo;
        self.zero_win += other.zero_win;
        self.dns += other.dns;
        self.http += other.http;
    }
}

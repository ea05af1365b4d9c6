//! One flow, while it lives.

use std::mem::offset_of;
use std::ops::Range;

use crate::application::Questions;
use crate::close::CloseType;
use crate::digest::{Digest, Endpoint, Flags, Kind};
use crate::exchange::{Echoes, Exchange};
use crate::meter::{Meter, Side, Traffic};
use crate::record::{FlowId, Record};
use crate::tags::Places;
use crate::tcp::Connection;
use crate::timeouts::{Timeout, Timeouts};
use crate::{SECOND, digest::Segment};

/// Ports from here on are those that clients get from their systems, by and large.
const FIRST_CLIENT_PORT: u16 = 32_768;

/// What is followed of a flow, by its protocol: in the memory of flows, which is taken once. A flood of SYNs allocates nothing.
#[derive(Debug)]
enum Protocol {
    Tcp(Connection),
    Udp(Exchange),
    Icmp(Echoes),
    Other,
}

/// A flow that lives.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Flow {
    id: FlowId,
    /// Where packets were counted by what they have in common with others.
    tags: Places,
    /// The latest time of a packet.
    last_ns: u64,
    /// When it ends if nothing more comes.
    deadline_ns: u64,
    /// The second of what is counted and not yet told.
    second: u64,
    /// What was counted in it; `None` if nothing was.
    meter: Option<Meter>,
    /// What applications have asked.
    questions: Questions,
    /// Packets in all, the client's first.
    packets: [u64; 2],
    protocol: Protocol,
}

impl Flow {
    /// Where what packets need is, in bytes from its beginning: segments of TCP, if `of_tcp`, or others.
    pub(crate) const fn hot(of_tcp: bool) -> [Range<usize>; 2] {
        // Before a meter is whether there is one.
        let counted = offset_of!(Flow, meter) + size_of::<u64>() + size_of::<Traffic>();
        let packets = offset_of!(Flow, packets);
        let end = if of_tcp { size_of::<Flow>() } else { offset_of!(Flow, protocol) };
        [0..counted, packets..end]
    }

    /// The flow that a packet begins, without that packet.
    pub(crate) fn begun_by(digest: &Digest) -> Self {
        let (client, server) = roles(digest);
        let protocol = match digest.kind {
            Kind::Tcp(_) => Protocol::Tcp(Connection::new()),
            Kind::Udp => Protocol::Udp(Exchange::default()),
            Kind::Icmp(_) => Protocol::Icmp(Echoes::default()),
            Kind::Other => Protocol::Other,
        };
        Self {
            id: FlowId { client, server, protocol: digest.protocol },
            protocol,
            last_ns: digest.time_ns,
            deadline_ns: 0,
            tags: Places::default(),
            packets: [0; 2],
            second: digest.time_ns / SECOND,
            questions: Questions::default(),
            meter: Some(Meter { new_flow: 1, ..Meter::default() }),
        }
    }

    /// Whether a packet of this protocol between these two is its.
    pub(crate) fn joins(&self, digest: &Digest) -> bool {
        let ends = (&digest.source, &digest.destination);
        let mine = (&self.id.client, &self.id.server);
        digest.protocol == self.id.protocol && (ends == mine || ends == (mine.1, mine.0))
    }

    /// When it ends if nothing more comes, in nanoseconds.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// The second after which something is to be done: tell what was counted in it, or end.
    pub(crate) fn due(&self) -> u64 {
        if self.meter.is_some() { self.second } else { self.deadline_ns / SECOND }
    }

    /// The second of what is counted and not yet told.
    pub(crate) fn second(&self) -> u64 {
        self.second
    }

    /// Which flow it is.
    pub(crate) fn id(&self) -> &FlowId {
        &self.id
    }

    /// Where packets were counted by what they have in common with others.
    pub(crate) fn tags_mut(&mut self) -> &mut Places {
        &mut self.tags
    }

    /// Who of it has sent a packet.
    pub(crate) fn side(&self, digest: &Digest) -> Side {
        if digest.source == self.id.client { Side::Client } else { Side::Server }
    }

    /// Counts a packet, in the second that [`second`](Self::second) says.
    pub(crate) fn packet(&mut self, digest: &Digest, timeouts: &Timeouts) {
        let side = self.side(digest);
        self.packets[side as usize] += 1;
        let meter = self.meter.get_or_insert_default();
        meter.packet.add(side, 1);
        meter.byte.add(side, u64::from(digest.frame_bytes));
        meter.l3_byte.add(side, u64::from(digest.l3_bytes));
        meter.l4_byte.add(side, u64::from(digest.l4_bytes));
        let is_new = match (&mut self.protocol, &digest.kind) {
            (Protocol::Tcp(connection), Kind::Tcp(segment)) => {
                connection.packet(segment, digest.l4_bytes, side, digest.time_ns, meter)
            }
            (Protocol::Udp(exchange), Kind::Udp) => {
                exchange.datagram(digest.l4_bytes, side, digest.time_ns, meter);
                true
            }
            (Protocol::Icmp(echoes), Kind::Icmp(Some(echo))) => {
                echoes.echo(*echo, digest.time_ns, meter);
                false
            }
            _ => false,
        };
        if is_new && !digest.messages.is_empty() {
            let over_tcp = matches!(self.protocol, Protocol::Tcp(_));
            for message in digest.messages.iter() {
                self.questions.message(message, over_tcp, digest.time_ns, meter);
            }
        }
        self.last_ns = self.last_ns.max(digest.time_ns);
        self.deadline_ns = self.last_ns.saturating_add(timeouts.get(self.timeout()));
    }

    /// What was counted and not yet told; what comes next is counted in `second`.
    pub(crate) fn take(&mut self, second: u64) -> Option<Record> {
        let record = self.meter.take().map(|mut meter| {
            meter.settle();
            Record { flow: self.id, second: self.second, meter }
        });
        self.second = second;
        record
    }

    /// Its end.
    pub(crate) fn end(&self) -> Record {
        let mut meter = Meter::default();
        self.questions.end(&mut meter);
        let answered = self.questions.are_answered_well();
        meter.closes.count(match &self.protocol {
            Protocol::Tcp(connection) => connection.close_type(self.packets[1], answered),
            Protocol::Udp(_) | Protocol::Icmp(_) | Protocol::Other => CloseType::Finish,
        });
        Record { flow: self.id, second: self.deadline_ns / SECOND, meter }
    }

    fn timeout(&self) -> Timeout {
        let both = self.packets.iter().all(|&packets| packets > 0);
        match &self.protocol {
            Protocol::Tcp(connection) if both => connection.timeout(),
            Protocol::Icmp(_) | Protocol::Other if both => Timeout::ClosingRst,
            _ => Timeout::Others,
        }
    }
}

/// Client and server, from the first packet of a flow.
///
/// A SYN is the client's and a SYN+ACK the server's; an echo reply is the server's. Else, if one port alone is of those that
/// clients get, it is the client's; else who sends first is the client.
fn roles(digest: &Digest) -> (Endpoint, Endpoint) {
    let (source, destination) = (digest.source, digest.destination);
    let from_client = match digest.kind {
        Kind::Tcp(Segment { flags, .. }) if flags.contains(Flags::SYN) => !flags.contains(Flags::ACK),
        Kind::Icmp(Some(echo)) => !echo.reply,
        _ => source.port >= FIRST_CLIENT_PORT || destination.port < FIRST_CLIENT_PORT,
    };
    if from_client { (source, destination) } else { (destination, source) }
}

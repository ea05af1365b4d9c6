//! What arrives: one packet for all, and what differs from packet to packet, in the order of their arrival.

use std::net::Ipv4Addr;

use portlane_rings::{Frame, Pool};

use super::plan::{self, Block, blocks};
use super::segments::Segments;
use super::{MAX_FLOWS, Options};
use crate::failure::Failure;
use crate::line::BATCH;

/// Where in a frame the source address and the ports are, behind Ethernet and in IPv4 without options.
const SENDER: usize = 26;
const PORTS: usize = 34;

/// Bytes of the headers of Ethernet, IPv4 and UDP, and of TCP's up to its sequence number.
const HEADERS: usize = 42;

/// Bytes of the headers of Ethernet, IPv4 and TCP.
const TCP_HEADERS: u32 = 54;

/// The least entries of a sequence: it repeats itself rarely enough for no cache or branch predictor to know it.
const MIN_SEQUENCE: usize = 1 << 16;

/// Destination ports begin here; those of packets from the second address have the highest bit too.
const FIRST_DESTINATION: u16 = 1_024;
const SECOND_ADDRESS: u16 = 1 << 15;

/// Where the addresses' containers send to.
const WORLD: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// The packets of a scenario, without end.
#[derive(Debug)]
pub(super) struct Traffic {
    /// A whole packet.
    packet: Vec<u8>,
    /// The ports of each packet, as in its bytes; the first [`BATCH`] are at the end once more.
    sequence: Vec<u32>,
    /// The next packet's position in the sequence.
    next: usize,
    /// Whether packets differ in their source address too.
    two_addresses: bool,
    /// Of TCP.
    segments: Option<Segments>,
}

impl Traffic {
    /// The traffic of these options.
    ///
    /// # Errors
    ///
    /// Refused if there are fewer flows than containers, or too many.
    pub(super) fn new(options: &Options) -> Result<Self, Failure> {
        Self::of(options, blocks(options.containers))
    }

    /// The traffic of these options, of containers that have these blocks: as many as there are to be.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new).
    pub(super) fn of(options: &Options, blocks: impl Iterator<Item = Block>) -> Result<Self, Failure> {
        let Options { containers, size, load, .. } = *options;
        let flows = options.flows();
        if !(containers..=MAX_FLOWS).contains(&flows) {
            let why = format!("{flows} flows: must be {containers} (one for each container) to {MAX_FLOWS}");
            return Err(Failure::refused(why));
        }
        let entries_of_flow = common_measure((0..containers).map(|lane| load.tenths(lane)));
        let mut deck = Vec::new();
        let mut two_addresses = false;
        for (lane, block) in (0..).zip(blocks) {
            two_addresses |= block.address > 0;
            let of_lane = flows / containers + u32::from(lane < flows % containers);
            let entries = u32::from(load.tenths(lane) / entries_of_flow) * flows.div_ceil(containers);
            deck.extend((0..entries).map(|entry| ports(block, entry % of_lane, of_lane)));
        }
        let mut sequence = deck.repeat(MIN_SEQUENCE.div_ceil(deck.len()));
        shuffle(&mut sequence);
        let data = u32::from(size).saturating_sub(TCP_HEADERS);
        let segments = options.tcp.then(|| Segments::of(&sequence, data));
        sequence.extend_from_within(..BATCH.min(sequence.len()));
        let packet = if options.tcp { tcp(usize::from(size)) } else { udp(usize::from(size)) };
        Ok(Self { packet, sequence, next: 0, two_addresses, segments })
    }

    /// Packets until the sequence begins again.
    pub(super) fn len(&self) -> usize {
        self.sequence.len() - BATCH
    }

    /// A packet of this traffic, though of no flow.
    pub(super) fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// The source addresses and the ports of all packets, as they are in these, until the sequence begins again.
    pub(super) fn sources(&self) -> impl Iterator<Item = ([u8; 4], [u8; 4])> {
        self.sequence[..self.len()].iter().map(|&entry| (sender(entry), entry.to_ne_bytes()))
    }

    /// Makes the packets in these frames, at most [`BATCH`], the next ones to come.
    #[inline]
    pub(super) fn fill(&mut self, pool: &mut Pool, batch: &mut [Frame]) {
        let two_addresses = self.two_addresses;
        if let Some(segments) = &self.segments {
            segments.fill(pool, batch, self.next);
        }
        for (frame, &entry) in batch.iter_mut().zip(self.batch()) {
            let headers = headers(pool.bytes_mut(frame));
            headers[PORTS..PORTS + 4].copy_from_slice(&entry.to_ne_bytes());
            if two_addresses {
                headers[SENDER..SENDER + 4].copy_from_slice(&sender(entry));
            }
        }
    }

    #[inline]
    fn batch(&mut self) -> &[u32; BATCH] {
        let begin = self.next;
        self.next += BATCH;
        if self.next >= self.len() {
            self.next -= self.len();
            self.segments.iter_mut().for_each(Segments::begin_again);
        }
        self.sequence[begin..].first_chunk().expect("a sequence goes on for a batch behind its end")
    }
}

/// Whose packet an entry of a sequence is: which of the addresses sends it.
#[inline]
fn sender(entry: u32) -> [u8; 4] {
    const SENDERS: [[u8; 4]; 2] = [plan::ADDRESSES[0].octets(), plan::ADDRESSES[1].octets()];
    SENDERS[usize::from(entry.to_ne_bytes()[2] >> 7)]
}

/// The packet's headers, in which all is as in that of every other one but the flow.
#[inline]
fn headers(packet: &mut [u8]) -> &mut [u8; HEADERS] {
    packet.first_chunk_mut().expect("a packet has headers")
}

/// The ports of a lane's flow, as they are in a packet: spread over the block, and then over destinations.
fn ports(block: Block, flow: u32, of_lane: u32) -> u32 {
    let ports = u32::from(block.ports);
    let place = flow * (ports / of_lane).max(1);
    let narrow = |number: u32| u16::try_from(number).expect("a flow has ports of 16 bits");
    let source = block.first + narrow(place % ports);
    let destination = FIRST_DESTINATION + narrow(place / ports) + if block.address == 1 { SECOND_ADDRESS } else { 0 };
    let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// Of all these the greatest common divisor.
fn common_measure(numbers: impl Iterator<Item = u8>) -> u8 {
    fn divisor(a: u8, b: u8) -> u8 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    numbers.fold(0, divisor)
}

/// A random order, always the same (Fisher and Yates; xorshift).
fn shuffle(entries: &mut [u32]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..entries.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = state % (last as u64 + 1);
        entries.swap(last, usize::try_from(other).expect("it is at most `last`"));
    }
}

/// A UDP packet with all but its source and its ports.
fn udp(size: usize) -> Vec<u8> {
    let mut packet = packet(size, 17);
    packet[38..40].copy_from_slice(&big_endian(size - 34));
    packet
}

/// A TCP segment of a transfer with all but its source, its ports, its sequence number and its checksum, which nobody looks at.
fn tcp(size: usize) -> Vec<u8> {
    const ACK: u8 = 0x10;
    let mut packet = packet(size, 6);
    packet[45] = 1;
    packet[46..50].copy_from_slice(&[0x50, ACK, 2, 0]);
    packet
}

fn big_endian(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a packet of Ethernet").to_be_bytes()
}

/// A packet with all but its source and what is behind the header of IP.
fn packet(size: usize, protocol: u8) -> Vec<u8> {
    let mut packet = vec![0; size];
    packet[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    packet[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    packet[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
    packet[16..18].copy_from_slice(&big_endian(size - 14));
    packet[22..24].copy_from_slice(&[64, protocol]);
    packet[SENDER..30].copy_from_slice(&plan::ADDRESSES[0].octets());
    packet[30..34].copy_from_slice(&WORLD.octets());
    let checksum = checksum(&packet[14..34]).to_be_bytes();
    packet[24..26].copy_from_slice(&checksum);
    packet
}

/// Of an IP header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    !u16::try_from(fold(fold(words.sum()))).expect("two folds leave 16 bits")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::IpAddr;

    use portlane_classify::{Link, parse};
    use portlane_flows::{Digest, Flags, Kind};
    use portlane_rings::Layout;

    use super::*;
    use crate::bench::Load;

    fn traffic(containers: u32, flows: u32, load: Load) -> Traffic {
        Traffic::new(&Options { containers, flows: Some(flows), load, ..Options::default() }).unwrap()
    }

    /// The lane that owns a source.
    fn owner(containers: u32, address: [u8; 4], port: u16) -> Option<u32> {
        (0..).zip(blocks(containers)).find_map(|(lane, block)| {
            let ports = u32::from(block.first)..u32::from(block.first) + u32::from(block.ports);
            let is_here = plan::ADDRESSES[block.address].octets() == address && ports.contains(&u32::from(port));
            is_here.then_some(lane)
        })
    }

    #[test]
    fn every_flow_comes_and_every_lane_as_often_as_it_should() {
        for (containers, flows) in [(1, 1), (1, 70_000), (3, 7), (5, 5), (64, 256), (100, 399)] {
            for load in [Load::Idle, Load::Default, Load::Overload] {
                let traffic = traffic(containers, flows, load);
                let sources: Vec<_> = traffic.sources().collect();
                let distinct: BTreeSet<_> = sources.iter().collect();
                assert_eq!(distinct.len(), flows as usize, "{containers} containers, {flows} flows, {load:?}");
                let mut packets = BTreeMap::<_, u64>::new();
                for (address, ports) in &sources {
                    let port = u16::from_be_bytes([ports[0], ports[1]]);
                    *packets.entry(owner(containers, *address, port).unwrap()).or_default() += 1;
                }
                assert_eq!(packets.len(), containers as usize);
                let (first, offered) = (packets[&0], |lane: u32| u64::from(load.tenths(lane)));
                assert!(packets.iter().all(|(&lane, &count)| count * offered(0) == first * offered(lane)));
            }
        }
    }

    #[test]
    fn packets_are_whole_and_their_checksums_right() {
        for containers in [8, 65_536] {
            let mut traffic = traffic(containers, containers, Load::Idle);
            let mut pool = Pool::new(Layout { frames: 1, frame_size: 2_112 }).unwrap();
            let mut frame = [pool.take().unwrap()];
            pool.write(&mut frame[0], traffic.packet()).unwrap();
            for (address, ports) in traffic.sources().step_by(BATCH).take(100).collect::<Vec<_>>() {
                traffic.fill(&mut pool, &mut frame);
                let packet = pool.bytes(&frame[0]);
                assert_eq!(checksum(&packet[14..34]), 0, "of a header with its checksum");
                let headers = parse(Link::Ethernet, packet, 64).unwrap();
                assert_eq!(headers.addresses.unwrap().source(), IpAddr::from(address));
                let source = u16::from_be_bytes([ports[0], ports[1]]);
                assert_eq!(headers.ports.unwrap().source(), source);
            }
            let [frame] = frame;
            pool.put(frame);
        }
    }

    #[test]
    fn sequences_go_on_across_their_end() {
        let mut traffic = traffic(7, 7, Load::Idle);
        let all = traffic.sequence.clone();
        let len = traffic.len();
        for batch in 0..3 * len / BATCH {
            let expected = (0..BATCH).map(|place| all[(batch * BATCH + place) % len]);
            assert!(traffic.batch().iter().copied().eq(expected), "batch {batch}");
        }
    }
    #[test]
    fn segments_of_a_flow_go_on_where_the_last_one_ended() {
        let options = Options { containers: 2, flows: Some(3), size: 1_000, tcp: true, ..Options::default() };
        let mut traffic = Traffic::new(&options).unwrap();
        let mut pool = Pool::new(Layout { frames: 64, frame_size: 2_112 }).unwrap();
        let mut frames: Vec<_> = (0..BATCH).map(|_| pool.take().unwrap()).collect();
        for frame in &mut frames {
            pool.write(frame, traffic.packet()).unwrap();
        }
        let mut next = BTreeMap::new();
        for _ in 0..3 * traffic.len() / BATCH {
            traffic.fill(&mut pool, &mut frames);
            for frame in &frames {
                let digest = Digest::read(Link::Ethernet, pool.bytes(frame), 1_000, 0).unwrap().unwrap();
                let Kind::Tcp(segment) = digest.kind else { panic!("{digest:?}") };
                let expected = next.entry((digest.source, digest.destination)).or_insert(0_u32);
                assert_eq!((segment.seq, segment.flags, digest.l4_bytes), (*expected, Flags::ACK, 946));
                *expected = expected.wrapping_add(946);
            }
        }
        assert_eq!(next.len(), 3);
        frames.into_iter().for_each(|frame| pool.put(frame));
    }
}

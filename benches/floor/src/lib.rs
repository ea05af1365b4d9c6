//! The least that a packet line can cost: parse, look up who owns the port, count.
//!
//! `portlane bench` prints this loop beside the real line: what a machine needs for the loads and stores that no line can do
//! without. Two machines can be compared by it, and one machine at two times. It shares no code with portlane, on purpose:
//! when this figure changes, it is the machine that changed.
//!
//! Frames lie in memory one after the other, and go round as in the receive ring of an interface: a batch is read, and then
//! filled with packets that are yet to come. Packets are UDP in IPv4, and belong to whoever owns their source.
//!
//! ```
//! use portlane_floor::{Floor, Frames, Owners, Source};
//!
//! // Headers of Ethernet, IPv4 and UDP.
//! let mut packet = [0; 64];
//! packet[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
//! packet[17] = 50;
//! packet[22..24].copy_from_slice(&[64, 17]);
//! packet[39] = 30;
//!
//! let frames = Frames { count: 128, stride: 2_112 };
//! let source = Source { address: [10, 0, 0, 2], ports: [0x79, 0x18, 0, 53] }; // from 31000 to 53
//! let owners = Owners { address: source.address, by_port: vec![7; 65_536] };
//! let mut floor = Floor::new(frames, &packet, vec![source; 64], vec![owners], 8)?;
//! floor.turns(3);
//! assert_eq!((floor.counts()[7].packets, floor.counts()[7].bytes), (192, 12_288));
//! assert_eq!(floor.refused(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

use std::io;

use memmap2::{Advice, MmapMut};

/// Packets in a turn.
pub const BATCH: usize = 64;

/// Bytes of the headers of Ethernet, of IPv4 without options, and of UDP.
const HEADERS: usize = 42;

/// The memory that packets are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frames {
    /// Number of frames: a multiple of [`BATCH`].
    pub count: usize,
    /// Bytes from one frame to the next.
    pub stride: usize,
}

/// What makes a packet one of a flow, as it is in its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The source address.
    pub address: [u8; 4],
    /// The source port, and then the destination port.
    pub ports: [u8; 4],
}

/// Who owns the ports of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    /// The address.
    pub address: [u8; 4],
    /// The owner of each of 65,536 ports.
    pub by_port: Vec<u32>,
}

/// What an owner's packets come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Endless packets, and how many came from whom.
#[derive(Debug)]
pub struct Floor {
    memory: MmapMut,
    frames: Frames,
    /// The frame that is read next.
    frame: usize,
    /// Bytes of a packet.
    len: usize,
    /// The flows of the packets to come, without end.
    traffic: Vec<Source>,
    /// The packet that is filled in next.
    next: usize,
    owners: Vec<Owners>,
    counts: Vec<Count>,
    refused: u64,
}

impl Floor {
    /// Frames filled with `packet`, each of the flow that `traffic` says, over and over; owners are numbered below `lanes`.
    /// Asks for huge pages, as a packet line would.
    ///
    /// # Errors
    ///
    /// What `mmap` says.
    ///
    /// # Panics
    ///
    /// If `traffic` or `frames` are less than a batch, or a packet does not fit into a frame.
    pub fn new(
        frames: Frames,
        packet: &[u8],
        traffic: Vec<Source>,
        owners: Vec<Owners>,
        lanes: usize,
    ) -> io::Result<Self> {
        assert!(frames.count.is_multiple_of(BATCH) && frames.count > 0 && traffic.len() >= BATCH);
        let mut memory = MmapMut::map_anon(frames.count * frames.stride)?;
        // Without them it is slower, and that is all.
        let _ = memory.advise(Advice::HugePage);
        for frame in memory.chunks_exact_mut(frames.stride) {
            frame[..packet.len()].copy_from_slice(packet);
        }
        let counts = vec![Count::default(); lanes];
        let mut floor =
            Self { memory, frames, frame: 0, len: packet.len(), traffic, next: 0, owners, counts, refused: 0 };
        (0..frames.count).step_by(BATCH).for_each(|first| floor.fill(first));
        Ok(floor)
    }

    /// Takes so many turns: [`BATCH`] packets each are read and counted, and their frames filled anew.
    #[inline(never)]
    pub fn turns(&mut self, count: u64) {
        for _ in 0..count {
            self.fill_those_read();
            self.read();
        }
    }

    /// What has been counted, by owner.
    #[must_use]
    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    /// Packets that were not UDP in IPv4, or nobody's.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn fill_those_read(&mut self) {
        let first = self.frame.checked_sub(BATCH).unwrap_or(self.frames.count - BATCH);
        self.fill(first);
    }

    /// Makes the packets of a batch the next ones to come.
    fn fill(&mut self, first: usize) {
        if self.traffic.len() - self.next < BATCH {
            self.next = 0;
        }
        let traffic = &self.traffic[self.next..self.next + BATCH];
        self.next += BATCH;
        let batch = self.memory[first * self.frames.stride..].chunks_exact_mut(self.frames.stride);
        for (frame, source) in batch.zip(traffic) {
            frame[26..30].copy_from_slice(&source.address);
            frame[34..38].copy_from_slice(&source.ports);
        }
    }

    /// Reads and counts a batch.
    fn read(&mut self) {
        let Frames { count, stride } = self.frames;
        let batch = self.memory[self.frame * stride..].chunks_exact(stride).take(BATCH);
        for frame in batch {
            let packet = &frame[..self.len];
            match parse(packet).and_then(|(address, port)| owner(&self.owners, address, port)) {
                Some(owner) => {
                    let count = &mut self.counts[owner as usize];
                    count.packets += 1;
                    count.bytes += packet.len() as u64;
                }
                None => self.refused += 1,
            }
        }
        self.frame = if self.frame + BATCH == count { 0 } else { self.frame + BATCH };
    }
}

/// The source address and port of a UDP packet in IPv4, if its lengths are as they should be and it is no fragment.
#[inline]
fn parse(packet: &[u8]) -> Option<([u8; 4], u16)> {
    let headers: &[u8; HEADERS] = packet.first_chunk()?;
    let pair = |at: usize| u16::from_be_bytes([headers[at], headers[at + 1]]);
    let is_ipv4 = pair(12) == 0x0800 && headers[14] == 0x45;
    let is_whole = pair(20) & 0x3fff == 0 && usize::from(pair(16)) <= packet.len() - 14;
    let is_udp = headers[23] == 17 && (8..=pair(16).saturating_sub(20)).contains(&pair(38));
    let address = [headers[26], headers[27], headers[28], headers[29]];
    (is_ipv4 && is_whole && is_udp).then(|| (address, pair(34)))
}

#[inline]
fn owner(owners: &[Owners], address: [u8; 4], port: u16) -> Option<u32> {
    let here = owners.iter().find(|owners| owners.address == address)?;
    Some(here.by_port[usize::from(port)])
}

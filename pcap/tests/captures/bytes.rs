//! Capture files as the drafts draw them, field by field, independent of the crate under test.

use std::io::{self, Read};

use portlane_pcap::{ReadError, Reader};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Big,
    Little,
}

pub(crate) const ORDERS: [Order; 2] = [Order::Big, Order::Little];

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Order::Big => value.to_be_bytes(),
            Order::Little => value.to_le_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Order::Big => value.to_be_bytes(),
            Order::Little => value.to_le_bytes(),
        }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        match self {
            Order::Big => value.to_be_bytes(),
            Order::Little => value.to_le_bytes(),
        }
    }
}

/// A 32-bit length.
pub(crate) fn len32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("test data is short")
}

pub(crate) const PCAP_MICROS: u32 = 0xa1b2_c3d4;
pub(crate) const PCAP_NANOS: u32 = 0xa1b2_3c4d;

pub(crate) fn pcap_header(order: Order, magic: u32, link: u32) -> Vec<u8> {
    [&order.u32(magic)[..], &order.u16(2), &order.u16(4), &[0; 8], &order.u32(65_535), &order.u32(link)].concat()
}

pub(crate) fn pcap_record(order: Order, time: (u32, u32), data: &[u8], original: u32) -> Vec<u8> {
    [&order.u32(time.0)[..], &order.u32(time.1), &order.u32(len32(data)), &order.u32(original), data].concat()
}

/// Any pcapng block; the body is padded.
pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let len = order.u32(len32(body) + len32(&padding) + 12);
    [&order.u32(kind)[..], &len, body, &padding, &len].concat()
}

pub(crate) fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]];
    block(order, 0x0a0d_0d0a, &body.concat())
}

pub(crate) fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).expect("test data is short");
    let mut bytes = [&order.u16(code)[..], &order.u16(len), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn interface(order: Order, link: u16, snap_len: u32, options: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&order.u16(link)[..], &[0; 2], &order.u32(snap_len)].concat();
    body.extend(options.concat());
    if !options.is_empty() {
        body.extend([0; 4]);
    }
    block(order, 1, &body)
}

pub(crate) fn ticks(order: Order, ticks: u64) -> Vec<u8> {
    let halves = ticks.to_be_bytes();
    let half = |at: usize| u32::from_be_bytes(halves[at..at + 4].try_into().expect("four bytes"));
    [order.u32(half(0)), order.u32(half(4))].concat()
}

pub(crate) fn enhanced(order: Order, id: u32, time: u64, data: &[u8], original: u32) -> Vec<u8> {
    enhanced_with(order, id, time, data, original, &[])
}

pub(crate) fn enhanced_with(order: Order, id: u32, time: u64, data: &[u8], original: u32, options: &[u8]) -> Vec<u8> {
    let mut body =
        [&order.u32(id)[..], &ticks(order, time), &order.u32(len32(data)), &order.u32(original), data].concat();
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(options);
    block(order, 6, &body)
}

pub(crate) fn obsolete(order: Order, id: u16, time: u64, data: &[u8], original: u32) -> Vec<u8> {
    let body =
        [&order.u16(id)[..], &order.u16(7), &ticks(order, time), &order.u32(len32(data)), &order.u32(original), data];
    block(order, 2, &body.concat())
}

pub(crate) fn simple(order: Order, data: &[u8], original: u32) -> Vec<u8> {
    block(order, 3, &[&order.u32(original)[..], data].concat())
}

/// A packet that outlives its reader, without its number and offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) time_ns: u64,
    pub(crate) interface: u32,
    pub(crate) link: u16,
    pub(crate) data: Vec<u8>,
    pub(crate) original_len: u32,
}

pub(crate) fn owned(time_ns: u64, interface: u32, link: u16, data: &[u8], original: u32) -> Owned {
    Owned { time_ns, interface, link, data: data.to_vec(), original_len: original }
}

/// All packets of a capture, and the error that ended them.
///
/// Holds what is true of every capture: numbers count from 1, offsets rise, nothing follows an
/// error or the end.
pub(crate) fn read_all(input: impl Read) -> (Vec<Owned>, Option<ReadError>) {
    let mut packets = Vec::new();
    let mut reader = match Reader::new(input) {
        Ok(reader) => reader,
        Err(error) => return (packets, Some(error)),
    };
    let mut last_offset = 0;
    let error = loop {
        match reader.next() {
            Ok(Some(packet)) => {
                packets.push(owned(packet.time_ns, packet.interface, packet.link.0, packet.data, packet.original_len));
                assert_eq!(packet.number, u64::from(len_of(&packets)));
                assert!(packet.offset > last_offset, "offsets rise");
                last_offset = packet.offset;
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(matches!(reader.next(), Ok(None)), "nothing follows the end");
    (packets, error)
}

pub(crate) fn len_of<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).expect("test data is short")
}

/// All packets of a capture that is whole.
pub(crate) fn read_whole(input: &[u8]) -> Vec<Owned> {
    let (packets, error) = read_all(input);
    assert!(error.is_none(), "{error:?}");
    packets
}

/// A pipe that gives a few bytes at a time and is interrupted in between.
pub(crate) struct Trickle<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) step: usize,
    pub(crate) interrupted: bool,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let step = self.step.min(buffer.len());
        (&mut self.rest).take(u64::try_from(step).expect("short")).read(buffer)
    }
}

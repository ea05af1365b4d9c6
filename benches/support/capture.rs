//! Captures in memory.

use std::hint::black_box;
use std::io;

use portlane_pcap::{LinkType, Reader, Writer};

use super::packets::traffic;
use super::{Element, Rounds};

const MIXED: &[u8] = include_bytes!("../../tests/data/mixed.pcapng");

/// A real capture of many kinds of packets.
pub(super) fn read_mixed() -> Box<dyn Element> {
    reading(MIXED)
}

/// Long enough that opening it does not count.
pub(super) fn read_small() -> Box<dyn Element> {
    reading(write(Vec::new(), &traffic().repeat(16)))
}

pub(super) fn write_small() -> Box<dyn Element> {
    let frames = traffic();
    Box::new(Rounds(frames.len() as u64, move || {
        write(io::sink(), &frames);
    }))
}

fn reading(capture: impl AsRef<[u8]> + 'static) -> Box<dyn Element> {
    Box::new(Rounds(packets(capture.as_ref()), move || {
        black_box(packets(capture.as_ref()));
    }))
}

fn packets(capture: &[u8]) -> u64 {
    let mut reader = Reader::new(capture).expect("a capture");
    let mut count = 0;
    while let Some(packet) = reader.next().expect("a whole capture") {
        black_box(packet.data);
        count += 1;
    }
    count
}

/// A packet a microsecond.
fn write<W: io::Write>(output: W, frames: &[[u8; 64]]) -> W {
    let mut writer = Writer::new(output).expect("memory does not fail");
    for (time_us, frame) in (1_700_000_000_000_000..).zip(frames) {
        writer.write(LinkType::ETHERNET, time_us * 1_000, frame, 64).expect("memory does not fail");
    }
    writer.finish().expect("memory does not fail")
}

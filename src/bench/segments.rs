//! Sequence numbers of TCP: every flow's go on from segment to segment, without end.

use std::collections::HashMap;

use portlane_rings::{Frame, Pool};

use crate::line::BATCH;

/// Where in a frame the sequence number is, behind Ethernet, IPv4 without options and two ports.
const SEQ: usize = 38;

/// Of a packet: what its flow has sent when it comes for the first time, and what the flow sends until it comes again.
#[derive(Debug, Clone, Copy)]
struct Segment {
    begin: u32,
    step: u32,
}

/// Those of all packets of a sequence, which repeats itself.
#[derive(Debug)]
pub(super) struct Segments {
    /// The first [`BATCH`] are at the end once more, as of the next time.
    all: Vec<Segment>,
    /// How often the sequence has been sent.
    passes: u32,
}

impl Segments {
    /// Of packets of these flows, each with so many bytes of data.
    pub(super) fn of(flows: &[u32], data: u32) -> Self {
        let mut sent = HashMap::<u32, u32>::new();
        let begins: Vec<_> = flows
            .iter()
            .map(|&flow| {
                let next = sent.entry(flow).or_default();
                let begin = *next;
                *next = begin.wrapping_add(data);
                begin
            })
            .collect();
        let mut all: Vec<_> =
            flows.iter().zip(begins).map(|(flow, begin)| Segment { begin, step: sent[flow] }).collect();
        let once_more = |&Segment { begin, step }: &Segment| Segment { begin: begin.wrapping_add(step), step };
        all.extend_from_within(..BATCH.min(all.len()));
        all[flows.len()..].iter_mut().for_each(|segment| *segment = once_more(segment));
        Self { all, passes: 0 }
    }

    /// The sequence begins again.
    pub(super) fn begin_again(&mut self) {
        self.passes = self.passes.wrapping_add(1);
    }

    /// The numbers of packets from this place on, in their frames.
    #[inline]
    pub(super) fn fill(&self, pool: &mut Pool, batch: &mut [Frame], place: usize) {
        for (frame, &Segment { begin, step }) in batch.iter_mut().zip(&self.all[place..]) {
            let seq = begin.wrapping_add(step.wrapping_mul(self.passes));
            pool.bytes_mut(frame)[SEQ..SEQ + 4].copy_from_slice(&seq.to_be_bytes());
        }
    }
}

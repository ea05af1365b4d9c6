//! A path that takes its time and loses what it is told to, and one on it who sees all frames.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use std::{io, mem};

use portlane_pcap::{LinkType, Writer};
use portlane_rings::{Device, Frame, Options, Pool, Socket, open_wire, wait};

use crate::bench::{Bench, SIDES};

/// How long the relay sleeps at most.
const STEP: Duration = Duration::from_micros(500);

/// Nothing has been under way for this long: the end may be there.
const QUIET: Duration = Duration::from_millis(300);

const BATCH: usize = 64;

/// A frame as it passed, right in front of the client's interface.
pub(crate) struct Passed {
    time_ns: u64,
    frame: Vec<u8>,
}

/// Writes a capture of what passed.
pub(crate) fn write(passed: &[Passed], to: &Path) {
    let mut writer = Writer::new(File::create(to).unwrap()).unwrap();
    for Passed { time_ns, frame } in passed {
        let len = u32::try_from(frame.len()).unwrap();
        writer.write(LinkType::ETHERNET, *time_ns, frame, len).unwrap();
    }
    writer.finish().unwrap();
}

/// Carries all frames between client and server, in the place of a line.
pub(crate) struct Relay {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Passed>>>,
}

impl Relay {
    /// Every frame takes `delay`, in each direction. Those that `loses` picks have passed, and do not arrive.
    pub(crate) fn start(bench: &Bench, delay: Duration, loses: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        let options = Options { frames: 8_192, ring_size: 1_024, ..Options::default() };
        let (mut pool, mut ends) = bench.line.within(|| open_wire(SIDES, &options)).unwrap().unwrap();
        for end in &mut ends {
            // The kernel is given frames for what arrives before anybody asks for it.
            end.receive(&mut pool, &mut Vec::new(), BATCH).unwrap();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let carrier = Carrier { pool, ends, delay, under_way: Default::default(), passed: Vec::new(), loses };
        let stopped = Arc::clone(&stop);
        let thread = bench.line.spawn("relay", move || carrier.carry(&stopped)).unwrap();
        Self { stop, thread }
    }

    /// What passed, once nothing is under way any more.
    pub(crate) fn end(self) -> Vec<Passed> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap()
    }
}

struct Carrier<L> {
    pool: Pool,
    /// At the client, and at the server.
    ends: [Socket; 2],
    delay: Duration,
    /// Frames from each end, and when they arrive at the other one.
    under_way: [VecDeque<(Instant, Frame)>; 2],
    passed: Vec<Passed>,
    loses: L,
}

const CLIENT: usize = 0;

impl<L: FnMut(&[u8]) -> bool> Carrier<L> {
    fn carry(mut self, stop: &AtomicBool) -> Vec<Passed> {
        let mut moved = Instant::now();
        while !stop.load(Ordering::Relaxed) || moved.elapsed() < QUIET {
            wait(self.ends.each_mut(), None, STEP).unwrap();
            if self.receive() || self.deliver() {
                moved = Instant::now();
            }
        }
        mem::take(&mut self.passed)
    }

    /// Frames set out; those of the client have passed.
    fn receive(&mut self) -> bool {
        let (mut batch, mut any) = (Vec::new(), false);
        for end in 0..self.ends.len() {
            self.ends[end].reclaim(&mut self.pool).unwrap();
            self.ends[end].receive(&mut self.pool, &mut batch, BATCH).unwrap();
            any |= !batch.is_empty();
            let arrival = Instant::now() + self.delay;
            for frame in batch.drain(..) {
                if end == CLIENT && self.sees(&frame) {
                    self.pool.put(frame);
                } else {
                    self.under_way[end].push_back((arrival, frame));
                }
            }
        }
        any
    }

    /// Frames arrive whose time has come; those of the server have passed.
    fn deliver(&mut self) -> bool {
        let mut any = false;
        for from in 0..self.ends.len() {
            while let Some((_, frame)) = self.under_way[from].pop_front_if(|(arrival, _)| *arrival <= Instant::now()) {
                any = true;
                if from != CLIENT && self.sees(&frame) {
                    self.pool.put(frame);
                } else {
                    self.ends[1 - from].send(frame).unwrap();
                }
            }
            self.ends[1 - from].flush().unwrap();
        }
        any
    }

    /// A frame passes; true if it is lost then.
    fn sees(&mut self, frame: &Frame) -> bool {
        let bytes = self.pool.bytes(frame);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        self.passed.push(Passed { time_ns: u64::try_from(now.as_nanos()).unwrap(), frame: bytes.to_vec() });
        (self.loses)(bytes)
    }
}

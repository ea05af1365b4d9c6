//! A wire at work: what arrives at one end leaves at the other.

use std::io;
use std::time::Duration;

use portlane_rings::{Device, Frame, OpenError, Options, Pool, Socket, open_wire, wait};

use crate::namespace::Bench;

pub(crate) const SIDES: [&str; 2] = ["left", "right"];

pub(crate) struct Wire {
    pub(crate) pool: Pool,
    pub(crate) ends: [Socket; 2],
    batch: Vec<Frame>,
}

impl Wire {
    pub(crate) fn open(bench: &Bench, options: &Options) -> Result<Self, OpenError> {
        let (pool, ends) = bench.line.run(|| open_wire(SIDES, options))?;
        Ok(Self { pool, ends, batch: Vec::with_capacity(64) })
    }

    /// Forwards what there is, and checks the books after each step.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        for (from, to) in [(0, 1), (1, 0)] {
            self.ends[from].receive(&mut self.pool, &mut self.batch, 64)?;
            assert!(self.balances(), "after receiving");
            for frame in self.batch.drain(..) {
                if let Err(frame) = self.ends[to].send(frame) {
                    self.pool.put(frame);
                }
            }
            self.ends[to].flush()?;
            self.ends[from].reclaim(&mut self.pool)?;
            assert!(self.balances(), "after reclaiming");
        }
        Ok(())
    }

    /// Turns until something is so, waiting in between as an idle worker does.
    pub(crate) fn turn_until(&mut self, mut is_so: impl FnMut(&Self) -> bool) {
        for _ in 0..500 {
            wait(self.ends.each_mut(), None, Duration::from_millis(10)).unwrap();
            self.turn().unwrap();
            if is_so(self) {
                return;
            }
        }
        panic!("not so after 500 turns");
    }

    /// Turns until an error comes, waiting in between as an idle worker does.
    pub(crate) fn first_error(&mut self) -> io::Error {
        for _ in 0..100 {
            let waited = wait(self.ends.each_mut(), None, Duration::from_millis(10));
            if let Err(error) = waited.and_then(|_| self.turn()) {
                return error;
            }
        }
        panic!("no error in 100 turns");
    }

    /// What has come to an end goes home; how long the packets were.
    pub(crate) fn receive_and_drop(&mut self, end: usize) -> Vec<usize> {
        self.ends[end].receive(&mut self.pool, &mut self.batch, 64).unwrap();
        let lengths = self.batch.iter().map(|frame| frame.len() as usize).collect();
        self.batch.drain(..).for_each(|frame| self.pool.put(frame));
        self.ends[end].reclaim(&mut self.pool).unwrap();
        assert!(self.balances(), "after dropping");
        lengths
    }

    fn balances(&self) -> bool {
        let in_devices: u32 = self.ends.iter().map(|end| end.held().filling + end.held().sending).sum();
        let in_hand = u32::try_from(self.batch.len()).unwrap();
        self.pool.free() + in_devices + in_hand == self.pool.total()
    }
}

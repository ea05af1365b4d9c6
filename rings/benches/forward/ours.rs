//! Our rings, inlined.

use libc::xdp_desc;
use portlane_rings::ring::{Consumer, Producer, plain};

use crate::{BATCH, Forward, PREPARED, SIZE};

pub(crate) struct Ours {
    rx: Consumer<xdp_desc>,
    tx: Producer<xdp_desc>,
    completion: Consumer<u64>,
    fill: Producer<u64>,
    kernel: Kernel,
    descriptors: Vec<xdp_desc>,
    addresses: Vec<u64>,
}

/// The far end.
struct Kernel {
    rx: Producer<xdp_desc>,
    tx: Consumer<xdp_desc>,
    completion: Producer<u64>,
    fill: Consumer<u64>,
}

impl Ours {
    pub(crate) fn new() -> Self {
        let nothing = xdp_desc { addr: 0, len: 0, options: 0 };
        let (kernel_rx, rx) = plain(SIZE, 0, nothing);
        let (tx, kernel_tx) = plain(SIZE, 0, nothing);
        let (kernel_completion, completion) = plain(SIZE, 0, 0);
        let (fill, kernel_fill) = plain(SIZE, 0, 0);
        Self {
            rx,
            tx,
            completion,
            fill,
            kernel: Kernel { rx: kernel_rx, tx: kernel_tx, completion: kernel_completion, fill: kernel_fill },
            descriptors: Vec::with_capacity(BATCH as usize),
            addresses: Vec::with_capacity(BATCH as usize),
        }
    }
}

impl Forward for Ours {
    fn prepare(&mut self) {
        let Kernel { rx, tx, completion, fill } = &mut self.kernel;
        while tx.pop().is_some() {}
        while fill.pop().is_some() {}
        tx.release();
        fill.release();
        for address in (0..PREPARED).map(|frame| u64::from(frame) * 2_048) {
            rx.push(xdp_desc { addr: address, len: 60, options: 0 }).expect("room");
            completion.push(address).expect("room");
        }
        rx.publish();
        completion.publish();
    }

    #[inline(never)]
    fn forward(&mut self) {
        self.descriptors.extend((0..BATCH).map_while(|_| self.rx.pop()));
        self.rx.release();
        for descriptor in self.descriptors.drain(..) {
            self.tx.push(descriptor).expect("room");
        }
        self.tx.publish();
        self.addresses.extend((0..BATCH).map_while(|_| self.completion.pop()));
        self.completion.release();
        for address in self.addresses.drain(..) {
            self.fill.push(address).expect("room");
        }
        self.fill.publish();
    }
}

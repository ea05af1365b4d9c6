//! The four rings of a socket, and the books of the frames that are in them.

use std::io;

use libc::xdp_desc;

use super::socket::Socket;
use crate::ring::{COMPLETION, Consumer, FILL, Producer, RX, Ring, TX};
use crate::{Frame, Held, Layout, Pool};

/// The data path of a socket without its system calls.
///
/// What the kernel hands back is checked, not believed: a descriptor that does not lie within one frame of the pool,
/// or that is one more than the kernel was given, makes no frame and is counted as a stray.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) rx: Consumer<xdp_desc>,
    pub(super) fill: Producer<u64>,
    pub(super) tx: Producer<xdp_desc>,
    pub(super) completion: Consumer<u64>,
    pub(super) held: Held,
    pub(super) strays: u64,
    pub(super) layout: Layout,
    pub(super) pool: u32,
    /// Entries of each ring, a power of two.
    pub(super) size: u32,
}

impl Queues {
    /// Maps the rings of a socket, `size` entries each, whose frames are those of the pool with the id `pool`.
    pub(super) fn map(socket: &Socket, layout: Layout, size: u32, pool: u32) -> io::Result<Self> {
        let (descriptor, offsets) = (socket.descriptor(), socket.offsets()?);
        Ok(Self {
            rx: Consumer::new(Ring::map(descriptor, &RX, &offsets, size)?),
            fill: Producer::new(Ring::map(descriptor, &FILL, &offsets, size)?),
            tx: Producer::new(Ring::map(descriptor, &TX, &offsets, size)?),
            completion: Consumer::new(Ring::map(descriptor, &COMPLETION, &offsets, size)?),
            held: Held::default(),
            strays: 0,
            layout,
            pool,
            size,
        })
    }

    /// Appends at most `max` received frames to `batch`.
    pub(super) fn receive(&mut self, pool: &Pool, batch: &mut Vec<Frame>, max: usize) {
        self.check(pool.id());
        for taken in 0..max {
            let Some(descriptor) = self.rx.pop() else {
                if taken > 0 {
                    self.rx.release();
                }
                return;
            };
            match self.frame(descriptor) {
                Some(frame) if self.held.filling > 0 => {
                    self.held.filling -= 1;
                    // The packet is in the cache of whoever wrote it: of another core, if the kernel copied it.
                    pool.prefetch(&frame);
                    batch.push(frame);
                }
                _ => self.strays += 1,
            }
        }
        self.rx.release();
    }

    /// Adds a frame to the transmit ring; the kernel sees it after [`publish`](Self::publish).
    pub(super) fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.check(frame.pool);
        assert!(!frame.is_empty(), "the kernel never gives back a frame without a packet");
        let descriptor = xdp_desc { addr: u64::from(frame.address), len: frame.len(), options: 0 };
        if self.tx.push(descriptor).is_err() {
            return Err(frame);
        }
        self.held.sending += 1;
        Ok(())
    }

    /// Frames that the transmit ring has room for.
    pub(super) fn room(&mut self) -> usize {
        self.tx.room() as usize
    }

    /// Shows the kernel all frames to be sent.
    pub(super) fn publish(&mut self) {
        self.tx.publish();
    }

    /// Brings home what has been sent, and gives the kernel frames to fill.
    pub(super) fn reclaim(&mut self, pool: &mut Pool) {
        self.check(pool.id());
        self.complete(pool);
        self.refill(pool);
    }

    fn complete(&mut self, pool: &mut Pool) {
        let mut taken = false;
        while let Some(address) = self.completion.pop() {
            taken = true;
            match self.address(address) {
                Some(address) if self.held.sending > 0 => {
                    self.held.sending -= 1;
                    pool.restore(address);
                }
                _ => self.strays += 1,
            }
        }
        if taken {
            self.completion.release();
        }
    }

    fn refill(&mut self, pool: &mut Pool) {
        let before = self.held.filling;
        while self.held.filling < self.size {
            let Some(frame) = pool.take() else { break };
            let address = pool.surrender(frame);
            if self.fill.push(u64::from(address)).is_err() {
                pool.restore(address);
                break;
            }
            self.held.filling += 1;
        }
        if self.held.filling != before {
            self.fill.publish();
        }
    }

    /// The token for a received packet, if the descriptor lies within one frame of the pool.
    fn frame(&self, descriptor: xdp_desc) -> Option<Frame> {
        let address = self.address(descriptor.addr)?;
        let len = u16::try_from(descriptor.len).ok()?;
        let room = self.layout.frame_size - address % self.layout.frame_size;
        (1..=room).contains(&u32::from(len)).then_some(Frame::new(self.pool, address, len))
    }

    fn address(&self, address: u64) -> Option<u32> {
        if address < self.layout.bytes() { u32::try_from(address).ok() } else { None }
    }

    fn check(&self, pool: u32) {
        assert_eq!(pool, self.pool, "this frame is another pool's");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::plain;

    const NOTHING: xdp_desc = xdp_desc { addr: 0, len: 0, options: 0 };
    const LAYOUT: Layout = Layout { frames: 16, frame_size: 2_048 };

    /// The kernel's ends of the rings.
    struct Kernel {
        rx: Producer<xdp_desc>,
        fill: Consumer<u64>,
        tx: Consumer<xdp_desc>,
        completion: Producer<u64>,
    }

    impl Kernel {
        fn receive(&mut self, addr: u64, len: u32) {
            self.rx.push(xdp_desc { addr, len, options: 0 }).unwrap();
            self.rx.publish();
        }

        fn complete(&mut self, address: u64) {
            self.completion.push(address).unwrap();
            self.completion.publish();
        }
    }

    fn wired() -> (Pool, Queues, Kernel) {
        let pool = Pool::new(LAYOUT).unwrap();
        let (kernel_rx, rx) = plain(4, u32::MAX, NOTHING);
        let (fill, kernel_fill) = plain(4, 0, 0);
        let (tx, kernel_tx) = plain(4, 0, NOTHING);
        let (kernel_completion, completion) = plain(4, 0, 0);
        let held = Held::default();
        let queues = Queues { rx, fill, tx, completion, held, strays: 0, layout: LAYOUT, pool: pool.id(), size: 4 };
        (pool, queues, Kernel { rx: kernel_rx, fill: kernel_fill, tx: kernel_tx, completion: kernel_completion })
    }

    fn books_balance(pool: &Pool, queues: &Queues) {
        assert_eq!(pool.free() + queues.held.filling + queues.held.sending, pool.total());
    }

    #[test]
    fn a_frame_goes_all_the_way_round() {
        let (mut pool, mut queues, mut kernel) = wired();
        queues.reclaim(&mut pool);
        assert_eq!(queues.held, Held { filling: 4, sending: 0 });
        let address = kernel.fill.pop().unwrap();
        kernel.receive(address + 256, 60);

        let mut batch = Vec::new();
        queues.receive(&pool, &mut batch, 32);
        let frame = batch.pop().unwrap();
        assert_eq!((frame.len(), frame.wire_len()), (60, 60));
        queues.send(frame).unwrap();
        assert!(kernel.tx.pop().is_none(), "not before it is published");
        queues.publish();
        let sent = kernel.tx.pop().unwrap();
        assert_eq!((sent.addr, sent.len, sent.options), (address + 256, 60, 0));
        assert_eq!(queues.held, Held { filling: 3, sending: 1 });
        books_balance(&pool, &queues);

        kernel.complete(sent.addr);
        kernel.fill.release();
        queues.reclaim(&mut pool);
        assert_eq!(queues.held, Held { filling: 4, sending: 0 });
        assert_eq!(pool.free(), 12);
    }

    #[test]
    fn wild_descriptors_make_no_frames() {
        let (mut pool, mut queues, mut kernel) = wired();
        queues.reclaim(&mut pool);
        let end = LAYOUT.bytes();
        for (addr, len) in [(end, 60), (u64::MAX, 60), (end - 59, 60), (2_000, 60), (256, 0), (0, u32::MAX)] {
            kernel.receive(addr, len);
            let mut batch = Vec::new();
            queues.receive(&pool, &mut batch, 32);
            assert_eq!(batch, [], "{addr} + {len}");
        }
        for address in [end, u64::MAX, 256] {
            kernel.complete(address);
        }
        queues.reclaim(&mut pool);
        assert_eq!((queues.strays, queues.held), (9, Held { filling: 4, sending: 0 }));
        books_balance(&pool, &queues);
    }

    #[test]
    fn more_packets_than_frames_were_given_make_no_frames() {
        let (mut pool, mut queues, mut kernel) = wired();
        queues.reclaim(&mut pool);
        let mut batch = Vec::new();
        for _ in 0..6 {
            kernel.receive(256, 60);
            queues.receive(&pool, &mut batch, 1);
        }
        assert_eq!((batch.len(), queues.strays), (4, 2));
    }

    #[test]
    fn a_full_ring_gives_the_frame_back() {
        let (mut pool, mut queues, _kernel) = wired();
        for count in 0..5 {
            assert_eq!(queues.room(), 4_usize.saturating_sub(count));
            let mut frame = pool.take().unwrap();
            pool.write(&mut frame, b"packet").unwrap();
            if let Err(frame) = queues.send(frame) {
                assert_eq!(count, 4);
                pool.put(frame);
            }
        }
        assert_eq!(queues.held.sending, 4);
        books_balance(&pool, &queues);
    }

    #[test]
    fn an_empty_pool_leaves_the_fill_ring_short_until_frames_come_home() {
        let (mut pool, mut queues, _kernel) = wired();
        let held: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        queues.reclaim(&mut pool);
        assert_eq!(queues.held.filling, 0);
        held.into_iter().for_each(|frame| pool.put(frame));
        queues.reclaim(&mut pool);
        assert_eq!(queues.held.filling, 4);
    }

    #[test]
    #[should_panic(expected = "another pool's")]
    fn pools_are_not_mixed() {
        let (_pool, mut queues, _kernel) = wired();
        queues.reclaim(&mut Pool::new(LAYOUT).unwrap());
    }
}

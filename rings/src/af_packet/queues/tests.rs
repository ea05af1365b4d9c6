use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::Layout;
use crate::af_xdp::HEADROOM;

const FRAMES: u32 = 160;
const RING: u32 = 16;

fn pool() -> Pool {
    let layout = Layout { frames: FRAMES, frame_size: 512 };
    Pool::over(Area::map(usize::try_from(layout.bytes()).unwrap()).unwrap(), layout, HEADROOM)
}

#[test]
fn a_tag_goes_behind_the_addresses() {
    let mut pool = pool();
    let tag = Tag { protocol: 0x88a8, control: 0x6007 };
    let mut frame = pool.take().unwrap();
    pool.write(&mut frame, b"far-hwnear-wtype and more").unwrap();
    insert(tag, &mut frame, &mut pool);
    assert_eq!(pool.bytes(&frame), b"far-hwnear-w\x88\xa8\x60\x07type and more".as_slice());
    assert_eq!(frame.wire_len(), frame.len());
    // Nothing that an interface would deliver.
    pool.write(&mut frame, b"far-hwnear-").unwrap();
    insert(tag, &mut frame, &mut pool);
    assert_eq!(pool.bytes(&frame), b"far-hwnear-");
    pool.put(frame);
    assert_eq!(pool.take_to_fill().map(|frame| frame.len()), Some(pool.capacity()));
}

/// What a kernel may do next.
#[derive(Debug, Clone)]
enum Kernel {
    /// So many frames arrive, of this length.
    Arrive { count: usize, len: u32, outgoing: bool, tagged: bool },
    /// Receiving fails once.
    FailToReceive(i32),
    /// So many frames are sent by the next call; then a call fails.
    Send { count: usize, error: i32 },
}

fn kernel() -> impl Strategy<Value = Kernel> {
    let len = prop_oneof![Just(0_u32), 1..300_u32, Just(70_000)];
    let receive = prop::sample::select(vec![libc::EAGAIN, libc::ENETDOWN, libc::EIO]);
    let send = prop::sample::select(vec![
        libc::EAGAIN,
        libc::ENETDOWN,
        libc::ENOBUFS,
        libc::EMSGSIZE,
        libc::EINVAL,
        libc::ENXIO,
    ]);
    prop_oneof![
        (0..80_usize, len, any::<bool>(), any::<bool>()).prop_map(|(count, len, outgoing, tagged)| Kernel::Arrive {
            count,
            len,
            outgoing,
            tagged
        }),
        receive.prop_map(Kernel::FailToReceive),
        (0..20_usize, send).prop_map(|(count, error)| Kernel::Send { count, error }),
    ]
}

/// A worker that forwards what it gets, and what must be true of the kernel's side.
struct Model {
    pool: Pool,
    queues: Queues,
    /// Numbers of packets on their way, oldest first.
    under_way: VecDeque<u8>,
    next: u8,
    accepted: u64,
    too_long: u64,
    sent: u64,
    refused: u64,
}

impl Model {
    fn balances(&self) -> bool {
        let Held { filling, sending } = self.queues.held();
        self.pool.free() + filling + sending == FRAMES
    }

    fn arrive(&mut self, count: usize, arrived: Arrived) {
        let (mut batch, mut filled) = (Vec::new(), 0);
        let next = &mut self.next;
        let received = self.queues.receive(&mut self.pool, &mut batch, 64, |area, frames, each| {
            for frame in frames.iter().take(count) {
                *next = next.wrapping_add(1);
                let len = arrived.len.min(frame.len());
                area.slice_mut(frame.address, len).fill(*next);
                each(arrived);
                filled += 1;
            }
            Ok(())
        });
        received.unwrap();
        let first = self.next.wrapping_sub(filled);
        let longest = u64::from(self.pool.capacity());
        let is_too_long = u64::from(arrived.len) > longest && !arrived.outgoing;
        self.too_long += if is_too_long { u64::from(filled) } else { 0 };
        let is_ours = !arrived.outgoing && (1..=longest).contains(&u64::from(arrived.len));
        assert_eq!(batch.len(), if is_ours { usize::from(filled) } else { 0 });
        for (frame, number) in batch.into_iter().zip(1..) {
            let number = first.wrapping_add(number);
            assert_eq!(self.pool.bytes(&frame).first(), Some(&number), "packets keep their order");
            self.accepted += 1;
            match self.queues.send(frame) {
                Ok(()) => self.under_way.push_back(number),
                Err(frame) => {
                    self.refused += 1;
                    self.pool.put(frame);
                }
            }
        }
    }

    fn send(&mut self, mut count: usize, error: i32) {
        let (before, mut failed) = (self.queues.unsent, false);
        let (under_way, sent) = (&mut self.under_way, &mut self.sent);
        let flushed = self.queues.flush(|area, frames| {
            if failed {
                // What fails does so once.
                count = usize::MAX;
            }
            if count == 0 {
                failed = true;
                if [libc::ENOBUFS, libc::EMSGSIZE, libc::EINVAL].contains(&error) {
                    under_way.pop_front();
                }
                return Err(io::Error::from_raw_os_error(error));
            }
            let taken = frames.len().min(count);
            count -= taken;
            for frame in &frames[..taken] {
                let bytes = area.slice(frame.address, frame.len());
                assert_eq!(bytes.first().copied(), under_way.pop_front(), "packets keep their order");
            }
            *sent += taken as u64;
            Ok(taken)
        });
        assert_eq!(flushed.is_err(), failed && error == libc::ENXIO);
        assert_eq!(self.queues.down, failed && error == libc::ENETDOWN);
        let is_of_one = failed && [libc::ENOBUFS, libc::EMSGSIZE, libc::EINVAL].contains(&error);
        assert_eq!(self.queues.unsent - before, u64::from(is_of_one));
    }
}

proptest! {
    /// Whatever the kernel does: no frame is lost or made, no packet sent twice or out of order, and each is counted once.
    #[test]
    fn frames_are_conserved(steps in prop::collection::vec(kernel(), 1..60)) {
        let mut pool = pool();
        let queues = Queues::new(&mut pool, RING);
        let mut model = Model {
            pool, queues, under_way: VecDeque::new(), next: 0, accepted: 0, too_long: 0, sent: 0, refused: 0,
        };
        for step in steps {
            model.queues.down = false;
            match step {
                Kernel::Arrive { count, len, outgoing, tagged } => {
                    let tag = tagged.then_some(Tag { protocol: 0x8100, control: 7 });
                    model.arrive(count, Arrived { len, outgoing, tag });
                }
                Kernel::FailToReceive(error) => {
                    let failed = |_: &mut Area, _: &[Frame], _: &mut dyn FnMut(Arrived)| {
                        Err(io::Error::from_raw_os_error(error))
                    };
                    let received = model.queues.receive(&mut model.pool, &mut Vec::new(), 64, failed);
                    prop_assert_eq!(received.is_err(), error != libc::EAGAIN);
                }
                Kernel::Send { count, error } => model.send(count, error),
            }
            prop_assert!(model.balances());
            model.queues.reclaim(&mut model.pool);
            prop_assert!(model.balances());
            prop_assert_eq!(model.queues.waiting() as usize, model.under_way.len());
        }
        let waiting = model.under_way.len() as u64;
        prop_assert_eq!(model.accepted, model.sent + model.queues.unsent + model.refused + waiting);
        prop_assert_eq!(model.queues.too_long, model.too_long);
    }
}

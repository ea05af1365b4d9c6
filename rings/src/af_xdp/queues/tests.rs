use super::*;
use crate::ring::plain;

const NOTHING: xdp_desc = xdp_desc { addr: 0, len: 0, options: 0 };
const LAYOUT: Layout = Layout { frames: 16, frame_size: 2_048 };

/// Of frames that are three chunks long.
const LARGE: Layout = Layout { frames: 16, frame_size: 12_288 };

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
    wired_with(LAYOUT)
}

fn wired_with(layout: Layout) -> (Pool, Queues, Kernel) {
    let pool = Pool::new(layout).unwrap();
    let (kernel_rx, rx) = plain(4, u32::MAX, NOTHING);
    let (fill, kernel_fill) = plain(4, 0, 0);
    let (tx, kernel_tx) = plain(4, 0, NOTHING);
    let (kernel_completion, completion) = plain(4, 0, 0);
    let held = Held::default();
    let (strays, multi_buffer) = (0, MultiBuffer::of(layout));
    let queues = Queues { rx, fill, tx, completion, held, strays, multi_buffer, layout, pool: pool.id(), size: 4 };
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
    queues.receive(&mut pool, &mut batch, 32);
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
        queues.receive(&mut pool, &mut batch, 32);
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
        queues.receive(&mut pool, &mut batch, 1);
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

/// What the kernel writes into the chunk at `address`, with the headroom that it leaves.
fn arrive(pool: &mut Pool, kernel: &mut Kernel, packet: &[u8], goes_on: bool) {
    // It looks at no more of an address than the chunk that it is in.
    let at = kernel.fill.pop().unwrap() / 4_096 * 4_096 + 256;
    kernel.fill.release();
    let mut token = Frame::new(pool.id(), u32::try_from(at).unwrap(), u16::try_from(packet.len()).unwrap());
    pool.bytes_mut(&mut token).copy_from_slice(packet);
    let (len, options) = (token.len(), u32::from(goes_on));
    kernel.rx.push(xdp_desc { addr: at, len, options }).unwrap();
    kernel.rx.publish();
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

#[test]
fn a_packet_of_several_descriptors_is_one_frame_both_ways() {
    let (mut pool, mut queues, mut kernel) = wired_with(LARGE);
    queues.reclaim(&mut pool);
    let packet = bytes(9_014);
    let mut batch = Vec::new();
    arrive(&mut pool, &mut kernel, &packet[..3_840], true);
    arrive(&mut pool, &mut kernel, &packet[3_840..7_680], true);
    queues.receive(&mut pool, &mut batch, 32);
    assert_eq!((batch.len(), queues.held().filling), (0, 3), "two have arrived, and are one packet's");
    assert_eq!(pool.free() + queues.held().filling, 16);
    arrive(&mut pool, &mut kernel, &packet[7_680..], false);
    queues.receive(&mut pool, &mut batch, 32);
    let frame = batch.pop().unwrap();
    assert!(pool.bytes(&frame) == packet);
    assert_eq!((frame.wire_len(), pool.free(), queues.held()), (9_014, 14, Held { filling: 1, sending: 0 }));

    assert_eq!(queues.room(), 1, "a ring of four has no room for six");
    queues.send(frame).unwrap();
    assert_eq!((queues.room(), queues.held().sending), (0, 1));
    queues.publish();
    let sent: Vec<_> = std::iter::from_fn(|| kernel.tx.pop()).map(|part| (part.addr, part.len, part.options)).collect();
    assert_eq!(sent, [(256, 3_840, 1), (4_096, 4_096, 1), (8_192, 1_078, 0)]);
    kernel.tx.release();
    for (address, left) in [(256, 1), (4_096, 1), (8_192, 0)] {
        kernel.complete(address);
        queues.reclaim(&mut pool);
        assert_eq!(queues.held().sending, left);
    }
    kernel.complete(8_192);
    queues.reclaim(&mut pool);
    assert_eq!(queues.strays, 1, "it was complete");
    assert_eq!((pool.free(), queues.held()), (12, Held { filling: 4, sending: 0 }));
}

#[test]
fn short_packets_in_long_frames_are_as_any() {
    let (mut pool, mut queues, mut kernel) = wired_with(LARGE);
    queues.reclaim(&mut pool);
    let mut batch = Vec::new();
    for _ in 0..3 {
        arrive(&mut pool, &mut kernel, b"short", false);
    }
    queues.receive(&mut pool, &mut batch, 2);
    assert_eq!(batch.len(), 2);
    queues.receive(&mut pool, &mut batch, 2);
    assert_eq!((batch.len(), queues.strays), (3, 0));
    batch.drain(..).for_each(|frame| queues.send(frame).unwrap());
    queues.publish();
    while let Some(part) = kernel.tx.pop() {
        assert_eq!((part.addr % 12_288, part.len, part.options), (256, 5, 0));
        kernel.complete(part.addr);
    }
    queues.reclaim(&mut pool);
    assert_eq!(pool.free() + queues.held().filling, 16);
}

#[test]
fn a_packet_that_is_too_long_is_dropped_whole_and_the_next_one_is_not() {
    let (mut pool, mut queues, mut kernel) = wired_with(LARGE);
    let mut batch = Vec::new();
    for _ in 0..3 {
        for goes_on in [true, true, true, true, false] {
            queues.reclaim(&mut pool);
            arrive(&mut pool, &mut kernel, &bytes(3_840), goes_on);
            queues.receive(&mut pool, &mut batch, 32);
            assert_eq!((batch.len(), pool.free() + queues.held().filling), (0, 16));
        }
    }
    queues.reclaim(&mut pool);
    arrive(&mut pool, &mut kernel, b"next", false);
    queues.receive(&mut pool, &mut batch, 32);
    assert_eq!((batch.len(), queues.too_long(), queues.strays), (1, 3, 0));
}

#[test]
fn wild_parts_make_no_packets() {
    let (mut pool, mut queues, mut kernel) = wired_with(LARGE);
    let mut batch = Vec::new();
    for (addr, len) in [(4_096 + 256, 60), (256, 3_841), (LARGE.bytes(), 60), (u64::MAX, 60)] {
        queues.reclaim(&mut pool);
        arrive(&mut pool, &mut kernel, b"begins", true);
        kernel.rx.push(xdp_desc { addr, len, options: 1 }).unwrap();
        arrive(&mut pool, &mut kernel, b"ends", false);
        queues.receive(&mut pool, &mut batch, 32);
        assert_eq!((batch.len(), pool.free() + queues.held().filling), (0, 16), "{addr} + {len}");
    }
    assert_eq!((queues.strays, queues.too_long()), (4, 0));
}

//! What is read of heads is what is read of frames.

use etherparse::PacketBuilder;
use portlane_flows::Digest;
use portlane_rings::Layout;
use proptest::prelude::*;

use super::*;

fn pool() -> Pool {
    Pool::new(Layout { frames: 128, frame_size: 2_112 }).unwrap()
}

/// Everything that is there, in words.
fn received(receiver: &mut Receiver) -> Vec<(u64, Arriving, u32, Vec<u8>)> {
    let (mut slot, mut heads) = (Taken::default(), Vec::new());
    while let Some(time_ns) = receiver.oldest_ns() {
        while let Some(head) = receiver.take(time_ns, &mut slot) {
            heads.push((head.time_ns, head.arriving, head.wire_len, head.bytes.to_vec()));
        }
    }
    receiver.release();
    heads
}

fn show(sender: &mut Sender, frames: &[Vec<u8>], arriving: Arriving, now: u64) {
    let mut pool = pool();
    let written = frames.iter().map(|bytes| {
        let mut frame = pool.take().unwrap();
        pool.write(&mut frame, bytes).unwrap();
        frame
    });
    let written: Vec<_> = written.collect();
    sender.show(&pool, &written, arriving, Nanos(now));
    written.into_iter().for_each(|frame| pool.put(frame));
}

fn digest(bytes: &[u8], wire_len: u32) -> Option<Digest> {
    Digest::read(Link::Ethernet, bytes, wire_len, 7).ok().flatten()
}

/// What is read of a frame and of its head, and how many bytes that had.
fn both(frame: &[u8]) -> (Option<Digest>, Option<Digest>, usize) {
    let (mut sender, mut receiver) = way(64);
    show(&mut sender, &[frame.to_vec()], Arriving::Egress, 7);
    let heads = received(&mut receiver);
    let [(7, Arriving::Egress, wire_len, bytes)] = &heads[..] else { panic!("{heads:?}") };
    assert_eq!(*wire_len as usize, frame.len());
    assert!(frame.starts_with(bytes));
    let expected = digest(frame, *wire_len);
    (expected, digest(bytes, *wire_len), bytes.len())
}

/// A frame of every kind that there is something to read of.
fn frame(tags: usize, v6: bool, protocol: u8, options: usize, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ethernet = PacketBuilder::ethernet2([1; 6], [2; 6]);
    macro_rules! on {
        ($ip:expr) => {
            match protocol {
                6 => {
                    let tcp = $ip.tcp(40_000, port, 7, 512).psh().ack(9).options_raw(&vec![1; options]).unwrap();
                    tcp.write(&mut frame, payload).unwrap()
                }
                17 => $ip.udp(port, 40_000).write(&mut frame, payload).unwrap(),
                _ => $ip.icmpv4_echo_reply(1, 2).write(&mut frame, payload).unwrap(),
            }
        };
    }
    let vlan = |number: u16| etherparse::VlanId::try_new(number).unwrap();
    match (tags, v6) {
        (0, false) => on!(ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)),
        (0, true) => on!(ethernet.ipv6([1; 16], [2; 16], 64)),
        (1, false) => on!(ethernet.single_vlan(vlan(1)).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)),
        (1, true) => on!(ethernet.single_vlan(vlan(1)).ipv6([1; 16], [2; 16], 64)),
        (_, false) => on!(ethernet.double_vlan(vlan(1), vlan(2)).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)),
        (_, true) => on!(ethernet.double_vlan(vlan(1), vlan(2)).ipv6([1; 16], [2; 16], 64)),
    }
    frame
}

const QUESTION: &[u8] = b"GET /a/rather/long/path?with=arguments HTTP/1.1\r\nHost: somewhere.example\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const DNS: &[u8] = &[0, 17, 0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

#[test]
fn most_frames_are_one_line_of_the_cache() {
    for frame in [frame(0, false, 17, 0, 443, &[0xaa; 1_400]), frame(0, false, 6, 12, 443, &[0xaa; 1_400])] {
        let (whole, head, len) = both(&frame);
        assert_eq!((head, len), (whole, BYTES));
    }
}

#[test]
fn messages_are_copied_as_far_as_they_are_read() {
    for (tags, v6) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
        for (protocol, port, payload) in
            [(6, 80, QUESTION), (6, 80, ANSWER), (6, 53, DNS), (17, 53, &DNS[2..]), (17, 5_353, &DNS[2..])]
        {
            let (whole, head, _) = both(&frame(tags, v6, protocol, 40, port, payload));
            assert!(!whole.unwrap().messages.is_empty());
            assert_eq!(head, whole, "{tags} tags, IPv6: {v6}, protocol {protocol}");
        }
    }
}

#[test]
fn what_finds_no_room_is_counted() {
    let (mut sender, mut receiver) = way(8);
    let small = frame(0, false, 17, 0, 9, &[1; 100]);
    // A time, and seven frames.
    show(&mut sender, &vec![small.clone(); 9], Arriving::Ingress, 1);
    assert_eq!(receiver.lost(), Volume { packets: 2, bytes: 2 * small.len() as u64 });
    show(&mut sender, std::slice::from_ref(&small), Arriving::Ingress, 2);
    assert_eq!(received(&mut receiver).len(), 7);
    assert_eq!(receiver.lost().packets, 3);
    // There is room again, but not for the last one's five slots.
    let long = frame(0, false, 6, 0, 80, &[QUESTION, &[b' '; 1_000]].concat());
    show(&mut sender, &[small.clone(), small, long], Arriving::Egress, 3);
    let heads = received(&mut receiver);
    assert!(heads.iter().all(|(time_ns, arriving, ..)| (*time_ns, *arriving) == (3, Arriving::Egress)));
    assert_eq!((heads.len(), receiver.lost().packets), (2, 4));
}

proptest! {
    /// Whatever is there of a frame, its head is read as the frame is.
    #[test]
    fn heads_are_read_as_frames_are(
        tags in 0..3_usize,
        v6 in any::<bool>(),
        protocol in prop::sample::select(vec![1_u8, 6, 17]),
        options in 0..11_usize,
        port in prop::sample::select(vec![53_u16, 80, 443]),
        message in prop::sample::select(vec![&b""[..], QUESTION, ANSWER, DNS, b"\x16\x03\x01", b"G"]),
        more in 0..1_300_usize,
        changed in prop::collection::vec((0..120_usize, any::<u8>()), 0..3),
    ) {
        let mut frame = frame(tags, v6, protocol, 4 * options, port, &[message, &vec![b'x'; more]].concat());
        for (place, byte) in changed {
            if let Some(place) = frame.get_mut(place) {
                *place = byte;
            }
        }
        let (whole, head, _) = both(&frame);
        // Extension headers that someone has made up may be longer than what is copied.
        let kind = |digest: Option<Digest>| digest.map(|digest| digest.kind);
        let too_deep = v6 && kind(head) != kind(whole);
        prop_assert!(too_deep || head == whole, "{head:?} of {whole:?}");
    }

    /// Frames come in their order, each once, but for those that are counted as lost.
    #[test]
    fn none_is_lost_unnoticed(turns in prop::collection::vec((1..20_usize, 0..1_000_usize, any::<bool>()), 1..30)) {
        let (mut sender, mut receiver) = way(64);
        let (mut shown, mut seen) = (Vec::new(), Vec::new());
        for (now, (count, len, looks)) in (1..).zip(turns) {
            let before = receiver.lost().packets;
            let frames: Vec<_> =
                (0..count).map(|number| frame(0, number % 2 == 0, 17, 0, 9, &vec![1; len + number])).collect();
            show(&mut sender, &frames, Arriving::Ingress, now);
            let lost = usize::try_from(receiver.lost().packets - before).unwrap();
            shown.extend(frames[..count - lost].iter().map(|frame| (now, frame.len())));
            if looks {
                seen.extend(received(&mut receiver));
            }
        }
        seen.extend(received(&mut receiver));
        let seen: Vec<_> = seen.into_iter().map(|(now, _, wire_len, _)| (now, wire_len as usize)).collect();
        prop_assert_eq!(seen, shown);
    }
}

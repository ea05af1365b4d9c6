//! Any frame, of any link, cut anywhere.

use bolero::check;
use portlane_classify::{Headers, Link, ecn, parse};

use crate::{BUDGET, damage};

const LINKS: [Link; 4] = [Link::Ethernet, Link::Ip, Link::LinuxSll, Link::LinuxSll2];

/// Inputs to begin with: a byte for the link, two for what the capture cut, and the frame.
const SEEDS: [&[u8]; 14] = [
    include_bytes!("__fuzz__/parse/corpus/runt"),
    include_bytes!("__fuzz__/parse/corpus/truncated"),
    include_bytes!("__fuzz__/parse/corpus/v4_tcp"),
    include_bytes!("__fuzz__/parse/corpus/v4_options"),
    include_bytes!("__fuzz__/parse/corpus/v4_first_fragment"),
    include_bytes!("__fuzz__/parse/corpus/v4_later_fragment"),
    include_bytes!("__fuzz__/parse/corpus/v4_icmp_error"),
    include_bytes!("__fuzz__/parse/corpus/v6_udp"),
    include_bytes!("__fuzz__/parse/corpus/v6_extension"),
    include_bytes!("__fuzz__/parse/corpus/v6_icmp_error"),
    include_bytes!("__fuzz__/parse/corpus/two_vlan_tags"),
    include_bytes!("__fuzz__/parse/corpus/raw_sctp"),
    include_bytes!("__fuzz__/parse/corpus/cooked_dccp"),
    include_bytes!("__fuzz__/parse/corpus/cooked2_udp_lite"),
];

#[test]
fn any_frame() {
    check!(name = "parse").with_test_time(BUDGET).for_each(|input: &[u8]| {
        examine(input);
        if let Some((&seed, script)) = input.split_first() {
            examine(&damage::damaged(SEEDS[usize::from(seed) % SEEDS.len()], script));
        }
    });
}

fn examine(input: &[u8]) {
    let Some((&[link, high, low], frame)) = input.split_first_chunk() else { return };
    let link = LINKS[usize::from(link) % LINKS.len()];
    let len = u32::try_from(frame.len()).expect("inputs are small");
    let wire_len = len + u32::from(u16::from_be_bytes([high, low]));
    for wire_len in [wire_len, len, u32::MAX] {
        if let Ok(headers) = parse(link, frame, wire_len) {
            nothing_is_made_up(&headers, frame);
            a_shorter_capture_says_less_and_nothing_else(link, frame, wire_len, &headers);
        }
    }
    assert_eq!(parse(link, frame, 0), parse(link, frame, len), "a wire length below the frame's is the frame's");
    a_mark_changes_the_mark_alone(link, frame);
}

fn nothing_is_made_up(headers: &Headers, frame: &[u8]) {
    let Headers { addresses, ports, fragment, quoted, network_offset, .. } = *headers;
    assert!(network_offset <= 28, "the longest link header has 20 bytes and two tags");
    if addresses.is_none() {
        assert!(ports.is_none() && fragment.is_none() && !quoted);
        return;
    }
    let packet = frame.get(network_offset..).unwrap_or_default();
    assert!(packet.len() >= 20, "addresses of a header that is not here");
    assert!(!(quoted && fragment.is_some()));
    if let Some(ports) = ports {
        assert!(!fragment.is_some_and(|fragment| fragment.later));
        let ports = if quoted { ports.swapped() } else { ports };
        let wire = [ports.source().to_be_bytes(), ports.destination().to_be_bytes()].concat();
        assert!(packet[20..].windows(4).any(|four| four == wire), "{ports:?} are nowhere in the packet");
    }
}

fn a_shorter_capture_says_less_and_nothing_else(link: Link, frame: &[u8], wire_len: u32, complete: &Headers) {
    for captured in (0..frame.len()).rev().step_by(frame.len() / 16 + 1) {
        let headers = parse(link, &frame[..captured], wire_len);
        let headers = headers.unwrap_or_else(|reason| panic!("{reason} for want of bytes that the capture cut"));
        assert!(headers.ports.is_none() || headers.ports == complete.ports);
        assert!(
            headers.addresses.is_none() || headers.quoted || complete.quoted || headers.addresses == complete.addresses
        );
    }
}

fn a_mark_changes_the_mark_alone(link: Link, frame: &[u8]) {
    let mut marked = frame.to_vec();
    let capable = ecn::mark_ce(link, &mut marked);
    let changed: Vec<_> = (0..frame.len()).filter(|&at| frame[at] != marked[at]).collect();
    if !capable {
        assert!(changed.is_empty());
        return;
    }
    let len = u32::try_from(frame.len()).expect("inputs are small");
    assert_eq!(parse(link, &marked, len), parse(link, frame, len));
    let mut again = marked.clone();
    assert!(ecn::mark_ce(link, &mut again) && again == marked, "a mark is made once");
    let Some(&first) = changed.first() else { return };
    // The byte with the ECN field is the second of either header.
    let (before, after) = (&frame[first - 1..], &marked[first - 1..]);
    if before[0] >> 4 == 4 {
        assert!(changed.iter().all(|at| [1, 10, 11].contains(&(at - (first - 1)))), "{changed:?}");
        assert_eq!((before[1] | 3, before[1] & 3 != 0), (after[1], true));
        let header = usize::from(before[0] & 15) * 4;
        if let (true, Some(before), Some(after)) = (header >= 20, before.get(..header), after.get(..header)) {
            assert_eq!(sums_up(before), sums_up(after), "a right checksum stays right, a wrong one wrong");
        }
    } else {
        assert_eq!(changed, [first]);
        assert_eq!((before[1] | 0x30, before[1] & 0x30 != 0), (after[1], true));
    }
}

/// Whether a header's checksum is right (RFC 1071).
fn sums_up(header: &[u8]) -> bool {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (folded & 0xffff) + (folded >> 16) == 0xffff
}

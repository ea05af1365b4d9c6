//! Frames that nobody should send.

use crate::random_frames::{Random, V4, V6, frame};

/// Bytes of Ethernet's header, and of the longest frame.
const HEADER: u32 = 14;
const LONGEST: u32 = 1_514;

/// Every IPv6 extension header (IANA), experimental ones and ESP included.
const EXTENSIONS: [u8; 11] = [0, 43, 44, 50, 51, 60, 135, 139, 140, 253, 254];

/// Some thousands of them: the same in every run.
pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let mut random = Random::new(7);
    let mut frames = noise(&mut random);
    frames.extend((0..1_000).map(|_| frame(&mut random)));
    frames.extend(cut_everywhere(&mut random));
    frames.extend(extensions(&mut random));
    frames.extend(fragments(&mut random));
    frames
}

/// Of any length.
fn noise(random: &mut Random) -> Vec<Vec<u8>> {
    let one = |_| {
        let len = HEADER + random.below(LONGEST - HEADER + 1);
        random.bytes(len)
    };
    (0..500).map(one).collect()
}

/// Frames that end after each of their bytes.
fn cut_everywhere(random: &mut Random) -> Vec<Vec<u8>> {
    let whole: Vec<_> = (0..12).map(|_| frame(random)).collect();
    whole.iter().flat_map(|frame| (HEADER as usize..frame.len()).map(|len| frame[..len].to_vec())).collect()
}

/// Chains of all extension headers, in any order, as long as a frame.
fn extensions(random: &mut Random) -> Vec<Vec<u8>> {
    let chain = |length: u32| {
        let kinds: Vec<u8> = (0..length).map(|_| EXTENSIONS[random.below(11) as usize]).collect();
        let mut payload = Vec::new();
        for next in kinds.iter().skip(1).chain([&17]) {
            // 8 bytes of Hop-by-Hop, Routing, Destination and the like; of Fragment and AH the fields that count.
            payload.extend([*next, 0, 0, 1, 0, 0, 0, 0]);
        }
        payload.extend([0x1b, 0x58, 0x1b, 0x58, 0, 8, 0, 0]);
        let mut frame = vec![2; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend([kinds[0], 64]);
        frame.extend(V6[0].iter().chain(&V6[1]).chain(&payload));
        frame
    };
    (1..=180).chain(1..=180).chain(1..=20).map(chain).collect()
}

/// First fragments that nothing follows, and later ones that follow nothing: all to the same container.
fn fragments(random: &mut Random) -> Vec<Vec<u8>> {
    let one = |number: u32| {
        let place = if number.is_multiple_of(3) { [0x20, 0] } else { [0x20, random.bytes(1)[0] | 1] };
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, 0, 44]);
        frame.extend(random.bytes(2));
        frame.extend([place[0], place[1], 64, 17, 0, 0]);
        frame.extend(V4[1].iter().chain(&V4[0]));
        frame.extend([0x1b, 0x58, 0x1b, 0x58, 0, 200, 0, 0]);
        frame.extend(random.bytes(16));
        frame
    };
    (0..1_000).map(one).collect()
}

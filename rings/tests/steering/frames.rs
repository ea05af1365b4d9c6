//! Frames of all kinds, well formed and not, at random but the same in every run.

/// xorshift64* (Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap();
        high % bound
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.below(chances) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(u32::try_from(choices.len()).unwrap()) as usize]
    }

    fn byte(&mut self) -> u8 {
        self.below(256).to_le_bytes()[0]
    }

    pub(crate) fn bytes(&mut self, count: u32) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

/// Ports around those that the test's containers own.
pub(crate) const PORTS: [u16; 11] = [0, 1, 79, 80, 81, 6_999, 7_000, 7_099, 7_100, 65_534, 65_535];
pub(crate) const V4: [[u8; 4]; 3] = [[10, 0, 0, 1], [10, 0, 0, 2], [192, 0, 2, 1]];
pub(crate) const V6: [[u8; 16]; 3] = [
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    // The bytes of an IPv4 address of a container, which it is not.
    [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

const EXTENSIONS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

/// A frame as it should be, to which now and then something is done.
pub(crate) fn frame(random: &mut Random) -> Vec<u8> {
    if random.one_in(20) {
        let len = 14 + random.below(100);
        return random.bytes(len);
    }
    let mut frame = random.bytes(12);
    for _ in 0..random.of(&[0, 0, 0, 0, 1, 2, 3]) {
        frame.extend(random.of(&[[0x81, 0], [0x88, 0xa8], [0x91, 0]]));
        frame.extend(random.bytes(2));
    }
    match random.below(20) {
        0 => {
            let kind = random.of(&[[8, 6], [0x88, 0xcc], [0, 40]]);
            frame.extend(kind);
            frame.extend(arp(random));
        }
        1..=10 => {
            frame.extend([8, 0]);
            frame.extend(ipv4(random, 0));
        }
        _ => {
            frame.extend([0x86, 0xdd]);
            frame.extend(ipv6(random, 0));
        }
    }
    damage(&mut frame, random);
    frame
}

fn damage(frame: &mut Vec<u8>, random: &mut Random) {
    match random.below(10) {
        0 | 1 => {
            let len = 14 + random.below(u32::try_from(frame.len() - 13).unwrap_or(1)) as usize;
            frame.truncate(len);
        }
        2 | 3 => {
            let at = 12 + random.below(u32::try_from(frame.len() - 12).unwrap()) as usize;
            frame[at] = random.byte();
        }
        4 => {
            let padding = random.below(30);
            frame.extend(random.bytes(padding));
        }
        _ => {}
    }
    if frame.len() < 14 {
        frame.resize(14, 0);
    }
}

fn arp(random: &mut Random) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, random.of(&[1, 1, 2])];
    arp.extend(random.bytes(6));
    arp.extend(random.of(&V4));
    arp.extend(random.bytes(6));
    arp.extend(random.of(&V4));
    arp
}

/// What IP carries: a protocol, and the beginning of its packet.
fn transport(random: &mut Random, depth: u32, is_v6: bool) -> (u8, Vec<u8>) {
    let protocol = random.of(&[6, 6, 17, 17, 33, 132, 136, 1, 1, 58, 58, 50, 59]);
    let mut packet = Vec::new();
    if protocol == 1 || protocol == 58 {
        packet.extend([random.of(&[0, 1, 1, 2, 3, 3, 4, 5, 8, 11, 12, 128, 135, 136]), random.of(&[0, 0, 1])]);
        packet.extend(random.bytes(6));
        if depth == 0 && !random.one_in(4) {
            // Now and then of the other version than what carries it.
            packet.extend(if is_v6 ^ random.one_in(10) { ipv6(random, 1) } else { ipv4(random, 1) });
        } else if protocol == 58 {
            packet.extend(random.of(&V6));
        }
        return (protocol, packet);
    }
    packet.extend(random.of(&PORTS).to_be_bytes());
    packet.extend(random.of(&PORTS).to_be_bytes());
    let payload = random.below(24);
    match protocol {
        17 | 136 => {
            let len = random.of(&[0, 7, 8, 8 + payload, 8 + payload, 8 + payload, 9 + payload]);
            packet.extend(u16::try_from(len).unwrap().to_be_bytes());
            packet.extend([0, 0]);
        }
        33 => packet.extend([random.of(&[0, 2, 3, 4, 200]), 0, 0, 0, 0, 0, 0, 0]),
        _ => {
            packet.extend(random.bytes(8));
            packet.push(random.of(&[0x50, 0x50, 0x60, 0x40, 0xf0, 0]));
            packet.extend(random.bytes(7));
        }
    }
    packet.extend(random.bytes(payload));
    (protocol, packet)
}

/// Few, so that fragments meet.
fn id(random: &mut Random) -> u8 {
    random.below(4).to_le_bytes()[0]
}

fn ipv4(random: &mut Random, depth: u32) -> Vec<u8> {
    let (protocol, payload) = transport(random, depth, false);
    let options = random.of(&[0_u8, 0, 0, 1, 10]);
    let words = if random.one_in(20) { random.below(5).to_le_bytes()[0] } else { 5 + options };
    let header_len = 20 + 4 * usize::from(options);
    let total = u16::try_from(header_len + payload.len()).unwrap();
    let total = random.of(&[total, total, total, total, total, 0, total + 1, total - 1]);
    let part = random.of(&[[0, 0], [0, 0], [0x40, 0], [0x20, 0], [0x20, 0], [0, 1], [0x20, 185], [0x80, 0]]);
    let version = if random.one_in(30) { 0x60 } else { 0x40 };
    let mut packet = vec![version | words, random.byte()];
    packet.extend(total.to_be_bytes());
    packet.extend([0, id(random), part[0], part[1], 64, protocol, 0, 0]);
    packet.extend(random.of(&V4));
    packet.extend(random.of(&V4));
    packet.extend(random.bytes(4 * u32::from(options)));
    packet.extend(payload);
    packet
}

fn ipv6(random: &mut Random, depth: u32) -> Vec<u8> {
    let (protocol, mut payload) = transport(random, depth, true);
    let mut next = protocol;
    for _ in 0..random.of(&[0, 0, 0, 0, 1, 1, 2, 3, 8, 9]) {
        let kind = random.of(&EXTENSIONS);
        let mut header = vec![next];
        match kind {
            44 => {
                header.push(0);
                header.extend(random.of(&[[0, 0], [0, 1], [0, 1], [0, 8], [0, 9], [0, 6]]));
                header.extend([0, 0, 0, id(random)]);
            }
            51 => {
                let words = random.of(&[0, 1, 4]);
                header.push(words);
                header.extend(random.bytes((u32::from(words) + 2) * 4 - 2));
            }
            _ => {
                let words = random.of(&[0, 0, 1, 3]);
                header.push(words);
                header.extend(random.bytes((u32::from(words) + 1) * 8 - 2));
            }
        }
        header.extend(payload);
        payload = header;
        next = kind;
    }
    let len = u16::try_from(payload.len()).unwrap();
    let len = random.of(&[len, len, len, len, len, 0, len + 1, len.saturating_sub(1)]);
    let mut packet = vec![if random.one_in(30) { 0x40 } else { 0x60 }, 0, 0, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([next, random.of(&[255, 255, 64])]);
    packet.extend(random.of(&V6));
    packet.extend(random.of(&V6));
    packet.extend(payload);
    packet
}

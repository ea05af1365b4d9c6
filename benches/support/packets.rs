//! Packets of many containers.

/// Containers, with a block of [`PORTS`] ports each.
pub(crate) const CONTAINERS: u16 = 64;
const PORTS: u16 = 256;
const FIRST_PORT: u16 = 20_000;

/// The first port of a container.
fn port(container: u16) -> u16 {
    FIRST_PORT + container * PORTS
}

/// A container's ports, as written in a configuration.
pub(crate) fn ports(container: u16) -> String {
    format!("{}-{}", port(container), port(container) + PORTS - 1)
}

/// An Ethernet frame of 64 bytes: UDP over IPv4 from a container to the world.
fn frame(source: u16, destination: u16) -> [u8; 64] {
    let mut frame = [0; 64];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2]);
    frame[34..36].copy_from_slice(&source.to_be_bytes());
    frame[36..38].copy_from_slice(&destination.to_be_bytes());
    frame[38..40].copy_from_slice(&30_u16.to_be_bytes());
    frame
}

/// Frames of all containers, four flows each, in an order that no prefetcher guesses and every run repeats.
pub(crate) fn traffic() -> Vec<[u8; 64]> {
    let flows =
        (0..CONTAINERS).flat_map(|container| (0..4).map(move |flow| frame(port(container) + flow, 50_000 + flow)));
    let mut frames: Vec<_> = flows.cycle().take(4_096).collect();
    let mut random = Random::default();
    for at in (1..frames.len()).rev() {
        frames.swap(at, random.next() as usize % (at + 1));
    }
    frames
}

/// The same numbers in every run: Knuth's MMIX generator, of which the high bits are the random ones.
#[derive(Default)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 32).expect("32 bits are left")
    }
}

//! How large frames are: as the interfaces' MTUs need.

use super::error::OpenError;
use super::interface::Interface;
use super::open::Options;
use super::socket::HEADROOM;

/// An Ethernet header with two VLAN tags, which the MTU does not count.
const LINK_HEADER: u32 = 14 + 2 * 4;

/// Bytes of the largest chunk: AF_XDP has none beyond a page, on the machines with the smallest pages.
const LARGEST_CHUNK: u32 = 4_096;

/// Bytes of frames. The largest are three chunks in a row: see [`MultiBuffer`](super::multi_buffer::MultiBuffer).
pub(super) const SIZES: [u32; 3] = [2_048, LARGEST_CHUNK, 3 * LARGEST_CHUNK];

/// Bytes of the pieces that the kernel divides frames of this size in.
pub(super) fn chunk_size(frame_size: u32) -> u32 {
    frame_size.min(LARGEST_CHUNK)
}

/// Largest MTU whose packets fit into a frame.
pub(super) fn largest_mtu(frame_size: u32) -> u32 {
    frame_size - HEADROOM - LINK_HEADER
}

/// The options with frames that are large enough for what the interfaces may receive.
pub(crate) fn with_frames_for<'a>(
    interfaces: impl IntoIterator<Item = &'a Interface>,
    options: &Options,
) -> Result<Options, OpenError> {
    let mut options = options.clone();
    for interface in interfaces {
        let fits = |&size: &u32| interface.mtu <= largest_mtu(size);
        let needed = SIZES.into_iter().find(fits).ok_or_else(|| OpenError::MtuTooLarge {
            interface: interface.name.clone(),
            mtu: interface.mtu,
            max: largest_mtu(SIZES[2]),
        })?;
        options.frame_size = options.frame_size.max(needed);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(mtu: u32) -> Interface {
        Interface {
            name: format!("mtu{mtu}"),
            index: 7,
            up: true,
            mtu,
            combined_queues: 0,
            receive_queues: 1,
            address: [2; 6],
            hardware: 1,
        }
    }

    fn frame_size(mtus: [u32; 2]) -> Result<u32, String> {
        let interfaces = mtus.map(interface);
        let fitting = with_frames_for(&interfaces, &Options::default());
        fitting.map(|options| options.frame_size).map_err(|error| error.to_string())
    }

    #[test]
    fn frames_hold_the_mtu_of_the_documentation() {
        assert_eq!(SIZES.map(largest_mtu), [1_770, 3_818, 12_010]);
        assert_eq!(SIZES.map(chunk_size), [2_048, 4_096, 4_096]);
    }

    #[test]
    fn the_larger_mtu_decides() {
        for (mtus, size) in [
            ([1_500, 68], 2_048),
            ([1_770, 1_771], 4_096),
            ([3_818, 1_500], 4_096),
            ([1_500, 3_819], 12_288),
            ([9_000, 12_010], 12_288),
        ] {
            assert_eq!(frame_size(mtus), Ok(size), "{mtus:?}");
        }
        assert_eq!(
            frame_size([1_500, 12_011]).unwrap_err(),
            "interface mtu12011 has an MTU of 12011, and frames hold packets for an MTU of at most 12010: \
             `ip link set mtu12011 mtu 12010`"
        );
    }

    #[test]
    fn frames_may_be_larger_than_needed() {
        let options = Options { frame_size: 4_096, ..Options::default() };
        assert_eq!(with_frames_for([&interface(1_500)], &options).unwrap().frame_size, 4_096);
    }
}

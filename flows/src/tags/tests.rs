//! Who frames are for, and what is counted.

use super::*;

fn ethernet(destination: [u8; 6]) -> Option<Cast> {
    Cast::of(Link::Ethernet, &[&destination[..], &[2, 0, 0, 0, 0, 1, 8, 0]].concat())
}

#[test]
fn addresses_and_packet_types_say_who_a_frame_is_for() {
    assert_eq!(ethernet([0xff; 6]), Some(Cast::Broadcast));
    assert_eq!(ethernet([1, 0, 0x5e, 0, 0, 0xfb]), Some(Cast::Multicast), "IPv4's (RFC 1112)");
    assert_eq!(ethernet([0x33, 0x33, 0, 0, 0, 1]), Some(Cast::Multicast), "IPv6's (RFC 2464)");
    assert_eq!(ethernet([2, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    let casts = [None, Some(Cast::Broadcast), Some(Cast::Multicast), Some(Cast::Unicast), None];
    for (packet_type, cast) in (0_u8..).zip(casts) {
        assert_eq!(Cast::of(Link::LinuxSll, &[0, packet_type, 0, 1]), cast);
        assert_eq!(Cast::of(Link::LinuxSll2, &[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, packet_type]), cast);
    }
    for link in [Link::Ethernet, Link::LinuxSll, Link::LinuxSll2, Link::Ip] {
        assert_eq!(Cast::of(link, &[0xff]), None, "too little of it");
    }
    assert_eq!(Cast::of(Link::Ip, &[0xff; 40]), None);
}

#[test]
fn flags_are_told_apart_as_a_whole() {
    let values = |bits: u8| Tag::of_flags(Flags::from_bits(bits)).value();
    for bits in 0..=u8::MAX {
        // Without those of ECN.
        let value = bits & 0x3f;
        let expected = if [2, 18, 16, 24, 17, 20].contains(&value) { value } else { 255 };
        assert_eq!(values(bits), expected.to_string());
    }
    let kinds = Tag::ALL.map(Tag::kind);
    assert_eq!(kinds, [2, 2, 2, 2, 2, 2, 2, 3, 3, 3]);
}

impl Tag {
    /// Those of a packet: one for its flags and one for who it is for, as far as it has them.
    pub(crate) fn of(digest: &Digest) -> impl Iterator<Item = Self> + use<> {
        let flags = match digest.kind {
            Kind::Tcp(segment) => Some(Self::of_flags(segment.flags)),
            _ => None,
        };
        flags.into_iter().chain(digest.cast.map(Self::of_cast))
    }
}

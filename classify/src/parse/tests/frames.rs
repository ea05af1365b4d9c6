//! Frames put together from byte arrays.

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const DCCP: u8 = 33;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;
pub(super) const UDP_LITE: u8 = 136;

/// From port 53 to port 31007.
pub(super) const PORTS: [u8; 4] = [0, 53, 0x79, 0x1f];

pub(super) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    tagged(&[], ethertype, payload)
}

pub(super) fn tagged(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0x20, 0x07]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(|_| {}, protocol, payload)
}

/// From 10.0.0.9 to 10.0.0.1, its header changed afterwards.
pub(super) fn ipv4_with(change: impl Fn(&mut [u8]), protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1];
    change(&mut packet);
    packet.extend(payload);
    packet
}

pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_with(|_| {}, next, payload)
}

/// From fd00::9 to fd00::1, its header changed afterwards; a payload too long for the length
/// field gets a length of 0.
pub(super) fn ipv6_with(change: impl Fn(&mut [u8]), next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let mut packet = vec![0; 40];
    packet[..8].copy_from_slice(&[0x60, 0, 0, 0, high, low, next, 64]);
    (packet[8], packet[23], packet[24], packet[39]) = (0xfd, 9, 0xfd, 1);
    change(&mut packet);
    packet.extend(payload);
    packet
}

/// A chain of extension headers before `payload`: the first one's number, and all the bytes.
pub(super) fn extended(kinds: &[u8], next: u8, payload: &[u8]) -> (u8, Vec<u8>) {
    let mut bytes = payload.to_vec();
    let mut following = next;
    for &kind in kinds.iter().rev() {
        // 16 bytes each: two units of 8, or (for the authentication header) 4 + 2 words.
        let len = if kind == 51 { 2 } else { 1 };
        let mut header = vec![0; 16];
        (header[0], header[1]) = (following, len);
        header.extend(bytes);
        (following, bytes) = (kind, header);
    }
    (following, bytes)
}

pub(super) fn udp() -> Vec<u8> {
    [&PORTS[..], &[0, 8, 0, 0]].concat()
}

pub(super) fn udp_lite(coverage: u8) -> Vec<u8> {
    [&PORTS[..], &[0, coverage, 0, 0]].concat()
}

pub(super) fn tcp() -> Vec<u8> {
    [&PORTS[..], &[0; 8], &[0x50], &[0; 7]].concat()
}

pub(super) fn dccp(data_offset: u8) -> Vec<u8> {
    [&PORTS[..], &[data_offset], &[0; 7]].concat()
}

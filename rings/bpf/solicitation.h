/* What a container asks on its link: who has an address? */
#pragma once

#include "headers.h"

/* Read by `rings/src/af_xdp/solicitations.rs`. */
struct solicitation {
    struct address target;
    struct address sender;
    __u8 hardware[6];
    __u8 padding[2];
    /* Where it was asked. */
    __u32 interface;
};

/* An ARP request (RFC 826) for IPv4 over Ethernet: hardware, protocol, their lengths, operation. */
INLINE bool is_arp_request(const __u8 *arp)
{
    return be16(arp) == 1 && be16(arp + 2) == IPV4 && be16(arp + 4) == 0x0604 && be16(arp + 6) == 1;
}

/* Fills in what is asked; false if nothing is. Tagged frames are not read: neighbours are those of the untagged network. */
INLINE bool read_arp(const struct layer *frame, struct solicitation *asked)
{
    __u8 bytes[14 + 28];

    if (!read(frame, bytes, sizeof(bytes)) || be16(bytes + 12) != ARP || !is_arp_request(bytes + 14))
        return false;
    asked->target.version = asked->sender.version = 4;
    __builtin_memcpy(asked->hardware, bytes + 6, 6);
    __builtin_memcpy(asked->sender.bytes, bytes + 28, 4);
    __builtin_memcpy(asked->target.bytes, bytes + 38, 4);
    return true;
}

/* A neighbour solicitation that its receiver would believe (RFC 4861, section 7.1.1), but for its checksum. */
INLINE bool read_neighbour_solicitation(const struct layer *frame, struct solicitation *asked)
{
    __u8 bytes[14 + 40 + 24];
    const __u8 *ip = bytes + 14, *message = bytes + 14 + 40;

    if (!read(frame, bytes, sizeof(bytes)) || be16(bytes + 12) != IPV6 || ip[6] != ICMPV6 || ip[7] != 255)
        return false;
    if (be16(ip + 4) < 24 || message[0] != 135 || message[1] != 0)
        return false;
    asked->target.version = asked->sender.version = 6;
    __builtin_memcpy(asked->hardware, bytes + 6, 6);
    __builtin_memcpy(asked->sender.bytes, ip + 8, 16);
    __builtin_memcpy(asked->target.bytes, message + 8, 16);
    return true;
}

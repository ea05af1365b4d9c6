/* What there is to know of a frame, read as portlane-classify reads it, check by check: the two must agree about whose a
 * frame is. A test holds them together.
 *
 * Bytes are copied to the stack by a helper (Linux 5.18). Reading them in place would need a capability more
 * (CAP_PERFMON), since headers have no fixed places. */
#pragma once

#include "kernel.h"

/* IANA, "Assigned Internet Protocol Numbers". */
enum protocol {
    HOP_BY_HOP = 0,
    ICMP = 1,
    TCP = 6,
    UDP = 17,
    DCCP = 33,
    ROUTING = 43,
    FRAGMENT = 44,
    AUTHENTICATION = 51,
    ICMPV6 = 58,
    DESTINATION_OPTIONS = 60,
    SCTP = 132,
    MOBILITY = 135,
    UDP_LITE = 136,
    HIP = 139,
    SHIM6 = 140,
};

enum ethertype {
    IPV4 = 0x0800,
    ARP = 0x0806,
    VLAN = 0x8100,
    IPV6 = 0x86dd,
    SERVICE_VLAN = 0x88a8,
    OLD_QINQ = 0x9100,
};

#define MAX_TAGS 2
#define MAX_EXTENSIONS 8

/* An address as a key: 4 or 6, and the bytes as they are on the wire; IPv4 has the first four. */
struct address {
    __u32 version;
    __u8 bytes[16];
};

/* Which part of a datagram a packet is. */
enum part { WHOLE, FIRST, LATER };

/* What reading has come to. An echo request, a reply, or an error about a request has no ports, but an identifier: it is in
 * the place of both. Of requests there may be too many. */
enum reading { MALFORMED, NOT_IP, NO_PORTS, PORTS, LATER_FRAGMENT, ECHO_REQUEST, ECHO_REPLY, ECHO_ERROR, TOO_MANY };

struct headers {
    struct address source;
    struct address destination;
    __u32 id;
    /* Where the IP header and the message of an echo begin; of an error, those that it quotes. */
    __u32 network;
    __u32 message;
    __u16 source_port;
    __u16 destination_port;
    __u8 protocol;
    __u8 part;
};

/* A layer of a frame: its bytes from `start` to before `end`. */
struct layer {
    struct xdp_md *frame;
    __u32 start;
    __u32 end;
};

INLINE __u32 size(const struct layer *layer)
{
    return layer->end > layer->start ? layer->end - layer->start : 0;
}

/* Copies the first bytes of a layer; false if it has fewer. */
INLINE bool read(const struct layer *layer, void *to, __u32 count)
{
    return size(layer) >= count && load_bytes(layer->frame, layer->start, to, count) == 0;
}

/* The fewest bytes that a header can have in a whole packet; 0 for a protocol without ports. */
INLINE __u32 least_header(__u32 protocol)
{
    switch (protocol) {
    case TCP:
        return 20;
    case UDP:
    case UDP_LITE:
        return 8;
    case SCTP:
    case DCCP:
        return 12;
    default:
        return 0;
    }
}

/* What reading has come to, and ports: those of source and destination, in a number. In every protocol with ports they are the
 * first four bytes. */
INLINE __u64 with_ports(const __u8 *bytes)
{
    return (__u64)PORTS << 32 | be16(bytes) << 16 | be16(bytes + 2);
}

INLINE enum reading take_ports(struct headers *headers, __u64 said)
{
    headers->source_port = said >> 16;
    headers->destination_port = said;
    return said >> 32;
}

/* Holds the header of a whole packet against its length. `stated`: the IP header says how long it is; otherwise UDP may
 * leave its length at 0 too (RFC 2675, section 4). */
INLINE bool contradicts(__u32 protocol, const __u8 *header, __u32 segment, bool stated)
{
    __u32 length;

    switch (protocol) {
    case TCP:
        length = (header[12] >> 4) * 4;
        return length < 20 || length > segment;
    case UDP:
        length = be16(header + 4);
        return (length < 8 && (stated || length != 0)) || length > segment;
    case UDP_LITE:
        length = be16(header + 4);
        return (length > 0 && length < 8) || length > segment;
    case DCCP:
        length = header[4] * 4;
        return length < 12 || length > segment;
    default:
        return false;
    }
}

FUNCTION __u64 whole_packet(struct xdp_md *frame, __u32 start, __u32 end, __u32 protocol, __u32 stated)
{
    const struct layer segment = {frame, start, end};
    __u8 header[20] = {};
    __u32 least = least_header(protocol);

    if (least == 0)
        return (__u64)NO_PORTS << 32;
    if (!read(&segment, header, least) || contradicts(protocol, header, size(&segment), stated))
        return (__u64)MALFORMED << 32;
    return with_ports(header);
}

/* Its payload may end within the transport header, but not before 8 bytes, and lengths in that header are those of the
 * datagram put together. */
FUNCTION __u64 first_fragment(struct xdp_md *frame, __u32 start, __u32 end, __u32 protocol)
{
    const struct layer segment = {frame, start, end};
    __u8 header[8];

    if (least_header(protocol) == 0)
        return (__u64)NO_PORTS << 32;
    if (!read(&segment, header, sizeof(header)) || (protocol == UDP && be16(header + 4) < 8))
        return (__u64)MALFORMED << 32;
    return with_ports(header);
}

/* What has an identifier, and what that is. */
INLINE __u64 with_identifier(enum reading reading, const __u8 *message)
{
    const __u64 identifier = be16(message + 4);

    return (__u64)reading << 32 | identifier << 16 | identifier;
}

INLINE bool is_echo_request(__u32 protocol, const __u8 *message)
{
    return (protocol == ICMP && message[0] == 8) || (protocol == ICMPV6 && message[0] == 128);
}

/* The ports of a packet that an ICMP error quotes are all that is asked of it. The error goes the other way: so they are turned
 * round. */
FUNCTION __u64 quoted_packet(struct xdp_md *frame, __u32 start, __u32 end, __u32 protocol)
{
    const struct layer segment = {frame, start, end};
    __u8 ports[4], message[8];

    if ((protocol == ICMP || protocol == ICMPV6) && read(&segment, message, sizeof(message)) &&
        is_echo_request(protocol, message))
        return with_identifier(ECHO_ERROR, message);
    if (least_header(protocol) == 0 || !read(&segment, ports, sizeof(ports)))
        return (__u64)NO_PORTS << 32;
    return (__u64)PORTS << 32 | be16(ports + 2) << 16 | be16(ports);
}

INLINE void take_ipv4_addresses(struct headers *headers, const __u8 *header)
{
    headers->source.version = headers->destination.version = 4;
    __builtin_memcpy(headers->source.bytes, header + 12, 4);
    __builtin_memcpy(headers->destination.bytes, header + 16, 4);
}

INLINE void take_ipv6_addresses(struct headers *headers, const __u8 *header)
{
    headers->source.version = headers->destination.version = 6;
    __builtin_memcpy(headers->source.bytes, header + 8, 16);
    __builtin_memcpy(headers->destination.bytes, header + 24, 16);
}

/* What an ICMP error comes to: it goes the other way than what it quotes. */
INLINE enum reading turn_round(struct headers *headers, __u64 said)
{
    struct address source = headers->source;

    headers->source = headers->destination;
    headers->destination = source;
    headers->part = WHOLE;
    return take_ports(headers, said);
}

/* A question of whoever pings, or the answer. */
INLINE enum reading echo(struct headers *headers, const struct layer *message, enum reading reading,
                         const __u8 *header)
{
    headers->message = message->start;
    return take_ports(headers, with_identifier(reading, header));
}

/* RFC 792. Its lengths are not held against the quoted packet: some senders alter them. */
INLINE enum reading icmp(struct layer message, struct headers *headers)
{
    __u8 header[20];
    __u32 length;

    if (!read(&message, header, 8))
        return MALFORMED;
    switch (header[0]) {
    case 0:
        return echo(headers, &message, ECHO_REPLY, header);
    case 8:
        return echo(headers, &message, ECHO_REQUEST, header);
    case 3: /* destination unreachable */
    case 4: /* source quench */
    case 5: /* redirect */
    case 11: /* time exceeded */
    case 12: /* parameter problem */
        break;
    default:
        return NO_PORTS;
    }
    message.start += 8;
    length = 0;
    if (read(&message, header, sizeof(header)) && header[0] >> 4 == 4)
        length = (header[0] & 0x0f) * 4;
    if (length < sizeof(header) || (be16(header + 6) & 0x1fff) != 0)
        return NO_PORTS;
    take_ipv4_addresses(headers, header);
    headers->network = message.start;
    message.start += length;
    headers->message = message.start;
    return turn_round(headers, quoted_packet(message.frame, message.start, message.end, header[9]));
}

/* RFC 791. */
INLINE enum reading ipv4(struct layer packet, struct headers *headers)
{
    __u8 header[20];
    __u32 header_length, total_length, fragment;

    if (!read(&packet, header, sizeof(header)) || header[0] >> 4 != 4)
        return MALFORMED;
    header_length = (header[0] & 0x0f) * 4;
    total_length = be16(header + 2);
    if (total_length == 0)
        total_length = size(&packet);
    if (total_length > size(&packet) || header_length < sizeof(header) || header_length > total_length)
        return MALFORMED;
    headers->network = packet.start;
    packet.end = packet.start + total_length;
    packet.start += header_length;
    take_ipv4_addresses(headers, header);
    headers->protocol = header[9];
    headers->id = be16(header + 4);
    fragment = be16(header + 6) & 0x3fff;
    if ((fragment & 0x1fff) != 0) {
        headers->part = LATER;
        return LATER_FRAGMENT;
    }
    if (fragment != 0)
        headers->part = FIRST;
    if (header[9] == ICMP)
        return icmp(packet, headers);
    return take_ports(headers, fragment == 0
                                   ? whole_packet(packet.frame, packet.start, packet.end, headers->protocol, true)
                                   : first_fragment(packet.frame, packet.start, packet.end, headers->protocol));
}

INLINE bool is_extension(__u32 next)
{
    switch (next) {
    case HOP_BY_HOP:
    case ROUTING:
    case FRAGMENT:
    case AUTHENTICATION:
    case DESTINATION_OPTIONS:
    case MOBILITY:
    case HIP:
    case SHIM6:
        return true;
    default:
        return false;
    }
}

/* What extension headers say, in a number: the next protocol, the part, the headers' length, and the datagram's id. An atomic
 * fragment is a whole packet (RFC 6946). */
#define NEXT(said) ((said)&0xff)
#define PART(said) ((said) >> 8 & 0xff)
#define LENGTH(said) ((said) >> 16 & 0xffff)
#define ID(said) ((said) >> 32)
#define WRONG (~0ull)

/* One of them. */
FUNCTION __u64 extension_header(struct xdp_md *frame, __u32 start, __u32 end, __u32 protocol)
{
    const struct layer layer = {frame, start, end};
    __u32 length, fragment;
    __u8 header[8];
    __u64 said;

    if (!read(&layer, header, sizeof(header)))
        return WRONG;
    said = header[0];
    if (protocol == FRAGMENT) {
        length = sizeof(header);
        fragment = be16(header + 2);
        if ((fragment & 0xfff9) != 0)
            said |= ((fragment & 0xfff8) != 0 ? LATER : FIRST) << 8;
        said |= (__u64)(be16(header + 4) << 16 | be16(header + 6)) << 32;
    } else if (protocol == AUTHENTICATION) {
        length = (header[1] + 2) * 4;
    } else {
        length = (header[1] + 1) * 8;
    }
    return length > size(&layer) ? WRONG : said | length << 16;
}

/* All of them, in whatever order they come, up to a bound. A fragment header within a fragment ends the walk, as does a later
 * fragment. */
FUNCTION __u64 extension_headers(struct xdp_md *frame, __u32 start, __u32 end, __u32 protocol)
{
    __u32 part = WHOLE, id = 0, length = 0;
    __u64 said;

    for (int passed = 0; passed <= MAX_EXTENSIONS; passed++) {
        if (!is_extension(protocol) || part == LATER)
            break;
        if (passed == MAX_EXTENSIONS)
            return WRONG;
        /* A fragment header always fits where there are its 8 bytes. */
        said = extension_header(frame, start + length, end, protocol);
        if (said == WRONG)
            return WRONG;
        if (protocol == FRAGMENT && part != WHOLE)
            break;
        if (protocol == FRAGMENT) {
            part = PART(said);
            id = ID(said);
        }
        protocol = NEXT(said);
        length += LENGTH(said);
    }
    return (protocol & 0xff) | part << 8 | length << 16 | (__u64)id << 32;
}

/* RFC 4443: the errors are 1 (destination unreachable) to 4 (parameter problem). */
INLINE enum reading icmpv6(struct layer message, struct headers *headers)
{
    __u8 header[40];
    __u64 said;

    if (!read(&message, header, 4))
        return MALFORMED;
    if ((header[0] == 128 || header[0] == 129) && read(&message, header, 8))
        return echo(headers, &message, header[0] == 128 ? ECHO_REQUEST : ECHO_REPLY, header);
    if (header[0] < 1 || header[0] > 4)
        return NO_PORTS;
    if (size(&message) < 8)
        return MALFORMED;
    message.start += 8;
    if (!read(&message, header, sizeof(header)) || header[0] >> 4 != 6)
        return NO_PORTS;
    headers->network = message.start;
    message.start += sizeof(header);
    take_ipv6_addresses(headers, header);
    said = extension_headers(message.frame, message.start, message.end, header[6]);
    if (said == WRONG || PART(said) == LATER)
        return NO_PORTS;
    message.start += LENGTH(said);
    headers->message = message.start;
    return turn_round(headers, quoted_packet(message.frame, message.start, message.end, NEXT(said)));
}

/* RFC 8200. A payload length of 0 reaches to the end of the frame. */
INLINE enum reading ipv6(struct layer packet, struct headers *headers)
{
    __u8 header[40];
    __u32 length;
    __u64 said;

    if (!read(&packet, header, sizeof(header)) || header[0] >> 4 != 6)
        return MALFORMED;
    headers->network = packet.start;
    packet.start += sizeof(header);
    length = be16(header + 4);
    if (length > size(&packet))
        return MALFORMED;
    if (length != 0)
        packet.end = packet.start + length;
    take_ipv6_addresses(headers, header);
    said = extension_headers(packet.frame, packet.start, packet.end, header[6]);
    if (said == WRONG)
        return MALFORMED;
    packet.start += LENGTH(said);
    headers->protocol = NEXT(said);
    headers->part = PART(said);
    headers->id = ID(said);
    if (headers->part == LATER)
        return LATER_FRAGMENT;
    if (headers->protocol == ICMPV6)
        return icmpv6(packet, headers);
    return take_ports(headers, headers->part == WHOLE ? whole_packet(packet.frame, packet.start, packet.end,
                                                                     headers->protocol, length != 0)
                                                      : first_fragment(packet.frame, packet.start, packet.end,
                                                                       headers->protocol));
}

/* An Ethernet frame with at most two VLAN tags. `layer` is left at the network layer. */
INLINE enum reading read_headers(struct layer *layer, struct headers *headers)
{
    __u8 header[14];
    __u32 type;

    if (!read(layer, header, sizeof(header)))
        return MALFORMED;
    layer->start += sizeof(header);
    type = be16(header + 12);
    for (int tags = 0; tags < MAX_TAGS; tags++) {
        if (type != VLAN && type != SERVICE_VLAN && type != OLD_QINQ)
            break;
        if (!read(layer, header, 4))
            return MALFORMED;
        layer->start += 4;
        type = be16(header + 2);
    }
    if (type == IPV4)
        return ipv4(*layer, headers);
    if (type == IPV6)
        return ipv6(*layer, headers);
    return NOT_IP;
}

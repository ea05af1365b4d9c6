/* Interfaces of containers that are attached. */
#pragma once

#include "headers.h"

/* By port: the attached interface of the container that has it; 0 where there is none. */
struct {
    NUMBER(type, BPF_MAP_TYPE_ARRAY);
    NUMBER(max_entries, 1 << 16);
    TYPE(key, __u32);
    TYPE(value, __u32);
} interfaces SECTION(".maps");

/* What is known of one. Written by `rings/src/af_xdp/members.rs`. */
struct member {
    /* Ports of the container, all in a row; 0 of them: none. */
    __u32 first_port;
    __u32 ports;
    /* When its buckets are full again: of neighbours that it asks for, and of pings that it begins. */
    __u64 neighbours_ns;
    __u64 pings_ns;
};

/* By the interface. */
struct {
    NUMBER(type, BPF_MAP_TYPE_HASH);
    NUMBER(max_entries, 1 << 16);
    NUMBER(map_flags, BPF_F_NO_PREALLOC);
    TYPE(key, __u32);
    TYPE(value, struct member);
} members SECTION(".maps");

struct source {
    __u32 interface;
    struct address address;
};

/* Whom a container may say that it is, on its interface. */
struct {
    NUMBER(type, BPF_MAP_TYPE_HASH);
    NUMBER(max_entries, 1 << 18);
    NUMBER(map_flags, BPF_F_NO_PREALLOC);
    TYPE(key, struct source);
    TYPE(value, __u32);
} sources SECTION(".maps");

/* A packet that its container should not have sent. Read by `rings/src/af_xdp/members.rs`. */
struct offender {
    struct address source;
    __u32 port;
    __u32 protocol;
    __u32 verdict;
};

/* The last one, by interface. Each is replaced whole. */
struct {
    NUMBER(type, BPF_MAP_TYPE_HASH);
    NUMBER(max_entries, 1 << 16);
    NUMBER(map_flags, BPF_F_NO_PREALLOC);
    TYPE(key, __u32);
    TYPE(value, struct offender);
} offenders SECTION(".maps");

/* The attached interface of the container that has a port; 0 if there is none. */
INLINE __u32 interface_of(__u32 port)
{
    const __u32 *interface = map_lookup(&interfaces, &port);

    return interface ? *interface : 0;
}

/* A token bucket: a token each so many nanoseconds, and room for so many. */
struct limit {
    __u64 each_ns;
    __u64 burst;
};

/* Whoever answers has the host look for a neighbour: its table has room for a thousand or so. */
static const struct limit NEIGHBOURS = {.each_ns = 1000000000 / 32, .burst = 128};

/* Pings take room that all containers share, once each begins. */
static const struct limit PINGS = {.each_ns = 1000000000 / 256, .burst = 1024};

/* Takes a token; false if there is none. Two cores may take the same one: then there is one more. */
INLINE bool take(__u64 *full_ns, const struct limit *limit, __u64 now)
{
    const __u64 full = *full_ns > now ? *full_ns : now;

    if (full - now > limit->each_ns * (limit->burst - 1))
        return false;
    *full_ns = full + limit->each_ns;
    return true;
}

/* An address of an IP header, which has been read before. */
INLINE bool read_address(struct xdp_md *frame, __u32 network, bool destination, struct address *address)
{
    __u8 version;

    if (load_bytes(frame, network, &version, 1) != 0)
        return false;
    address->version = version >> 4;
    if (address->version == 4)
        return load_bytes(frame, network + (destination ? 16 : 12), address->bytes, 4) == 0;
    return load_bytes(frame, network + (destination ? 24 : 8), address->bytes, 16) == 0;
}

/* Whether a packet comes from an address of its container's: the packet itself, and not what it may quote. */
FUNCTION __u32 is_from_its_own(struct xdp_md *frame, __u32 network)
{
    struct source source = {.interface = frame->ingress_ifindex};

    return read_address(frame, network, false, &source.address) && map_lookup(&sources, &source) != 0;
}

/* Whether a packet goes to an address that its container shares: then it stays on the host. */
FUNCTION __u32 is_to_its_own(struct xdp_md *frame, __u32 network)
{
    struct source source = {.interface = frame->ingress_ifindex};

    return read_address(frame, network, true, &source.address) && map_lookup(&sources, &source) != 0;
}

/* The first byte of the addresses that mean each host itself (RFC 1122, section 3.2.1.3). They have no place on a wire. Those of IPv6
 * no kernel takes from one (`ip6_rcv_core`). */
#define OF_LOOPBACK 127

/* Whether an IPv4 packet is from or to such an address: the packet itself, and not what it may quote. */
FUNCTION __u32 is_of_loopback(struct xdp_md *frame, __u32 network)
{
    __u8 addresses[8];

    return load_bytes(frame, network + 12, addresses, sizeof(addresses)) != 0 || addresses[0] == OF_LOOPBACK ||
           addresses[4] == OF_LOOPBACK;
}

/* The same, also of what it quotes: an error is about a conversation, whoever sends it. */
INLINE bool names_loopback(struct xdp_md *frame, __u32 network, const struct headers *headers)
{
    return headers->source.version == 4 &&
           (headers->source.bytes[0] == OF_LOOPBACK || headers->destination.bytes[0] == OF_LOOPBACK ||
            is_of_loopback(frame, network));
}

/* In the first byte of the sender's Ethernet address, where it is 0 of all that there are (IEEE 802.3, section 3.2.3): by it the
 * line tells what leaves a container from what is for one. Read by `src/line/within.rs`, which takes it away. */
#define IS_LEAVING 1

FUNCTION __u32 mark_as_leaving(struct xdp_md *frame)
{
    __u8 first;

    if (load_bytes(frame, 6, &first, 1) != 0)
        return false;
    first |= IS_LEAVING;
    return store_bytes(frame, 6, &first, 1) == 0;
}

/* Keeps a packet for the operator, in the place of the one before. */
FUNCTION __u32 keep_offender(struct xdp_md *frame, __u32 network, __u32 port, __u32 protocol, __u32 verdict)
{
    struct offender offender = {.port = port, .protocol = protocol, .verdict = verdict};
    const __u32 interface = frame->ingress_ifindex;

    /* There is a place for it as long as the interface is attached. */
    return read_address(frame, network, false, &offender.source) &&
           map_update(&offenders, &interface, &offender, BPF_EXIST) == 0;
}

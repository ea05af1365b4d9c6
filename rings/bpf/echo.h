/* Pings of containers. All of them have one address, so that a reply does not say whose it is. So a request leaves with another
 * identifier than it came with: one that is a port of its container's, as a translator of addresses would choose it (RFC 5508,
 * section 3). Its reply, and an error about it, are the container's as a segment to that port would be, on the whole way; before
 * they are delivered they get the identifier back that was asked with. */
#pragma once

#include "attached.h"

/* What tells a ping from others: whom it asks, and the identifier on the wire. */
struct ping {
    struct address peer;
    __u32 wire_id;
};

struct asker {
    __u64 asked_ns;
    __u32 interface;
    /* The identifier that it has chosen. */
    __u32 id;
};

/* So many at a time, and the least recently used one goes. */
struct {
    NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
    NUMBER(max_entries, 1 << 14);
    TYPE(key, struct ping);
    TYPE(value, struct asker);
} pings SECTION(".maps");

/* The least that a translator has to wait for a reply (RFC 5508, section 3.2). */
#define PING_LIFETIME_NS 60000000000ull

/* How many identifiers are tried where others ask the same peer. */
#define PING_PLACES 4

/* What is said in place of an identifier: that there is none, or that there are more than there may be. */
#define NOBODYS (~0ull)
#define NO_MORE (~1ull)

INLINE bool is_awaited(const struct asker *asker, __u64 now)
{
    return now - asker->asked_ns < PING_LIFETIME_NS;
}

/* Puts another identifier in a message. Its checksum follows (RFC 1624, equation 3), and that of an error which quotes it stays as
 * it is: what the one word gains the other loses. */
FUNCTION __u32 rename_ping(struct xdp_md *frame, __u32 message, __u32 to)
{
    __u8 words[4];
    __u32 sum;

    if (load_bytes(frame, message + 2, words, sizeof(words)) != 0)
        return false;
    sum = (~be16(words) & 0xffff) + (~be16(words + 2) & 0xffff) + (to & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    words[0] = sum >> 8;
    words[1] = sum;
    words[2] = to >> 8;
    words[3] = to;
    return store_bytes(frame, message + 2, words, sizeof(words)) == 0;
}

/* A container asks: its identifier on the wire, the same for as long as it goes on. Where all are taken that it may have, the last
 * to ask is answered. */
FUNCTION __u64 ask(struct xdp_md *frame, __u32 network, __u32 id)
{
    const __u64 now = nanoseconds();
    struct asker asker = {.asked_ns = now, .interface = frame->ingress_ifindex, .id = id}, *other;
    struct member *member = map_lookup(&members, &asker.interface);
    struct ping ping = {};
    __u32 first, ports, offset;

    if (!member || member->ports == 0 || !read_address(frame, network, true, &ping.peer))
        return NOBODYS;
    first = member->first_port;
    ports = member->ports;
    /* An identifier that is the container's port stays as it is. */
    offset = (id + (1 << 16) - first) % ports;
    for (__u32 place = 0; place < PING_PLACES; place++) {
        ping.wire_id = first + (offset + place) % ports;
        other = map_lookup(&pings, &ping);
        if (!other || !is_awaited(other, now))
            break;
        if (other->interface == asker.interface && other->id == id) {
            other->asked_ns = now;
            return ping.wire_id;
        }
        if (place == PING_PLACES - 1)
            ping.wire_id = first + offset;
    }
    if (!take(&member->pings_ns, &PINGS, now))
        return NO_MORE;
    /* It fails where the map is busy elsewhere: then the reply is lost. */
    map_update(&pings, &ping, &asker, BPF_ANY);
    return ping.wire_id;
}

/* The identifier with which a container has asked; or nobody's, if none has, or has the port no more. */
FUNCTION __u64 find_ping(struct xdp_md *frame, __u32 network, __u32 is_reply, __u32 wire_id)
{
    struct ping ping = {.wire_id = wire_id};
    const struct asker *asker;

    if (!read_address(frame, network, !is_reply, &ping.peer))
        return NOBODYS;
    asker = map_lookup(&pings, &ping);
    if (!asker || !is_awaited(asker, nanoseconds()) || asker->interface != interface_of(wire_id))
        return NOBODYS;
    return asker->id;
}

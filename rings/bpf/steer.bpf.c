/* Who gets a frame: the containers' line, the host's kernel, or nobody.
 *
 * On the uplink frames to ports that containers own go to the socket of the queue that they came by, and all others to the
 * kernel, as if there were no program. On the container side frames from ports that containers own go to the socket, and
 * nothing goes to the kernel: a container says nothing to the host behind its back.
 *
 * Every frame has one verdict, which is counted. */
#include "solicitation.h"

enum side { UPLINK, CONTAINER, SIDES };

/* In the order of `Verdict::ALL` in `rings/src/af_xdp/steering.rs`. */
enum verdict {
    OWNED,
    OTHER_QUEUE,
    FOREIGN_PORT,
    WITHOUT_PORTS,
    OTHER_PROTOCOL,
    UNREADABLE,
    LOST_FRAGMENT,
    ASKED,
    NOT_HEARD,
    VERDICTS,
};

/* A bit for each port. */
struct ports {
    /* Not 0: there are addresses with ports of their own. */
    __u32 by_address;
    __u8 owned[1 << 13];
};

/* The rules in force, a set of them: the ports of each address that has its own, and under version 0 those of all others.
 * They are replaced whole, in one step: no frame is judged by half of either. */
struct {
    NUMBER(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    NUMBER(max_entries, 1);
    TYPE(key, __u32);
    TYPE(value, __u32);
    struct {
        NUMBER(type, BPF_MAP_TYPE_HASH);
        NUMBER(max_entries, 1);
        NUMBER(key_size, sizeof(struct address));
        NUMBER(value_size, sizeof(struct ports));
    } *values[];
} rules SECTION(".maps");

/* By queue. Their sizes are set when they are loaded. */
struct {
    NUMBER(type, BPF_MAP_TYPE_XSKMAP);
    NUMBER(max_entries, 1);
    TYPE(key, __u32);
    TYPE(value, __u32);
} uplink_queues SECTION(".maps"), container_queues SECTION(".maps");

/* By side and verdict. */
struct {
    NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    NUMBER(max_entries, SIDES *VERDICTS);
    TYPE(key, __u32);
    TYPE(value, __u64);
} verdicts SECTION(".maps");

/* What all fragments of one datagram have in common (RFC 791, section 3.2; RFC 8200, section 4.5). */
struct datagram {
    struct address source;
    struct address destination;
    __u32 id;
    /* 0 with IPv6, where fragments may be followed by different headers. */
    __u32 protocol;
};

struct first {
    __u64 seen_ns;
    __u16 source_port;
    __u16 destination_port;
    __u32 padding;
};

/* The ports of first fragments: so many at a time, and the least recently used one goes. */
struct {
    NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
    NUMBER(max_entries, 1 << 13);
    TYPE(key, struct datagram);
    TYPE(value, struct first);
} fragments SECTION(".maps");

/* As long as Linux waits for the rest of a datagram (IP_FRAG_TIME). */
#define FRAGMENT_LIFETIME_NS 30000000000ull

/* Whoever answers is slower than a container can ask: what finds no room is not heard, and asked again. */
struct {
    NUMBER(type, BPF_MAP_TYPE_RINGBUF);
    NUMBER(max_entries, 1 << 14);
} solicitations SECTION(".maps");

INLINE bool owned(const struct address *address, __u32 port)
{
    const struct address everywhere = {};
    const __u32 current = 0;
    const struct ports *ports, *here;
    void *owners = map_lookup(&rules, &current);

    if (!owners)
        return false;
    ports = map_lookup(owners, &everywhere);
    if (!ports)
        return false;
    if (ports->by_address) {
        here = map_lookup(owners, address);
        if (here)
            ports = here;
    }
    return ports->owned[(port >> 3) & 0x1fff] >> (port & 7) & 1;
}

/* Remembers the ports of a first fragment, and finds those of a later one. */
INLINE enum reading follow(enum reading reading, struct headers *headers)
{
    struct datagram datagram = {};
    struct first first = {}, *found;
    __u64 now = nanoseconds();

    datagram.source = headers->source;
    datagram.destination = headers->destination;
    datagram.id = headers->id;
    datagram.protocol = headers->source.version == 4 ? headers->protocol : 0;
    if (reading == PORTS) {
        first.seen_ns = now;
        first.source_port = headers->source_port;
        first.destination_port = headers->destination_port;
        /* It fails where the map is busy elsewhere: then the others are lost fragments. */
        map_update(&fragments, &datagram, &first, BPF_ANY);
        return PORTS;
    }
    found = map_lookup(&fragments, &datagram);
    if (!found || now - found->seen_ns >= FRAGMENT_LIFETIME_NS)
        return LATER_FRAGMENT;
    headers->source_port = found->source_port;
    headers->destination_port = found->destination_port;
    return PORTS;
}

INLINE enum verdict hear(const struct solicitation *asked)
{
    struct solicitation *entry = ring_reserve(&solicitations, sizeof(*entry), 0);

    if (!entry)
        return NOT_HEARD;
    *entry = *asked;
    ring_submit(entry, 0);
    return ASKED;
}

INLINE enum verdict judge(struct xdp_md *frame, enum side side)
{
    struct layer whole = {frame, 0, frame_length(frame)}, layer = whole;
    struct headers headers = {};
    struct solicitation asked = {};
    enum reading reading = read_headers(&layer, &headers);
    bool is_owned;

    if (reading == LATER_FRAGMENT || (reading == PORTS && headers.part == FIRST))
        reading = follow(reading, &headers);
    switch (reading) {
    case MALFORMED:
        return UNREADABLE;
    case LATER_FRAGMENT:
        return LOST_FRAGMENT;
    case NOT_IP:
        return side == CONTAINER && read_arp(&whole, &asked) ? hear(&asked) : OTHER_PROTOCOL;
    case NO_PORTS:
        return side == CONTAINER && read_neighbour_solicitation(&whole, &asked) ? hear(&asked) : WITHOUT_PORTS;
    case PORTS:
        is_owned = side == UPLINK ? owned(&headers.destination, headers.destination_port)
                                  : owned(&headers.source, headers.source_port);
        return is_owned ? OWNED : FOREIGN_PORT;
    }
    return UNREADABLE;
}

INLINE int steer(struct xdp_md *frame, enum side side, void *queues, int otherwise)
{
    enum verdict verdict = judge(frame, side);
    int action = otherwise;
    __u32 place;
    __u64 *count;

    if (verdict == OWNED) {
        action = redirect_map(queues, frame->rx_queue_index, otherwise);
        if (action != XDP_REDIRECT)
            verdict = OTHER_QUEUE;
    }
    place = side * VERDICTS + verdict;
    count = map_lookup(&verdicts, &place);
    if (count)
        *count += 1;
    return action;
}

SECTION("xdp.frags")
int uplink(struct xdp_md *frame)
{
    return steer(frame, UPLINK, &uplink_queues, XDP_PASS);
}

SECTION("xdp.frags")
int container(struct xdp_md *frame)
{
    return steer(frame, CONTAINER, &container_queues, XDP_DROP);
}

char terms[] SECTION("license") = "MIT OR Apache-2.0";

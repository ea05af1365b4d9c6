/* Who gets a frame: the containers' line, the host's kernel, a container, or nobody.
 *
 * On the uplink frames to ports that containers own go to the socket of the queue that they came by, and all others to the
 * kernel, as if there were no program. On the container side frames from ports that containers own go to the socket, and
 * nothing goes to the kernel: a container says nothing to the host behind its back.
 *
 * Containers may have interfaces of their own, which are attached to the container side by a gate, a pair of interfaces. What
 * comes from one of them and has a port of that very container is put in at one end of the gate, and comes out at the other, which
 * is the container side. What the line sends there comes out at the former, and goes to the interface of the container whose port
 * it is for.
 *
 * What an attached container sends to the address that it shares stays on the host. It is put in at one end of another pair, whose
 * other end has a socket of the line's, and comes back from there when its time has come: to the end that is an interface of the
 * host's like any other. What is for the port of a container turns round there, and comes in once more, as what the host itself sends
 * to that port. The rest is the host's.
 *
 * Every frame has one verdict at each interface that it comes to, which is counted. */
#include "echo.h"
#include "solicitation.h"

/* Where frames arrive. Those at attached interfaces are counted by interface. */
enum side { UPLINK, CONTAINER, DELIVERY, WITHIN, HOST, SIDES, ATTACHED = SIDES };

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
    FOREIGN_ADDRESS,
    OVER_LIMIT,
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
} uplink_queues SECTION(".maps"), container_queues SECTION(".maps"), within_queues SECTION(".maps");

/* By side and verdict. */
struct {
    NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    NUMBER(max_entries, SIDES *VERDICTS);
    TYPE(key, __u32);
    TYPE(value, __u64);
} verdicts SECTION(".maps");

struct judged {
    __u32 interface;
    __u32 verdict;
};

/* How often frames of an attached interface had a verdict. There is a place for each as long as it is attached. */
struct {
    NUMBER(type, BPF_MAP_TYPE_HASH);
    NUMBER(max_entries, VERDICTS << 16);
    NUMBER(map_flags, BPF_F_NO_PREALLOC);
    TYPE(key, struct judged);
    TYPE(value, __u64);
} attached SECTION(".maps");

/* The end of the gate where frames of containers are put in. It is set when the program is loaded. */
const volatile __u32 delivery = 0;

/* The host's end of the pair of what stays on the host; 0 if there is none. Likewise. */
const volatile __u32 host_end = 0;

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
    NUMBER(max_entries, 1 << 16);
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

/* Whether a frame with ports is a container's: `to` is the interface that it goes to, where that depends on it. */
INLINE bool is_containers(enum side side, const struct headers *headers, __u32 *to)
{
    switch (side) {
    case UPLINK:
        return owned(&headers->destination, headers->destination_port);
    case CONTAINER:
        return owned(&headers->source, headers->source_port);
    case DELIVERY:
    case WITHIN:
    case HOST:
        *to = interface_of(headers->destination_port);
        return *to != 0;
    default:
        return false;
    }
}

/* Whether an attached container may send what has ports. 127.0.0.1 may be one of its addresses: on the host, and not beyond. */
INLINE enum verdict vet(struct xdp_md *frame, __u32 network, const struct headers *headers, bool stays)
{
    enum verdict verdict = OWNED;

    if (interface_of(headers->source_port) != frame->ingress_ifindex)
        verdict = FOREIGN_PORT;
    else if (!is_from_its_own(frame, network) || (!stays && names_loopback(frame, network, headers)))
        verdict = FOREIGN_ADDRESS;
    if (verdict != OWNED)
        keep_offender(frame, network, headers->source_port, headers->protocol, verdict);
    return verdict;
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

/* Pings belong to containers behind the gate, and to nobody else; then what has been read of them comes to ports. */
INLINE enum reading follow_ping(struct xdp_md *frame, enum side side, enum reading reading, struct headers *headers)
{
    const bool is_asked = side == CONTAINER || side == ATTACHED;
    __u64 id = NOBODYS;

    if (delivery == 0 || is_asked != (reading == ECHO_REQUEST))
        return NO_PORTS;
    if (side == ATTACHED)
        id = ask(frame, headers->network, headers->source_port);
    else
        id = find_ping(frame, headers->network, reading == ECHO_REPLY, headers->source_port);
    if (id == NOBODYS)
        return NO_PORTS;
    if (id == NO_MORE)
        return TOO_MANY;
    if (side == ATTACHED)
        headers->source_port = headers->destination_port = id;
    if ((side == ATTACHED || side == DELIVERY) && !rename_ping(frame, headers->message, id))
        return MALFORMED;
    return PORTS;
}

/* One attached container's questions leave room for those of the others. */
INLINE bool may_ask(__u32 interface)
{
    struct member *member = map_lookup(&members, &interface);

    return member && take(&member->neighbours_ns, &NEIGHBOURS, nanoseconds());
}

INLINE enum verdict hear(const struct xdp_md *frame, enum side side, const struct solicitation *asked)
{
    struct solicitation *entry;

    if (side == ATTACHED && !may_ask(frame->ingress_ifindex))
        return OVER_LIMIT;
    entry = ring_reserve(&solicitations, sizeof(*entry), 0);
    if (!entry)
        return NOT_HEARD;
    *entry = *asked;
    entry->interface = frame->ingress_ifindex;
    ring_submit(entry, 0);
    return ASKED;
}

INLINE enum verdict judge(struct xdp_md *frame, enum side side, __u32 *to)
{
    const bool is_heard = side == CONTAINER || side == ATTACHED;
    struct layer whole = {frame, 0, frame_length(frame)}, layer = whole;
    struct headers headers = {};
    struct solicitation asked = {};
    enum reading reading = read_headers(&layer, &headers);

    if (reading == ECHO_REQUEST || reading == ECHO_REPLY || reading == ECHO_ERROR)
        reading = follow_ping(frame, side, reading, &headers);
    if (reading == LATER_FRAGMENT || (reading == PORTS && headers.part == FIRST))
        reading = follow(reading, &headers);
    switch (reading) {
    case MALFORMED:
        return UNREADABLE;
    case LATER_FRAGMENT:
        return LOST_FRAGMENT;
    case TOO_MANY:
        return OVER_LIMIT;
    case NOT_IP:
        return is_heard && read_arp(&whole, &asked) ? hear(frame, side, &asked) : OTHER_PROTOCOL;
    case NO_PORTS:
        return is_heard && read_neighbour_solicitation(&whole, &asked) ? hear(frame, side, &asked) : WITHOUT_PORTS;
    case PORTS:
        *to = delivery;
        if (side == ATTACHED) {
            const bool stays = host_end != 0 && is_to_its_own(frame, layer.start);

            if (stays)
                *to = host_end;
            return vet(frame, layer.start, &headers, stays);
        }
        if (!is_containers(side, &headers, to))
            return FOREIGN_PORT;
        /* Behind the gate they take it for their own host's: so none of it may come from elsewhere. */
        if (side == UPLINK && delivery != 0 && names_loopback(frame, layer.start, &headers))
            return FOREIGN_ADDRESS;
        return OWNED;
    default:
        return UNREADABLE;
    }
}

INLINE void count(enum side side, enum verdict verdict)
{
    const __u32 place = side * VERDICTS + verdict;
    __u64 *count = map_lookup(&verdicts, &place);

    if (count)
        *count += 1;
}

INLINE int steer(struct xdp_md *frame, enum side side, void *queues, int otherwise)
{
    __u32 nowhere;
    enum verdict verdict = judge(frame, side, &nowhere);
    int action = otherwise;

    if (verdict == OWNED) {
        action = redirect_map(queues, frame->rx_queue_index, otherwise);
        if (action != XDP_REDIRECT)
            verdict = OTHER_QUEUE;
    }
    count(side, verdict);
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

/* On the host's ends of containers' interfaces. */
SECTION("xdp.frags")
int gather(struct xdp_md *frame)
{
    struct judged judged = {.interface = frame->ingress_ifindex};
    __u32 to = delivery;
    __u64 *count;

    judged.verdict = judge(frame, ATTACHED, &to);
    count = map_lookup(&attached, &judged);
    /* Of queues of one interface several cores may be at it. */
    if (count)
        __sync_fetch_and_add(count, 1);
    if (judged.verdict != OWNED || (to == host_end && !mark_as_leaving(frame)))
        return XDP_DROP;
    return redirect(to, 0);
}

/* On the gate's other end than the container side. */
SECTION("xdp.frags")
int deliver(struct xdp_md *frame)
{
    __u32 to = 0;
    enum verdict verdict = judge(frame, DELIVERY, &to);

    count(DELIVERY, verdict);
    return verdict == OWNED ? redirect(to, 0) : XDP_DROP;
}

/* On the line's end of the pair of what stays on the host. What containers send has been judged where it came from. */
SECTION("xdp.frags")
int within(struct xdp_md *frame)
{
    __u32 nowhere;
    enum verdict verdict = OWNED;
    __u8 addresses[12];

    if (load_bytes(frame, 0, addresses, sizeof(addresses)) != 0)
        return XDP_DROP;
    if (!(addresses[6] & IS_LEAVING))
        verdict = judge(frame, WITHIN, &nowhere);
    count(WITHIN, verdict);
    if (verdict == OWNED)
        return redirect_map(&within_queues, frame->rx_queue_index, XDP_DROP);
    /* Routes say less than what is read here: it is the host's own, which so gets it once. */
    return (verdict == FOREIGN_PORT || verdict == WITHOUT_PORTS) && !(addresses[0] & 1) ? XDP_TX : XDP_DROP;
}

/* On the host's end of it. */
SECTION("xdp.frags")
int host(struct xdp_md *frame)
{
    __u32 nowhere;
    enum verdict verdict = judge(frame, HOST, &nowhere);

    count(HOST, verdict);
    return verdict == OWNED ? XDP_TX : XDP_PASS;
}

char terms[] SECTION("license") = "MIT OR Apache-2.0";

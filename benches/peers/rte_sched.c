// What a packet costs with DPDK's hierarchical scheduler: the work of `portlane bench`, done with rte_sched.
//
//   rte_sched PIPES idle|default STANDING ROUNDS PACKETS
//
// In every turn 64 packets arrive from a ring of 512 frames. Timed is what portlane's figures are of as well:
//   making       the address and the ports of each packet are written into its frame
//   classifying  the headers are checked, the source port is looked up in a table, rte_sched_port_pkt_write()
//   scheduling   rte_sched_port_enqueue() of all 64, rte_sched_port_dequeue() of as many as were accepted
//   recycling    what was sent goes back into the ring, what was dropped comes back from the mempool
//
// STANDING bursts are enqueued beforehand and never dequeued: its grinders like queues that are not empty.
//
// Loads are those of `portlane bench`, packet by packet: `idle` offers every pipe a fifth of its rate, `default` a
// quarter of the pipes 1.5 times their rate and the others 0.8.
//
// Time: rte_sched counts it in bytes of the port. Port time is the TSC's, or what has been sent where that is more. The
// port here is slow (PORT_RATE): a packet lasts 7 us on it, many times what it costs. So port time is what has been
// sent, and a pipe's rate is its share of that, whatever this machine's speed: the same packets are sent and dropped in
// every run, as with portlane, which runs in virtual time. See loads().

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_sched.h>
#include <rte_udp.h>
#include <rte_version.h>

enum {
	BATCH = 64,
	RING = 512 / BATCH,
	SIZE = 64,
	// Bytes of a packet on the wire, as rte_sched counts them: preamble, checksum and gap included.
	WIRE = SIZE + RTE_SCHED_FRAME_OVERHEAD_DEFAULT,
	FLOWS_PER_PIPE = 4,
	// Packets of a queue, of which a pipe has four here. With the 64 of DPDK's examples/qos_sched the load `default` is
	// slower: four times the memory waits in the pipes over their rate.
	QUEUE = 16,
	// As in examples/qos_sched.
	SUBPORT_BURST = 1000000,
	// Each traffic class's credits begin anew after a period; in the subport's, a whole number of our packets is sent.
	SUBPORT_PERIOD_MS = 110,
	PIPE_PERIOD_MS = 4000,
	BEST_EFFORT = RTE_SCHED_TRAFFIC_CLASS_BE,
	MIN_SEQUENCE = 1 << 16,
};

// 100 Mbit/s, in bytes a second.
#define PORT_RATE UINT64_C(12500000)

struct load {
	unsigned pipes;
	// What a pipe is offered, in tenths of its rate: every fourth pipe, and the others.
	unsigned fourth, others;
	// Of a pipe, in bytes a second.
	uint64_t rate;
};

struct traffic {
	// Source and destination port of every packet to come, as in its bytes; the first batch is at the end once more.
	uint32_t *sequence;
	size_t length, next;
};

struct harness {
	struct rte_sched_port *port;
	struct rte_mempool *pool;
	struct traffic traffic;
	// The pipe that owns a source port, by its bytes in the packet.
	uint16_t pipe_of_port[1 << 16];
	struct rte_mbuf *ring[RING][BATCH];
	unsigned front;
	uint64_t offered, accepted, sent, rejected;
};

static void die(const char *what)
{
	fprintf(stderr, "rte_sched: %s: %s\n", what, rte_strerror(rte_errno));
	exit(1);
}

// Rates follow from what is offered. Port time is what is sent: with `default` that is 0.75 * 0.8 + 0.25 of all pipes'
// rates, which is then the port's; with `idle` a fifth of them.
static struct load loads(const char *name, unsigned pipes)
{
	struct load load = { .pipes = pipes };
	if (!strcmp(name, "idle")) {
		load.fourth = load.others = 2;
		load.rate = RTE_MIN(5 * PORT_RATE / pipes, PORT_RATE);
	} else if (!strcmp(name, "default")) {
		load.fourth = 15;
		load.others = 8;
		load.rate = PORT_RATE * 100 / 85 / pipes;
	} else {
		fprintf(stderr, "rte_sched: no load %s\n", name);
		exit(2);
	}
	return load;
}

static unsigned tenths(const struct load *load, unsigned pipe)
{
	return pipe % 4 ? load->others : load->fourth;
}

// --- Configuration ---------------------------------------------------------------------------------------------------

static struct rte_sched_port *port(const struct load *load)
{
	struct rte_sched_subport_profile_params subport_profile = {
		.tb_rate = PORT_RATE, .tb_size = SUBPORT_BURST, .tc_period = SUBPORT_PERIOD_MS,
	};
	for (unsigned class = 0; class < RTE_SCHED_TRAFFIC_CLASSES_PER_PIPE; class++)
		subport_profile.tc_rate[class] = PORT_RATE;
	struct rte_sched_port_params port_params = {
		.name = "port",
		.rate = PORT_RATE,
		.mtu = RTE_ETHER_MAX_LEN,
		.frame_overhead = RTE_SCHED_FRAME_OVERHEAD_DEFAULT,
		.n_subports_per_port = 1,
		.subport_profiles = &subport_profile,
		.n_subport_profiles = 1,
		.n_max_subport_profiles = 1,
		.n_pipes_per_subport = load->pipes,
	};
	// The burst is 10 ms of the rate, and 16 packets or 1600 bytes if that is more, as in `portlane bench`.
	struct rte_sched_pipe_params pipe = {
		.tb_rate = load->rate,
		.tb_size = RTE_MAX(load->rate / 100, RTE_MAX(1600u, 16u * WIRE)),
		.tc_period = PIPE_PERIOD_MS,
		.tc_ov_weight = 1,
		.wrr_weights = { 1, 1, 1, 1 },
	};
	// Traffic classes that nobody uses have no queues: less memory.
	pipe.tc_rate[BEST_EFFORT] = load->rate;
	struct rte_sched_subport_params subport_params = {
		.n_pipes_per_subport_enabled = load->pipes,
		.pipe_profiles = &pipe,
		.n_pipe_profiles = 1,
		.n_max_pipe_profiles = 1,
	};
	subport_params.qsize[BEST_EFFORT] = QUEUE;

	struct rte_sched_port *port = rte_sched_port_config(&port_params);
	if (!port || rte_sched_subport_config(port, 0, &subport_params, 0))
		die("port");
	for (unsigned number = 0; number < load->pipes; number++)
		if (rte_sched_pipe_config(port, 0, number, 0))
			die("pipe");
	return port;
}

// --- Traffic ---------------------------------------------------------------------------------------------------------

static void shuffle(uint32_t *entries, size_t length)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
	for (size_t last = length - 1; last > 0; last--) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		size_t other = state % (last + 1);
		uint32_t entry = entries[last];
		entries[last] = entries[other];
		entries[other] = entry;
	}
}

// Every flow as often as its pipe's share of the offer says, in random order; always the same.
static void traffic(struct harness *harness, const struct load *load)
{
	struct traffic *traffic = &harness->traffic;
	unsigned ports = UINT16_MAX / load->pipes;
	size_t deck = 0;
	for (unsigned pipe = 0; pipe < load->pipes; pipe++)
		deck += tenths(load, pipe) * FLOWS_PER_PIPE;
	traffic->length = (MIN_SEQUENCE + deck - 1) / deck * deck;
	traffic->sequence = malloc((traffic->length + BATCH) * sizeof *traffic->sequence);
	size_t entry = 0;
	while (entry < traffic->length)
		for (unsigned pipe = 0; pipe < load->pipes; pipe++)
			for (unsigned copy = 0; copy < tenths(load, pipe) * FLOWS_PER_PIPE; copy++) {
				unsigned source = 1 + pipe * ports + copy % FLOWS_PER_PIPE * (ports / FLOWS_PER_PIPE);
				traffic->sequence[entry++] = rte_cpu_to_be_16(source) | rte_cpu_to_be_16(1024) << 16;
			}
	shuffle(traffic->sequence, traffic->length);
	memcpy(traffic->sequence + traffic->length, traffic->sequence, BATCH * sizeof *traffic->sequence);
	for (unsigned port = 0; port < load->pipes * ports; port++)
		harness->pipe_of_port[rte_cpu_to_be_16(port + 1)] = port / ports;
}

static const uint32_t *next_batch(struct traffic *traffic)
{
	const uint32_t *batch = traffic->sequence + traffic->next;
	traffic->next += BATCH;
	if (traffic->next >= traffic->length)
		traffic->next -= traffic->length;
	return batch;
}

struct headers {
	struct rte_ether_hdr ethernet;
	struct rte_ipv4_hdr ip;
	union {
		struct rte_udp_hdr udp;
		uint32_t ports;
	};
} __rte_packed __rte_aligned(2);

static void write_headers(struct rte_mempool *pool, void *argument, void *object, unsigned number)
{
	RTE_SET_USED(pool);
	RTE_SET_USED(argument);
	RTE_SET_USED(number);
	struct rte_mbuf *packet = object;
	rte_pktmbuf_reset(packet);
	struct headers *headers = rte_pktmbuf_mtod(packet, struct headers *);
	*headers = (struct headers){
		.ethernet = { .ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4) },
		.ip = {
			.version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = RTE_BE16(SIZE - sizeof(struct rte_ether_hdr)),
			.time_to_live = 64,
			.next_proto_id = IPPROTO_UDP,
			.dst_addr = RTE_BE32(RTE_IPV4(10, 2, 0, 1)),
		},
	};
	headers->udp.dgram_len = RTE_BE16(SIZE - sizeof(struct rte_ether_hdr) - sizeof(struct rte_ipv4_hdr));
}

// --- A turn ----------------------------------------------------------------------------------------------------------

// What a driver writes when it receives, and what makes the packet one of its flow.
static inline void make(struct rte_mbuf *packet, uint32_t ports)
{
	packet->data_off = RTE_PKTMBUF_HEADROOM;
	packet->pkt_len = SIZE;
	packet->data_len = SIZE;
	struct headers *headers = rte_pktmbuf_mtod(packet, struct headers *);
	headers->ip.src_addr = RTE_BE32(RTE_IPV4(10, 0, 0, 2));
	headers->ports = ports;
}

// Whether the packet is a whole one of UDP over IPv4, not a fragment; then where it belongs is written into it.
static inline int classify(struct harness *harness, struct rte_mbuf *packet)
{
	const struct headers *headers = rte_pktmbuf_mtod(packet, const struct headers *);
	unsigned l3 = packet->pkt_len - sizeof headers->ethernet;
	unsigned length = rte_be_to_cpu_16(headers->ip.total_length);
	if (packet->data_len < sizeof *headers || headers->ethernet.ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4)
	    || headers->ip.version_ihl != RTE_IPV4_VHL_DEF || length > l3 || length < sizeof headers->ip + sizeof headers->udp
	    || headers->ip.fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)
	    || headers->ip.next_proto_id != IPPROTO_UDP
	    || rte_be_to_cpu_16(headers->udp.dgram_len) > length - sizeof headers->ip)
		return 0;
	unsigned pipe = harness->pipe_of_port[headers->udp.src_port];
	unsigned queue = rte_hash_crc_4byte(headers->ports, headers->ip.src_addr ^ headers->ip.dst_addr) % RTE_SCHED_BE_QUEUES_PER_PIPE;
	rte_sched_port_pkt_write(harness->port, packet, 0, pipe, BEST_EFFORT, queue, RTE_COLOR_GREEN);
	return 1;
}

// Gives a batch to the scheduler; returns how many packets it did not drop.
static inline unsigned arrive(struct harness *harness, struct rte_mbuf **batch)
{
	for (unsigned i = 0; i < BATCH; i++)
		harness->rejected += !classify(harness, batch[i]);
	unsigned accepted = rte_sched_port_enqueue(harness->port, batch, BATCH);
	harness->offered += BATCH;
	harness->accepted += accepted;
	return accepted;
}

// The next packets of the traffic, in the first frames of the batch and in others from the mempool.
static inline void fill(struct harness *harness, struct rte_mbuf **batch, unsigned present)
{
	if (present < BATCH && rte_mempool_get_bulk(harness->pool, (void **)batch + present, BATCH - present))
		die("no frames");
	const uint32_t *entries = next_batch(&harness->traffic);
	for (unsigned i = 0; i < BATCH; i++)
		make(batch[i], entries[i]);
}

static inline void turn(struct harness *harness)
{
	struct rte_mbuf **batch = harness->ring[harness->front];
	harness->front = (harness->front + 1) % RING;
	struct rte_mbuf *sent[BATCH];
	unsigned accepted = arrive(harness, batch);
	unsigned count = accepted ? rte_sched_port_dequeue(harness->port, sent, accepted) : 0;
	harness->sent += count;
	memcpy(batch, sent, count * sizeof *sent);
	fill(harness, batch, count);
}

static double turns(struct harness *harness, uint64_t packets)
{
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t turns = packets / BATCH; turns > 0; turns--)
		turn(harness);
	clock_gettime(CLOCK_MONOTONIC, &end);
	double elapsed = (end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec);
	return elapsed / (packets / BATCH * BATCH);
}

// --- Measuring -------------------------------------------------------------------------------------------------------

// Without huge pages the kernel is asked for transparent ones: before the memory is used for the first time.
static int transparent_huge_pages(const struct rte_memseg_list *list, void *argument)
{
	RTE_SET_USED(argument);
	return madvise(list->base_va, list->len, MADV_HUGEPAGE) ? 1 : 0;
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;
	return (difference > 0) - (difference < 0);
}

static void initialize(char *program)
{
	char *options[] = { program, "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf", "-m", "1024", "-l", "1", "--log-level=warning" };
	if (rte_eal_init(RTE_DIM(options), options) < 0)
		die("EAL");
	rte_memseg_list_walk(transparent_huge_pages, NULL);
}

static struct harness *start(const struct load *load, unsigned standing)
{
	struct harness *harness = rte_zmalloc(NULL, sizeof *harness, 0);
	if (!harness)
		die("memory");
	harness->port = port(load);
	traffic(harness, load);
	unsigned full = (load->pipes + 3) / 4 * RTE_SCHED_BE_QUEUES_PER_PIPE * QUEUE;
	unsigned frames = (RING + standing) * BATCH + full + 2 * RTE_MEMPOOL_CACHE_MAX_SIZE;
	harness->pool = rte_pktmbuf_pool_create("frames", frames, RTE_MEMPOOL_CACHE_MAX_SIZE, 0, RTE_PKTMBUF_HEADROOM + SIZE, SOCKET_ID_ANY);
	if (!harness->pool)
		die("frames");
	rte_mempool_obj_iter(harness->pool, write_headers, NULL);
	for (unsigned place = 0; place < RING; place++)
		fill(harness, harness->ring[place], 0);
	for (unsigned batch = 0; batch < standing; batch++) {
		arrive(harness, harness->ring[0]);
		fill(harness, harness->ring[0], 0);
	}
	return harness;
}

int main(int count, char **arguments)
{
	if (count != 6) {
		fprintf(stderr, "usage: %s PIPES idle|default STANDING ROUNDS PACKETS\n", arguments[0]);
		return 2;
	}
	struct load load = loads(arguments[2], atoi(arguments[1]));
	unsigned standing = atoi(arguments[3]);
	int rounds = atoi(arguments[4]);
	uint64_t packets = strtoull(arguments[5], NULL, 10);
	initialize(arguments[0]);
	struct harness *harness = start(&load, standing);
	// Until bursts are spent and queues are full.
	turns(harness, UINT64_C(500) * load.pipes);
	harness->offered = harness->accepted = harness->sent = 0;

	double ns[rounds];
	for (int round = 0; round < rounds; round++)
		ns[round] = turns(harness, packets);
	qsort(ns, rounds, sizeof *ns, ascending);
	printf("{\"version\":\"%s\",\"ns_per_packet\":%.1f,\"ns_per_packet_median\":%.1f,"
	       "\"offered\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"rejected\":%" PRIu64 "}\n",
	       rte_version(), ns[0], ns[rounds / 2], harness->offered, harness->sent, harness->offered - harness->accepted,
	       harness->rejected);
	return 0;
}

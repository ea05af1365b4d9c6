// Offers 64-byte UDP packets (60 without the checksum of the cable) to an interface, as fast as one core makes them.
//
//   offer PROGRAM INTERFACE SECONDS CONTAINERS FIRST_PORT PORTS_PER_CONTAINER
//
// PROGRAM is offer.bpf.c, compiled. Stops after SECONDS, whatever becomes of who started it.

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "offer.h"

enum {
	// Packets of one system call: more than there is time for. To begin and to end costs the kernel some 25 ms, in which
	// nothing is sent; so there is one call, and an alarm ends it.
	ENDLESS = 2000000000,
	// Packets at a time, of the 256 that the interface's ring takes.
	BATCH = 64,
};

struct packet {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
	unsigned char data[18];
} __attribute__((packed));

static unsigned short checksum(const void *header)
{
	const unsigned short *words = header;
	unsigned sum = 0;
	for (unsigned i = 0; i < sizeof(struct iphdr) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

static struct packet packet(void)
{
	struct packet made = {
		.ethernet = { .h_dest = { 2, 0, 0, 0, 0, 2 }, .h_source = { 2, 0, 0, 0, 0, 1 }, .h_proto = htons(ETH_P_IP) },
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .saddr = htonl(0x0a4d0001), .daddr = htonl(0x0a4d0002) },
		.udp = { .source = htons(9) },
	};
	made.ip.tot_len = htons(sizeof made - sizeof made.ethernet);
	made.ip.check = checksum(&made.ip);
	made.udp.len = htons(sizeof made.udp + sizeof made.data);
	return made;
}

static volatile sig_atomic_t over;

static void end(int signal)
{
	(void)signal;
	over = 1;
}

// Without SA_RESTART: the system call is to return.
static void end_after(unsigned seconds)
{
	struct sigaction action = { .sa_handler = end };
	sigaction(SIGALRM, &action, NULL);
	alarm(seconds);
}

int main(int count, char **arguments)
{
	if (count != 7) {
		fprintf(stderr, "usage: %s PROGRAM INTERFACE SECONDS CONTAINERS FIRST_PORT PORTS_PER_CONTAINER\n", arguments[0]);
		return 2;
	}
	struct offer state = {
		.interface = if_nametoindex(arguments[2]),
		.containers = atoi(arguments[4]),
		.first_port = atoi(arguments[5]),
		.ports_per_container = atoi(arguments[6]),
	};
	if (!state.interface || !state.containers) {
		fprintf(stderr, "offering: no interface %s, or no containers\n", arguments[2]);
		return 2;
	}
	struct bpf_object *object = bpf_object__open_file(arguments[1], NULL);
	if (!object)
		return 1;
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".bss");
	if (bpf_map__set_initial_value(map, &state, sizeof state) || bpf_object__load(object))
		return 1;
	int program = bpf_program__fd(bpf_object__find_program_by_name(object, "offer"));
	struct packet frame = packet();
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &frame, .data_size_in = sizeof frame,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .repeat = ENDLESS, .batch_size = BATCH);
	end_after(atoi(arguments[3]));
	while (!over) {
		int error = bpf_prog_test_run_opts(program, &options);
		if (error && error != -EINTR) {
			fprintf(stderr, "offering: %s\n", strerror(-error));
			return 1;
		}
	}
	return 0;
}

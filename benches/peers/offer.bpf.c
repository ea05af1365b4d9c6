// Gives every packet of the offered load its container: the UDP ports of the containers in turn.
//
// Runs on frames that the kernel makes for BPF_PROG_TEST_RUN: no socket, no system call and no sk_buff on the way, so
// that one core offers more than any forwarder here takes.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "offer.h"

struct offer state;

SEC("xdp")
int offer(struct xdp_md *context)
{
	struct udphdr *udp = (void *)(long)context->data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	if ((void *)(udp + 1) > (void *)(long)context->data_end || !state.containers)
		return XDP_ABORTED;
	__u32 container = state.offered++ % state.containers;
	udp->dest = bpf_htons(state.first_port + container * state.ports_per_container);
	return bpf_redirect(state.interface, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

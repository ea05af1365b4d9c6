/* Sends frames one after the other, and begins again: each run of the program is one.
 *
 * Runs on frames that the kernel makes for BPF_PROG_TEST_RUN: no socket, no system call and no sk_buff on the way, so that one
 * core offers more than any forwarder takes. */
#include "kernel.h"

/* What a frame of the kernel's has at first: those of Ethernet are no longer. */
enum { LONGEST = 1514, ETHERNET_HEADER = 14 };

struct frame {
    __u32 len;
    __u8 bytes[LONGEST + 2];
};

/* Their number is set when they are loaded. */
struct {
    NUMBER(type, BPF_MAP_TYPE_ARRAY);
    NUMBER(max_entries, 1);
    TYPE(key, __u32);
    TYPE(value, struct frame);
} frames SECTION(".maps");

const volatile __u32 interface;
const volatile __u32 count;

/* Frames offered so far. */
__u64 offered;

static long (*const adjust_tail)(struct xdp_md *frame, int by) = (void *)BPF_FUNC_xdp_adjust_tail;

SECTION("xdp")
int offer(struct xdp_md *context)
{
    __u32 place = count ? offered % count : 0;
    offered++;
    struct frame *frame = map_lookup(&frames, &place);
    if (!frame)
        return XDP_ABORTED;
    __u32 len = frame->len;
    if (len < ETHERNET_HEADER || len > LONGEST)
        return XDP_ABORTED;
    if (adjust_tail(context, (int)len - LONGEST) || store_bytes(context, 0, frame->bytes, len))
        return XDP_ABORTED;
    return redirect(interface, 0);
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

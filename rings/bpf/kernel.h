/* What a program needs of the kernel: its types, the helpers it calls, and how maps are declared.
 *
 * Helpers are numbered in linux/bpf.h. A map's declaration is never used as a value: its types are read from the BTF that
 * the compiler writes. */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

/* A function with a name of its own is verified once, for whatever arguments. In line, every way through it would be tried
 * again behind every way that leads to it; and pointers would be pushed out of registers, over whose places on the stack
 * nothing else may be written without CAP_PERFMON. */
#define FUNCTION __attribute__((noinline))

/* A field whose type says a number: `int (*name)[number]`. */
#define NUMBER(name, number) int(*name)[number]
#define TYPE(name, type) type *name

static void *(*const map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const map_update)(void *map, const void *key, const void *value, __u64 flags) =
    (void *)BPF_FUNC_map_update_elem;
static long (*const redirect)(__u32 interface, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;
static __u64 (*const frame_length)(struct xdp_md *frame) = (void *)BPF_FUNC_xdp_get_buff_len;
static long (*const load_bytes)(struct xdp_md *frame, __u32 at, void *to, __u32 count) =
    (void *)BPF_FUNC_xdp_load_bytes;
static long (*const store_bytes)(struct xdp_md *frame, __u32 at, const void *from, __u32 count) =
    (void *)BPF_FUNC_xdp_store_bytes;
static __u64 (*const nanoseconds)(void) = (void *)BPF_FUNC_ktime_get_ns;
static void *(*const ring_reserve)(void *ring, __u64 size, __u64 flags) = (void *)BPF_FUNC_ringbuf_reserve;
static void (*const ring_submit)(void *entry, __u64 flags) = (void *)BPF_FUNC_ringbuf_submit;

/* The number in two bytes of a header. */
INLINE __u32 be16(const __u8 *bytes)
{
    return (__u32)bytes[0] << 8 | bytes[1];
}

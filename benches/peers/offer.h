// What offer.c and its program in the kernel share.

struct offer {
	__u32 interface;
	__u32 containers;
	__u32 first_port;
	__u32 ports_per_container;
	__u64 offered;
};

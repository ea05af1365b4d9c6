//! Why a wire could not be opened, and what to do about it.

use std::io;

use super::Io;

/// Why [`bind_wire`](crate::bind_wire) or [`bind_nic`](crate::bind_nic) failed. Whatever it had done is undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A number that AF_XDP cannot work with.
    #[error("{what} of {value} {rule}")]
    Option {
        /// Name of the option.
        what: &'static str,
        /// Its value.
        value: u32,
        /// What it breaks.
        rule: String,
    },
    /// Both names are the same.
    #[error("both sides of the wire are {interface}: a wire runs between two different interfaces")]
    SameInterface {
        /// Name of the interface.
        interface: String,
    },
    /// Nothing of that name in this network namespace.
    #[error("there is no interface {interface} in this network namespace: see `ip link`")]
    NoSuchInterface {
        /// Name that was asked for.
        interface: String,
    },
    /// Not administratively up.
    #[error("interface {interface} is down: bring it up with `ip link set {interface} up`")]
    Down {
        /// Name of the interface.
        interface: String,
    },
    /// Packets may be larger than frames.
    #[error(
        "interface {interface} has an MTU of {mtu}, and frames hold packets for an MTU of at most {max}: \
         `ip link set {interface} mtu {max}`"
    )]
    MtuTooLarge {
        /// Name of the interface.
        interface: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// Largest MTU that would do.
        max: u32,
    },
    /// Packets may be longer than a page, and the kernel cannot hand over such.
    #[error(
        "{interface} cannot be opened for packets of several buffers ({source}), which an MTU of more than {max} needs, and \
         Linux 6.6: an MTU of {max} on both interfaces (`ip link set {interface} mtu {max}`) does without"
    )]
    SeveralBuffers {
        /// Name of the interface.
        interface: String,
        /// Largest MTU that would do.
        max: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Packets may arrive where nobody listens.
    #[error(
        "interface {interface} receives on {queues} queues, and only queue 0 is served: \
         `ethtool -L {interface} {kind} 1` leaves it one"
    )]
    ManyQueues {
        /// Name of the interface.
        interface: String,
        /// Its receive queues.
        queues: u32,
        /// What ethtool calls them: "combined" or "rx".
        kind: &'static str,
    },
    /// The interface does not receive on that queue.
    #[error(
        "interface {interface} has no queue {queue}: it receives on {queues}, counted from 0; `ethtool -l {interface}` \
         shows them, `ethtool -L` changes their number"
    )]
    NoSuchQueue {
        /// Name of the interface.
        interface: String,
        /// The queue that was asked for.
        queue: u32,
        /// Its receive queues.
        queues: u32,
    },
    /// The kernel would not have the steering program.
    #[error(
        "the kernel refuses the steering program ({source}): it needs Linux 5.19 or later, with CONFIG_BPF_SYSCALL"
    )]
    Program {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel would not have the program that takes everything: it is too old, or the driver has an objection.
    #[error(
        "the kernel refuses an XDP program on interface {interface} ({source}): it needs Linux 5.9 or later, with \
         CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS; where it has them, `dmesg` may say what the driver objects to"
    )]
    Attach {
        /// Name of the interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another XDP program is attached.
    #[error(
        "interface {interface} already runs an XDP program: `bpftool net` shows whose, \
         `ip link set dev {interface} xdp off`, or `xdpgeneric off`, removes one that its owner has left behind"
    )]
    AlreadyOwned {
        /// Name of the interface.
        interface: String,
    },
    /// Another AF_XDP socket has the queue.
    #[error(
        "queue {queue} of interface {interface} is in use by another AF_XDP socket: stop the program that holds it"
    )]
    QueueBusy {
        /// Its number, from 0.
        queue: u32,
        /// Name of the interface.
        interface: String,
    },
    /// The interface cannot do what was asked for by name.
    #[error("interface {interface} cannot do {io} ({source}): use `auto` to take the best that it can do")]
    Unsupported {
        /// Name of the interface.
        interface: String,
        /// What was asked for.
        io: Io,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another line has packet sockets on the interface.
    #[error(
        "interface {interface} is served by packet sockets of another portlane: stop that one, or every frame would be \
         forwarded twice"
    )]
    InUse {
        /// Name of the interface.
        interface: String,
    },
    /// Its frames have no Ethernet header.
    #[error("interface {interface} is not Ethernet (hardware type {kind}): a wire needs Ethernet at both ends")]
    NotEthernet {
        /// Name of the interface.
        interface: String,
        /// An ARPHRD_ number of `linux/if_arp.h`.
        kind: u16,
    },
    /// Packet sockets cannot share an interface with the host.
    #[error(
        "packet sockets cannot share {interface} with the host: they get copies and take nothing, so that the host's \
         kernel would answer what is for containers: use `auto`, or a wire"
    )]
    PacketsAreCopies {
        /// Name of the interface.
        interface: String,
    },
    /// Not root, and without the capabilities that would do.
    #[error("no permission to {doing}: be root, or have {needed}")]
    Permission {
        /// What was refused.
        doing: String,
        /// The capabilities.
        needed: &'static str,
    },
    /// The kernel says `ENOBUFS`.
    #[error(
        "the frames need {needed} bytes of locked memory, and {limit}: `ulimit -l unlimited` (in a systemd unit \
         LimitMEMLOCK=infinity) raises the limit, CAP_IPC_LOCK lifts it, fewer frames need less"
    )]
    LockedMemory {
        /// Bytes of all frames.
        needed: u64,
        /// The limit, in words.
        limit: String,
    },
    /// More than the cgroup may ever have.
    #[error(
        "the frames need {needed} bytes of memory, and the cgroup of this process may have {limit}: raise it in {file} \
         (MemoryMax= in a systemd unit)"
    )]
    CgroupMemory {
        /// Bytes of all frames.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
        /// Where it is set.
        file: String,
    },
    /// The kernel says `ENOMEM`.
    #[error(
        "not enough memory to {doing}: the system has no more, or this process may not have it: see `ulimit -v`, and \
         memory.max of its cgroup (MemoryMax= in a systemd unit)"
    )]
    Memory {
        /// What was refused.
        doing: String,
    },
    /// The kernel was built without it.
    #[error("this kernel has no AF_XDP: it needs CONFIG_XDP_SOCKETS")]
    NoAfXdp,
    /// The kernel was built without it.
    #[error("this kernel has no packet sockets: it needs CONFIG_PACKET")]
    NoAfPacket,
    /// Anything else that the system refused.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was refused.
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl OpenError {
    /// Sorts out what the system said while `doing` something.
    pub(super) fn system(doing: String, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Self::Permission { doing, needed: "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF" }
            }
            Some(libc::EAFNOSUPPORT) => Self::NoAfXdp,
            Some(libc::ENOMEM) => Self::Memory { doing },
            _ => Self::System { doing, source },
        }
    }

    /// The same for packet sockets.
    pub(crate) fn packet(doing: String, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Permission { doing, needed: "CAP_NET_RAW" },
            Some(libc::EAFNOSUPPORT) => Self::NoAfPacket,
            _ => Self::System { doing, source },
        }
    }

    /// Whether the machine cannot do what was tried, or will not let us: not where something can be put right.
    pub(crate) fn is_a_refusal_of_af_xdp(&self) -> bool {
        matches!(self, Self::NoAfXdp | Self::Permission { .. } | Self::System { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no test can make a kernel say.
    #[test]
    fn what_the_system_says_is_told_with_a_remedy() {
        let told =
            |code| OpenError::system("map the rings of eth0".into(), io::Error::from_raw_os_error(code)).to_string();
        assert_eq!(told(libc::EAFNOSUPPORT), "this kernel has no AF_XDP: it needs CONFIG_XDP_SOCKETS");
        assert_eq!(
            told(libc::ENOMEM),
            "not enough memory to map the rings of eth0: the system has no more, or this process may not have it: see \
             `ulimit -v`, and memory.max of its cgroup (MemoryMax= in a systemd unit)"
        );
        for code in [libc::EPERM, libc::EACCES] {
            assert_eq!(
                told(code),
                "no permission to map the rings of eth0: be root, or have CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"
            );
        }
        assert_eq!(told(libc::EIO), "cannot map the rings of eth0: Input/output error (os error 5)");
    }
}

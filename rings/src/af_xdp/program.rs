//! The XDP program that takes everything, and what attaches programs. The one that chooses is in `steering`.
//!
//! It is ours, and not libxdp's default one, because of how it leaves: it hangs on a bpf link (Linux 5.9), which the
//! kernel cuts when the last descriptor of it is closed, however the process dies. libxdp's stays behind after a
//! `kill -9`. Being six instructions long it needs no compiler, no object file and no loader.
#![allow(unsafe_code, reason = "system calls, and descriptors that they return")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Commands and constants of `linux/bpf.h` and `linux/if_link.h`.
mod abi {
    pub(super) const BPF_MAP_CREATE: libc::c_int = 0;
    pub(super) const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
    pub(super) const BPF_PROG_LOAD: libc::c_int = 5;
    pub(super) const BPF_LINK_CREATE: libc::c_int = 28;

    pub(super) const BPF_MAP_TYPE_XSKMAP: u32 = 17;
    pub(super) const BPF_PROG_TYPE_XDP: u32 = 6;
    /// The attach type `BPF_XDP`.
    pub(super) const BPF_XDP: u32 = 37;
    /// Flag of a program that knows packets of several buffers (Linux 5.18).
    pub(super) const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
    pub(super) const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
    pub(super) const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

    /// `BPF_LDX | BPF_MEM | BPF_W`: dst = *(u32 *)(src + offset).
    pub(super) const LOAD_WORD: u8 = 0x61;
    /// `BPF_LD | BPF_IMM | BPF_DW`: dst = 64-bit constant, in two instructions.
    pub(super) const LOAD_CONSTANT: u8 = 0x18;
    /// As the source register of [`LOAD_CONSTANT`]: the constant is a descriptor of a map.
    pub(super) const BPF_PSEUDO_MAP_FD: u8 = 1;
    /// `BPF_ALU64 | BPF_MOV | BPF_K`: dst = constant.
    pub(super) const MOVE_CONSTANT: u8 = 0xb7;
    /// `BPF_JMP | BPF_CALL`.
    pub(super) const CALL: u8 = 0x85;
    /// `BPF_JMP | BPF_EXIT`.
    pub(super) const EXIT: u8 = 0x95;
    /// The helper `bpf_redirect_map(map, key, flags)`. Not restricted to programs under the GPL.
    pub(super) const REDIRECT_MAP: i32 = 51;
    pub(super) const XDP_PASS: i32 = 2;
    /// Offset of `rx_queue_index` in `struct xdp_md`.
    pub(super) const RX_QUEUE_INDEX: i16 = 16;
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u8,
    /// Destination register in the low four bits (of a little-endian machine), source register in the high ones.
    registers: u8,
    offset: i16,
    constant: i32,
}

impl Instruction {
    const fn new(code: u8, destination: u8, source: u8, offset: i16, constant: i32) -> Self {
        let registers =
            if cfg!(target_endian = "little") { destination | source << 4 } else { destination << 4 | source };
        Self { code, registers, offset, constant }
    }
}

/// `return bpf_redirect_map(map, ctx->rx_queue_index, XDP_PASS)`: a packet goes to the socket of its queue, or where
/// it would have gone without us if that queue has none.
fn instructions(map: RawFd) -> [Instruction; 6] {
    use abi::*;
    [
        Instruction::new(LOAD_WORD, 2, 1, RX_QUEUE_INDEX, 0),
        Instruction::new(LOAD_CONSTANT, 1, BPF_PSEUDO_MAP_FD, 0, map),
        Instruction::new(0, 0, 0, 0, 0),
        Instruction::new(MOVE_CONSTANT, 3, 0, 0, XDP_PASS),
        Instruction::new(CALL, 0, 0, 0, REDIRECT_MAP),
        Instruction::new(EXIT, 0, 0, 0, 0),
    ]
}

/// Where in the kernel the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// In the driver, before the kernel makes a buffer of the packet.
    Native,
    /// After that, for drivers that know nothing of XDP.
    Generic,
}

/// A program on an interface. Dropped (or the process gone), it is detached.
#[derive(Debug)]
pub(super) struct Link {
    _link: OwnedFd,
}

impl Link {
    /// Attaches a loaded program.
    ///
    /// The kernel answers `EBUSY` or `EEXIST` when another program is there, and `EOPNOTSUPP` when the driver has no
    /// native XDP.
    pub(super) fn new(program: BorrowedFd<'_>, interface: u32, hook: Hook) -> io::Result<Self> {
        create_link(program, interface, hook).map(|link| Self { _link: link })
    }
}

/// Our program on one interface.
#[derive(Debug)]
pub(super) struct Program {
    _link: Link,
    sockets: Arc<Sockets>,
    hook: Hook,
}

impl Program {
    /// Attaches the program, which has room for the sockets of so many queues; with none in its map yet it lets everything
    /// pass. Whether it `takes_fragments`, packets of several buffers that is, it is the driver who asks.
    /// Fails as [`Link::new`].
    pub(super) fn attach(interface: u32, queues: u32, hook: Hook, takes_fragments: bool) -> io::Result<Self> {
        let sockets = Sockets(create_map(queues)?);
        let flags = if takes_fragments { abi::BPF_F_XDP_HAS_FRAGS } else { 0 };
        let program = load(&sockets.0, flags).or_else(|error| match error.raw_os_error() {
            // An older kernel, whose drivers do not ask.
            Some(libc::EINVAL) if takes_fragments => load(&sockets.0, 0),
            _ => Err(error),
        })?;
        Ok(Self { _link: Link::new(program.as_fd(), interface, hook)?, sockets: Arc::new(sockets), hook })
    }

    pub(super) fn hook(&self) -> Hook {
        self.hook
    }

    pub(super) fn sockets(&self) -> Arc<Sockets> {
        Arc::clone(&self.sockets)
    }
}

/// The map of a program, from queue to socket (`XSKMAP`).
#[derive(Debug)]
pub(super) struct Sockets(OwnedFd);

impl Sockets {
    pub(super) fn of(map: BorrowedFd<'_>) -> io::Result<Self> {
        map.try_clone_to_owned().map(Self)
    }

    /// From now on what the program takes of a queue goes to `socket`.
    pub(super) fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        #[repr(C)]
        struct UpdateElement {
            map: u32,
            _padding: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let descriptor = bits(socket.as_raw_fd());
        let attributes = UpdateElement {
            map: bits(self.0.as_raw_fd()),
            _padding: 0,
            key: address(&queue),
            value: address(&descriptor),
            flags: 0,
        };
        bpf(abi::BPF_MAP_UPDATE_ELEM, &attributes).map(drop)
    }
}

/// An `XSKMAP` with room for so many queues.
fn create_map(queues: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct CreateMap {
        kind: u32,
        key_size: u32,
        value_size: u32,
        entries: u32,
    }
    let attributes = CreateMap { kind: abi::BPF_MAP_TYPE_XSKMAP, key_size: 4, value_size: 4, entries: queues };
    bpf(abi::BPF_MAP_CREATE, &attributes).map(owned)
}

fn load(map: &OwnedFd, flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct LoadProgram {
        kind: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        expected_attach_type: u32,
    }
    let instructions = instructions(map.as_raw_fd());
    let license = c"MIT OR Apache-2.0";
    let attributes = LoadProgram {
        kind: abi::BPF_PROG_TYPE_XDP,
        instruction_count: 6,
        instructions: address(&instructions),
        license: license.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags,
        name: *b"portlane\0\0\0\0\0\0\0\0",
        interface: 0,
        expected_attach_type: abi::BPF_XDP,
    };
    undisturbed(|| bpf(abi::BPF_PROG_LOAD, &attributes)).map(owned)
}

/// Tries again what a signal has interrupted: the verifier gives up with `EAGAIN` when one is pending (`do_check`), and
/// loading has no other use for it.
pub(super) fn undisturbed<T>(mut load: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const TRIES: u32 = 10;
    for _ in 1..TRIES {
        match load() {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            result => return result,
        }
    }
    load()
}

fn create_link(program: BorrowedFd<'_>, interface: u32, hook: Hook) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct CreateLink {
        program: u32,
        interface: u32,
        attach_type: u32,
        flags: u32,
    }
    let flags = match hook {
        Hook::Native => abi::XDP_FLAGS_DRV_MODE,
        Hook::Generic => abi::XDP_FLAGS_SKB_MODE,
    };
    let attributes = CreateLink { program: bits(program.as_raw_fd()), interface, attach_type: abi::BPF_XDP, flags };
    bpf(abi::BPF_LINK_CREATE, &attributes).map(owned)
}

/// bpf(2): `attributes` is the beginning of `union bpf_attr` as the command reads it; the kernel takes the rest as 0.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes; the addresses in them are of memory that outlives the call, and
    // none of the commands used here writes through them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(RawFd::try_from(result).expect("a descriptor fits"))
}

/// Takes over a descriptor that a successful command has made.
fn owned(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn bits(descriptor: RawFd) -> u32 {
    u32::try_from(descriptor).expect("an open descriptor is not negative")
}

fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value).expose_provenance() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_signals_interrupt_is_tried_again() {
        let after = |interruptions: u32, end: libc::c_int| {
            let mut tries = 0;
            let tried = undisturbed(|| {
                tries += 1;
                let code = if tries <= interruptions { libc::EAGAIN } else { end };
                if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
            });
            (tries, tried.err().and_then(|error| error.raw_os_error()))
        };
        assert_eq!(after(0, 0), (1, None));
        assert_eq!(after(9, 0), (10, None));
        assert_eq!(after(2, libc::EPERM), (3, Some(libc::EPERM)));
        assert_eq!(after(u32::MAX, 0), (10, Some(libc::EAGAIN)), "not for ever");
    }

    /// The bytes as `llvm-objdump` would show them for the same function in C.
    #[test]
    #[cfg(target_endian = "little")]
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        let bytes = instructions(7).map(|instruction| {
            let mut word = u64::from(instruction.code) | u64::from(instruction.registers) << 8;
            word |= u64::from(instruction.offset.cast_unsigned()) << 16;
            word | u64::from(instruction.constant.cast_unsigned()) << 32
        });
        let expected = [
            0x0000_0000_0010_1261, // r2 = *(u32 *)(r1 + 16)
            0x0000_0007_0000_1118, // r1 = map 7 ll
            0x0000_0000_0000_0000,
            0x0000_0002_0000_03b7, // r3 = 2
            0x0000_0033_0000_0085, // call 51
            0x0000_0000_0000_0095, // exit
        ];
        assert_eq!(bytes, expected);
    }
}

//! Opening a wire by AF_XDP: checks first, then program, memory, sockets and rings; what was made is undone by being dropped.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use xsk_rs::config::BindFlags;

use super::error::OpenError;
use super::interface::{Interface, Promiscuous};
use super::memory_limit;
use super::program::{Hook, Program, Sockets};
use super::queues::Queues;
use super::sizes::{SIZES, chunk_size, largest_mtu};
use super::socket::{Frames, Socket, locked_memory_limit};
use super::{AfXdp, Mode};
use crate::{Device, Layout, Pool};

/// How often, and after what pause, a queue that is still being released is asked for again. The kernel finishes
/// closing an AF_XDP socket some time after close(2) has returned (`xp_put_pool`).
const BUSY_TRIES: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// How packets get from the interface into frames and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Io {
    /// The best that each interface can do.
    #[default]
    Auto,
    /// The driver reads and writes frames in place, or opening fails.
    ZeroCopy,
    /// Native XDP in the driver, one copy by the kernel, or opening fails.
    Copy,
    /// XDP after the driver, on kernel buffers, and one copy. Every interface can do this.
    Generic,
    /// Packet sockets, where there is no AF_XDP: a wire's alone, because they get copies and take nothing.
    Packet,
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
            Self::Packet => "packet",
        })
    }
}

/// Shape of a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Frames in the pool that all queues share: more than a ring of them for each.
    pub frames: u32,
    /// Bytes of a frame, at least: 2,048, 4,096 or 12,288, which hold packets for an MTU of 1,770, 3,818 and 12,010. The
    /// frames are larger if an interface's MTU needs that.
    pub frame_size: u32,
    /// Entries of each of the four rings of each interface: a power of two, 64 or more.
    pub ring_size: u32,
    /// Lets a driver that has nothing to do sleep until it is called.
    pub need_wakeup: bool,
    /// Which way packets go.
    pub io: Io,
}

impl Default for Options {
    fn default() -> Self {
        Self { frames: 16_384, frame_size: 2_048, ring_size: 2_048, need_wakeup: true, io: Io::Auto }
    }
}

impl Options {
    pub(crate) fn layout(&self) -> Layout {
        Layout { frames: self.frames, frame_size: self.frame_size }
    }

    /// Refuses what so many queues cannot have.
    pub(crate) fn check(&self, queues: usize) -> Result<(), OpenError> {
        let wrong = |what, value, rule: String| Err(OpenError::Option { what, value, rule });
        if !self.ring_size.is_power_of_two() || self.ring_size < 64 {
            return wrong("ring size", self.ring_size, "is not a power of two from 64 on".into());
        }
        if !SIZES.contains(&self.frame_size) {
            return wrong("frame size", self.frame_size, "is neither 2048, nor 4096, nor 12288 bytes".into());
        }
        if u64::from(self.frames) <= queues as u64 * u64::from(self.ring_size) {
            let rule = format!("is not more than {queues} rings of {} take: nothing could be queued", self.ring_size);
            return wrong("number of frames", self.frames, rule);
        }
        if self.layout().bytes() > u64::from(u32::MAX) {
            let rule = format!("is too large: frames of {} bytes fill more than 4 GiB", self.frame_size);
            return wrong("number of frames", self.frames, rule);
        }
        Ok(())
    }

    /// True if packets may be longer than what the kernel takes in one piece.
    fn several_buffers(&self) -> bool {
        self.frame_size > chunk_size(self.frame_size)
    }
}

/// Looks both sides up in the calling thread's network namespace, and refuses what could not be served; touches nothing.
///
/// # Errors
///
/// [`OpenError`]: an interface is not there, is down, or not Ethernet; or both are the same.
pub fn look_up(names: [&str; 2]) -> Result<[Interface; 2], OpenError> {
    if names[0] == names[1] {
        return Err(OpenError::SameInterface { interface: names[0].into() });
    }
    Ok([inspect(names[0])?, inspect(names[1])?])
}

/// Binds all queues of two interfaces over one pool.
///
/// The kernel gives all sockets of one UMEM the same way of binding, so zero-copy is used if both interfaces can do
/// it, and not otherwise.
pub(crate) fn bind_wire(interfaces: &[Interface; 2], options: &Options) -> Result<(Pool, [Vec<Bound>; 2]), OpenError> {
    let queues = interfaces.each_ref().map(|interface| (0..interface.receive_queues).collect::<Vec<_>>());
    options.check(queues.iter().map(Vec::len).sum())?;
    memory_limit::check(options.layout().bytes())?;
    // Drivers refuse others where packets are longer than their buffers.
    let takes_fragments = options.frame_size > SIZES[0];
    let programs = interfaces.iter().map(|interface| {
        let queues = interface.receive_queues;
        attach(interface, options.io, |hook| Program::attach(interface.index, queues, hook, takes_fragments))
    });
    let programs = programs.collect::<Result<Vec<_>, _>>()?;
    let sides = interfaces.iter().zip(&queues).zip(programs).map(|((interface, queues), (program, refusal))| {
        let (hook, sockets) = (program.hook(), program.sockets());
        let promiscuous = Promiscuous::new(interface.index)
            .map_err(|source| failed("receive what is not addressed to", interface, source))?;
        let tap = Some(Arc::new(Tap { _program: program, _promiscuous: promiscuous }));
        Ok(Entrance { interface, queues, hook, refusal, sockets, tap })
    });
    let (pool, queues) = bind(&sides.collect::<Result<Vec<_>, OpenError>>()?, options)?;
    let mut queues = queues.into_iter();
    let mut next = || queues.next().unwrap_or_default();
    Ok((pool, [next(), next()]))
}

/// Looks an interface up, and refuses one that is down, or not Ethernet.
pub(crate) fn inspect(name: &str) -> Result<Interface, OpenError> {
    let interface = Interface::query(name).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => OpenError::NoSuchInterface { interface: name.into() },
        _ => OpenError::system(format!("look up interface {name}"), source),
    })?;
    if ![libc::ARPHRD_ETHER, libc::ARPHRD_LOOPBACK].contains(&interface.hardware) {
        return Err(OpenError::NotEthernet { kind: interface.hardware, interface: interface.name });
    }
    if !interface.up {
        return Err(OpenError::Down { interface: interface.name });
    }
    Ok(interface)
}

/// Attaches a program where `io` says, or in the best place that there is; then also says what refused a better one.
pub(super) fn attach<T>(
    interface: &Interface,
    io: Io,
    mut attach: impl FnMut(Hook) -> io::Result<T>,
) -> Result<(T, Option<String>), OpenError> {
    let hook = match io {
        Io::Auto | Io::ZeroCopy | Io::Copy => Hook::Native,
        // A packet socket needs no program: who is to open one does not come here.
        Io::Generic | Io::Packet => Hook::Generic,
    };
    let attached = match (io, attach(hook)) {
        // Where generic XDP would be refused for the same reason it is not tried.
        (Io::Auto, Err(error)) if !is_refused_everywhere(&error) => {
            attach(Hook::Generic).map(|attached| (attached, Some(format!("not native: {error}"))))
        }
        (_, attached) => attached.map(|attached| (attached, None)),
    };
    attached.map_err(|source| not_attached(interface.name.clone(), io, source))
}

/// Why there is no program on an interface, by what bpf(2) said.
fn not_attached(interface: String, io: Io, source: io::Error) -> OpenError {
    match (io, source.raw_os_error()) {
        (_, Some(libc::EBUSY | libc::EEXIST)) => OpenError::AlreadyOwned { interface },
        // A command, a type of map or program, or an attribute that the kernel does not know.
        (Io::Auto, Some(libc::EINVAL | libc::ENOSYS | libc::E2BIG)) => OpenError::Attach { interface, source },
        (Io::Auto, _) | (_, Some(libc::EPERM | libc::EACCES | libc::ENODEV)) => {
            OpenError::system(format!("attach an XDP program to {interface}"), source)
        }
        _ => OpenError::Unsupported { interface, io, source },
    }
}

/// Whether a program was refused for a reason that has nothing to do with where it was to be attached.
fn is_refused_everywhere(error: &io::Error) -> bool {
    let reasons = [libc::EBUSY, libc::EEXIST, libc::EPERM, libc::EACCES, libc::ENODEV];
    error.raw_os_error().is_some_and(|number| reasons.contains(&number))
}

/// What takes all packets of an interface, while any of its queues is open.
#[derive(Debug)]
pub(super) struct Tap {
    _program: Program,
    _promiscuous: Promiscuous,
}

/// Queues of an interface whose program is attached, and how packets get into their sockets.
pub(super) struct Entrance<'a> {
    pub(super) interface: &'a Interface,
    pub(super) queues: &'a [u32],
    pub(super) hook: Hook,
    /// What refused a better one.
    pub(super) refusal: Option<String>,
    pub(super) sockets: Arc<Sockets>,
    /// Of a wire.
    pub(super) tap: Option<Arc<Tap>>,
}

/// A queue of an interface whose socket is bound. Nothing flows until it is [started](Self::start).
#[derive(Debug)]
pub(crate) struct Bound {
    tap: Option<Arc<Tap>>,
    sockets: Arc<Sockets>,
    hook: Hook,
    refusal: Option<String>,
    socket: Socket,
    interface: Interface,
    queue: u32,
    options: Options,
}

impl Bound {
    pub(crate) fn queue(&self) -> u32 {
        self.queue
    }

    /// Fills its fill ring, and lets packets in.
    pub(crate) fn start(self, pool: &mut Pool) -> Result<AfXdp, OpenError> {
        let Self { tap, sockets, hook, refusal, socket, interface, queue, options } = self;
        let mut device = device((&interface, queue), hook, socket, pool, &options)?;
        sockets.set(queue, device.socket.descriptor()).map_err(|source| {
            OpenError::system(format!("steer packets to the socket of queue {queue} of {}", interface.name), source)
        })?;
        (device.tap, device.refusal) = (tap, refusal);
        Ok(device)
    }
}

fn failed(doing: &str, interface: &Interface, source: io::Error) -> OpenError {
    OpenError::system(format!("{doing} {}", interface.name), source)
}

/// Maps the rings of a queue's socket, and fills the fill ring.
fn device(
    (interface, queue): QueueOf<'_>,
    hook: Hook,
    socket: Socket,
    pool: &mut Pool,
    options: &Options,
) -> Result<AfXdp, OpenError> {
    let queues = Queues::map(&socket, options.layout(), options.ring_size, pool.id())
        .map_err(|source| failed("map the rings of", interface, source))?;
    // An older kernel sends fewer packets at once.
    let _ = socket.send_at_once(options.ring_size);
    let zero_copy = socket.is_zero_copy().map_err(|source| failed("ask for the mode of", interface, source))?;
    let mode = match (hook, zero_copy) {
        (Hook::Native, true) => Mode::ZeroCopy,
        (Hook::Native, false) => Mode::Copy,
        (Hook::Generic, _) => Mode::Generic,
    };
    let mut device = AfXdp::new((interface, queue), mode, options.need_wakeup, queues, socket);
    device.reclaim(pool).map_err(|source| failed("fill the rings of", interface, source))?;
    Ok(device)
}

/// Binds a socket to each queue of all sides over one UMEM; in zero-copy mode if asked for or possible.
pub(super) fn bind(sides: &[Entrance<'_>], options: &Options) -> Result<(Pool, Vec<Vec<Bound>>), OpenError> {
    let queues = sides.iter().flat_map(|side| side.queues.iter().map(|&queue| (side.interface, queue)));
    let queues: Vec<QueueOf<'_>> = queues.collect();
    let native = sides.iter().all(|side| side.hook == Hook::Native);
    let AllBound { frames, sockets, refusal } = bind_all(&queues, native, options)?;
    let mut sockets = sockets.into_iter();
    let bound = sides.iter().map(|side| {
        let bound = |(&queue, socket)| Bound {
            tap: side.tap.clone(),
            sockets: Arc::clone(&side.sockets),
            hook: side.hook,
            refusal: side.refusal.clone().or_else(|| refusal.clone()),
            socket,
            interface: side.interface.clone(),
            queue,
            options: options.clone(),
        };
        side.queues.iter().zip(sockets.by_ref()).map(bound).collect()
    });
    let bound = bound.collect();
    Ok((frames.into_pool(), bound))
}

/// A queue of an interface.
pub(super) type QueueOf<'a> = (&'a Interface, u32);

/// Sockets that have been bound.
struct AllBound {
    frames: Frames,
    /// One for each queue, in their order.
    sockets: Vec<Socket>,
    /// What refused a better way than the best that there was.
    refusal: Option<String>,
}

/// Binds a socket to each queue, in their order, over one UMEM.
fn bind_all(queues: &[QueueOf<'_>], native: bool, options: &Options) -> Result<AllBound, OpenError> {
    let refused = match options.io {
        Io::ZeroCopy => return bind_when_free(queues, options, BindFlags::XDP_ZEROCOPY),
        Io::Auto if native => match bind_when_free(queues, options, BindFlags::XDP_ZEROCOPY) {
            Ok(bound) => return Ok(bound),
            Err(error) => Some(format!("not zero-copy: {error}")),
        },
        Io::Auto => Some("not zero-copy: an interface beside it has no native XDP".to_owned()),
        Io::Copy | Io::Generic | Io::Packet => None,
    };
    let bound = bind_when_free(queues, options, BindFlags::XDP_COPY)?;
    Ok(AllBound { refusal: refused, ..bound })
}

fn bind_when_free(queues: &[QueueOf<'_>], options: &Options, way: BindFlags) -> Result<AllBound, OpenError> {
    for _ in 1..BUSY_TRIES {
        match bind_once(queues, options, way) {
            Err(OpenError::QueueBusy { .. }) => thread::sleep(BUSY_PAUSE),
            settled => return settled,
        }
    }
    bind_once(queues, options, way)
}

fn bind_once(queues: &[QueueOf<'_>], options: &Options, way: BindFlags) -> Result<AllBound, OpenError> {
    let frames = Frames::register(options.layout(), options.ring_size).map_err(|source| {
        if source.raw_os_error() == Some(libc::ENOBUFS) {
            return too_little_locked_memory(options.layout());
        }
        OpenError::system("set up memory for AF_XDP".into(), source)
    })?;
    let mut flags = way;
    flags.set(BindFlags::XDP_USE_NEED_WAKEUP, options.need_wakeup);
    flags.set(BindFlags::XDP_USE_SG, options.several_buffers());
    let bind = |&(interface, queue): &QueueOf<'_>| {
        let name = &interface.name;
        frames.bind(name, queue, flags).map_err(|source| match (options.io, source.raw_os_error()) {
            (_, Some(libc::EBUSY)) => OpenError::QueueBusy { queue, interface: name.clone() },
            // What a kernel says that does not know XDP_USE_SG.
            (_, Some(libc::EINVAL)) if options.several_buffers() => {
                OpenError::SeveralBuffers { interface: name.clone(), max: largest_mtu(SIZES[1]), source }
            }
            // Drivers word this refusal in many ways.
            (Io::ZeroCopy, _) => OpenError::Unsupported { interface: name.clone(), io: options.io, source },
            _ => OpenError::system(format!("bind a socket to queue {queue} of {name}"), source),
        })
    };
    let sockets = queues.iter().map(bind).collect::<Result<_, _>>()?;
    Ok(AllBound { frames, sockets, refusal: None })
}

fn too_little_locked_memory(layout: Layout) -> OpenError {
    let limit = locked_memory_limit().map_or_else(
        || "the kernel refused it though this process has no limit".into(),
        |bytes| format!("this process may have {bytes} bytes"),
    );
    OpenError::LockedMemory { needed: layout.bytes(), limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_af_xdp_cannot_have_are_refused() {
        let refused = |options: Options| options.check(2).unwrap_err().to_string();
        let good = Options::default();
        assert!(good.check(2).is_ok());
        assert_eq!(
            refused(Options { ring_size: 1_000, ..good.clone() }),
            "ring size of 1000 is not a power of two from 64 on"
        );
        assert_eq!(
            refused(Options { frame_size: 3_000, ..good.clone() }),
            "frame size of 3000 is neither 2048, nor 4096, nor 12288 bytes"
        );
        assert_eq!(
            refused(Options { frames: 4_096, ..good.clone() }),
            "number of frames of 4096 is not more than 2 rings of 2048 take: nothing could be queued"
        );
        assert_eq!(
            refused(Options { frames: 1 << 21, ..good }),
            "number of frames of 2097152 is too large: frames of 2048 bytes fill more than 4 GiB"
        );
    }

    #[test]
    fn a_kernel_that_is_too_old_is_told_so() {
        let told = |io, code| not_attached("eth0".into(), io, io::Error::from_raw_os_error(code)).to_string();
        // Before 5.9 there are no links of XDP programs; before 4.18 no sockets for them; or all that was left out.
        for (code, words) in [(libc::EINVAL, "Invalid argument"), (libc::ENOSYS, "not implemented")] {
            let said = told(Io::Auto, code);
            assert!(said.starts_with("the kernel refuses an XDP program on interface eth0 ("), "{said}");
            assert!(
                said.contains(words) && said.contains("it needs Linux 5.9 or later, with CONFIG_BPF_SYSCALL"),
                "{said}"
            );
        }
        assert!(told(Io::Copy, libc::EOPNOTSUPP).starts_with("interface eth0 cannot do copy (Operation not supported"));
        assert!(told(Io::Auto, libc::EBUSY).starts_with("interface eth0 already runs an XDP program"));
    }
}

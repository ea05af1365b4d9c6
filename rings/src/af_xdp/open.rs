//! Opening a wire: checks first, then program, memory, sockets and rings; what was made is undone by being dropped.

use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

use xsk_rs::config::BindFlags;

use super::error::OpenError;
use super::interface::{Interface, Promiscuous};
use super::program::{Hook, Program};
use super::queues::Queues;
use super::sizes::{SIZES, chunk_size, largest_mtu, with_frames_for};
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
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
        })
    }
}

/// Shape of a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Frames in the pool that both interfaces share: more than two rings of them.
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
    pub(super) fn layout(&self) -> Layout {
        Layout { frames: self.frames, frame_size: self.frame_size }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let wrong = |what, value, rule: String| Err(OpenError::Option { what, value, rule });
        if !self.ring_size.is_power_of_two() || self.ring_size < 64 {
            return wrong("ring size", self.ring_size, "is not a power of two from 64 on".into());
        }
        if !SIZES.contains(&self.frame_size) {
            return wrong("frame size", self.frame_size, "is neither 2048, nor 4096, nor 12288 bytes".into());
        }
        if u64::from(self.frames) <= 2 * u64::from(self.ring_size) {
            let rule = format!("is not more than two rings of {} take: nothing could be queued", self.ring_size);
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

/// Opens queue 0 of two interfaces over one pool: what one receives the other can send without a copy.
///
/// Both are looked up in the calling thread's network namespace, checked, and only then touched. Their fill rings are
/// full when this returns, and packets flow into them.
///
/// The kernel gives all sockets of one UMEM the same way of binding, so zero-copy is used if both interfaces can do
/// it, and not otherwise.
///
/// # Errors
///
/// [`OpenError`]; the interfaces are as they were.
///
/// ```no_run
/// use portlane_rings::{Device, Options, open_wire, wait};
/// use std::time::Duration;
///
/// let (mut pool, mut ends) = open_wire(["eth0", "veth-web"], &Options::default())?;
/// let mut batch = Vec::with_capacity(64);
/// loop {
///     for (from, to) in [(0, 1), (1, 0)] {
///         ends[from].receive(&mut pool, &mut batch, 64)?;
///         for frame in batch.drain(..) {
///             if let Err(frame) = ends[to].send(frame) {
///                 pool.put(frame); // the ring is full
///             }
///         }
///         ends[to].flush()?;
///         ends[from].reclaim(&mut pool)?;
///     }
///     wait(ends.each_mut(), Duration::from_millis(100))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_wire(names: [&str; 2], options: &Options) -> Result<(Pool, [AfXdp; 2]), OpenError> {
    options.check()?;
    if names[0] == names[1] {
        return Err(OpenError::SameInterface { interface: names[0].into() });
    }
    let near = inspect_single(names[0])?;
    let far = inspect_single(names[1])?;
    let options = &with_frames_for([&near, &far], options)?;
    options.check()?;
    let near = End::attach(near, options)?;
    let far = End::attach(far, options)?;
    let native = [&near, &far].iter().all(|end| end.program.hook() == Hook::Native);
    let (frames, mut sockets) = bind(&[(&near.interface, 0), (&far.interface, 0)], native, options)?;
    let mut pool = frames.into_pool();
    let (Some(far_socket), Some(near_socket)) = (sockets.pop(), sockets.pop()) else {
        unreachable!("a socket is bound for each queue, or none");
    };
    let near = near.finish(near_socket, &mut pool, options)?;
    let far = far.finish(far_socket, &mut pool, options)?;
    Ok((pool, [near, far]))
}

/// Looks an interface up, and refuses one that a wire could not serve.
fn inspect_single(name: &str) -> Result<Interface, OpenError> {
    let interface = inspect(name)?;
    if interface.receive_queues > 1 {
        let kind = if interface.combined_queues > 0 { "combined" } else { "rx" };
        return Err(OpenError::ManyQueues { queues: interface.receive_queues, kind, interface: interface.name });
    }
    Ok(interface)
}

/// Looks an interface up, and refuses one that is down.
pub(super) fn inspect(name: &str) -> Result<Interface, OpenError> {
    let interface = Interface::query(name).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => OpenError::NoSuchInterface { interface: name.into() },
        _ => OpenError::system(format!("look up interface {name}"), source),
    })?;
    if !interface.up {
        return Err(OpenError::Down { interface: interface.name });
    }
    Ok(interface)
}

/// Attaches a program where `io` says, or in the best place that there is.
pub(super) fn attach<T>(
    interface: &Interface,
    io: Io,
    mut attach: impl FnMut(Hook) -> io::Result<T>,
) -> Result<T, OpenError> {
    let attached = match io {
        Io::Auto => attach(Hook::Native).or_else(|error| match error.raw_os_error() {
            // Generic XDP would be refused for the same reason.
            Some(libc::EBUSY | libc::EEXIST | libc::EPERM | libc::EACCES | libc::ENODEV) => Err(error),
            _ => attach(Hook::Generic),
        }),
        Io::ZeroCopy | Io::Copy => attach(Hook::Native),
        Io::Generic => attach(Hook::Generic),
    };
    attached.map_err(|source| match (io, source.raw_os_error()) {
        (_, Some(libc::EBUSY | libc::EEXIST)) => OpenError::AlreadyOwned { interface: interface.name.clone() },
        (Io::ZeroCopy | Io::Copy, Some(libc::EOPNOTSUPP)) => {
            OpenError::Unsupported { interface: interface.name.clone(), io, source }
        }
        _ => OpenError::system(format!("attach an XDP program to {}", interface.name), source),
    })
}

/// One end of a wire in the making.
struct End {
    interface: Interface,
    program: Program,
}

impl End {
    fn attach(interface: Interface, options: &Options) -> Result<Self, OpenError> {
        // Drivers refuse others where packets are longer than their buffers.
        let takes_fragments = options.frame_size > SIZES[0];
        let program = attach(&interface, options.io, |hook| Program::attach(interface.index, hook, takes_fragments))?;
        Ok(Self { interface, program })
    }

    /// Maps the rings, fills the fill ring, and lets packets in.
    fn finish(self, socket: Socket, pool: &mut Pool, options: &Options) -> Result<AfXdp, OpenError> {
        let Self { interface, program } = self;
        let promiscuous = Promiscuous::new(interface.index)
            .map_err(|source| failed("receive what is not addressed to", &interface, source))?;
        let mut device = device((&interface, 0), program.hook(), socket, Some(promiscuous), pool, options)?;
        device.steer(program).map_err(|source| failed("steer packets to the socket of", &interface, source))?;
        Ok(device)
    }
}

fn failed(doing: &str, interface: &Interface, source: io::Error) -> OpenError {
    OpenError::system(format!("{doing} {}", interface.name), source)
}

/// Maps the rings of a queue's socket, and fills the fill ring.
pub(super) fn device(
    (interface, queue): QueueOf<'_>,
    hook: Hook,
    socket: Socket,
    promiscuous: Option<Promiscuous>,
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
    let mut device = AfXdp::new((interface, queue), mode, options.need_wakeup, queues, socket, promiscuous);
    device.reclaim(pool).map_err(|source| failed("fill the rings of", interface, source))?;
    Ok(device)
}

/// A queue of an interface.
pub(super) type QueueOf<'a> = (&'a Interface, u32);

/// Binds a socket to each queue, in their order, over one UMEM; in zero-copy mode if asked for or possible.
pub(super) fn bind(
    queues: &[QueueOf<'_>],
    native: bool,
    options: &Options,
) -> Result<(Frames, Vec<Socket>), OpenError> {
    let copy = || bind_when_free(queues, options, BindFlags::XDP_COPY);
    let zero_copy = || bind_when_free(queues, options, BindFlags::XDP_ZEROCOPY);
    match options.io {
        Io::ZeroCopy => zero_copy(),
        Io::Auto if native => zero_copy().or_else(|_| copy()),
        Io::Auto | Io::Copy | Io::Generic => copy(),
    }
}

fn bind_when_free(
    queues: &[QueueOf<'_>],
    options: &Options,
    way: BindFlags,
) -> Result<(Frames, Vec<Socket>), OpenError> {
    for _ in 1..BUSY_TRIES {
        match bind_once(queues, options, way) {
            Err(OpenError::QueueBusy { .. }) => thread::sleep(BUSY_PAUSE),
            settled => return settled,
        }
    }
    bind_once(queues, options, way)
}

fn bind_once(queues: &[QueueOf<'_>], options: &Options, way: BindFlags) -> Result<(Frames, Vec<Socket>), OpenError> {
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
    Ok((frames, sockets))
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
        let refused = |options: Options| options.check().unwrap_err().to_string();
        let good = Options::default();
        assert!(good.check().is_ok());
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
            "number of frames of 4096 is not more than two rings of 2048 take: nothing could be queued"
        );
        assert_eq!(
            refused(Options { frames: 1 << 21, ..good }),
            "number of frames of 2097152 is too large: frames of 2048 bytes fill more than 4 GiB"
        );
    }

    #[test]
    fn a_wire_has_two_ends() {
        let error = open_wire(["eth0", "eth0"], &Options::default()).unwrap_err();
        assert_eq!(error.to_string(), "both sides of the wire are eth0: a wire runs between two different interfaces");
    }
}

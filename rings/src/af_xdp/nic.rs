//! Opening queues of a network interface for containers' traffic alone.

use super::error::OpenError;
use super::interface::Interface;
use super::memory_limit;
use super::open::{Bound, QueueOf, attach, bind, device, inspect};
use super::program::Hook;
use super::sizes::with_frames_for;
use super::socket::Socket;
use super::steering::{Rules, Side, Steering};
use super::{AfXdp, Io, Options, Owners, Solicitations};
use crate::Pool;

/// Which receive queues of an interface are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueChoice {
    /// All that there are when it is opened.
    All,
    /// These, each once.
    These(Vec<u32>),
}

impl QueueChoice {
    /// The numbers of the queues, none of which the interface lacks.
    fn of(&self, interface: &Interface) -> Result<Vec<u32>, OpenError> {
        let queues = interface.receive_queues;
        let Self::These(chosen) = self else { return Ok((0..queues).collect()) };
        match chosen.iter().find(|&&queue| queue >= queues) {
            Some(&queue) => Err(OpenError::NoSuchQueue { interface: interface.name.clone(), queue, queues }),
            None => Ok(chosen.clone()),
        }
    }
}

/// What is to be opened.
#[derive(Debug, Clone)]
pub struct Nic<'a> {
    /// The interface to the network, which the host shares.
    pub interface: &'a str,
    /// Its queues that are served. What containers own and comes by others goes to the host's kernel.
    pub queues: &'a QueueChoice,
    /// The interface that the containers are behind. All of its queues are served.
    pub container: &'a str,
    /// Whose ports are whose.
    pub owners: &'a Owners,
}

/// What has been opened. Drop `steering` first: then no frame is steered to a socket that is no more.
#[derive(Debug)]
pub struct OpenNic {
    /// The program in the kernel.
    pub steering: Steering,
    /// What it goes by.
    pub rules: Rules,
    /// What containers ask on their link.
    pub solicitations: Solicitations,
    /// The served queues of the network's interface, in the order of the choice.
    pub uplink: Vec<AfXdp>,
    /// The queues of the containers' interface.
    pub container: Vec<AfXdp>,
    /// The frames of all of them.
    pub pool: Pool,
}

/// Opens queues of the network's interface, and those of the containers', over one pool. From then on frames to ports that
/// containers own arrive at `uplink`, frames from ports that they own at `container`, and the host's own never leave its
/// kernel.
///
/// Both interfaces are looked up in the calling thread's network namespace, checked, and only then touched. The pool has the
/// frames of `options`, and for each queue beyond the second two more rings of them.
///
/// # Errors
///
/// [`OpenError`]; the interfaces are as they were.
pub fn open_nic(nic: &Nic<'_>, options: &Options) -> Result<OpenNic, OpenError> {
    options.check()?;
    if options.io == Io::Packet {
        return Err(OpenError::PacketsAreCopies { interface: nic.interface.into() });
    }
    if nic.interface == nic.container {
        return Err(OpenError::SameInterface { interface: nic.interface.into() });
    }
    let uplink = inspect(nic.interface)?;
    let container = inspect(nic.container)?;
    let chosen = [nic.queues.of(&uplink)?, QueueChoice::All.of(&container)?];
    let options = with_frames_for([&uplink, &container], options)?;
    let options = with_frames_of(chosen.iter().map(Vec::len).sum(), &options);
    options.check()?;
    memory_limit::check(options.layout().bytes())?;

    let sizes = [uplink.receive_queues, container.receive_queues];
    let (mut steering, rules) = Steering::load(nic.owners, sizes).map_err(refused)?;
    let mut attach = |side, interface: &Interface| {
        attach(interface, options.io, |hook| steering.attach(side, interface.index, hook))
    };
    let attached = [attach(Side::Uplink, &uplink)?, attach(Side::Container, &container)?];
    let of = |interface, queues: &[u32]| queues.iter().map(move |&queue| (interface, queue)).collect::<Vec<_>>();
    let queues = [of(&uplink, &chosen[0]), of(&container, &chosen[1])];
    let native = attached.iter().all(|&(hook, _)| hook == Hook::Native);
    let Bound { frames, sockets, refusal } = bind(&queues.concat(), native, &options)?;
    let mut pool = frames.into_pool();
    let mut sockets = sockets.into_iter();
    let mut finish = |side, (hook, not_native): (Hook, Option<String>), queues: &[QueueOf<'_>]| {
        let finish = |(&queue, socket)| {
            let mut device = serve(&mut steering, (side, hook), queue, socket, &mut pool, &options)?;
            device.refusal = not_native.clone().or_else(|| refusal.clone());
            Ok(device)
        };
        queues.iter().zip(sockets.by_ref().take(queues.len())).map(finish).collect::<Result<Vec<_>, _>>()
    };
    let [to_network, to_containers] = attached;
    let uplink_devices = finish(Side::Uplink, to_network, &queues[0])?;
    let container_devices = finish(Side::Container, to_containers, &queues[1])?;
    let solicitations = Solicitations::new(&mut steering, container.index)
        .map_err(|source| OpenError::system(format!("answer what is asked on {}", container.name), source))?;
    Ok(OpenNic { steering, rules, solicitations, uplink: uplink_devices, container: container_devices, pool })
}

/// Has frames of containers that arrive by a queue go to its socket.
fn serve(
    steering: &mut Steering,
    (side, hook): (Side, Hook),
    (interface, queue): QueueOf<'_>,
    socket: Socket,
    pool: &mut Pool,
    options: &Options,
) -> Result<AfXdp, OpenError> {
    let device = device((interface, queue), hook, socket, None, pool, options)?;
    steering.steer(side, queue, device.socket.descriptor()).map_err(|source| {
        OpenError::system(format!("steer packets to the socket of queue {queue} of {}", interface.name), source)
    })?;
    Ok(device)
}

/// Each queue has its rings to fill.
fn with_frames_of(queues: usize, options: &Options) -> Options {
    let more = u32::try_from(queues.saturating_sub(2)).unwrap_or(u32::MAX);
    let frames = options.frames.saturating_add(more.saturating_mul(2 * options.ring_size));
    Options { frames, ..options.clone() }
}

/// Whoever lacks a permission is told so, as by any other refusal.
fn refused(source: std::io::Error) -> OpenError {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOMEM) => {
            OpenError::system("load the steering program".into(), source)
        }
        _ => OpenError::Program { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_too_old_is_told_so() {
        let told = |code| refused(std::io::Error::from_raw_os_error(code)).to_string();
        assert_eq!(
            told(libc::EINVAL),
            "the kernel refuses the steering program (Invalid argument (os error 22)): it needs Linux 5.19 or later, with \
             CONFIG_BPF_SYSCALL"
        );
        assert!(told(libc::ENOSYS).contains("with CONFIG_BPF_SYSCALL"));
        assert!(told(libc::EPERM).starts_with("no permission to load the steering program: "));
        assert!(told(libc::ENOMEM).starts_with("not enough memory to load the steering program: "));
    }
}

//! Opening queues of a network interface for containers' traffic alone.

use std::sync::Arc;

use super::error::OpenError;
use super::gate::Gate;
use super::interface::Interface;
use super::memory_limit;
use super::open::{Entrance, attach, bind};
use super::sizes::with_frames_for;
use super::steering::{Rules, Side, Steering};
use super::{Io, Options, Owners, Solicitations};
use crate::{Bound, Pool};

/// Which receive queues of an interface are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueChoice {
    /// All that there are when it is opened.
    All,
    /// These, each once.
    These(Vec<u32>),
}

impl QueueChoice {
    /// The numbers of the queues.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoSuchQueue`] if the interface lacks one.
    pub fn of(&self, interface: &Interface) -> Result<Vec<u32>, OpenError> {
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
    /// The interface to the network, which the host shares; and the one that the containers are behind, all of whose queues
    /// are served. As [`look_up`](super::look_up) has found them.
    pub interfaces: &'a [Interface; 2],
    /// Those queues of the first that are served. What containers own and comes by others goes to the host's kernel.
    pub queues: &'a [u32],
    /// Whose ports are whose.
    pub owners: &'a Owners,
    /// If the containers' interface is one end of a [`Gate`].
    pub pairs: Option<&'a Pairs>,
}

/// Interfaces that containers with interfaces of their own are behind. See [`Gate`].
#[derive(Debug, Clone)]
pub struct Pairs {
    /// The index of the other end of the pair that the containers' interface is one of.
    pub delivery: u32,
    /// The line's end of the pair of what stays on the host; it has one queue.
    pub within: Interface,
    /// The index of its other end, which is the host's.
    pub host: u32,
}

/// What has been bound. Drop `steering` first: then no frame is steered to a socket that is no more.
#[derive(Debug)]
pub struct BoundNic {
    /// The program in the kernel.
    pub steering: Steering,
    /// What it goes by.
    pub rules: Rules,
    /// The way to containers with interfaces of their own, if there was one to be.
    pub gate: Option<Gate>,
    /// What containers ask on their link.
    pub solicitations: Solicitations,
    /// The served queues of the network's interface, in the order of the choice; then those of the containers'.
    pub queues: [Vec<Bound>; 2],
    /// The queue of what stays on the host, of a gate.
    pub within: Option<Bound>,
    /// The frames of all of them, all free.
    pub pool: Pool,
}

/// Binds queues of the network's interface, and those of the containers', over one pool. As they are
/// [started](Bound::start), frames to ports that containers own arrive at the first, frames from ports that they own at the
/// others, and the host's own never leave its kernel.
///
/// # Errors
///
/// [`OpenError`]; the interfaces are as they were.
pub fn bind_nic(nic: &Nic<'_>, options: &Options) -> Result<BoundNic, OpenError> {
    let [uplink, container] = nic.interfaces;
    if options.io == Io::Packet {
        return Err(OpenError::PacketsAreCopies { interface: uplink.name.clone() });
    }
    let options = &with_frames_for(nic.interfaces, options)?;
    let sizes = [uplink.receive_queues, container.receive_queues];
    let chosen = [nic.queues.to_vec(), (0..container.receive_queues).collect()];
    options.check(chosen.iter().map(Vec::len).sum::<usize>() + usize::from(nic.pairs.is_some()))?;
    memory_limit::check(options.layout().bytes())?;

    let (mut steering, rules, gate) = match nic.pairs {
        Some(pairs) => Steering::load_with_gate(nic.owners, sizes, [pairs.delivery, pairs.host])
            .map(|(steering, rules, gate)| (steering, rules, Some(gate))),
        None => Steering::load(nic.owners, sizes).map(|(steering, rules)| (steering, rules, None)),
    }
    .map_err(refused)?;
    let mut enter = |side, interface, queues| {
        let (hook, refusal) = attach(interface, options.io, |hook| steering.attach(side, interface.index, hook))?;
        let sockets = Arc::new(steering.sockets(side).map_err(refused)?);
        Ok(Entrance { interface, queues, hook, refusal, sockets, tap: None })
    };
    let mut sides =
        vec![enter(Side::Uplink, uplink, &chosen[0][..])?, enter(Side::Container, container, &chosen[1][..])?];
    if let Some(pairs) = nic.pairs {
        sides.push(enter(Side::Within, &pairs.within, &[0])?);
    }
    let (pool, queues) = bind(&sides, options)?;
    let mut queues = queues.into_iter().map(|side| side.into_iter().map(Bound::from).collect::<Vec<_>>());
    let mut next = || queues.next().unwrap_or_default();
    let (queues, within) = ([next(), next()], next().pop());
    let solicitations = Solicitations::new(&mut steering)
        .map_err(|source| OpenError::system(format!("answer what is asked on {}", container.name), source))?;
    Ok(BoundNic { steering, rules, gate, solicitations, queues, within, pool })
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

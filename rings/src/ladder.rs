//! The ladder: zero-copy, native copy, generic XDP, and at the bottom packet sockets. Opening a wire by the best rung that
//! holds, or by the one that is named.

use crate::af_packet::Open;
use crate::af_xdp::{self, HEADROOM, Interface, look_up, with_frames_for};
use crate::area::Area;
use crate::{Io, OpenError, Options, Pool, Socket};

/// Opens two interfaces over one pool: what one receives the other can send without a copy in this process.
///
/// Both are looked up in the calling thread's network namespace, checked, and only then touched. Packets flow into their frames
/// when this returns. By AF_XDP each has to have one queue; for interfaces of several, or several workers, there are [`look_up`]
/// and [`bind_wire`].
///
/// [`Io::Auto`] goes down the ladder where the machine cannot do what was tried, or does not permit it, and
/// [`Socket::refusal`] says what was refused; it does not where something can be put right, as when another program has the
/// interface. Both ends stand on AF_XDP or both on packet sockets; they are in zero-copy mode if both can be. Any other
/// choice is that rung, or an error.
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
///     wait(ends.each_mut(), None, Duration::from_millis(100))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_wire(names: [&str; 2], options: &Options) -> Result<(Pool, [Socket; 2]), OpenError> {
    options.check(names.len())?;
    let interfaces = look_up(names)?;
    if options.io != Io::Packet {
        interfaces.iter().try_for_each(check_single)?;
    }
    let BoundWire { mut pool, queues } = bind_wire(&interfaces, options)?;
    let [near, far] = queues.map(|mut queues| queues.pop().expect("each interface has a queue"));
    let ends = [near.start(&mut pool)?, far.start(&mut pool)?];
    Ok((pool, ends))
}

/// Refuses an interface that receives on more than one queue.
fn check_single(interface: &Interface) -> Result<(), OpenError> {
    let (name, queues) = (interface.name.clone(), interface.receive_queues);
    let kind = if interface.combined_queues > 0 { "combined" } else { "rx" };
    if queues > 1 { Err(OpenError::ManyQueues { queues, kind, interface: name }) } else { Ok(()) }
}

/// A queue of an interface whose socket is bound, or an interface's packet socket. Nothing is received until it is
/// [started](Self::start).
#[derive(Debug)]
pub struct Bound(Kind);

#[derive(Debug)]
enum Kind {
    Xdp(af_xdp::Bound),
    Packet(Open),
}

impl From<af_xdp::Bound> for Bound {
    fn from(bound: af_xdp::Bound) -> Self {
        Self(Kind::Xdp(bound))
    }
}

impl Bound {
    /// The number of the queue; of a packet socket, which gets what comes by any, 0.
    #[must_use]
    pub fn queue(&self) -> u32 {
        match &self.0 {
            Kind::Xdp(bound) => bound.queue(),
            Kind::Packet(_) => 0,
        }
    }

    /// Takes frames to fill from the pool that it was bound with, or a [part](crate::divide) of that, and lets packets in.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the interface is as it was once its other queues are dropped too.
    pub fn start(self, pool: &mut Pool) -> Result<Socket, OpenError> {
        match self.0 {
            Kind::Xdp(bound) => bound.start(pool).map(Socket::from),
            Kind::Packet(open) => Ok(open.start(pool).into()),
        }
    }
}

/// A wire whose queues are bound.
#[derive(Debug)]
pub struct BoundWire {
    /// All queues of either interface, in their order; or a packet socket for each interface.
    pub queues: [Vec<Bound>; 2],
    /// The frames of all of them, all free.
    pub pool: Pool,
}

/// Binds all queues of two interfaces, as [`look_up`] has found them, over one pool; by the rungs of [`open_wire`].
///
/// # Errors
///
/// [`OpenError`]; the interfaces are as they were.
pub fn bind_wire(interfaces: &[Interface; 2], options: &Options) -> Result<BoundWire, OpenError> {
    let options = &with_frames_for(interfaces, options)?;
    if options.io == Io::Packet {
        return packet_wire(interfaces, None, options);
    }
    match af_xdp::bind_wire(interfaces, options) {
        Ok((pool, queues)) => {
            Ok(BoundWire { queues: queues.map(|side| side.into_iter().map(Bound::from).collect()), pool })
        }
        Err(refused) if options.io == Io::Auto && refused.is_a_refusal_of_af_xdp() => {
            // Who may open neither is told of the better one.
            packet_wire(interfaces, Some(&format!("not AF_XDP: {refused}")), options).map_err(|_| refused)
        }
        Err(error) => Err(error),
    }
}

fn packet_wire(interfaces: &[Interface; 2], refusal: Option<&str>, options: &Options) -> Result<BoundWire, OpenError> {
    options.check(interfaces.len())?;
    let layout = options.layout();
    let area = usize::try_from(layout.bytes()).map_err(|_| std::io::ErrorKind::OutOfMemory.into()).and_then(Area::map);
    let area = area.map_err(|source| OpenError::packet("map memory for frames".into(), source))?;
    let pool = Pool::over(area, layout, HEADROOM);
    let open = |interface: &Interface| Open::new(interface.clone(), refusal.map(str::to_owned), options);
    let [near, far] = interfaces;
    let queues = [open(near)?, open(far)?].map(|open| vec![Bound(Kind::Packet(open))]);
    Ok(BoundWire { queues, pool })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_has_two_ends() {
        for io in [Io::Auto, Io::Packet] {
            let error = open_wire(["eth0", "eth0"], &Options { io, ..Options::default() }).unwrap_err();
            assert_eq!(
                error.to_string(),
                "both sides of the wire are eth0: a wire runs between two different interfaces"
            );
        }
    }
}

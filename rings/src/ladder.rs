//! The ladder: zero-copy, native copy, generic XDP, and at the bottom packet sockets. Opening a wire by the best rung that
//! holds, or by the one that is named.

use crate::af_xdp::{self, HEADROOM, Interface, inspect, with_frames_for};
use crate::area::Area;
use crate::{AfPacket, Io, OpenError, Options, Pool, Socket};

/// Opens two interfaces over one pool: what one receives the other can send without a copy in this process.
///
/// Both are looked up in the calling thread's network namespace, checked, and only then touched. Packets flow into their frames
/// when this returns. By AF_XDP it is queue 0 of each that is opened.
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
///     wait(ends.each_mut(), Duration::from_millis(100))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_wire(names: [&str; 2], options: &Options) -> Result<(Pool, [Socket; 2]), OpenError> {
    options.check()?;
    if names[0] == names[1] {
        return Err(OpenError::SameInterface { interface: names[0].into() });
    }
    if options.io == Io::Packet {
        return packet_wire(names, None, options);
    }
    match af_xdp::open_wire(names, options) {
        Ok((pool, ends)) => Ok((pool, ends.map(Socket::from))),
        Err(refused) if options.io == Io::Auto && refused.is_a_refusal_of_af_xdp() => {
            // Who may open neither is told of the better one.
            packet_wire(names, Some(&format!("not AF_XDP: {refused}")), options).map_err(|_| refused)
        }
        Err(error) => Err(error),
    }
}

fn packet_wire(names: [&str; 2], refusal: Option<&str>, options: &Options) -> Result<(Pool, [Socket; 2]), OpenError> {
    let [near, far] = names.map(inspect);
    let (near, far) = (near?, far?);
    let options = &with_frames_for([&near, &far], options)?;
    options.check()?;
    let layout = options.layout();
    let area = usize::try_from(layout.bytes()).map_err(|_| std::io::ErrorKind::OutOfMemory.into()).and_then(Area::map);
    let area = area.map_err(|source| OpenError::packet("map memory for frames".into(), source))?;
    let mut pool = Pool::over(area, layout, HEADROOM);
    let mut open = |interface: Interface| AfPacket::open(interface, refusal.map(str::to_owned), &mut pool, options);
    let ends = [Socket::from(open(near)?), Socket::from(open(far)?)];
    Ok((pool, ends))
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

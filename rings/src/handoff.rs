//! From core to core: a pool divided among workers, and the rings by which they hand frames over to each other.

use std::io;

use crate::pool::Loan;
use crate::ring::{Consumer, Producer, plain};
use crate::{Frame, Pool};

/// What one worker owns of a pool, and its ways to the others.
#[derive(Debug)]
pub struct Part<T> {
    /// Its frames.
    pub pool: Pool,
    /// The other workers, by position; `None`: itself.
    pub peers: Vec<Option<Peer<T>>>,
}

/// Divides a pool, all of whose frames are free, in `parts` parts for as many workers: each pair can hand frames over to
/// each other, with `T` to go along, through rings of `ring` entries (a power of two).
///
/// A part lends the others at most half of its frames, in equal shares: what others do with their lanes, it can go on
/// receiving. A frame that is [put](Pool::put) at another part goes back through a ring of its own, which has room for all
/// that may be lent. So of each part
///
/// ```text
/// free + filling + sending (each device) + held by the program == Pool::here: its own, and others', less those lent
/// ```
///
/// and of all parts together the same and those in rings are all frames.
///
/// ```
/// use portlane_rings::{Layout, Pool, divide};
///
/// let pool = Pool::new(Layout { frames: 64, frame_size: 2_048 })?;
/// let [mut one, mut other] = divide(pool, 2, 16, 0_u32)?.try_into().expect("there are two");
/// let peer = one.peers[1].as_mut().expect("the other worker");
/// let mut frame = one.pool.take().expect("32 are free");
/// one.pool.write(&mut frame, b"hello").expect("five bytes fit");
/// peer.hand_over(&mut one.pool, frame, 7).expect("the ring has room");
/// peer.publish();
///
/// // On another core:
/// let peer = other.peers[0].as_mut().expect("the first worker");
/// let (frame, about) = peer.take_over(&mut other.pool).expect("it was published");
/// peer.release();
/// assert_eq!((other.pool.bytes(&frame), about), (&b"hello"[..], 7));
/// other.pool.put(frame);
/// other.pool.exchange();
///
/// one.pool.exchange();
/// assert_eq!(one.pool.free(), 32);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` if there are fewer than four frames for each part, or the size of the rings is no power of two.
///
/// # Panics
///
/// If a frame of the pool is out, or the pool is a part itself.
pub fn divide<T: Copy + Send + 'static>(pool: Pool, parts: u32, ring: u32, filler: T) -> io::Result<Vec<Part<T>>> {
    let frames = pool.total();
    if parts == 0 || frames / parts < 4 || !ring.is_power_of_two() {
        let why = format!(
            "{frames} frames in {parts} parts with rings of {ring}: must be 4 frames a part, and a power of two a ring"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let pools = pool.into_parts(parts);
    let mut divided: Vec<_> =
        pools.into_iter().map(|pool| Part { pool, peers: (0..parts).map(|_| None).collect() }).collect();
    let ring = || plain(ring, 0, Entry { loan: Loan::NONE, about: filler });
    for (one, other) in (0..divided.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
        let ((out, to_other), (from_other, incoming)) = (ring(), ring());
        let peer = |position, out, incoming| Some(Peer { position, out, incoming, hidden: false, taken: false });
        divided[one].peers[other] = peer(other, out, incoming);
        divided[other].peers[one] = peer(one, from_other, to_other);
    }
    Ok(divided)
}

#[derive(Debug, Clone, Copy)]
struct Entry<T> {
    loan: Loan,
    about: T,
}

/// Another worker, as one of them sees it: a ring there, and a ring from there.
#[derive(Debug)]
pub struct Peer<T> {
    position: usize,
    out: Producer<Entry<T>>,
    incoming: Consumer<Entry<T>>,
    /// Whether entries are in `out` that the other side has yet to be shown.
    hidden: bool,
    /// Whether slots of `incoming` are to be given back.
    taken: bool,
}

impl<T: Copy> Peer<T> {
    /// Hands over a frame of `pool`, this worker's part; the other worker sees it after [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// The ring is full, or the other worker has as many frames as it may have: the frame comes back.
    ///
    /// # Panics
    ///
    /// If the frame is not of this part.
    #[inline]
    pub fn hand_over(&mut self, pool: &mut Pool, frame: Frame, about: T) -> Result<(), Frame> {
        let loan = pool.lend(self.position, frame)?;
        let pushed = self.out.push(Entry { loan, about });
        self.hidden |= pushed.is_ok();
        pushed.map_err(|Entry { loan, .. }| pool.unlend(self.position, loan))
    }

    /// Shows the other worker all that was handed over. True if that one [sleeps](Self::falls_asleep), and is to be woken: by
    /// what means is the workers' own.
    #[inline]
    pub fn publish(&mut self) -> bool {
        std::mem::take(&mut self.hidden) && self.out.publish_and_ask()
    }

    /// Says to the other worker that this one is going to sleep, and wants to be woken when something is handed over. False if
    /// something has been: then it must not sleep.
    pub fn falls_asleep(&self) -> bool {
        self.incoming.falls_asleep()
    }

    /// Says to the other worker that this one is awake.
    pub fn is_awake(&self) {
        self.incoming.is_awake();
    }

    /// Takes the oldest frame that the other worker has handed over, for `pool`, this worker's part. The slots of those taken
    /// are the other worker's again after [`release`](Self::release).
    #[inline]
    pub fn take_over(&mut self, pool: &mut Pool) -> Option<(Frame, T)> {
        let Entry { loan, about } = self.incoming.pop()?;
        self.taken = true;
        Some((pool.admit(self.position, loan), about))
    }

    /// Gives slots back.
    #[inline]
    pub fn release(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.incoming.release();
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

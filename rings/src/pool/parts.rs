//! A pool divided among workers: who has whose frames, and the rings by which they come home.
//!
//! Part *a* lends a frame to part *b* by handing it over. When *b* is done with it the frame's address joins the return ring
//! from *b* to *a*: there is one for each pair, with one producer and one consumer, and room for all that may be lent at a
//! time. So a frame always finds its way home, without a lock and without waiting.

use crate::ring::{Consumer, Producer, plain};
use crate::{Frame, Layout, Pool};

/// A frame on its way from one part to another: what its token says, but the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loan {
    address: u32,
    wire_len: u32,
    len: u16,
    stated: u16,
}

impl Loan {
    /// What is in the slots of a new ring.
    pub(crate) const NONE: Self = Self { address: 0, wire_len: 0, len: 0, stated: 0 };
}

/// The other parts, as one of them sees them.
#[derive(Debug)]
pub(super) struct Others {
    /// By position; `None`: the part itself.
    each: Vec<Option<Other>>,
    /// Frames of each part; the last one may have some more.
    share: u32,
    /// The most frames that may be lent to one of them at a time.
    most: u32,
}

#[derive(Debug)]
struct Other {
    /// Its frames that we are done with.
    back: Producer<u32>,
    /// Our frames that it is done with.
    home: Consumer<u32>,
    /// Our frames that it has, those in rings included.
    lent: u32,
    /// Its frames that we have.
    guests: u32,
    /// Whether it has yet to be shown frames in `back`.
    hidden: bool,
}

impl Pool {
    /// Divides a pool in equal parts. One may lend the others half of its frames, in equal shares.
    pub(crate) fn into_parts(self, parts: u32) -> Vec<Self> {
        assert!(
            self.others.is_none() && self.free == self.frames,
            "only a whole pool is divided, with all its frames free"
        );
        assert!(parts > 0 && self.frames / parts > 0, "{} frames are too few for {parts} parts", self.frames);
        let Layout { frames, .. } = self.layout;
        let share = frames / parts;
        let most = if parts > 1 { share / 2 / (parts - 1) } else { 0 };
        let others = returns(parts as usize, most);
        let ends = (1..=parts).map(|part| if part == parts { frames } else { part * share });
        let divided = (0..parts).zip(ends).zip(others).map(|((part, end), each)| {
            let others = Some(Box::new(Others { each, share, most }));
            let area = self.area.share();
            Self { area, stack: Box::default(), others, ..self }.with(part * share..end)
        });
        divided.collect()
    }

    /// Shows the other parts their frames that this one is done with, and takes home its own. To be called once a turn.
    #[inline]
    pub fn exchange(&mut self) {
        if self.others.is_some() {
            self.exchange_with_others();
        }
    }

    #[inline(never)]
    fn exchange_with_others(&mut self) {
        let Some(mut others) = self.others.take() else { return };
        for other in others.each.iter_mut().flatten() {
            if std::mem::take(&mut other.hidden) {
                other.back.publish();
            }
            let lent = other.lent;
            while let Some(address) = other.home.pop() {
                other.lent = other.lent.checked_sub(1).expect("no more frames come home than were lent");
                self.restore(address);
            }
            if other.lent != lent {
                other.home.release();
            }
        }
        self.others = Some(others);
    }

    /// Frames that the owner of this part has, its own or others': free, in its devices, or its program's.
    ///
    /// Of all parts together that is all frames but those in rings between them.
    #[must_use]
    pub fn here(&self) -> u32 {
        let others = self.others.iter().flat_map(|others| others.each.iter().flatten());
        let (lent, guests) = others.fold((0, 0), |(lent, guests), other| (lent + other.lent, guests + other.guests));
        self.frames + guests - lent
    }

    /// Frames of this part that others have, those in rings included.
    #[must_use]
    pub fn lent(&self) -> u32 {
        self.others.iter().flat_map(|others| others.each.iter().flatten()).map(|other| other.lent).sum()
    }

    /// Whether a frame is of this part.
    #[inline]
    #[must_use]
    pub fn owns(&self, frame: &Frame) -> bool {
        self.has(frame.address)
    }

    /// A frame of this part leaves for another; it comes back if that one has had all that it may have.
    #[inline]
    pub(crate) fn lend(&mut self, to: usize, frame: Frame) -> Result<Loan, Frame> {
        self.check(&frame);
        assert!(self.has(frame.address), "a frame is handed over by the part that it is of");
        let others = self.others.as_mut().expect("an undivided pool lends to nobody");
        let other = others.each[to].as_mut().expect("no part lends to itself");
        if other.lent == others.most {
            return Err(frame);
        }
        other.lent += 1;
        let (address, wire_len, stated) = (frame.address, frame.wire_len(), frame.stated());
        Ok(Loan { address, wire_len, len: frame.into_len(), stated })
    }

    /// Takes back what was lent a moment ago.
    #[inline]
    pub(crate) fn unlend(&mut self, to: usize, loan: Loan) -> Frame {
        let other = self.others.as_mut().and_then(|others| others.each[to].as_mut());
        other.expect("it was lent").lent -= 1;
        self.token(loan)
    }

    /// A frame of another part arrives.
    #[inline]
    pub(crate) fn admit(&mut self, from: usize, loan: Loan) -> Frame {
        let other = self.others.as_mut().and_then(|others| others.each[from].as_mut());
        other.expect("it was lent").guests += 1;
        self.token(loan)
    }

    fn token(&self, loan: Loan) -> Frame {
        let mut frame = Frame::new(self.id, loan.address, loan.len);
        frame.set_wire_len(loan.wire_len);
        frame.state(loan.stated);
        frame
    }

    /// The frame at an address is another part's, or a phantom.
    #[inline(never)]
    pub(super) fn give_back(&mut self, address: u32) {
        if Frame::is_phantoms(address) {
            self.phantoms = self.phantoms.checked_sub(1).expect("no more phantoms end than were made");
            return;
        }
        let index = self.index_of(address);
        let others = self.others.as_mut().expect("the frames of an undivided pool are all its own");
        let last = others.each.len() - 1;
        let other = others.each[((index / others.share) as usize).min(last)].as_mut().expect("it is not our own");
        other.guests = other.guests.checked_sub(1).expect("no more frames go home than came");
        other.back.push(address).expect("a return ring has room for all that may be lent");
        other.hidden = true;
    }
}

/// The rings by which frames come home, `most` at a time from each part to each other, by the part that they are of.
fn returns(parts: usize, most: u32) -> Vec<Vec<Option<Other>>> {
    let slots = || std::iter::repeat_with(|| None).take(parts).collect::<Vec<_>>();
    let mut others: Vec<Vec<_>> = std::iter::repeat_with(slots).take(parts).collect();
    let ring = || plain(most.max(1).next_power_of_two(), 0, 0_u32);
    for (one, other) in (0..parts).flat_map(|one| (0..one).map(move |other| (one, other))) {
        let ((back, from_one), (from_other, home)) = (ring(), ring());
        let (lent, guests, hidden) = (0, 0, false);
        others[one][other] = Some(Other { back, home, lent, guests, hidden });
        others[other][one] = Some(Other { back: from_other, home: from_one, lent, guests, hidden });
    }
    others
}

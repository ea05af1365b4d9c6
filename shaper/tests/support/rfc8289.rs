//! CoDel once more: the pseudocode of RFC 8289 section 5, member by member, to hold the shaper against. It shares nothing
//! with the shaper but the names of the parameters.

use portlane_shaper::codel::{ControlLaw, Params};

/// A packet of the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) id: u32,
    pub(crate) len: u32,
    /// Bytes of the buffers that it is in.
    pub(crate) memory: u32,
    /// Hash of its flow.
    pub(crate) flow: u32,
    /// ECN-capable.
    pub(crate) ect: bool,
    pub(crate) enqueued: u64,
}

/// What the pseudocode's `CoDelQueue` inherits from `queue_t`.
pub(crate) trait Queue {
    /// Takes the oldest packet.
    fn dequeue(&mut self) -> Option<Packet>;

    /// Bytes in the queue.
    fn bytes(&self) -> u64;

    fn drop(&mut self, now: u64, packet: Packet);

    fn mark(&mut self, now: u64, packet: Packet);
}

/// `CoDelQueue`; a time of 0 is the RFC's "not above target".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Codel {
    pub(crate) first_above_time: u64,
    pub(crate) drop_next: u64,
    pub(crate) count: u64,
    pub(crate) lastcount: u64,
    pub(crate) dropping: bool,
    /// Of the law as Linux has it: 65,536 / sqrt(count), more or less.
    root: i128,
    /// Times that the dropping state was entered at a pace remembered from before.
    pub(crate) resumed: u64,
}

impl Codel {
    /// Section 5.4.
    fn dodequeue(&mut self, params: &Params, now: u64, queue: &mut impl Queue) -> (Option<Packet>, bool) {
        let Some(packet) = queue.dequeue() else {
            self.first_above_time = 0;
            return (None, false);
        };
        let sojourn_time = now - packet.enqueued;
        let mut ok_to_drop = false;
        if sojourn_time < params.target.0 || queue.bytes() <= u64::from(params.mtu) {
            self.first_above_time = 0;
        } else if self.first_above_time == 0 {
            self.first_above_time = now + params.interval.0;
        } else if now >= self.first_above_time {
            ok_to_drop = true;
        }
        (Some(packet), ok_to_drop)
    }

    /// Section 5.5, with marking in the place of dropping where the packet allows it.
    pub(crate) fn dequeue(&mut self, params: &Params, now: u64, queue: &mut impl Queue) -> Option<Packet> {
        let (mut packet, mut ok_to_drop) = self.dodequeue(params, now, queue);
        if self.dropping {
            if !ok_to_drop {
                self.dropping = false;
            }
            while now >= self.drop_next && self.dropping {
                self.count += 1;
                self.newton();
                if marks(params, now, packet, queue) {
                    self.drop_next = self.control_law(self.drop_next, params);
                    break;
                }
                (packet, ok_to_drop) = self.dodequeue(params, now, queue);
                if ok_to_drop {
                    self.drop_next = self.control_law(self.drop_next, params);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            if !marks(params, now, packet, queue) {
                (packet, _) = self.dodequeue(params, now, queue);
            }
            self.dropping = true;
            let delta = self.count - self.lastcount;
            let since = i128::from(now) - i128::from(self.drop_next);
            if delta > 1 && since < 16 * i128::from(params.interval.0) {
                self.count = delta;
                self.newton();
                self.resumed += 1;
            } else {
                (self.count, self.root) = (1, 0xffff);
            }
            self.drop_next = self.control_law(now, params);
            self.lastcount = self.count;
        }
        packet
    }

    fn control_law(&self, t: u64, params: &Params) -> u64 {
        match params.law {
            ControlLaw::Exact => exact_law(t, params.interval.0, self.count),
            // Times are 32 bits of 1,024 ns there, and the root a fraction of 16 bits.
            ControlLaw::Newton => {
                let step = i128::from(params.interval.0 / 1_024) * self.root / 65_536;
                (t / 1_024 + u64::try_from(step).expect("at most the interval")) * 1_024
            }
        }
    }

    /// Newton's method for the inverse root, `x (3 - count x^2) / 2`, with 32 bits behind the point of which the upper 16
    /// are kept. If that is no longer between 0 and 1, it is the root rounded down.
    fn newton(&mut self) {
        let x = self.root << 16;
        let rest = (3 << 32) - i128::from(self.count) * ((x * x) >> 32);
        if x == 0 || rest <= 0 {
            let fits = |root: &i128| root * root * i128::from(self.count) <= 1 << 32;
            self.root = (0..0x1_0000).take_while(fits).last().expect("0 fits");
        } else {
            self.root = ((rest / 4 * x) >> 47).min(0xffff);
        }
    }
}

/// True if the packet was marked and leaves; otherwise it was dropped.
fn marks(params: &Params, now: u64, packet: Option<Packet>, queue: &mut impl Queue) -> bool {
    let packet = packet.expect("an empty queue is not above target");
    let marked = params.ecn && packet.ect;
    if marked {
        queue.mark(now, packet)
    } else {
        queue.drop(now, packet)
    }
    marked
}

/// Section 5.3 in exact numbers: the longest whole step with `step^2 * count <= interval^2`, by bisection.
fn exact_law(t: u64, interval: u64, count: u64) -> u64 {
    let (square, count) = (u128::from(interval).pow(2), u128::from(count));
    let (mut fits, mut too_long) = (0, u128::from(interval) + 1);
    while too_long - fits > 1 {
        let step = u128::midpoint(fits, too_long);
        if step * step * count <= square { fits = step } else { too_long = step }
    }
    t + u64::try_from(fits).expect("at most the interval")
}

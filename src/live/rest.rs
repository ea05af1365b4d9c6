//! What the worker does between two turns: it goes on at once, spins, or sleeps.

use portlane_shaper::{Nanos, Wake};

use crate::config::Idle;

/// The longest sleep: how late a signal or a question may be noticed.
const NAP: Nanos = Nanos::from_millis(20);

/// The longest sleep while an interface is down: how late it may be noticed that it is up.
const NAP_WHILE_DOWN: Nanos = Nanos::from_millis(1);

/// Sleeping for less than this is not worth two system calls.
const SHORTEST_SLEEP: Nanos = Nanos::from_micros(10);

/// What to do after a turn in which nothing moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// Take the next turn, and waste no time.
    Spin,
    /// Take the next turn, and let others run before: they may be waiting for this core, the receiver of the last packet
    /// for one.
    Yield,
    /// Sleep until a packet comes, at most for so long.
    Sleep(Nanos),
}

/// What ended a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waker {
    /// A packet came.
    Packet,
    /// Another worker rang: it had handed something over, or has to have all workers together.
    Worker,
    /// The time was over; or a signal came.
    Time,
}

/// What the worker has to know to decide between sleeping and spinning, and what it counts meanwhile.
#[derive(Debug)]
pub(super) struct Rest {
    patience: Patience,
    lateness: Lateness,
    last_moved: Nanos,
    slept: bool,
    pub(super) counters: RestCounters,
}

/// What a worker counts of its turns and sleeps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RestCounters {
    /// Turns taken.
    pub(super) turns: u64,
    /// Turns in which something was received or sent.
    pub(super) busy_turns: u64,
    /// Times that it slept.
    pub(super) sleeps: u64,
    /// Of these, how many a packet ended.
    pub(super) woken_by_packet: u64,
    /// Of these, how many another worker ended.
    pub(super) woken_by_worker: u64,
    /// How long it slept, all in all.
    pub(super) slept: Nanos,
}

impl Rest {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            patience: Patience::default(),
            lateness: Lateness::default(),
            last_moved: now,
            slept: false,
            counters: RestCounters::default(),
        }
    }

    /// A turn was taken, in which something `moved` or not.
    pub(super) fn turned(&mut self, moved: bool, now: Nanos) {
        self.counters.turns += 1;
        if moved {
            self.counters.busy_turns += 1;
            if std::mem::take(&mut self.slept) {
                self.patience.learn(now - self.last_moved);
            }
            self.last_moved = now;
        }
    }

    /// What to do until the next turn, which something waits for at `next`.
    pub(super) fn pause(&self, idle: Idle, next: Wake, is_down: bool, now: Nanos) -> Pause {
        if idle != Idle::Adaptive {
            return Pause::Spin;
        }
        let longest = if is_down { NAP_WHILE_DOWN } else { NAP };
        let time = match next {
            // What may leave by an interface that is down cannot.
            Wake::Now if is_down => longest,
            Wake::Now => Nanos::ZERO,
            Wake::At(time) => (time - now - self.lateness.0).min(longest),
            Wake::Never => longest,
        };
        let patient = !is_down && now - self.last_moved <= self.patience.0;
        if patient || time < SHORTEST_SLEEP { Pause::Yield } else { Pause::Sleep(time) }
    }

    /// A sleep that was to last for `wanted` has ended after `took`.
    pub(super) fn slept(&mut self, wanted: Nanos, took: Nanos, by: Waker) {
        self.slept = true;
        self.counters.sleeps += 1;
        self.counters.slept = self.counters.slept + took;
        match by {
            Waker::Packet => self.counters.woken_by_packet += 1,
            Waker::Worker => self.counters.woken_by_worker += 1,
            Waker::Time => self.lateness.learn(took - wanted),
        }
    }
}

/// How long the worker spins after the last frame before it sleeps.
///
/// Waking up costs a packet 50 us and more, so a pause short enough had better be spun through; but a pause cannot be
/// told in advance. So the worker goes by the pauses that it slept through: it spins longer after one that was too short
/// to sleep, and less after one that was not, as KVM does when a guest halts (`halt_poll_ns`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience(Nanos);

impl Patience {
    const LEAST: Nanos = Nanos::from_micros(50);
    /// With frames further apart than this the worker's core is idle for the most part.
    const MOST: Nanos = Nanos::from_millis(1);

    /// A pause during which the worker slept has ended.
    fn learn(&mut self, pause: Nanos) {
        let Nanos(now) = self.0;
        self.0 = if pause < Self::MOST { Nanos(now * 2).min(Self::MOST) } else { Nanos(now / 2).max(Self::LEAST) };
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self(Nanos::from_micros(200))
    }
}

/// How late a sleep may end: the last stretch before a departure is spun through.
///
/// It is the latest of the recent ones: one that was later counts at once, and is forgotten by and by. So departures are
/// on time, bar a sleep that ends later than those before, and a machine that wakes on time spins little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lateness(Nanos);

impl Lateness {
    const LEAST: Nanos = Nanos::from_micros(20);
    /// Who sleeps longer than this was not woken late, but had no core.
    const MOST: Nanos = Nanos::from_millis(2);
    /// Of what is remembered, each sleep forgets one part in so many.
    const FORGETS: u64 = 64;

    fn learn(&mut self, late: Nanos) {
        let Nanos(remembered) = self.0;
        let remembered = Nanos(remembered - remembered / Self::FORGETS);
        self.0 = remembered.max(late).clamp(Self::LEAST, Self::MOST);
    }
}

impl Default for Lateness {
    fn default() -> Self {
        Self(Nanos::from_micros(200))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = Nanos::from_millis(1);

    fn at_rest() -> (Rest, Nanos) {
        (Rest::new(Nanos::ZERO), Nanos::from_millis(1_000))
    }

    #[test]
    fn who_is_busy_never_sleeps() {
        let (rest, now) = at_rest();
        for idle in [Idle::Busy, Idle::BusyPoll] {
            assert_eq!(rest.pause(idle, Wake::Never, false, now), Pause::Spin);
        }
        assert_eq!(rest.pause(Idle::Adaptive, Wake::Never, false, now), Pause::Sleep(NAP));
    }

    #[test]
    fn a_departure_ends_the_sleep_by_as_much_as_sleeps_end_late() {
        let (mut rest, now) = at_rest();
        let due = Wake::At(now + Nanos::from_millis(5));
        assert_eq!(rest.pause(Idle::Adaptive, due, false, now), Pause::Sleep(Nanos::from_micros(4_800)));
        rest.slept(MS, MS + Nanos::from_micros(700), Waker::Time);
        assert_eq!(rest.pause(Idle::Adaptive, due, false, now), Pause::Sleep(Nanos::from_micros(4_300)));
        // One that a packet ended says nothing of lateness.
        rest.slept(MS, Nanos::from_micros(3), Waker::Packet);
        assert_eq!(rest.lateness.0, Nanos::from_micros(700));
        (0..500).for_each(|_| rest.slept(MS, MS + Nanos::from_micros(1), Waker::Time));
        assert_eq!(rest.lateness.0, Lateness::LEAST);
        rest.slept(MS, Nanos::from_millis(500), Waker::Time);
        assert_eq!(rest.lateness.0, Lateness::MOST);
        assert_eq!(rest.pause(Idle::Adaptive, Wake::At(now + MS), false, now), Pause::Yield);
        assert_eq!(rest.pause(Idle::Adaptive, Wake::Now, false, now), Pause::Yield);
    }

    #[test]
    fn what_has_just_moved_is_waited_for() {
        let (mut rest, now) = at_rest();
        rest.turned(true, now);
        let soon = now + Nanos::from_micros(200);
        assert_eq!(rest.pause(Idle::Adaptive, Wake::Never, false, soon), Pause::Yield);
        assert_eq!(rest.pause(Idle::Adaptive, Wake::Never, false, soon + Nanos(1)), Pause::Sleep(NAP));
        assert_eq!((rest.counters.turns, rest.counters.busy_turns), (1, 1));
    }

    #[test]
    fn pauses_that_were_not_worth_a_sleep_are_spun_through() {
        let mut patience = Patience::default();
        let pause = Nanos::from_micros(500);
        let slept = (0..10).filter(|_| {
            let sleeps = pause > patience.0;
            if sleeps {
                patience.learn(pause);
            }
            sleeps
        });
        assert_eq!(slept.count(), 2);
        patience.learn(Nanos::from_micros(999));
        assert_eq!(patience.0, Patience::MOST);
    }

    #[test]
    fn an_idle_worker_hardly_spins() {
        let mut patience = Patience::default();
        (0..10).for_each(|_| patience.learn(Nanos::from_millis(20)));
        assert_eq!(patience.0, Patience::LEAST);
    }

    #[test]
    fn an_interface_that_is_down_is_slept_for() {
        let (mut rest, now) = at_rest();
        rest.turned(true, now);
        for next in [Wake::Now, Wake::Never, Wake::At(now + NAP)] {
            assert_eq!(rest.pause(Idle::Adaptive, next, true, now), Pause::Sleep(NAP_WHILE_DOWN));
        }
    }
}

//! How long it takes until who sleeps is awake.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use portlane_rings::{Io, wait};

use crate::namespace::Bench;
use crate::{Wire, quiet_wire, talkers};

/// Wake-ups of each kind; their median is not moved by a few that a busy machine delays.
const ROUNDS: usize = 201;

/// How long there is nothing to do before each.
const PAUSE: Duration = Duration::from_millis(2);

/// A packet wakes who waits for it as fast as anything can: it takes twice as long as a bare eventfd at most, which is 100 us
/// at most where that takes 50. Of three times the best counts, for the machine may have other things to do.
pub(crate) fn by_packet() {
    let bench = Bench::new();
    let mut wire = quiet_wire(&bench, Io::Auto);
    let [near, _] = talkers(&bench);
    let is_fast = |_| {
        let [packet, event] = medians(&mut wire, &near);
        println!("median wake-up by a packet {packet:?}, by an eventfd {event:?}");
        packet <= 2 * event
    };
    assert!((0..3).any(is_fast), "a packet takes more than twice as long as an eventfd");
}

/// How long it takes to be woken by a packet, and by an event.
fn medians(wire: &mut Wire, near: &UdpSocket) -> [Duration; 2] {
    let bare = EventFd::new().unwrap();
    let (mut packets, mut events) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        events.push(woken_after(|| bare.write(1).map(drop).unwrap(), || wait_for_event(&bare)));
        bare.read().unwrap();
        packets.push(woken_after(
            || send(near),
            || assert!(wait(wire.ends.each_mut(), None, Duration::from_secs(10)).unwrap()),
        ));
        wire.turn().unwrap();
    }
    [packets, events].map(median)
}

fn send(host: &UdpSocket) {
    host.send(b"wake up").unwrap();
}

fn wait_for_event(event: &EventFd) {
    let mut polled = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut polled, PollTimeout::NONE).unwrap(), 1);
}

/// From before `cause`, on another thread, until `sleep` has ended.
fn woken_after(cause: impl FnOnce() + Send, sleep: impl FnOnce()) -> Duration {
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        scope.spawn(move || {
            thread::sleep(PAUSE);
            tell.send(Instant::now()).unwrap();
            cause();
        });
        sleep();
        let awake = Instant::now();
        awake - told.recv().unwrap()
    })
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

//! Answers to what containers ask on their link: who has an address?
//!
//! A container behind `[nic]` has the host's own addresses, so its neighbours are the host's. They are taken from the host's
//! neighbour table, which is asked over netlink; an address that is not in it is looked for by the host's kernel, as if the
//! host itself had something to send there.

mod advertise;
mod room;
mod table;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use caps::Capability;
use nix::unistd::gettid;
use portlane_rings::{Solicitation, Solicitations};

use crate::failure;
use crate::live;
use crate::privileges;
use room::{Room, Waiting};
use table::NeighbourTable;

/// How soon the end is noticed.
const NAP: Duration = Duration::from_millis(100);

/// What a container asks is answered in rounds, so that one that asks all the time takes little of a core.
const ROUND: Duration = Duration::from_millis(1);

/// Rounds for which an answer is waited. After a second a container asks again.
const PATIENCE: u32 = 500;

/// A thread that answers until it is dropped.
#[derive(Debug)]
pub struct Neighbours {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Neighbours {
    /// Answers what is asked with the neighbours of the interface with this index, in the calling thread's network namespace, on
    /// other cores than those of workers.
    ///
    /// # Errors
    ///
    /// Netlink cannot be had, or no thread.
    pub fn answer(asked: Solicitations, interface: u32, workers: Vec<Option<usize>>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut desk = Desk { asked, table: NeighbourTable::of(interface)?, waiting: Room::default() };
        let stopped = Arc::clone(&stop);
        let serve = move || {
            live::keep_off(&workers, gettid());
            // The kernel looks for neighbours for who may change its table, and for nobody else.
            if let Err(failure) = privileges::keep(&[Capability::CAP_NET_ADMIN]) {
                failure::tell(failure.message());
                return;
            }
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = desk.round() {
                    failure::tell(format!("portlane: what containers ask for is no longer answered: {error}"));
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("portlane-neighbours".to_owned()).spawn(serve)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// Where questions come in, and answers go out.
struct Desk {
    asked: Solicitations,
    table: NeighbourTable,
    waiting: Room,
}

impl Desk {
    fn round(&mut self) -> io::Result<()> {
        self.asked.wait(if self.waiting.is_empty() { NAP } else { ROUND })?;
        while let Some(asked) = self.asked.next_asked() {
            if wants_an_answer(&asked) {
                self.waiting.admit(asked);
            }
        }
        let Self { asked, table, waiting } = self;
        waiting.settle(|waiting| settle(waiting, asked, table));
        if !self.waiting.is_empty() {
            thread::sleep(ROUND);
        }
        Ok(())
    }
}

/// Not of one who looks whether somebody else has the address that it would like, or says which one it has: the host has the
/// same.
fn wants_an_answer(asked: &Solicitation) -> bool {
    !asked.sender.is_unspecified() && asked.sender != asked.target
}

/// Whether there is nothing left to be done: it has been answered, or never will be.
fn settle(waiting: &mut Waiting, to: &Solicitations, table: &mut NeighbourTable) -> bool {
    let Waiting { asked, rounds } = waiting;
    *rounds += 1;
    // Where the table cannot be asked just now, the container asks again.
    let found = table.find(asked.target).unwrap_or_default();
    if *rounds == 1 && found.is_none_or(|neighbour| neighbour.is_stale) {
        // The kernel makes sure of it, or does not; either is seen in the table.
        let _ = table.look_for(asked.target);
    }
    if let Some(neighbour) = found {
        // Where the interface takes no frame just now, the container asks again.
        let _ = advertise::frame(asked, &neighbour).map(|frame| to.answer(asked, &frame));
        return true;
    }
    *rounds >= PATIENCE
}

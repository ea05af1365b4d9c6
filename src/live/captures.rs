//! Captures begin at all workers.

use super::Live;
use super::worker::Worker;
use crate::capture::{Place, Tap};
use crate::control::questions::{Begin, Begun};

/// Has every worker see its frames from now on. Where there are not as many pipes as workers, nobody is answered.
pub(super) fn begin(live: &mut Live, Begin { wanted, pipes, answer }: Begin) {
    let now = live.clock.now();
    let interfaces: Vec<_> = live.interfaces.iter().map(|interface| interface.name.clone()).collect();
    if live.all().count() != pipes.len() {
        return;
    }
    for (worker, pipe) in live.all_mut().zip(pipes) {
        let place = place(worker, &interfaces);
        worker.line.tap(Tap::new(wanted, place, pipe, now));
    }
    // Who asked may have gone: then nobody reads, and it is over soon.
    let _ = answer.send(Begun { interfaces, now });
}

fn place(worker: &Worker, names: &[String]) -> Place {
    let line = &worker.line;
    let position = |name: &String| names.iter().position(|known| known == name).unwrap_or_default();
    Place {
        interfaces: line.ports.iter().map(|port| position(&port.device.interface().name)).collect(),
        leaves_by: line.leaves_by,
        within: line.within(),
        frames: line.pool.total_of_all() as usize,
    }
}

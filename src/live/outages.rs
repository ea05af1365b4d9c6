//! Interfaces that go down and come up, as all workers together see them.

use std::sync::atomic::{AtomicU32, Ordering};

use portlane_rings::Interface;

use crate::config::InterfaceDown;
use crate::failure::{self, Failure};

/// How many queues of each interface are known to be down.
#[derive(Debug)]
pub(super) struct Outages(Vec<(u32, AtomicU32)>);

impl Outages {
    pub(super) fn new(interfaces: &[Interface]) -> Self {
        Self(interfaces.iter().map(|interface| (interface.index, AtomicU32::new(0))).collect())
    }

    /// A queue of an interface has gone down, or come up again. An interface is spoken of with the first of its queues that
    /// goes, and with the last that comes back.
    ///
    /// # Errors
    ///
    /// It is down, and that is to end the run.
    pub(super) fn notice(&self, interface: &Interface, is_down: bool, then: InterfaceDown) -> Result<(), Failure> {
        let Some((_, down)) = self.0.iter().find(|&&(index, _)| index == interface.index) else { return Ok(()) };
        let others = if is_down {
            down.fetch_add(1, Ordering::Relaxed)
        } else {
            down.fetch_sub(1, Ordering::Relaxed).saturating_sub(1)
        };
        let name = &interface.name;
        match (others, is_down, then) {
            (1.., ..) => {}
            (0, false, _) => failure::tell(format!("interface {name} is up again")),
            (0, true, InterfaceDown::Wait) => {
                failure::tell(format!("interface {name} is down: waiting until it is up"));
            }
            (0, true, InterfaceDown::End) => {
                return Err(Failure::failed(format!("interface {name} is down: start again when it is up")));
            }
        }
        Ok(())
    }
}

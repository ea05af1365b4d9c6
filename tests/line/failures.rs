//! Devices that fail in the middle of a turn: whatever was done until then, every frame is somewhere.

use std::collections::BTreeSet;
use std::io;

use portlane::build;
use portlane::config;
use portlane::line::{Line, Port};
use portlane_classify::{Arriving, Direction};
use portlane_rings::{Device, Frame, Held, Layout, Memory, Pool};
use portlane_shaper::Nanos;

use crate::rig::{Kind, Rig, packet};

/// What a device does in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Reclaim,
    Receive,
    Flush,
}

/// A device of memory that fails after having done what it was asked to.
#[derive(Debug)]
struct Failing {
    memory: Memory,
    fails_in: BTreeSet<Step>,
}

impl Failing {
    fn outcome(&self, step: Step) -> io::Result<()> {
        if self.fails_in.contains(&step) { Err(io::Error::other(format!("{step:?}"))) } else { Ok(()) }
    }
}

impl Device for Failing {
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        self.memory.receive(pool, batch, max)?;
        self.outcome(Step::Receive)
    }

    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.memory.send(frame)
    }

    fn room(&mut self) -> usize {
        self.memory.room()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.memory.flush()?;
        self.outcome(Step::Flush)
    }

    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.memory.reclaim(pool)?;
        self.outcome(Step::Reclaim)
    }

    fn held(&self) -> Held {
        self.memory.held()
    }
}

fn line() -> Line<Failing> {
    let plan = config::parse(&Rig::containers(2, |_| String::new()), "test").unwrap();
    let pool = Pool::new(Layout { frames: 256, frame_size: 2_048 }).unwrap();
    let device = || Failing { memory: Memory::new(8), fails_in: BTreeSet::new() };
    let ports = [Arriving::Ingress, Arriving::Egress].map(|arriving| Port { device: device(), arriving });
    build::line(&plan, pool, ports.into(), [1, 0], [1, 2], Nanos::ZERO)
}

/// More than the rings hold, of every kind, in both directions.
fn arrivals(line: &mut Line<Failing>) {
    for direction in Direction::ALL {
        for kind in [Kind::Container(0), Kind::Container(1), Kind::Foreign, Kind::Malformed].repeat(4) {
            let mut frame = line.pool.take().unwrap();
            line.pool.write(&mut frame, &packet(direction, kind, 100, 0)).unwrap();
            line.ports[direction.index()].device.memory.arrive(frame);
        }
    }
}

#[test]
fn a_failure_loses_no_frame() {
    for step in [Step::Reclaim, Step::Receive, Step::Flush] {
        for port in 0..2 {
            let mut line = line();
            arrivals(&mut line);
            line.turn(Nanos::ZERO).unwrap();
            line.ports.iter_mut().for_each(|port| port.device.memory.complete());
            arrivals(&mut line);
            line.ports[port].device.fails_in.insert(step);
            for _ in 0..3 {
                let error = line.turn(Nanos::ZERO).unwrap_err();
                assert_eq!(error.to_string(), format!("{step:?}"));
                assert!(line.balances(), "{step:?} of port {port}");
            }

            // And when it works again, all goes on from there.
            line.ports[port].device.fails_in.clear();
            for _ in 0..10 {
                line.turn(Nanos::ZERO).unwrap();
                line.ports.iter_mut().for_each(|port| port.device.memory.complete());
            }
            line.turn(Nanos::ZERO).unwrap();
            assert_eq!((line.queued(), line.pool.free()), (0, line.pool.total()), "{step:?} of port {port}");
            assert_eq!(line.counters.received, 64, "what came with a failure was received too");
        }
    }
}

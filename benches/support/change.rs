//! Changes while packets flow.

use portlane::build;
use portlane::config::{self, Plan};
use portlane::line::Port;
use portlane_classify::Arriving;
use portlane_rings::{Layout, Memory, Pool};
use portlane_shaper::Nanos;

use super::{Element, Rounds};

const CONTAINERS: u16 = 1_000;

/// What a worker does between two turns when one of a thousand limited containers gets another rate, for each that there is.
pub(super) fn one_of_many() -> Box<dyn Element> {
    let mut plans = ["20mbit", "30mbit"].map(plan);
    let [first, second] = &mut plans;
    second.share(first);
    let pool = Pool::new(Layout { frames: 1_024, frame_size: 2_048 }).expect("memory for a thousand frames");
    let ports = [Arriving::Ingress, Arriving::Egress].map(|arriving| Port { device: Memory::new(64), arriving });
    let mut line = build::line(&plans[0], pool, ports.into(), [1, 0], [1, 2], Nanos::ZERO);
    let mut followed = 0;
    Box::new(Rounds(CONTAINERS.into(), move || {
        let next = 1 - followed;
        let change = line.change(&plans[followed], &plans[next], Nanos::ZERO);
        assert_eq!(change.map(|change| change.changed), Ok(1));
        followed = next;
    }))
}

/// The one in the middle has the rate that is given.
fn plan(rate: &str) -> Plan {
    let container = |number: u16| {
        let rate = if number == CONTAINERS / 2 { rate } else { "10mbit" };
        let port = 10_000 + number;
        format!("[[container]]\nid = \"c{number}\"\nports = [\"{port}\"]\negress = {{ rate = \"{rate}\" }}\n")
    };
    let text: String = (0..CONTAINERS).map(container).collect();
    config::parse(&text, "change").unwrap_or_else(|error| panic!("{error}"))
}

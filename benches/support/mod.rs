//! The elements of the packet line, each at work on its own: what `elements` times and `instructions` counts.

mod capture;
mod change;
mod classify;
mod codel;
mod flows;
mod heads;
mod histogram;
mod line;
mod meters;
mod packets;
mod ring;
mod shaper;

/// An element at work, in rounds that are all alike.
pub(crate) trait Element {
    /// Packets, or what its name says, that a round handles.
    fn packets(&self) -> u64;

    /// Handles a round of packets.
    fn round(&mut self);
}

/// Work, and its packets a round.
struct Rounds<F>(u64, F);

impl<F: FnMut()> Element for Rounds<F> {
    fn packets(&self) -> u64 {
        self.0
    }

    fn round(&mut self) {
        self.1();
    }
}

/// A round of as many packets as `over` has items, handled one after the other by `each`.
fn one_by_one<T: 'static>(over: Vec<T>, mut each: impl FnMut(&T) + 'static) -> Box<dyn Element> {
    Box::new(Rounds(over.len() as u64, move || over.iter().for_each(&mut each)))
}

/// Makes an element ready for its first round.
type Make = fn() -> Box<dyn Element>;

/// All elements by name.
pub(crate) const ELEMENTS: [(&str, Make); 32] = [
    ("parse/ipv4", classify::parse_ipv4),
    ("parse/vlan", classify::parse_vlan),
    ("parse/ipv6", classify::parse_ipv6),
    ("lookup", classify::look_up),
    ("flow_hash", classify::flow_hash),
    ("find/ipv4", classify::find_ipv4),
    ("find/vlan", classify::find_vlan),
    ("find/ipv6", classify::find_ipv6),
    ("queue/fifo", shaper::fifo),
    ("queue/codel", shaper::codel),
    ("queue/fq_codel", shaper::fq_codel),
    ("shaper/idle", shaper::idle),
    ("shaper/limited", shaper::limited),
    ("shaper/overloaded", shaper::overloaded),
    ("codel/short_queue", codel::short_queue),
    ("codel/dropping", codel::dropping),
    ("histogram/record", histogram::record),
    ("ring/push_and_pop", ring::push_and_pop),
    ("capture/read/64_bytes", capture::read_small),
    ("capture/read/mixed", capture::read_mixed),
    ("capture/write/64_bytes", capture::write_small),
    ("turn/idle", line::idle),
    ("turn/default", line::default),
    ("turn/overload", line::overload),
    ("turn/device", line::device),
    ("turn/metered", meters::turn),
    ("turn/observed", heads::turn),
    ("flows/udp", flows::udp),
    ("flows/tcp", flows::tcp),
    ("meters/find", meters::find_ipv4),
    ("reading/container", line::reading),
    ("change/container", change::one_of_many),
];

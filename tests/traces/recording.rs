//! What a kernel did: see `tests/data/kernel/README.md`, which explains the files.

use crate::virtual_time::{CE, Packet, Tag};

/// When a recording begins: any time that is not too early for a capture.
const START_NS: u64 = 1_700_000_000_000_000_000;

/// Arrivals and departures, each in order of time.
pub(crate) struct Recording {
    pub(crate) arrivals: Vec<Packet>,
    pub(crate) departures: Vec<Packet>,
    /// Number of flows.
    pub(crate) flows: u8,
}

impl Recording {
    pub(crate) fn parse(text: &str) -> Self {
        let (flows, packets): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("flow "));
        let flows: Vec<_> = flows.into_iter().map(flow).collect();
        let mut numbers = vec![0..; flows.len()];
        let (mut arrivals, mut departures) = (Vec::new(), Vec::new());
        let mut now = START_NS;
        for line in packets {
            let fields: Vec<_> = line.split(' ').collect();
            let [flow, gap, wait] = fields[..] else { panic!("{line}") };
            let flow: u8 = flow.parse().unwrap();
            now += gap.parse::<u64>().unwrap();
            let number = numbers[usize::from(flow)].next().unwrap();
            let arrival = Packet { time_ns: now, tag: Tag { flow, number }, ..flows[usize::from(flow)] };
            arrivals.push(arrival);
            departures.extend(departure(arrival, wait));
        }
        departures.sort_by_key(|departure| departure.time_ns);
        Self { arrivals, departures, flows: u8::try_from(flows.len()).unwrap() }
    }
}

/// What the packets of a flow have in common: `flow 0 port 31000 bytes 1000 ecn 2`.
fn flow(line: &str) -> Packet {
    let words: Vec<_> = line.split(' ').collect();
    let number = |word: usize| words[word].parse::<u32>().unwrap();
    let flow = u8::try_from(number(1)).unwrap();
    let port = u16::try_from(number(3)).unwrap();
    let ecn = u8::try_from(number(7)).unwrap();
    Packet { time_ns: 0, len: number(5), port, ecn, tag: Tag { flow, number: 0 } }
}

/// The packet as it left after `wait`: nanoseconds, with a star if it was marked; none if it did not.
fn departure(arrival: Packet, wait: &str) -> Option<Packet> {
    let (wait, ecn) = wait.strip_suffix('*').map_or((wait, arrival.ecn), |wait| (wait, CE));
    let wait: u64 = if wait == "-" { return None } else { wait.parse().unwrap() };
    Some(Packet { time_ns: arrival.time_ns + wait, ecn, ..arrival })
}

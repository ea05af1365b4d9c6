//! What flows did lately, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use portlane_flows::{Batch, Endpoint, FlowId, Grain, Side};

use super::figures::{By, Figures, Line, Of, Told};

/// How many seconds are put together.
const STEP: u64 = 10;

/// How many of these there are: five minutes.
const STEPS: u64 = 30;

/// How far back can be asked for, in seconds.
pub const LONGEST: u64 = STEP * STEPS;

/// How many containers, ports and pairs are told apart in each step, those with the most bytes. A step takes half a megabyte of each at most
/// while it is not over.
const MOST: usize = 1_024;

/// Figures by anything, of those with the most bytes.
#[derive(Debug)]
struct Largest<K> {
    figures: HashMap<K, Figures>,
    /// Packets of others.
    others: u64,
}

impl<K> Default for Largest<K> {
    fn default() -> Self {
        Self { figures: HashMap::new(), others: 0 }
    }
}

impl<K: Copy + Eq + Hash> Largest<K> {
    fn add(&mut self, key: K, figures: &Figures) {
        *self.figures.entry(key).or_default() += figures;
        if self.figures.len() >= 2 * MOST {
            self.leave_out();
        }
    }

    /// Leaves out those with the fewest bytes.
    fn leave_out(&mut self) {
        if self.figures.len() <= MOST {
            return;
        }
        let mut bytes: Vec<_> = self.figures.values().map(Figures::bytes).collect();
        let position = bytes.len() - MOST;
        let (_, &mut least, _) = bytes.select_nth_unstable(position);
        // Of those that have as many as the last one, some stay.
        let mut room = MOST - bytes.iter().filter(|&&bytes| bytes > least).count();
        let others = &mut self.others;
        self.figures.retain(|_, figures| {
            let ties = figures.bytes() == least && room > 0;
            room -= usize::from(ties);
            let stays = ties || figures.bytes() > least;
            *others += if stays { 0 } else { figures.packets() };
            stays
        });
    }
}

/// What was told of some seconds.
#[derive(Debug, Default)]
struct Step {
    start: u64,
    containers: Largest<u32>,
    /// By owner, port and protocol.
    ports: Largest<(u32, u16, u8)>,
    pairs: Largest<FlowId>,
}

/// What was told of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Step>);

impl Recent {
    /// Takes the rows of a second.
    pub(super) fn take(&mut self, batch: &Batch) {
        if batch.grain != Grain::Second {
            return;
        }
        let step = self.step(batch.start);
        let owned = |end: &Endpoint| end.owner;
        for row in &batch.flow {
            if let Some(owner) = owned(&row.end) {
                step.containers.add(owner, &Figures::from(&row.meter));
            }
        }
        for row in batch.flow_port.iter().filter(|row| row.side == Side::Server) {
            if let Some(owner) = owned(&row.end) {
                step.ports.add((owner, row.end.port, row.protocol), &Figures::from(&row.meter));
            }
        }
        batch.flow_edge_port.iter().for_each(|row| step.pairs.add(row.flow, &Figures::from(&row.meter)));
    }

    /// The step that a second is in: the last one, for seconds come in the order of time.
    fn step(&mut self, second: u64) -> &mut Step {
        let start = second - second % STEP;
        if self.0.back().is_none_or(|last| last.start < start) {
            if let Some(last) = self.0.back_mut() {
                last.containers.leave_out();
                last.ports.leave_out();
                last.pairs.leave_out();
            }
            while self.0.front().is_some_and(|first| first.start + LONGEST <= start) {
                self.0.pop_front();
            }
            self.0.push_back(Step { start, ..Step::default() });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// What was told since `from`, in seconds since 1970, and before `until`. `name` says what owners are called.
    pub(super) fn told(&self, by: By, (from, until): (u64, u64), top: usize, name: impl Fn(u32) -> String) -> Told {
        let from = from - from % STEP;
        let steps = || self.0.iter().filter(|step| step.start >= from);
        let name_of = |end: &Endpoint| Some(end.owner.map(&name).unwrap_or_default());
        let (others, lines) = match by {
            By::Container => {
                sums(steps().map(|step| &step.containers), |&owner| Of { pod_id: Some(name(owner)), ..Of::default() })
            }
            By::Port => sums(steps().map(|step| &step.ports), |&(owner, port, protocol)| Of {
                pod_id: Some(name(owner)),
                protocol: Some(protocol),
                server_port: Some(port),
                ..Of::default()
            }),
            By::Pair => sums(steps().map(|step| &step.pairs), |flow| Of {
                pod_id: None,
                ip_0: Some(flow.client.address),
                pod_id_0: name_of(&flow.client),
                ip_1: Some(flow.server.address),
                pod_id_1: name_of(&flow.server),
                protocol: Some(flow.protocol),
                server_port: Some(flow.server.port),
            }),
        };
        Told::new(by, (from, until), others, lines, top)
    }
}

/// Those of several steps put together, and how many packets are others'.
fn sums<'a, K: Copy + Eq + Hash + 'a>(
    steps: impl Iterator<Item = &'a Largest<K>>,
    of: impl Fn(&K) -> Of,
) -> (u64, Vec<Line>) {
    let (mut sums, mut others) = (HashMap::<K, Figures>::new(), 0);
    for step in steps {
        others += step.others;
        step.figures.iter().for_each(|(&key, figures)| *sums.entry(key).or_default() += figures);
    }
    (others, sums.iter().map(|(key, &figures)| Line { of: of(key), figures }).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use portlane_flows::{EdgeRow, Meter, Observation, Pair, SingleRow};

    use super::*;

    /// A second in which clients of these numbers exchange as many packets, of 100 bytes, with container 0.
    fn second(start: u64, clients: impl Iterator<Item = (u32, u64)>) -> Batch {
        let server = Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 80, owner: Some(0) };
        let mut sum = 0;
        let edge = |(number, packets): (u32, u64)| {
            sum += packets;
            let client = Endpoint { address: IpAddr::V4(number.into()), port: 0, owner: None };
            let meter = Meter {
                packet: Pair { tx: packets, rx: 0 },
                byte: Pair { tx: 100 * packets, rx: 0 },
                ..Meter::default()
            };
            let flow = FlowId { client, server, protocol: 6 };
            EdgeRow { flow, observation: Observation::Server, flow_load: 1, meter }
        };
        let flow_edge_port: Vec<_> = clients.map(edge).collect();
        let meter = Meter { packet: Pair { tx: 0, rx: sum }, byte: Pair { tx: 0, rx: 100 * sum }, ..Meter::default() };
        let single =
            |port| SingleRow { side: Side::Server, end: Endpoint { port, ..server }, protocol: 6, flow_load: 1, meter };
        Batch {
            grain: Grain::Second,
            start,
            flow: vec![single(0)],
            flow_port: vec![single(80)],
            flow_edge: Vec::new(),
            flow_edge_port,
            wan: Vec::new(),
            acl: Vec::new(),
            packet: Vec::new(),
            packet_edge: Vec::new(),
        }
    }

    fn told(recent: &Recent, by: By, from: u64, top: usize) -> Told {
        recent.told(by, (from, 10_000), top, |owner| format!("c{owner}"))
    }

    #[test]
    fn the_largest_stay_and_nothing_is_lost() {
        let mut recent = Recent::default();
        // The more bytes the higher the number; all come twice, in two steps.
        let clients = || (1..=10 * MOST as u64).map(|number| (u32::try_from(number).unwrap_or_default(), number));
        recent.take(&second(1_000, clients()));
        recent.take(&second(1_010, clients()));
        let all: u64 = 2 * clients().map(|(_, packets)| packets).sum::<u64>();
        let pairs = told(&recent, By::Pair, 0, 10);
        assert_eq!(pairs.rows.len(), 10);
        let told_of: u64 = pairs.rows.iter().map(|line| line.figures.packets()).sum();
        assert_eq!(pairs.other_packets + told_of, all);
        let most = 10 * MOST as u64;
        let expected: Vec<_> = (0..10).map(|place| 2 * (most - place)).collect();
        assert_eq!(pairs.rows.iter().map(|line| line.figures.packet_tx).collect::<Vec<_>>(), expected);
        assert_eq!(pairs.rows[0].of.pod_id_1.as_deref(), Some("c0"));
        for by in [By::Container, By::Port] {
            let one = told(&recent, by, 0, 10);
            assert_eq!((one.rows.len(), one.rows[0].figures.packet_rx, one.other_packets), (1, all, 0));
            assert_eq!(one.rows[0].of.pod_id.as_deref(), Some("c0"));
        }
        assert_eq!(told(&recent, By::Pair, 0, 1).other_packets, all - 2 * most);
    }

    #[test]
    fn what_is_too_long_ago_is_forgotten() {
        let mut recent = Recent::default();
        for start in (1_000..2_000).step_by(5) {
            recent.take(&second(start, [(1, 1)].into_iter()));
        }
        assert_eq!(recent.0.len() as u64, STEPS);
        assert_eq!(told(&recent, By::Container, 0, 1).rows[0].figures.packet_rx, LONGEST / 5);
        assert_eq!(told(&recent, By::Container, 1_985, 1).rows[0].figures.packet_rx, 4, "whole steps");
        assert_eq!(told(&recent, By::Container, 5_000, 1).rows, []);
    }

    #[test]
    fn as_many_as_fit_stay_where_all_are_alike() {
        let mut largest = Largest::default();
        let one = Figures { packet_tx: 1, byte_tx: 100, ..Figures::default() };
        (0..3 * MOST).for_each(|key| largest.add(key, &one));
        largest.leave_out();
        assert_eq!((largest.figures.len(), largest.others), (MOST, 2 * MOST as u64));
    }
}

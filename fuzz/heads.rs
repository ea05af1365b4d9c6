//! Any frames as workers show them, at any time: from their heads to rows each is told of once.

use std::sync::LazyLock;

use bolero::check;
use etherparse::PacketBuilder;
use etherparse::err::packet::BuildWriteError;
use portlane::config::{self, Plan};
use portlane::flows::heads::{Sender, way};
use portlane::flows::observation::{Observation, Seen};
use portlane_classify::Arriving;
use portlane_flows::{Batch, Grain};
use portlane_rings::{Layout, Pool};
use portlane_shaper::Nanos;

use crate::{BUDGET, damage};

/// Two containers on 10.0.0.1 and 10.0.0.2; the second of these configurations says that they are the host's.
const CONFIGS: [&str; 2] = [
    "[[container]]\nid = \"web\"\nports = [\"80\"]\n[[container]]\nid = \"client\"\nports = [\"40000-40007\"]\n\
     [[network]]\nprefix = \"10.0.0.0/31\"\nepc = 1\n[[acl]]\ngroup = 1\nserver_ports = [\"80\"]\n",
    "[[container]]\nid = \"client\"\nports = [\"40000-40007\"]\n[[container]]\nid = \"dns\"\nports = [\"53\"]\n\
     [host]\naddresses = [\"10.0.0.1\", \"10.0.0.2\"]\n",
];

/// Ethernet, raw IP, Linux cooked of both versions, and what nobody has (LINKTYPE_ numbers).
const LINK_TYPES: [u16; 5] = [1, 101, 113, 276, 0x7fff];

/// Frames with all that is read of them: a connection with a question and its answer, and the kinds of others.
static WHOLE: LazyLock<[Vec<u8>; 12]> = LazyLock::new(|| {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let to_server = || PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(client, server, 64);
    let to_client = || PacketBuilder::ethernet2([4; 6], [2; 6]).ipv4(server, client, 64);
    let asks = |seq| to_server().tcp(40_000, 80, seq, 512);
    let answers = |seq| to_client().tcp(80, 40_000, seq, 512);
    // Numbers come round in it.
    let (begun, accepted) = (u32::MAX - 1, u32::MAX - 9);
    let dns = |flags: u8| [0, 7, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let dns_over_tcp = [&[0, 12], &dns(0x80)[..], &[0, 12], &dns(0)].concat();
    let ipv6 = || {
        let [one, other] = [1, 2].map(|number| etherparse::VlanId::try_new(number).expect("it is one"));
        PacketBuilder::ethernet2([2; 6], [0x33, 0x33, 0, 0, 0, 1]).double_vlan(one, other).ipv6([1; 16], [2; 16], 64)
    };
    let quoted = whole(|bytes| asks(0).write(bytes, &[]));
    let mut fragment = whole(|bytes| to_server().udp(9, 9).write(bytes, &[7; 64]));
    fragment[21] = 9;
    [
        whole(|bytes| asks(begun).syn().write(bytes, &[])),
        whole(|bytes| answers(accepted).syn().ack(0).write(bytes, &[])),
        whole(|bytes| asks(0).ack(accepted + 1).write(bytes, &[])),
        whole(|bytes| asks(0).psh().ack(accepted + 1).write(bytes, b"GET /here HTTP/1.1\r\nHost: b\r\n\r\n")),
        whole(|bytes| answers(accepted + 1).psh().ack(33).write(bytes, b"HTTP/1.1 404 Not Found\r\n\r\n")),
        whole(|bytes| asks(33).fin().ack(20).write(bytes, &[])),
        whole(|bytes| answers(20).rst().ack(34).write(bytes, &[])),
        whole(|bytes| to_server().udp(40_001, 53).write(bytes, &dns(1))),
        whole(|bytes| to_client().tcp(53, 40_002, 1, 512).psh().ack(1).write(bytes, &dns_over_tcp)),
        whole(|bytes| to_client().icmpv4_raw(3, 3, [0; 4]).write(bytes, &quoted[14..])),
        whole(|bytes| ipv6().icmpv6_echo_reply(1, 2).write(bytes, &[7; 300])),
        fragment,
    ]
});

fn whole(write: impl FnOnce(&mut Vec<u8>) -> Result<(), BuildWriteError>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("there is memory");
    bytes
}

/// What one step of an input is made of, besides the bytes of its own that it may have.
const STEP: usize = 4;

/// The most bytes of a frame.
const FRAME: u32 = 2_048;

#[test]
fn any_frames() {
    check!(name = "heads").with_test_time(BUDGET).for_each(|input: &[u8]| {
        let plans = CONFIGS.map(|text| config::parse(text, "heads").expect("it is a configuration"));
        let Some((&[slots, flows], steps)) = input.split_first_chunk() else { return };
        let (senders, receivers) = (0..1 + slots % 2).map(|_| way(8 << (slots >> 1 & 7))).unzip();
        let capacity = 1 + usize::from(flows) % 20;
        let observation = Observation::new(receivers, &plans[0], capacity, [1, 2], 0);
        let pool = Pool::new(Layout { frames: 1, frame_size: FRAME }).expect("there is memory");
        Case { senders, observation, pool, told: Told::default(), shown: 0, now: 0 }.play(steps, &plans);
    });
}

struct Case {
    senders: Vec<Sender>,
    observation: Observation,
    pool: Pool,
    told: Told,
    shown: u64,
    now: u64,
}

/// Packets in rows of edges, of seconds and of minutes, and when the rows were of that came last.
#[derive(Default)]
struct Told {
    packets: [u64; 2],
    last: [Option<u64>; 2],
}

impl Told {
    fn add(&mut self, batch: &Batch) {
        let grain = usize::from(batch.grain == Grain::Minute);
        assert!(
            self.last[grain].replace(batch.start).is_none_or(|last| last < batch.start),
            "in the order of time, each once"
        );
        let packets = batch.flow_edge_port.iter().map(|row| row.meter.packet.sum()).sum::<u64>();
        assert_eq!(batch.flow_edge.iter().map(|row| row.meter.packet.sum()).sum::<u64>(), packets);
        self.packets[grain] += packets;
    }
}

impl Case {
    fn play(mut self, mut steps: &[u8], plans: &[Plan; 2]) {
        while let Some((step, rest)) = steps.split_first_chunk::<STEP>() {
            steps = self.step(*step, rest, plans);
        }
        let Self { observation, mut told, shown, now, .. } = self;
        let seen = observation.leave(now, &mut |batch| told.add(&batch));
        let Seen { counters, lost, left_out, repeated, others, .. } = seen;
        let of_flows = counters.counted.packets + counters.refused.packets + counters.late.packets;
        assert_eq!(of_flows + lost.packets + repeated + others, shown);
        for packets in told.packets {
            assert!(packets <= counters.counted.packets && packets + left_out.packets >= counters.counted.packets);
        }
    }

    /// One more frame, and sometimes a look at what there is, or another plan. Returns what comes after it.
    fn step<'a>(&mut self, [how, time, what, len]: [u8; STEP], rest: &'a [u8], plans: &[Plan; 2]) -> &'a [u8] {
        self.now = match how % 16 {
            0 => self.now.saturating_sub(u64::from(time) * 10_000_000),
            1 => self.now.saturating_add(u64::from(time) * 10_000_000_000),
            2 if time == 255 => u64::MAX,
            _ => self.now.saturating_add(u64::from(time) * 1_000_000),
        };
        let (own, rest) = rest.split_at(rest.len().min(usize::from(len)));
        let frame = match WHOLE.get(usize::from(what % 16)) {
            Some(whole) => damage::damaged(whole, own),
            // Bytes repeat: so that some are long.
            None => own.iter().cycle().take(own.len() * usize::from(what / 16)).copied().collect(),
        };
        self.show(how, what, &frame);
        let Self { observation, told, now, .. } = self;
        match what >> 4 {
            0..4 => drop(observation.look(*now, &mut |batch| told.add(&batch))),
            4 => observation.follow(&plans[usize::from(time % 2)], *now),
            _ => {}
        }
        assert!(observation.seen().live <= 20);
        rest
    }

    fn show(&mut self, how: u8, what: u8, bytes: &[u8]) {
        let mut frame = self.pool.take().expect("none is in use");
        let bytes = &bytes[..bytes.len().min(self.pool.capacity() as usize)];
        self.pool.write(&mut frame, bytes).expect("there is room");
        frame.set_link_type(if what > 240 { LINK_TYPES[usize::from(what) % LINK_TYPES.len()] } else { LINK_TYPES[0] });
        let worker = usize::from(how >> 4) % self.senders.len();
        let arriving = [Arriving::Ingress, Arriving::Egress, Arriving::Either][usize::from(how >> 5) % 3];
        let (sender, now) = (&mut self.senders[worker], Nanos(self.now));
        if how >> 4 > 12 {
            sender.show_within(&self.pool, std::slice::from_ref(&frame), arriving, now);
        } else {
            sender.show(&self.pool, std::slice::from_ref(&frame), arriving, now);
        }
        self.shown += 1;
        self.pool.put(frame);
    }
}

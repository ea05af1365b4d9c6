//! The steering program in the kernel, held against portlane-classify: they agree about every frame. Needs root; reported as
//! ignored otherwise. Nothing is attached to any interface.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod frames;

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use portlane_classify::{
    Addresses, DEFAULT_FRAGMENT_LIFETIME_NS, Fragment, Fragments, Headers, Link, PortRange, Rule, Table, parse,
};
use portlane_rings::{Owners, Side, Steering, Verdict};

use frames::{PORTS, Random, V4, V6};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let root = nix::unistd::geteuid().is_root();
    let trial = |name: &str, test: fn()| {
        let run = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!root)
    };
    let trials = vec![
        trial("the_program_agrees_with_the_classifier", || agreement(0x5eed, &mut rules())),
        trial("they_agree_without_addresses_too", || agreement(0xfeed, &mut rules()[..2].to_vec())),
        trial("bytes_at_random_are_judged_and_forgotten", noise),
        trial("ranges_are_owned_from_their_first_port_to_their_last", ranges),
        trial("every_verdict_has_its_counter", verdicts),
        trial("fragments_follow_their_first_one", fragments),
        trial("rules_are_replaced_in_one_step", replacement),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Two containers on all addresses, and two on some.
fn rules() -> Vec<Rule<bool>> {
    let rule = |name: &str, addresses: &[IpAddr], ports: &[&str]| Rule {
        name: name.to_owned(),
        addresses: addresses.to_vec(),
        ports: ports.iter().map(|range| range.parse().unwrap()).collect(),
        owner: true,
    };
    vec![
        rule("web", &[], &["7000-7099", "80"]),
        rule("edges", &[], &["1", "65535"]),
        rule("four", &[V4[0].into()], &["7100"]),
        rule("six", &[V6[1].into(), V4[1].into()], &["65534"]),
    ]
}

fn owners(rules: &[Rule<bool>]) -> Owners {
    let mut owners = Owners::default();
    for rule in rules {
        rule.ports.iter().for_each(|range| owners.own(&rule.addresses, range.first()..=range.last()));
    }
    owners
}

fn steering(rules: &[Rule<bool>]) -> Steering {
    Steering::load(&owners(rules), [1, 1]).unwrap().0
}

fn judged(steering: &Steering, side: Side, frame: &[u8]) -> Verdict {
    steering.judge(side, frame).unwrap().expect("nothing else arrives")
}

/// What the classifier makes of a frame. Where nothing is attached, what is owned finds no socket.
fn expected(table: &Table<bool>, fragments: &mut Fragments, side: Side, frame: &[u8], now_ns: u64) -> Verdict {
    let Ok(headers) = parse(Link::Ethernet, frame, u32::try_from(frame.len()).unwrap()) else {
        return Verdict::Malformed;
    };
    fragments.remember(&headers, now_ns);
    let Headers { addresses: Some(addresses), .. } = headers else {
        return if side == Side::Container && is_arp_request(frame) { Verdict::Asked } else { Verdict::OtherProtocol };
    };
    match headers.ports.or_else(|| fragments.recall(&headers, now_ns)) {
        Some(ports) => {
            let (address, port) = match side {
                Side::Uplink | Side::Within => (addresses.destination(), ports.destination()),
                Side::Container => (addresses.source(), ports.source()),
            };
            if table.lookup(address, port) { Verdict::OtherQueue } else { Verdict::ForeignPort }
        }
        None if matches!(headers.fragment, Some(Fragment { later: true, .. })) => Verdict::LostFragment,
        None if side == Side::Container && is_solicitation(&headers, frame) => Verdict::Asked,
        None => Verdict::WithoutPorts,
    }
}

fn is_arp_request(frame: &[u8]) -> bool {
    frame.len() >= 42 && frame[12..22] == [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
}

/// Untagged, without extension headers, from this link, and as long as it should be.
fn is_solicitation(headers: &Headers, frame: &[u8]) -> bool {
    matches!(headers.addresses, Some(Addresses::V6 { .. }))
        && headers.network_offset == 14
        && frame.len() >= 78
        && u16::from_be_bytes([frame[18], frame[19]]) >= 24
        && frame[20..22] == [58, 255]
        && frame[54..56] == [135, 0]
}

fn agreement(seed: u64, rules: &mut [Rule<bool>]) {
    let steering = steering(rules);
    let table = Table::build(false, rules).unwrap();
    let mut fragments = Fragments::new(1 << 16, DEFAULT_FRAGMENT_LIFETIME_NS, [1, 2]);
    let mut random = Random::new(seed);
    let mut counts = [0_u32; Verdict::ALL.len()];
    // Both forget by the clock.
    let start = Instant::now();
    for number in 0..50_000 {
        let frame = frames::frame(&mut random);
        let side = Side::ALL[random.below(2) as usize];
        let now_ns = u64::try_from(start.elapsed().as_nanos()).unwrap();
        let expected = expected(&table, &mut fragments, side, &frame, now_ns);
        let judged = match judged(&steering, side, &frame) {
            // Nobody reads what is asked here.
            Verdict::NotHeard => Verdict::Asked,
            judged => judged,
        };
        assert_eq!(judged, expected, "frame {number}, {side:?}: {frame:02x?}");
        counts[judged as usize] += 1;
    }
    let seen = |verdict: Verdict| counts[verdict as usize];
    let rare = Verdict::ALL.into_iter().filter(|&verdict| seen(verdict) < 50).collect::<Vec<_>>();
    let elsewhere = [Verdict::ForeignAddress, Verdict::OverLimit];
    assert_eq!(rare, [&[Verdict::Owned, Verdict::NotHeard], &elsewhere[..]].concat(), "{counts:?}");
}

/// Whatever the bytes, the verifier's promise holds: they are judged, and nothing else happens.
fn noise() {
    let steering = steering(&rules());
    let mut random = Random::new(0xbad);
    for _ in 0..20_000 {
        let len = 14 + random.below(200);
        let mut frame = random.bytes(len);
        // What begins as IP gets further.
        let begins: [&[u8]; 4] = [&[0x08, 0x00, 0x45], &[0x86, 0xdd, 0x60], &[0x81, 0x00], &[]];
        let begin = begins[random.below(4) as usize];
        frame[12..].iter_mut().zip(begin).for_each(|(byte, &begin)| *byte = begin);
        judged(&steering, Side::Container, &frame);
    }
    let counted: u64 = steering.verdicts(Side::Container).unwrap().iter().sum();
    assert_eq!((counted, steering.verdicts(Side::Uplink).unwrap()), (20_000, [0; Verdict::ALL.len()]));
}

/// An Ethernet frame with UDP, of IPv4 or IPv6, behind these tags.
fn udp(tags: &[[u8; 4]], v6: bool, source: u16, destination: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    tags.iter().for_each(|tag| frame.extend(tag));
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64]);
        frame.extend([V6[0], V6[0]].concat());
    } else {
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 7, 0, 0, 64, 17, 0, 0]);
        frame.extend([V4[0], V4[0]].concat());
    }
    frame.extend(source.to_be_bytes());
    frame.extend(destination.to_be_bytes());
    frame.extend([0, 8, 0, 0]);
    frame
}

fn ranges() {
    let rules = rules();
    let steering = steering(&rules);
    let web: PortRange = "7000-7099".parse().unwrap();
    let tags: [&[[u8; 4]]; 3] = [&[], &[[0x81, 0, 0, 5]], &[[0x88, 0xa8, 0, 5], [0x81, 0, 0, 6]]];
    for (tags, v6) in tags.into_iter().flat_map(|tags| [(tags, false), (tags, true)]) {
        for port in PORTS {
            let on_all = [1, 80, 65_535].contains(&port) || (web.first()..=web.last()).contains(&port);
            let verdict = if on_all || (!v6 && port == 7_100) { Verdict::OtherQueue } else { Verdict::ForeignPort };
            let to = judged(&steering, Side::Uplink, &udp(tags, v6, 79, port));
            let from = judged(&steering, Side::Container, &udp(tags, v6, port, 79));
            assert_eq!([to, from], [verdict; 2], "{port}, IPv6: {v6}, {tags:?}");
        }
    }
}

fn verdicts() {
    let steering = steering(&rules());
    let mut ping = udp(&[], false, 0, 0);
    ping[23] = 1;
    ping[34] = 8;
    let mut later = udp(&[], false, 80, 80);
    later[21] = 1;
    let mut wrong = udp(&[], false, 80, 80);
    wrong[17] = 29;
    let mut arp = vec![2; 42];
    arp[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    let frames = [
        (udp(&[], false, 80, 80), [Verdict::OtherQueue; 2]),
        (udp(&[], false, 81, 81), [Verdict::ForeignPort; 2]),
        (ping, [Verdict::WithoutPorts; 2]),
        (arp, [Verdict::OtherProtocol, Verdict::Asked]),
        (wrong, [Verdict::Malformed; 2]),
        (later, [Verdict::LostFragment; 2]),
    ];
    for (side, place) in Side::ALL.into_iter().zip(0..) {
        for (frame, verdicts) in &frames {
            assert_eq!(judged(&steering, side, frame), verdicts[place]);
        }
        let counted = steering.verdicts(side).unwrap();
        for (verdict, count) in Verdict::ALL.into_iter().zip(counted) {
            let times = frames.iter().filter(|(_, verdicts)| verdicts[place] == verdict).count();
            assert_eq!(count, times as u64, "{verdict:?} at {side:?}");
        }
    }
}

fn fragments() {
    let steering = steering(&rules());
    let (mut first, mut later) = (udp(&[], false, 80, 80), udp(&[], false, 80, 80));
    (first[20], later[21]) = (0x20, 1);
    for side in Side::ALL {
        // Another datagram for either side: they share what they remember.
        let id = 9 + side as u8;
        (first[19], later[19]) = (id, id);
        let judge = |frame: &[u8]| judged(&steering, side, frame);
        assert_eq!([judge(&later), judge(&first)], [Verdict::LostFragment, Verdict::OtherQueue]);
        assert_eq!([judge(&later), judge(&later)], [Verdict::OtherQueue; 2], "its first one has been seen");
        let another = [&later[..19], &[id + 9], &later[20..]].concat();
        assert_eq!(judge(&another), Verdict::LostFragment);
    }
}

/// A port that both the old and the new rules own is never anybody else's, however often they change.
fn replacement() {
    let mut old = Owners::default();
    old.own(&[], 80..=81);
    let mut new = Owners::default();
    new.own(&[], 80..=80);
    new.own(&[V4[0].into()], 82..=82);
    let (steering, mut rules) = Steering::load(&old, [1, 1]).unwrap();
    let frames = [81, 82].map(|port| udp(&[], false, 9, port));
    assert_eq!(judged(&steering, Side::Uplink, &frames[0]), Verdict::OtherQueue);
    rules.replace(&new).unwrap();
    let after = frames.each_ref().map(|frame| judged(&steering, Side::Uplink, frame));
    assert_eq!(after, [Verdict::ForeignPort, Verdict::OtherQueue]);

    let (stop, both) = (AtomicBool::new(false), udp(&[], false, 9, 80));
    let judgements = thread::scope(|scope| {
        let judging = scope.spawn(|| {
            let mut judgements = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                steering.judge(Side::Uplink, &both).unwrap();
                judgements += 1;
            }
            judgements
        });
        for _ in 0..100 {
            rules.replace(&old).unwrap();
            rules.replace(&new).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        judging.join().unwrap()
    });
    let counted = steering.verdicts(Side::Uplink).unwrap();
    assert_eq!(counted[Verdict::ForeignPort as usize], 1);
    assert_eq!(counted[Verdict::OtherQueue as usize], 2 + judgements);
}

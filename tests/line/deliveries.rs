//! What containers have sent is told as it arrives, what they are given as it leaves: each once, whatever lanes and devices do.

use portlane::flows::heads::{Deliveries, Receiver, Taken, way};
use portlane_classify::{Arriving, Direction};
use portlane_shaper::Nanos;

use crate::rig::{Kind, Rig};

/// How many of either kind there are: given, and sent.
fn told(receiver: &mut Receiver) -> [u64; 2] {
    let (mut taken, mut counts) = (Taken::default(), [0; 2]);
    while let Some(time_ns) = receiver.oldest_ns() {
        while let Some(head) = receiver.take(time_ns, &mut taken) {
            assert_eq!(head.wire_len, 500);
            counts[usize::from(head.arriving == Arriving::Egress)] += 1;
        }
    }
    receiver.release();
    counts
}

#[test]
fn what_is_given_and_what_was_sent_is_told_once() {
    let narrow =
        "queue = { kind = \"fifo\", limit = 5 }\ningress = { rate = \"8mbit\" }\negress = { rate = \"8mbit\" }\n";
    let mut rig = Rig::new(&Rig::containers(1, |_| narrow.to_owned()), 1_024, 4);
    let (sender, mut receiver) = way(4_096);
    rig.line.tell_deliveries(Deliveries::new(sender));
    let mut sum = [0; 2];
    for _ in 0..20 {
        for direction in Direction::ALL {
            (0..8).for_each(|_| assert!(rig.arrive(direction, Kind::Container(0), 500)));
        }
        for _ in 0..3 {
            rig.now = rig.now + Nanos::from_millis(1);
            rig.line.turn_seen(rig.now).unwrap();
            // Rings of four are full at times.
            for direction in Direction::ALL {
                rig.take(direction, 2);
            }
        }
        let [given, sent] = told(&mut receiver);
        (sum[0], sum[1]) = (sum[0] + given, sum[1] + sent);
    }
    let [ingress, egress] = [Direction::Ingress, Direction::Egress].map(|direction| {
        let lane = &rig.check().containers[0];
        let lane = if direction == Direction::Ingress { &lane.ingress } else { &lane.egress };
        (lane.offered_packets, lane.sent_packets)
    });
    assert!(ingress.1 < ingress.0 && ingress.1 > 20, "some were dropped: {ingress:?}");
    assert_eq!(sum, [ingress.1, egress.0]);
}

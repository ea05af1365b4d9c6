//! Questions that wait for their answer.

use std::collections::HashMap;

use portlane_rings::Solicitation;

/// At a time.
const MOST: usize = 64;

pub(super) struct Waiting {
    pub(super) asked: Solicitation,
    pub(super) rounds: u32,
}

/// Room for so many of them. Where there is none left, whoever has most there loses its oldest: who asks for everything has no more of it than
/// the others leave.
#[derive(Default)]
pub(super) struct Room(Vec<Waiting>);

impl Room {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets a question wait, unless it does already.
    pub(super) fn admit(&mut self, asked: Solicitation) {
        if self.0.iter().any(|waiting| waiting.asked == asked) {
            return;
        }
        self.0.push(Waiting { asked, rounds: 0 });
        if self.0.len() > MOST {
            self.make_room();
        }
    }

    /// Looks at each that waits; those for which `settle` is true go.
    pub(super) fn settle(&mut self, mut settle: impl FnMut(&mut Waiting) -> bool) {
        self.0.retain_mut(|waiting| !settle(waiting));
    }

    fn make_room(&mut self) {
        let mut counts = HashMap::new();
        for waiting in &self.0 {
            *counts.entry(waiting.asked.interface).or_insert(0) += 1;
        }
        let most = counts.values().max().copied().unwrap_or(0);
        if let Some(oldest) = self.0.iter().position(|waiting| counts[&waiting.asked.interface] == most) {
            self.0.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn question(interface: u32, number: u8) -> Solicitation {
        let [target, sender] = [[10, 0, 1, number], [10, 0, 0, 1]].map(IpAddr::from);
        Solicitation { target, sender, hardware: [2; 6], interface }
    }

    fn targets(room: &Room, interface: u32) -> Vec<u8> {
        let of = room.0.iter().filter(|waiting| waiting.asked.interface == interface);
        of.map(|waiting| if let IpAddr::V4(address) = waiting.asked.target { address.octets()[3] } else { 0 }).collect()
    }

    #[test]
    fn who_has_most_makes_room() {
        let mut room = Room::default();
        room.admit(question(2, 1));
        (0..200).for_each(|number| room.admit(question(1, number)));
        assert_eq!(targets(&room, 1), (137..200).collect::<Vec<_>>(), "the youngest are left");
        (2..=40).for_each(|number| room.admit(question(2, number)));
        assert_eq!((targets(&room, 1).len(), targets(&room, 2).len()), (32, 32));
        // All others have more than one.
        room.admit(question(3, 1));
        room.admit(question(4, 1));
        (0..200).for_each(|number| room.admit(question(1, number)));
        assert_eq!((targets(&room, 3), targets(&room, 4)), (vec![1], vec![1]));
    }

    #[test]
    fn what_waits_waits_once() {
        let mut room = Room::default();
        [question(1, 1), question(1, 2), question(1, 1)].into_iter().for_each(|asked| room.admit(asked));
        assert_eq!(targets(&room, 1), [1, 2]);
        room.settle(|waiting| waiting.asked == question(1, 1));
        assert_eq!(targets(&room, 1), [2]);
        assert!(!room.is_empty());
    }
}

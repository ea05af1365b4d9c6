//! The table of states, move by move.

use proptest::prelude::*;

use super::Class;
use super::State::{self, *};
use crate::close::CloseType;
use crate::digest::{Flags, Segment};
use crate::meter::Meter;
use crate::meter::Side::{self, Client, Server};
use crate::tcp::Connection;
use crate::timeouts::Timeout::{self, ClosedFin, ClosingRst, OpeningRst, Others};

const SYN: Flags = Flags::SYN;
const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const ACK: Flags = Flags::ACK;
const PSH: Flags = Flags::ACK.with(Flags::PSH);
const FIN: Flags = Flags::FIN.with(Flags::ACK);
const RST: Flags = Flags::RST;
const NONSENSE: Flags = Flags::SYN.with(Flags::FIN);

/// From a state: what SYN, SYN+ACK, FIN, RST, ACK and PSH+ACK lead to, by the client and by the server.
type Moves = [(State, Timeout); 6];

const BAD: (State, Timeout) = (Exception, Others);

/// The whole table.
const TABLE: [(State, Moves, Moves); 11] = {
    let open = (State::Established, Timeout::Established);
    let first = (Opening1, Others);
    let second = (Opening2, Others);
    let tx = (ClosingTx1, Others);
    let rx = (ClosingRx1, Others);
    let syn1 = (Syn1, Others);
    let again = (SynAck1, Timeout::Established);
    let tx2 = (ClosingTx2, Others);
    let rx2 = (ClosingRx2, Others);
    let closed = (Closed, ClosedFin);
    let reset = (Reset, Others);
    let reset_late = (Reset, ClosedFin);
    let refused = (EstablishReset, Others);
    [
        (Raw, [first, BAD, tx, reset, open, open], [first, second, rx, reset, open, open]),
        (Opening1, [first, BAD, tx, refused, open, open], [first, second, rx, (ServerRefused, Others), syn1, syn1]),
        (
            Opening2,
            [second, BAD, tx, (OpeningReset, OpeningRst), open, open],
            [second, second, rx, refused, open, open],
        ),
        (
            State::Established,
            [open, BAD, tx, (Reset, ClosingRst), open, open],
            [open, again, rx, (Reset, ClosingRst), open, open],
        ),
        (Syn1, [first, BAD, tx, (PortReuse, Others), open, open], [first, second, rx, refused, syn1, syn1]),
        (
            SynAck1,
            [open, BAD, tx, reset, again, again],
            [open, again, rx, (QueueLackCandidate, ClosingRst), open, open],
        ),
        (ClosingTx1, [tx, tx, tx, reset, tx, tx], [tx, tx, tx2, reset, tx, tx]),
        (ClosingTx2, [tx2, tx2, tx2, reset_late, closed, BAD], [tx2, tx2, tx2, reset_late, tx2, tx2]),
        (ClosingRx1, [rx, rx, rx2, reset, rx, rx], [rx, rx, rx, reset, rx, rx]),
        (ClosingRx2, [rx2, rx2, rx2, reset_late, rx2, rx2], [rx2, rx2, rx2, reset_late, closed, rx2]),
        (Closed, [BAD, BAD, BAD, BAD, closed, BAD], [BAD, BAD, BAD, BAD, closed, BAD]),
    ]
};

#[test]
fn every_move_is_that_of_the_table() {
    let flags = [SYN, SYN_ACK, FIN, RST, ACK, PSH];
    for (state, client, server) in TABLE {
        for (side, moves) in [(Client, client), (Server, server)] {
            for (flags, wanted) in flags.into_iter().zip(moves) {
                assert_eq!(state.next(flags, side), wanted, "{state:?}, {flags:?} of the {side:?}");
            }
            assert_eq!(state.next(NONSENSE, side), BAD, "{state:?}");
        }
    }
}

#[test]
fn some_states_are_final() {
    for state in [Reset, ServerRefused, EstablishReset, PortReuse, QueueLackCandidate, Exception] {
        for flags in [SYN, SYN_ACK, FIN, RST, ACK, PSH, NONSENSE] {
            assert_eq!(state.next(flags, Client), (state, Others));
            assert_eq!(state.next(flags, Server), (state, Others));
        }
    }
    assert_eq!(OpeningReset.next(ACK, Server), (OpeningReset, OpeningRst));
}

#[test]
fn flags_with_and_without_ack_and_psh_are_of_one_class() {
    for (flags, like) in [
        (Flags::FIN, FIN),
        (Flags::FIN.with(PSH), FIN),
        (RST.with(ACK), RST),
        (RST.with(PSH), RST),
        (PSH.with(Flags::URG), PSH),
    ] {
        assert_eq!(State::Established.next(flags, Client), State::Established.next(like, Client), "{flags:?}");
    }
    // Those of ECN do not count: SYN with ECE and CWR is a SYN.
    assert_eq!(Flags::from_bits(0xc2), SYN);
}

fn close_of(packets: &[(Side, Flags)]) -> CloseType {
    let mut connection = Connection::new();
    let mut from_server = 0;
    for &(side, flags) in packets {
        connection.packet(&Segment { seq: 0, ack: 0, window: 1, flags }, 0, side, 0, &mut Meter::default());
        from_server += u64::from(side == Server);
    }
    connection.close_type(from_server, false)
}

#[test]
fn connections_end_as_their_last_state_says() {
    const OPEN: [(Side, Flags); 4] = [(Client, SYN), (Server, SYN_ACK), (Client, ACK), (Client, PSH)];
    let after = |rest: &[(Side, Flags)]| close_of(&[&OPEN, rest].concat());
    assert_eq!(close_of(&[(Client, SYN)]), CloseType::ServerSynMiss);
    assert_eq!(close_of(&[(Server, SYN_ACK); 4]), CloseType::ClientAckMiss);
    assert_eq!(close_of(&[(Client, SYN), (Server, RST.with(ACK))]), CloseType::ServerRefused);
    assert_eq!(close_of(&[(Client, SYN), (Server, PSH)]), CloseType::ClientSourcePortReuse);
    assert_eq!(close_of(&[(Client, SYN), (Server, PSH), (Client, RST)]), CloseType::ClientSourcePortReuse);
    assert_eq!(close_of(&[(Client, SYN), (Client, RST)]), CloseType::ClientEstablishReset);
    assert_eq!(close_of(&[(Client, SYN), (Server, SYN_ACK), (Server, RST)]), CloseType::ServerEstablishReset);
    assert_eq!(close_of(&[(Client, SYN), (Server, SYN_ACK), (Client, RST)]), CloseType::Probe);
    assert_eq!(close_of(&[(Client, SYN), (Server, SYN_ACK), (Client, ACK), (Client, RST)]), CloseType::Probe);
    assert_eq!(close_of(&[(Client, NONSENSE)]), CloseType::Unknown);
    assert_eq!(after(&[]), CloseType::Timeout);
    assert_eq!(after(&[(Client, FIN)]), CloseType::ServerHalfClose);
    assert_eq!(after(&[(Server, FIN)]), CloseType::ClientHalfClose);
    assert_eq!(after(&[(Client, FIN), (Server, FIN)]), CloseType::Finish);
    assert_eq!(after(&[(Server, FIN), (Client, FIN), (Server, ACK)]), CloseType::Finish);
    assert_eq!(after(&[(Client, RST)]), CloseType::ClientReset);
    assert_eq!(after(&[(Server, RST)]), CloseType::ServerReset);
    assert_eq!(after(&[(Client, FIN), (Server, RST)]), CloseType::ServerReset);
    assert_eq!(after(&[(Server, SYN_ACK)]), CloseType::ServerQueueLack);
    assert_eq!(after(&[(Server, SYN_ACK), (Server, RST)]), CloseType::ClientReset);
    assert_eq!(after(&[(Server, SYN_ACK), (Server, SYN_ACK), (Server, RST)]), CloseType::ServerQueueLack);
}

proptest! {
    #[test]
    fn any_flags_in_any_order_end_somehow(packets in proptest::collection::vec((any::<bool>(), any::<u8>()), 0..40)) {
        let packets: Vec<_> = packets
            .into_iter()
            .map(|(server, bits)| (if server { Server } else { Client }, Flags::from_bits(bits)))
            .collect();
        let close = close_of(&packets);
        if packets.first().is_some_and(|&(_, flags)| Class::of(flags).is_none()) {
            prop_assert_eq!(close, CloseType::Unknown);
        }
    }
}

use std::net::Ipv4Addr;

use super::*;

const LIFETIME_NS: u64 = 1_000;

fn headers(id: u32, later: bool) -> Headers {
    Headers {
        addresses: Some(Addresses::V4 { source: Ipv4Addr::new(10, 0, 0, 9), destination: Ipv4Addr::new(10, 0, 0, 1) }),
        protocol: 17,
        // So that each datagram has ports of its own.
        ports: (!later).then(|| Ports::new(53, u16::try_from(id).unwrap())),
        echo: None,
        fragment: Some(Fragment { id, later }),
        quoted: false,
        network_offset: 14,
    }
}

fn recalled(fragments: &Fragments, id: u32, now_ns: u64) -> Option<u16> {
    fragments.recall(&headers(id, true), now_ns).map(Ports::destination)
}

#[test]
fn a_later_fragment_has_the_ports_of_its_first() {
    let mut fragments = Fragments::new(16, LIFETIME_NS, [1, 2]);
    assert_eq!(recalled(&fragments, 7, 0), None);
    fragments.remember(&headers(7, false), 0);
    assert_eq!(recalled(&fragments, 7, 0), Some(7));
    assert_eq!(recalled(&fragments, 8, 0), None);
}

#[test]
fn the_datagram_is_known_by_addresses_id_and_ipv4_protocol() {
    let mut fragments = Fragments::new(16, LIFETIME_NS, [1, 2]);
    fragments.remember(&headers(7, false), 0);
    let later = headers(7, true);
    let other_protocol = Headers { protocol: 6, ..later };
    let other_way = Headers { addresses: later.addresses.map(|addresses| addresses.swapped()), ..later };
    assert_eq!(fragments.recall(&other_protocol, 0), None);
    assert_eq!(fragments.recall(&other_way, 0), None);

    let [source, destination] = [1_u128, 2].map(Into::into);
    let addresses = Some(Addresses::V6 { source, destination });
    fragments.remember(&Headers { addresses, ..headers(7, false) }, 0);
    let behind_options = Headers { addresses, protocol: 60, ..later };
    assert!(fragments.recall(&behind_options, 0).is_some());
}

#[test]
fn packets_that_are_no_fragments_are_ignored() {
    let mut fragments = Fragments::new(16, LIFETIME_NS, [1, 2]);
    let first = headers(7, false);
    fragments.remember(&Headers { fragment: None, ..first }, 0);
    fragments.remember(&Headers { ports: None, ..first }, 0);
    fragments.remember(&Headers { addresses: None, ..first }, 0);
    fragments.remember(&headers(7, true), 0);
    assert_eq!(recalled(&fragments, 7, 0), None);
    fragments.remember(&first, 0);
    assert_eq!(fragments.recall(&first, 0), None, "a first fragment has its own");
}

#[test]
fn entries_expire_after_their_lifetime() {
    let mut fragments = Fragments::new(16, LIFETIME_NS, [1, 2]);
    fragments.remember(&headers(7, false), 500);
    assert_eq!(recalled(&fragments, 7, 500 + LIFETIME_NS - 1), Some(7));
    assert_eq!(recalled(&fragments, 7, 500 + LIFETIME_NS), None);
    // The same datagram again: from then on.
    fragments.remember(&headers(7, false), 5_000);
    assert_eq!(recalled(&fragments, 7, 5_999), Some(7));
}

#[test]
fn memory_is_bounded_and_the_oldest_gives_way() {
    for (asked, got) in [(0, 4), (4, 4), (5, 8), (1000, 1024)] {
        assert_eq!(Fragments::new(asked, LIFETIME_NS, [1, 2]).capacity(), got);
    }
    // One set, so that all compete.
    let mut fragments = Fragments::new(4, LIFETIME_NS, [1, 2]);
    for id in 0..10 {
        fragments.remember(&headers(id, false), u64::from(id));
    }
    let held: Vec<_> = (0..10).filter(|&id| recalled(&fragments, id, 10).is_some()).collect();
    assert_eq!(held, [6, 7, 8, 9]);
    // Expired ones go before the oldest that lives.
    fragments.remember(&headers(7, false), LIFETIME_NS);
    fragments.remember(&headers(11, false), LIFETIME_NS + 8);
    let now = LIFETIME_NS + 8;
    let held: Vec<_> = (0..12).filter(|&id| recalled(&fragments, id, now).is_some()).collect();
    assert_eq!(held, [7, 9, 11]);
}

#[test]
fn ids_that_crowd_one_key_spread_under_another() {
    let set_under = |key, id| {
        let fragments = Fragments::new(4096, LIFETIME_NS, key);
        fragments.set_of(&Datagram::of(&headers(id, true)).unwrap().0)
    };
    let crowd: Vec<u32> = (0..20_000).filter(|&id| set_under([1, 2], id) == set_under([1, 2], 0)).take(8).collect();
    assert_eq!(crowd.len(), 8);
    let mut spread: Vec<_> = crowd.iter().map(|&id| set_under([3, 4], id).start).collect();
    spread.sort_unstable();
    spread.dedup();
    assert!(spread.len() >= 6, "{spread:?}");
}

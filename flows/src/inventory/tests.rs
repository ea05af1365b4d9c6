//! Networks and rules, held against what goes through all of them.

use proptest::prelude::*;

use super::*;

fn end(address: &str, port: u16, owner: Option<u32>) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), port, owner }
}

fn net(prefix: &str) -> IpNet {
    prefix.parse().unwrap()
}

#[test]
fn the_longest_prefix_says_where_an_address_is() {
    let mut networks = Networks::default();
    let place = |region, epc| Place { region, epc, ..Place::default() };
    networks.insert(net("10.0.0.0/8"), place(1, 11));
    networks.insert(net("10.1.0.0/16"), place(2, 0));
    networks.insert(net("2001:db8::/32"), place(3, 13));
    let at = |address, owner| networks.place(&end(address, 80, owner));
    assert_eq!(at("10.2.3.4", None), place(1, 11));
    assert_eq!(at("10.1.3.4", None), place(2, -1), "its VPC is not known");
    assert_eq!(at("2001:db8:1::1", Some(3)), place(3, 13));
    assert_eq!(at("192.0.2.1", None), place(0, -2), "the Internet");
    assert_eq!(at("192.0.2.1", Some(1)), place(0, -1), "a container's, in no network");
    assert_eq!(at("2001:db9::1", None), place(0, -2));
    assert!(networks.is_inside(&end("10.9.9.9", 1, None)) && networks.is_inside(&end("192.0.2.1", 1, Some(0))));
    assert!(!networks.is_inside(&end("192.0.2.1", 1, None)));
}

#[test]
fn a_rule_matches_if_all_of_it_does() {
    let any = Acl { group: 7, protocol: None, clients: Vec::new(), servers: Vec::new(), server_ports: Vec::new() };
    let flow = FlowId { client: end("10.0.0.9", 0, None), server: end("10.0.1.1", 443, Some(1)), protocol: 6 };
    assert!(any.matches(&flow));
    let ports = |text: &str| vec![text.parse().unwrap()];
    for (acl, matches) in [
        (Acl { protocol: Some(6), ..any.clone() }, true),
        (Acl { protocol: Some(17), ..any.clone() }, false),
        (Acl { clients: vec![net("10.0.0.0/24")], ..any.clone() }, true),
        (Acl { clients: vec![net("10.0.1.0/24")], ..any.clone() }, false),
        (Acl { servers: vec![net("fd00::/8"), net("10.0.1.0/24")], ..any.clone() }, true),
        (Acl { servers: vec![net("10.0.0.0/24")], ..any.clone() }, false),
        (Acl { server_ports: ports("440-443"), ..any.clone() }, true),
        (Acl { server_ports: ports("444-450"), ..any.clone() }, false),
        (Acl { clients: vec![net("10.0.0.0/24")], server_ports: ports("80"), ..any.clone() }, false),
    ] {
        assert_eq!(acl.matches(&flow), matches, "{acl:?}");
    }
    let ping = FlowId { server: end("10.0.1.1", 0, None), protocol: 1, ..flow };
    assert!(any.matches(&ping) && !Acl { server_ports: ports("1-65535"), ..any.clone() }.matches(&ping));
    let acls = vec![any.clone(), Acl { group: 3, ..any.clone() }, any.clone(), Acl { protocol: Some(17), ..any }];
    assert_eq!(Inventory { acls, ..Inventory::default() }.groups(&flow), BTreeSet::from([3, 7]), "each group once");
}

proptest! {
    /// Of all prefixes that hold an address, the longest.
    #[test]
    fn every_address_is_where_the_longest_of_all_prefixes_says(
        prefixes in prop::collection::vec((any::<u32>(), 0..=32_u8, any::<bool>()), 0..40),
        asked in prop::collection::vec((any::<u32>(), any::<bool>()), 1..40),
    ) {
        // Few different addresses, of both versions, so that prefixes nest.
        let address = |bits: u32, v6| {
            let bits = bits & 0x8000_0181;
            if v6 { IpAddr::from(u128::from(bits).to_be_bytes()) } else { IpAddr::from(bits.to_be_bytes()) }
        };
        let mut networks = Networks::default();
        let mut all = HashMap::new();
        for (region, (bits, length, v6)) in (1..).zip(prefixes) {
            let length = if v6 { length + 96 } else { length };
            let prefix = IpNet::new(address(bits, v6), length).unwrap().trunc();
            networks.insert(prefix, Place { region, ..Place::default() });
            all.insert(prefix, region);
        }
        for (bits, v6) in asked {
            let address = address(bits, v6);
            let holding = all.iter().filter(|(prefix, _)| prefix.contains(&address));
            let longest = holding.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(_, region)| *region);
            prop_assert_eq!(networks.get(address).map(|place| place.region), longest);
        }
    }
}

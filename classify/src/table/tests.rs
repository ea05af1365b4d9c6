use super::*;

fn rule(name: &str, addresses: &[&str], ports: &[&str], owner: u16) -> Rule<u16> {
    Rule {
        name: name.to_owned(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ports: ports.iter().map(|text| text.parse().unwrap()).collect(),
        owner,
    }
}

fn refusal(rules: &[Rule<u16>]) -> String {
    Table::build(0, rules).unwrap_err().to_string()
}

#[test]
fn ranges_end_where_they_say() {
    let table = Table::build(0, &[rule("web", &[], &["80", "65535", "1000-1002"], 7)]).unwrap();
    let address = "192.0.2.1".parse().unwrap();
    for (port, owner) in [(79, 0), (80, 7), (81, 0), (999, 0), (1000, 7), (1002, 7), (1003, 0), (65_535, 7), (0, 0)] {
        assert_eq!(table.lookup(address, port), owner, "port {port}");
    }
    assert_eq!(table.unmatched(), 0);
}

#[test]
fn an_address_has_its_rules_and_those_without_addresses() {
    let rules = [
        rule("a", &["10.0.0.1", "fd00::1"], &["80"], 1),
        rule("b", &["10.0.0.2", "10.0.0.2"], &["80"], 2),
        rule("everywhere", &[], &["443"], 3),
    ];
    let table = Table::build(0, &rules).unwrap();
    for (address, http, https) in [("10.0.0.1", 1, 3), ("fd00::1", 1, 3), ("10.0.0.2", 2, 3), ("10.0.0.3", 0, 3)] {
        let address = address.parse().unwrap();
        assert_eq!((table.lookup(address, 80), table.lookup(address, 443)), (http, https));
    }
    assert_eq!(table.on_addresses.len(), 2, "addresses with the same rules share an array");
}

#[test]
fn no_rules_match_nothing() {
    let table = Table::build(9, &[]).unwrap();
    assert_eq!(table.lookup("::1".parse().unwrap(), 80), 9);
}

#[test]
fn overlaps_name_both_sides() {
    let web = rule("web", &[], &["8080", "31000-31499"], 1);
    let db = rule("db", &[], &["30900-31010"], 2);
    assert_eq!(
        refusal(&[web.clone(), db]),
        "containers \"web\" and \"db\" both own ports 31000-31010 (31000-31499 of \"web\", \
         30900-31010 of \"db\"): give each port to one container"
    );
    assert_eq!(
        refusal(&[rule("db", &["10.0.0.1"], &["31499-40000"], 2), web.clone()]),
        "containers \"db\" and \"web\" both own port 31499 on 10.0.0.1 (31499-40000 of \"db\", \
         31000-31499 of \"web\"): give each port to one container"
    );
    let twice = rule("web", &[], &["80-90", "85"], 1);
    assert_eq!(refusal(&[twice]), "container \"web\" owns port 85 twice (80-90 and 85): name each port once");
}

#[test]
fn the_same_ports_on_other_addresses_are_no_overlap() {
    let rules = [
        rule("a", &["10.0.0.1"], &["80"], 1),
        rule("b", &["10.0.0.2"], &["80"], 2),
        rule("c", &["::ffff:10.0.0.1"], &["80"], 3),
    ];
    assert!(Table::build(0, &rules).is_ok());
}

#[test]
fn names_are_given_once_and_ports_at_all() {
    assert_eq!(
        refusal(&[rule("web", &[], &["80", "443"], 1), rule("web", &[], &["90"], 2)]),
        "two containers are named \"web\", one with ports 80, 443 and one with ports 90: give \
         each a name of its own"
    );
    assert_eq!(
        refusal(&[rule("web", &[], &[], 1)]),
        "container \"web\" has no ports: give it at least one, as in ports = [\"8080\"]"
    );
}

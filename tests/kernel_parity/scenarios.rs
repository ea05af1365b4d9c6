//! The scenarios.

use crate::load::Load;
use crate::shaping::{Class, LINK, Shaping, Tbf};

/// Seconds that a scenario sends.
pub(crate) const SECONDS: u64 = 3;

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) shaping: Shaping,
    pub(crate) loads: Vec<Load>,
}

/// All but the one in which a rate changes.
///
/// Buckets hold what is earned in 6 ms or more: a kernel that wakes up that late sends all the same what it should have.
/// Packets of different lengths share no queue that drops: how many are dropped would hang on which.
pub(crate) fn all() -> Vec<Scenario> {
    [single_classes(), borrowing(), trees(), filters()].concat()
}

fn htb<const N: usize>(name: &'static str, classes: [Class; N], loads: &[Load]) -> Scenario {
    Scenario { name, shaping: Shaping::Htb(classes.to_vec()), loads: loads.to_vec() }
}

/// A class without others, under no link.
fn alone(rate: &'static str) -> Class {
    Class { parent: None, ..Class::leaf("one", rate, rate) }
}

fn single_classes() -> Vec<Scenario> {
    let idle_between = Load { on_ms: 300, ..Load::steady(0, 1_000, 12_000) };
    let holds_all = Class { limit: Some(1_000), ..alone("10mbit") };
    vec![
        htb("one_class", [alone("10mbit")], &[Load::steady(0, 1_000, 12_000)]),
        htb("burst_after_idle", [Class { burst: "60kb", ..alone("4mbit") }], &[idle_between]),
        htb("tiny_packets", [alone("2mbit")], &[Load::steady(0, 60, 2_400)]),
        htb("large_packets", [alone("20mbit")], &[Load::steady(0, 1_514, 24_000)]),
        htb("packets_of_all_sizes", [holds_all], &[Load::mixed(0, 11_000)]),
        htb("overload", [Class { limit: Some(20), ..alone("5mbit") }], &[Load::steady(0, 1_000, 20_000)]),
    ]
}

fn borrowing() -> Vec<Scenario> {
    let link = Class::link("10mbit");
    let priority = |id, priority| Class { priority, ..Class::leaf(id, "1mbit", "10mbit") };
    let quantum = |id, quantum| Class { quantum: Some(quantum), ..Class::leaf(id, "1mbit", "10mbit") };
    let [four, six, nine] = [4_000, 6_000, 9_000].map(|kbit| move |leaf| Load::steady(leaf, 1_000, kbit));
    vec![
        htb("ceil_above_rate", [link, Class::leaf("a", "2mbit", "6mbit")], &[nine(0)]),
        htb(
            "two_borrow",
            [link, Class::leaf("a", "2mbit", "10mbit"), Class::leaf("b", "4mbit", "10mbit")],
            &[nine(0), nine(1)],
        ),
        htb(
            "priorities",
            [link, priority("first", 0), priority("second", 1), priority("third", 2)],
            &[four(0), four(1), six(2)],
        ),
        htb(
            "ceil_reached",
            [link, Class::leaf("a", "2mbit", "3mbit"), Class::leaf("b", "2mbit", "10mbit")],
            &[six(0), nine(1)],
        ),
        htb(
            "quantum_as_weight",
            [link, quantum("a", 2_000), quantum("b", 4_000), quantum("c", 8_000)],
            &[six(0), six(1), six(2)],
        ),
    ]
}

fn trees() -> Vec<Scenario> {
    let link = Class::link("10mbit");
    // Turns are short: who is served first when two may send within a timer's latency then makes no difference to a second.
    let leaf =
        |id, parent, rate, ceil| Class { parent: Some(parent), quantum: Some(1_514), ..Class::leaf(id, rate, ceil) };
    let greedy = |leaf| Load::steady(leaf, 1_000, 8_000);
    vec![
        // Every inner class lends. Ceils keep classes of different levels from competing for the same loan: who wins there
        // hangs on how late the kernel wakes up.
        htb(
            "three_levels",
            [
                link,
                Class::inner("tenant", LINK, "6mbit", "7mbit"),
                Class::inner("service", "tenant", "4mbit", "6mbit"),
                leaf("web", "service", "2mbit", "10mbit"),
                leaf("db", "service", "1mbit", "10mbit"),
                leaf("batch", "tenant", "500kbit", "1mbit"),
                leaf("other", LINK, "2mbit", "2500kbit"),
            ],
            &[greedy(0), greedy(1), greedy(2), greedy(3)],
        ),
        // Groups are promised what their members are, so that only the link lends. Where a group lends too, it takes no turn
        // at the link meanwhile, and the kernel's shares hang on how late it wakes up; the model of its decisions covers that.
        htb(
            "groups_borrow",
            [
                link,
                Class::inner("left", LINK, "3mbit", "10mbit"),
                Class::inner("right", LINK, "1mbit", "10mbit"),
                leaf("a", "left", "2mbit", "10mbit"),
                leaf("b", "left", "1mbit", "10mbit"),
                leaf("c", "right", "1mbit", "10mbit"),
            ],
            &[greedy(0), greedy(1), greedy(2)],
        ),
    ]
}

fn filters() -> Vec<Scenario> {
    let filter = |name, settings, loads: &[Load]| Scenario {
        name,
        shaping: Shaping::Tbf(Tbf { settings }),
        loads: loads.to_vec(),
    };
    let idle_between = Load { on_ms: 400, ..Load::steady(0, 1_000, 16_000) };
    vec![
        filter("tbf", &[("rate", "10mbit"), ("burst", "32kb"), ("limit", "512kb")], &[Load::mixed(0, 11_000)]),
        filter(
            "tbf_with_peakrate",
            &[("rate", "4mbit"), ("burst", "64kb"), ("peakrate", "12mbit"), ("mtu", "4kb"), ("limit", "128kb")],
            &[idle_between],
        ),
        filter(
            "tbf_of_short_latency",
            &[("rate", "5mbit"), ("burst", "10kb"), ("latency", "10ms")],
            &[Load::steady(0, 1_000, 6_000)],
        ),
    ]
}

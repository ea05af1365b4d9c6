//! A line whose queues have come to rest takes no memory from anywhere, whatever the load.

use portlane::bench::{Load, Options, Scenario};

#[test]
fn turns_allocate_nothing() {
    for load in [Load::Idle, Load::Default, Load::Overload] {
        let mut scenario = Scenario::new(&Options { containers: 64, size: 512, load, ..Options::default() }).unwrap();
        scenario.warm_up();
        let used = allocation_counter::measure(|| scenario.turns(4_000));
        assert_eq!((used.count_total, used.bytes_total), (0, 0), "{load:?}");
    }
}

#[test]
fn an_allocation_would_be_counted() {
    let used = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!((used.count_total, used.bytes_total), (1, 100));
}

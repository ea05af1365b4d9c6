//! Meters of ten thousand rules.

use std::hint::black_box;
use std::sync::Arc;

use portlane::bench::{Load, Options, Scenario};
use portlane::line::BATCH;
use portlane::meters::Meters;
use portlane_meters::{Book, Direction, Label, Lookup, Prefixes, Rule, Uuid};

use super::{Element, Rounds, one_by_one};

const RULES: u32 = 10_000;

/// Addresses that are looked up, more than a near cache holds the ranges of.
const ADDRESSES: u32 = 16_384;

/// The labels of two addresses of IPv4.
pub(super) fn find_ipv4() -> Box<dyn Element> {
    let lookup = Lookup::new(&book()).expect("there is room");
    // A generator of Lehmer's: any address of these prefixes is as likely as another.
    let address = |number: u32| (10 << 24) | (number.wrapping_mul(0x9e37_79b1) % (RULES << 8));
    one_by_one((0..ADDRESSES).map(address).collect(), move |&destination: &u32| {
        black_box(lookup.find_v4(Direction::Egress, 0x0a4d_0001, destination));
    })
}

/// The packet line with load idle, all of whose packets are metered.
pub(super) fn turn() -> Box<dyn Element> {
    let options = Options { load: Load::Idle, ..Options::default() };
    let meters = Arc::new(Meters::of(book()).expect("there is room"));
    let mut scenario = Scenario::metered(&options, &meters).expect("options within their ranges");
    scenario.warm_up();
    Box::new(Rounds(BATCH as u64, move || scenario.turns(1)))
}

/// A label for every hundredth rule, and the rules: prefixes side by side.
fn book() -> Book {
    let mut book = Book::default();
    for number in 0..RULES {
        let label_id = Uuid::from_u128((number / 100).into());
        if number % 100 == 0 {
            let label = Label { id: label_id, name: "prefixes".to_owned(), ..Label::default() };
            book.add_label(label).expect("ids are unique");
        }
        let prefix = format!("10.{}.{}.0/24", number >> 8, number & 0xff);
        let prefixes = Prefixes::new(None, None, Some(&prefix)).expect("they are prefixes");
        let (id, direction) = (Uuid::from_u128(number.into()), Direction::Egress);
        book.add_rule(Rule { id, label_id, direction, prefixes, excluded: false }).expect("ids are unique");
    }
    book
}

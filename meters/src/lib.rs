//! Traffic meters by prefix: labels, and rules that say which packets count for them, as OpenStack Neutron has them.
//!
//! A [`Book`] keeps labels and rules, and refuses what Neutron refuses. A [`Lookup`] is made of it, and says for any two addresses
//! for which labels a packet counts: in as many steps for ten thousand rules as for ten, but for a logarithm.
//!
//! ```
//! use portlane_meters::{Book, Direction, Label, Lookup, Prefixes, Rule};
//! use uuid::Uuid;
//!
//! let mut book = Book::default();
//! let label = Label { id: Uuid::from_u128(1), name: "cdn".to_owned(), ..Label::default() };
//! book.add_label(label)?;
//! let everything = Prefixes::new(Some("192.0.2.0/24"), None, None)?;
//! let but = Prefixes::new(Some("192.0.2.128/25"), None, None)?;
//! for (id, prefixes, excluded) in [(2, everything, false), (3, but, true)] {
//!     let (id, label_id) = (Uuid::from_u128(id), Uuid::from_u128(1));
//!     book.add_rule(Rule { id, label_id, direction: Direction::Ingress, prefixes, excluded })?;
//! }
//! let lookup = Lookup::new(&book)?;
//! let count = |from: &str| lookup.find(Direction::Ingress, from.parse().unwrap(), "10.0.0.1".parse().unwrap()).len();
//! assert_eq!([count("192.0.2.9"), count("192.0.2.200"), count("198.51.100.1")], [1, 0, 0]);
//! # Ok::<(), portlane_meters::Refusal>(())
//! ```

#![forbid(unsafe_code)]

mod book;
mod lookup;
mod ranges;

pub use book::{Book, Direction, Label, Prefixes, Refusal, Rule};
pub use ipnet::IpNet;
pub use lookup::Lookup;
pub use uuid::Uuid;

//! From the bytes of a frame to the owner of its port.
//!
//! [`parse()`] reads the headers of a frame, a [`Table`] says who owns a port, and a [`Classifier`]
//! puts the two together: direction, owner, and fragments that follow their first one. A [`FlowKey`]
//! tells flows apart. [`Classifier::find`] does all of it at once, for packet lines. The crate
//! is generic over what an owner is, reads no clock, does no I/O and allocates nothing per packet.
//!
//! Any bytes may come in. They end in one of three ways: an IP packet with whatever ports it has,
//! a frame that is not IP, or [`Malformed`] with a reason. Nothing that a frame contains can make
//! this crate panic or take more than a bounded number of steps.
//!
//! ```
//! use portlane_classify::{
//!     Arriving, Classifier, DEFAULT_FRAGMENT_LIFETIME_NS, Direction, FlowKey, Found, Fragments, Link,
//!     Rule, Table, parse,
//! };
//!
//! let web = Rule {
//!     name: "web".to_owned(),
//!     addresses: vec![],
//!     ports: vec!["31000-31499".parse()?],
//!     owner: Some("web"),
//! };
//! let table = Table::build(None, &[web])?;
//! let fragments = Fragments::new(1024, DEFAULT_FRAGMENT_LIFETIME_NS, [1, 2]);
//! let mut classifier = Classifier::new(table, fragments, &[]);
//!
//! // A UDP packet without payload from 10.0.0.9:53 to 10.0.0.1:31007, as raw IP.
//! let frame = [
//!     0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1, // IPv4
//!     0, 53, 0x79, 0x1f, 0, 8, 0, 0, // UDP
//! ];
//! let headers = parse(Link::Ip, &frame, 28)?;
//! let (direction, owner) = classifier.classify(&headers, Arriving::Either, 0);
//! assert_eq!((direction, owner), (Direction::Ingress, Some("web")));
//!
//! let flows = FlowKey::new([3, 4]);
//! let found = classifier.find(&flows, Link::Ip, &frame, 28, Arriving::Either, 0)?;
//! assert_eq!(found, Found { direction, owner, flow: flows.hash(&headers), ect: false });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod address_map;
mod classifier;
pub mod ecn;
mod flow;
mod fragments;
mod headers;
mod layer;
mod link;
mod malformed;
mod packet;
mod parse;
mod port_range;
mod rule;
mod table;

pub use classifier::{Arriving, Classifier, Direction, Found};
pub use flow::FlowKey;
pub use fragments::{DEFAULT_FRAGMENT_LIFETIME_NS, Fragments};
pub use headers::{Addresses, Fragment, Headers, Ports};
pub use link::Link;
pub use malformed::Malformed;
pub use packet::{Packet, ends};
pub use parse::parse;
pub use port_range::{PortRange, PortRangeError};
pub use rule::{Rule, RuleError};
pub use table::Table;

//! What a flow did in one second.

use crate::digest::Endpoint;
use crate::meter::{Meter, Traffic};
use crate::tags::Tag;

/// Which flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    /// Who began it.
    pub client: Endpoint,
    /// Who was spoken to.
    pub server: Endpoint,
    /// The IP protocol number.
    pub protocol: u8,
}

/// What a flow did in one second, or in a part of it: what is told of the same second adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which flow.
    pub flow: FlowId,
    /// The second, counted since 1970. Of an end it is that in which the flow had been silent for long enough.
    pub second: u64,
    /// What was counted.
    pub meter: Meter,
}

/// Who is told.
pub trait Sink {
    /// A flow did this.
    fn record(&mut self, record: &Record);

    /// Packets of a flow, in a second of which a record was told before, had this in common. Only if
    /// [`Config::tags`](crate::Config::tags) says so.
    fn tagged(&mut self, flow: &FlowId, second: u64, tag: Tag, traffic: &Traffic) {
        let _ = (flow, second, tag, traffic);
    }
}

impl<F: FnMut(&Record)> Sink for F {
    fn record(&mut self, record: &Record) {
        self(record);
    }
}

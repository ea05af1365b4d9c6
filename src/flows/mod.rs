//! Flow metrics of captures, kept as Parquet.
//!
//! [`portlane_flows`] computes them; here is where its digests come from, and where its rows go.

mod columns;
mod figures;
pub mod heads;
pub(crate) mod names;
pub mod observation;
#[cfg(feature = "af-xdp")]
mod observer;
pub(crate) mod owners;
mod parquet;
#[cfg(feature = "af-xdp")]
mod recent;
mod settings;
#[cfg(feature = "af-xdp")]
mod shared;
mod store;
mod stored;

use std::io::Read;
use std::sync::Arc;

use portlane_classify::{Arriving, Link};
use portlane_flows::{Batch, Config, Counters, Digest, Rows, Table, Volume};
use portlane_pcap::Reader;

use crate::config::Plan;
use crate::failure::{Failure, tell};
use columns::Known;
pub use figures::{By, Figures, Line, Of, Told};
#[cfg(feature = "af-xdp")]
pub use observer::{Observer, SLOTS, Watched};
use owners::Owners;
#[cfg(feature = "af-xdp")]
pub use recent::LONGEST;
pub use settings::{Settings, StoreSettings};
#[cfg(feature = "af-xdp")]
pub use shared::Flows as Observed;
pub use store::Store;
pub use stored::told as stored;

/// Flows that live at a time, and pairs with ports in a second or minute: 240 MB of memory when there are as many.
const CAPACITY: usize = 262_144;

/// Replay is a pure function of its input: what is hashed live with a secret key, is hashed here with this one.
const KEY: [u64; 2] = [0, 0];

/// Reads a capture to its end, or to where it is damaged, and keeps what its flows did in `store`.
///
/// Owners are those of `plan`. After the last packet time runs on until all flows have ended.
///
/// # Errors
///
/// Failed if the store cannot be written; then it is as it was before.
pub fn replay<R: Read>(
    mut reader: Reader<R>,
    plan: &Plan,
    arriving: Arriving,
    mut store: Store,
) -> Result<(), Failure> {
    let mut flows = Flows::new(CAPACITY, plan, arriving);
    let names = plan.containers.iter().map(|container| container.id.as_str().into()).collect();
    let agent = plan.flows.as_ref().map_or(0, |flows| flows.agent);
    let known = Known { names, inventory: Arc::clone(&plan.inventory), agent };
    // Where the capture is damaged is for who replays its packets to say.
    while let Ok(Some(packet)) = reader.next() {
        let Some(link) = Link::from_linktype(packet.link.0) else { continue };
        let Some(digest) = flows.read(link, packet.data, packet.original_len, packet.time_ns) else { continue };
        flows.packet(&digest, &mut |batch| store.take(&batch, &known).map(drop))?;
    }
    let missing = flows.finish(&mut |batch| store.take(&batch, &known).map(drop))?;
    complain(&missing);
    store.finish()
}

/// A table, the rows that its records come to, and whose packets are.
struct Flows {
    table: Table,
    rows: Rows,
    owners: Owners,
    arriving: Arriving,
}

/// What found its way into no row.
struct Missing {
    counters: Counters,
    refused: Volume,
}

impl Flows {
    /// At most so many, of this plan's containers.
    fn new(capacity: usize, plan: &Plan, arriving: Arriving) -> Self {
        let config = Config { capacity, tags: true, ..Config::default() };
        let rows = Rows::new(capacity, &config.timeouts).with(Arc::clone(&plan.inventory));
        let owners = Owners::new(Arc::clone(&plan.owners), plan.host_addresses.clone(), KEY);
        Self { table: Table::new(config, KEY), rows, owners, arriving }
    }

    /// What is kept of a frame, if it can be read.
    fn read(&mut self, link: Link, frame: &[u8], wire_len: u32, time_ns: u64) -> Option<Digest> {
        let (digest, headers) = Digest::read_with_headers(link, frame, wire_len, time_ns).ok().flatten()?;
        let (source, destination) = self.owners.of(&headers, self.arriving, time_ns);
        Some(digest.owned_by(source, destination))
    }

    fn packet(&mut self, digest: &Digest, out: &mut impl Out) -> Result<(), Failure> {
        let Self { table, rows, .. } = self;
        let window = table.window();
        table.packet(digest, rows);
        if table.window() == window { Ok(()) } else { close_before(table.window(), rows, out) }
    }

    fn finish(self, out: &mut impl Out) -> Result<Missing, Failure> {
        let Self { table, mut rows, .. } = self;
        let counters = table.counters();
        table.finish(&mut rows);
        close_before(u64::MAX, &mut rows, out)?;
        Ok(Missing { counters, refused: rows.refused() })
    }
}

/// Where rows go.
trait Out: FnMut(Batch) -> Result<(), Failure> {}

impl<F: FnMut(Batch) -> Result<(), Failure>> Out for F {}

fn close_before(second: u64, rows: &mut Rows, out: &mut impl Out) -> Result<(), Failure> {
    let mut outcome = Ok(());
    rows.close_before(second, &mut |batch| {
        if outcome.is_ok() {
            outcome = out(batch);
        }
    });
    outcome
}

/// Says what is missing in the tables.
fn complain(missing: &Missing) {
    let Missing { counters, refused } = missing;
    let told = [
        (counters.refused, format!("{CAPACITY} flows lived already")),
        (counters.late, "they came more than a second after later ones".to_owned()),
        (*refused, format!("their second or minute had {CAPACITY} pairs already")),
    ];
    for (Volume { packets, bytes }, why) in told.into_iter().filter(|(volume, _)| volume.packets > 0) {
        tell(format!("warning: {packets} packets ({bytes} bytes) are missing in the tables of flows: {why}"));
    }
}

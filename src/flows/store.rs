//! A folder with tables, each in a folder of its own.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portlane_flows::{AclRow, Batch, EdgeRow, Grain, Inventory, PacketEdgeRow, PacketRow, SingleRow};
use tempfile::NamedTempFile;

use super::columns::{Known, Row};
use super::parquet::File;
use crate::config::Plan;
use crate::failure::Failure;

/// Parquet files under `DIR/TABLE.1s/` and `DIR/TABLE.1m/`.
///
/// A file is there once it is whole, under a name that says which seconds since 1970 it is about: `FIRST-LAST.parquet`.
/// Tables without rows get none.
pub struct Store {
    /// By grain, as [`Grain::ALL`].
    tables: [Tables; 2],
    names: Vec<String>,
    inventory: Arc<Inventory>,
    /// The folder of all, if it was not there before.
    _made: Option<Folder>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.tables[0].flow.folder.0).finish_non_exhaustive()
    }
}

/// A folder that goes again if nothing is in it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // It fails if there is something.
        let _ = fs::remove_dir(&self.0);
    }
}

/// The tables of one grain.
struct Tables {
    flow: Growing,
    flow_port: Growing,
    flow_edge: Growing,
    flow_edge_port: Growing,
    wan: Growing,
    acl: Growing,
    packet: Growing,
    packet_edge: Growing,
}

/// A file that is being written, under a name that readers pass over.
struct Growing {
    file: File<NamedTempFile>,
    folder: Folder,
    /// The starts of its first and last rows, in seconds.
    times: Option<(u64, u64)>,
}

impl Store {
    /// Makes the folders of all tables, and sees that files can be written there. `plan` says what containers are called.
    ///
    /// # Errors
    ///
    /// Refused if that is not so.
    pub fn create(folder: &Path, plan: &Plan) -> Result<Self, Failure> {
        let made = (!folder.exists()).then(|| Folder(folder.to_owned()));
        let tables = [Tables::create(folder, Grain::Second)?, Tables::create(folder, Grain::Minute)?];
        let names = plan.containers.iter().map(|container| container.id.clone()).collect();
        Ok(Self { tables, names, inventory: Arc::clone(&plan.inventory), _made: made })
    }

    /// Takes all rows of a second or a minute.
    pub(super) fn take(&mut self, batch: &Batch) -> Result<(), Failure> {
        let names = self.names.iter().map(String::as_str).collect();
        let known = Known { names, inventory: Cow::Borrowed(&self.inventory) };
        let [second, minute] = &mut self.tables;
        let tables = match batch.grain {
            Grain::Second => second,
            Grain::Minute => minute,
        };
        tables.flow.take(batch.start, &batch.flow, &known)?;
        tables.flow_port.take(batch.start, &batch.flow_port, &known)?;
        tables.flow_edge.take(batch.start, &batch.flow_edge, &known)?;
        tables.flow_edge_port.take(batch.start, &batch.flow_edge_port, &known)?;
        tables.wan.take(batch.start, &batch.wan, &known)?;
        tables.acl.take(batch.start, &batch.acl, &known)?;
        tables.packet.take(batch.start, &batch.packet, &known)?;
        tables.packet_edge.take(batch.start, &batch.packet_edge, &known)
    }

    /// Gives files their names.
    pub(super) fn finish(self) -> Result<(), Failure> {
        // The folder of all is looked at when those of the tables are done.
        let Self { tables, _made, .. } = self;
        for Tables { flow, flow_port, flow_edge, flow_edge_port, wan, acl, packet, packet_edge } in tables {
            let all = [flow, flow_port, flow_edge, flow_edge_port, wan, acl, packet, packet_edge];
            all.into_iter().try_for_each(Growing::finish)?;
        }
        Ok(())
    }
}

impl Tables {
    fn create(folder: &Path, grain: Grain) -> Result<Self, Failure> {
        let folder = |table| folder.join(format!("{table}.{}", suffix(grain)));
        Ok(Self {
            flow: Growing::create::<SingleRow>(folder("vtap_flow"), false)?,
            flow_port: Growing::create::<SingleRow>(folder("vtap_flow_port"), true)?,
            flow_edge: Growing::create::<EdgeRow>(folder("vtap_flow_edge"), false)?,
            flow_edge_port: Growing::create::<EdgeRow>(folder("vtap_flow_edge_port"), true)?,
            wan: Growing::create::<SingleRow>(folder("vtap_wan"), false)?,
            acl: Growing::create::<AclRow>(folder("vtap_acl"), false)?,
            packet: Growing::create::<PacketRow>(folder("vtap_packet"), false)?,
            packet_edge: Growing::create::<PacketEdgeRow>(folder("vtap_packet_edge"), false)?,
        })
    }
}

fn suffix(grain: Grain) -> &'static str {
    match grain {
        Grain::Second => "1s",
        Grain::Minute => "1m",
    }
}

impl Growing {
    fn create<R: Row>(folder: PathBuf, ports: bool) -> Result<Self, Failure> {
        let refused =
            |cause: &dyn fmt::Display| Failure::refused(format!("{} cannot be written: {cause}", folder.display()));
        fs::create_dir_all(&folder).map_err(|cause| refused(&cause))?;
        let made = Folder(folder.clone());
        let file = tempfile::Builder::new()
            .prefix(".")
            .suffix(".part")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&folder)
            .map_err(|cause| refused(&cause))?;
        let file = File::new::<R>(file, ports).map_err(|cause| refused(&cause))?;
        Ok(Self { file, folder: made, times: None })
    }

    fn take<R: Row>(&mut self, start: u64, rows: &[R], known: &Known<'_>) -> Result<(), Failure> {
        for row in rows {
            let (first, last) = self.times.unwrap_or((start, start));
            self.times = Some((first.min(start), last.max(start)));
            self.file.push(start, row, known).map_err(|cause| unwritable(&self.folder.0, &cause))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        // In this order: what is bound last goes first, and the folder after the file in it.
        let Self { folder, file, times } = self;
        let Some((first, last)) = times else { return Ok(()) };
        let file = file.finish().map_err(|cause| unwritable(&folder.0, &cause))?;
        file.as_file().sync_all().map_err(|cause| unwritable(&folder.0, &cause))?;
        let name = folder.0.join(format!("{first}-{last}.parquet"));
        file.persist(&name).map_err(|cause| unwritable(&name, &cause.error))?;
        Ok(())
    }
}

fn unwritable(path: &Path, cause: &dyn fmt::Display) -> Failure {
    Failure::failed(format!("{} cannot be written: {cause}", path.display()))
}

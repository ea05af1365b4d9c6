//! A folder with tables, each in a folder of its own.

#[cfg(feature = "af-xdp")]
mod keeper;
#[cfg(feature = "af-xdp")]
mod retention;
#[cfg(all(test, feature = "af-xdp"))]
mod tests;

use std::fmt;
use std::fs::{self, Permissions};
#[cfg(feature = "af-xdp")]
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use portlane_flows::{AclRow, Batch, EdgeRow, Grain, PacketEdgeRow, PacketRow, SingleRow};
use tempfile::NamedTempFile;

use super::columns::{Known, Row};
use super::parquet::File;
use crate::failure::Failure;
#[cfg(feature = "af-xdp")]
pub(super) use keeper::Keeper;

/// All tables.
const TABLES: [&str; 8] = [
    "vtap_flow",
    "vtap_flow_port",
    "vtap_flow_edge",
    "vtap_flow_edge_port",
    "vtap_wan",
    "vtap_acl",
    "vtap_packet",
    "vtap_packet_edge",
];

/// What files' names end with.
const SUFFIX: &str = "parquet";

/// What the names of files that grow begin and end with: readers pass over them.
const GROWING: [&str; 2] = [".", ".part"];

/// Parquet files under `DIR/TABLE.1s/` and `DIR/TABLE.1m/`.
///
/// A file is there once it is whole, under a name that says which seconds since 1970 it is about: `FIRST-LAST.parquet`.
/// Tables without rows get none.
pub struct Store {
    /// By grain, as [`Grain::ALL`].
    tables: [Tables; 2],
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
    /// Makes the folders of all tables, and sees that files can be written there.
    ///
    /// # Errors
    ///
    /// Refused if that is not so.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        let made = (!folder.exists()).then(|| Folder(folder.to_owned()));
        let tables = [Tables::create(folder, Grain::Second)?, Tables::create(folder, Grain::Minute)?];
        Ok(Self { tables, _made: made })
    }

    /// Takes all rows of a second or a minute. Returns how many they were.
    pub(super) fn take(&mut self, batch: &Batch, known: &Known) -> Result<u64, Failure> {
        let [second, minute] = &mut self.tables;
        let tables = match batch.grain {
            Grain::Second => second,
            Grain::Minute => minute,
        };
        tables.flow.take(batch.start, &batch.flow, known)?;
        tables.flow_port.take(batch.start, &batch.flow_port, known)?;
        tables.flow_edge.take(batch.start, &batch.flow_edge, known)?;
        tables.flow_edge_port.take(batch.start, &batch.flow_edge_port, known)?;
        tables.wan.take(batch.start, &batch.wan, known)?;
        tables.acl.take(batch.start, &batch.acl, known)?;
        tables.packet.take(batch.start, &batch.packet, known)?;
        tables.packet_edge.take(batch.start, &batch.packet_edge, known)?;
        Ok(rows(batch))
    }

    /// Gives files their names; those that have them already are replaced.
    pub(super) fn finish(self) -> Result<(), Failure> {
        self.finish_with(Growing::replace)
    }

    #[cfg(feature = "af-xdp")]
    /// Gives files their names; those that have them already stay, and the new ones get a number behind.
    pub(super) fn finish_beside(self) -> Result<(), Failure> {
        self.finish_with(Growing::join)
    }

    fn finish_with(self, name: impl Fn(Growing) -> Result<(), Failure>) -> Result<(), Failure> {
        // The folder of all is looked at when those of the tables are done.
        let Self { tables, _made } = self;
        for Tables { flow, flow_port, flow_edge, flow_edge_port, wan, acl, packet, packet_edge } in tables {
            let all = [flow, flow_port, flow_edge, flow_edge_port, wan, acl, packet, packet_edge];
            all.into_iter().try_for_each(&name)?;
        }
        Ok(())
    }
}

/// How many rows there are in all tables.
pub(super) fn rows(batch: &Batch) -> u64 {
    let Batch { flow, flow_port, flow_edge, flow_edge_port, wan, acl, packet, packet_edge, .. } = batch;
    let singles = flow.len() + flow_port.len() + wan.len() + acl.len() + packet.len();
    (singles + flow_edge.len() + flow_edge_port.len() + packet_edge.len()) as u64
}

impl Tables {
    fn create(folder: &Path, grain: Grain) -> Result<Self, Failure> {
        let [flow, flow_port, flow_edge, flow_edge_port, wan, acl, packet, packet_edge] =
            TABLES.map(|table| folder.join(format!("{table}.{}", suffix(grain))));
        Ok(Self {
            flow: Growing::create::<SingleRow>(flow, false)?,
            flow_port: Growing::create::<SingleRow>(flow_port, true)?,
            flow_edge: Growing::create::<EdgeRow>(flow_edge, false)?,
            flow_edge_port: Growing::create::<EdgeRow>(flow_edge_port, true)?,
            wan: Growing::create::<SingleRow>(wan, false)?,
            acl: Growing::create::<AclRow>(acl, false)?,
            packet: Growing::create::<PacketRow>(packet, false)?,
            packet_edge: Growing::create::<PacketEdgeRow>(packet_edge, false)?,
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
            .prefix(GROWING[0])
            .suffix(GROWING[1])
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&folder)
            .map_err(|cause| refused(&cause))?;
        let file = File::new::<R>(file, ports).map_err(|cause| refused(&cause))?;
        Ok(Self { file, folder: made, times: None })
    }

    fn take<R: Row>(&mut self, start: u64, rows: &[R], known: &Known) -> Result<(), Failure> {
        for row in rows {
            let (first, last) = self.times.unwrap_or((start, start));
            self.times = Some((first.min(start), last.max(start)));
            self.file.push(start, row, known).map_err(|cause| unwritable(&self.folder.0, &cause))?;
        }
        Ok(())
    }

    /// Replaces a file of these times.
    fn replace(self) -> Result<(), Failure> {
        self.named(|file, path, (first, last)| {
            let path = path.join(format!("{first}-{last}.{SUFFIX}"));
            file.persist(&path).map(drop).map_err(|refused| unwritable(&path, &refused.error))
        })
    }

    #[cfg(feature = "af-xdp")]
    /// Leaves other files of these times as they are.
    fn join(self) -> Result<(), Failure> {
        self.named(|mut file, path, (first, last)| {
            for number in 1.. {
                let number = if number == 1 { String::new() } else { format!("-{number}") };
                let path = path.join(format!("{first}-{last}{number}.{SUFFIX}"));
                match file.persist_noclobber(&path) {
                    Ok(_) => break,
                    Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => file = taken.file,
                    Err(refused) => return Err(unwritable(&path, &refused.error)),
                }
            }
            Ok(())
        })
    }

    fn named(self, name: impl FnOnce(NamedTempFile, &Path, (u64, u64)) -> Result<(), Failure>) -> Result<(), Failure> {
        // In this order: what is bound last goes first, and the folder after the file in it.
        let Self { folder, file, times } = self;
        let Some(times) = times else { return Ok(()) };
        let file = file.finish().map_err(|cause| unwritable(&folder.0, &cause))?;
        file.as_file().sync_all().map_err(|cause| unwritable(&folder.0, &cause))?;
        name(file, &folder.0, times)
    }
}

fn unwritable(path: &Path, cause: &dyn fmt::Display) -> Failure {
    Failure::failed(format!("{} cannot be written: {cause}", path.display()))
}

//! What a store says that flows did.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::figures::{By, Figures, Line, Of, Told};
use crate::failure::Failure;

/// Adds up the rows of minutes. `last`: of so many seconds before the end of the latest minute alone.
///
/// # Errors
///
/// Refused if there is no such table, or one of its files cannot be read.
pub fn told(store: &Path, by: By, last: Option<u64>, top: usize) -> Result<Told, Failure> {
    let table = store.join(match by {
        By::Container => "vtap_flow.1m",
        By::Port => "vtap_flow_port.1m",
        By::Pair => "vtap_flow_edge_port.1m",
    });
    let files = files(&table).map_err(|cause| {
        let remedy = "name the folder of [flows] store, or of `replay --flows`";
        Failure::refused(format!("{} cannot be read: {cause}: {remedy}", table.display()))
    })?;
    let until = files.iter().map(|file| file.last + MINUTE).max().unwrap_or_default();
    let from = last.map_or(0, |last| until.saturating_sub(last));
    let mut sums = Sums { by, from, earliest: until, lines: HashMap::new() };
    for file in files.iter().filter(|file| file.last >= from) {
        let unreadable = |cause: ParquetError| Failure::refused(format!("{}: {cause}", file.path.display()));
        sums.add(&file.path).map_err(unreadable)?;
    }
    let lines = sums.lines.into_iter().map(|(of, figures)| Line { of, figures }).collect();
    Ok(Told::new(by, (sums.earliest, until), 0, lines, top))
}

const MINUTE: u64 = 60;

/// A file of rows.
struct Kept {
    /// The second that its last rows begin at.
    last: u64,
    path: PathBuf,
}

/// The files of a table; others, and those that still grow, are passed over.
fn files(table: &Path) -> std::io::Result<Vec<Kept>> {
    let kept = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".parquet")?;
        let last = name.split('-').nth(1)?.parse().ok()?;
        Some(Kept { last, path })
    };
    fs::read_dir(table)?.map(|entry| Ok(kept(entry?.path()))).filter_map(Result::transpose).collect()
}

struct Sums {
    by: By,
    from: u64,
    earliest: u64,
    lines: HashMap<Of, Figures>,
}

impl Sums {
    fn add(&mut self, path: &Path) -> Result<(), ParquetError> {
        let reader = SerializedFileReader::new(fs::File::open(path)?)?;
        let schema = reader.metadata().file_metadata().schema();
        let wanted = |name: &str| TAGS.contains(&name) || Figures::NAMES.contains(&name);
        let fields = schema.get_fields().iter().filter(|field| wanted(field.name())).cloned().collect();
        let projection = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
        for row in reader.get_row_iter(Some(projection))? {
            self.row(&row?);
        }
        Ok(())
    }

    fn row(&mut self, row: &Row) {
        let (mut of, mut figures, mut start, mut serves) = (Of::default(), Figures::default(), 0, true);
        for (name, field) in row.get_column_iter() {
            match (name.as_str(), field) {
                ("time", Field::TimestampMicros(micros)) => start = u64::try_from(*micros).unwrap_or(0) / 1_000_000,
                ("direction", Field::Str(direction)) => serves = direction == "s2c",
                (_, Field::ULong(count)) => figures.get_mut(name).into_iter().for_each(|figure| *figure = *count),
                (tag, field) => self.tag(tag, field, &mut of),
            }
        }
        // Whoever is nobody's container is none, and clients have no ports.
        let is_meant = match self.by {
            By::Container => of.pod_id.is_some(),
            By::Port => of.pod_id.is_some() && serves,
            By::Pair => true,
        };
        if is_meant && start >= self.from {
            self.earliest = self.earliest.min(start);
            *self.lines.entry(of).or_default() += &figures;
        }
    }

    /// What figures are added up by is taken over.
    fn tag(&self, name: &str, field: &Field, of: &mut Of) {
        let text = || if let Field::Str(text) = field { text.as_str() } else { "" };
        let address = || text().parse::<IpAddr>().ok();
        match (self.by, name) {
            (By::Container | By::Port, "pod_id") => of.pod_id = Some(text().to_owned()).filter(|name| !name.is_empty()),
            (By::Pair, "ip_0") => of.ip_0 = address(),
            (By::Pair, "ip_1") => of.ip_1 = address(),
            (By::Pair, "pod_id_0") => of.pod_id_0 = Some(text().to_owned()),
            (By::Pair, "pod_id_1") => of.pod_id_1 = Some(text().to_owned()),
            (By::Port | By::Pair, "protocol") => {
                of.protocol = if let Field::UByte(n) = field { Some(*n) } else { None }
            }
            (By::Port | By::Pair, "server_port") => {
                of.server_port = if let Field::UShort(port) = field { Some(*port) } else { None };
            }
            _ => {}
        }
    }
}

/// Columns that rows are told apart by.
const TAGS: [&str; 9] =
    ["time", "pod_id", "ip_0", "pod_id_0", "ip_1", "pod_id_1", "protocol", "server_port", "direction"];

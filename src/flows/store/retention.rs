//! Which files go, and when.

use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portlane_flows::Grain;

use super::{GROWING, SUFFIX, TABLES, suffix};

/// A file of rows.
struct Kept {
    /// The second of its last rows.
    last: u64,
    bytes: u64,
    path: PathBuf,
}

/// Removes files whose last rows are of before a second, and the oldest ones until all have no more than `limit` bytes. Others than those of
/// tables are not looked at. Returns how many went.
pub(super) fn remove_old(folder: &Path, before: Option<u64>, limit: u64) -> Result<u64, String> {
    let mut files: Vec<_> = entries(folder)?.iter().filter_map(kept).collect();
    // Those of the same time in the same order always.
    files.sort_by(|one, other| (one.last, &one.path).cmp(&(other.last, &other.path)));
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let mut removed = 0;
    for file in files {
        let is_old = before.is_some_and(|before| file.last < before);
        if !is_old && bytes <= limit {
            break;
        }
        bytes -= file.bytes;
        remove(&file.path)?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes files that nobody has let grow for so long: whoever did was killed.
pub(super) fn remove_left(folder: &Path, silent: Duration) -> Result<(), String> {
    let is_left = |entry: &DirEntry| {
        let name = entry.file_name();
        let [prefix, suffix] = GROWING;
        let grows = name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix));
        let written = entry.metadata().and_then(|data| data.modified()).ok().and_then(|when| when.elapsed().ok());
        grows && written.is_some_and(|ago| ago > silent)
    };
    entries(folder)?.iter().filter(|entry| is_left(entry)).try_for_each(|entry| remove(&entry.path()))
}

/// What is in the folders of tables.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, String> {
    let mut all = Vec::new();
    for grain in Grain::ALL {
        for table in TABLES {
            let folder = folder.join(format!("{table}.{}", suffix(grain)));
            match fs::read_dir(&folder) {
                Ok(entries) => all.extend(entries.filter_map(Result::ok)),
                // Tables without rows have none.
                Err(cause) if cause.kind() == ErrorKind::NotFound => {}
                Err(cause) => return Err(format!("{} cannot be read: {cause}", folder.display())),
            }
        }
    }
    Ok(all)
}

fn kept(entry: &DirEntry) -> Option<Kept> {
    let path = entry.path();
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.strip_suffix('.')?;
    let mut numbers = name.split('-').map(str::parse::<u64>);
    let (_first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let bytes = entry.metadata().ok()?.len();
    numbers.all(|number| number.is_ok()).then_some(Kept { last, bytes, path })
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {cause}", path.display()))
        }
        _ => Ok(()),
    }
}

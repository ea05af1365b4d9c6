//! Reports that wait for their receiver: as files, or in memory where there can be none.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The end of a report's name; others of the folder are none of ours.
const SUFFIX: &str = ".events.json";

/// What happened to a report that was to wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Reports that had to go, for there is no room for more.
    pub(super) dropped: u64,
    /// Why it waits in memory and not in a file.
    pub(super) in_memory: Option<String>,
}

/// Reports in the order in which they came. The oldest go where there are more than there is room for.
#[derive(Debug)]
pub(super) struct Spool {
    folder: Option<PathBuf>,
    limit: u64,
    waiting: VecDeque<Report>,
    bytes: u64,
    next: u64,
}

#[derive(Debug)]
struct Report {
    /// Its file, or else itself.
    place: Result<PathBuf, Vec<u8>>,
    len: u64,
}

impl Spool {
    /// The spool of a folder, with all that waits there since earlier.
    ///
    /// # Errors
    ///
    /// The folder cannot be made, or not be read.
    pub(super) fn open(folder: Option<&Path>, limit: u64) -> io::Result<Self> {
        let mut spool = Self { folder: None, limit, waiting: VecDeque::new(), bytes: 0, next: 0 };
        let Some(folder) = folder else { return Ok(spool) };
        fs::create_dir_all(folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse::<u64>().ok());
            if let Some(number) = number {
                found.push((number, entry.path(), entry.metadata()?.len()));
            }
        }
        found.sort_unstable();
        for (number, path, len) in found {
            spool.next = number + 1;
            spool.bytes += len;
            spool.waiting.push_back(Report { place: Ok(path), len });
        }
        spool.folder = Some(folder.to_owned());
        Ok(spool)
    }

    /// Reports that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A report waits behind the others.
    pub(super) fn push(&mut self, report: &[u8]) -> Kept {
        let (number, len) = (self.next, report.len() as u64);
        self.next += 1;
        let written = self.folder.as_deref().map(|folder| write(folder, number, report)).transpose();
        let (place, in_memory) = match written {
            Ok(Some(path)) => (Ok(path), None),
            Ok(None) => (Err(report.to_vec()), None),
            Err(cause) => (Err(report.to_vec()), Some(cause.to_string())),
        };
        self.waiting.push_back(Report { place, len });
        self.bytes += len;
        let mut dropped = 0;
        while self.bytes > self.limit && self.pop() {
            dropped += 1;
        }
        Kept { dropped, in_memory }
    }

    /// The oldest; `None` if none waits. One whose file is gone or cannot be read is an error: it is still the oldest.
    pub(super) fn first(&self) -> Option<io::Result<Vec<u8>>> {
        let Report { place, .. } = self.waiting.front()?;
        Some(match place {
            Ok(path) => fs::read(path),
            Err(report) => Ok(report.clone()),
        })
    }

    /// The oldest waits no longer; false if there was none.
    pub(super) fn pop(&mut self) -> bool {
        let Some(Report { place, len }) = self.waiting.pop_front() else { return false };
        self.bytes -= len;
        if let Ok(path) = place {
            // One that cannot be removed is sent again by the next run: receivers know it by its ids.
            let _ = fs::remove_file(path);
        }
        true
    }

    /// Reports that wait in memory alone.
    pub(super) fn in_memory(&self) -> usize {
        self.waiting.iter().filter(|report| report.place.is_err()).count()
    }
}

/// A report is there when it is whole.
fn write(folder: &Path, number: u64, report: &[u8]) -> io::Result<PathBuf> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(report)?;
    file.as_file().sync_all()?;
    let path = folder.join(format!("{number:020}{SUFFIX}"));
    file.persist(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(spool: &Spool) -> Option<Vec<u8>> {
        spool.first().map(Result::unwrap)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        /// What is taken out are the youngest that there is room for, in their order, however often it is opened anew.
        #[test]
        fn behaves_like_a_bounded_queue(
            ops in prop::collection::vec(prop_oneof![4 => (0..60_usize).prop_map(Some), 3 => Just(None)], 1..60),
            in_folder in any::<bool>(),
        ) {
            const LIMIT: u64 = 200;
            let folder = tempfile::tempdir().unwrap();
            let open = || Spool::open(in_folder.then(|| folder.path()), LIMIT).unwrap();
            let (mut spool, mut model) = (open(), VecDeque::<Vec<u8>>::new());
            for (number, op) in ops.into_iter().enumerate() {
                if let Some(len) = op {
                    let report = vec![u8::try_from(number).unwrap(); len];
                    let kept = spool.push(&report);
                    model.push_back(report);
                    let mut dropped = 0;
                    while model.iter().map(Vec::len).sum::<usize>() as u64 > LIMIT {
                        model.pop_front();
                        dropped += 1;
                    }
                    prop_assert_eq!(kept, Kept { dropped, in_memory: None });
                } else if number % 3 == 0 && in_folder {
                    spool = open();
                } else {
                    prop_assert_eq!(spool.pop(), model.pop_front().is_some());
                }
                prop_assert_eq!(read(&spool), model.front().cloned());
                prop_assert_eq!(spool.len(), model.len());
            }
        }
    }

    #[test]
    fn others_files_and_halves_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["notes.txt", ".tmpHalf", "x.events.json"] {
            fs::write(folder.path().join(name), "not a report").unwrap();
        }
        let mut spool = Spool::open(Some(folder.path()), 1_000).unwrap();
        assert_eq!(spool.len(), 0);
        spool.push(b"[1]");
        assert!(spool.pop() && !spool.pop());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_folder_that_goes_away_is_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(Some(&folder.path().join("spool")), 1_000).unwrap();
        fs::remove_dir(folder.path().join("spool")).unwrap();
        let kept = spool.push(b"[1]");
        assert!(kept.in_memory.is_some_and(|why| why.contains("No such file")));
        assert_eq!((read(&spool), spool.in_memory()), (Some(b"[1]".to_vec()), 1));
    }
}

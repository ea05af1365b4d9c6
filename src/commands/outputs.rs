//! What a command writes: to standard output, and to files. None of these is emptied before all are known to be
//! writable, and to be none that it reads.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use portlane_stats::histogram::{LaneHistogram, Percentiles};

use crate::failure::Failure;

/// Writes to standard output; where that is closed or full, the command has failed.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|cause| Failure::failed(format!("standard output cannot be written: {cause}")))
}

/// Writes sojourn times to the file that was opened for them, if one was asked for.
pub(crate) fn write_percentiles(
    file: Option<File>,
    path: Option<&Path>,
    sojourns: &LaneHistogram,
) -> Result<(), Failure> {
    let (Some(mut file), Some(path)) = (file, path) else { return Ok(()) };
    let text = Percentiles(sojourns).to_string();
    file.write_all(text.as_bytes())
        .map_err(|cause| Failure::failed(format!("{} cannot be written: {cause}", path.display())))
}

/// An output that is open, and as it was before.
struct Output<'a> {
    path: &'a Path,
    file: File,
    identity: Option<(u64, u64)>,
    is_new: bool,
}

/// Opens the outputs that are asked for, all of them or none, and empties them.
///
/// # Errors
///
/// Refused if one cannot be written, is one of `inputs`, or is the same file as another; files are then as they were.
pub(crate) fn create<const N: usize>(
    paths: [Option<&Path>; N],
    inputs: &[&Path],
) -> Result<[Option<File>; N], Failure> {
    let taken: Vec<_> = inputs.iter().filter_map(|path| Some((*path, identity(&path.metadata().ok()?)?))).collect();
    let mut opened = Vec::new();
    for &path in paths.iter().flatten() {
        let output = open(path).and_then(|output| {
            opened.push(output);
            check(&opened, &taken)
        });
        if let Err(refused) = output {
            opened.iter().filter(|output| output.is_new).for_each(|output| drop(fs::remove_file(output.path)));
            return Err(refused);
        }
    }
    for output in opened.iter().filter(|output| output.identity.is_some()) {
        output.file.set_len(0).map_err(|cause| unwritable(output.path, &cause))?;
    }
    let mut files = opened.into_iter().map(|output| output.file);
    Ok(paths.map(|path| path.and_then(|_| files.next())))
}

/// Opens a file without emptying it.
fn open(path: &Path) -> Result<Output<'_>, Failure> {
    let is_new = !path.exists();
    let opened = File::options().write(true).create(true).truncate(false).open(path);
    let (file, metadata) = opened
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)))
        .map_err(|cause| unwritable(path, &cause))?;
    Ok(Output { path, file, identity: identity(&metadata), is_new })
}

/// Whether the output opened last is another file than all before.
fn check(opened: &[Output<'_>], inputs: &[(&Path, (u64, u64))]) -> Result<(), Failure> {
    let Some((Output { path, identity: Some(identity), .. }, before)) = opened.split_last() else { return Ok(()) };
    let path = path.display();
    if let Some((input, _)) = inputs.iter().find(|(_, input)| input == identity) {
        let message = format!("{path} would overwrite the input {}: write to another file", input.display());
        return Err(Failure::refused(message));
    }
    if let Some(other) = before.iter().find(|other| other.identity.as_ref() == Some(identity)) {
        let message = format!("{path} and {} are the same file: give each output its own", other.path.display());
        return Err(Failure::refused(message));
    }
    Ok(())
}

/// Device and inode: what makes two names one file. Nothing is lost by writing twice to what is no regular file.
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

fn unwritable(path: &Path, cause: &io::Error) -> Failure {
    Failure::refused(format!("{} cannot be written: {cause}", path.display()))
}

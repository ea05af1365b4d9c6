//! `portlane capture`: frames of a running portlane into a file.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::outputs;
use crate::args::Capture;
use crate::capture::Request;
use crate::control::client::{self, AskError, Captured};
use crate::failure::{self, Failure};

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::refused(error)
    }
}

/// Runs the command.
///
/// # Errors
///
/// Refused if nobody listens on the socket, portlane refuses, or the output cannot be made; failed if the output cannot be
/// written, or portlane has ended.
pub fn run(arguments: &Capture) -> Result<(), Failure> {
    let request = Request {
        seconds: arguments.seconds,
        container: arguments.container.clone(),
        drops: arguments.drops,
        snap: arguments.snap,
        count: arguments.count,
        buffer: arguments.buffer.0,
    };
    let stop = stop_on_signals()?;
    let (output, frames) = (arguments.output.as_path(), &RefCell::new(Frames::default()));
    let begin = || {
        let mut file = open(output)?;
        Ok(move |bytes: &[u8]| {
            frames.borrow_mut().count(bytes);
            file.write_all(bytes).map_err(|cause| unwritable(output, &cause))
        })
    };
    let captured = client::capture(&arguments.socket, &request, begin, || stop.load(Ordering::Relaxed))?;
    let written = frames.borrow().written;
    tell(&captured, written, stop.load(Ordering::Relaxed))
}

/// Standard output for `-`.
fn open(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout().lock()));
    }
    let [file] = outputs::create([Some(path)], &[])?;
    let file: Option<File> = file;
    file.map(|file| Box::new(file) as Box<dyn Write>).ok_or_else(|| Failure::failed("no output was opened"))
}

fn tell(captured: &Captured, written: u64, stopped: bool) -> Result<(), Failure> {
    let frames = |count: u64| format!("{count} {}", if count == 1 { "frame" } else { "frames" });
    if let Some(why) = &captured.why {
        failure::tell(why);
    }
    match captured.counts {
        Some((_, 0)) => failure::tell(format!("{} captured, none lost", frames(written))),
        Some((seen, lost)) => {
            let of = format!("of {}, {} found no room", frames(seen), frames(lost));
            failure::tell(format!("{} captured; {of}: a larger --buffer or a smaller --snap helps", frames(written)));
        }
        None if stopped => failure::tell(format!("{} captured until it was stopped", frames(written))),
        None => {
            let why = "portlane has ended the capture: what is there so far can be read";
            return Err(Failure::failed(format!("{} captured; {why}", frames(written))));
        }
    }
    Ok(())
}

fn unwritable(path: &Path, cause: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {cause}", path.display()))
}

/// A flag that SIGINT and SIGTERM set.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Failure::failed)?;
    }
    Ok(stop)
}

/// Counts the frames of a capture that passes in pieces: its packet blocks.
#[derive(Debug, Default)]
struct Frames {
    written: u64,
    /// Bytes that are left of the current block.
    left: usize,
    /// The beginning of the next: its type and length.
    head: Vec<u8>,
}

impl Frames {
    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            (self.left, bytes) = (self.left - skipped, &bytes[skipped..]);
            if self.left == 0 && !bytes.is_empty() {
                let (head, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                self.begin_block();
            }
        }
    }

    fn begin_block(&mut self) {
        let Some(&[t0, t1, t2, t3, l0, l1, l2, l3]) = self.head.first_chunk::<HEAD>() else { return };
        self.written += u64::from(u32::from_le_bytes([t0, t1, t2, t3]) == PACKET);
        self.left = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX).saturating_sub(HEAD);
        self.head.clear();
    }
}

/// Bytes of a block's type and length.
const HEAD: usize = 8;

/// The type of an Enhanced Packet Block (draft-ietf-opsawg-pcapng, section 4.3).
const PACKET: u32 = 6;

#[cfg(test)]
mod tests {
    use super::Frames;

    #[test]
    fn frames_are_counted_however_they_come() {
        let block = |kind: u32, len: u32| {
            let mut block = [kind.to_le_bytes(), len.to_le_bytes()].concat();
            block.resize(len as usize, 6);
            block
        };
        let capture = [block(0x0a0d_0d0a, 28), block(6, 32), block(5, 16), block(6, 12), block(6, 100)].concat();
        for size in 1..=capture.len() {
            let mut frames = Frames::default();
            capture.chunks(size).for_each(|piece| frames.count(piece));
            assert_eq!((frames.written, frames.left), (3, 0), "in pieces of {size}");
        }
    }
}

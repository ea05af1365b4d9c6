//! Frames of any content, offered at full rate.

use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use aya::EbpfLoader;
use aya::maps::Array;
use aya::programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions, Xdp};
use nix::net::if_::if_nametoindex;
use portlane::netns::Namespace;

/// The lengths that a frame may have, Ethernet's header included.
const HEADER: usize = 14;
const LONGEST: usize = 1_514;

/// `struct frame` of offer.bpf.c.
type Entry = [u8; 4 + LONGEST + 2];

/// Frames of one system call. To begin and to end one takes the kernel some 25 ms.
const AT_ONCE: u32 = 1 << 17;

/// Frames that the kernel makes at a time, of the 256 that a veth's ring takes.
const BATCH: u32 = 64;

/// Frames sent in turns by an interface, as fast as one core makes them, until dropped. What is at the other end of the pair must
/// run an XDP program, and gets them without another core's help.
pub(crate) struct Offer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<u64>>>,
}

impl Offer {
    /// Begins; what does not fit into a frame of Ethernet is no frame.
    pub(crate) fn start(from: &Namespace, interface: &'static str, frames: &[Vec<u8>]) -> Self {
        assert!(frames.iter().all(|frame| (HEADER..=LONGEST).contains(&frame.len())));
        let entries: Vec<_> = frames.iter().map(|frame| entry(frame)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = from.spawn("offer", move || offer(interface, &entries, &stopped)).unwrap();
        Self { stop, thread: Some(thread) }
    }

    /// Ends it, and returns how many frames were offered: those for which there was no room in the pair's ring as well.
    pub(crate) fn stop(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        ended.map_or(0, |ended| ended.unwrap_or_else(|panic| resume_unwind(panic)).unwrap())
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.end();
    }
}

fn entry(frame: &[u8]) -> Entry {
    let mut entry = [0; size_of::<Entry>()];
    entry[..4].copy_from_slice(&u32::try_from(frame.len()).unwrap().to_ne_bytes());
    entry[4..4 + frame.len()].copy_from_slice(frame);
    entry
}

fn offer(interface: &str, entries: &[Entry], stop: &AtomicBool) -> u64 {
    // The last core is the worker's.
    let _ =
        core_affinity::get_core_ids().and_then(|cores| core_affinity::set_for_current(*cores.first()?).then_some(()));
    let (interface, count) = (if_nametoindex(interface).unwrap(), u32::try_from(entries.len()).unwrap());
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("frames", count);
    loader.override_global("interface", &interface, true).override_global("count", &count, true);
    let mut loaded = loader.load(object()).unwrap();
    let mut frames = Array::<_, Entry>::try_from(loaded.map_mut("frames").unwrap()).unwrap();
    for (place, entry) in (0..).zip(entries) {
        frames.set(place, entry, 0).unwrap();
    }
    let program: &mut Xdp = loaded.program_mut("offer").unwrap().try_into().unwrap();
    program.load().unwrap();
    // Once at least: on a busy core it may be told to end before it has begun.
    loop {
        let attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
        let data_in = Some(&[0; LONGEST][..]);
        let options = TestRunOptions { data_in, repeat: AT_ONCE, attrs, ..TestRunOptions::default() };
        match program.test_run(options) {
            Err(ProgramError::SyscallError(why)) if why.io_error.kind() == ErrorKind::Interrupted => {}
            outcome => _ = outcome.unwrap(),
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let globals = Array::<_, u64>::try_from(loaded.map(".bss").unwrap()).unwrap();
    globals.get(&0, 0).unwrap()
}

/// The program, compiled once.
pub(crate) fn object() -> &'static [u8] {
    static OBJECT: OnceLock<Vec<u8>> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/netns");
        let machine = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
        let mut clang = Command::new(std::env::var_os("CLANG").unwrap_or_else(|| "clang".into()));
        clang.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-idirafter", &machine]);
        clang.args(["-I", "../../rings/bpf", "-c", "offer.bpf.c", "-o", "-"]).current_dir(folder);
        let output = clang.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "clang ended with {}", output.status);
        output.stdout
    })
}

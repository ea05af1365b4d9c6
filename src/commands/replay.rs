//! `portlane replay`: a capture through the lanes, in virtual time.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use portlane_classify::{Arriving, Direction};
use portlane_pcap::{Capture, Reader, Writer};
use portlane_rings::{Device, Layout, Pool};
use portlane_shaper::{Nanos, Wake};
use portlane_stats::render::Format;
use portlane_stats::snapshot::{Directions, Snapshot};

use crate::args::Replay;
use crate::build;
use crate::commands::outputs;
use crate::config::{self, Plan};
use crate::failure::Failure;
use crate::flows::{self, Store};
use crate::line::{BATCH, Line, Port};
use crate::report::{self, Context};

/// Bytes of a frame, from one to the next: an Ethernet packet and some; captures keep what is longer beside it. Not a
/// power of two, so that headers spread over the cache.
const FRAME_SIZE: u32 = 2_112;

/// The most frames for packets that wait: 1.1 GB of memory when as many wait at the same time. What is never used costs
/// none.
const MAX_FRAMES: u32 = 524_287;

/// Replay is a pure function of its input: what is hashed live with a secret key, is hashed here with this one.
const KEY: [u64; 2] = [0, 0];

/// Turns between two looks at the progress bar.
const PROGRESS_EVERY: u32 = 64;

/// Where 64 bits of nanoseconds end. Sums of times stop there, so no packet leaves then: its wait may be longer.
const END_OF_TIME: Nanos = Nanos(u64::MAX);

/// What brings a replay there.
const OUT_OF_TIME: &str = "the capture's times are close to the year 2554, or a rate is very low";

type Replayed<R, W> = Line<Capture<R, W>>;

/// Runs the command.
///
/// # Errors
///
/// Refused if the configuration or the capture cannot be used, or an output cannot be made; failed if the capture turns
/// out to be damaged (everything before the damage has been replayed and written), or an output cannot be written.
pub fn run(arguments: &Replay) -> Result<(), Failure> {
    let plan = config::load(&arguments.config).map_err(Failure::refused)?;
    let reader = Reader::open(&arguments.input).map_err(Failure::refused)?;
    let mut pool = pool(&plan)?;
    let flows = arguments.flows.as_deref().map(|folder| flows(arguments, folder)).transpose()?;
    let paths = [arguments.write.as_deref(), arguments.stats.as_deref(), arguments.hgrm.as_deref()];
    let [capture, stats, hgrm] = outputs::create(paths, &[&arguments.input, &arguments.config])?;
    let writer = capture.map(Writer::new).transpose().map_err(|cause| unwritable(arguments, &cause))?;

    let capture = Capture::new(reader, writer, &mut pool);
    let (mut line, started) = begin(&plan, pool, capture, arguments.direction.into());
    let length = std::fs::metadata(&arguments.input).map_or(0, |file| file.len());
    let now = play(&mut line, started, &progress_bar(length)).map_err(|cause| unwritable(arguments, &cause))?;
    let snapshot = read(&line, &plan, started, now);
    let device = line.ports.swap_remove(0).device;
    let whole = device.finish().map_err(|cause| unwritable(arguments, &cause))?;
    report(arguments, stats, &snapshot)?;
    if let Some((reader, store)) = flows {
        flows::replay(reader, &plan, arguments.direction.into(), store)?;
    }
    outputs::write_percentiles(hgrm, arguments.hgrm.as_deref(), &report::sojourns(&line))?;
    whole.map_err(|damage| Failure::failed(format!("{}: {damage}", arguments.input.display())))?;
    if now == END_OF_TIME {
        let name = arguments.input.display();
        return Err(Failure::failed(format!("{name}: time ended before all packets had left: {OUT_OF_TIME}")));
    }
    Ok(())
}

/// What a configuration makes of a capture's packets, which leave for nowhere.
///
/// # Errors
///
/// Refused without memory for them.
#[cfg(feature = "af-xdp")]
pub(crate) fn shaped<R: Read>(plan: &Plan, reader: Reader<R>, arriving: Arriving) -> Result<Snapshot, Failure> {
    let mut pool = pool(plan)?;
    let capture = Capture::<R, io::Sink>::new(reader, None, &mut pool);
    let (mut line, started) = begin(plan, pool, capture, arriving);
    let now = play(&mut line, started, &ProgressBar::hidden()).map_err(Failure::failed)?;
    Ok(read(&line, plan, started, now))
}

/// The line, and when its time begins.
fn begin<R: Read, W: Write>(
    plan: &Plan,
    pool: Pool,
    mut capture: Capture<R, W>,
    arriving: Arriving,
) -> (Replayed<R, W>, Nanos) {
    capture.receive_until(END_OF_TIME.0 - 1);
    let started = Nanos(capture.next_arrival().unwrap_or(0));
    let port = Port { device: capture, arriving };
    (build::line(plan, pool, vec![port], [0, 0], KEY, started), started)
}

/// Lets time run from event to event until nothing arrives and nothing waits, or time ends; returns when that was.
fn play<R: Read, W: Write>(line: &mut Replayed<R, W>, started: Nanos, progress: &ProgressBar) -> io::Result<Nanos> {
    let mut now = started;
    let mut turns = 0_u32;
    loop {
        let arrival = line.ports[0].device.next_arrival().map(Nanos);
        now = match (arrival, line.next_wake(now)) {
            (_, Wake::Now) => now,
            (Some(arrival), Wake::At(wake)) => arrival.min(wake),
            (Some(arrival), Wake::Never) => arrival,
            (None, Wake::At(wake)) => wake,
            (None, Wake::Never) => break,
        };
        if now == END_OF_TIME {
            break;
        }
        line.ports[0].device.set_now(now.0);
        line.turn(now)?;
        now = Nanos(line.ports[0].device.now());
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(PROGRESS_EVERY) {
            progress.set_position(line.ports[0].device.bytes_read());
        }
    }
    progress.finish_and_clear();
    // What left in the last turn is still to be written.
    line.ports[0].device.write_out(&line.pool)?;
    Ok(now)
}

/// Frames enough for every lane to be full, as long as that is no more than [`MAX_FRAMES`].
fn pool(plan: &Plan) -> Result<Pool, Failure> {
    let lanes = plan.containers.iter().flat_map(|container| &container.lanes);
    let limits = lanes.chain([&plan.unmatched; Direction::ALL.len()]).map(|lane| u64::from(lane.queue.limit));
    let spare = 8 * BATCH as u64;
    let frames = u32::try_from(limits.sum::<u64>() + spare).unwrap_or(MAX_FRAMES).min(MAX_FRAMES);
    let frames = frames + Capture::<File, File>::FRAMES;
    let layout = Layout { frames, frame_size: FRAME_SIZE };
    Pool::new(layout).map_err(|cause| {
        let needed = layout.bytes().div_ceil(1_000_000);
        Failure::refused(format!(
            "{needed} MB of memory for {frames} packets: {cause}: allow more (ulimit -v), or lower the limits of queues"
        ))
    })
}

/// The capture once more, and where its flows go: they are of packets as they came, whatever became of them later.
fn flows(arguments: &Replay, folder: &Path) -> Result<(Reader<File>, Store), Failure> {
    let input = &arguments.input;
    if !input.is_file() {
        let message = format!("{} is read once more for --flows: give it as a file", input.display());
        return Err(Failure::refused(message));
    }
    let reader = Reader::open(input).map_err(Failure::refused)?;
    Ok((reader, Store::create(folder)?))
}

fn read<R: Read, W: Write>(line: &Replayed<R, W>, plan: &Plan, started: Nanos, now: Nanos) -> Snapshot {
    let context = Context {
        started,
        devices: Directions { ingress: "replay".to_owned(), egress: "replay".to_owned() },
        backwards_timestamps: line.ports[0].device.backwards(),
        ..Context::default()
    };
    report::snapshot(line, plan, &context, now)
}

fn report(arguments: &Replay, stats: Option<File>, snapshot: &Snapshot) -> Result<(), Failure> {
    let default = if stats.is_some() { Format::Json } else { Format::Text };
    let text = arguments.format.unwrap_or(default).render(snapshot);
    let (result, name) = match (stats, &arguments.stats) {
        (Some(mut file), Some(path)) => (file.write_all(text.as_bytes()), path.display().to_string()),
        _ => (io::stdout().write_all(text.as_bytes()), "standard output".to_owned()),
    };
    result.map_err(|cause| Failure::failed(format!("{name} cannot be written: {cause}")))
}

fn unwritable(arguments: &Replay, cause: &io::Error) -> Failure {
    let name = arguments.write.as_deref().unwrap_or_else(|| Path::new("the output")).display();
    Failure::failed(format!("{name} cannot be written: {cause}; what is there so far is not complete"))
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(length: u64) -> ProgressBar {
    if length == 0 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}");
    ProgressBar::new(length).with_style(style.expect("the template is valid"))
}

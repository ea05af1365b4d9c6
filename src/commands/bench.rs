//! `portlane bench`: what a packet costs.

use super::outputs;
use crate::args::Bench;
use crate::bench::{self, Options};
use crate::failure::Failure;

/// Runs the command.
///
/// # Errors
///
/// Refused if there are fewer flows than containers, or not enough memory, or the output cannot be made; failed if it
/// cannot be written.
pub fn run(arguments: &Bench) -> Result<(), Failure> {
    let Bench { containers, packets, size, flows, frames, load, tcp, .. } = *arguments;
    let options = Options { containers, size, flows, frames, load, tcp };
    if arguments.flows_metrics {
        let observed = bench::measure_observed(&options, packets)?;
        let print = if arguments.json { bench::json_observed } else { bench::text_observed };
        return outputs::print(&print(&observed));
    }
    if arguments.workers > 1 {
        let together = bench::measure_together(&options, packets, arguments.workers)?;
        let print = if arguments.json { bench::json_together } else { bench::text_together };
        return outputs::print(&print(&together));
    }
    let [hgrm] = outputs::create([arguments.hgrm.as_deref()], &[])?;
    let measured = bench::measure(&options, packets)?;
    outputs::write_percentiles(hgrm, arguments.hgrm.as_deref(), &measured.sojourn)?;
    let print = if arguments.json { bench::json } else { bench::text };
    outputs::print(&print(&measured))
}

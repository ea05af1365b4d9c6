//! Queues: which keys each kind has, and what is meant where one is left out.

use portlane_shaper::{Aqm, FqParams, Nanos, QueueParams, codel};

use super::error::Problem;
use super::node::{Given, Queue, QueueKind, Value};

/// The queue of a node's `own` keys over those of `[defaults]`; warnings name it `who`.
pub(crate) fn queue(
    own: &Queue,
    default: &Queue,
    who: &str,
    warnings: &mut Vec<String>,
) -> Result<QueueParams, Problem> {
    let merged = own.over(default);
    let kind = merged.queue_kind();
    refuse_foreign_keys(own, kind)?;
    let mut params = match kind {
        QueueKind::Fifo => QueueParams::fifo(1_000),
        QueueKind::Codel => QueueParams::codel(codel(&merged, codel::Params::default())?),
        QueueKind::FqCodel => QueueParams { aqm: Aqm::FqCodel(fq_codel(&merged)?), ..QueueParams::default() },
    };
    if let Some(limit) = &merged.limit {
        params.limit = limit.get_ref().0;
    }
    // What a container inherits has been warned of where it stands.
    if own.target.is_some() || own.interval.is_some() {
        warn_of_slow_codel(&params, who, warnings);
    }
    Ok(params)
}

/// A key that the kind does not have would be obeyed by nobody.
fn refuse_foreign_keys(own: &Queue, kind: QueueKind) -> Result<(), Problem> {
    let refusal = |(key, place): Given, of: &str, is: &str| {
        let problem = Problem::at(place, format!("{key} is a key of kind \"{of}\", and this is of kind \"{is}\""));
        Err(problem.help(format!("use kind = \"{of}\", or leave {key} out")))
    };
    match (kind, own.of_codel().next(), own.of_fq_codel().next()) {
        (QueueKind::Fifo, Some(given), _) => refusal(given, "codel", "fifo"),
        (QueueKind::Fifo, _, Some(given)) => refusal(given, "fq_codel", "fifo"),
        (QueueKind::Codel, _, Some(given)) => refusal(given, "fq_codel", "codel"),
        _ => Ok(()),
    }
}

fn codel(written: &Queue, default: codel::Params) -> Result<codel::Params, Problem> {
    Ok(codel::Params {
        target: positive(&written.target, "target", default.target)?,
        interval: positive(&written.interval, "interval", default.interval)?,
        ecn: written.ecn.as_ref().map_or(default.ecn, |ecn| *ecn.get_ref()),
        ce_threshold: written.ce_threshold.as_ref().and_then(|threshold| threshold.get_ref().0.0),
        ..default
    })
}

fn fq_codel(written: &Queue) -> Result<FqParams, Problem> {
    let default = FqParams::default();
    let quantum = written.quantum.as_ref().and_then(|quantum| u32::try_from(quantum.get_ref().0.0.0).ok());
    Ok(FqParams {
        codel: codel(written, default.codel)?,
        flows: written.flows.as_ref().map_or(default.flows, |flows| flows.get_ref().0),
        quantum: quantum.unwrap_or(default.quantum),
        memory_limit: written.memory_limit.as_ref().map_or(default.memory_limit, |limit| limit.get_ref().0.0),
        drop_batch: written.drop_batch.as_ref().map_or(default.drop_batch, |batch| batch.get_ref().0),
    })
}

fn positive(value: &Value<Nanos>, key: &str, default: Nanos) -> Result<Nanos, Problem> {
    match value {
        None => Ok(default),
        Some(value) if value.get_ref().0 == Nanos::ZERO => {
            let problem = Problem::at(value.span(), format!("{key} is 0, and CoDel would drop whatever waits"));
            Err(problem.help(format!("give a time, as in {key} = \"{default}\"")))
        }
        Some(value) => Ok(value.get_ref().0),
    }
}

/// CoDel needs an interval in which a queue that is well behaved gets below its target.
fn warn_of_slow_codel(params: &QueueParams, who: &str, warnings: &mut Vec<String>) {
    if let Aqm::Codel(codel) | Aqm::FqCodel(FqParams { codel, .. }) = params.aqm
        && codel.target >= codel.interval
    {
        let (target, interval) = (codel.target, codel.interval);
        warnings.push(format!(
            "{who}: target {target} is not below interval {interval}; a target is about a twentieth of the interval"
        ));
    }
}

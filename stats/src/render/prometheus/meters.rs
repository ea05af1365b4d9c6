//! What was counted for labels of meters.

use std::fmt;

use super::exposition::{Kind, Writer, labels};
use crate::snapshot::{MeterReport, Snapshot};

pub(super) fn write(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    write_delivery(out, snapshot)?;
    if snapshot.meters.is_empty() {
        return Ok(());
    }
    write_of(out, snapshot, "portlane_meter", "for labels of meters", |meter| meter.container.is_none())?;
    if snapshot.meters.iter().any(|meter| meter.container.is_some()) {
        write_of(out, snapshot, "portlane_meter_container", "for labels of meters, by container", |meter| {
            meter.container.is_some()
        })?;
    }
    Ok(())
}

fn write_delivery(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let Some(delivery) = snapshot.meter_delivery else { return Ok(()) };
    let help = "Reports of meters that wait for their receiver.";
    out.family(Kind::Gauge, "portlane_meter_waiting_reports", help)?.sample("", delivery.waiting)?;
    let help = "Reports of meters that their receiver will not get: no room in the spool, or refused.";
    out.family(Kind::Counter, "portlane_meter_lost_reports", help)?.sample("", delivery.lost)?;
    let help = "Reports of meters that could not be written to the output.";
    out.family(Kind::Counter, "portlane_meter_unwritten_reports", help)?.sample("", delivery.unwritten)
}

fn write_of(
    out: &mut Writer,
    snapshot: &Snapshot,
    name: &str,
    what: &str,
    wanted: impl Fn(&MeterReport) -> bool,
) -> fmt::Result {
    type Figure = fn(&MeterReport) -> u64;
    let figures: [(&str, &str, Figure); 2] = [
        ("packets", "Packets counted", |meter| meter.packets),
        ("bytes", "Bytes counted, from the IP header on,", |meter| meter.bytes),
    ];
    for (figure, help, count) in figures {
        let mut family = out.family(Kind::Counter, &format!("{name}_{figure}"), &format!("{help} {what}."))?;
        for meter in snapshot.meters.iter().filter(|meter| wanted(meter)) {
            let (id, label) = (("label_id", meter.label_id.as_str()), ("label", meter.label.as_str()));
            let project = ("project_id", meter.project_id.as_str());
            let labels = match &meter.container {
                Some(container) => labels(&[id, label, project, ("container", container)]),
                None => labels(&[id, label, project]),
            };
            family.sample(&labels, count(meter))?;
        }
    }
    Ok(())
}

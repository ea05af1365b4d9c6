//! What was counted for labels of meters.

use std::fmt;

use super::exposition::{Kind, Writer, labels};
use crate::snapshot::{MeterReport, Snapshot};

pub(super) fn write(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
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

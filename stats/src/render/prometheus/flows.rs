//! How flows are observed, and what those of containers did.

use std::fmt;

use super::exposition::{Kind, Writer, labels, seconds_of_micros};
use crate::flows::{ContainerFlows, FlowTiming, FlowsReport, StoreReport};
use crate::snapshot::Snapshot;

pub(super) fn write(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let Some(flows) = &snapshot.flows else { return Ok(()) };
    write_packets(out, flows)?;
    write_containers(out, &flows.containers)?;
    flows.store.as_ref().map_or(Ok(()), |store| write_store(out, store))
}

fn write_packets(out: &mut Writer, flows: &FlowsReport) -> fmt::Result {
    out.family(Kind::Gauge, "portlane_flows_live", "Flows that live.")?.sample("", flows.live)?;
    let help = "Packets that were received, by what became of them where flows are observed.";
    let mut family = out.family(Kind::Counter, "portlane_flows_packets", help)?;
    for (fate, packets) in [
        ("counted", flows.counted.packets),
        ("refused", flows.refused.packets),
        ("late", flows.late.packets),
        ("lost", flows.lost.packets),
        ("repeated", flows.repeated_packets),
        ("other", flows.other_frames),
    ] {
        family.sample(&labels(&[("fate", fate)]), packets)?;
    }
    let help = "Packets of flows that are missing in rows, for want of room.";
    out.family(Kind::Counter, "portlane_flows_left_out_packets", help)?.sample("", flows.left_out.packets)?;
    let help = "Seconds and minutes whose rows were lost before they were kept.";
    out.family(Kind::Counter, "portlane_flows_lost_batches", help)?.sample("", flows.lost_batches)
}

fn write_store(out: &mut Writer, store: &StoreReport) -> fmt::Result {
    let counters = [
        ("rows", "Rows of flows in files that are whole.", store.rows),
        ("lost_rows", "Rows of flows that could not be written.", store.lost_rows),
        ("removed_files", "Files of rows that were removed for their age, or for their number.", store.removed_files),
    ];
    for (name, help, count) in counters {
        out.family(Kind::Counter, &format!("portlane_flows_store_{name}"), help)?.sample("", count)?;
    }
    let help = "Whether rows of flows can be written.";
    out.family(Kind::Gauge, "portlane_flows_store_up", help)?.sample("", u64::from(store.error.is_none()))
}

fn write_containers(out: &mut Writer, containers: &[ContainerFlows]) -> fmt::Result {
    type Figure = fn(&ContainerFlows) -> u64;
    let counters: [(&str, &str, Figure); 11] = [
        ("new", "Flows that began.", |of| of.new),
        ("closed", "Flows that ended.", |of| of.closed),
        ("retransmitted_packets", "Packets that the container sent again.", |of| of.retransmitted),
        ("retransmitted_to_packets", "Packets that the container received again.", |of| of.retransmitted_to),
        ("zero_windows", "Times that the container said that it can take no more.", |of| of.zero_windows),
        ("establish_failures", "Connections that were not established.", |of| of.establish_failures),
        ("transfer_failures", "Connections that failed after they were established.", |of| of.transfer_failures),
        ("requests", "Questions of HTTP and DNS.", |of| of.requests),
        ("responses", "Answers of HTTP and DNS.", |of| of.responses),
        ("errors", "Answers of HTTP and DNS that tell of an error.", |of| of.errors),
        ("timeouts", "Questions of HTTP and DNS without an answer.", |of| of.timeouts),
    ];
    for (name, help, figure) in counters {
        let mut family = out.family(Kind::Counter, &format!("portlane_container_flows_{name}"), help)?;
        for of in containers {
            family.sample(&labels(&[("container", &of.id)]), figure(of))?;
        }
    }
    type Timing = fn(&ContainerFlows) -> FlowTiming;
    let timings: [(&str, &str, Timing); 3] = [
        ("rtt", "Handshakes, from SYN to the ACK of SYN+ACK", |of| of.rtt),
        ("srt", "Questions, until they were acknowledged", |of| of.srt),
        ("art", "Questions, until they were answered", |of| of.art),
    ];
    for (name, what, timing) in timings {
        let seconds = format!("portlane_container_flows_{name}_seconds");
        let mut family = out.family(Kind::Counter, &seconds, &format!("{what}: the time of all together."))?;
        for of in containers {
            family.sample(&labels(&[("container", &of.id)]), seconds_of_micros(timing(of).sum_us))?;
        }
        let count = format!("portlane_container_flows_{name}");
        let mut family = out.family(Kind::Counter, &count, &format!("{what}: how many."))?;
        for of in containers {
            family.sample(&labels(&[("container", &of.id)]), timing(of).count)?;
        }
    }
    Ok(())
}

//! Which names go with which handles: JSON, an array with one object per container, then unmatched traffic.
//!
//! ```text
//! [{"id":"web","group":null,
//!   "ingress":{"dev":"veth-web","root":"1:","class":"1:2","leaf":"2:"},
//!   "egress":{"dev":"eth0","root":"1:","class":"1:2","leaf":"2:"}}, …]
//! ```
//!
//! The handles are those of [`render::tc`](super::tc) and of the `node_qdisc` metrics.

use serde::Serialize;

use super::handles::{self, LaneHandles, Others};
use crate::snapshot::{Directions, Snapshot};

#[derive(Serialize)]
struct Container<'a> {
    id: &'a str,
    group: Option<&'a str>,
    #[serde(flatten)]
    directions: Directions<Lane<'a>>,
}

#[derive(Serialize)]
struct Lane<'a> {
    dev: &'a str,
    root: String,
    class: String,
    leaf: String,
}

/// The report's names and handles as JSON on one line.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let containers = snapshot.with_leaving();
    let containers = containers.map(|one| (one.id.as_str(), one.group.as_deref(), handles::container(one.number)));
    let unmatched = Others::beside_containers_of(snapshot).unmatched();
    let all = containers.chain([("unmatched", None, unmatched)]);
    let all: Vec<_> = all.map(|(id, group, at)| Container { id, group, directions: both(snapshot, at) }).collect();
    let mut out = serde_json::to_string(&all).expect("plain structs with string keys do not refuse to be serialized");
    out.push('\n');
    out
}

fn both(snapshot: &Snapshot, at: LaneHandles) -> Directions<Lane<'_>> {
    let lane = |dev| Lane { dev, root: at.root().to_string(), class: at.class.to_string(), leaf: at.leaf.to_string() };
    Directions { ingress: lane(&snapshot.devices.ingress), egress: lane(&snapshot.devices.egress) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tc;
    use super::*;
    use crate::samples;

    #[test]
    fn each_name_has_the_handles_that_tc_shows() {
        let snapshot = samples::grouped();
        let text = render(&snapshot);
        assert!(text.starts_with(
            r#"[{"id":"web","group":"tenant-a","ingress":{"dev":"veth-web","root":"1:","class":"1:10","leaf":"10:"},"#
        ));
        let all: Value = serde_json::from_str(&text).unwrap();
        let ids: Vec<_> = all.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["web", "db", "unmatched"]);
        let shown = tc::render(&snapshot);
        for lane in all.as_array().unwrap().iter().flat_map(|one| [&one["ingress"], &one["egress"]]) {
            let [dev, root, class, leaf] = ["dev", "root", "class", "leaf"].map(|key| lane[key].as_str().unwrap());
            for begin in [
                format!("\nclass htb {class} dev {dev} "),
                format!(" {leaf} dev {dev} parent {class} "),
                format!("qdisc htb {root} dev {dev} root "),
            ] {
                assert!(shown.contains(&begin), "{begin} is not in\n{shown}");
            }
        }
    }
}

//! Any text, called a configuration.

use bolero::check;
use portlane::{commands::check::explain, config};
use portlane_classify::Direction;
use portlane_shaper::{GroupId, Limiter, Size, TreeParams};

use crate::{BUDGET, damage};

const SEEDS: [&str; 7] = [
    include_str!("../examples/replay.toml"),
    include_str!("../examples/tree.toml"),
    include_str!("__fuzz__/config/corpus/every_key"),
    include_str!("__fuzz__/config/corpus/later_keys"),
    include_str!("__fuzz__/config/corpus/circle"),
    include_str!("__fuzz__/config/corpus/overlap"),
    include_str!("__fuzz__/config/corpus/not_ascii"),
];

/// Values at the edges of what can be meant.
const EDGES: [&str; 20] = [
    "",
    "0",
    "none",
    "0bit",
    "1bit",
    "18446744073709551616bit",
    "9223372036854775807gbit",
    "1.5mbit",
    "-1kb",
    "1e9kb",
    "4294967296b",
    "0ns",
    "584y",
    "99999999999s",
    "0-0",
    "1-65535",
    "65535-1",
    "65536",
    "::",
    "٣mbit",
];

#[test]
fn any_text() {
    check!(name = "config").with_test_time(BUDGET).for_each(|input: &[u8]| {
        examine(&String::from_utf8_lossy(input));
        if let Some((&[seed, edges], script)) = input.split_first_chunk() {
            let seed = SEEDS[usize::from(seed) % SEEDS.len()];
            let edged = at_the_edges(seed, &script[..script.len().min(2 * usize::from(edges % 4))]);
            examine(&edged);
            examine(&String::from_utf8_lossy(&damage::damaged(edged.as_bytes(), script)));
        }
    });
}

fn examine(text: &str) {
    match config::parse(text, "fuzz.toml") {
        Ok(plan) => {
            assert!(!plan.containers.is_empty());
            assert!(explain(&plan).contains(&plan.containers[0].id));
            Direction::ALL.iter().for_each(|&direction| examine_tree(&plan.tree(direction)));
        }
        Err(error) => {
            let message = error.to_string();
            let title = message.lines().next().unwrap_or_default();
            assert!(title.starts_with("error: ") && title.len() > "error: ".len(), "{message:?} for {text:?}");
            assert!(message.contains("fuzz.toml"), "{message:?} does not name the file");
        }
    }
}

/// Whatever is accepted is a tree: all are under the link, through eight groups at most, with limits that can be kept.
fn examine_tree(tree: &TreeParams) {
    let above = |group: &GroupId| tree.groups[group.0 as usize].group;
    let in_groups = tree.lanes.iter().map(|lane| lane.group).chain(tree.groups.iter().map(|group| group.group));
    for group in in_groups {
        assert!(std::iter::successors(group, above).take(9).count() <= 8, "{tree:?}");
    }
    let of_lanes = tree.lanes.iter().filter_map(|lane| match lane.limiter {
        Limiter::Htb(shape) => Some(shape),
        Limiter::None | Limiter::Tbf { .. } => None,
    });
    for shape in of_lanes.chain(tree.groups.iter().filter_map(|group| group.shape)).chain(tree.link.shape) {
        assert!(shape.rate <= shape.ceil && shape.burst.min(shape.cburst) >= Size(1_514), "{shape:?}");
    }
}

/// Some of the values in quotes replaced: two bytes of the script say which, and by what.
fn at_the_edges(text: &str, script: &[u8]) -> String {
    let mut pieces: Vec<&str> = text.split('"').collect();
    let quoted = pieces.len() / 2;
    for pair in script.chunks_exact(2) {
        if quoted > 0 {
            pieces[usize::from(pair[0]) % quoted * 2 + 1] = EDGES[usize::from(pair[1]) % EDGES.len()];
        }
    }
    pieces.join("\"")
}

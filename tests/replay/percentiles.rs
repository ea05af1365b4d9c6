//! `--hgrm`: the sojourn times of all lanes, as HdrHistogram's tools read them.

use crate::scene::{Scene, THREE};
use crate::traffic::mixed;

#[test]
fn percentiles_are_of_every_packet_that_left() {
    let traffic: Vec<_> = mixed(2_000).into_iter().map(|offered| offered.packet).collect();
    let scene = Scene::new(THREE, &traffic);
    let replayed = scene.replay(&["--hgrm", "out.hgrm"]);
    let text = String::from_utf8(scene.bytes("out.hgrm")).unwrap();
    let trailer = |name: &str, place: usize| {
        let line = text.lines().find(|line| line.starts_with(&format!("#[{name}"))).unwrap();
        let numbers = line.split(['=', ',', ']']).filter_map(|part| part.trim().parse::<f64>().ok());
        numbers.collect::<Vec<_>>()[place]
    };
    assert_eq!(trailer("Max", 1), f64::from(u32::try_from(replayed.stats.totals.sent).unwrap()));
    let lanes = replayed.stats.ingress().chain(replayed.stats.egress());
    let longest = lanes.map(|(_, lane)| lane.sojourn_ns.max).max().unwrap();
    assert!(longest > 0, "somebody waited");
    assert_eq!(trailer("Max", 0), f64::from(u32::try_from(longest).unwrap()) / 1e3);
    let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
    assert!(last.contains(" 1.000000000000 "), "{text}");
}

#[test]
fn no_two_outputs_are_the_same_file() {
    let scene = Scene::new(THREE, &[]);
    let ending = scene.end(&["--hgrm", "out.json"]);
    assert_eq!(ending.code, Some(2), "{ending:?}");
    assert!(ending.stderr.contains("are the same file"), "{ending:?}");
}

//! Files that are kept while rows come, and which of them go.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use portlane_flows::{Batch, Endpoint, Grain, Meter, Side, SingleRow};
use portlane_shaper::Size;

use super::super::columns::Known;
use super::super::settings::StoreSettings;
use super::{Keeper, retention};

const NEVER: Duration = Duration::from_secs(100_000);

/// A second or a minute with two rows.
fn batch(grain: Grain, start: u64) -> Batch {
    let end = Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0, owner: None };
    let row = SingleRow { side: Side::Client, end, protocol: 6, flow_load: 1, meter: Meter::default() };
    Batch {
        grain,
        start,
        flow: vec![row],
        flow_port: vec![row],
        flow_edge: Vec::new(),
        flow_edge_port: Vec::new(),
        wan: Vec::new(),
        acl: Vec::new(),
        packet: Vec::new(),
        packet_edge: Vec::new(),
    }
}

fn settings(folder: &Path, every: Duration) -> StoreSettings {
    StoreSettings { folder: folder.to_owned(), every, age: None, limit: Size(1 << 30) }
}

/// All files, by their names below the folder, with their bytes.
fn files(folder: &Path) -> BTreeMap<String, u64> {
    let mut files = BTreeMap::new();
    for table in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        for file in fs::read_dir(table.path()).unwrap().map(Result::unwrap) {
            let name = [table.file_name(), file.file_name()].map(|name| name.into_string().unwrap()).join("/");
            files.insert(name, file.metadata().unwrap().len());
        }
    }
    files
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

#[test]
fn files_get_names_after_a_while_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let known = Known::default();
    let mut keeper = Keeper::open(settings(folder.path(), NEVER)).unwrap();
    keeper.take(&batch(Grain::Second, 1_000), &known);
    keeper.take(&batch(Grain::Second, 1_001), &known);
    keeper.take(&batch(Grain::Minute, 960), &known);
    keeper.tend();
    assert!(names(folder.path()).iter().all(|name| name.ends_with(".part")), "{:?}", names(folder.path()));
    keeper.finish();
    let first = ["vtap_flow.1m/960-960", "vtap_flow.1s/1000-1001", "vtap_flow_port.1m/960-960"];
    let kept = names(folder.path());
    assert_eq!(kept[..3], first.map(|name| format!("{name}.parquet")));
    assert_eq!((kept.len(), keeper.report().rows, keeper.report().lost_rows), (4, 6, 0));

    // Another run may be told of the rest of a minute.
    let mut keeper = Keeper::open(settings(folder.path(), Duration::ZERO)).unwrap();
    keeper.take(&batch(Grain::Minute, 960), &known);
    keeper.take(&batch(Grain::Minute, 960), &known);
    let beside = ["960-960-2", "960-960-3", "960-960"].map(|name| format!("vtap_flow.1m/{name}.parquet"));
    assert_eq!(names(folder.path())[..3], beside);
    assert_eq!(keeper.report().rows, 4);
}

#[test]
fn the_oldest_go_first_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::open(settings(folder.path(), Duration::ZERO)).unwrap();
    for start in [50, 10, 40, 20, 30] {
        keeper.take(&batch(Grain::Second, start), &Known::default());
    }
    let others = ["notes.parquet", "1-x.parquet", "5-5.txt", "5-5-x.parquet"];
    others.iter().for_each(|name| fs::write(folder.path().join("vtap_flow.1s").join(name), "others'").unwrap());
    let of_rows = |folder: &Path| {
        let mut seconds: Vec<_> =
            names(folder).iter().filter_map(|name| name.strip_suffix("0.parquet").map(str::to_owned)).collect();
        seconds.retain(|name| name.starts_with("vtap_flow.1s/"));
        seconds
    };
    assert_eq!(of_rows(folder.path()).len(), 5);
    assert_eq!(retention::remove_old(folder.path(), Some(20), u64::MAX), Ok(2));
    assert_eq!(of_rows(folder.path())[0], "vtap_flow.1s/20-2");
    let each = files(folder.path())["vtap_flow.1s/20-20.parquet"];
    let limit = files(folder.path())
        .iter()
        .filter(|(name, _)| name.ends_with("0.parquet"))
        .map(|(_, bytes)| bytes)
        .sum::<u64>()
        - 1;
    assert_eq!(retention::remove_old(folder.path(), None, limit), Ok(1));
    assert_eq!(retention::remove_old(folder.path(), None, 2 * each + each / 2), Ok(5));
    assert_eq!(of_rows(folder.path()), ["vtap_flow.1s/50-5"]);
    assert!(others.iter().all(|name| folder.path().join("vtap_flow.1s").join(name).exists()));
}

#[test]
fn what_a_killed_run_has_left_goes_when_nobody_can_be_writing_it() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("vtap_flow.1s");
    fs::create_dir(&table).unwrap();
    let left = table.join(".abc.part");
    fs::write(&left, "half").unwrap();
    retention::remove_left(folder.path(), Duration::from_secs(60)).unwrap();
    assert!(left.exists(), "somebody may be writing it");
    let long_ago = SystemTime::now() - Duration::from_secs(100);
    fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    retention::remove_left(folder.path(), Duration::from_secs(60)).unwrap();
    assert!(!left.exists());
}

#[test]
fn what_cannot_be_written_is_counted_and_later_rows_are_tried_again() {
    let all = tempfile::tempdir().unwrap();
    let folder = all.path().join("flows");
    let mut keeper = Keeper::open(settings(&folder, Duration::ZERO)).unwrap();
    keeper.take(&batch(Grain::Second, 1), &Known::default());
    assert_eq!(keeper.report().rows, 2);
    // Nobody can make a folder where a file is, not even root.
    fs::rename(&folder, all.path().join("before")).unwrap();
    fs::write(&folder, "in the way").unwrap();
    keeper.take(&batch(Grain::Second, 2), &Known::default());
    keeper.take(&batch(Grain::Second, 3), &Known::default());
    let report = keeper.report();
    assert_eq!((report.rows, report.lost_rows), (2, 4));
    assert!(
        report.error.as_ref().is_some_and(|why| why.contains("flows/vtap_flow.1s cannot be written")),
        "{report:?}"
    );
    fs::remove_file(&folder).unwrap();
    keeper.take(&batch(Grain::Second, 4), &Known::default());
    assert_eq!((keeper.report().rows, keeper.report().error.as_deref()), (4, None));
    assert_eq!(names(&folder), ["vtap_flow.1s/4-4.parquet", "vtap_flow_port.1s/4-4.parquet"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let all = tempfile::tempdir().unwrap();
    let file = all.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let refused = Keeper::open(settings(&file, NEVER)).unwrap_err();
    assert!(refused.code() == 2 && refused.message().contains("cannot be written"), "{refused:?}");
}

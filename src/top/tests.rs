//! Snapshots made by hand, what the model makes of them, and what is on the screen.

use std::collections::BTreeMap;

use portlane_stats::counters::{DropReason, LaneCounters, Volume};
use portlane_stats::histogram::Histograms;
use portlane_stats::lane::{
    ClassReport, HtbReport, LaneReading, LaneReport, LimitReport, LimitedBy, QueueReport, Rate,
};
use portlane_stats::snapshot::{
    ContainerReport, Directions, Gone, GroupReport, Identity, NodeReport, Snapshot, Totals,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::cells;
use super::model::{Direction, HISTORY, Lane, Model};
use super::screen;
use super::view::{Step, View};

const SECOND: u64 = 1_000_000_000;

fn htb(rate_bits_per_s: u64, ceil_bits_per_s: u64) -> HtbReport {
    HtbReport { rate_bits_per_s, ceil_bits_per_s, burst_bytes: 1600, cburst_bytes: 1600 }
}

/// A lane that has sent so many packets of 1,000 bytes, dropped and marked others, and has a limit.
fn lane(sent: u64, dropped: u64, limit: LimitReport) -> LaneReport {
    let volume = |packets: u64| Volume { packets, bytes: packets * 1000 };
    let queued = volume(2);
    let mut counters = LaneCounters { dequeued: volume(sent), sent: volume(sent), ecn_marks: 3, ..Default::default() };
    counters.offered = volume(sent + dropped).plus(queued);
    counters.dropped[DropReason::Codel.index()] = volume(dropped);
    let mut sojourn = Histograms::new(1);
    (0..100).for_each(|_| sojourn.record(0, 5_000_000));
    LaneReport::new(LaneReading {
        counters: &counters,
        queued,
        sent_rate: Rate::default(),
        dequeued_rate: Rate::default(),
        sojourn: &sojourn.lane(0),
        limit,
        class: ClassReport::default(),
        queue: QueueReport::Fifo { limit_packets: 10 },
        limited_by: LimitedBy::Rate,
    })
}

/// After so many seconds `web` has sent and dropped so many packets, others 1 each; `web` has 8 Mbit/s, `db` its group's.
fn snapshot(seconds: u64, sent: u64, dropped: u64) -> Snapshot {
    let idle = || lane(1, 0, LimitReport::None);
    let container = |id: &str, number, group: Option<&str>, egress| ContainerReport {
        id: id.to_owned(),
        number,
        group: group.map(str::to_owned),
        mesos: Identity::default(),
        ephemeral_ports: None,
        interface: None,
        ingress: idle(),
        egress,
    };
    let egress = NodeReport { limit: Some(htb(4_000_000, 16_000_000)), ..NodeReport::default() };
    let group = GroupReport {
        id: "tenant".to_owned(),
        number: 0,
        group: Some("tenant".to_owned()),
        ingress: NodeReport::default(),
        egress,
    };
    Snapshot {
        slices: 1,
        gone: Gone::default(),
        time_ns: seconds * SECOND,
        duration_ns: seconds * SECOND,
        devices: Directions::default(),
        mode: BTreeMap::new(),
        offloads: BTreeMap::new(),
        steering: BTreeMap::new(),
        attached: BTreeMap::new(),
        sockets: BTreeMap::new(),
        memory: None,
        workers: Vec::new(),
        totals: Totals { received: 7, sent: 4, dropped: 2, queued: 1, ..Totals::default() },
        link: Directions::default(),
        groups: vec![group],
        containers: vec![
            container("web", 0, None, lane(sent, dropped, LimitReport::Htb(htb(8_000_000, 8_000_000)))),
            container("db", 1, Some("tenant"), lane(1, 0, LimitReport::Htb(htb(1_000_000, HtbReport::NO_CEIL)))),
        ],
        unmatched: Directions { ingress: idle(), egress: idle() },
        leaving: Vec::new(),
        meters: Vec::new(),
        meter_delivery: None,
        netstat: BTreeMap::new(),
        wire_lost_packets: 0,
        flows: None,
    }
}

fn observed(snapshots: impl IntoIterator<Item = Snapshot>) -> Model {
    let mut model = Model::default();
    snapshots.into_iter().for_each(|snapshot| model.observe(snapshot));
    model
}

fn egress<'a>(model: &'a Model, id: &str) -> &'a Lane {
    model.lanes.iter().find(|lane| lane.key.id == id && lane.key.direction == Direction::Egress).unwrap()
}

#[test]
fn rates_are_of_the_time_between_two_snapshots() {
    let mut model = observed([snapshot(10, 1_000, 5)]);
    assert_eq!(egress(&model, "web").sent, Rate { bytes_per_s: 100_000, packets_per_s: 100 }, "since the start");
    model.observe(snapshot(12, 2_000, 6));
    let web = egress(&model, "web");
    assert_eq!((web.sent.packets_per_s, web.bits_per_s(), model.elapsed_ns), (500, 4_000_000, 2 * SECOND));
    assert_eq!((web.drops_in_10_s, web.marks_in_10_s), (5, 0));
    assert_eq!(web.used_per_mille(), Some(500));
    assert_eq!(egress(&model, "db").sent, Rate::default());
    model.observe(snapshot(12, 2_000, 6));
    assert_eq!(egress(&model, "web").sent.packets_per_s, 500, "the same snapshot again changes nothing");
    assert_eq!(egress(&model, "web").history, [100_000, 500_000]);
}

#[test]
fn a_portlane_that_was_started_anew_is_followed_from_there() {
    let mut model = observed([snapshot(10, 1_000, 0), snapshot(2, 100, 0)]);
    assert_eq!(egress(&model, "web").sent.packets_per_s, 50);
    model.observe(snapshot(3, 90, 0));
    assert_eq!(egress(&model, "web").sent.packets_per_s, 0, "a counter that went back is no rate");
}

#[test]
fn containers_come_and_go_and_histories_end() {
    let mut without = snapshot(2, 10, 0);
    without.containers.remove(0);
    let mut model = observed([snapshot(1, 10, 0), without, snapshot(3, 30, 0)]);
    assert_eq!(egress(&model, "web").history, [30_000], "it is another");
    assert_eq!((model.containers(), model.lanes.len()), (2, 6));
    (4..200).for_each(|second| model.observe(snapshot(second, 30, 0)));
    assert_eq!(egress(&model, "web").history.len(), HISTORY);
}

#[test]
fn what_may_be_sent_is_the_lowest_ceil() {
    let mut linked = snapshot(1, 1, 0);
    linked.link.egress.limit = Some(htb(12_000_000, 12_000_000));
    for (snapshot, [web, db, unmatched]) in
        [(snapshot(1, 1, 0), [Some(8), Some(16), None]), (linked, [Some(8), Some(12), Some(12)])]
    {
        let model = observed([snapshot]);
        let allowed = ["web", "db", "unmatched"].map(|id| egress(&model, id).allowed_bits_per_s);
        assert_eq!(allowed, [web, db, unmatched].map(|mbit: Option<u64>| mbit.map(|mbit| mbit * 1_000_000)));
    }
}

#[test]
fn figures_of_hostile_files_are_survived() {
    let mut odd = snapshot(1, 1, 0);
    odd.duration_ns = 0;
    odd.containers[0].egress.sent_bytes = u64::MAX;
    odd.containers[0].egress.drops.insert(DropReason::Limit, u64::MAX);
    odd.containers[0].egress.sojourn_octaves.counts = vec![u64::MAX; 99];
    odd.containers[1].egress.limit = LimitReport::Htb(htb(0, 0));
    odd.containers[1] = ContainerReport { number: 0, id: "web".to_owned(), ..odd.containers[1].clone() };
    let mut later = odd.clone();
    later.duration_ns = 1;
    let (model, mut view) = (observed([odd, later]), View::default());
    for key in ["", "\n"] {
        press(&mut view, &model, key);
        for (width, height) in [(0, 0), (1, 1), (3, 9), (200, 50)] {
            drawn(&model, &mut view, width, height);
        }
    }
}

#[test]
fn numbers_are_bars() {
    assert_eq!(cells::used(0), "             0%");
    assert_eq!(cells::used(500), "█████       50%");
    assert_eq!(cells::used(1006), "██████████ 101%");
    assert_eq!(cells::used(u64::MAX), "██████████>999%");
    assert_eq!(cells::trend([0, 1, 2, 7].into_iter(), 3), "▂▃█");
    assert_eq!(cells::trend([0, 0].into_iter(), 9), "▁▁");
    assert_eq!([0, 7, 99, 123].map(cells::tenths), ["0.0", "0.7", "9.9", "12"]);
}

/// What is on a screen of this size, line by line.
fn drawn(model: &Model, view: &mut View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    view.arrange(model);
    terminal.draw(|frame| screen::draw(frame, model, view)).unwrap();
    let cells = terminal.backend().buffer().content();
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    cells.chunks(usize::from(width.max(1))).map(|cells| line(cells).trim_end().to_owned()).collect()
}

/// Presses keys; `\n` is Enter, `\x1b` is Esc, `>` is the arrow down.
fn press(view: &mut View, model: &Model, keys: &str) -> Vec<Step> {
    let code = |c| match c {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        '>' => KeyCode::Down,
        c => KeyCode::Char(c),
    };
    let event = |c| Event::Key(KeyEvent::new(code(c), KeyModifiers::NONE));
    keys.chars().map(|c| view.take(&event(c), model)).collect()
}

/// The first words of the list's lines, container and direction.
fn listed(model: &Model, view: &mut View) -> Vec<String> {
    let lines = drawn(model, view, 140, 12);
    let words = |line: &String| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    lines[3..].iter().map(words).take_while(|words| !words.is_empty()).collect()
}

#[test]
fn the_list_shows_every_column() {
    let (model, mut view) = (observed([snapshot(10, 1_000, 5), snapshot(12, 2_000, 6)]), View::default());
    let lines = drawn(&model, &mut view, 140, 12);
    assert_eq!(lines[0], "portlane  2 containers, 12s counted  received 7 = sent 4 + dropped 2 + queued 1");
    assert_eq!(lines[1], "rates of 2s  6 lanes, both directions, by rate");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let headings = "container way rate limit used queue p50 p99 drops/s marks/s trend limited by";
    assert_eq!(words(&lines[2]), words(headings));
    assert_eq!(words(&lines[3]), words("web egress 4.00Mbit 8Mbit █████ 50% 2 5ms 5ms 0.5 0.0 ▂█ rate"));
    assert_eq!(words(&lines[4])[..2], ["db", "ingress"]);
    assert!(lines[11].starts_with("q quit"), "{}", lines[11]);
    let narrow = drawn(&model, &mut view, 80, 12);
    assert_eq!(words(&narrow[2]), words("container way rate queue p99 drops/s limited by"));
}

#[test]
fn keys_sort_filter_and_choose_a_direction() {
    let (model, mut view) = (observed([snapshot(1, 1_000, 5)]), View::default());
    let all = ["web egress", "db ingress", "db egress", "unmatched ingress", "unmatched egress", "web ingress"];
    assert_eq!(listed(&model, &mut view), all);
    press(&mut view, &model, "r");
    assert_eq!(listed(&model, &mut view)[5], "web egress");
    press(&mut view, &model, "rSd");
    assert_eq!(listed(&model, &mut view), ["db egress", "unmatched egress", "web egress"], "by name");
    press(&mut view, &model, "d/TENqx");
    assert_eq!(listed(&model, &mut view), [""; 0], "q is a letter while a filter is written");
    assert!(drawn(&model, &mut view, 80, 12)[11].starts_with("filter: TENqx_"));
    press(&mut view, &model, "\x1b/TEN\n");
    assert_eq!(listed(&model, &mut view), ["db ingress"], "by its group");
    press(&mut view, &model, "\x1b");
    assert_eq!(listed(&model, &mut view).len(), 3);
    assert_eq!(press(&mut view, &model, "jkq"), [Step::Stay, Step::Stay, Step::Leave]);
}

#[test]
fn one_lane_is_shown_and_stays_selected_wherever_it_goes() {
    let (mut model, mut view) = (observed([snapshot(1, 0, 0)]), View::default());
    view.arrange(&model);
    while view.lane(&model).unwrap().key != egress(&model, "web").key {
        press(&mut view, &model, ">");
    }
    press(&mut view, &model, "\n");
    model.observe(snapshot(2, 1_000, 5));
    let page = drawn(&model, &mut view, 100, 30).join("\n");
    for words in ["web, egress", "8.00Mbit, 1000 packets/s", "8Mbit, burst 1600b", "5 codel", "p99 5ms", "< 8.39ms"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert_eq!(view.selected, 0, "the highest rate now");
    let mut without = snapshot(3, 0, 0);
    without.containers.remove(0);
    model.observe(without);
    assert!(drawn(&model, &mut view, 100, 30)[2].starts_with("container"), "what is gone is shown no more");
}

#[test]
fn a_long_list_moves_with_the_selection() {
    let mut many = snapshot(1, 5, 0);
    let more = |n: u32| ContainerReport { id: format!("c{n:03}"), number: n, ..many.containers[1].clone() };
    many.containers = (0..100).map(more).collect();
    let (model, mut view) = (observed([many]), View::default());
    press(&mut view, &model, "dS");
    drawn(&model, &mut view, 80, 13);
    press(&mut view, &model, &">".repeat(20));
    let lines = drawn(&model, &mut view, 80, 13);
    assert!(lines[3].starts_with("c012") && lines[11].starts_with("c020"), "{lines:?}");
    view.take(&Event::Key(KeyCode::End.into()), &model);
    assert!(drawn(&model, &mut view, 80, 13)[11].starts_with("unmatched"));
}

#[test]
fn names_do_not_command_the_terminal() {
    let mut hostile = snapshot(1, 5, 0);
    hostile.containers[0].id = "\x1b[2J\r\nevil".to_owned();
    hostile.containers[0].group = Some("\x07bell".to_owned());
    hostile.containers[0].egress.limited_by = LimitedBy::Group("\x1b]0;".to_owned());
    let (model, mut view) = (observed([hostile]), View::default());
    view.complaint = Some("\x1b[31m".to_owned());
    for keys in ["", "\n"] {
        press(&mut view, &model, keys);
        let screen = drawn(&model, &mut view, 140, 30).concat();
        assert!(screen.contains("?[2J??evil") && !screen.contains(char::is_control), "{screen}");
    }
}

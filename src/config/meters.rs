//! `[meters]`: labels and rules, and how what was counted is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portlane_meters::{Book, Direction, Label, Prefixes, Refusal, Rule, Uuid};
use portlane_shaper::{Nanos, Size};
use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;
use super::values::{List, Listed, Text, Written as OfText};
use crate::meters::{SPOOL_LIMIT, Settings, SinkConfig, Url};

/// Neutron's own (`measure_interval`, `report_interval`).
const MEASURE: Duration = Duration::from_secs(30);
const REPORT: Duration = Duration::from_secs(300);

/// Events tell time in seconds.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(86_400);

/// The ids of labels and rules that have none of their own are made of what they are, in this namespace.
const IDS: Uuid = Uuid::from_u128(0x4f8a_6b1e_27d3_4c55_9c0e_8d41_72f3_a9b6);

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    measure_interval: Option<Spanned<Text<Nanos>>>,
    report_interval: Option<Spanned<Text<Nanos>>>,
    #[serde(default)]
    granular: bool,
    host: Option<String>,
    output: Option<PathBuf>,
    post: Option<Text<Url>>,
    spool: Option<Spanned<PathBuf>>,
    spool_limit: Option<Spanned<Text<Size>>>,
    #[serde(default)]
    label: List<WrittenLabel>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenLabel {
    name: Spanned<String>,
    id: Option<Spanned<Uuid>>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    project_id: String,
    #[serde(default)]
    rule: List<Spanned<WrittenRule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenRule {
    id: Option<Uuid>,
    #[serde(default)]
    direction: Direction,
    remote_ip_prefix: Option<String>,
    source_ip_prefix: Option<String>,
    destination_ip_prefix: Option<String>,
    #[serde(default)]
    excluded: bool,
}

impl OfText for Url {
    const EXPECTED: &'static str = "the URL of a receiver, as in \"http://collector:8080/meters\"";
}

impl Listed for WrittenLabel {
    const EXPECTED: &'static str = "labels in double brackets: [[meters.label]]";
}

impl Listed for Spanned<WrittenRule> {
    const EXPECTED: &'static str = "rules in double brackets: [[meters.label.rule]]";
}

/// Checks what was written; what is added at run time is kept in a file beside the one of containers.
pub(super) fn meters(written: Option<Written>, state: &Path) -> Result<Settings, Problem> {
    let written = written.unwrap_or_default();
    let measure = interval("measure_interval", written.measure_interval.as_ref(), MEASURE)?;
    let report = interval("report_interval", written.report_interval.as_ref(), REPORT.max(measure))?;
    if let Some(place) = written.report_interval.as_ref().filter(|_| report < measure) {
        let problem = Problem::at(place.span(), "report_interval is shorter than measure_interval");
        return Err(problem.help("report as often as is measured, or more rarely"));
    }
    let sinks = sinks(written.output, written.post, written.spool.as_ref(), written.spool_limit.as_ref())?;
    let mut book = Book::default();
    for label in &written.label.0 {
        add(&mut book, label)?;
    }
    Ok(Settings {
        book,
        measure,
        report,
        granular: written.granular,
        host: written.host.unwrap_or_else(host),
        state: state.with_file_name("meters.json"),
        sinks,
    })
}

fn sinks(
    output: Option<PathBuf>,
    post: Option<Text<Url>>,
    spool: Option<&Spanned<PathBuf>>,
    limit: Option<&Spanned<Text<Size>>>,
) -> Result<SinkConfig, Problem> {
    let places = [("spool", spool.map(Spanned::span)), ("spool_limit", limit.map(Spanned::span))];
    if let (None, Some((key, Some(place)))) = (&post, places.into_iter().find(|(_, place)| place.is_some())) {
        let problem = Problem::at(place, format!("{key} without post"));
        return Err(problem.help("a spool is for a receiver: add one, as in post = \"http://collector:8080/meters\""));
    }
    let spool_limit = limit.map_or(SPOOL_LIMIT, |limit| limit.get_ref().0);
    let (post, spool) = (post.map(|Text(url)| url), spool.map(|path| path.get_ref().clone()));
    Ok(SinkConfig { output, post, spool, spool_limit })
}

fn interval(key: &str, written: Option<&Spanned<Text<Nanos>>>, default: Duration) -> Result<Duration, Problem> {
    let Some(written) = written else { return Ok(default) };
    let Text(Nanos(nanos)) = *written.get_ref();
    let interval = Duration::from_nanos(nanos);
    if (SHORTEST..=LONGEST).contains(&interval) && interval.subsec_nanos() == 0 {
        return Ok(interval);
    }
    let problem = Problem::at(written.span(), format!("{key} is not from 1 to 86,400 whole seconds"));
    Err(problem.help(format!("as in {key} = \"30s\"")))
}

fn add(book: &mut Book, written: &WrittenLabel) -> Result<(), Problem> {
    let name = written.name.get_ref();
    let id = written.id.as_ref().map_or_else(|| Uuid::new_v5(&IDS, name.as_bytes()), |id| *id.get_ref());
    let label = Label {
        id,
        name: name.clone(),
        description: written.description.clone(),
        shared: written.shared,
        project_id: written.project_id.clone(),
    };
    let at_label = |why: Refusal| {
        let of_same_name = matches!(why, Refusal::Exists { .. }) && written.id.is_none();
        let title = if of_same_name { format!("two metering labels are named {name:?}") } else { why.to_string() };
        let help = if of_same_name { "give one of them an id of its own" } else { "see docs/meters.md" };
        Problem::at(written.name.span(), title).help(help)
    };
    book.add_label(label).map_err(at_label)?;
    for rule in &written.rule.0 {
        let (place, rule) = (rule.span(), rule.get_ref());
        let at_rule = |why: Refusal| Problem::at(place.clone(), format!("metering label {name:?}: {why}"));
        let of = |prefix: &Option<String>| prefix.clone();
        let ends = [&rule.remote_ip_prefix, &rule.source_ip_prefix, &rule.destination_ip_prefix].map(of);
        let [remote, source, destination] = ends.each_ref().map(Option::as_deref);
        let prefixes = Prefixes::new(remote, source, destination).map_err(at_rule)?;
        let what = format!("{} {} {prefixes:?}", rule.direction, rule.excluded);
        let of_rule = rule.id.unwrap_or_else(|| Uuid::new_v5(&id, what.as_bytes()));
        let (direction, excluded) = (rule.direction, rule.excluded);
        book.add_rule(Rule { id: of_rule, label_id: id, direction, prefixes, excluded }).map_err(at_rule)?;
    }
    Ok(())
}

/// The machine's name.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

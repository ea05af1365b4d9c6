//! What was measured, as Markdown.

use std::fmt::Write as _;

use crate::peer::Measured;

/// Peers that were compared with each other.
#[derive(Debug)]
pub(crate) struct Chapter {
    pub(crate) title: String,
    /// What is in the figures; empty if a chapter before says it.
    pub(crate) about: &'static str,
    pub(crate) measured: Vec<Measured>,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) findings: Vec<Finding>,
}

impl Chapter {
    fn named(&self, name: &str) -> &Measured {
        self.measured.iter().find(|measured| measured.name == name).expect("who is compared has been measured")
    }
}

/// One of the measured beside another.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// portlane's name in the chapter, or that of a floor.
    pub(crate) mine: String,
    pub(crate) peer: String,
    pub(crate) wanted: Option<Wanted>,
}

/// What portlane should reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// At least.
    TimesAsFast(f64),
    /// At most.
    TimesAsLong(f64),
}

/// The most nanoseconds that something should take, by its fastest round.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) mine: String,
    pub(crate) ns: f64,
}

/// Something that is not a time.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) asked: String,
    pub(crate) found: String,
    pub(crate) reached: bool,
}

/// All of it.
pub(crate) fn markdown(machine: &[(&str, String)], chapters: &[Chapter]) -> String {
    let mut text = String::from(HEAD);
    for (what, value) in machine {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    text.push_str(RATIOS);
    for chapter in chapters {
        for comparison in &chapter.comparisons {
            text.push_str(&ratio(chapter, comparison));
        }
        for limit in &chapter.limits {
            text.push_str(&absolute(chapter, limit));
        }
        for Finding { what, asked, found, reached } in &chapter.findings {
            let _ = writeln!(text, "| {} | {what} | | {asked} | {found} | | {} |", chapter.title, verdict(*reached));
        }
    }
    for chapter in chapters {
        text.push_str(&figures(chapter));
    }
    text
}

const HEAD: &str = "\
# portlane beside DPDK and the kernel

Printed by `make peers`: all in one run, each chapter's programs in turns, round after round. Core 0 sends, core 1 works,
where there is no word of another arrangement.

| | |
|---|---|
";

const RATIOS: &str = "
## Goals and ratios

How many times who is as fast as whom: the median of all rounds that were neighbours in time, which decides, and of the
fastest round of each. Times without a peer: the median and the fastest round, which decides.

| what | who | beside | asked for | neighbours, median | fastest | |
|---|---|---|---|---|---|---|
";

fn ratio(chapter: &Chapter, comparison: &Comparison) -> String {
    let (mine, peer) = (chapter.named(&comparison.mine), chapter.named(&comparison.peer));
    let ratios = peer.ratios(mine);
    let (asked, reached) = match comparison.wanted {
        None => (String::new(), ""),
        Some(Wanted::TimesAsFast(times)) => (format!(">= {times}"), verdict(ratios.of_pairs >= times)),
        Some(Wanted::TimesAsLong(times)) => {
            (format!("takes <= {times} times as long"), verdict(ratios.of_pairs >= 1.0 / times))
        }
    };
    format!(
        "| {} | {} | {} | {asked} | {:.2} | {:.2} | {reached} |\n",
        chapter.title, mine.name, peer.name, ratios.of_pairs, ratios.of_lowest
    )
}

fn absolute(chapter: &Chapter, limit: &Limit) -> String {
    let mine = chapter.named(&limit.mine);
    format!(
        "| {} | {} | | <= {} ns | {:.1} ns | {:.1} ns | {} |\n",
        chapter.title,
        mine.name,
        limit.ns,
        mine.median(),
        mine.lowest(),
        verdict(mine.lowest() <= limit.ns)
    )
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "**missed**" }
}

fn figures(chapter: &Chapter) -> String {
    let mut text = format!("\n## {}\n\n", chapter.title);
    if !chapter.about.is_empty() {
        let _ = writeln!(text, "{}\n", chapter.about);
    }
    text.push_str("| who | ns, lowest | median | thousand a second, highest | median | |\n|---|---|---|---|---|---|\n");
    for measured in &chapter.measured {
        let (lowest, median) = (measured.lowest(), measured.median());
        let _ = writeln!(
            text,
            "| {} | {lowest:.1} | {median:.1} | {:.0} | {:.0} | {} |",
            measured.name,
            1e6 / lowest,
            1e6 / median,
            measured.note
        );
    }
    text
}

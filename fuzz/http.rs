//! Any `Accept` header with any query.

use bolero::check;
use portlane::control::negotiation::options;
use portlane_stats::render::prometheus::Exposition;

use crate::{BUDGET, damage};

/// Headers, each with the query behind a line feed.
const SEEDS: [&str; 3] = [
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\ncadvisor=true",
    "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8\ncadvisor=0&cadvisor=1&",
    "application/openmetrics-text; version=\"1.0.0\"\n",
];

#[test]
fn any_request_for_metrics() {
    check!(name = "http").with_test_time(BUDGET).for_each(|input: &[u8]| {
        examine(input);
        if let Some((&seed, script)) = input.split_first() {
            examine(&damage::damaged(SEEDS[usize::from(seed) % SEEDS.len()].as_bytes(), script));
        }
    });
}

fn examine(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (accept, query) = text.split_once('\n').unwrap_or((&text, ""));
    match options([accept], query) {
        Ok(options) => {
            assert!(!options.cadvisor || query.contains("cadvisor="));
            let is_open = options.exposition == Exposition::OpenMetrics;
            assert!(!is_open || accept.to_ascii_lowercase().contains("application/openmetrics-text"));
            let without = self::options([], query).expect("the header cannot be wrong");
            assert_eq!(without.exposition, Exposition::Text, "nobody gets OpenMetrics unasked");
        }
        Err(why) => assert!(!query.is_empty() && why.contains("cadvisor=true"), "{why}"),
    }
}

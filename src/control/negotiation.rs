//! Which form of the metrics a request wants.

use portlane_stats::render::prometheus::{Exposition, Options};

/// The quality that an `Accept` header gives to each format.
#[derive(Debug, Default, Clone, Copy)]
struct Wanted {
    text: f32,
    open_metrics: f32,
}

/// What a request for metrics asks for, by the values of its `Accept` headers and its query.
///
/// OpenMetrics is for those who ask for it, in its version 1.0.0 or in none, and like it no less than text (RFC 9110, section 12.5.1);
/// everybody else gets text. The query may have `cadvisor=true`.
///
/// ```
/// use portlane::control::negotiation::options;
/// use portlane_stats::render::prometheus::Exposition;
///
/// let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
/// assert_eq!(options([prometheus], "").unwrap().exposition, Exposition::OpenMetrics);
/// assert_eq!(options(["*/*"], "").unwrap().exposition, Exposition::Text);
/// assert!(options([], "cadvisor=true").unwrap().cadvisor);
/// assert!(options([], "cadviser=true").is_err());
/// ```
///
/// # Errors
///
/// What in the query is not known, and what is.
pub fn options<'a>(accept: impl IntoIterator<Item = &'a str>, query: &str) -> Result<Options, String> {
    let mut wanted = Wanted::default();
    for range in accept.into_iter().flat_map(|value| value.split(',')) {
        wanted.take(range);
    }
    let is_open = wanted.open_metrics > 0.0 && wanted.open_metrics >= wanted.text;
    let exposition = if is_open { Exposition::OpenMetrics } else { Exposition::Text };
    Ok(Options { exposition, cadvisor: cadvisor(query)? })
}

fn cadvisor(query: &str) -> Result<bool, String> {
    let mut wanted = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        wanted = match pair {
            "cadvisor=true" | "cadvisor=1" => true,
            "cadvisor=false" | "cadvisor=0" => false,
            _ => return Err(format!("{pair:?} in the query is not known: cadvisor=true is")),
        };
    }
    Ok(wanted)
}

impl Wanted {
    /// One media range with its parameters; what cannot be read counts for nothing.
    fn take(&mut self, range: &str) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let (mut quality, mut version) = (1.0, None);
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.parse().unwrap_or(0.0),
                "version" => version = Some(value),
                _ => {}
            }
        }
        if !(0.0..=1.0).contains(&quality) {
            return;
        }
        match (media.as_str(), version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => {
                self.open_metrics = self.open_metrics.max(quality)
            }
            ("text/plain" | "text/*" | "*/*", _) => self.text = self.text.max(quality),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposition(accept: &[&str]) -> Exposition {
        options(accept.iter().copied(), "").unwrap().exposition
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        for accept in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; charset=utf-8",
            "text/plain;q=0.5, application/openmetrics-text;version=\"1.0.0\";q=0.5",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            assert_eq!(exposition(&[accept]), Exposition::OpenMetrics, "{accept}");
        }
        assert_eq!(
            exposition(&["text/plain;q=0.1", "application/openmetrics-text"]),
            Exposition::OpenMetrics,
            "two headers"
        );
    }

    #[test]
    fn everybody_else_gets_text() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.5,text/plain",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=much",
            "application/openmetrics-text;q=NaN",
            "application/openmetrics-text;q=2",
            ";;;=,,q=",
        ] {
            assert_eq!(exposition(&[accept]), Exposition::Text, "{accept}");
        }
        assert_eq!(exposition(&[]), Exposition::Text);
    }

    #[test]
    fn the_query_is_known_or_refused() {
        let asked = |query| options([], query).map(|options| options.cadvisor);
        for (query, expected) in [("", false), ("cadvisor=1", true), ("&cadvisor=true&", true), ("cadvisor=0", false)] {
            assert_eq!(asked(query), Ok(expected), "{query}");
        }
        assert_eq!(asked("cadvisor"), Err("\"cadvisor\" in the query is not known: cadvisor=true is".to_owned()));
    }
}

//! HdrHistogram's percentile text.

use std::fmt;

use super::LaneHistogram;

/// Lines between two halvings of what is left of the distribution, as HdrHistogram's own tools write it.
const TICKS_PER_HALF: u32 = 5;

/// A histogram as HdrHistogram's percentile text (`.hgrm`), values in microseconds: what `outputPercentileDistribution` of its
/// Java library writes and its plotters read.
///
/// ```text
/// #[Sojourn times in microseconds]
///        Value     Percentile TotalCount 1/(1-Percentile)
///
///        0.000 0.000000000000         37           1.00
///        ...
///       43.007 1.000000000000        100
/// #[Mean    =       12.345, StdDeviation   =       17.890]
/// #[Max     =       43.000, Total count    =          100]
/// #[Buckets =           26, SubBuckets     =         2048]
/// ```
#[derive(Debug)]
pub struct Percentiles<'a>(pub &'a LaneHistogram);

impl fmt::Display for Percentiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hdr = self.0.to_hdr();
        writeln!(f, "#[Sojourn times in microseconds]")?;
        writeln!(f, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
        let mut total = 0;
        for step in hdr.iter_quantiles(TICKS_PER_HALF) {
            let (value, quantile) = (micros(step.value_iterated_to()), step.quantile_iterated_to());
            total += step.count_since_last_iteration();
            write!(f, "{value:12.3} {quantile:.12} {total:10}")?;
            if quantile < 1.0 {
                write!(f, " {:14.2}", 1.0 / (1.0 - quantile))?;
            }
            writeln!(f)?;
        }
        let (mean, deviation, max) = (hdr.mean() / 1e3, hdr.stdev() / 1e3, micros(self.0.max()));
        let sub_buckets = (2 * 10_u32.pow(u32::from(hdr.sigfig()))).next_power_of_two();
        writeln!(f, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
        writeln!(f, "#[Max     = {max:12.3}, Total count    = {:12}]", hdr.len())?;
        writeln!(f, "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", hdr.buckets())
    }
}

/// Nanoseconds as microseconds.
#[expect(clippy::cast_precision_loss, reason = "times of 2^53 ns, 104 days, are not told from the next")]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histograms;

    fn text(values: impl IntoIterator<Item = u64>) -> String {
        let mut histograms = Histograms::new(1);
        values.into_iter().for_each(|ns| histograms.record(0, ns));
        Percentiles(&histograms.lane(0)).to_string()
    }

    #[test]
    fn nothing_recorded_is_no_line() {
        let expected = "\
#[Sojourn times in microseconds]
       Value     Percentile TotalCount 1/(1-Percentile)

#[Mean    =        0.000, StdDeviation   =        0.000]
#[Max     =        0.000, Total count    =            0]
#[Buckets =           26, SubBuckets     =         2048]
";
        assert_eq!(text([]), expected);
    }

    #[test]
    fn lines_are_those_of_hdrhistograms_tools() {
        // Nine in ten do not wait, the others half a microsecond.
        let text = text((0..100).map(|n| if n < 90 { 0 } else { 500 }));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[3], "       0.000 0.000000000000         90           1.00");
        assert_eq!(lines[19], "       0.000 0.887500000000         90           8.89");
        assert_eq!(lines[lines.len() - 4], "       0.500 1.000000000000        100");
        assert_eq!(lines[lines.len() - 3], "#[Mean    =        0.050, StdDeviation   =        0.150]");
        assert_eq!(lines[lines.len() - 2], "#[Max     =        0.500, Total count    =          100]");
    }

    /// As HdrHistogram's plotter reads them: four columns, no `#`.
    #[test]
    fn percentiles_values_and_counts_rise() {
        let text = text((0..10_000).map(|n| n * n));
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        let rows = rows.filter_map(|line| {
            line.split_whitespace().map(|column| column.parse::<f64>().ok()).collect::<Option<Vec<_>>>()
        });
        let rows: Vec<_> = rows.filter(|row| row.len() == 4).collect();
        assert!(rows.len() > 20, "{text}");
        assert!(rows.is_sorted_by(|row, next| (0..4).all(|column| row[column] <= next[column])), "{text}");
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap()[0];
        assert!((24_000.0..26_000.0).contains(&median), "{median}");
    }
}

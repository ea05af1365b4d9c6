//! Rates, sizes and times as iproute2 prints them.

const KB: u64 = 1024;
const MB: u64 = 1024 * 1024;

const CODEL_UNIT_NS: u64 = 1024;

/// A rate in bits per second, as `tc_print_rate` (iproute2 `tc/tc_util.c`) prints it: decimal suffixes, each step an integer
/// division that truncates, and a step is taken only if nothing is lost or the number would have seven digits.
///
/// tc knows rates in whole bytes per second only, and so does this.
///
/// ```
/// use portlane_stats::render::units::rate;
/// assert_eq!(rate(10_000_000), "10Mbit");
/// assert_eq!(rate(12_345_678), "12345Kbit");
/// assert_eq!(rate(1_001_000), "1001Kbit");
/// ```
#[must_use]
pub fn rate(bits_per_s: u64) -> String {
    let mut left = bits_per_s & !7;
    let mut units = ["", "K", "M", "G", "T"].into_iter();
    let mut unit = units.next();
    while left >= 1000 && (left.is_multiple_of(1000) || left >= 1_000_000) {
        let Some(next) = units.next() else { break };
        unit = Some(next);
        left /= 1000;
    }
    format!("{left}{}bit", unit.unwrap_or_default())
}

/// A size in bytes, as `print_size` (iproute2 `lib/utils_math.c`) prints it: binary suffixes, taken only where the size is
/// within 16 bytes of whole kilobytes or within a kilobyte of whole megabytes.
///
/// ```
/// use portlane_stats::render::units::size;
/// assert_eq!(size(1600), "1600b");
/// assert_eq!(size(16_383), "16Kb");
/// assert_eq!(size(33_554_432), "32Mb");
/// ```
#[must_use]
pub fn size(bytes: u64) -> String {
    let nearest = |unit: u64| bytes.saturating_add(unit / 2) / unit;
    let is_near = |unit: u64, slack: u64| bytes >= unit && bytes.abs_diff(nearest(unit).saturating_mul(unit)) < slack;
    if is_near(MB, KB) {
        format!("{}Mb", nearest(MB))
    } else if is_near(KB, 16) {
        format!("{}Kb", nearest(KB))
    } else {
        format!("{bytes}b")
    }
}

/// A time in microseconds, as `sprint_time` (iproute2 `tc/tc_core.c`) prints it: three significant digits of seconds or
/// milliseconds (C's `%.3g`), or whole microseconds.
///
/// ```
/// use portlane_stats::render::units::time;
/// assert_eq!(time(39_321), "39.3ms");
/// assert_eq!(time(4_999), "5ms");
/// assert_eq!(time(0), "0us");
/// ```
#[must_use]
pub fn time(us: u64) -> String {
    // Floating point because tc divides so, and because which way a tie such as 39.45 rounds depends on it.
    if us >= 1_000_000 {
        format!("{}s", general3(us as f64 / 1e6))
    } else if us >= 1000 {
        format!("{}ms", general3(us as f64 / 1e3))
    } else {
        format!("{us}us")
    }
}

/// A time that CoDel keeps, in the microseconds that the kernel reports: it counts in units of 1,024 ns (`CODEL_SHIFT`), which
/// `codel_time_to_us` converts.
///
/// ```
/// use portlane_stats::render::units::codel_time_us;
/// assert_eq!(codel_time_us(5_000_000), 4_999);
/// assert_eq!(codel_time_us(100_000_000), 99_999);
/// ```
#[must_use]
pub fn codel_time_us(ns: u64) -> u64 {
    ns / CODEL_UNIT_NS * CODEL_UNIT_NS / 1000
}

/// The same of a time that may have passed.
#[must_use]
pub fn signed_codel_time_us(ns: i64) -> i64 {
    ns / CODEL_UNIT_NS.cast_signed() * CODEL_UNIT_NS.cast_signed() / 1000
}

/// C's `%#x`, which iproute2 prints class numbers with: 0 has no prefix.
#[must_use]
pub(super) fn c_hex(number: u64) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number:#x}") }
}

/// C's `%.3g` of a number that is at least 1.
fn general3(number: f64) -> String {
    let scientific = format!("{number:.2e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse() {
        Ok(0) => strip_zeros(mantissa).to_owned(),
        Ok(1) => strip_zeros(&format!("{number:.1}")).to_owned(),
        Ok(2) => format!("{number:.0}"),
        Ok(large @ 3u32..) => format!("{}e+{large:02}", strip_zeros(mantissa)),
        Err(_) => format!("{number}"),
    }
}

/// Without the zeros at the end of a decimal fraction.
fn strip_zeros(decimal: &str) -> &str {
    decimal.trim_end_matches('0').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates and how iproute2 6.1.0 printed them.
    #[test]
    fn rates_are_printed_as_tc_does() {
        for (bits, printed) in [
            (0, "0bit"),
            (8, "8bit"),
            (1_000, "1Kbit"),
            (16_000, "16Kbit"),
            (1_001_000, "1001Kbit"),
            (12_345_678, "12345Kbit"),
            (5_000_000, "5Mbit"),
            (1_000_000_000, "1Gbit"),
            (40_000_000_000, "40Gbit"),
            (34_359_738_360, "34359Mbit"),
            (7_000_000_000_000_000, "7000Tbit"),
        ] {
            assert_eq!(rate(bits), printed, "{bits}");
        }
    }

    /// Sizes and how iproute2 6.1.0 printed them.
    #[test]
    fn sizes_are_printed_as_tc_does() {
        for (bytes, printed) in [
            (0, "0b"),
            (1375, "1375b"),
            (1600, "1600b"),
            (15_360, "15Kb"),
            (16_383, "16Kb"),
            (65_535, "64Kb"),
            (1_040_384, "1016Kb"),
            (1_048_575, "1024Kb"),
            (33_554_432, "32Mb"),
            (20_965_000, "20965000b"),
            (1_073_735_000, "1073735000b"),
        ] {
            assert_eq!(size(bytes), printed, "{bytes}");
        }
        assert_eq!(size(u64::MAX), format!("{}b", u64::MAX));
    }

    /// Times and what C's printf makes of tc's formats.
    #[test]
    fn times_are_printed_as_tc_does() {
        for (us, printed) in [
            (999, "999us"),
            (1_000, "1ms"),
            (4_125, "4.12ms"),
            (4_135, "4.13ms"),
            (39_350, "39.4ms"),
            (39_450, "39.5ms"),
            (78_643, "78.6ms"),
            (99_949, "99.9ms"),
            (99_950, "100ms"),
            (999_499, "999ms"),
            (999_500, "1e+03ms"),
            (1_000_000, "1s"),
            (3_250_000, "3.25s"),
            (1_234_567_890, "1.23e+03s"),
        ] {
            assert_eq!(time(us), printed, "{us}");
        }
    }
}

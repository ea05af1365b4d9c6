use proptest::prelude::*;

use super::*;

/// The bound that reports promise.
const PROMISED_PERCENT: u64 = 2;

fn recorded(values: &[u64]) -> LaneHistogram {
    let mut all = Histograms::new(3);
    for &ns in values {
        all.record(1, ns);
    }
    assert_eq!(all.lane(0), LaneHistogram::default(), "neighbours stay empty");
    assert_eq!(all.lane(2), LaneHistogram::default(), "neighbours stay empty");
    all.lane(1)
}

/// Nearest rank on the sorted values themselves.
fn exact_quantile(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted[rank - 1]
}

fn is_close(reported: u64, exact: u64) -> bool {
    reported.abs_diff(exact) * 100 <= exact * PROMISED_PERCENT
}

#[test]
fn buckets_cover_the_range_in_order_without_gaps() {
    let mut previous = None;
    for bucket in 0..BUCKETS {
        let middle = middle_of(u16::try_from(bucket).unwrap());
        assert_eq!(bucket_of(middle), bucket);
        assert!(Some(middle) > previous);
        previous = Some(middle);
    }
    for octave in 6..36 {
        let edge = 1u64 << octave;
        assert_eq!(bucket_of(edge), bucket_of(edge - 1) + 1);
    }
    assert_eq!(bucket_of(LARGEST), BUCKETS - 1);
}

#[test]
fn values_below_64_are_exact() {
    for ns in 0..64 {
        assert_eq!(recorded(&[ns]).quantile(500), ns);
    }
}

#[test]
fn an_empty_lane_reports_zeros() {
    assert_eq!(recorded(&[]).quantiles(), Quantiles::default());
    assert_eq!(recorded(&[]).to_hdr().len(), 0);
}

#[test]
fn a_zero_sojourn_is_a_sojourn() {
    let quantiles = recorded(&[0]).quantiles();
    assert_eq!((quantiles.count, quantiles.max), (1, 0));
}

#[test]
fn values_past_the_range_saturate_but_the_maximum_is_exact() {
    let hours = 7_200_000_000_000;
    let quantiles = recorded(&[1 << 36, hours, 10]).quantiles();
    assert_eq!(quantiles.max, hours);
    assert_eq!(quantiles.p50, quantiles.p99);
    assert!(is_close(quantiles.p50, LARGEST));
    assert_eq!(recorded(&[u64::MAX]).count(), 1);
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn a_lane_that_is_not_there_is_refused() {
    Histograms::new(2).record(2, 1);
}

/// 65,536 containers in two directions are 512 MiB of address space; recording in one lane must not make them real.
#[cfg(target_os = "linux")]
#[test]
fn lanes_that_never_record_take_no_memory() {
    let resident_kib = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident_kib();
    let mut all = Histograms::new(131_072);
    all.record(77_777, 1_000_000);
    assert!((0..131_072).all(|lane| all.lane(lane).count() == u64::from(lane == 77_777)));
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB became resident");
}

proptest! {
    #[test]
    fn any_value_is_within_the_promise(ns in 0..=LARGEST) {
        let bucket = u16::try_from(bucket_of(ns)).unwrap();
        prop_assert!(is_close(middle_of(bucket), ns), "{ns} as {}", middle_of(bucket));
    }

    #[test]
    fn quantiles_are_within_the_promise_of_the_sorted_values(
        values in prop::collection::vec((0u32..36, any::<u64>()).prop_map(|(bits, ns)| ns & ((1 << bits) - 1)), 1..400),
    ) {
        let histogram = recorded(&values);
        let hdr = histogram.to_hdr();
        let mut sorted = values;
        sorted.sort_unstable();
        for per_mille in [1, 250, 500, 900, 990, 999, 1000] {
            let exact = exact_quantile(&sorted, per_mille);
            let reported = histogram.quantile(u16::try_from(per_mille).unwrap());
            prop_assert!(is_close(reported, exact), "{per_mille}: {reported} for {exact}");
        }
        let quantiles = histogram.quantiles();
        prop_assert_eq!(Some(&quantiles.max), sorted.last());
        prop_assert_eq!(quantiles.count, sorted.len() as u64);
        prop_assert_eq!(hdr.len(), sorted.len() as u64);
        prop_assert!(is_close(hdr.max(), quantiles.max));
    }
}

//! The window beside a list that is sorted anew each time, and at its edges.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn sampling(window_s: u64, interval_s: u64) -> Sampling {
    Sampling::new(window_s * SECOND, interval_s * SECOND).unwrap()
}

fn counted(bytes: u64) -> Counted {
    Counted { sent: Volume { packets: bytes / 10, bytes }, dropped: bytes / 100 }
}

#[test]
fn what_is_no_sampling_is_refused() {
    let of = |window, interval| Sampling::new(window, interval).map(Sampling::samples);
    assert_eq!(of(SECOND, 0), Err(BadSampling::ShortInterval));
    assert_eq!(of(SECOND, LEAST_INTERVAL_NS - 1), Err(BadSampling::ShortInterval));
    assert_eq!(of(SECOND, SECOND), Err(BadSampling::ShortWindow));
    assert_eq!(of(0, SECOND), Err(BadSampling::ShortWindow));
    assert_eq!(of(3_601 * SECOND, SECOND), Err(BadSampling::TooManySamples));
    assert_eq!(of(u64::MAX, LEAST_INTERVAL_NS), Err(BadSampling::TooManySamples));
    assert_eq!(of(3_600 * SECOND, SECOND), Ok(3_600));
    assert_eq!(of(SECOND, LEAST_INTERVAL_NS), Ok(50));
    assert_eq!(of(5 * SECOND / 2, SECOND), Ok(2));
    assert_eq!(sampling(60, 1).window_bytes(), 3_360);
}

#[test]
fn fewer_than_two_samples_say_nothing() {
    let mut window = Window::new(sampling(60, 1), 0, counted(0));
    assert_eq!(window.rates(), None);
    window.sample(SECOND, counted(1_000));
    assert_eq!(window.rates(), None);
    window.sample(2 * SECOND, counted(4_000));
    let rates = window.rates().unwrap();
    assert_eq!((rates.window_ns, rates.interval_ns), (60 * SECOND, SECOND));
    let bytes = Percentiles {
        max: 3_000,
        min: 1_000,
        p50: 2_000,
        p90: 2_800,
        p95: 2_900,
        p99: 2_980,
        p999: 2_998,
        p9999: 2_999,
        samples: 2,
    };
    assert_eq!(rates.bytes_per_s, bytes);
    assert_eq!((rates.packets_per_s.min, rates.packets_per_s.max), (100, 300));
    assert_eq!((rates.drops_per_s.min, rates.drops_per_s.max), (10, 30));
}

#[test]
fn what_is_between_two_samples_is_rounded_down() {
    assert_eq!(percentile(&[0, 1], 9_999), 0);
    assert_eq!(percentile(&[1, 2, 4], 7_500), 3);
    assert_eq!(percentile(&[0, u64::MAX], 5_000), u64::MAX / 2);
    assert_eq!(percentile(&[7], 9_999), 7);
    assert_eq!(percentile(&[7, 9], 10_000), 9);
}

#[test]
fn samples_leave_with_the_window() {
    let mut window = Window::new(sampling(3, 1), 0, counted(0));
    let mut total = 0;
    for (second, bytes) in (1..).zip([900, 100, 200, 300]) {
        total += bytes;
        window.sample(second * SECOND, counted(total));
    }
    let rates = window.rates().unwrap().bytes_per_s;
    assert_eq!((rates.samples, rates.min, rates.max), (3, 100, 300), "the first is three seconds old");
    window.sample(6 * SECOND, counted(total + 1_000));
    let rates = window.rates().unwrap().bytes_per_s;
    assert_eq!((rates.samples, rates.min, rates.max), (2, 300, 500), "late: two seconds in one");
    window.sample(60 * SECOND, counted(total + 1_000));
    assert_eq!(window.rates(), None, "an age later");
}

#[test]
fn a_sample_that_comes_too_soon_is_none() {
    let mut window = Window::new(sampling(60, 1), 0, counted(0));
    window.sample(SECOND / 2, counted(500));
    window.sample(SECOND, counted(1_000));
    window.sample(2 * SECOND - SECOND / 20, counted(1_950));
    let rates = window.rates().unwrap().bytes_per_s;
    assert_eq!((rates.samples, rates.min, rates.max), (2, 1_000, 1_000));
}

#[test]
fn absurd_counters_do_not_panic() {
    let mut window = Window::new(sampling(60, 1), 0, counted(7));
    for (now, bytes) in [(SECOND, u64::MAX), (2 * SECOND, 0), (0, 5), (3 * SECOND, u64::MAX), (u64::MAX, 1)] {
        window.sample(now, Counted { sent: Volume { packets: bytes, bytes }, dropped: bytes });
        if let Some(rates) = window.rates() {
            assert!(rates.bytes_per_s.min <= rates.bytes_per_s.p50 && rates.bytes_per_s.p9999 <= rates.bytes_per_s.max);
        }
    }
}

/// Mesos' arithmetic, in floating point, on samples that are exact in it.
fn mesos(values: &[u64], p: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(|&value| value as f64).collect();
    sorted.sort_by(f64::total_cmp);
    let position = p * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = position.floor() as usize;
    let above = sorted[(index + 1).min(sorted.len() - 1)];
    sorted[index] + (position - position.floor()) * (above - sorted[index])
}

proptest! {
    #[test]
    fn a_window_is_a_sorted_list_of_what_was_lately(
        capacity in 2_u64..40,
        passed in prop::collection::vec((0_u64..3_000, 1_u64..4), 2..200),
    ) {
        let mut window = Window::new(sampling(capacity, 1), 0, counted(0));
        let (mut now, mut bytes, mut all) = (0, 0, Vec::new());
        for (rate, seconds) in passed {
            now += seconds * SECOND;
            bytes += rate * seconds;
            window.sample(now, Counted { sent: Volume { packets: 0, bytes }, dropped: 0 });
            all.push((now, rate));
            let lately: Vec<_> =
                all.iter().filter(|(taken, _)| now - taken < capacity * SECOND).map(|&(_, rate)| rate).collect();
            let Some(rates) = window.rates() else {
                prop_assert!(lately.len() < 2);
                continue;
            };
            let of = rates.bytes_per_s;
            prop_assert_eq!(of.samples, lately.len() as u64);
            prop_assert_eq!(Some(of.min), lately.iter().copied().min());
            prop_assert_eq!(Some(of.max), lately.iter().copied().max());
            let ours = [(of.p50, 0.5), (of.p90, 0.9), (of.p95, 0.95), (of.p99, 0.99), (of.p999, 0.999), (of.p9999, 0.9999)];
            for (ours, p) in ours {
                let theirs = mesos(&lately, p);
                prop_assert!(ours as f64 <= theirs + 1e-6 && theirs < ours as f64 + 1.0 + 1e-6, "{} {} {}", p, ours, theirs);
            }
        }
    }
}

//! From ticks of an interface to nanoseconds since 1970.

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How the timestamps of a pcapng interface count: its `if_tsresol` and `if_tsoffset`
/// (draft-ietf-opsawg-pcapng, section 4.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeScale {
    unit: Unit,
    offset_ns: i128,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    NanosPerTick(u64),
    TicksPerNano(u128),
    /// A tick is 2 to the power of minus this many seconds.
    BinaryFraction(u8),
}

impl TimeScale {
    /// The `if_tsresol` of an interface that does not say: microseconds.
    pub(crate) const DEFAULT_RESOLUTION: u8 = 6;

    /// `resolution`: 10^-n seconds, or 2^-n with the highest bit set; `offset`: in seconds.
    pub(crate) fn new(resolution: u8, offset: i64) -> Self {
        let exponent = resolution & 0x7f;
        let unit = if resolution & 0x80 != 0 {
            Unit::BinaryFraction(exponent)
        } else if exponent <= 9 {
            Unit::NanosPerTick(10_u64.pow(u32::from(9 - exponent)))
        } else {
            // Past 10^38 any divisor larger than 2^64 gives the same quotient: 0.
            let ticks = 10_u128.checked_pow(u32::from(exponent - 9));
            Unit::TicksPerNano(ticks.unwrap_or(u128::MAX))
        };
        Self { unit, offset_ns: i128::from(offset) * i128::from(NANOS_PER_SECOND) }
    }

    /// Nanoseconds since 1970, rounded down; `None` outside of 64 bits.
    #[inline]
    pub(crate) fn nanos(self, ticks: u64) -> Option<u64> {
        let ticks = u128::from(ticks);
        // Less than 2^94: 64 bits times at most 10^9.
        let since_offset = match self.unit {
            Unit::NanosPerTick(nanos) => ticks * u128::from(nanos),
            Unit::TicksPerNano(count) => ticks / count,
            Unit::BinaryFraction(bits) => (ticks * u128::from(NANOS_PER_SECOND)) >> bits,
        };
        u64::try_from(i128::try_from(since_offset).ok()? + self.offset_ns).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::TimeScale;

    #[test]
    fn decimal_resolutions_are_exact_and_finer_than_nanoseconds_round_down() {
        let cases = [
            (0, 3, 3_000_000_000),
            (3, 1_999, 1_999_000_000),
            (6, 1, 1_000),
            (9, u64::MAX, u64::MAX),
            (10, 19, 1),
            (12, 1_700_000_000_123_999, 1_700_000_000_123),
            (28, u64::MAX, 1),
            (29, u64::MAX, 0),
            (127, u64::MAX, 0),
        ];
        for (resolution, ticks, nanos) in cases {
            let scale = TimeScale::new(resolution, 0);
            assert_eq!(scale.nanos(ticks), Some(nanos), "10^-{resolution}");
        }
    }

    #[test]
    fn binary_resolutions_round_down() {
        let cases = [
            (0, 3, 3_000_000_000),
            (1, 3, 1_500_000_000),
            (10, 1, 976_562),
            (32, u64::from(u32::MAX), 999_999_999),
            (63, u64::MAX, 1_999_999_999),
            (127, u64::MAX, 0),
        ];
        for (bits, ticks, nanos) in cases {
            let scale = TimeScale::new(0x80 | bits, 0);
            assert_eq!(scale.nanos(ticks), Some(nanos), "2^-{bits}");
        }
    }

    #[test]
    fn offsets_move_both_ways_and_nothing_wraps() {
        assert_eq!(TimeScale::new(9, 2).nanos(5), Some(2_000_000_005));
        assert_eq!(TimeScale::new(9, -2).nanos(2_000_000_005), Some(5));
        assert_eq!(TimeScale::new(9, -2).nanos(5), None);
        assert_eq!(TimeScale::new(9, 1).nanos(u64::MAX), None);
        assert_eq!(TimeScale::new(6, 0).nanos(u64::MAX), None);
        // Ticks past the limit that the offset brings back.
        assert_eq!(TimeScale::new(0, -20_000_000_000).nanos(20_000_000_007), Some(7_000_000_000));
        for resolution in 0..=u8::MAX {
            for offset in [i64::MIN, -1, 0, 1, i64::MAX] {
                for ticks in [0, 1, u64::MAX] {
                    let _ = TimeScale::new(resolution, offset).nanos(ticks);
                }
            }
        }
    }
}

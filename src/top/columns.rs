//! The columns of the list: what they are called, how they sort, and which of them fit.

use std::cmp::Ordering;

use super::model::Lane;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// The container's id.
    Container,
    /// The direction.
    Way,
    /// What is sent.
    Rate,
    /// Rate and ceil, as configured.
    Limit,
    /// The share of what may be sent.
    Use,
    /// Packets that wait.
    Queue,
    /// Half of the packets waited no longer.
    P50,
    /// All but a hundredth waited no longer.
    P99,
    /// Drops per second.
    Drops,
    /// Marks per second.
    Marks,
    /// The last rates.
    Trend,
    /// What keeps it from sending more.
    LimitedBy,
}

impl Column {
    /// All, from left to right.
    const ALL: [Self; 12] = [
        Self::Container,
        Self::Way,
        Self::Rate,
        Self::Limit,
        Self::Use,
        Self::Queue,
        Self::P50,
        Self::P99,
        Self::Drops,
        Self::Marks,
        Self::Trend,
        Self::LimitedBy,
    ];

    /// Those that lanes can be sorted by, in the order of the key that changes it.
    pub(super) const SORTS: [Self; 8] =
        [Self::Rate, Self::Use, Self::Queue, Self::P50, Self::P99, Self::Drops, Self::Marks, Self::Container];

    /// Those that a narrow terminal has no room for, the first to go first.
    const EXPENDABLE: [Self; 5] = [Self::Trend, Self::Marks, Self::P50, Self::Use, Self::Limit];

    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Way => "way",
            Self::Rate => "rate",
            Self::Limit => "limit",
            Self::Use => "used",
            Self::Queue => "queue",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Drops => "drops/s",
            Self::Marks => "marks/s",
            Self::Trend => "trend",
            Self::LimitedBy => "limited by",
        }
    }

    pub(super) const fn width(self) -> u16 {
        match self {
            Self::Container => 14,
            Self::Way | Self::P50 | Self::P99 | Self::Queue => 7,
            Self::Rate | Self::Drops | Self::Marks => 9,
            Self::Limit | Self::LimitedBy => 12,
            Self::Use => 15,
            Self::Trend => 16,
        }
    }

    /// Whether it is aligned right, as numbers are.
    pub(super) const fn is_number(self) -> bool {
        !matches!(self, Self::Container | Self::Way | Self::Use | Self::Trend | Self::LimitedBy)
    }

    /// The columns that fit side by side, with a space between them.
    pub(super) fn fitting(width: u16) -> Vec<Self> {
        let mut columns = Self::ALL.to_vec();
        for expendable in Self::EXPENDABLE {
            if columns.iter().map(|column| column.width() + 1).sum::<u16>() <= width {
                break;
            }
            columns.retain(|column| *column != expendable);
        }
        columns
    }

    /// Numbers from the highest down, names from A to Z; lanes that are the same by their names.
    pub(super) fn compare(self, one: &Lane, other: &Lane) -> Ordering {
        let by_name = || (&one.name, &one.key).cmp(&(&other.name, &other.key));
        let number: fn(&Lane) -> u64 = match self {
            Self::Use => |lane| lane.used_per_mille().unwrap_or(0),
            Self::Queue => |lane| lane.report.queued().packets,
            Self::P50 => |lane| lane.report.sojourn_ns.p50,
            Self::P99 => |lane| lane.report.sojourn_ns.p99,
            Self::Drops => |lane| lane.drops_in_10_s,
            Self::Marks => |lane| lane.marks_in_10_s,
            Self::Rate | Self::Limit | Self::Trend => |lane| lane.sent.bytes_per_s,
            Self::Container | Self::Way | Self::LimitedBy => return by_name(),
        };
        number(other).cmp(&number(one)).then_with(by_name)
    }
}

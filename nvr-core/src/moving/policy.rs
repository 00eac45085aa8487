//! Which segments move now. Pure: rows and limits in, a choice out.

use std::time::Duration;

use crate::store::SegmentRow;
use crate::time::{Timestamp, duration_ns};

/// Why segments move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// What ended so long ago; `None`: age does not matter.
    pub after: Option<Duration>,
    /// So many bytes are too many below the recordings root, or missing to its free space.
    pub over_bytes: u64,
}

/// The segments that move, with whether that is for want of room: the oldest until nothing is too much, then what is
/// old. `rows` are the oldest below the recordings root, by start; at most `most` are chosen.
#[must_use]
pub fn choose(rows: &[SegmentRow], rules: Rules, now: Timestamp, most: usize) -> Vec<(&SegmentRow, bool)> {
    let mut over = rules.over_bytes;
    let old = |row: &SegmentRow| {
        rules
            .after
            .is_some_and(|after| now.since(row.end()) >= duration_ns(after))
    };
    rows.iter()
        .filter_map(|row| {
            let urgent = over > 0;
            over = over.saturating_sub(row.size_bytes);
            (urgent || old(row)).then_some((row, urgent))
        })
        .take(most)
        .collect()
}

//! Segments of one camera and run that cover the same time.

use std::collections::HashMap;

use super::report::{CheckReport, Problem, ProblemKind, Repair};
use crate::error::Result;
use crate::ids::{CameraId, RunId};
use crate::store::{MAX_PAGE, SegmentQuery, SegmentState, Store};
use crate::time::{TimeRange, Timestamp};

/// Runs followed at once; older ones are forgotten.
const MAX_RUNS: usize = 1024;
/// Rounding and a late last frame.
const TOLERANCE_NS: i64 = 100_000_000;

/// How much of a segment may overlap: starts follow the wall clock, whose correction works off at most 5 ms
/// per second, lengths follow the camera.
const fn tolerance_ns(duration_ns: i64) -> i64 {
    TOLERANCE_NS + duration_ns / 100
}

pub(super) fn find(store: &Store, camera: &CameraId, report: &mut CheckReport) -> Result<()> {
    let mut query = SegmentQuery::new([camera.clone()], TimeRange::ALL);
    query.states = SegmentState::PLAYABLE.to_vec();
    query.limit = MAX_PAGE;
    let mut ends: HashMap<RunId, (Timestamp, std::path::PathBuf)> = HashMap::new();
    loop {
        let page = store.segments(&query)?;
        for row in page.items {
            let before = ends.get(&row.run);
            if let Some((end, other)) = before
                && end.since(row.start) > tolerance_ns(row.duration_ns)
            {
                report.add(Problem {
                    kind: ProblemKind::Overlap,
                    camera: Some(camera.clone()),
                    detail: format!(
                        "begins {} ms before {} ends",
                        end.since(row.start) / 1_000_000,
                        other.display()
                    ),
                    path: row.path.clone(),
                    repair: Repair::Impossible,
                });
            }
            if before.is_none_or(|(end, _)| *end < row.end()) {
                if ends.len() >= MAX_RUNS {
                    ends.clear();
                }
                ends.insert(row.run, (row.end(), row.path));
            }
        }
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(());
        }
    }
}

//! What a crash left of an exchange, brought to one good version with a row that tells it.
//!
//! Whatever happened, the file under the segment's name is whole: the old version, or the new one that was checked
//! before it got there. Only the index may be behind. So where an `….orig` is found, the row is compared with the
//! file and made to follow it; then the second name goes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::SharedClock;
use crate::error::{ErrorKind, Result};
use crate::files::replace::{self, Leftover, LeftoverKind};
use crate::files::{Inspection, Root, Tree, hash_file, inspect};
use crate::segment::ClosedSegment;
use crate::store::{SegmentRow, SegmentState, Store, TranscodeRecord};
use crate::time::duration_ns;

/// What was found and done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    /// Drafts that were removed.
    pub drafts: u64,
    /// Rows that were behind their file and follow it now.
    pub rows: Vec<PathBuf>,
    /// Old versions that came back because nothing else was there.
    pub restored: Vec<PathBuf>,
    /// Kept originals whose time was over.
    pub expired: u64,
    /// What could not be settled and waits for the next time, with the reason.
    pub failed: Vec<(PathBuf, String)>,
}

/// Settles everything. `drafts` says that no work is under way, so that drafts are left over, too. Kept originals go
/// when they are older than `keep`, or when their segment is gone.
///
/// # Errors
/// `Storage` when the root is not there or the folder cannot be read. What is wrong with single files is in the
/// answer.
pub fn settle(
    store: &Store,
    tree: &Tree,
    clock: &SharedClock,
    keep: Duration,
    drafts: bool,
) -> Result<Settled> {
    let mut settled = Settled::default();
    settle_root(store, tree.root(), clock, keep, drafts, &mut settled)?;
    // Without the second root its leftovers wait for the next time.
    if let Some(second) = tree.second().filter(|_| tree.second_usage().is_some())
        && let Err(e) = settle_root(store, second, clock, keep, drafts, &mut settled)
    {
        tracing::warn!(error = %e, "what lies in the work folder of the second root cannot be settled yet");
    }
    Ok(settled)
}

fn settle_root(
    store: &Store,
    root: &Root,
    clock: &SharedClock,
    keep: Duration,
    drafts: bool,
    settled: &mut Settled,
) -> Result<()> {
    for leftover in replace::leftovers(root)? {
        let result = match leftover.kind {
            LeftoverKind::Part if drafts => {
                settled.drafts += 1;
                replace::remove_leftover(root, &leftover)
            }
            LeftoverKind::Part => Ok(()),
            // Under way: the work itself settles it.
            LeftoverKind::Original if !drafts => Ok(()),
            LeftoverKind::Original => original(store, root, &leftover, settled),
            LeftoverKind::Kept => kept(store, root, clock, &leftover, keep, settled),
        };
        if let Err(e) = result {
            let camera = leftover.path.iter().next().and_then(|c| c.to_str());
            tracing::warn!(camera, path = %leftover.path.display(), error = %e, "what an exchange left cannot be settled yet");
            settled.failed.push((leftover.path, e.to_string()));
        }
    }
    Ok(())
}

/// Settles what an exchange of this segment left.
pub(super) fn settle_one(store: &Store, root: &Root, path: &Path) -> Result<()> {
    let mut settled = Settled::default();
    for leftover in replace::leftovers(root)? {
        if leftover.path == path && leftover.kind == LeftoverKind::Original {
            original(store, root, &leftover, &mut settled)?;
        }
    }
    Ok(())
}

fn original(store: &Store, root: &Root, leftover: &Leftover, settled: &mut Settled) -> Result<()> {
    let row = store.segment_by_path(&leftover.path)?;
    match inspect(root, &leftover.path) {
        Ok(Inspection::Closed(segment)) => {
            // One whose file was gone and is back is for `nvr check`: copies elsewhere are of the version that the row tells.
            if let Some(row) = row.as_ref().filter(|r| SegmentState::PLAYABLE.contains(&r.state))
                && !tells(row, &segment)
            {
                follow(store, root, row, *segment, leftover)?;
                settled.rows.push(leftover.path.clone());
            }
            // Without a row it is entered as any file is that the index does not know.
            store.make_durable()?;
            replace::forget_original(root, &leftover.path)
        }
        Ok(other) => Err(crate::error::Error::new(
            ErrorKind::Corrupt,
            format!(
                "{} is not whole ({other:?}); both versions were left",
                leftover.path.display()
            ),
        )
        .with_hint("run `nvr check`")),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Nobody removes a segment in an exchange but whoever deletes it, and then its row is gone or going.
            let wanted = match &row {
                Some(row) => {
                    SegmentState::PLAYABLE.contains(&row.state) && !store.is_being_deleted(row.id)?
                }
                None => false,
            };
            if !wanted || leftover.size_bytes == 0 {
                return replace::forget_original(root, &leftover.path);
            }
            replace::restore_original(root, &leftover.path)?;
            settled.restored.push(leftover.path.clone());
            if let (Some(row), Inspection::Closed(segment)) = (row, inspect(root, &leftover.path)?)
                && !tells(&row, &segment)
            {
                follow(store, root, &row, *segment, leftover)?;
            }
            Ok(())
        }
        Err(e) => Err(e),
    }
}

/// Whether a row tells this version.
fn tells(row: &SegmentRow, segment: &ClosedSegment) -> bool {
    row.size_bytes == segment.size_bytes
        && row.tracks.video.codec == segment.start.tracks.video.codec
        && row.duration_ns == segment.duration_ns
        && row.masks == segment.start.masks
}

/// Makes a row tell what its file is.
fn follow(
    store: &Store,
    root: &Root,
    row: &SegmentRow,
    mut segment: ClosedSegment,
    leftover: &Leftover,
) -> Result<()> {
    segment.hash = Some(hash_file(root, &row.path)?);
    let record = TranscodeRecord {
        at: leftover.since,
        kept: None,
        encoder: String::new(),
        before_bytes: row.size_bytes,
        after_bytes: segment.size_bytes,
        elapsed_ns: 0,
        // It was checked before it got its name; the figures went with the process that knew them.
        ssim: None,
        psnr_db: None,
        masked: segment.start.masks.is_some(),
    };
    store.exchange_segment_blocking(row.id, segment, record)
}

fn kept(
    store: &Store,
    root: &Root,
    clock: &SharedClock,
    leftover: &Leftover,
    keep: Duration,
    settled: &mut Settled,
) -> Result<()> {
    let over = clock.now().since(leftover.since) >= duration_ns(keep);
    // One without masks must not outlive that its segment got some.
    let is_wanted = store
        .segment_by_path(&leftover.path)?
        .is_some_and(|row| row.masks.is_none());
    if over || !is_wanted {
        settled.expired += 1;
        return replace::remove_leftover(root, leftover);
    }
    Ok(())
}

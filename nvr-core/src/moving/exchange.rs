//! A segment that was copied becomes one of the second root, such that a crash at any instant leaves exactly one good
//! version that counts.
//!
//! | step | after a crash here |
//! |---|---|
//! | the copy is written, synced, read back and compared, as `….part` in the work folder of the second root | it is removed at the next start |
//! | the index notes that the segment moves | the note goes |
//! | the copy gets the segment's name | it is removed again: the row says that the first root counts |
//! | the row says that the second root counts, forced to the disk | |
//! | the original goes | it is removed: the row says that the second root counts |
//! | the note goes | |
//!
//! Everything here blocks.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use crate::error::{Error, ErrorKind, Result};
use crate::files::replace::{self, Draft};
use crate::files::{self, Root, Tree};
use crate::segment::Tier;
use crate::store::{SegmentRow, Store};

/// Bytes that are read back at once.
const PIECE: usize = 1 << 20;

/// Steps of a move, for tests that end the process between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The copy is whole, on the disk, and was compared.
    Copied,
    /// The index knows that the segment moves.
    Noted,
    /// The copy has the segment's name.
    Placed,
    /// The row says that the copy counts.
    RowWritten,
    /// So it does after a power cut.
    RowDurable,
    /// The original is gone.
    OriginalGone,
    /// The note is gone.
    Done,
}

/// Whether what lies on the disk is what was copied: written out, dropped from the cache, read back.
pub(super) fn is_on_disk(file: &mut File, size_bytes: u64, hash: &[u8; 32]) -> Result<bool> {
    let failed = |e| crate::fault::storage("read back the copy", e);
    file.sync_all().map_err(failed)?;
    // Else the memory would be compared and not the disk. No help where the system knows no such call.
    let _ = rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (mut hasher, mut piece, mut length) = (blake3::Hasher::new(), vec![0; PIECE], 0u64);
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            n => {
                length += n as u64;
                hasher.update(piece.get(..n).unwrap_or_default());
            }
        }
    }
    Ok(length == size_bytes && hasher.finalize().as_bytes() == hash)
}

/// Makes the copy the one that counts. False when the segment is being deleted, or became another one meanwhile; then
/// nothing of the copy is left. After an error the note stays, and with it both files, until [`settle`] finds it.
pub(super) fn exchange(
    store: &Store,
    tree: &Tree,
    row: &SegmentRow,
    draft: Draft,
    hash: [u8; 32],
    at: &mut dyn FnMut(Step),
) -> Result<bool> {
    let second = tree.root_of(Tier::Second)?;
    at(Step::Copied);
    if !store.begin_move_blocking(row.id)? {
        return Ok(false);
    }
    // The note must not be lost by a power cut that the copy's name survives.
    store.make_durable()?;
    at(Step::Noted);
    let placed = replace::place(second, draft);
    at(Step::Placed);
    let counts = match placed {
        Ok(()) => store.segment_moved_blocking(row.id, row.size_bytes, hash),
        Err(e) => Err(e),
    };
    match counts {
        Ok(true) => {}
        other => {
            files::delete(second, &row.path)?;
            store.end_move_blocking(row.id)?;
            return other;
        }
    }
    at(Step::RowWritten);
    store.make_durable()?;
    at(Step::RowDurable);
    files::delete(tree.root(), &row.path)?;
    at(Step::OriginalGone);
    store.end_move_blocking(row.id)?;
    at(Step::Done);
    Ok(true)
}

/// Removes the file that does not count of each move that was cut off. Without the second root they wait for the next
/// time. Returns how many were settled.
///
/// # Errors
/// `Storage` when the recordings root is not there or the index cannot be written.
pub fn settle(store: &Store, tree: &Tree) -> Result<u64> {
    let mut settled = 0;
    for row in store.moves()? {
        match settle_one(store, tree, &row) {
            Ok(()) => settled += 1,
            Err(e) => {
                tracing::warn!(camera = %row.camera, path = %row.path.display(), error = %e, "a move that was cut off cannot be finished yet");
            }
        }
    }
    Ok(settled)
}

fn settle_one(store: &Store, tree: &Tree, row: &SegmentRow) -> Result<()> {
    let second = tree.root_of(Tier::Second)?;
    let (counts, other) = match row.tier {
        Tier::First => (tree.root(), second),
        Tier::Second => (second, tree.root()),
    };
    if is_there(counts, row)? {
        files::delete(other, &row.path)?;
    } else if is_there(other, row)? {
        // Whoever took it away, the other one is whole.
        let tier = match row.tier {
            Tier::First => Tier::Second,
            Tier::Second => Tier::First,
        };
        store.set_segment_tier_blocking(vec![row.id], tier)?;
    }
    store.end_move_blocking(row.id)
}

fn is_there(root: &Root, row: &SegmentRow) -> Result<bool> {
    match files::inspect(root, &row.path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// What is wrong with an original that is not what was recorded.
pub(super) fn damaged(row: &SegmentRow) -> Error {
    let what = format!(
        "{} is not what was recorded; it stays where it is",
        row.path.display()
    );
    Error::new(ErrorKind::Corrupt, what).with_hint("see `nvr verify`")
}

//! `nvr check`: rows and files side by side, in the order of paths.

use std::collections::HashSet;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::{CheckReport, Problem, ProblemKind, Progress, Repair};
use super::{Mended, mend, overlap, start_of};
use crate::error::{Error, ErrorKind, Result};
use crate::files::stills;
use crate::files::{Entry, Inspection, Root, SegmentName, Walk, inspect};
use crate::segment::{ClosedSegment, Tier};
use crate::store::{SegmentRow, SegmentState, Store};

/// What to check and whether to mend.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Mend what can be mended; the root must have been opened exclusively, the index for writing.
    pub repair: bool,
    /// Read every file and compare its hash; with `repair` the hash is stored where there is none.
    pub hash: bool,
    /// Segments that grow in this very process; they are passed over.
    pub growing: HashSet<PathBuf>,
    /// The second root (`[tier]`), if there is one. What the index has there is passed over while it is away.
    pub second: Option<Arc<Root>>,
}

/// Compares the index with the tree. May run beside a recorder as long as it repairs nothing.
///
/// # Errors
/// `Storage` when root or index cannot be read, `Conflict` when a repair is asked for and the root belongs
/// to another index or is not exclusively ours. What is wrong with single files is in the report.
pub fn check(
    store: &Store,
    root: &Root,
    options: &CheckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport> {
    super::same_tree(store, root)?;
    let mut report = CheckReport::default();
    for fault in store.integrity_check()? {
        report.add(Problem {
            kind: ProblemKind::Index,
            camera: None,
            path: PathBuf::new(),
            detail: fault,
            repair: Repair::Impossible,
        });
    }
    let total = Some(store.count()?);
    let mut check = Check {
        store,
        root,
        tier: Tier::First,
        other: options.second.as_deref(),
        options,
        // Beside a recorder open rows are in order.
        recorder_runs: !options.repair && root.is_in_use()?,
        report,
    };
    check.walk(total, progress)?;
    check.stills()?;
    if let Some(second) = options.second.as_deref().filter(|s| s.attach().is_ok()) {
        (check.root, check.tier, check.other) = (second, Tier::Second, Some(root));
        check.walk(total, progress)?;
    } else {
        check.report.unreachable = store.tier_totals()?.iter().map(|t| t.segments).sum();
    }
    let mut report = check.report;
    for camera in store.cameras()? {
        overlap::find(store, &camera.id, &mut report)?;
    }
    Ok(report)
}

/// Whether a file is the index itself, what lies beside it, or one of their companions, which may lie in the root.
fn is_index(store: &Store, path: &Path) -> bool {
    let Some(name) = path.file_name() else {
        return false;
    };
    // As the configuration names them: accounts, and pushes that are kept.
    let beside = ["accounts.db", "pushes.json"].map(|end| store.path().with_extension(end));
    let mut ours = [store.path()]
        .into_iter()
        .chain(beside.iter().map(PathBuf::as_path));
    let rest_of = |file: &Path| -> Option<Vec<u8>> {
        let rest = name
            .as_encoded_bytes()
            .strip_prefix(file.file_name()?.as_encoded_bytes())?;
        Some(rest.to_vec())
    };
    let Some(rest) = ours.find_map(rest_of) else {
        return false;
    };
    // What SQLite adds, and before that what a rebuild does.
    let rest = [&b"-wal"[..], b"-shm", b"-journal"]
        .iter()
        .find_map(|end| rest.strip_suffix(*end))
        .unwrap_or(&rest);
    let numbered = rest
        .strip_prefix(b".bak.")
        .is_some_and(|n| n.iter().all(u8::is_ascii_digit));
    // What restoring a backup set aside.
    let aside = rest.starts_with(b".before-");
    let companion = numbered || aside || [&b""[..], b".bak", b".rebuild"].contains(&rest);
    // By whatever way the root was named, it is the same folder.
    companion && same_folder(path.parent(), store.path().parent())
}

fn same_folder(a: Option<&Path>, b: Option<&Path>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a == b
                || a.canonicalize()
                    .is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
        }
        _ => false,
    }
}

/// Whether a file was read whole and is what was recorded. What is not known of either is no proof.
fn is_as_recorded(recorded: Option<[u8; 32]>, read: &Result<[u8; 32]>) -> bool {
    recorded.is_some_and(|hash| read.as_ref().is_ok_and(|read| *read == hash))
}

type Rows<'a> = Peekable<Box<dyn Iterator<Item = Result<SegmentRow>> + 'a>>;

struct Check<'a> {
    store: &'a Store,
    /// The one that is walked through, and which that is.
    root: &'a Root,
    tier: Tier,
    /// Where the same path may lie as well.
    other: Option<&'a Root>,
    options: &'a CheckOptions,
    recorder_runs: bool,
    report: CheckReport,
}

impl<'a> Check<'a> {
    /// One root, and the rows of what lies below it.
    fn walk(&mut self, total: Option<u64>, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        let tier = self.tier;
        let (store, root): (&'a Store, &'a Root) = (self.store, self.root);
        let of_tier = store
            .all_paths()
            .filter(move |row| row.as_ref().map_or(true, |r| r.tier == tier));
        let mut rows: Rows<'a> = (Box::new(of_tier) as Box<dyn Iterator<Item = _> + 'a>).peekable();
        for entry in Walk::new(root)? {
            match entry? {
                Entry::Foreign(path) if is_index(store, &root.path().join(&path)) => {}
                Entry::Foreign(path) => self.report.add_foreign(path),
                Entry::Segment { name, size_bytes } => {
                    self.segment(&mut rows, &name, size_bytes)?;
                    progress(Progress {
                        done: self.report.files,
                        total,
                    });
                }
            }
        }
        for row in rows {
            self.row_without_file(&row?)?;
        }
        Ok(())
    }

    /// The stills, which need no index: whether each begins and ends as a JPEG does, if files are read at all.
    fn stills(&mut self) -> Result<()> {
        let dir = self.root.dir()?;
        for camera in stills::cameras(&dir)? {
            for day in stills::days(&dir, &camera)? {
                let names = stills::names(&dir, &camera, day)?;
                let sizes = stills::sizes(&dir, &camera, day, &names)?;
                for (name, size_bytes) in names.into_iter().zip(sizes) {
                    // Retention may have taken it meanwhile.
                    let Some(size_bytes) = size_bytes else { continue };
                    self.report.stills += 1;
                    self.report.stills_bytes += size_bytes;
                    if size_bytes > 0 && !self.options.hash {
                        continue;
                    }
                    let fault = match stills::read(&dir, &name) {
                        Ok(jpeg) if stills::is_whole(&jpeg) => continue,
                        Ok(_) => "it is no whole JPEG".to_owned(),
                        Err(e) if e.kind() == ErrorKind::NotFound => continue,
                        Err(e) => e.to_string(),
                    };
                    self.report.add(Problem {
                        kind: ProblemKind::DamagedStill,
                        camera: Some(camera.clone()),
                        path: name.path(),
                        detail: fault,
                        repair: Repair::Impossible,
                    });
                }
            }
        }
        Ok(())
    }

    /// A file; first all rows before it, which have none.
    fn segment(&mut self, rows: &mut Rows<'_>, name: &SegmentName, size_bytes: u64) -> Result<()> {
        self.report.files += 1;
        self.report.size_bytes += size_bytes;
        let path = name.to_string();
        loop {
            let order = match rows.peek() {
                None => std::cmp::Ordering::Greater,
                Some(Err(_)) => std::cmp::Ordering::Less,
                Some(Ok(row)) => row.path.as_os_str().as_encoded_bytes().cmp(path.as_bytes()),
            };
            match order {
                std::cmp::Ordering::Less => {
                    if let Some(row) = rows.next() {
                        self.row_without_file(&row?)?;
                    }
                }
                std::cmp::Ordering::Equal => {
                    if let Some(row) = rows.next() {
                        return self.pair(&row?, name, size_bytes);
                    }
                }
                std::cmp::Ordering::Greater => return self.file_without_row(name),
            }
        }
    }

    fn row_without_file(&mut self, row: &SegmentRow) -> Result<()> {
        self.report.rows += 1;
        if matches!(row.state, SegmentState::Missing | SegmentState::Remote) || self.is_growing(&row.path) {
            return Ok(());
        }
        // Others may have written since row and folder were read.
        let Some(row) = self
            .store
            .segment_by_path(&row.path)?
            .filter(|row| row.tier == self.tier)
        else {
            return Ok(());
        };
        // The recorder was deleting it; its next start finishes that.
        if self.store.is_condemned(row.id)? {
            if self.options.repair {
                self.store.segments_deleted_blocking(vec![row.id])?;
            }
            return Ok(());
        }
        match inspect(self.root, &row.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) if e.kind() == ErrorKind::InvalidArgument => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(()),
        }
        let repair = self.repair(|c| c.store.set_segment_state_blocking(row.id, SegmentState::Missing));
        self.problem(
            ProblemKind::MissingFile,
            &row.path,
            "in the index, not on disk",
            repair,
        );
        Ok(())
    }

    fn file_without_row(&mut self, name: &SegmentName) -> Result<()> {
        let path = name.path();
        if self.is_growing(&path) {
            return Ok(());
        }
        if let Some(row) = self.store.segment_by_path(&path)? {
            return self.second_file(&row, name);
        }
        match inspect(self.root, &path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => self.unreadable(&path, &e.to_string()),
            Ok(Inspection::Empty {
                removable,
                size_bytes,
            }) => self.empty(&path, removable, size_bytes, None),
            Ok(Inspection::Damaged {
                whole_bytes,
                size_bytes,
            }) => {
                if self.recorder_runs {
                    // It may be one that has just begun to grow.
                    return Ok(());
                }
                let repair = self.repair(|c| c.reindex(&path, None));
                let detail = format!("not in the index; {whole_bytes} of {size_bytes} bytes are whole");
                self.problem(ProblemKind::Orphan, &path, &detail, repair);
            }
            Ok(Inspection::Closed(segment)) => {
                let repair = self.repair(|c| c.enter(*segment));
                self.problem(ProblemKind::Orphan, &path, "not in the index", repair);
            }
        }
        Ok(())
    }

    /// A file whose row says that it lies below the other root.
    fn second_file(&mut self, row: &SegmentRow, name: &SegmentName) -> Result<()> {
        // Beside a recorder it may just be moving.
        if row.tier == self.tier || self.recorder_runs {
            return Ok(());
        }
        let path = name.path();
        let repair = match self.other.map(|other| (other, inspect(other, &path))) {
            // The one that counts is whole and is what was recorded: this one is too many.
            Some((other, Ok(Inspection::Closed(_))))
                if is_as_recorded(row.hash, &crate::files::hash_file(other, &path)) =>
            {
                self.repair(|c| crate::files::delete(c.root, &path).map(drop))
            }
            Some((_, Ok(_))) => Repair::Impossible,
            Some((_, Err(e))) if e.kind() != ErrorKind::NotFound => Repair::Impossible,
            // Only here, or the second root was given up.
            _ => self.repair(|c| c.store.set_segment_tier_blocking(vec![row.id], c.tier)),
        };
        let detail = format!("the index has it below the {} root", row.tier.as_str());
        self.problem(ProblemKind::OtherRoot, &path, &detail, repair);
        Ok(())
    }

    fn pair(&mut self, row: &SegmentRow, name: &SegmentName, size_bytes: u64) -> Result<()> {
        self.report.rows += 1;
        let path = name.path();
        if self.is_growing(&path) || (row.state == SegmentState::Open && self.recorder_runs) {
            return Ok(());
        }
        let found = match inspect(self.root, &path) {
            Ok(found) => found,
            // Deleted since the folder was read.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => {
                self.unreadable(&path, &e.to_string());
                return Ok(());
            }
        };
        match (row.state, found) {
            (
                _,
                Inspection::Empty {
                    removable,
                    size_bytes,
                },
            ) => {
                self.empty(
                    &path,
                    removable && row.state == SegmentState::Open,
                    size_bytes,
                    Some(row),
                );
            }
            (SegmentState::Open, _) => {
                let repair = self.repair(|c| c.reindex(&path, Some(row)));
                let detail = "still open in the index, but no recorder runs";
                self.problem(ProblemKind::OpenRow, &path, detail, repair);
            }
            (SegmentState::Missing | SegmentState::Remote, _) => {
                let repair = self.repair(|c| c.reindex(&path, Some(row)));
                self.problem(
                    ProblemKind::FoundAgain,
                    &path,
                    "marked missing, but there",
                    repair,
                );
            }
            (
                _,
                Inspection::Damaged {
                    whole_bytes,
                    size_bytes,
                },
            ) => {
                // One that was finished on a full disk has no ends, and none are missing.
                if whole_bytes == size_bytes && size_bytes == row.size_bytes {
                    return self.verify_hash(row);
                }
                let repair = self.repair(|c| c.reindex(&path, Some(row)));
                let detail = format!(
                    "{whole_bytes} of {size_bytes} bytes are whole, the index says {}",
                    row.size_bytes
                );
                self.problem(ProblemKind::Truncated, &path, &detail, repair);
            }
            (_, Inspection::Closed(segment)) => {
                if let Some(detail) = self.difference(row, &segment, size_bytes)? {
                    let repair = self.repair(|c| c.reindex(&path, Some(row)));
                    self.problem(ProblemKind::WrongSize, &path, &detail, repair);
                } else {
                    return self.verify_hash(row);
                }
            }
        }
        Ok(())
    }

    fn difference(&self, row: &SegmentRow, segment: &ClosedSegment, listed: u64) -> Result<Option<String>> {
        if row.size_bytes != segment.size_bytes {
            let detail = format!(
                "{} bytes on disk, the index says {}",
                segment.size_bytes, row.size_bytes
            );
            // A recorder may have closed it after the row was read.
            let now = self.store.segment(row.id)?;
            return Ok(now.is_some_and(|now| now.size_bytes != listed).then_some(detail));
        }
        if segment.fragments.is_empty() {
            return Ok(None);
        }
        let stored = self.store.fragments(row.id)?.unwrap_or_default();
        Ok(
            (stored != segment.fragments || row.duration_ns != segment.duration_ns)
                .then(|| "the index has other fragments than the file".to_owned()),
        )
    }

    fn verify_hash(&mut self, row: &SegmentRow) -> Result<()> {
        if !self.options.hash {
            return Ok(());
        }
        let found = match crate::files::hash_file(self.root, &row.path) {
            Ok(found) => found,
            Err(e) => {
                self.unreadable(&row.path, &e.to_string());
                return Ok(());
            }
        };
        self.report.hashed += 1;
        match row.hash {
            Some(known) if known != found => {
                let detail = "its content changed since it was recorded";
                self.problem(ProblemKind::HashMismatch, &row.path, detail, Repair::Impossible);
            }
            None if self.options.repair => self.store.set_hash_blocking(row.id, found)?,
            _ => {}
        }
        Ok(())
    }

    /// Mends a file if need be and writes what it holds over its row.
    fn reindex(&self, path: &Path, row: Option<&SegmentRow>) -> Result<()> {
        let known = row.map(|r| start_of(self.store, r));
        match mend(self.root, path, known.as_ref())? {
            Mended::Footage(segment, _) => self.enter(*segment),
            Mended::Removed => row.map_or(Ok(()), |r| self.store.delete_segment_blocking(r.id).map(drop)),
            Mended::Unreadable => Err(Error::new(ErrorKind::Corrupt, "nothing in it can be played")),
        }
    }

    fn enter(&self, segment: ClosedSegment) -> Result<()> {
        let ids = self.store.insert_segments_blocking(vec![segment])?;
        match self.tier {
            Tier::First => Ok(()),
            Tier::Second => self.store.set_segment_tier_blocking(ids, Tier::Second),
        }
    }

    fn empty(&mut self, path: &Path, removable: bool, size_bytes: u64, row: Option<&SegmentRow>) {
        if self.recorder_runs {
            // It may have just been made.
            return;
        }
        if removable {
            let repair = self.repair(|c| c.reindex(path, row));
            let detail = format!("{size_bytes} bytes without a whole fragment");
            self.problem(ProblemKind::EmptyFile, path, &detail, repair);
        } else {
            self.unreadable(path, &format!("nothing in its {size_bytes} bytes can be played"));
        }
    }

    fn unreadable(&mut self, path: &Path, detail: &str) {
        self.problem(ProblemKind::Unreadable, path, detail, Repair::Impossible);
    }

    fn repair(&self, how: impl FnOnce(&Self) -> Result<()>) -> Repair {
        if !self.options.repair {
            return Repair::NotTried;
        }
        match how(self) {
            Ok(()) => Repair::Done,
            Err(e) => Repair::Failed(e.to_string()),
        }
    }

    fn problem(&mut self, kind: ProblemKind, path: &Path, detail: &str, repair: Repair) {
        self.report.add(Problem {
            kind,
            camera: SegmentName::parse(path).map(|n| n.camera),
            path: path.to_owned(),
            detail: detail.to_owned(),
            repair,
        });
    }

    fn is_growing(&self, path: &Path) -> bool {
        self.options.growing.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_only_for_one_that_is_proved_to_be_the_same() {
        let broken = || Err(Error::new(ErrorKind::Storage, "cannot be read"));
        assert!(is_as_recorded(Some([1; 32]), &Ok([1; 32])));
        assert!(!is_as_recorded(Some([1; 32]), &Ok([2; 32])));
        assert!(!is_as_recorded(Some([1; 32]), &broken()));
        assert!(!is_as_recorded(None, &Ok([1; 32])));
        assert!(!is_as_recorded(None, &broken()));
    }
}

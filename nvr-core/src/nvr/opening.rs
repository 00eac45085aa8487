//! Root and index, opened together; what a crash left is mended and told.

use std::path::Path;
use std::time::Duration;

use crate::check;
use crate::clock::SharedClock;
use crate::config::{Config, SyncMode};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::files::{Create, Root, RootMemory, RootOptions, SyncPolicy, Tree, require_disk};
use crate::moving;
use crate::retention;
use crate::segment::Tier;
use crate::store::{OpenMode, Store};
use crate::time::{TimeRange, Timestamp};

/// How long a start waits for the disk of the second root.
const FIRST_LOOK: Duration = Duration::from_secs(10);

pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) tree: Tree,
    pub(super) recovered: Vec<Event>,
    /// There is footage that the index does not know yet.
    pub(super) incomplete: bool,
    /// Why the second root cannot be used.
    pub(super) tier_fault: Option<Cause>,
}

pub(super) fn open(config: &Config, clock: &SharedClock) -> Result<Opened> {
    crate::gst::init()?;
    let recorder = &config.recorder;
    if recorder.root.as_os_str().is_empty() {
        let message = "the recordings root is an empty path";
        return Err(Error::new(ErrorKind::Config, message).with_hint("name a folder"));
    }
    if config.path.as_deref().is_some_and(crate::backup::is_cut_off) {
        let message = "restoring a backup was cut off: some files are of the backup, some are not";
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_hint("`nvr run` finishes it, as does `nvr restore-backup`"));
    }
    let memory = config.path.as_deref().map(RootMemory::path_for);
    let remembered = memory.as_deref().and_then(RootMemory::load);
    if !recorder.adopt_root {
        require_disk(
            &recorder.root,
            recorder.root_mount.as_deref(),
            remembered.as_ref(),
        )?;
    }
    // An index that is there knows which tree it belongs to. One that is not there is made only after the
    // root has proved itself: by default it lies inside.
    let known = if recorder.database.exists() {
        Some(Store::open(&recorder.database, OpenMode::ReadWrite)?)
    } else {
        None
    };
    let expected = match &known {
        Some(store) => store.tree_id()?.map(|id| id.parse()).transpose()?,
        None => None,
    };
    let create = if recorder.adopt_root {
        Create::Adopt
    } else {
        Create::IfEmpty
    };
    let options = RootOptions {
        create,
        expected,
        exclusive: true,
    };
    let root = Root::open(&recorder.root, options, clock.clone())?;
    let tree_id = root.attach()?;
    if let Some(file) = &memory {
        remember(&recorder.root, file, remembered.as_ref());
    }
    let store = match known {
        Some(store) => store,
        None => Store::open(&recorder.database, OpenMode::ReadWrite).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                e.with_hint("make it, or leave `database` out: then the index lies in the root")
            }
            _ => e,
        })?,
    };
    if expected.is_none() {
        store.set_tree_id_blocking(&tree_id.to_string())?;
    }
    let policy = match config.recording.sync {
        SyncMode::Close => SyncPolicy::Close,
        SyncMode::Every(every) => SyncPolicy::Every(every),
    };
    let second = moving::second_root(config, &store, clock.clone())?;
    let tree = Tree::with_second(root, second, policy)?;
    let tier_fault = look_in_time(config, &store, &tree);
    match moving::settle(&store, &tree) {
        Ok(0) => {}
        Ok(segments) => tracing::info!(segments, "moves that were cut off are finished"),
        Err(e) => tracing::warn!(error = %e, "moves that were cut off are not finished yet"),
    }
    tell_settled(&crate::transcode::settle(
        &store,
        &tree,
        clock,
        config.transcode.keep_original,
        true,
    )?);
    for tier in Tier::ALL {
        match retention::finish_cut_off(&store, &tree, tier) {
            Ok(0) => {}
            Ok(segments) => tracing::info!(segments, "deletions that were cut off are finished"),
            Err(e) => tracing::warn!(error = %e, "deletions that were cut off are not finished yet"),
        }
    }
    let found = check::reconcile(&store, &tree)?;
    note_crash(&store)?;
    store.end_all_detections_blocking()?;
    let incomplete = found.incomplete;
    let recovered = tell_reconciled(found, clock);
    Ok(Opened {
        store,
        tree,
        recovered,
        incomplete,
        tier_fault,
    })
}

/// Looks at the second root as [`look_at_second`], but not for ever: recording does not wait for a disk that hangs.
fn look_in_time(config: &Config, store: &Store, tree: &Tree) -> Option<Cause> {
    config.tier.as_ref()?;
    let (answer, answered) = std::sync::mpsc::sync_channel(1);
    let (config, store, looked_at) = (config.clone(), store.clone(), tree.clone());
    let looking = std::thread::Builder::new()
        .name("nvr-second-root".into())
        .spawn(move || {
            let _ = answer.send(look_at_second(&config, &store, &looked_at));
        });
    let no_answer = || {
        tree.set_second_usage(None);
        Some(Cause::new(
            CauseKind::StorageError,
            "the disk of the second root does not answer",
        ))
    };
    match looking {
        Ok(_) => answered.recv_timeout(FIRST_LOOK).unwrap_or_else(|_| no_answer()),
        Err(_) => no_answer(),
    }
}

/// Looks at the second root; why it cannot be used, if so.
pub(super) fn look_at_second(config: &Config, store: &Store, tree: &Tree) -> Option<Cause> {
    let (tier, root) = (config.tier.as_ref()?, tree.second()?);
    let found = require_disk(&tier.root, tier.root_mount.as_deref(), None)
        .and_then(|()| tree.look_at_second())
        .and_then(|()| moving::remember(store, root));
    found.err().map(|e| {
        tree.set_second_usage(None);
        crate::files::cause_of(&e).unwrap_or_else(|| Cause::new(CauseKind::StorageError, e.to_string()))
    })
}

/// Notes where the root lies, so that a start without its disk is told from the first one. A configuration in a
/// folder that cannot be written (as in `/etc`) has no such memory.
fn remember(root: &Path, file: &Path, before: Option<&RootMemory>) {
    let saved = RootMemory::of(root).and_then(|now| {
        if before == Some(&now) {
            return Ok(());
        }
        now.save(file)
    });
    if let Err(e) = saved {
        tracing::info!(error = %e, "the place of the recordings root is not remembered; recorder.root_mount guards it as well");
    }
}

/// The camera that a path below the root belongs to.
fn camera_in(path: &Path) -> Option<&str> {
    path.iter().next()?.to_str()
}

/// What a crash left of files that were being exchanged.
fn tell_settled(settled: &crate::transcode::Settled) {
    for path in &settled.rows {
        tracing::warn!(camera = camera_in(path), path = %path.display(), "the index did not know yet that this segment was encoded again");
    }
    for path in &settled.restored {
        tracing::warn!(camera = camera_in(path), path = %path.display(), "a segment's file was gone; its original is back in its place");
    }
    for (path, why) in &settled.failed {
        tracing::error!(camera = camera_in(path), path = %path.display(), "what an exchange left could not be settled: {why}");
    }
}

/// What was found at the start, for the log and as events.
fn tell_reconciled(found: check::ReconcileReport, clock: &SharedClock) -> Vec<Event> {
    for path in &found.lost {
        tracing::error!(camera = camera_in(path), path = %path.display(), "a segment that was being recorded is gone or holds nothing");
    }
    for (path, why) in &found.failed {
        tracing::error!(camera = camera_in(path), path = %path.display(), "a segment could not be looked at: {why}");
    }
    if found.adopted > 0 {
        tracing::warn!(
            segments = found.adopted,
            "footage that the index did not know was entered"
        );
    }
    let now = clock.now();
    let event = |m: check::MendedSegment| {
        let kind = EventKind::SegmentRecovered {
            path: m.path.display().to_string(),
            cut_bytes: m.cut_bytes,
        };
        Event::new(now, Some(m.camera), kind)
    };
    found.mended.into_iter().map(event).collect()
}

/// What the last life of the recorder did not write down because it was killed: the ends of its runs, and
/// that footage is missing since.
fn note_crash(store: &Store) -> Result<()> {
    let cause = Cause::new(CauseKind::Crash, "the recorder did not stop in order");
    let totals = store.totals()?;
    // Runs that reach to the end of time: those without an end, however many there were.
    let open = TimeRange::new(Timestamp::MAX.add_ns(-1), Timestamp::MAX)?;
    for camera in store.cameras()? {
        let newest = totals
            .iter()
            .find(|t| t.camera == camera.id)
            .and_then(|t| t.newest);
        for run in store.runs(&camera.id, open)? {
            if run.ended.is_none() {
                let end = newest.map_or(run.started_at, |newest| newest.max(run.started_at));
                store.end_run_blocking(run.run, &camera.id, end, &cause)?;
            }
        }
        if let Some(newest) = newest {
            // Does nothing where a gap is open already: then the stop was noted.
            store.open_gap_blocking(&camera.id, newest, &cause)?;
        }
    }
    Ok(())
}

//! One segment from H.264 to H.265: encoder after encoder, the check, the exchange.

use std::fmt;
use std::sync::Arc;

use super::encode::{Failure, How, Original, encode};
use super::policy::{self, Facts, MasksOf, Rules};
use super::settle;
use super::verify::verify;
use crate::clock::SharedClock;
use crate::config::TranscodeConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::files::replace::{self, Draft, Step};
use crate::files::{self, Tree};
use crate::gst::{ArchiveEncoder, ArchiveSettings, Catalogue, Comparison, Gate};
use crate::ids::{CameraId, SegmentId};
use crate::privacy::{Privacy, PrivacyBook};
use crate::segment::ClosedSegment;
use crate::store::{SegmentRow, SegmentState, Store, TranscodeRecord};

/// Share of the work that encoding is; the rest is the check.
const ENCODING: f64 = 0.8;

/// What the work tells and asks while it runs. Called from its own thread, often.
pub trait Control {
    /// How far it is, 0 to 1, and what it does.
    fn progress(&mut self, share: f64, doing: &str);
    /// Whether it is to stop.
    fn stopped(&self) -> bool;
    /// It is about to exchange the files: from here on it cannot be stopped. False: it is to stop instead.
    fn commit(&mut self) -> bool;
    /// A step of the exchange is done.
    fn step(&mut self, _step: Step) {}
}

/// What it brought.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Report {
    /// Segment.
    pub segment: SegmentId,
    /// Camera.
    pub camera: CameraId,
    /// Element and preset.
    pub encoder: String,
    /// Size before, bytes.
    pub before_bytes: u64,
    /// Size after, bytes.
    pub after_bytes: u64,
    /// How long it took, nanoseconds.
    pub elapsed_ns: i64,
    /// How alike the pictures are.
    pub comparison: Comparison,
    /// Encoders that failed before, and how.
    pub failed: Vec<FailedEncoder>,
    /// Privacy masks that were burnt in, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<String>,
}

/// An encoder that failed at work.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct FailedEncoder {
    /// Its element.
    pub encoder: String,
    /// What went wrong.
    pub reason: String,
}

/// How it ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// The segment is H.265 now.
    Done(Box<Report>),
    /// It was tried and stays as it was; the index remembers.
    Kept {
        /// Why.
        reason: String,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was told to stop.
    Stopped,
}

/// Encodes segments again. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    store: Store,
    tree: Tree,
    clock: SharedClock,
    catalogue: Arc<Catalogue>,
    privacy: PrivacyBook,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// What an attempt with one encoder made.
struct Made {
    draft: Draft,
    segment: ClosedSegment,
    comparison: Comparison,
}

impl Worker {
    /// A worker on footage that this process is the recorder of.
    #[must_use]
    pub fn new(
        store: Store,
        tree: Tree,
        clock: SharedClock,
        catalogue: Arc<Catalogue>,
        privacy: PrivacyBook,
    ) -> Self {
        Self {
            store,
            tree,
            clock,
            catalogue,
            privacy,
        }
    }

    /// The privacy masks of the cameras.
    #[must_use]
    pub const fn privacy(&self) -> &PrivacyBook {
        &self.privacy
    }

    /// The encoders that are known here.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Encodes one segment again, checks the result and exchanges the files. Blocks for as long as that takes; to be
    /// called in a thread of its own, which is lowered as the configuration says.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Unsupported` when no encoder works, `Storage` when the disk or the index
    /// fails. The original is in its place then, or the new version is and the next call brings the index up to it.
    pub fn run(
        &self,
        id: SegmentId,
        config: &TranscodeConfig,
        rules: &Rules,
        control: &mut dyn Control,
    ) -> Result<Outcome> {
        config.priority.lower_this_thread();
        let begun = self.clock.steady_ns();
        let row = self.row(id)?;
        {
            let _turn = self.tree.turn(row.tier)?;
            settle::settle_one(&self.store, self.tree.root_of(row.tier)?, &row.path)?;
        }
        // It may have been another version's row until then.
        let row = self.row(id)?;
        // Those of now: what is drawn while it is encoded is for the next.
        let privacy = self.privacy.of(&row.camera);
        let privacy = privacy.as_ref();
        if let Err(why) = self.judge(&row, rules, privacy)? {
            return Ok(Outcome::Skipped {
                reason: format!("the segment {}", why.words()),
            });
        }
        let root = self.tree.root_of(row.tier)?;
        let file = self.tree.open_file(row.tier, &row.path)?;
        if file
            .metadata()
            .map_err(|e| Error::io(row.path.display(), e))?
            .len()
            != row.size_bytes
        {
            return Ok(Outcome::Skipped {
                reason: "its file has another size than the index says; run `nvr check`".into(),
            });
        }
        control.progress(0.0, "reading");
        if let Some(hash) = row.hash
            && files::hash_file(root, &row.path)? != hash
        {
            let reason = "its file is not as it was recorded (another hash)".to_owned();
            tracing::error!(camera = %row.camera, path = %row.path.display(), "{reason}");
            return self.keep(&row, begun, String::new(), reason, privacy);
        }
        let original = match Original::read(file).map_err(|e| e.context(row.path.display())) {
            Ok(Ok(original)) => original,
            Ok(Err(reason)) => return self.keep(&row, begun, String::new(), reason, privacy),
            Err(e) if e.kind() == ErrorKind::Corrupt || e.kind() == ErrorKind::Unsupported => {
                return self.keep(&row, begun, String::new(), e.to_string(), privacy);
            }
            Err(e) => return Err(e),
        };
        let size = original.video().map_or((0, 0), |v| v.size);
        let mut settings = settings(config, &row);
        settings.full_range = original.video().is_some_and(|v| v.is_full_range());
        let mut failed: Vec<FailedEncoder> = Vec::new();
        let ranked = self.catalogue.ranked(size, &settings, &config.encoders);
        for candidate in ranked {
            let encoder = candidate.encoder;
            if settings.full_range && !encoder.tells_full_range() {
                // Players would show other colours.
                continue;
            }
            let name = named(encoder, &settings);
            match self.attempt(
                &row, &original, encoder, &settings, config, privacy, &failed, control,
            ) {
                Ok(made) => {
                    return self
                        .put_in_place(&row, made, name, failed, begun, config, rules, privacy, control);
                }
                Err(Failure::Stopped) => return Ok(Outcome::Stopped),
                // The encoder is not to blame for a file that retention took away in the middle.
                Err(_) if self.is_gone(&row)? => {
                    return Ok(Outcome::Skipped {
                        reason: "the segment was deleted meanwhile".into(),
                    });
                }
                Err(Failure::Other(e)) => return Err(e),
                Err(Failure::Keep(reason)) => return self.keep(&row, begun, name, reason, privacy),
                Err(Failure::Encoder(reason)) => {
                    tracing::warn!(camera = %row.camera, segment = %id, encoder = name, reason, "an encoder failed; the next one tries");
                    self.catalogue.failed(encoder, size, &settings, &reason);
                    failed.push(FailedEncoder {
                        encoder: name,
                        reason,
                    });
                }
            }
        }
        let why = if failed.is_empty() {
            self.catalogue.why_none(size, &settings)
        } else {
            let each: Vec<String> = failed
                .iter()
                .map(|f| format!("{}: {}", f.encoder, f.reason))
                .collect();
            format!("no encoder could do it ({})", each.join("; "))
        };
        Err(Error::new(ErrorKind::Unavailable, why)
            .with_hint("see `nvr detect` for what works on this machine"))
    }

    fn row(&self, id: SegmentId) -> Result<SegmentRow> {
        self.store
            .segment(id)?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no segment {id}")))
    }

    fn is_gone(&self, row: &SegmentRow) -> Result<bool> {
        Ok(match self.store.segment(row.id)? {
            Some(now) => {
                !SegmentState::PLAYABLE.contains(&now.state) || self.store.is_being_deleted(row.id)?
            }
            None => true,
        })
    }

    fn judge(
        &self,
        row: &SegmentRow,
        rules: &Rules,
        privacy: Option<&Arc<Privacy>>,
    ) -> Result<Result<(), policy::Why>> {
        let in_use = self.store.is_in_use(row.id)?;
        let record = self.store.transcode_of(row.id)?;
        // What was tried without masks was not tried with them.
        let tried = record.is_some_and(|r| r.masked || !rules.masks);
        let masks = MasksOf::of(row.masks.as_deref(), privacy.map(|p| &**p));
        Ok(policy::judge(
            &Facts::of(row, masks, in_use, tried),
            rules,
            self.clock.now(),
        ))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `run`, split off to be read"
    )]
    fn attempt(
        &self,
        row: &SegmentRow,
        original: &Original,
        encoder: &ArchiveEncoder,
        settings: &ArchiveSettings,
        config: &TranscodeConfig,
        privacy: Option<&Arc<Privacy>>,
        failed: &[FailedEncoder],
        control: &mut dyn Control,
    ) -> Result<Made, Failure> {
        let root = self.tree.root_of(row.tier)?;
        let draft = replace::draft(root, &row.path)?;
        let how = How {
            encoder,
            settings,
            priority: config.priority,
            // What nobody is to see does not stay because it is small.
            most_bytes: match privacy {
                Some(_) => u64::MAX,
                None => policy::most_bytes(row.size_bytes, config.smaller_by_percent),
            },
            privacy,
        };
        let doing = match failed.last() {
            Some(f) => format!(
                "encoding with {} ({} failed: {})",
                encoder.name, f.encoder, f.reason
            ),
            None => format!("encoding with {}", encoder.name),
        };
        let control = std::cell::RefCell::new(control);
        let mut gate = || {
            if control.borrow().stopped() {
                Gate::Stop
            } else {
                Gate::Go
            }
        };
        let mut progress = |share: f64| control.borrow_mut().progress(share * ENCODING, &doing);
        let segment = encode(original, &draft, &how, &mut progress, &mut gate)?;
        if privacy.is_none()
            && !policy::is_smaller(row.size_bytes, segment.size_bytes, config.smaller_by_percent)
        {
            return Err(Failure::Keep(format!(
                "it does not become small enough ({} of {} bytes)",
                segment.size_bytes, row.size_bytes
            )));
        }
        control
            .borrow_mut()
            .progress(ENCODING, "comparing with the original");
        let path = root.path().join(&row.path);
        let comparison = verify(original, &path, &draft, &segment, config, privacy, &mut gate)?;
        Ok(Made {
            draft,
            segment,
            comparison,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the last step of `run`, split off to be read"
    )]
    fn put_in_place(
        &self,
        row: &SegmentRow,
        made: Made,
        encoder: String,
        failed: Vec<FailedEncoder>,
        begun: i64,
        config: &TranscodeConfig,
        rules: &Rules,
        privacy: Option<&Arc<Privacy>>,
        control: &mut dyn Control,
    ) -> Result<Outcome> {
        if !control.commit() {
            return Ok(Outcome::Stopped);
        }
        // Before others are made to wait.
        made.draft.sync()?;
        // A file that goes between its two names would come back, as a version that the index does not know.
        let _turn = self.tree.turn(row.tier)?;
        // Much may have happened since: it may be protected now, or on its way out.
        let now = self.row(row.id)?;
        if let Err(why) = self.judge(&now, rules, privacy)? {
            return Ok(Outcome::Skipped {
                reason: format!("the segment {}", why.words()),
            });
        }
        if (now.size_bytes, now.hash, &now.path, now.tier) != (row.size_bytes, row.hash, &row.path, row.tier)
        {
            return Ok(Outcome::Skipped {
                reason: "the segment changed meanwhile".into(),
            });
        }
        let Made {
            draft,
            segment,
            comparison,
        } = made;
        let record = TranscodeRecord {
            at: self.clock.now(),
            kept: None,
            encoder: encoder.clone(),
            before_bytes: row.size_bytes,
            after_bytes: segment.size_bytes,
            elapsed_ns: self.clock.steady_ns() - begun,
            ssim: Some(comparison.ssim),
            psnr_db: Some(comparison.psnr_db),
            masked: privacy.is_some(),
        };
        let report = Report {
            segment: row.id,
            camera: row.camera.clone(),
            encoder,
            before_bytes: record.before_bytes,
            after_bytes: record.after_bytes,
            elapsed_ns: record.elapsed_ns,
            comparison,
            failed,
            masks: segment.start.masks.clone(),
        };
        let root = self.tree.root_of(row.tier)?;
        replace::exchange(root, draft, &mut |step| control.step(step))?;
        match self.store.exchange_segment_blocking(row.id, segment, record) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                // Not retention, whose turn it is not: somebody took it out of the index all the same. Then this version goes, too.
                files::delete(root, &row.path)?;
                replace::forget_original(root, &row.path)?;
                return Ok(Outcome::Skipped {
                    reason: "the segment was deleted meanwhile".into(),
                });
            }
            Err(e) => return Err(e),
        }
        control.step(Step::RowWritten);
        self.store.make_durable()?;
        control.step(Step::RowDurable);
        if report.masks.is_some() {
            // Nor may one stay that was kept before there were masks.
            replace::forget_original(root, &row.path)?;
            replace::forget_kept(root, &row.path)?;
        } else if config.keep_original.is_zero() {
            replace::forget_original(root, &row.path)?;
        } else {
            replace::keep_original(root, &row.path)?;
        }
        control.step(Step::Done);
        control.progress(1.0, "done");
        Ok(Outcome::Done(Box::new(report)))
    }

    fn keep(
        &self,
        row: &SegmentRow,
        begun: i64,
        encoder: String,
        reason: String,
        privacy: Option<&Arc<Privacy>>,
    ) -> Result<Outcome> {
        if privacy.is_some() {
            tracing::warn!(segment = %row.id, camera = %row.camera, reason, "the original stays, without its privacy masks");
        } else {
            tracing::info!(segment = %row.id, camera = %row.camera, reason, "the original stays");
        }
        let record = TranscodeRecord {
            at: self.clock.now(),
            kept: Some(reason.clone()),
            encoder,
            before_bytes: row.size_bytes,
            after_bytes: 0,
            elapsed_ns: self.clock.steady_ns() - begun,
            ssim: None,
            psnr_db: None,
            masked: privacy.is_some(),
        };
        self.store.note_kept_blocking(row.id, record)?;
        Ok(Outcome::Kept { reason })
    }
}

/// Element and preset in words.
fn named(encoder: &ArchiveEncoder, settings: &ArchiveSettings) -> String {
    match encoder.preset(settings.preset.as_deref()) {
        "" => encoder.name.to_owned(),
        preset => format!("{} {preset}", encoder.name),
    }
}

fn settings(config: &TranscodeConfig, row: &SegmentRow) -> ArchiveSettings {
    let seconds = (row.duration_ns.max(1) as f64 / 1e9).max(0.1);
    ArchiveSettings {
        quality: config.quality,
        preset: config.preset.clone(),
        threads: config.threads,
        full_range: false,
        // H.265 needs about half of what H.264 does.
        bitrate_bps: ((row.size_bytes as f64 * 8.0 / seconds) * 0.5) as u64,
    }
}

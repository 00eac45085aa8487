//! Asking: what is recorded, and giving it out. Works beside a running recorder, in its process or not.
//!
//! The growing segment belongs to the answers. Inside the recorder's process its index is in memory;
//! another process reads it off the file.

mod clips;
mod detected;
mod footage;
mod history;
mod motion;
mod picture;
mod segments;
mod stats;
mod stills;
mod timelines;
mod transcoded;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

pub use self::clips::{ClipCodec, Export, ExportRequest, VodRequest};
pub(crate) use self::footage::Footage;
pub use self::history::DayBytes;
pub use self::motion::{CrossedLine, FoundMotion, MOST_BUCKETS, MotionSearch, MotionStretch};
pub use self::picture::{Snapshot, SnapshotRequest};
pub use self::stats::{ArchiveStats, CameraStats, TierStats};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, TranscodeConfig};
use crate::convert::Converter;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Tree, open_below};
use crate::ids::{CameraId, SegmentId};
use crate::media::FragmentIndex;
use crate::nvr::blocking;
use crate::privacy::PrivacyBook;
use crate::retention::Policy;
use crate::segment::Tier;
use crate::store::{CameraRow, OpenMode, Store};
use crate::upload::Targets;

/// Recorded footage and its index, for reading.
#[derive(Clone, Debug)]
pub struct Archive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    root: PathBuf,
    /// Where old segments move to.
    second: Option<PathBuf>,
    clock: SharedClock,
    time_zone: String,
    /// The limits of retention.
    policy: ArcSwap<Policy>,
    /// In the recorder's process: who knows the growing segments.
    tree: Option<Tree>,
    /// Where copies are of segments whose files are not here.
    targets: Arc<Targets>,
    /// Indices of closed segments that were just used: a player asks for the same ones again and again.
    indices: Mutex<HashMap<(SegmentId, u64), Arc<FragmentIndex>>>,
    /// Makes H.264 of what is H.265 for those who cannot play it.
    converter: Converter,
    /// What nobody is to see of the cameras.
    privacy: PrivacyBook,
}

impl Archive {
    /// Opens the footage of a configuration for reading, whether or not a recorder is running on it.
    ///
    /// # Errors
    /// `NotFound` when nothing was recorded there yet, `Corrupt` or `Unsupported` when the index cannot be
    /// used.
    pub async fn open(config: &Config) -> Result<Self> {
        let (database, config) = (config.recorder.database.clone(), config.clone());
        let store = blocking(move || Store::open(database, OpenMode::ReadOnly)).await?;
        let clock = SystemClock::shared();
        let targets = Arc::new(Targets::new(&config.uploads, clock.clone()));
        Ok(Self::new(&config, store, None, clock, targets))
    }

    pub(crate) fn of_recorder(
        config: &Config,
        store: Store,
        tree: Tree,
        clock: SharedClock,
        targets: Arc<Targets>,
    ) -> Self {
        Self::new(config, store, Some(tree), clock, targets)
    }

    fn new(
        config: &Config,
        store: Store,
        tree: Option<Tree>,
        clock: SharedClock,
        targets: Arc<Targets>,
    ) -> Self {
        let privacy = PrivacyBook::default();
        privacy.set(config.privacy());
        Self(Arc::new(Inner {
            store,
            privacy,
            root: config.recorder.root.clone(),
            second: config.tier.as_ref().map(|t| t.root.clone()),
            converter: Converter::new(&config.transcode, clock.clone()),
            clock,
            time_zone: config.recorder.time_zone.clone(),
            policy: ArcSwap::from_pointee(Policy::of(config)),
            tree,
            targets,
            indices: Mutex::default(),
        }))
    }

    /// The clock that "now" is taken from.
    #[must_use]
    pub fn clock(&self) -> SharedClock {
        self.0.clock.clone()
    }

    /// The time zone of days, as configured.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.0.time_zone
    }

    /// The limits of retention.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.0.policy.load_full()
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.0.policy.store(Arc::new(policy));
    }

    /// The privacy masks of the cameras.
    #[must_use]
    pub fn privacy(&self) -> &PrivacyBook {
        &self.0.privacy
    }

    pub(crate) fn configure_playback(&self, config: &TranscodeConfig) {
        self.0.converter.configure(config);
    }

    /// The index itself.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Every camera that was ever recorded, with removed ones.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn recorded_cameras(&self) -> Result<Vec<CameraRow>> {
        self.read(Store::cameras).await
    }

    async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.0.store.clone();
        blocking(move || f(&store)).await
    }

    /// Makes sure that the index knows a camera.
    fn known(&self, camera: &CameraId) -> Result<()> {
        match self.0.store.totals_of(camera)? {
            Some(_) => Ok(()),
            None => Err(no_camera(camera)),
        }
    }

    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.0.root.join(path)
    }

    /// Opens a complete segment below the root that its row named; it may have moved since that was read. A second root that
    /// is known to be away is not asked: with a disk that hangs whoever asks hangs, too.
    pub(crate) fn open_file(&self, tier: Tier, path: &Path) -> Result<File> {
        let mut failed = None;
        let both = match tier {
            Tier::First => [Tier::First, Tier::Second],
            Tier::Second => [Tier::Second, Tier::First],
        };
        for tier in both {
            let opened = match (tier, &self.0.second, &self.0.tree) {
                (Tier::First, ..) => open_below(&self.0.root, path),
                (Tier::Second, Some(_), Some(tree)) => {
                    tree.root_of(tier).and_then(|root| open_below(root.path(), path))
                }
                (Tier::Second, Some(second), None) => open_below(second, path),
                (Tier::Second, None, _) => continue,
            };
            match opened {
                Ok(file) => return Ok(file),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        let gone = || Error::io(path.display(), std::io::ErrorKind::NotFound.into());
        let error = failed.unwrap_or_else(gone);
        Err(match tier {
            Tier::Second if error.hint().is_none() => {
                error.with_hint("it moved to the second root ([tier]), which is not reachable now")
            }
            _ => error,
        })
    }
}

fn no_camera(camera: &CameraId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no camera {camera}"))
}

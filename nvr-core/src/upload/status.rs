//! Uploads as their users see them: how they stand, asking for more, trying again, addresses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{CameraUploads, LONGEST_LINK, Uploads, select};
use crate::config::UploadConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, SegmentId};
use crate::nvr::blocking;
use crate::store::{
    NewUpload, Page, SegmentQuery, SegmentRow, UploadCount, UploadQuery, UploadRow, UploadState,
};
use crate::time::{TimeRange, Timestamp};

/// Local files that go at once.
const RELEASED: u32 = 256;
/// Segments that are entered in one transaction.
const BATCH: usize = 500;

/// How a target stands.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct TargetStatus {
    /// Name.
    pub target: String,
    /// Where it is, without secrets.
    pub place: String,
    /// Whether its window is open.
    pub open: bool,
    /// When the window opens or closes.
    pub changes: Option<Timestamp>,
    /// Segments and bytes by state.
    pub counts: Vec<UploadCount>,
    /// Since when the upload waits that waits longest.
    pub waits_since: Option<Timestamp>,
    /// Since when it is in trouble.
    pub trouble_since: Option<Timestamp>,
    /// Why the last upload failed; `None` when it did not.
    pub last_failure: Option<String>,
}

impl Uploads {
    /// How all targets stand, by name.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn status(&self) -> Result<Vec<TargetStatus>> {
        let configs = self.0.targets.configs();
        let (store, names) = (self.0.store.clone(), configs.clone());
        let (counts, since) = blocking(move || {
            let since = names
                .iter()
                .map(|c| store.uploads_wait_since(&c.name))
                .collect::<Result<Vec<_>>>()?;
            Ok((store.upload_counts()?, since))
        })
        .await?;
        let now = self.0.clock.now();
        let troubles = self.0.troubles();
        Ok(configs
            .into_iter()
            .zip(since)
            .map(|(c, waits_since)| {
                let trouble = troubles.get(&c.name);
                TargetStatus {
                    place: c.place.to_string(),
                    open: c.windows.contains(now),
                    changes: c.windows.next_change(now),
                    counts: counts.iter().filter(|n| n.target == c.name).cloned().collect(),
                    waits_since,
                    trouble_since: trouble.and_then(super::Trouble::since),
                    last_failure: trouble.and_then(|t| t.last()).map(|c| c.message.clone()),
                    target: c.name,
                }
            })
            .collect())
    }

    /// Local files that are no longer wanted, because targets have had their copies for long enough.
    pub(crate) async fn released(&self) -> Result<Vec<SegmentRow>> {
        let configs = self.0.targets.configs().into_iter();
        let limits: Vec<_> = configs
            .filter_map(|c| c.local_retention.map(|keep| (c.name, keep)))
            .collect();
        if limits.is_empty() {
            return Ok(Vec::new());
        }
        let (store, now) = (self.0.store.clone(), self.0.clock.now());
        blocking(move || {
            let mut all: Vec<SegmentRow> = Vec::new();
            for (name, keep) in limits {
                all.extend(store.copied_segments(&name, now - keep, RELEASED)?);
            }
            all.sort_by_key(|row| row.id);
            all.dedup_by_key(|row| row.id);
            Ok(all)
        })
        .await
    }

    /// What was uploaded since the recorder started, by camera.
    #[must_use]
    pub fn figures(&self) -> BTreeMap<CameraId, CameraUploads> {
        self.0.figures().all()
    }

    /// Uploads of a target in a state, a page at a time.
    ///
    /// # Errors
    /// `NotFound` when there is no such target.
    pub async fn list(&self, query: UploadQuery) -> Result<Page<UploadRow>> {
        self.some_targets(Some(&query.target))?;
        let store = self.0.store.clone();
        blocking(move || store.uploads(&query)).await
    }

    fn some_targets(&self, name: Option<&str>) -> Result<Vec<UploadConfig>> {
        let mut all = self.0.targets.configs();
        let known: Vec<String> = all.iter().map(|c| c.name.clone()).collect();
        all.retain(|c| name.is_none_or(|n| n == c.name));
        if !all.is_empty() {
            return Ok(all);
        }
        let error = match name {
            Some(name) => Error::new(ErrorKind::NotFound, format!("there is no upload target {name:?}")),
            None => Error::new(ErrorKind::NotFound, "there is no upload target"),
        };
        Err(error.with_hint(if known.is_empty() {
            "none is configured; write a section [[upload]]".to_owned()
        } else {
            format!("the targets are {}", known.join(", "))
        }))
    }

    /// Uploads all complete segments of a camera in a range to a target, or to all, whether or not the target wants such
    /// segments and whatever its windows. What is there already stays. Returns how many are to go.
    ///
    /// # Errors
    /// `NotFound` when there is no such target, an error of the index.
    pub async fn request(&self, camera: &CameraId, range: TimeRange, target: Option<&str>) -> Result<u64> {
        let targets = self.some_targets(target)?;
        let mut query = SegmentQuery::new([camera.clone()], range).playable();
        let mut entered = 0;
        loop {
            let (store, asked) = (self.0.store.clone(), query.clone());
            let page = blocking(move || store.segments(&asked)).await?;
            let new: Vec<NewUpload> = page
                .items
                .iter()
                .flat_map(|row| targets.iter().map(|t| select::new_upload(t, row, true)))
                .collect();
            for batch in new.chunks(BATCH) {
                let entering = self
                    .0
                    .store
                    .enter_uploads(Vec::new(), batch.to_vec(), self.0.clock.now());
                entered += entering.await?;
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        self.0.wake.notify_one();
        Ok(entered)
    }

    /// Tries again what failed or was called off, at one target or at all. Returns how many there are.
    ///
    /// # Errors
    /// `NotFound` when there is no such target, `Storage` when the index cannot be written.
    pub async fn retry(&self, target: Option<&str>) -> Result<u64> {
        self.some_targets(target)?;
        let again = self
            .0
            .store
            .retry_uploads(target.map(str::to_owned), self.0.clock.now());
        let n = again.await?;
        self.0.wake.notify_one();
        Ok(n)
    }

    /// Where a segment is to go, or is.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn of_segment(&self, segment: SegmentId) -> Result<Vec<UploadRow>> {
        let store = self.0.store.clone();
        blocking(move || store.uploads_of(segment)).await
    }

    /// An address at which anybody may fetch a segment's copy for so long (1 s to [`LONGEST_LINK`]); from a target, or
    /// from the first that has it and can give one.
    ///
    /// # Errors
    /// `InvalidArgument` when that is too long, `NotFound` when no target has it, `Unsupported` when those that do
    /// have no addresses, or none that anybody could use (encrypted with our key); `Config` when the target cannot be
    /// used.
    pub async fn presign(
        &self,
        segment: SegmentId,
        target: Option<&str>,
        expires: Duration,
    ) -> Result<String> {
        if expires.is_zero() || expires > LONGEST_LINK {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "an address is good for 1 second to 7 days",
            ));
        }
        let (targets, store) = (Arc::clone(&self.0.targets), self.0.store.clone());
        let only = target.map(str::to_owned);
        let copies = blocking(move || {
            let rows = store.uploads_of(segment)?.into_iter();
            let there =
                rows.filter(|u| u.state == UploadState::Done && only.as_ref().is_none_or(|t| *t == u.target));
            Ok(there.map(|u| (targets.get(&u.target), u.key)).collect::<Vec<_>>())
        })
        .await?;
        let mut refusal = Error::new(
            ErrorKind::NotFound,
            format!("no target that is configured has a copy of segment {segment}"),
        );
        for (target, key) in copies {
            let target = match target {
                Ok(target) => target,
                // One that is not configured any more is no reason that helps.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => {
                    refusal = e;
                    continue;
                }
            };
            match target.presign(&key, expires).await {
                Ok(address) => return Ok(address),
                Err(e) => refusal = e,
            }
        }
        Err(refusal)
    }
}

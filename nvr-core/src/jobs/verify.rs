//! Kind `verify`: reads segments whole and says which do not hold what they should.
//!
//! Each file is read once: its hash is compared with the one of when it was recorded, its boxes with the fragment index,
//! its length with the row. On request it is decoded as well. Nothing is changed; each bad segment becomes an event.

use std::io::Read as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::{JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of};
use crate::config::JobsConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::files::Tree;
use crate::ids::{CameraId, SegmentId};
use crate::media::{FragmentIndex, GrowingIndex};
use crate::nvr::blocking;
use crate::segment::Container;
use crate::store::{Cursor, Page, SegmentQuery, SegmentRow, SegmentState, Store};
use crate::time::{TimeRange, Timestamp};

/// Name of the kind.
pub const KIND: &str = "verify";

/// Bytes read at once.
const PIECE: usize = 1 << 20;
/// Segments between two notes of how far it is.
const STEP: u32 = 8;
/// Bad segments that are named; more are only counted.
const MOST_NAMED: usize = 500;
/// Segments that can be named in one job.
const MOST_ASKED: usize = 10_000;

/// What to verify.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyParams {
    /// Of which camera; of all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<CameraId>,
    /// What overlaps the range that begins here; from the beginning when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// And ends here; up to the end when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Just these segments, whatever the rest says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentId>,
    /// Whether they are decoded whole, which takes about a hundred times as long.
    pub decode: bool,
}

impl VerifyParams {
    /// The job. Asked for twice it is done once.
    ///
    /// # Errors
    /// `InvalidArgument` when the range ends before it begins, or too many segments are named.
    pub fn job(&self) -> Result<NewJob> {
        self.range()?;
        if self.segments.len() > MOST_ASKED {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("more than {MOST_ASKED} segments are named"),
            ));
        }
        let params = serde_json::to_value(self)
            .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("verify: {e}")))?;
        let key = format!("verify {params}");
        let mut job = NewJob::new(KIND, params);
        job.camera.clone_from(&self.camera);
        Ok(if key.len() <= 500 { job.dedupe(key) } else { job })
    }

    fn range(&self) -> Result<TimeRange> {
        TimeRange::new(
            self.from.unwrap_or(Timestamp::MIN),
            self.to.unwrap_or(Timestamp::MAX),
        )
    }

    fn query(&self) -> Result<SegmentQuery> {
        let mut query = SegmentQuery::new(self.camera.clone(), self.range()?).playable();
        query.limit = STEP;
        Ok(query)
    }
}

/// A segment that does not hold what it should.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Bad {
    /// Its row.
    pub segment: SegmentId,
    /// Path relative to the root.
    pub path: String,
    /// What is wrong.
    pub detail: String,
}

/// What verifying brought; also how far it is.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Bytes read.
    pub size_bytes: u64,
    /// Segments that were deleted before their turn came.
    pub gone: u64,
    /// Segments of which no hash was known.
    pub without_hash: u64,
    /// Pictures decoded.
    pub pictures: u64,
    /// Bad segments.
    pub bad: u64,
    /// The first of them by name.
    pub named: Vec<Bad>,
}

/// How far it is.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Done {
    /// Where the next page begins: a cursor, or a position in the list of segments.
    next: Option<String>,
    so_far: Verified,
}

/// The kind.
#[derive(Debug)]
pub(crate) struct Verify {
    store: Store,
    tree: Tree,
    config: Arc<ArcSwap<JobsConfig>>,
}

/// What was found in one file.
#[derive(Debug, Default)]
struct Found {
    size_bytes: u64,
    pictures: u64,
    fault: Option<String>,
}

impl Verify {
    pub(crate) fn new(store: Store, tree: Tree, config: Arc<ArcSwap<JobsConfig>>) -> Self {
        Self { store, tree, config }
    }

    async fn verify(&self, ctx: JobContext, params: Value) -> Result<JobOutcome, JobError> {
        let params: VerifyParams = params_of(KIND, &params)?;
        let mut done: Done = ctx
            .checkpoint()
            .and_then(|c| serde_json::from_value(c.clone()).ok())
            .unwrap_or_default();
        let (store, asked) = (self.store.clone(), params.clone());
        let total = blocking(move || count(&store, &asked)).await?;
        loop {
            ctx.go_on()?;
            let (store, asked, next) = (self.store.clone(), params.clone(), done.next.clone());
            let (rows, next) = blocking(move || page(&store, &asked, next.as_deref())).await?;
            for row in rows {
                self.one(&ctx, &params, row, &mut done.so_far, total).await?;
            }
            done.next = next;
            if done.next.is_none() {
                break;
            }
            ctx.save_checkpoint(json!(done)).await?;
        }
        let v = &done.so_far;
        let message = if v.bad == 0 {
            format!("{} segments, all as they were recorded", v.segments)
        } else {
            format!("{} of {} segments are bad", v.bad, v.segments)
        };
        Ok(JobOutcome::new(json!(v), message))
    }

    async fn one(
        &self,
        ctx: &JobContext,
        params: &VerifyParams,
        row: SegmentRow,
        so_far: &mut Verified,
        total: u64,
    ) -> Result<(), JobError> {
        ctx.go_on()?;
        let seen = so_far.segments + so_far.gone;
        ctx.progress(
            seen as f64 / total.max(seen + 1) as f64,
            row.path.to_string_lossy(),
        );
        let found = {
            let (store, tree, row, stop) = (
                self.store.clone(),
                self.tree.clone(),
                row.clone(),
                ctx.stop_token(),
            );
            let decode = params.decode;
            blocking(move || look(&store, &tree, &row, decode, &|| stop.is_cancelled())).await
        };
        ctx.go_on()?;
        // What retention deleted meanwhile is not bad, nor is what was exchanged for another version.
        let (store, id) = (self.store.clone(), row.id);
        let now = blocking(move || store.segment(id)).await?;
        let is_same = now.is_some_and(|now| {
            let same_file = (&now.path, now.tier, now.hash) == (&row.path, row.tier, row.hash);
            SegmentState::PLAYABLE.contains(&now.state) && same_file
        });
        if !is_same {
            so_far.gone += 1;
            return Ok(());
        }
        let found = found?;
        so_far.segments += 1;
        so_far.size_bytes += found.size_bytes;
        so_far.pictures += found.pictures;
        so_far.without_hash += u64::from(row.hash.is_none());
        if let Some(detail) = found.fault {
            let path = row.path.to_string_lossy().into_owned();
            tracing::error!(camera = %row.camera, path, "a segment is damaged: {detail}");
            so_far.bad += 1;
            if so_far.named.len() < MOST_NAMED {
                so_far.named.push(Bad {
                    segment: row.id,
                    path: path.clone(),
                    detail: detail.clone(),
                });
            }
            ctx.tell(Some(row.camera), EventKind::SegmentDamaged { path, detail })
                .await;
        }
        Ok(())
    }
}

impl JobKind for Verify {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        let config = self.config.load();
        let mut limits = KindLimits::new(1);
        limits.windows = config.verify_window.clone();
        limits.most_attempts = Some(config.max_attempts);
        limits.minds_load = false;
        limits
    }

    fn check(&self, params: &Value, _origin: Origin) -> Result<()> {
        params_of::<VerifyParams>(KIND, params)?.job().map(drop)
    }

    fn complete(&self, mut new: NewJob) -> Result<NewJob> {
        let made = params_of::<VerifyParams>(KIND, &new.params)?.job()?;
        new.camera = new.camera.or(made.camera);
        new.dedupe = new.dedupe.or(made.dedupe);
        Ok(new)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(self.verify(ctx, params))
    }
}

fn count(store: &Store, params: &VerifyParams) -> Result<u64> {
    if !params.segments.is_empty() {
        return Ok(params.segments.len() as u64);
    }
    let mut query = params.query()?;
    query.limit = crate::store::MAX_PAGE;
    let mut total = 0;
    loop {
        let page = store.segments(&query)?;
        total += page.items.len() as u64;
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(total);
        }
    }
}

/// The next segments, and where those after them begin.
fn page(
    store: &Store,
    params: &VerifyParams,
    next: Option<&str>,
) -> Result<(Vec<SegmentRow>, Option<String>)> {
    if params.segments.is_empty() {
        let mut query = params.query()?;
        query.cursor = next.map(str::parse::<Cursor>).transpose()?;
        let Page { items, next } = store.segments(&query)?;
        return Ok((items, next.map(|c| c.to_string())));
    }
    let start: usize = next.and_then(|n| n.parse().ok()).unwrap_or(0);
    let end = params.segments.len().min(start.saturating_add(STEP as usize));
    let mut rows = Vec::new();
    for id in params.segments.get(start..end).unwrap_or_default() {
        let row = store.segment(*id)?;
        rows.extend(row.filter(|r| SegmentState::PLAYABLE.contains(&r.state)));
    }
    Ok((rows, (end < params.segments.len()).then(|| end.to_string())))
}

/// Reads one file whole. An error means that it could not be looked at now; what is wrong with it is in the answer.
fn look(
    store: &Store,
    tree: &Tree,
    row: &SegmentRow,
    decode: bool,
    stop: &dyn Fn() -> bool,
) -> Result<Found> {
    let mut found = Found::default();
    let mut file = match tree.open_file(row.tier, &row.path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            found.fault = Some("the file is not there".into());
            return Ok(found);
        }
        Err(e) => return Err(e),
    };
    let mut hasher = blake3::Hasher::new();
    let mut index = GrowingIndex::new();
    let mut broken = None;
    let mut buf = vec![0; PIECE];
    loop {
        if stop() {
            return Err(Error::new(ErrorKind::Unavailable, "verifying was stopped"));
        }
        let n = match file.read(&mut buf) {
            Ok(n) => n,
            // A sector that cannot be read is what is looked for.
            Err(e) => {
                found.fault = Some(format!("it cannot be read behind byte {}: {e}", found.size_bytes));
                return Ok(found);
            }
        };
        if n == 0 {
            break;
        }
        found.size_bytes += n as u64;
        hasher.update(&buf[..n]);
        if row.container == Container::Fmp4 && broken.is_none() {
            broken = index.push(&buf[..n]).err();
        }
    }
    found.fault = if found.size_bytes != row.size_bytes {
        Some(format!(
            "{} bytes on disk, the index says {}",
            found.size_bytes, row.size_bytes
        ))
    } else if row
        .hash
        .is_some_and(|known| known != *hasher.finalize().as_bytes())
    {
        Some("its content changed since it was recorded".into())
    } else if let Some(e) = broken {
        Some(format!("its boxes cannot be read: {e}"))
    } else if row.container == Container::Fmp4 {
        let stored = store.fragments(row.id)?.unwrap_or_default();
        let stored = FragmentIndex::from_blob(&stored).ok();
        (stored.as_ref() != Some(index.index())).then(|| "the index has other fragments than the file".into())
    } else {
        None
    };
    if decode && found.fault.is_none() {
        let path = tree.root_of(row.tier)?.path().join(&row.path);
        let report = crate::gst::decode::decode_whole(&path, row.container == Container::Matroska, stop)?;
        found.pictures = report.pictures;
        found.fault = report.fault();
    }
    Ok(found)
}

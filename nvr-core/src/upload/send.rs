//! One segment to one target: hashed, sent, compared.
//!
//! The file is hashed as a whole and part by part before anything goes, and each part again when it is read to be sent.
//! So what the target was given is what was hashed, and by the check sum that goes along with each part it tells that it
//! got the same. In the end it is asked what it has.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::folder::{Folder, Growing};
use super::service::{About, Parts, Service};
use super::target::{Found, Place, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::jobs::{JobContext, JobError};
use crate::nvr::blocking;

/// Steps of an upload, for tests that end the process between them. Between those of a bucket they end it by the
/// requests that it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The file is what was recorded.
    Hashed,
    /// The target does not have it.
    Missed,
    /// A folder has all of it under a name of its own, synced.
    Copied,
    /// The target has the copy.
    Sent,
    /// The target was asked what it has.
    Compared,
    /// The index knows of the copy.
    RowWritten,
}

/// Told each step.
pub(super) type At<'a> = &'a (dyn Fn(Step) + Send + Sync);

const MIB: u64 = 1 << 20;
/// Most parts of an upload that S3 takes.
const MOST_PARTS: u64 = 10_000;

/// A file that is to go.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: Arc<File>,
    /// What the index says of it.
    pub(super) hash: Option<[u8; 32]>,
    pub(super) content_type: &'static str,
}

/// What is there now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) size_bytes: u64,
    pub(super) hash: [u8; 32],
    pub(super) etag: Option<String>,
    /// It was there before.
    pub(super) was_there: bool,
}

/// How far an upload in parts got.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Checkpoint {
    /// BLAKE3 of the file.
    hash: String,
    part_bytes: u64,
    /// The service's id of the upload.
    pub(super) upload: String,
    /// What the service said of each part.
    parts: Vec<String>,
}

/// A file's size and its hashes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Hashes {
    size_bytes: u64,
    part_bytes: u64,
    whole: blake3::Hash,
    parts: Vec<blake3::Hash>,
}

impl Hashes {
    fn about(&self, source: &Source) -> About {
        About {
            hash: *self.whole.as_bytes(),
            content_type: source.content_type,
        }
    }

    fn length(&self, part: usize) -> usize {
        let from = part as u64 * self.part_bytes;
        // A part fits into memory.
        self.size_bytes.saturating_sub(from).min(self.part_bytes) as usize
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "it was asked to stop")
}

fn hashes(file: &File, part_bytes: u64, stop: &dyn Fn() -> bool) -> Result<Hashes> {
    let failed = |e| Error::io("the segment", e);
    let size_bytes = file.metadata().map_err(failed)?.len();
    // Larger parts where there would be too many.
    let part_bytes = part_bytes.max(size_bytes.div_ceil(MOST_PARTS).next_multiple_of(MIB));
    let (mut whole, mut part) = (blake3::Hasher::new(), blake3::Hasher::new());
    let (mut parts, mut at) = (Vec::new(), 0u64);
    let mut buf = vec![0; MIB as usize];
    while at < size_bytes {
        if stop() {
            return Err(stopped());
        }
        let left = (part_bytes - at % part_bytes).min(size_bytes - at).min(MIB) as usize;
        file.read_exact_at(&mut buf[..left], at).map_err(failed)?;
        whole.update(&buf[..left]);
        part.update(&buf[..left]);
        at += left as u64;
        if at.is_multiple_of(part_bytes) || at == size_bytes {
            parts.push(part.finalize());
            part.reset();
        }
    }
    Ok(Hashes {
        size_bytes,
        part_bytes,
        whole: whole.finalize(),
        parts,
    })
}

/// A part as it is on disk, if it still is as it was.
async fn read_part(file: &Arc<File>, hashes: &Hashes, n: usize) -> Result<Bytes> {
    let (file, length) = (Arc::clone(file), hashes.length(n));
    let (from, wanted) = (n as u64 * hashes.part_bytes, hashes.parts.get(n).copied());
    blocking(move || {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, from)
            .map_err(|e| Error::io("the segment", e))?;
        if wanted.is_none_or(|wanted| blake3::hash(&bytes) != wanted) {
            return Err(Error::new(
                ErrorKind::Storage,
                "the file changed while it was read",
            ));
        }
        Ok(Bytes::from(bytes))
    })
    .await
}

fn is_same(found: &Found, hashes: &Hashes) -> bool {
    found.size_bytes == hashes.size_bytes && found.hash == Some(*hashes.whole.as_bytes())
}

/// Sends a file unless it is there already.
pub(super) async fn send(
    ctx: &JobContext,
    target: &Target,
    key: &str,
    source: &Source,
    at: At<'_>,
) -> Result<Sent, JobError> {
    ctx.progress(0.0, "reads the segment");
    let hashes = {
        let (file, ctx, part_bytes) = (Arc::clone(&source.file), ctx.clone(), target.config.part_bytes);
        blocking(move || hashes(&file, part_bytes, &|| ctx.stopped())).await?
    };
    if source.hash.is_some_and(|hash| hash != *hashes.whole.as_bytes()) {
        let error = Error::new(
            ErrorKind::Corrupt,
            "the file does not hold what it did when it was recorded",
        )
        .with_hint("`nvr check --hash` tells more");
        return Err(JobError::lasting(error));
    }
    at(Step::Hashed);
    let checkpoint = ctx.checkpoint();
    let checkpoint = checkpoint.and_then(|c| serde::Deserialize::deserialize(c).ok());
    let sent = |found: Found, was_there| Sent {
        size_bytes: hashes.size_bytes,
        hash: *hashes.whole.as_bytes(),
        etag: found.etag,
        was_there,
    };
    if let Some(found) = target.head(key, hashes.size_bytes).await?
        && is_same(&found, &hashes)
    {
        // Also what a crash cut off between the end of the upload and the note of it.
        return Ok(sent(found, true));
    }
    at(Step::Missed);
    let etag = match &target.place {
        Place::Folder(folder) => {
            let growing = copy(ctx, target, folder, key, source, hashes.size_bytes).await?;
            at(Step::Copied);
            blocking(move || growing.finish())
                .await
                .map_err(|e| target.named(e))?;
            None
        }
        Place::WebDav(dav) => {
            let (progress, size_bytes) = (ctx.clone(), hashes.size_bytes);
            let went = move |n: u64| progress.progress(n as f64 / size_bytes.max(1) as f64, "sends");
            let file = Arc::clone(&source.file);
            let put = dav.put(key, file, size_bytes, source.content_type, went);
            tokio::select! {
                put = put => put.map_err(|e| target.named(e))?,
                () = ctx.stop() => return Err(stopped().into()),
            }
            at(Step::Copied);
            dav.finish(key).await.map_err(|e| target.named(e))?;
            None
        }
        Place::Objects(service) if hashes.parts.len() <= 1 => {
            if let Some(Checkpoint { upload, .. }) = &checkpoint {
                target.clean(key, Some(upload)).await?;
            }
            ctx.progress(0.0, "sends");
            let bytes = read_part(&source.file, &hashes, 0).await?;
            let put = service.put(key, bytes, hashes.about(source));
            put.await.map_err(|e| target.named(e))?
        }
        Place::Objects(service) => {
            in_parts(ctx, target, service.as_ref(), key, source, &hashes, checkpoint).await?
        }
    };
    at(Step::Sent);
    ctx.progress(1.0, "compares");
    match target.head(key, hashes.size_bytes).await? {
        Some(found) if is_same(&found, &hashes) && (etag.is_none() || found.etag == etag) => {
            at(Step::Compared);
            Ok(sent(found, false))
        }
        found => {
            let what = found.map_or_else(
                || "nothing".to_owned(),
                |f| format!("{} bytes of another kind", f.size_bytes),
            );
            let error = Error::new(
                ErrorKind::Unavailable,
                format!("{key} was sent, but the target has {what}"),
            );
            Err(JobError::passing(target.named(error)))
        }
    }
}

async fn copy(
    ctx: &JobContext,
    target: &Target,
    folder: &Folder,
    key: &str,
    source: &Source,
    size_bytes: u64,
) -> Result<Growing> {
    let (folder, limit, ctx) = (folder.clone(), Arc::clone(&target.limit), ctx.clone());
    let (key, file) = (key.to_owned(), Arc::clone(&source.file));
    let copied = blocking(move || {
        let went = |n: u64| ctx.progress(n as f64 / size_bytes.max(1) as f64, "copies");
        folder.put(&key, &file, &|n| limit.take(n), &went, &|| ctx.stopped())
    });
    copied.await.map_err(|e| target.named(e))
}

/// Sends the parts that are not there yet, notes each, and puts them together.
async fn in_parts(
    ctx: &JobContext,
    target: &Target,
    service: &dyn Service,
    key: &str,
    source: &Source,
    hashes: &Hashes,
    checkpoint: Option<Checkpoint>,
) -> Result<Option<String>, JobError> {
    let named = |e| JobError::from(target.named(e));
    let mut state = match resumed(target, service, key, hashes, checkpoint).await? {
        Some(state) => state,
        None => {
            // What is unfinished under this name is of an attempt that died before it could note it.
            target.clean(key, None).await?;
            let begun = service.begin(key, hashes.about(source));
            let state = Checkpoint {
                hash: hashes.whole.to_hex().to_string(),
                part_bytes: hashes.part_bytes,
                upload: begun.await.map_err(named)?,
                parts: Vec::new(),
            };
            save(ctx, &state).await?;
            state
        }
    };
    let total = hashes.parts.len();
    while state.parts.len() < total {
        ctx.go_on()?;
        let n = state.parts.len();
        ctx.progress(
            n as f64 / total as f64,
            format!("sends part {} of {total}", n + 1),
        );
        let bytes = read_part(&source.file, hashes, n).await?;
        match service.part(key, &state.upload, n, bytes).await {
            Ok(id) => state.parts.push(id),
            Err(e) => return Err(gone_or(ctx, target, key, e).await),
        }
        save(ctx, &state).await?;
    }
    ctx.progress(1.0, "puts the parts together");
    let completed = service.complete(key, &state.upload, state.parts.clone(), hashes.about(source));
    match completed.await {
        Ok(etag) => Ok(etag),
        Err(e) => Err(gone_or(ctx, target, key, e).await),
    }
}

/// The upload that an attempt before this one began, if it can go on.
async fn resumed(
    target: &Target,
    service: &dyn Service,
    key: &str,
    hashes: &Hashes,
    checkpoint: Option<Checkpoint>,
) -> Result<Option<Checkpoint>> {
    let Some(mut state) = checkpoint else {
        return Ok(None);
    };
    let is_ours = state.hash == hashes.whole.to_hex().as_str() && state.part_bytes == hashes.part_bytes;
    if !is_ours || state.upload.is_empty() {
        return Ok(None);
    }
    match service
        .parts(key, &state.upload)
        .await
        .map_err(|e| target.named(e))?
    {
        Parts::NoUpload => Ok(None),
        Parts::Unknown => Ok(Some(state)),
        Parts::Some(there) => {
            let whole = (0..state.parts.len()).take_while(|n| there.contains(n)).count();
            state.parts.truncate(whole);
            Ok(Some(state))
        }
    }
}

async fn save(ctx: &JobContext, state: &Checkpoint) -> Result<()> {
    let value = serde_json::to_value(state)
        .map_err(|e| Error::new(ErrorKind::Internal, "a checkpoint cannot be written").with_source(e))?;
    ctx.save_checkpoint(value).await
}

/// If the service does not know the upload any more, the next attempt begins anew.
async fn gone_or(ctx: &JobContext, target: &Target, key: &str, e: Error) -> JobError {
    if e.kind() == ErrorKind::NotFound {
        let nothing = Checkpoint {
            hash: String::new(),
            part_bytes: 0,
            upload: String::new(),
            parts: Vec::new(),
        };
        if let Err(e) = save(ctx, &nothing).await {
            return e.into();
        }
        tracing::warn!(
            target = target.name(),
            key,
            "the target gave up an upload that was under way"
        );
    }
    JobError::passing(target.named(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn hashed(size: usize, part: u64) -> (Vec<u8>, Hashes) {
        let bytes: Vec<u8> = (0..size).map(|n| (n * 31 % 253) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let hashes = hashes(&file, part, &|| false).unwrap();
        (bytes, hashes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn parts_make_the_whole(size in 0usize..5_000_000, part in 1u64..3_000_000) {
            let (bytes, hashes) = hashed(size, part);
            prop_assert!(hashes.parts.len() as u64 <= MOST_PARTS);
            prop_assert_eq!(hashes.whole, blake3::hash(&bytes));
            let chunks: Vec<&[u8]> = bytes.chunks(hashes.part_bytes as usize).collect();
            prop_assert_eq!(hashes.parts.len(), chunks.len());
            for (n, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(hashes.length(n), chunk.len());
                prop_assert_eq!(hashes.parts[n], blake3::hash(chunk));
            }
        }
    }

    #[test]
    fn reading_stops_when_it_is_to() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 100]).unwrap();
        let e = hashes(&file, 5 << 20, &|| true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
    }
}

//! What a service that keeps objects can do, and what its refusals mean.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::target::Found;
use crate::error::{Error, ErrorKind, Result};

/// What an object is, beside its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct About {
    /// BLAKE3 of the whole.
    pub(super) hash: [u8; 32],
    pub(super) content_type: &'static str,
}

impl About {
    pub(super) fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.hash).to_hex().to_string()
    }
}

/// A service that keeps objects and takes large ones in parts. Keys are without the prefix of the target.
#[async_trait]
pub(super) trait Service: fmt::Debug + Send + Sync {
    /// What is there under a name.
    async fn head(&self, key: &str) -> Result<Option<Found>>;

    /// Sends an object in one piece; its tag.
    async fn put(&self, key: &str, bytes: Bytes, about: About) -> Result<Option<String>>;

    /// Begins an upload in parts; its id.
    async fn begin(&self, key: &str, about: About) -> Result<String>;

    /// Sends a part, counted from 0; what the end of the upload has to say of it.
    async fn part(&self, key: &str, upload: &str, n: usize, bytes: Bytes) -> Result<String>;

    /// Puts the parts together; the tag of the object. `NotFound` when the service has not all of them any more.
    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<String>,
        about: About,
    ) -> Result<Option<String>>;

    /// Gives up an upload in parts; one that is not there any more is fine.
    async fn abort(&self, key: &str, upload: &str) -> Result<()>;

    /// What the service has of an upload.
    async fn parts(&self, key: &str, upload: &str) -> Result<Parts>;

    /// Uploads in parts that were begun and not ended, whose names begin so: name and id. None where the service cannot
    /// tell.
    async fn begun(&self, key_prefix: &str) -> Result<Vec<(String, String)>>;

    /// Bytes of an object, fewer at its end.
    async fn read(&self, key: &str, offset: u64, length: usize) -> Result<Bytes>;

    /// An address at which anybody may fetch the object for so long.
    async fn presign(&self, key: &str, expires: Duration) -> Result<url::Url>;
}

/// What a service has of an upload in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Parts {
    /// It cannot tell.
    Unknown,
    /// It does not know the upload.
    NoUpload,
    /// These parts, from 0.
    Some(BTreeSet<usize>),
}

/// What to do when the place in which objects are to lie is not there.
const NO_PLACE: &str = "make the bucket or container, or name another in `url`";
/// What to do when the service does not let us in.
const NO_RIGHT: &str = "check `access_key` and `secret_key`, and what they may do there";
/// What to do when there is no room.
const NO_ROOM: &str = "the target is full: make room there";

/// Whether a text of a service says that there is no such bucket or container.
fn has_no_place(text: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"]
        .iter()
        .any(|w| text.contains(w))
}

/// A refusal that came with a status and a text.
pub(super) fn refused(status: u16, body: &[u8]) -> Error {
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    let (kind, hint) = match status {
        401 | 403 => (ErrorKind::Unauthorized, Some(NO_RIGHT)),
        404 if has_no_place(&text) => (ErrorKind::Unavailable, Some(NO_PLACE)),
        507 => (ErrorKind::Storage, Some(NO_ROOM)),
        429 => (ErrorKind::Busy, None),
        _ => (ErrorKind::Unavailable, None),
    };
    let error = Error::new(kind, format!("the service answers {status}: {}", text.trim()));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// An error of the service as one of ours: what it says, and whose fault it is.
pub(super) fn failure(e: object_store::Error) -> Error {
    use object_store::Error as E;
    let text = e.to_string();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let (kind, hint) = match &e {
        E::NotFound { .. } if has_no_place(&text) => (ErrorKind::Unavailable, Some(NO_PLACE)),
        E::NotFound { .. } => (ErrorKind::NotFound, None),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => (ErrorKind::Unauthorized, Some(NO_RIGHT)),
        _ if says(&[
            "QuotaExceeded",
            "StorageFull",
            "InsufficientStorage",
            "InsufficientCapacity",
            " 507",
        ]) =>
        {
            (ErrorKind::Storage, Some(NO_ROOM))
        }
        _ if says(&["SlowDown", "TooManyRequests", " 429"]) => (ErrorKind::Busy, None),
        _ if says(&["NoSuchUpload"]) => (ErrorKind::NotFound, None),
        _ => (ErrorKind::Unavailable, None),
    };
    let error = Error::new(kind, text).with_source(Arc::new(e));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

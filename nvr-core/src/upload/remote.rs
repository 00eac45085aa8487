//! A copy at a target as a file to read from.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::target::{Target, Targets};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::SegmentId;
use crate::media::clip::ReadAt;
use crate::store::{Store, UploadState};

/// Bytes that are fetched at once: readers ask for small pieces, one after the other.
const BLOCK: u64 = 1 << 20;

/// A copy, read by range. Its reads block, on a thread that is not one of the runtime's own.
#[derive(Debug)]
pub(crate) struct RemoteFile {
    target: Arc<Target>,
    key: String,
    size_bytes: u64,
    runtime: tokio::runtime::Handle,
    /// The block that was read last, and its number.
    last: Mutex<Option<(u64, Bytes)>>,
}

impl RemoteFile {
    /// The first copy of a segment that is at a target of the configuration. Blocks.
    pub(crate) fn open(store: &Store, targets: &Targets, segment: SegmentId) -> Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(ErrorKind::Internal, "a copy is read outside of a runtime").with_source(e)
        })?;
        let mut names = Vec::new();
        for copy in store.uploads_of(segment)? {
            if copy.state != UploadState::Done {
                continue;
            }
            match targets.get(&copy.target) {
                Ok(target) => {
                    return Ok(Self {
                        target,
                        key: copy.key,
                        size_bytes: copy.size_bytes,
                        runtime,
                        last: Mutex::default(),
                    });
                }
                Err(e) if e.kind() == ErrorKind::NotFound => names.push(copy.target),
                Err(e) => return Err(e),
            }
        }
        let error = Error::new(
            ErrorKind::NotFound,
            format!("the file of segment {segment} is not here, and no target that is configured has a copy"),
        );
        Err(if names.is_empty() {
            error
        } else {
            error.with_hint(format!("there is one at {}", names.join(", ")))
        })
    }

    fn block(&self, n: u64) -> io::Result<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((m, bytes)) = &*last
            && *m == n
        {
            return Ok(bytes.clone());
        }
        let from = n * BLOCK;
        let length = BLOCK.min(self.size_bytes.saturating_sub(from)) as usize;
        let bytes = self
            .runtime
            .block_on(self.target.read(&self.key, from, length))
            .map_err(io::Error::other)?;
        if bytes.len() != length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the copy is shorter than it was",
            ));
        }
        *last = Some((n, bytes.clone()));
        Ok(bytes)
    }
}

impl ReadAt for RemoteFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if offset >= self.size_bytes || buf.is_empty() {
            return Ok(0);
        }
        let block = self.block(offset / BLOCK)?;
        let within = usize::try_from(offset % BLOCK).unwrap_or(usize::MAX);
        let rest = block.get(within..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size_bytes)
    }
}

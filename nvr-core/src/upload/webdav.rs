//! A collection of a WebDAV server as a target.
//!
//! A server keeps no hash for us and knows no parts. So a copy grows under a name of its own, gets its name when it is
//! complete, and is read back whole to see what is there, as in a folder. The store of the crate `object_store` has
//! copies in memory whole, and knows neither logins nor `MOVE`: all requests are our own.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RANGE};
use url::Url;

use super::http::{Answer, Sent, Wire, request};
use super::service::refused;
use super::target::Found;
use crate::config::WebDavPlace;
use crate::error::{Error, ErrorKind, Result};
use crate::nvr::blocking;

/// Bytes that are read from the disk at once.
const BUFFER: usize = 256 << 10;
/// Longest answer that is read where none is wanted.
const MOST_ANSWER: usize = 64 << 10;
/// Collections that are remembered.
const MOST_MADE: usize = 1000;

/// A collection.
#[derive(Debug)]
pub(super) struct Dav {
    wire: Wire,
    root: Url,
    /// Collections that are known to be there.
    made: Mutex<HashSet<String>>,
}

impl Dav {
    pub(super) fn open(place: &WebDavPlace, wire: Wire) -> Result<Self> {
        let wire = match &place.login {
            Some((user, password)) => wire.with_login(user, password.expose())?,
            None => wire,
        };
        let root = Url::parse(&place.url)
            .map_err(|e| Error::new(ErrorKind::Config, format!("the address {}: {e}", place.url)))?;
        Ok(Self {
            wire,
            root,
            made: Mutex::default(),
        })
    }

    /// Where something lies. Keys are checked before they come here: no `..`, no empty parts.
    fn url(&self, key: &str) -> Url {
        let mut url = self.root.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(key.split('/'));
        }
        url
    }

    /// Where it grows.
    fn growing(key: &str) -> String {
        match key.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/.{name}.part"),
            None => format!(".{key}.part"),
        }
    }

    async fn ask(&self, method: &str, key: &str, headers: &[(&'static str, &str)]) -> Result<Answer> {
        let mut request = request(method, self.url(key).as_str())?;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value)
                .map_err(|e| Error::new(ErrorKind::Internal, "a header cannot be sent").with_source(e))?;
            request.headers_mut().insert(*name, value);
        }
        self.wire.ask(request, Sent::nothing(), MOST_ANSWER).await
    }

    /// What is there: of the size that is expected, it is read whole and hashed.
    pub(super) async fn head(&self, key: &str, size_bytes: u64) -> Result<Option<Found>> {
        let request = request("GET", self.url(key).as_str())?;
        let (status, headers, mut body) = self.wire.open(request, Sent::nothing()).await?;
        match status {
            200 => {}
            404 | 410 => return Ok(None),
            other => return Err(refused(other, &[])),
        }
        let told = headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse().ok());
        if let Some(told) = told.filter(|n| *n != size_bytes) {
            return Ok(Some(Found {
                size_bytes: told,
                hash: None,
                etag: None,
            }));
        }
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0u64);
        while let Some(bytes) = self.wire.read(&mut body).await? {
            hasher.update(&bytes);
            size += bytes.len() as u64;
            if size > size_bytes {
                break;
            }
        }
        Ok(Some(Found {
            size_bytes: size,
            hash: Some(*hasher.finalize().as_bytes()),
            etag: None,
        }))
    }

    fn made(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the collections around a name; the outermost is never made.
    async fn make_room(&self, key: &str) -> Result<()> {
        for (at, _) in key.match_indices('/') {
            let folder = &key[..at];
            if self.made().contains(folder) {
                continue;
            }
            let answer = self.ask("MKCOL", folder, &[]).await?;
            match answer.status {
                // Made, or there already.
                200..=299 | 301 | 302 | 405 => {}
                404 | 409 => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("the collection {} is not there", self.root),
                    )
                    .with_hint("make it on the server, or name another in `url`"));
                }
                other => return Err(refused(other, &answer.body)),
            }
            let mut made = self.made();
            if made.len() >= MOST_MADE {
                made.clear();
            }
            made.insert(folder.to_owned());
        }
        Ok(())
    }

    /// Sends a file, which is complete then and gets its name by [`finish`](Self::finish). `went` is told how many bytes
    /// are under way.
    pub(super) async fn put(
        &self,
        key: &str,
        file: Arc<File>,
        size_bytes: u64,
        content_type: &'static str,
        went: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<()> {
        self.make_room(key).await?;
        let pieces = stream::unfold((file, 0u64, Arc::new(went)), move |(file, at, went)| async move {
            if at >= size_bytes {
                return None;
            }
            let from = Arc::clone(&file);
            let piece = blocking(move || {
                let length = usize::try_from(size_bytes - at).unwrap_or(BUFFER).min(BUFFER);
                let mut bytes = vec![0; length];
                from.read_exact_at(&mut bytes, at)
                    .map_err(|e| Error::io("the segment", e))?;
                Ok(Bytes::from(bytes))
            });
            match piece.await {
                Ok(bytes) => {
                    let at = at + bytes.len() as u64;
                    went(at);
                    Some((Ok(bytes), (file, at, went)))
                }
                Err(e) => Some((Err(std::io::Error::other(e.to_string())), (file, u64::MAX, went))),
            }
        });
        let mut request = request("PUT", self.url(&Self::growing(key)).as_str())?;
        let kind = HeaderValue::from_static(content_type);
        request.headers_mut().insert(CONTENT_TYPE, kind);
        let answer = self
            .wire
            .ask(request, Sent::pieces(pieces, size_bytes), MOST_ANSWER)
            .await?;
        match answer.status {
            200..=299 => Ok(()),
            status => {
                // Somebody may have removed a collection.
                self.made().clear();
                Err(refused(status, &answer.body))
            }
        }
    }

    /// Gives what was sent its name, in the place of what had it.
    pub(super) async fn finish(&self, key: &str) -> Result<()> {
        let to = self.url(key);
        let headers = [("destination", to.as_str()), ("overwrite", "T")];
        let answer = self.ask("MOVE", &Self::growing(key), &headers).await?;
        match answer.status {
            200..=206 => Ok(()),
            status => Err(refused(status, &answer.body)),
        }
    }

    /// Removes what a copy that was cut off left.
    pub(super) async fn clean(&self, key: &str) -> Result<()> {
        let answer = self.ask("DELETE", &Self::growing(key), &[]).await?;
        match answer.status {
            200..=299 | 404 | 410 => Ok(()),
            status => Err(refused(status, &answer.body)),
        }
    }

    pub(super) async fn read(&self, key: &str, offset: u64, length: usize) -> Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut request = request("GET", self.url(key).as_str())?;
        let range = format!("bytes={offset}-{}", offset + length as u64 - 1);
        let range = HeaderValue::from_str(&range)
            .map_err(|e| Error::new(ErrorKind::Internal, "a header cannot be sent").with_source(e))?;
        request.headers_mut().insert(RANGE, range);
        let (status, _, mut body) = self.wire.open(request, Sent::nothing()).await?;
        match status {
            206 => {}
            404 | 410 => return Err(Error::new(ErrorKind::NotFound, format!("{key} is not there"))),
            // Past its end.
            416 => return Ok(Bytes::new()),
            200 => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the server hands out whole files only, not ranges",
                )
                .with_hint("let it answer requests with `Range`, or keep the local files"));
            }
            other => return Err(refused(other, &[])),
        }
        let mut all = BytesMut::with_capacity(length);
        while let Some(bytes) = self.wire.read(&mut body).await? {
            all.extend_from_slice(&bytes[..bytes.len().min(length - all.len())]);
            if all.len() == length {
                break;
            }
        }
        Ok(all.freeze())
    }
}

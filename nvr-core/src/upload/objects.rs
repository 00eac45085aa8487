//! Objects of a service that the crate `object_store` speaks to, and whose uploads in parts are those of S3.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    RetryConfig,
};

use super::http::{STALL, Wire};
use super::listing;
use super::service::{About, Parts, Service, failure, refused};
use super::target::Found;
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};

/// Where an object says what it is the BLAKE3 of.
pub(super) const HASH: &str = "blake3";
/// How long an address of our own requests is good.
pub(super) const OWN: Duration = Duration::from_secs(300);
/// Longest list of a service that is read.
pub(super) const MOST_LIST: usize = 4 << 20;
/// Part numbers of a list.
const MOST_PARTS: usize = 10_000;

/// How often a request is tried: the queue has patience of its own.
pub(super) fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 1,
        retry_timeout: Duration::from_secs(20),
        ..RetryConfig::default()
    }
}

/// Objects of a service, below a prefix.
#[derive(Debug)]
pub(super) struct Objects<S> {
    pub(super) store: S,
    pub(super) wire: Wire,
    pub(super) prefix: String,
    /// Objects are encrypted with our key, without which the service hands none out.
    pub(super) is_locked: bool,
    pub(super) clock: SharedClock,
}

impl<S: ObjectStore + MultipartStore + Signer> Objects<S> {
    pub(super) fn path(&self, key: &str) -> Result<Path> {
        let whole = if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.prefix)
        };
        Path::parse(&whole)
            .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("the name {whole:?}: {e}")))
    }

    /// The key without our prefix; `None` for what is not below it.
    fn own<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.prefix.is_empty() {
            return Some(key);
        }
        key.strip_prefix(&self.prefix)?.strip_prefix('/')
    }

    fn attributes(about: About) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(HASH.into()), about.hex().into());
        attributes.insert(Attribute::ContentType, about.content_type.into());
        attributes
    }

    async fn list(&self, path: &Path, query: Vec<(&str, String)>) -> Result<(u16, Bytes)> {
        let options = SignedUrlOptions::new().with_query(query);
        let signed = self.store.signed_url_opts(http::Method::GET, path, OWN, &options);
        let url = signed.await.map_err(failure)?;
        self.wire.get(url.as_str(), MOST_LIST).await
    }
}

#[async_trait]
impl<S: ObjectStore + MultipartStore + Signer> Service for Objects<S> {
    async fn head(&self, key: &str) -> Result<Option<Found>> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.store.get_opts(&self.path(key)?, options).await {
            Ok(answer) => {
                let hash = answer
                    .attributes
                    .get(&Attribute::Metadata(HASH.into()))
                    .and_then(|text| blake3::Hash::from_hex(text.as_ref()).ok())
                    .map(|hash| *hash.as_bytes());
                Ok(Some(Found {
                    size_bytes: answer.meta.size,
                    hash,
                    etag: answer.meta.e_tag,
                }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failure(e)),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, about: About) -> Result<Option<String>> {
        let options = PutOptions {
            attributes: Self::attributes(about),
            ..PutOptions::default()
        };
        let path = self.path(key)?;
        let put = self.store.put_opts(&path, PutPayload::from_bytes(bytes), options);
        Ok(put.await.map_err(failure)?.e_tag)
    }

    async fn begin(&self, key: &str, about: About) -> Result<String> {
        let options = PutMultipartOptions {
            attributes: Self::attributes(about),
            ..PutMultipartOptions::default()
        };
        let path = self.path(key)?;
        let begun = self.store.create_multipart_opts(&path, options);
        begun.await.map_err(failure)
    }

    async fn part(&self, key: &str, upload: &str, n: usize, bytes: Bytes) -> Result<String> {
        let payload = PutPayload::from_bytes(bytes);
        let (path, upload) = (self.path(key)?, upload.to_owned());
        let part = self.store.put_part(&path, &upload, n, payload);
        Ok(part.await.map_err(failure)?.content_id)
    }

    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<String>,
        _: About,
    ) -> Result<Option<String>> {
        let parts = parts
            .into_iter()
            .map(|content_id| PartId { content_id })
            .collect();
        let (path, upload) = (self.path(key)?, upload.to_owned());
        let completed = self.store.complete_multipart(&path, &upload, parts);
        Ok(completed.await.map_err(failure)?.e_tag)
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<()> {
        let (path, upload) = (self.path(key)?, upload.to_owned());
        match self.store.abort_multipart(&path, &upload).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failure(e)),
        }
    }

    async fn parts(&self, key: &str, upload: &str) -> Result<Parts> {
        let path = self.path(key)?;
        let (mut all, mut after) = (BTreeSet::new(), String::from("0"));
        loop {
            let query = vec![
                ("part-number-marker", after.clone()),
                ("uploadId", upload.to_owned()),
            ];
            let (status, body) = self.list(&path, query).await?;
            match status {
                200 => {}
                404 => return Ok(Parts::NoUpload),
                400 | 405 | 501 => return Ok(Parts::Unknown),
                other => return Err(refused(other, &body)),
            }
            let page = listing::parts(&body)?;
            all.extend(page.numbers.into_iter().filter_map(|n| n.checked_sub(1)));
            match page.next {
                Some(next) if next != after && all.len() < MOST_PARTS => after = next,
                _ => return Ok(Parts::Some(all)),
            }
        }
    }

    async fn begun(&self, key_prefix: &str) -> Result<Vec<(String, String)>> {
        let whole = if self.prefix.is_empty() {
            key_prefix.to_owned()
        } else {
            format!("{}/{key_prefix}", self.prefix)
        };
        let query = vec![("prefix", whole), ("uploads", String::new())];
        let (status, body) = self.list(&Path::default(), query).await?;
        match status {
            200 => {}
            400 | 404 | 405 | 501 => return Ok(Vec::new()),
            other => return Err(refused(other, &body)),
        }
        let all = listing::uploads(&body)?;
        Ok(all
            .into_iter()
            .filter_map(|(key, id)| Some((self.own(&key)?.to_owned(), id)))
            .collect())
    }

    async fn read(&self, key: &str, offset: u64, length: usize) -> Result<Bytes> {
        let path = self.path(key)?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(offset..offset + length as u64)),
            ..GetOptions::default()
        };
        let asked = async { self.store.get_opts(&path, options).await?.bytes().await };
        tokio::select! {
            bytes = asked => bytes.map_err(failure),
            () = self.clock.sleep(STALL) => Err(Error::new(ErrorKind::Timeout, "the service does not answer")),
        }
    }

    async fn presign(&self, key: &str, expires: Duration) -> Result<url::Url> {
        if self.is_locked {
            let what = "a link is of no use: the service asks for the key that the copies are encrypted with";
            return Err(Error::new(ErrorKind::Unsupported, what)
                .with_hint("`encryption = \"customer\"` hands nothing out without `encryption_key`; fetch the footage from the recorder"));
        }
        let path = self.path(key)?;
        let signed = self.store.signed_url(http::Method::GET, &path, expires);
        signed.await.map_err(failure)
    }
}

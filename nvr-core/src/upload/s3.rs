//! A bucket as a target.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore as _, PutMultipartOptions, PutOptions,
    PutPayload, RetryConfig,
};

use super::http::{Connector, STALL, Wire};
use super::listing;
use super::target::Found;
use crate::clock::SharedClock;
use crate::config::{S3Place, UploadChecksum, UploadEncryption};
use crate::error::{Error, ErrorKind, Result};

/// Where an object says what it is the BLAKE3 of.
const HASH: &str = "blake3";
/// How long an address of our own requests is good.
const OWN: Duration = Duration::from_secs(300);
/// Longest list of a service that is read.
const MOST_LIST: usize = 4 << 20;
/// Part numbers of a list.
const MOST_PARTS: usize = 10_000;

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    store: AmazonS3,
    wire: Wire,
    prefix: String,
    /// Objects are encrypted with our key, without which the service hands none out.
    is_locked: bool,
    clock: SharedClock,
}

impl Bucket {
    pub(super) fn open(place: &S3Place, wire: Wire, clock: SharedClock) -> Result<Self> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_region(&place.region)
            .with_access_key_id(&place.access_key)
            .with_secret_access_key(place.secret_key.expose())
            .with_virtual_hosted_style_request(!place.path_style)
            // Whether that is wanted was asked when the configuration was read.
            .with_allow_http(true)
            .with_http_connector(Connector(wire.clone()))
            // The queue has patience of its own.
            .with_retry(RetryConfig {
                max_retries: 1,
                retry_timeout: Duration::from_secs(20),
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &place.endpoint {
            let endpoint = if place.path_style {
                endpoint.clone()
            } else {
                // Here the bucket is part of the host.
                endpoint.replacen("://", &format!("://{}.", place.bucket), 1)
            };
            builder = builder.with_endpoint(endpoint);
        }
        builder = match place.checksum {
            UploadChecksum::Sha256 => builder.with_checksum_algorithm(Checksum::SHA256),
            UploadChecksum::Crc64nvme => builder.with_checksum_algorithm(Checksum::CRC64NVME),
            UploadChecksum::None => builder,
        };
        let key = place.encryption_key.expose();
        builder = match place.encryption {
            UploadEncryption::Bucket => builder,
            UploadEncryption::Aes256 => {
                let key = "aws_server_side_encryption"
                    .parse::<AmazonS3ConfigKey>()
                    .map_err(|e| Error::new(ErrorKind::Internal, "no such setting").with_source(e))?;
                builder.with_config(key, "AES256")
            }
            UploadEncryption::Kms => builder.with_sse_kms_encryption(key),
            UploadEncryption::Customer => builder.with_ssec_encryption(key),
        };
        let store = builder
            .build()
            .map_err(|e| Error::new(ErrorKind::Config, format!("the bucket cannot be used: {e}")))?;
        Ok(Self {
            store,
            wire,
            prefix: place.prefix.clone(),
            is_locked: place.encryption == UploadEncryption::Customer,
            clock,
        })
    }

    fn path(&self, key: &str) -> Result<Path> {
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

    pub(super) async fn head(&self, key: &str) -> Result<Option<Found>> {
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

    fn attributes(hash: &[u8; 32], content_type: &'static str) -> Attributes {
        let hex = blake3::Hash::from_bytes(*hash).to_hex().to_string();
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(HASH.into()), hex.into());
        attributes.insert(Attribute::ContentType, content_type.into());
        attributes
    }

    pub(super) async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        hash: &[u8; 32],
        content_type: &'static str,
    ) -> Result<Option<String>> {
        let options = PutOptions {
            attributes: Self::attributes(hash, content_type),
            ..PutOptions::default()
        };
        let path = self.path(key)?;
        let put = self.store.put_opts(&path, PutPayload::from_bytes(bytes), options);
        Ok(put.await.map_err(failure)?.e_tag)
    }

    pub(super) async fn begin(
        &self,
        key: &str,
        hash: &[u8; 32],
        content_type: &'static str,
    ) -> Result<String> {
        let options = PutMultipartOptions {
            attributes: Self::attributes(hash, content_type),
            ..PutMultipartOptions::default()
        };
        let path = self.path(key)?;
        let begun = self.store.create_multipart_opts(&path, options);
        begun.await.map_err(failure)
    }

    /// Sends a part, counted from 0; what the end of the upload has to say of it.
    pub(super) async fn part(&self, key: &str, upload: &str, n: usize, bytes: Bytes) -> Result<String> {
        let payload = PutPayload::from_bytes(bytes);
        let (path, upload) = (self.path(key)?, upload.to_owned());
        let part = self.store.put_part(&path, &upload, n, payload);
        Ok(part.await.map_err(failure)?.content_id)
    }

    pub(super) async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<String>,
    ) -> Result<Option<String>> {
        let parts = parts
            .into_iter()
            .map(|content_id| PartId { content_id })
            .collect();
        let (path, upload) = (self.path(key)?, upload.to_owned());
        let completed = self.store.complete_multipart(&path, &upload, parts);
        Ok(completed.await.map_err(failure)?.e_tag)
    }

    /// Gives up an upload in parts; one that is not there any more is fine.
    pub(super) async fn abort(&self, key: &str, upload: &str) -> Result<()> {
        let (path, upload) = (self.path(key)?, upload.to_owned());
        match self.store.abort_multipart(&path, &upload).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failure(e)),
        }
    }

    async fn list(&self, path: &Path, query: Vec<(&str, String)>) -> Result<(u16, Bytes)> {
        let options = SignedUrlOptions::new().with_query(query);
        let signed = self.store.signed_url_opts(http::Method::GET, path, OWN, &options);
        let url = signed.await.map_err(failure)?;
        self.wire.get(url.as_str(), MOST_LIST).await
    }

    /// Numbers (from 0) of the parts that the service has; `None` when it does not know the upload, or cannot tell.
    pub(super) async fn parts(&self, key: &str, upload: &str) -> Result<Parts> {
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

    /// Uploads in parts that were begun and not ended, whose names begin so: name and id. None where the service cannot
    /// tell.
    pub(super) async fn begun(&self, key_prefix: &str) -> Result<Vec<(String, String)>> {
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

    pub(super) async fn read(&self, key: &str, offset: u64, length: usize) -> Result<Bytes> {
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

    /// An address at which anybody may fetch the object for so long.
    pub(super) async fn presign(&self, key: &str, expires: Duration) -> Result<url::Url> {
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

fn refused(status: u16, body: &[u8]) -> Error {
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    let kind = match status {
        401 | 403 => ErrorKind::Unauthorized,
        507 => ErrorKind::Storage,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("the service answers {status}: {text}"))
}

/// An error of the service as one of ours: what it says, and whose fault it is.
pub(super) fn failure(e: object_store::Error) -> Error {
    use object_store::Error as E;
    let text = e.to_string();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let (kind, hint) = match &e {
        E::NotFound { .. } if says(&["NoSuchBucket"]) => (
            ErrorKind::Unavailable,
            Some("make the bucket, or name another in `url`"),
        ),
        E::NotFound { .. } => (ErrorKind::NotFound, None),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => (
            ErrorKind::Unauthorized,
            Some("check `access_key` and `secret_key`, and what they may do in the bucket"),
        ),
        _ if says(&[
            "QuotaExceeded",
            "StorageFull",
            "InsufficientStorage",
            "InsufficientCapacity",
            " 507",
        ]) =>
        {
            (ErrorKind::Storage, Some("the target is full: make room there"))
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

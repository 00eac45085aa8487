//! A container of Azure Blob Storage as a target.
//!
//! What is put goes by requests of our own to addresses that are signed (SAS): so it goes with its MD5, which the service
//! verifies, and a blob of blocks is told what it is the hash of, neither of which the crate does. Blocks are named by their
//! number and what they are of, so that the list of those that are there says how far an upload got.
//!
//! With the key of the account each address is signed for its request; a token of the configuration (SAS) is put behind all.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::signer::Signer as _;
use url::Url;

use super::http::{Answer, Connector, Sent, Wire, md5, request};
use super::listing;
use super::objects::{MOST_LIST, OWN, Objects, retry};
use super::service::{About, Parts, Service, failure, refused};
use super::target::Found;
use crate::clock::SharedClock;
use crate::config::{AzureAccess, AzurePlace};
use crate::error::{Error, ErrorKind, Result};

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    objects: Objects<MicrosoftAzure>,
    /// Address of the container with the token behind it; `None` when addresses are signed with the account's key.
    with_token: Option<Url>,
}

/// Opens a container.
pub(super) fn open(place: &AzurePlace, wire: Wire, clock: SharedClock) -> Result<Container> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&place.account)
        .with_container_name(&place.container)
        // Whether that is wanted was asked when the configuration was read.
        .with_allow_http(true)
        .with_http_connector(Connector(wire.clone()))
        .with_retry(retry());
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let unusable =
        |e: &dyn Display| Error::new(ErrorKind::Config, format!("the container cannot be used: {e}"));
    let mut with_token = None;
    match &place.access {
        AzureAccess::AccountKey(key) => builder = builder.with_access_key(key.expose()),
        AzureAccess::Sas(token) => {
            builder = builder.with_config(AzureConfigKey::SasKey, token.expose());
            with_token = Some(address(place, token.expose()).map_err(|e| unusable(&e))?);
        }
    }
    let store = builder.build().map_err(|e| unusable(&e))?;
    Ok(Container {
        objects: Objects {
            store,
            wire,
            prefix: place.prefix.clone(),
            is_locked: false,
            clock,
        },
        with_token,
    })
}

/// Address of a container, with a token behind it.
fn address(place: &AzurePlace, token: &str) -> std::result::Result<Url, url::ParseError> {
    let mut url = match &place.endpoint {
        Some(endpoint) => Url::parse(endpoint)?,
        None => Url::parse(&format!("https://{}.blob.core.windows.net", place.account))?,
    };
    url.path_segments_mut()
        .map_err(|()| url::ParseError::RelativeUrlWithCannotBeABaseBase)?
        .pop_if_empty()
        .push(&place.container);
    url.set_query(Some(token));
    Ok(url)
}

/// The id of a block, as it goes over the wire: all of a blob are of one length.
fn block_id(upload: &str, n: usize) -> String {
    STANDARD.encode(format!("{upload}-{n:06}"))
}

/// The number of a block of an upload.
fn block_number(upload: &str, id: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD.decode(id).ok()?).ok()?;
    text.strip_prefix(upload)?.strip_prefix('-')?.parse().ok()
}

impl Container {
    /// An address at which a blob may be asked for by this method.
    async fn signed(&self, method: &Method, path: &Path) -> Result<Url> {
        let Some(container) = &self.with_token else {
            let signed = self.objects.store.signed_url(method.clone(), path, OWN);
            return signed.await.map_err(failure);
        };
        let mut url = container.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.parts());
        }
        Ok(url)
    }

    /// An answer to a request whose address is signed for its method.
    async fn ask(
        &self,
        method: &Method,
        key: &str,
        query: &[(&str, &str)],
        body: Bytes,
        about: Option<About>,
    ) -> Result<Answer> {
        let path = self.objects.path(key)?;
        let mut url = self.signed(method, &path).await?;
        url.query_pairs_mut().extend_pairs(query);
        let mut request = request(method.as_str(), url.as_str())?;
        let headers = request.headers_mut();
        if let Some(About { content_type, .. }) = about {
            headers.insert("x-ms-blob-content-type", HeaderValue::from_static(content_type));
        }
        if let Some(hash) = about.and_then(|about| HeaderValue::from_str(&about.hex()).ok()) {
            headers.insert(METADATA, hash);
        }
        if *method == Method::PUT {
            headers.insert("content-md5", md5(&body));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            if query.is_empty() {
                headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
            }
        }
        self.objects.wire.ask(request, Sent::bytes(body), MOST_LIST).await
    }

    async fn put_as(
        &self,
        key: &str,
        query: &[(&str, &str)],
        body: Bytes,
        about: Option<About>,
    ) -> Result<Option<String>> {
        let answer = self.ask(&Method::PUT, key, query, body, about).await?;
        if answer.status == 201 {
            let tag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
            return Ok(tag.map(str::to_owned));
        }
        Err(refused(answer.status, &answer.body))
    }
}

/// Where a blob says what it is the BLAKE3 of.
const METADATA: &str = "x-ms-meta-blake3";

#[async_trait]
impl Service for Container {
    async fn head(&self, key: &str) -> Result<Option<Found>> {
        self.objects.head(key).await
    }

    async fn put(&self, key: &str, bytes: Bytes, about: About) -> Result<Option<String>> {
        self.put_as(key, &[], bytes, Some(about)).await
    }

    /// Nothing has to be begun; blocks are told apart by what they are of.
    async fn begin(&self, _: &str, about: About) -> Result<String> {
        Ok(about.hex().chars().take(16).collect())
    }

    async fn part(&self, key: &str, upload: &str, n: usize, bytes: Bytes) -> Result<String> {
        let id = block_id(upload, n);
        let query = [("comp", "block"), ("blockid", id.as_str())];
        self.put_as(key, &query, bytes, None).await?;
        Ok(id)
    }

    async fn complete(&self, key: &str, _: &str, parts: Vec<String>, about: About) -> Result<Option<String>> {
        // Ids are Base64: nothing in them has to be escaped.
        let blocks: String = parts
            .iter()
            .map(|id| format!("<Uncommitted>{id}</Uncommitted>"))
            .collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>");
        let query = [("comp", "blocklist")];
        let put = self.put_as(key, &query, Bytes::from(list), Some(about)).await;
        put.map_err(|e| {
            // Blocks that nobody asked for in a week are gone.
            if e.to_string().contains("InvalidBlockList") {
                return Error::new(ErrorKind::NotFound, e.to_string());
            }
            e
        })
    }

    /// There is nothing to ask for: the service drops blocks when the blob is put anew, or a week after the last came.
    async fn abort(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    async fn parts(&self, key: &str, upload: &str) -> Result<Parts> {
        let query = [("comp", "blocklist"), ("blocklisttype", "uncommitted")];
        let answer = self.ask(&Method::GET, key, &query, Bytes::new(), None).await?;
        match answer.status {
            200 => {
                let ids = listing::blocks(&answer.body)?;
                let numbers: BTreeSet<usize> = ids.iter().filter_map(|id| block_number(upload, id)).collect();
                Ok(Parts::Some(numbers))
            }
            404 => Ok(Parts::NoUpload),
            other => Err(refused(other, &answer.body)),
        }
    }

    /// Addresses are signed for single blobs, so there are no lists.
    async fn begun(&self, _: &str) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    async fn read(&self, key: &str, offset: u64, length: usize) -> Result<Bytes> {
        self.objects.read(key, offset, length).await
    }

    async fn presign(&self, key: &str, expires: Duration) -> Result<Url> {
        if self.with_token.is_some() {
            let what = "a link cannot be made: the recorder has a SAS token, which makes no others";
            return Err(Error::new(ErrorKind::Unsupported, what).with_hint(
                "give a key of the account as `secret_key`, or fetch the footage from the recorder",
            ));
        }
        self.objects.presign(key, expires).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_tell_their_number_and_all_ids_are_of_one_length() {
        let upload = "0123456789abcdef";
        for n in [0, 1, 9_999] {
            let id = block_id(upload, n);
            assert_eq!(id.len(), block_id(upload, 0).len());
            assert_eq!(block_number(upload, &id), Some(n));
            assert_eq!(block_number("fedcba9876543210", &id), None);
        }
        assert_eq!(block_number(upload, "?"), None);
    }
}

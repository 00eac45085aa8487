//! A bucket of Google Cloud Storage as a target. Its uploads in parts are those of S3; what is put goes with its MD5.

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::gcp::{
    GcpSigningCredential, GoogleCloudStorage, GoogleCloudStorageBuilder, ServiceAccountKey,
};

use super::http::{Connector, Wire};
use super::objects::{Objects, retry};
use crate::clock::SharedClock;
use crate::config::GcsPlace;
use crate::error::{Error, ErrorKind, Result};

/// What of a key file we use ourselves.
#[derive(serde::Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
}

/// Opens a bucket.
pub(super) fn open(place: &GcsPlace, wire: Wire, clock: SharedClock) -> Result<Objects<GoogleCloudStorage>> {
    // Errors of the parsers might quote the key.
    let unusable = |what: &str| {
        Error::new(
            ErrorKind::Config,
            format!("the key file of the service account: {what}"),
        )
        .with_hint("make a key of the type JSON for it, and name the file in `secret_key`: \"${file:…}\"")
    };
    let wire = wire.with_md5();
    let text = place.service_account.expose();
    let file: KeyFile = serde_json::from_str(text).map_err(|_| unusable("it is not one"))?;
    let key = ServiceAccountKey::from_pem(file.private_key.as_bytes())
        .map_err(|_| unusable("`private_key` is not a key in PEM"))?;
    // Given by itself, it also signs where a file says that no token is to be asked for, as those of emulators do.
    let signing = GcpSigningCredential {
        email: file.client_email,
        private_key: Some(key),
    };
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&place.bucket)
        .with_service_account_key(text)
        .with_signing_credentials(Arc::new(StaticCredentialProvider::new(signing)))
        .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
        .with_http_connector(Connector(wire.clone()))
        .with_retry(retry());
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let store = builder.build().map_err(|_| unusable("it cannot be used"))?;
    Ok(Objects {
        store,
        wire,
        prefix: place.prefix.clone(),
        is_locked: false,
        clock,
    })
}

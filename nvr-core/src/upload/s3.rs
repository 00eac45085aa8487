//! A bucket of S3 as a target.

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};

use super::http::{Connector, Wire};
use super::objects::{Objects, retry};
use crate::clock::SharedClock;
use crate::config::{S3Place, UploadChecksum, UploadEncryption};
use crate::error::{Error, ErrorKind, Result};

/// Opens a bucket.
pub(super) fn open(place: &S3Place, wire: Wire, clock: SharedClock) -> Result<Objects<AmazonS3>> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(&place.region)
        .with_access_key_id(&place.access_key)
        .with_secret_access_key(place.secret_key.expose())
        .with_virtual_hosted_style_request(!place.path_style)
        // Whether that is wanted was asked when the configuration was read.
        .with_allow_http(true)
        .with_http_connector(Connector(wire.clone()))
        .with_retry(retry());
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
    Ok(Objects {
        store,
        wire,
        prefix: place.prefix.clone(),
        is_locked: place.encryption == UploadEncryption::Customer,
        clock,
    })
}

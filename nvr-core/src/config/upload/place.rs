//! Where a target of uploads is.

use std::fmt;
use std::path::PathBuf;

use super::{UploadChecksum, UploadEncryption};
use crate::secret::Secret;

/// Where a target is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UploadPlace {
    /// A bucket of S3 or of something compatible.
    S3(S3Place),
    /// A container of Azure Blob Storage.
    Azure(AzurePlace),
    /// A bucket of Google Cloud Storage.
    Gcs(GcsPlace),
    /// A collection of a WebDAV server.
    WebDav(WebDavPlace),
    /// A folder, on another file system as a rule.
    Folder(PathBuf),
}

impl fmt::Display for UploadPlace {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, bucket, prefix, endpoint) = match self {
            Self::S3(s3) => ("s3", &s3.bucket, &s3.prefix, &s3.endpoint),
            Self::Azure(azure) => ("azure", &azure.container, &azure.prefix, &azure.endpoint),
            Self::Gcs(gcs) => ("gs", &gcs.bucket, &gcs.prefix, &gcs.endpoint),
            Self::WebDav(dav) => return dav.url.fmt(f),
            Self::Folder(path) => return path.display().fmt(f),
        };
        write!(f, "{scheme}://{bucket}")?;
        if !prefix.is_empty() {
            write!(f, "/{prefix}")?;
        }
        match endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

/// A bucket of S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Place {
    /// Name of the bucket; it is not created.
    pub bucket: String,
    /// What all names begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Address of the service; `None`: that of AWS in the region.
    pub endpoint: Option<String>,
    /// Region (default `us-east-1`).
    pub region: String,
    /// Key id.
    pub access_key: String,
    /// Secret key.
    pub secret_key: Secret,
    /// Whether the bucket is part of the path instead of the host (default: yes with an endpoint).
    pub path_style: bool,
    /// Certificates to trust beside those of the system.
    pub ca: Option<PathBuf>,
    /// What the service checks each request's body by.
    pub checksum: UploadChecksum,
    /// How the service encrypts.
    pub encryption: UploadEncryption,
    /// Id of the key for `Kms`, the key itself (Base64 of 32 bytes) for `Customer`.
    pub encryption_key: Secret,
}

/// A container of Azure Blob Storage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AzurePlace {
    /// Name of the container; it is not created.
    pub container: String,
    /// As that of [`S3Place`].
    pub prefix: String,
    /// Address of the account; `None`: that of Azure for its name.
    pub endpoint: Option<String>,
    /// Name of the storage account.
    pub account: String,
    /// What lets the recorder in.
    pub access: AzureAccess,
    /// Certificates to trust beside those of the system.
    pub ca: Option<PathBuf>,
}

/// What lets the recorder into a container of Azure.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AzureAccess {
    /// A key of the account, in Base64: everything in it, and links.
    AccountKey(Secret),
    /// A shared access signature, without `?`: what it allows, until it ends, and no links.
    Sas(Secret),
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcsPlace {
    /// Name of the bucket; it is not created.
    pub bucket: String,
    /// As that of [`S3Place`].
    pub prefix: String,
    /// Address of the service; `None`: that of Google.
    pub endpoint: Option<String>,
    /// Key file of a service account: JSON.
    pub service_account: Secret,
    /// Certificates to trust beside those of the system.
    pub ca: Option<PathBuf>,
}

/// A collection of a WebDAV server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebDavPlace {
    /// Address of the collection, without a slash at its end; it is not created.
    pub url: String,
    /// User and password; `None` for a server that asks for none.
    pub login: Option<(String, Secret)>,
    /// Certificates to trust beside those of the system.
    pub ca: Option<PathBuf>,
}

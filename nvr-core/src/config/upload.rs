//! `[[upload]]`: a place that copies of segments go to.

mod place;
mod reading;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::place::{AzureAccess, AzurePlace, GcsPlace, S3Place, UploadPlace, WebDavPlace};
use super::reader::{At, Reader, Section, section};
use super::values::{Bytes, Span, Text, Word};
use crate::ids::CameraId;
use crate::upload::{DEFAULT_KEY, KeyTemplate};
use crate::window::Windows;

/// A place that copies of segments go to, and which of them.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct UploadConfig {
    /// Its name: part of URLs, metric label.
    pub name: String,
    /// Where it is.
    pub place: UploadPlace,
    /// How objects are named.
    pub key: KeyTemplate,
    /// Which segments.
    pub what: UploadWhat,
    /// Of which cameras; empty: of all.
    pub cameras: Vec<CameraId>,
    /// When uploads begin.
    pub windows: Windows,
    /// Most bytes per second (0: no limit).
    pub bandwidth_bytes_per_s: u64,
    /// Uploads at once (1 to 64; default 4).
    pub max_concurrent: usize,
    /// Segments larger than this go in parts of this size (5 MiB to 1 GiB; default 16 MiB).
    pub part_bytes: u64,
    /// Whether the newest footage goes first.
    pub newest_first: bool,
    /// Whether the local file stays until the copy is there, but for an emergency (default: yes).
    pub required: bool,
    /// How long the local file stays once the copy is there; `None`: as long as any other.
    pub local_retention: Option<Duration>,
    /// An upload that waits so long is told as trouble (1 min to 1 year; default 1 h).
    pub alert_after: Duration,
}

/// Which segments go to a target.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum UploadWhat {
    /// All.
    #[default]
    All,
    /// Those that are protected.
    Protected,
    /// Those in which something happened.
    Event,
    /// Those that are protected or in which something happened.
    Kept,
}

/// What a service checks bodies by.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum UploadChecksum {
    /// SHA-256, which all services know.
    #[default]
    Sha256,
    /// CRC-64/NVME, which is quicker.
    Crc64nvme,
    /// None beside that of the signature, for services that know neither.
    None,
}

/// How a service encrypts what it stores.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum UploadEncryption {
    /// As the bucket says.
    #[default]
    Bucket,
    /// With a key of the service (SSE-S3).
    Aes256,
    /// With a key of its key management (SSE-KMS); `encryption_key` is its id.
    Kms,
    /// With our key, which the service forgets (SSE-C); `encryption_key` is Base64 of 32 bytes. Needs https.
    Customer,
}

section! {
    /// A place that copies of segments go to; any number of them.
    RawUpload requires ["name", "url"] {
        /// Its name: part of URLs and metric label. 1 to 63 of a-z, 0-9, `_` and `-`. Who renames a target begins anew
        /// with it.
        name: Text,
        /// Where: `s3://bucket/prefix` (S3 and what is compatible), `azure://container/prefix` (Azure Blob Storage),
        /// `gs://bucket/prefix` (Google Cloud Storage), `https://nas.lan/dav/cctv` (WebDAV), or a folder that is there
        /// already (`/mnt/nas/cctv`). Prefixes may be left out.
        url: Text,
        /// Address of the service: of one that is compatible with S3 (`https://minio.lan:9000`), of the account in a cloud of
        /// one's own for Azure, of another Google Cloud Storage; that of AWS, Azure or Google by default.
        endpoint: Text,
        /// Region; S3 only.
        region: Text = "us-east-1",
        /// Key id of S3, name of the storage account of Azure, user of WebDAV.
        access_key: Text,
        /// Secret key of S3, account key or SAS token of Azure, key file (JSON) of a service account of Google, password of WebDAV. Better
        /// a variable: `${S3_SECRET}` or `${file:/run/secrets/s3}`.
        secret_key: Text,
        /// Whether the bucket is part of the path instead of the host; by default with an `endpoint`. S3 only.
        path_style: bool,
        /// Whether the service may be reached without TLS. Footage then goes over the network in the clear.
        allow_http: bool = false,
        /// File with certificates (PEM) to trust beside those of the system.
        ca: Text,
        /// What the service checks what it gets by; S3 only: Azure and Google check by MD5.
        checksum: Word<UploadChecksum> = "sha256",
        /// How the service encrypts; S3 only.
        encryption: Word<UploadEncryption> = "bucket",
        /// Key for `encryption`: the id of a KMS key, or Base64 of 32 bytes.
        encryption_key: Text,
        /// How objects are named, below the prefix of the url. Placeholders: `{camera}`, `{date}`, `{time}`, `{year}`,
        /// `{month}`, `{day}`, `{hour}`, `{minute}`, `{second}` (all UTC), `{run}`, `{sequence}`, `{id}`, `{ext}`.
        key: Text = DEFAULT_KEY,
        /// Which segments; a segment goes once it is complete.
        what: Word<UploadWhat> = "all",
        /// Of which cameras, separated by commas; of all by default.
        cameras: Text,
        /// When uploads begin: `"22:00-06:00"`, several with commas, in `recorder.time_zone`; at any time by default.
        windows: Text,
        /// Most bytes per second, for all uploads to this target together; 0: no limit.
        bandwidth: Bytes = "0B",
        /// Uploads at once, 1 to 64.
        max_concurrent: u64 = 4,
        /// Segments larger than this go in parts of this size, 5MiB to 1GiB. Each upload holds one part in memory.
        part_size: Bytes = "16MiB",
        /// Whether the newest footage goes first; the oldest by default.
        newest_first: bool = false,
        /// Whether the local file stays until the copy is there. Should the disk be nearly full, it may go all the same.
        required: bool = true,
        /// How long the local file stays once all copies are there, 0 to 520 weeks; as long as `[retention]` says by
        /// default. What is only remote stays on the timeline and plays from there.
        local_retention: Span,
        /// An upload that waits so long is told as trouble, 1 min to 52 weeks.
        alert_after: Span = "1h",
    }
}

impl UploadConfig {
    /// A target with the defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, place: UploadPlace) -> Self {
        Self {
            name: name.into(),
            place,
            key: KeyTemplate::default(),
            what: UploadWhat::default(),
            cameras: Vec::new(),
            windows: Windows::always(),
            bandwidth_bytes_per_s: 0,
            max_concurrent: 4,
            part_bytes: 16 << 20,
            newest_first: false,
            required: true,
            local_retention: None,
            alert_after: Duration::from_secs(3600),
        }
    }

    /// Reads one target; `None` when it has no usable name or place.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        base: Option<&Path>,
        zone: &str,
    ) -> Option<At<Self>> {
        let raw = RawUpload::read(reader, section);
        for (key, hint) in [
            ("name", "give it one: name = \"offsite\""),
            ("url", "say where: url = \"s3://bucket/prefix\", or a folder"),
        ] {
            if !section.table.is_some_and(|t| t.contains_key(key)) {
                reader.missing(section, key, hint);
            }
        }
        let name = raw.name.as_ref().and_then(|at| read_name(reader, at));
        let place = raw
            .url
            .as_ref()
            .and_then(|at| reading::read(reader, &raw, at, base));
        // Read everything even if it is of no use, so that all mistakes are told.
        let mut out = Self::new(
            name.clone().unwrap_or_default(),
            place.clone().unwrap_or(UploadPlace::Folder(PathBuf::new())),
        );
        if let Some(at) = &raw.key {
            match KeyTemplate::parse(at.value.as_str()) {
                Ok(key) => out.key = key,
                Err(e) => {
                    let message = format!("`key`: {}: {e}", at.value.shown());
                    let hint = e.hint().map(str::to_owned);
                    reader.problems.error(&at.span, &at.key, message, hint);
                }
            }
        }
        out.what = raw.what.as_ref().map_or(out.what, |at| at.value.0);
        if let Some(at) = &raw.cameras {
            out.cameras = read_cameras(reader, at);
        }
        if let Some(at) = &raw.windows {
            match Windows::parse(at.value.as_str(), zone) {
                Ok(windows) => out.windows = windows,
                Err(e) => {
                    let message = format!("`windows`: {} is not a list of windows", at.value.shown());
                    let hint = e.hint().map(str::to_owned);
                    reader.problems.error(&at.span, &at.key, message, hint);
                }
            }
        }
        out.bandwidth_bytes_per_s = raw.bandwidth.as_ref().map_or(0, |at| at.value.0);
        if let Some(n) = reader.within(raw.max_concurrent.as_ref(), &(1..=64)) {
            out.max_concurrent = n as usize;
        }
        if let Some(n) = reader.within(raw.part_size.as_ref(), &(Bytes(5 << 20)..=Bytes(1 << 30))) {
            out.part_bytes = n.0;
        }
        out.newest_first = raw.newest_first.as_ref().is_some_and(|at| at.value);
        out.required = raw.required.as_ref().is_none_or(|at| at.value);
        let weeks = |n: u64| Span(Duration::from_secs(n * 7 * 86_400));
        let bounds = Span(Duration::ZERO)..=weeks(520);
        out.local_retention = reader.within(raw.local_retention.as_ref(), &bounds).map(|d| d.0);
        let bounds = Span(Duration::from_secs(60))..=weeks(52);
        if let Some(d) = reader.within(raw.alert_after.as_ref(), &bounds) {
            out.alert_after = d.0;
        }
        let at = raw.name?;
        name.and(place).map(|_| At {
            value: out,
            span: at.span,
            key: at.key,
            secret: at.secret,
            unknown: false,
        })
    }
}

fn read_name(reader: &mut Reader<'_, '_>, at: &At<Text>) -> Option<String> {
    // The same alphabet serves for the same reasons.
    match CameraId::new(at.value.as_str()) {
        Ok(name) => Some(name.to_string()),
        Err(e) => {
            let message = format!("`name`: {} is not usable", at.value.shown());
            let hint = e.hint().map(str::to_owned);
            reader.problems.error(&at.span, &at.key, message, hint);
            None
        }
    }
}

fn read_cameras(reader: &mut Reader<'_, '_>, at: &At<Text>) -> Vec<CameraId> {
    let mut out = Vec::new();
    for name in at.value.as_str().split(',').map(str::trim) {
        match CameraId::new(name) {
            Ok(id) => out.push(id),
            Err(e) => {
                let message = "`cameras`: not usable as ids of cameras";
                let hint = e.hint().map(str::to_owned);
                reader.problems.error(&at.span, &at.key, message, hint);
                break;
            }
        }
    }
    out
}

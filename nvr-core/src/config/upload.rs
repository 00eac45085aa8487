//! `[[upload]]`: a place that copies of segments go to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{At, Reader, Section, section};
use super::values::{Bytes, Span, Text, Word};
use crate::ids::CameraId;
use crate::secret::Secret;
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

/// Where a target is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UploadPlace {
    /// A bucket of S3 or of something compatible.
    S3(S3Place),
    /// A folder, on another file system as a rule.
    Folder(PathBuf),
}

impl fmt::Display for UploadPlace {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(s3) => {
                write!(f, "s3://{}", s3.bucket)?;
                if !s3.prefix.is_empty() {
                    write!(f, "/{}", s3.prefix)?;
                }
                match &s3.endpoint {
                    Some(endpoint) => write!(f, " at {endpoint}"),
                    None => Ok(()),
                }
            }
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

/// A bucket.
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
        /// Where: `s3://bucket`, `s3://bucket/prefix`, or a folder that is there already (`/mnt/nas/cctv`).
        url: Text,
        /// Address of a service that is compatible with S3 (`https://minio.lan:9000`); that of AWS by default.
        endpoint: Text,
        /// Region.
        region: Text = "us-east-1",
        /// Key id.
        access_key: Text,
        /// Secret key. Better a variable: `${S3_SECRET}` or `${file:/run/secrets/s3}`.
        secret_key: Text,
        /// Whether the bucket is part of the path instead of the host; by default with an `endpoint`.
        path_style: bool,
        /// Whether the endpoint may be reached without TLS. Footage then goes over the network in the clear.
        allow_http: bool = false,
        /// File with certificates (PEM) to trust beside those of the system.
        ca: Text,
        /// What the service checks what it gets by.
        checksum: Word<UploadChecksum> = "sha256",
        /// How the service encrypts.
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
        let place = raw.url.as_ref().and_then(|at| read_place(reader, &raw, at, base));
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

fn read_place(
    reader: &mut Reader<'_, '_>,
    raw: &RawUpload,
    url: &At<Text>,
    base: Option<&Path>,
) -> Option<UploadPlace> {
    let text = url.value.as_str();
    if url.unknown {
        let message = "`url`: comes from a variable or file that cannot be had here";
        reader.problems.warn(&url.span, &url.key, message, None);
        return None;
    }
    let Some(rest) = text.strip_prefix("s3://") else {
        if text.trim().is_empty() || text.contains('\0') || text.contains("://") {
            let message = format!("`url`: {} is not a place for uploads", url.value.shown());
            let hint = Some("write s3://bucket/prefix, or the path of a folder".to_owned());
            reader.problems.error(&url.span, &url.key, message, hint);
            return None;
        }
        let only_s3 = [
            &raw.endpoint,
            &raw.access_key,
            &raw.secret_key,
            &raw.ca,
            &raw.encryption_key,
        ];
        for at in only_s3.into_iter().flatten() {
            let name = at.key.rsplit('.').next().unwrap_or_default();
            let message = format!("`{name}` does not go with a folder");
            reader.problems.error(&at.span, &at.key, message, None);
        }
        return Some(UploadPlace::Folder(
            base.map_or_else(|| text.into(), |base| base.join(text)),
        ));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let part = |p: &str| {
        let usable = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()=@,+ ".contains(c);
        !p.is_empty() && p != "." && p != ".." && p.chars().all(usable)
    };
    let bucket_ok = (3..=63).contains(&bucket.len()) && bucket.chars().all(fits);
    if !bucket_ok || prefix.len() > 400 || !(prefix.is_empty() || prefix.split('/').all(part)) {
        let message = format!("`url`: {} does not name a bucket", url.value.shown());
        let hint = Some("write s3://bucket or s3://bucket/prefix".to_owned());
        reader.problems.error(&url.span, &url.key, message, hint);
        return None;
    }
    let mut key = |field: &Option<At<Text>>, name: &str| {
        let text = field.as_ref().map(|at| at.value.as_str().to_owned());
        if text.as_ref().is_none_or(String::is_empty) {
            let message = format!("`{name}` is missing for {text}", text = url.value.shown());
            let hint =
                Some("give `access_key` and `secret_key`; a secret belongs into a variable".to_owned());
            reader.problems.error(&url.span, &url.key, message, hint);
        }
        text.unwrap_or_default()
    };
    let access_key = key(&raw.access_key, "access_key");
    let secret_key = Secret::new(key(&raw.secret_key, "secret_key"));
    let endpoint = raw
        .endpoint
        .as_ref()
        .and_then(|at| read_endpoint(reader, raw, at));
    let encryption = raw.encryption.as_ref().map(|at| at.value.0).unwrap_or_default();
    check_encryption(reader, raw, encryption, endpoint.as_deref());
    Some(UploadPlace::S3(S3Place {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        path_style: raw.path_style.as_ref().map_or(endpoint.is_some(), |at| at.value),
        endpoint,
        region: raw
            .region
            .as_ref()
            .map_or("us-east-1", |at| at.value.as_str())
            .to_owned(),
        access_key,
        secret_key,
        ca: raw.ca.as_ref().map(|at| {
            let path = at.value.as_str();
            base.map_or_else(|| path.into(), |base| base.join(path))
        }),
        checksum: raw.checksum.as_ref().map(|at| at.value.0).unwrap_or_default(),
        encryption,
        encryption_key: Secret::new(raw.encryption_key.as_ref().map_or("", |at| at.value.as_str())),
    }))
}

fn read_endpoint(reader: &mut Reader<'_, '_>, raw: &RawUpload, at: &At<Text>) -> Option<String> {
    if at.unknown {
        return None;
    }
    let allow_http = raw.allow_http.as_ref().is_some_and(|at| at.value);
    let parsed = url::Url::parse(at.value.as_str()).ok();
    let usable = parsed.filter(|u| {
        matches!(u.scheme(), "http" | "https")
            && u.host_str().is_some()
            && u.username().is_empty()
            && u.password().is_none()
            && u.query().is_none()
    });
    let Some(url) = usable else {
        let message = format!("`endpoint`: {} is not the address of a service", at.value.shown());
        let hint = Some("write \"https://minio.lan:9000\"".to_owned());
        reader.problems.error(&at.span, &at.key, message, hint);
        return None;
    };
    if url.scheme() == "http" && !allow_http {
        let hint = Some("use https, or set allow_http = true".to_owned());
        reader
            .problems
            .error(&at.span, &at.key, "`endpoint`: it is reached without TLS", hint);
    }
    let is_local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && allow_http && !is_local {
        let message = "footage goes over the network in the clear";
        reader.problems.warn(&at.span, &at.key, message, None);
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn check_encryption(
    reader: &mut Reader<'_, '_>,
    raw: &RawUpload,
    encryption: UploadEncryption,
    endpoint: Option<&str>,
) {
    let wants_key = matches!(encryption, UploadEncryption::Kms | UploadEncryption::Customer);
    match (&raw.encryption, &raw.encryption_key) {
        (Some(at), None) if wants_key => {
            let hint = Some("give `encryption_key`".to_owned());
            reader
                .problems
                .error(&at.span, &at.key, "`encryption` needs a key", hint);
        }
        (_, Some(at)) if !wants_key => {
            let message = "`encryption_key` goes with `encryption` \"kms\" or \"customer\" only";
            reader.problems.error(&at.span, &at.key, message, None);
        }
        (Some(of), Some(at)) if encryption == UploadEncryption::Customer => {
            if !at.unknown && !is_key(at.value.as_str()) {
                let message = "`encryption_key`: not Base64 of 32 bytes";
                let hint = Some("make one by `openssl rand -base64 32`".to_owned());
                reader.problems.error(&at.span, &at.key, message, hint);
            }
            if endpoint.is_some_and(|e| e.starts_with("http:")) {
                let message = "`encryption` \"customer\" sends the key along, so it needs https";
                reader.problems.error(&of.span, &of.key, message, None);
            }
        }
        _ => {}
    }
}

/// 44 characters, the last of them padding: 32 bytes.
fn is_key(text: &str) -> bool {
    let digit = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    text.len() == 44 && text.strip_suffix('=').is_some_and(|t| t.bytes().all(digit))
}

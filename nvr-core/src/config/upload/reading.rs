//! Reads where a target of uploads is: each kind takes settings of its own, and the others are refused.

use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::super::reader::{At, Reader};
use super::super::values::Text;
use super::place::{AzureAccess, AzurePlace, GcsPlace, S3Place, UploadPlace, WebDavPlace};
use super::{RawUpload, UploadChecksum, UploadEncryption};
use crate::redact::redact;
use crate::secret::Secret;

/// Where a target is said to be, by what its url begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Azure,
    Gcs,
    WebDav,
    Folder,
}

impl Kind {
    /// Its kind, and the rest of the url.
    fn of(url: &str) -> Option<(Self, &str)> {
        for (scheme, kind) in [
            ("s3://", Self::S3),
            ("azure://", Self::Azure),
            ("gs://", Self::Gcs),
        ] {
            if let Some(rest) = url.strip_prefix(scheme) {
                return Some((kind, rest));
            }
        }
        if url.starts_with("https://") || url.starts_with("http://") {
            return Some((Self::WebDav, url));
        }
        let is_path = !url.trim().is_empty() && !url.contains('\0') && !url.contains("://");
        is_path.then_some((Self::Folder, url))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Azure => "Azure",
            Self::Gcs => "Google Cloud Storage",
            Self::WebDav => "WebDAV",
            Self::Folder => "a folder",
        }
    }

    /// Settings of which it has no use.
    const fn without(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &[],
            Self::Azure => &["region", "path_style", "checksum", "encryption", "encryption_key"],
            Self::Gcs => &[
                "region",
                "access_key",
                "path_style",
                "checksum",
                "encryption",
                "encryption_key",
            ],
            Self::WebDav => &[
                "endpoint",
                "region",
                "path_style",
                "checksum",
                "encryption",
                "encryption_key",
                "part_size",
            ],
            Self::Folder => &[
                "endpoint",
                "access_key",
                "secret_key",
                "ca",
                "checksum",
                "encryption",
                "encryption_key",
            ],
        }
    }

    /// What to do about such a setting.
    fn instead(self, name: &str) -> Option<&'static str> {
        Some(match (self, name) {
            (Self::Azure | Self::Gcs, "checksum") => "the service checks by MD5, always",
            (Self::Azure | Self::Gcs, "encryption" | "encryption_key") => {
                "the service encrypts all it has; choose the key in the settings of the account or bucket"
            }
            (Self::Gcs, "access_key") => "who it is stands in the key file, which `secret_key` is",
            (Self::WebDav, "endpoint") => "the address of the server stands in `url`",
            (Self::WebDav, "checksum") => "copies are read back whole and compared",
            (Self::WebDav | Self::Folder, "encryption" | "encryption_key") => {
                "what is there is not encrypted; use an encrypted disk, or another kind of target"
            }
            (Self::WebDav, "part_size") => "WebDAV knows no parts: a copy that is cut off begins anew",
            _ => return None,
        })
    }
}

/// Reads where a target is; `None` when it cannot be used.
pub(super) fn read(
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
    let Some((kind, rest)) = Kind::of(text) else {
        let shown = url.value.shown();
        let message = format!("`url`: {} is not a place for uploads", redact(&shown));
        let hint = "write s3://bucket/prefix, azure://container/prefix, gs://bucket/prefix, https://server/collection \
                    for WebDAV, or the path of a folder";
        reader
            .problems
            .error(&url.span, &url.key, message, Some(hint.to_owned()));
        return None;
    };
    refuse(reader, raw, kind);
    let ca = raw.ca.as_ref().map(|at| {
        let path = at.value.as_str();
        base.map_or_else(|| path.into(), |base| base.join(path))
    });
    match kind {
        Kind::Folder => Some(UploadPlace::Folder(
            base.map_or_else(|| text.into(), |base| base.join(text)),
        )),
        Kind::S3 => read_s3(reader, raw, url, rest, ca),
        Kind::Azure => {
            let (container, prefix) = bucket_of(reader, url, rest, "container")?;
            let account = required(reader, url, raw.access_key.as_ref(), "access_key", AZURE_KEYS);
            let secret = required(reader, url, raw.secret_key.as_ref(), "secret_key", AZURE_KEYS);
            check_account(reader, raw);
            let access = if is_sas(&secret) {
                check_sas(reader, raw);
                AzureAccess::Sas(Secret::new(secret.trim_start_matches('?')))
            } else {
                check_account_key(reader, raw);
                AzureAccess::AccountKey(Secret::new(secret))
            };
            let endpoint = endpoint_of(reader, raw);
            Some(UploadPlace::Azure(AzurePlace {
                container,
                prefix,
                endpoint,
                account,
                access,
                ca,
            }))
        }
        Kind::Gcs => {
            let (bucket, prefix) = bucket_of(reader, url, rest, "bucket")?;
            let key = required(reader, url, raw.secret_key.as_ref(), "secret_key", GCS_KEY);
            if let Some(at) = raw.secret_key.as_ref().filter(|at| !at.unknown) {
                check_service_account(reader, at);
            }
            let endpoint = endpoint_of(reader, raw);
            Some(UploadPlace::Gcs(GcsPlace {
                bucket,
                prefix,
                endpoint,
                service_account: Secret::new(key),
                ca,
            }))
        }
        Kind::WebDav => read_webdav(reader, raw, url, ca),
    }
}

const S3_KEYS: &str = "give `access_key` and `secret_key`; a secret belongs into a variable";
const AZURE_KEYS: &str = "give the name of the storage account as `access_key` and its key, or a SAS token, as `secret_key`; \
                          a secret belongs into a variable";
const GCS_KEY: &str =
    "give the key file of a service account: secret_key = \"${file:/run/secrets/gcs.json}\"";

/// Tells what is set and would do nothing. What is set to what holds anyhow is no mistake.
fn refuse(reader: &mut Reader<'_, '_>, raw: &RawUpload, kind: Kind) {
    let checksum = raw
        .checksum
        .as_ref()
        .filter(|at| at.value.0 != UploadChecksum::default());
    let encryption = raw
        .encryption
        .as_ref()
        .filter(|at| at.value.0 != UploadEncryption::default());
    macro_rules! look {
        ($($field:ident: $set:expr),*) => {
            $( if let Some(at) = $set && kind.without().contains(&stringify!($field)) {
                let message = format!(concat!("`", stringify!($field), "` does not go with {}"), kind.name());
                let hint = kind.instead(stringify!($field)).map(str::to_owned);
                reader.problems.error(&at.span, &at.key, message, hint);
            } )*
        };
    }
    look!(
        endpoint: &raw.endpoint,
        region: &raw.region,
        access_key: &raw.access_key,
        secret_key: &raw.secret_key,
        path_style: &raw.path_style,
        ca: &raw.ca,
        checksum: checksum,
        encryption: encryption,
        encryption_key: &raw.encryption_key,
        part_size: &raw.part_size
    );
}

/// Bucket and prefix of a url.
fn bucket_of(
    reader: &mut Reader<'_, '_>,
    url: &At<Text>,
    rest: &str,
    what: &str,
) -> Option<(String, String)> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let is_bucket = what == "bucket";
    let fits =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (is_bucket && ".".contains(c));
    let part = |p: &str| {
        let usable = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()=@,+ ".contains(c);
        !p.is_empty() && p != "." && p != ".." && p.chars().all(usable)
    };
    let bucket_ok = (3..=63).contains(&bucket.len()) && bucket.chars().all(fits);
    if !bucket_ok || prefix.len() > 400 || !(prefix.is_empty() || prefix.split('/').all(part)) {
        let message = format!("`url`: {} does not name a {what}", url.value.shown());
        let scheme = url.value.as_str().split("://").next().unwrap_or_default();
        let hint = Some(format!("write {scheme}://{what} or {scheme}://{what}/prefix"));
        reader.problems.error(&url.span, &url.key, message, hint);
        return None;
    }
    Some((bucket.to_owned(), prefix.to_owned()))
}

/// A setting without which the place cannot be used.
fn required(
    reader: &mut Reader<'_, '_>,
    url: &At<Text>,
    field: Option<&At<Text>>,
    name: &str,
    hint: &str,
) -> String {
    let text = field.map(|at| at.value.as_str().to_owned());
    if text.as_ref().is_none_or(String::is_empty) {
        let message = format!("`{name}` is missing for {text}", text = url.value.shown());
        reader
            .problems
            .error(&url.span, &url.key, message, Some(hint.to_owned()));
    }
    text.unwrap_or_default()
}

fn endpoint_of(reader: &mut Reader<'_, '_>, raw: &RawUpload) -> Option<String> {
    let at = raw.endpoint.as_ref()?;
    read_address(reader, raw, at, "endpoint")
}

fn read_s3(
    reader: &mut Reader<'_, '_>,
    raw: &RawUpload,
    url: &At<Text>,
    rest: &str,
    ca: Option<PathBuf>,
) -> Option<UploadPlace> {
    let (bucket, prefix) = bucket_of(reader, url, rest, "bucket")?;
    let access_key = required(reader, url, raw.access_key.as_ref(), "access_key", S3_KEYS);
    let secret_key = required(reader, url, raw.secret_key.as_ref(), "secret_key", S3_KEYS);
    let endpoint = endpoint_of(reader, raw);
    let encryption = raw.encryption.as_ref().map(|at| at.value.0).unwrap_or_default();
    check_encryption(reader, raw, encryption, endpoint.as_deref());
    Some(UploadPlace::S3(S3Place {
        bucket,
        prefix,
        path_style: raw.path_style.as_ref().map_or(endpoint.is_some(), |at| at.value),
        endpoint,
        region: raw
            .region
            .as_ref()
            .map_or("us-east-1", |at| at.value.as_str())
            .to_owned(),
        access_key,
        secret_key: Secret::new(secret_key),
        ca,
        checksum: raw.checksum.as_ref().map(|at| at.value.0).unwrap_or_default(),
        encryption,
        encryption_key: Secret::new(raw.encryption_key.as_ref().map_or("", |at| at.value.as_str())),
    }))
}

fn read_webdav(
    reader: &mut Reader<'_, '_>,
    raw: &RawUpload,
    url: &At<Text>,
    ca: Option<PathBuf>,
) -> Option<UploadPlace> {
    let address = read_address(reader, raw, url, "url")?;
    let login = match (&raw.access_key, &raw.secret_key) {
        (Some(user), Some(password)) => {
            // Where the one ends and the other begins is told by the first colon.
            if user.value.as_str().contains(':') {
                let message = "`access_key`: the name of a user has no colon";
                reader.problems.error(&user.span, &user.key, message, None);
            }
            Some((
                user.value.as_str().to_owned(),
                Secret::new(password.value.as_str()),
            ))
        }
        (None, None) => None,
        (Some(at), None) | (None, Some(at)) => {
            let message = "`access_key` and `secret_key` go together: user and password of the server";
            reader.problems.error(&at.span, &at.key, message, None);
            None
        }
    };
    Some(UploadPlace::WebDav(WebDavPlace {
        url: address,
        login,
        ca,
    }))
}

fn check_account(reader: &mut Reader<'_, '_>, raw: &RawUpload) {
    if let Some(at) = raw.access_key.as_ref().filter(|at| !at.unknown) {
        let name = at.value.as_str();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        // What is missing is told elsewhere.
        if !(name.is_empty() || (3..=24).contains(&name.len()) && name.chars().all(fits)) {
            let message = "`access_key`: not the name of a storage account (3 to 24 of a-z and 0-9)";
            reader.problems.error(&at.span, &at.key, message, None);
        }
    }
}

fn check_account_key(reader: &mut Reader<'_, '_>, raw: &RawUpload) {
    if let Some(at) = raw.secret_key.as_ref().filter(|at| !at.unknown) {
        let key = at.value.as_str();
        if base64::engine::general_purpose::STANDARD.decode(key).is_err() {
            let message =
                "`secret_key`: neither the key of a storage account, which is Base64, nor a SAS token";
            let hint = Some(
                "it is shown under Access keys of the storage account; a token is a query with `sig=`"
                    .to_owned(),
            );
            reader.problems.error(&at.span, &at.key, message, hint);
        }
    }
}

/// A key in Base64 has no `&`, and `=` at its end only.
fn is_sas(secret: &str) -> bool {
    sas_field(secret, "sig").is_some()
}

/// A field of a shared access signature.
fn sas_field(token: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(token.trim_start_matches('?').as_bytes())
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

/// What a token allows stands in it, unless it leaves that to a policy of the container.
fn check_sas(reader: &mut Reader<'_, '_>, raw: &RawUpload) {
    let Some(at) = raw.secret_key.as_ref().filter(|at| !at.unknown) else {
        return;
    };
    let field = |name| sas_field(at.value.as_str(), name);
    // Not a word of the token is told.
    let message = if field("sr").is_some_and(|sr| sr != "c") {
        "`secret_key`: the SAS token is not one for a container (`sr=c`)"
    } else if field("ss").is_some_and(|services| !services.contains('b')) {
        "`secret_key`: the SAS token is not one for blobs (`ss` has no b)"
    } else if field("srt").is_some_and(|types| !types.contains('o')) {
        "`secret_key`: the SAS token is not one for objects (`srt` has no o)"
    } else if field("sp").is_some_and(|rights| !(rights.contains('r') && rights.contains('w'))) {
        "`secret_key`: the SAS token does not allow to read and to write (`sp` has no r or no w)"
    } else {
        return;
    };
    let hint = "make a token for the container that may read, create and write";
    reader
        .problems
        .error(&at.span, &at.key, message, Some(hint.to_owned()));
}

fn check_service_account(reader: &mut Reader<'_, '_>, at: &At<Text>) {
    // Not a word of it is told.
    let json = serde_json::from_str::<serde_json::Value>(at.value.as_str()).ok();
    let has = |name: &str| json.as_ref().is_some_and(|json| json[name].is_string());
    if at.value.as_str().is_empty()
        || ["client_email", "private_key", "private_key_id"]
            .into_iter()
            .all(has)
    {
        return;
    }
    let message = "`secret_key`: not the key file of a service account (JSON with client_email, private_key_id and private_key)";
    reader
        .problems
        .error(&at.span, &at.key, message, Some(GCS_KEY.to_owned()));
}

fn read_address(reader: &mut Reader<'_, '_>, raw: &RawUpload, at: &At<Text>, name: &str) -> Option<String> {
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
        let shown = at.value.shown();
        let message = format!("`{name}`: {} is not the address of a service", redact(&shown));
        let hint = Some("write \"https://server.lan:9000\", without user and password".to_owned());
        reader.problems.error(&at.span, &at.key, message, hint);
        return None;
    };
    if url.scheme() == "http" && !allow_http {
        let hint = Some("use https, or set allow_http = true".to_owned());
        let message = format!("`{name}`: it is reached without TLS");
        reader.problems.error(&at.span, &at.key, message, hint);
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

//! Services that keep files, on the loopback interface, each behind the proxy of [`s3`](crate::s3): Azurite for Azure Blob
//! Storage, WsgiDAV for WebDAV, and for Google Cloud Storage moto, whose S3 is what both have in common.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nvr_core::config::{AzureAccess, AzurePlace, GcsPlace, UploadConfig, UploadPlace, WebDavPlace};
use nvr_core::secret::Secret;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::ports::free_port;
use crate::proc::Proc;
use crate::rig::LIMIT;
use crate::s3::{BUCKET, Proxy, S3};
use crate::wait;

/// What all names begin with.
const PREFIX: &str = "cctv";
const ACCOUNT: &str = "nvrtest";
const ACCOUNT_KEY: &[u8; 64] = b"0123456789012345678901234567890123456789012345678901234567890123";
const USER: &str = "nvr";
const PASSWORD: &str = "a secret";

/// A service and its proxy.
#[derive(Debug)]
pub struct Cloud {
    kind: Kind,
    service: SocketAddr,
    /// What is in between.
    pub proxy: Proxy,
}

#[derive(Debug)]
enum Kind {
    Azure { _process: Proc, access: AzureAccess },
    WebDav { _process: Proc, dir: tempfile::TempDir },
    Google(Box<S3>),
}

/// A file below where `tools/install-deps.sh test` installs.
fn installed(path: &str) -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = home.join(".local/share").join(path);
    ensure!(
        path.is_file(),
        "{} is not there: run tools/install-deps.sh test",
        path.display()
    );
    Ok(path)
}

fn spawn(command: Command, port: u16) -> anyhow::Result<(Proc, SocketAddr)> {
    let process = Proc::spawn(command)?;
    let service = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    wait::until_true("the service", LIMIT, || {
        TcpStream::connect_timeout(&service, Duration::from_secs(1)).is_ok()
    })
    .with_context(|| process.log())?;
    Ok((process, service))
}

/// HMAC of SHA-256, for keys of a block.
fn hmac(key: &[u8; 64], text: &str) -> [u8; 32] {
    let pad = |with: u8| key.map(|b| b ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

/// What may ask Azure for everything in the account.
fn sas() -> String {
    sas_for("rwdlac", "sco", "2100-01-01T00:00:00Z")
}

/// A token of the account for these rights and kinds of resources (Azure Storage, "Create an account SAS").
fn sas_for(rights: &str, resources: &str, until: &str) -> String {
    let version = "2021-12-02";
    let text = format!("{ACCOUNT}\n{rights}\nb\n{resources}\n\n{until}\n\n\n{version}\n\n");
    let signature = BASE64_STANDARD.encode(hmac(ACCOUNT_KEY, &text));
    let signature = signature
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    format!("sp={rights}&ss=b&srt={resources}&se={until}&sv={version}&sig={signature}")
}

/// Asks a service by a request without a body; status, head in lower case, body.
///
/// # Errors
/// When it does not answer.
pub async fn ask(to: SocketAddr, method: &str, path: &str) -> anyhow::Result<(u16, String, Vec<u8>)> {
    let mut stream = tokio::net::TcpStream::connect(to).await?;
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .context("an answer without a head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok((status, head, answer[end + 4..].to_vec()))
}

impl Cloud {
    /// Azurite with an empty container.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn azure() -> anyhow::Result<Self> {
        let port = free_port()?;
        let main = installed("nvr-test-tools-azurite/node_modules/azurite/dist/src/blob/main.js")?;
        let mut command = Command::new("node");
        command
            .arg(main)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.args([
            "--silent",
            "--skipApiVersionCheck",
            "--inMemoryPersistence",
            "--disableTelemetry",
        ]);
        let account = format!("{ACCOUNT}:{}", BASE64_STANDARD.encode(ACCOUNT_KEY));
        command.env("AZURITE_ACCOUNTS", account);
        let (process, service) = spawn(command, port)?;
        let path = format!("/{ACCOUNT}/{BUCKET}?restype=container&{}", sas());
        let (status, _, body) = ask(service, "PUT", &path).await?;
        ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(Self {
            kind: Kind::Azure {
                _process: process,
                access: AzureAccess::AccountKey(Secret::new(BASE64_STANDARD.encode(ACCOUNT_KEY))),
            },
            service,
            proxy: Proxy::start(service).await?,
        })
    }

    /// Its targets come with a token for objects that has these rights, instead of the key of the account.
    pub fn give_token(&mut self, rights: &str, until: &str) {
        if let Kind::Azure { access, .. } = &mut self.kind {
            *access = AzureAccess::Sas(Secret::new(sas_for(rights, "o", until)));
        }
    }

    /// WsgiDAV with an empty collection.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn webdav() -> anyhow::Result<Self> {
        let (port, dir) = (free_port()?, tempfile::tempdir()?);
        std::fs::create_dir_all(dir.path().join("files").join(PREFIX))?;
        let config = serde_json::json!({
            "host": "127.0.0.1", "port": port, "verbose": 1, "lock_storage": false,
            "provider_mapping": { "/": dir.path().join("files") },
            "simple_dc": { "user_mapping": { "*": { USER: { "password": PASSWORD } } } },
            "http_authenticator": { "accept_basic": true, "accept_digest": false, "default_to_digest": false },
        });
        let path = dir.path().join("wsgidav.json");
        std::fs::write(&path, config.to_string())?;
        let mut command = Command::new(installed("nvr-test-tools-webdav/bin/wsgidav")?);
        command.arg("-c").arg(path);
        let (process, service) = spawn(command, port)?;
        Ok(Self {
            kind: Kind::WebDav {
                _process: process,
                dir,
            },
            service,
            proxy: Proxy::start(service).await?,
        })
    }

    /// A bucket that is spoken to as to Google.
    ///
    /// # Errors
    /// When moto is not installed or does not start.
    pub async fn google() -> anyhow::Result<Self> {
        let s3 = S3::start().await?;
        let service = s3.service();
        Ok(Self {
            kind: Kind::Google(Box::new(s3)),
            service,
            proxy: Proxy::start_google(service).await?,
        })
    }

    /// A target of it, by way of the proxy, with the smallest parts.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn target(&self, name: &str) -> anyhow::Result<UploadConfig> {
        let address = format!("http://{}", self.proxy.address());
        let place = match &self.kind {
            Kind::Azure { access, .. } => UploadPlace::Azure(AzurePlace {
                container: BUCKET.into(),
                prefix: PREFIX.into(),
                endpoint: Some(format!("{address}/{ACCOUNT}")),
                account: ACCOUNT.into(),
                access: access.clone(),
                ca: None,
            }),
            Kind::WebDav { .. } => UploadPlace::WebDav(WebDavPlace {
                url: format!("{address}/{PREFIX}"),
                login: Some((USER.into(), Secret::new(PASSWORD))),
                ca: None,
            }),
            Kind::Google(_) => UploadPlace::Gcs(GcsPlace {
                bucket: BUCKET.into(),
                prefix: PREFIX.into(),
                endpoint: Some(address),
                service_account: Secret::new(key_file()?),
                ca: None,
            }),
        };
        let mut config = UploadConfig::new(name, place);
        config.part_bytes = 5 << 20;
        Ok(config)
    }

    /// What is under a name, with the BLAKE3 that it says it has; `None` when it is not there.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn object(&self, key: &str) -> anyhow::Result<Option<(Vec<u8>, Option<String>)>> {
        let path = match &self.kind {
            Kind::WebDav { dir, .. } => {
                let path = dir.path().join("files").join(key);
                return Ok(path
                    .is_file()
                    .then(|| std::fs::read(path))
                    .transpose()?
                    .map(|b| (b, None)));
            }
            Kind::Google(s3) => return Ok(s3.object(key).await?.map(|(b, hash)| (b, Some(hash)))),
            Kind::Azure { .. } => format!("/{ACCOUNT}/{BUCKET}/{key}?{}", sas()),
        };
        let (status, head, body) = ask(self.service, "GET", &path).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "{status}");
        let hash = head.lines().find_map(|l| l.strip_prefix("x-ms-meta-blake3: "));
        Ok(Some((body, Some(hash.unwrap_or_default().trim().to_owned()))))
    }

    /// Files of a WebDAV server whose names say that they are not complete.
    #[must_use]
    pub fn growing(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if let Kind::WebDav { dir, .. } = &self.kind {
            collect(dir.path(), &mut found);
        }
        found
    }
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "part") {
            found.push(path);
        }
    }
}

/// The key file of a service account that asks for no token, as those of emulators.
fn key_file() -> anyhow::Result<String> {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .context("openssl is not there: run tools/install-deps.sh test")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = serde_json::json!({
        "private_key": String::from_utf8(made.stdout)?, "private_key_id": "1",
        "client_email": "nvr@example.org", "disable_oauth": true,
    });
    Ok(file.to_string())
}

//! TLS of our own: a listener whose connections were shaken hands with, and a certificate that is read again when its
//! files change.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::serve::Listener;
use nvr_core::clock::SharedClock;
use nvr_core::config::TlsFiles;
use nvr_core::{Error, ErrorKind, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::conn::Idle;

/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at once; more wait in the kernel's queue.
const HANDSHAKES: usize = 512;
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Largest file.
const MAX_FILE: u64 = 1 << 20;

/// The certificate in force.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The certificate of a server, from its files.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    files: TlsFiles,
    current: Arc<Current>,
    read: Arc<std::sync::Mutex<(Vec<u8>, Vec<u8>)>>,
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |e| Error::io(path.display(), e);
    let len = std::fs::metadata(path).map_err(wrong)?.len();
    if len > MAX_FILE {
        return Err(Error::new(
            ErrorKind::Config,
            format!("{} is too large for a certificate or key", path.display()),
        ));
    }
    std::fs::read(path).map_err(wrong)
}

fn load(files: &TlsFiles, cert: &[u8], key: &[u8]) -> Result<CertifiedKey> {
    let wrong = |path: &Path, what: &str, e: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Config, format!("{}: {what}: {e}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| wrong(&files.cert, "no certificate can be read", &e))?;
    if chain.is_empty() {
        return Err(wrong(&files.cert, "there is no certificate in it", &"want PEM"));
    }
    let key_der = PrivateKeyDer::from_pem_slice(key)
        .map_err(|e| wrong(&files.key, "no private key can be read", &e))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key_der, &provider)
        .map_err(|e| wrong(&files.key, "certificate and key cannot be used together", &e))
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// `Storage` or `NotFound` when one cannot be read, `Config` when they do not hold what they should.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self> {
        let bytes = (read(&files.cert)?, read(&files.key)?);
        let key = load(files, &bytes.0, &bytes.1)?;
        Ok(Self {
            files: files.clone(),
            current: Arc::new(Current(ArcSwap::from_pointee(key))),
            read: Arc::new(std::sync::Mutex::new(bytes)),
        })
    }

    /// Reads the files again if they changed; whether they did. One that is half written is tried again later.
    fn refresh(&self) -> Result<bool> {
        let bytes = (read(&self.files.cert)?, read(&self.files.key)?);
        let mut last = self
            .read
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last == bytes {
            return Ok(false);
        }
        let key = load(&self.files, &bytes.0, &bytes.1)?;
        self.current.0.store(Arc::new(key));
        *last = bytes;
        Ok(true)
    }

    /// Looks after the files until `stop`.
    pub(crate) async fn watch(self, clock: SharedClock, stop: CancellationToken) {
        let mut told = String::new();
        loop {
            tokio::select! {
                () = clock.sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            let me = self.clone();
            match tokio::task::spawn_blocking(move || me.refresh()).await {
                Ok(Ok(true)) => {
                    told.clear();
                    tracing::info!(cert = %self.files.cert.display(), "the certificate was read again");
                }
                Ok(Ok(false)) => told.clear(),
                Ok(Err(e)) => {
                    let text = e.to_string();
                    if text != told {
                        tracing::warn!(error = %text, "the certificate cannot be read again; the one before stays");
                        told = text;
                    }
                }
                Err(e) => tracing::warn!(error = %e, "looking after the certificate failed"),
            }
        }
    }

    fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(ErrorKind::Internal, "TLS cannot be set up").with_source(e))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

type Stream = TlsStream<Idle<TcpStream>>;

/// A listener that hands out connections after their handshake, so that a slow one holds up nobody.
pub(crate) struct Guarded {
    inner: TcpListener,
    acceptor: TlsAcceptor,
    patience: Duration,
    hands: JoinSet<Option<(Stream, SocketAddr)>>,
}

impl Guarded {
    pub(crate) fn new(inner: TcpListener, certificate: &Certificate, patience: Duration) -> Result<Self> {
        Ok(Self {
            inner,
            acceptor: certificate.acceptor()?,
            patience,
            hands: JoinSet::new(),
        })
    }
}

impl Listener for Guarded {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(done) = self.hands.join_next() => {
                    if let Ok(Some(ready)) = done {
                        return ready;
                    }
                }
                (stream, address) = Listener::accept(&mut self.inner), if self.hands.len() < HANDSHAKES => {
                    let _ = stream.set_nodelay(true);
                    let shaking = self.acceptor.accept(Idle::new(stream, self.patience));
                    self.hands.spawn(async move {
                        let shaken = tokio::time::timeout(HANDSHAKE, shaking).await.ok()?;
                        shaken.ok().map(|s| (s, address))
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

//! The cameras' streams for others over RTSP: the recorder as the one reader of each camera.
//!
//! Whoever watches is a viewer like any other: the queue is bounded, a client that is too slow loses whole groups of pictures,
//! and an on-demand camera connects. `path` says which stream an address means (pure), `door` who gets it, `serve` hands the
//! frames on. Sockets and packets are `gst/rtsp_server`'s.

#[cfg(feature = "rtsp-server")]
mod door;
mod path;
#[cfg(feature = "rtsp-server")]
mod serve;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::path::StreamPath;
use crate::accounts::Accounts;
use crate::camera::Camera;
use crate::clock::SharedClock;
#[cfg(feature = "rtsp-server")]
use crate::config::Auth;
use crate::config::Config;
use crate::error::Result;
use crate::ids::CameraId;
use crate::live::StreamKind;
use crate::time::Timestamp;

/// Whether this was built with the RTSP server.
pub const BUILT_IN: bool = cfg!(feature = "rtsp-server");

/// Somebody who watches over RTSP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestreamClient {
    /// Its number.
    pub id: u64,
    /// Whose stream.
    pub camera: CameraId,
    /// Which stream.
    pub stream: StreamKind,
    /// Who it is, as the audit log calls him.
    pub user: Option<String>,
    /// From where.
    pub address: IpAddr,
    /// Whether packets go by UDP.
    pub udp: bool,
    /// Since when.
    pub since: Timestamp,
    /// Bytes of packets that went out.
    pub sent_bytes: u64,
    /// Video frames left out because the client was too slow.
    pub frames_lost: u64,
}

/// What is served of one camera, both of its streams together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RestreamFigures {
    /// How many watch now.
    pub clients: usize,
    /// How many came since the recorder started.
    pub total: u64,
    /// Bytes of packets that went out since then.
    pub sent_bytes: u64,
}

/// The RTSP server of a recorder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Restream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listen: SocketAddr,
    tls: bool,
    state: Mutex<State>,
    stop: CancellationToken,
    tasks: TaskTracker,
    #[cfg(feature = "rtsp-server")]
    server: std::sync::OnceLock<crate::gst::RtspServer>,
}

#[derive(Debug, Default)]
struct State {
    #[cfg(feature = "rtsp-server")]
    last_id: u64,
    clients: BTreeMap<u64, RestreamClient>,
    /// Of those who went.
    gone: BTreeMap<CameraId, RestreamFigures>,
}

/// Finds a camera that there is.
pub(crate) type FindCamera = Box<dyn Fn(&CameraId) -> Option<Camera> + Send + Sync>;

/// What the server needs of the recorder.
#[cfg_attr(
    not(feature = "rtsp-server"),
    expect(dead_code, reason = "only a server asks for it")
)]
pub(crate) struct Around {
    pub clock: SharedClock,
    pub accounts: Accounts,
    /// The cameras that there are.
    pub camera: FindCamera,
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Restream {
    /// Begins to serve, if the configuration says so.
    ///
    /// # Errors
    /// `Unsupported` where this was built without it, `Conflict` when the address is taken, `Config` when the certificate
    /// cannot be used.
    pub(crate) async fn start(config: &Config, around: Around) -> Result<Option<Self>> {
        if !config.rtsp_server.enabled {
            return Ok(None);
        }
        Self::begin(config, around).await.map(Some)
    }

    #[cfg(not(feature = "rtsp-server"))]
    async fn begin(_: &Config, _: Around) -> Result<Self> {
        use crate::error::{Error, ErrorKind};
        Err(
            Error::new(ErrorKind::Unsupported, crate::config::NO_RTSP_SERVER.0)
                .with_hint(crate::config::NO_RTSP_SERVER.1),
        )
    }

    #[cfg(feature = "rtsp-server")]
    async fn begin(config: &Config, around: Around) -> Result<Self> {
        use crate::error::{Error, ErrorKind};
        let server = config.rtsp_server.clone();
        if server.auth == Auth::None && !server.listen.ip().is_loopback() {
            return Err(Error::new(
                ErrorKind::Config,
                "an RTSP server that asks nobody is for loopback addresses only",
            ));
        }
        let tls = match (server.tls, &config.http.tls) {
            (false, _) => None,
            (true, Some(files)) => Some((files.cert.clone(), files.key.clone())),
            (true, None) => {
                return Err(
                    Error::new(ErrorKind::Config, "RTSP over TLS needs the certificate of [http]")
                        .with_hint("set `tls_cert` and `tls_key` of [http]"),
                );
            }
        };
        let inner = Arc::new(Inner {
            listen: server.listen,
            tls: tls.is_some(),
            state: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            server: std::sync::OnceLock::new(),
        });
        let (accounts, keep) = (around.accounts.clone(), config.http.audit_keep);
        let door = door::Gate::new(server.auth, around, &inner);
        let settings = crate::gst::ServerSettings {
            listen: server.listen,
            tls,
            max_clients: server.max_clients,
        };
        let made = crate::nvr::blocking(move || crate::gst::RtspServer::start(&settings, door)).await?;
        let address = SocketAddr::new(server.listen.ip(), made.port());
        let _ = inner.server.set(made);
        if server.auth == Auth::Accounts {
            // Who saw what is written also where nothing is served over HTTP.
            let stop = inner.stop.clone();
            inner.tasks.spawn(async move { accounts.work(keep, stop).await });
        }
        tracing::info!(%address, tls = inner.tls, "cameras are to be had over RTSP");
        Ok(Self(inner))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        #[cfg(feature = "rtsp-server")]
        if let Some(server) = self.0.server.get() {
            return SocketAddr::new(self.0.listen.ip(), server.port());
        }
        self.0.listen
    }

    /// Whether it is RTSP over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.tls
    }

    /// The address below which streams lie (`rtsp://127.0.0.1:8554`).
    #[must_use]
    pub fn base(&self) -> String {
        let scheme = if self.0.tls { "rtsps" } else { "rtsp" };
        format!("{scheme}://{}", self.address())
    }

    /// The address of a stream.
    #[must_use]
    pub fn url(&self, path: &StreamPath) -> String {
        format!("{}{path}", self.base())
    }

    /// How many are connected, whether or not they watch.
    #[must_use]
    pub fn connections(&self) -> usize {
        #[cfg(feature = "rtsp-server")]
        if let Some(server) = self.0.server.get() {
            return server.connected();
        }
        0
    }

    /// Those who watch, by number.
    #[must_use]
    pub fn clients(&self) -> Vec<RestreamClient> {
        lock(&self.0.state).clients.values().cloned().collect()
    }

    /// What is served of each camera that anybody asked for.
    #[must_use]
    pub fn figures(&self) -> BTreeMap<CameraId, RestreamFigures> {
        let state = lock(&self.0.state);
        let mut all = state.gone.clone();
        for client in state.clients.values() {
            let figures = all.entry(client.camera.clone()).or_default();
            figures.clients += 1;
            figures.total += 1;
            figures.sent_bytes += client.sent_bytes;
        }
        all
    }

    /// Ends all connections, then the server.
    pub(crate) async fn shutdown(&self) {
        self.0.stop.cancel();
        #[cfg(feature = "rtsp-server")]
        {
            let me = self.clone();
            let stopped = crate::nvr::blocking(move || {
                if let Some(server) = me.0.server.get() {
                    server.stop();
                }
                Ok(())
            });
            if let Err(e) = stopped.await {
                tracing::error!(error = %e, "the RTSP server did not end in order");
            }
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Also without a shutdown no task stays behind.
        self.stop.cancel();
    }
}

impl Inner {
    #[cfg(feature = "rtsp-server")]
    fn enter(&self, client: impl FnOnce(u64) -> RestreamClient) -> u64 {
        let mut state = lock(&self.state);
        state.last_id += 1;
        let id = state.last_id;
        state.clients.insert(id, client(id));
        id
    }

    #[cfg(feature = "rtsp-server")]
    fn change(&self, id: u64, change: impl FnOnce(&mut RestreamClient)) {
        if let Some(client) = lock(&self.state).clients.get_mut(&id) {
            change(client);
        }
    }

    #[cfg(feature = "rtsp-server")]
    fn leave(&self, id: u64) {
        let mut state = lock(&self.state);
        if let Some(client) = state.clients.remove(&id) {
            let figures = state.gone.entry(client.camera).or_default();
            figures.total += 1;
            figures.sent_bytes += client.sent_bytes;
        }
    }
}

//! An RTSP server that hands live streams on as they are. Who may have which stream, and where its frames come from, says a
//! [`Door`].
//!
//! Each client has a thread of its own, so that one that waits for its camera, or for a password to be looked at, holds up
//! nobody; and a pipeline of its own, so that it begins with a keyframe and its slowness is its own.
//!
//! A connection is ended by shutting its socket down: closing it from another thread while its own handles a request would
//! take the process along.

mod auth;
mod clients;
mod factory;
mod feed;
mod tls;

use std::any::Any;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPMountPoints, RTSPServer, RTSPThreadPool};

use self::clients::Clients;
pub(crate) use self::feed::Feed;
use self::tls::Certificate;
use super::tap::AccessUnit;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Connections that wait to be taken.
const BACKLOG: i32 = 16;
/// Largest body of a request.
const BODY_BYTES: u32 = 64 << 10;
/// How often is looked for sessions that are over and for another certificate.
const TIDY: Duration = Duration::from_secs(5);
/// How long the end waits for clients to go.
const END: Duration = Duration::from_secs(5);

/// Somebody who was let in, in the terms of the [`Door`].
pub(crate) type Who = Arc<dyn Any + Send + Sync>;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub address: IpAddr,
    /// Whether the connection is TLS.
    pub secure: bool,
}

/// Why somebody does not get what he asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// 401: he has to say who he is.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 503: later it may work.
    Unavailable,
}

/// A stream that somebody gets.
pub(crate) struct Opened {
    /// The keyframe that it begins with.
    pub first: AccessUnit,
    /// A packet of its sound, if there is any.
    pub audio: Option<AccessUnit>,
    /// How much older the first frame is than the newest one.
    pub age_ns: i64,
    /// Takes the place that frames go to.
    pub begin: Box<dyn FnOnce(Feed) + Send>,
}

/// Who comes in, and what he gets. Called in threads of the server, and may block them.
pub(crate) trait Door: Send + Sync {
    /// Who it is, by name and password.
    fn admit(&self, login: Option<(&str, Secret)>, peer: Peer) -> Result<Who, Refusal>;
    /// Whether he may have what is at a path (`/front`).
    fn may(&self, who: &Who, path: &str) -> Result<(), Refusal>;
    /// The stream of a path, for somebody who may have it.
    fn open(&self, who: &Who, path: &str, peer: Peer) -> Result<Opened, Refusal>;
}

/// Where and how to serve.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    pub listen: SocketAddr,
    /// Certificate and key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub max_clients: usize,
}

/// What the parts share.
struct Around {
    door: Arc<dyn Door>,
    clients: Clients,
    secure: bool,
    points: RTSPMountPoints,
    /// Where there is something to be had, as far as somebody asked.
    paths: Mutex<BTreeSet<String>>,
    links: feed::Links,
}

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

impl Around {
    /// Makes a path known to the server.
    fn mount(self: &Arc<Self>, path: &str) {
        if lock(&self.paths).insert(path.to_owned()) {
            self.points.add_factory(path, factory::factory(self, path));
        }
    }
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that runs. [`stop`](Self::stop) ends it, and so does dropping it.
#[derive(Debug)]
pub(crate) struct RtspServer {
    around: Arc<Around>,
    port: u16,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    listener: Mutex<Option<glib::SourceId>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl RtspServer {
    /// Listens.
    ///
    /// # Errors
    /// `Conflict` when the address is taken, `Config` when the certificate cannot be used, `Unsupported` when GLib's
    /// TLS is missing.
    pub(crate) fn start(settings: &ServerSettings, door: Arc<dyn Door>) -> Result<Self> {
        super::init()?;
        let (mut certificate, current) = settings.tls.as_ref().map(Certificate::load).transpose()?.unzip();
        let points = RTSPMountPoints::new();
        let around = Arc::new(Around {
            door,
            clients: Clients::new(settings.max_clients),
            secure: certificate.is_some(),
            points: points.clone(),
            paths: Mutex::default(),
            links: feed::Links::default(),
        });
        let server = RTSPServer::new();
        server.set_address(&settings.listen.ip().to_string());
        server.set_service(&settings.listen.port().to_string());
        server.set_backlog(BACKLOG);
        server.set_content_length_limit(BODY_BYTES);
        let pool = RTSPThreadPool::new();
        pool.set_max_threads(-1);
        server.set_thread_pool(Some(&pool));
        let auth = auth::auth(&around);
        auth.set_tls_certificate(current.as_ref());
        server.set_auth(Some(&auth));
        server.set_mount_points(Some(&points));
        let weak = Arc::downgrade(&around);
        server.connect_client_connected(move |_, client| {
            if let Some(around) = weak.upgrade() {
                Clients::enter(&around, client);
            }
        });
        let context = glib::MainContext::new();
        let listener = server.attach(Some(&context)).map_err(|_| {
            Error::new(
                ErrorKind::Conflict,
                format!("cannot listen on {} for RTSP", settings.listen),
            )
            .with_hint("another program may listen there: change `listen` of [rtsp_server]")
        })?;
        let port = u16::try_from(server.bound_port()).unwrap_or(0);
        let weak = Arc::downgrade(&around);
        let tidy = glib::timeout_source_new(TIDY, Some("rtsp tidy"), glib::Priority::DEFAULT, move || {
            if let Some(sessions) = server.session_pool() {
                sessions.cleanup();
            }
            if let Some(around) = weak.upgrade() {
                around.clients.send_unknown_away();
            }
            if let Some(new) = certificate.as_mut().and_then(Certificate::refresh) {
                auth.set_tls_certificate(Some(&new));
            }
            glib::ControlFlow::Continue
        });
        tidy.attach(Some(&context));
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (its, run) = (context.clone(), main_loop.clone());
        let thread = std::thread::Builder::new()
            .name("nvr-rtsp-server".into())
            .spawn(move || {
                if let Err(e) = its.with_thread_default(|| run.run()) {
                    tracing::error!(error = %e, "the RTSP server does not run");
                }
                tidy.destroy();
            })
            .map_err(|e| Error::new(ErrorKind::Internal, "no thread for the RTSP server").with_source(e))?;
        Ok(Self {
            around,
            port,
            context,
            main_loop,
            listener: Mutex::new(Some(listener)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The port that it listens on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// How many are connected.
    pub(crate) fn connected(&self) -> usize {
        self.around.clients.connected()
    }

    /// Takes no more clients, sends away those that are there, and ends. Blocks while they go, for some seconds at most.
    pub(crate) fn stop(&self) {
        let listener = lock(&self.listener).take();
        if let Some(source) = listener.and_then(|id| self.context.find_source_by_id(&id)) {
            source.destroy();
        }
        self.around.clients.send_away(END);
        let Some(thread) = lock(&self.thread).take() else {
            return;
        };
        // From within the loop, so that it is sure to run when it is told to quit.
        let main_loop = self.main_loop.clone();
        self.context.invoke(move || main_loop.quit());
        let _ = thread.join();
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.stop();
    }
}

//! One life of the RTSP server: its socket, its main loop thread, its paths.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use anyhow::Context as _;
use gst_rtsp::{RTSPAuthMethod, RTSPLowerTrans, RTSPStatusCode};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{
    RTSPAuth, RTSPClient, RTSPFilterResult, RTSPMediaFactory, RTSPMountPoints, RTSPServer, RTSPThreadPool,
    RTSPToken,
};

use super::faults::Faults;
use super::media::{self, Mount};
use super::options::{Auth, AuthKind, TestCamOptions};

/// The role that authenticated clients get.
const ROLE: &str = "viewer";

pub(crate) struct Server {
    server: RTSPServer,
    faults: Arc<Faults>,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    listener: Option<glib::SourceId>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on 127.0.0.1:`port`; `mounts` are those of `o.paths`, in order.
    pub fn start(
        o: &TestCamOptions,
        port: u16,
        mounts: &[Arc<Mount>],
        faults: &Arc<Faults>,
    ) -> anyhow::Result<Self> {
        faults.set_stopping(false);
        let server = RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service(&port.to_string());
        // All in the thread of the main loop: a connection that is closed while another thread handles its request
        // takes the whole server down.
        let pool = RTSPThreadPool::new();
        pool.set_max_threads(0);
        server.set_thread_pool(Some(&pool));
        if let Some(auth) = &o.auth {
            server.set_auth(Some(&authenticator(auth)));
        }
        let points = RTSPMountPoints::new();
        for (path, mount) in o.paths.iter().zip(mounts) {
            points.add_factory(path, factory(o, mount));
        }
        server.set_mount_points(Some(&points));
        let served: Vec<_> = o.paths.iter().cloned().zip(mounts.iter().cloned()).collect();
        let (delay, fps, orders, all) = (o.describe_delay, o.fps, Arc::clone(faults), served);
        server.connect_client_connected(move |_, client| {
            orders.connections.fetch_add(1, Ordering::SeqCst);
            watch_client(client, delay, fps, &orders, &all);
        });

        let context = glib::MainContext::new();
        let listener = server
            .attach(Some(&context))
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}; is the port taken?"))?;
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (ctx, run) = (context.clone(), main_loop.clone());
        let thread = std::thread::Builder::new()
            .name(format!("testcam-{port}"))
            .spawn(move || {
                if let Err(e) = ctx.with_thread_default(|| run.run()) {
                    tracing::error!("main loop of the camera did not run: {e}");
                }
            })?;
        Ok(Self {
            server,
            faults: Arc::clone(faults),
            context,
            main_loop,
            listener: Some(listener),
            thread: Some(thread),
        })
    }

    /// Connections made from now on must prove themselves in this way.
    pub fn set_auth(&self, auth: Option<&Auth>) {
        self.server.set_auth(auth.map(authenticator).as_ref());
    }

    /// Closes the connections that exist; new ones are taken.
    pub fn drop_clients(&self) {
        let server = self.server.clone();
        self.context.invoke(move || {
            server.client_filter(Some(&mut |_, _| RTSPFilterResult::Remove));
        });
    }

    pub fn clients(&self) -> usize {
        self.server
            .client_filter(Some(&mut |_, _| RTSPFilterResult::Ref))
            .len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.faults.set_stopping(true);
        if let Some(source) = self
            .listener
            .take()
            .and_then(|id| self.context.find_source_by_id(&id))
        {
            source.destroy();
        }
        self.drop_clients();
        // From within the loop, so that it is sure to run when it is told to quit.
        let main_loop = self.main_loop.clone();
        self.context.invoke(move || main_loop.quit());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the camera's main loop panicked");
        }
    }
}

fn factory(o: &TestCamOptions, mount: &Arc<Mount>) -> RTSPMediaFactory {
    let factory = RTSPMediaFactory::new();
    factory.set_launch(&media::launch(o));
    factory.set_shared(true);
    factory.set_latency(0);
    if o.tcp_only {
        factory.set_protocols(RTSPLowerTrans::TCP);
    } else if o.udp_only {
        factory.set_protocols(RTSPLowerTrans::UDP);
    }
    if o.auth.is_some() {
        let role = gst::Structure::builder(ROLE)
            .field("media.factory.access", true)
            .field("media.factory.construct", true)
            .build();
        factory.add_role_from_structure(&role);
    }
    let (mount, options) = (Arc::clone(mount), o.clone());
    factory.connect_media_configure(move |_, made| media::configure(made, &mount, &options));
    factory
}

fn authenticator(auth: &Auth) -> RTSPAuth {
    let made = RTSPAuth::new();
    let token = RTSPToken::builder().field("media.factory.role", ROLE).build();
    match auth.kind {
        AuthKind::Basic => {
            made.set_supported_methods(RTSPAuthMethod::Basic);
            made.add_basic(&RTSPAuth::make_basic(&auth.user, &auth.password), &token);
        }
        AuthKind::Digest => {
            made.set_supported_methods(RTSPAuthMethod::Digest);
            made.add_digest(&auth.user, &auth.password, &token);
        }
    }
    made
}

fn watch_client(
    client: &RTSPClient,
    delay: std::time::Duration,
    fps: u32,
    faults: &Arc<Faults>,
    mounts: &[(String, Arc<Mount>)],
) {
    let wait = {
        let faults = Arc::clone(faults);
        move || {
            faults.wait_while_hung();
            RTSPStatusCode::Ok
        }
    };
    let w = wait.clone();
    client.connect_pre_options_request(move |_, _| w());
    let w = wait.clone();
    client.connect_pre_setup_request(move |_, _| w());
    let w = wait.clone();
    client.connect_pre_play_request(move |_, _| w());
    let w = wait.clone();
    client.connect_pre_teardown_request(move |_, _| w());
    let w = wait.clone();
    client.connect_pre_get_parameter_request(move |_, _| w());
    let w = wait.clone();
    client.connect_pre_set_parameter_request(move |_, _| w());
    let orders = Arc::clone(faults);
    client.connect_pre_describe_request(move |_, _| {
        orders.describes.fetch_add(1, Ordering::SeqCst);
        orders.think(delay);
        wait()
    });
    let mounts = mounts.to_vec();
    client.connect_play_request(move |_, context| {
        let uri = context
            .uri()
            .map(|u| u.request_uri().to_string())
            .unwrap_or_default();
        let path = uri
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map_or("", |(_, path)| path);
        for (_, mount) in mounts
            .iter()
            .filter(|(p, _)| path.trim_end_matches('/') == p.trim_start_matches('/'))
        {
            mount.welcome(fps);
        }
    });
}

//! A small RTSP camera for tests.

use std::sync::mpsc;

use gst_rtsp_server::prelude::*;

/// A server with one stream at `/cam`; stopped when dropped.
pub(crate) struct RtspCamera {
    pub port: u16,
    server: gst_rtsp_server::RTSPServer,
    context: glib::MainContext,
    main: glib::MainLoop,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl RtspCamera {
    /// Serves a launch line whose payloaders are `pay0`, `pay1`, …; with a user and a password if given.
    pub(crate) fn serve(launch: &str, login: Option<(&str, &str)>) -> Self {
        let all = gst_rtsp::RTSPLowerTrans::TCP | gst_rtsp::RTSPLowerTrans::UDP;
        Self::serve_over(launch, login, all)
    }

    /// The same, over these transports only.
    pub(crate) fn serve_over(
        launch: &str,
        login: Option<(&str, &str)>,
        protocols: gst_rtsp::RTSPLowerTrans,
    ) -> Self {
        Self::start(launch, login, protocols, None)
    }

    /// Over TLS, with a certificate and its key in PEM.
    pub(crate) fn serve_tls(launch: &str, pem: &str) -> Self {
        Self::start(launch, None, gst_rtsp::RTSPLowerTrans::TCP, Some(pem.to_owned()))
    }

    fn start(
        launch: &str,
        login: Option<(&str, &str)>,
        protocols: gst_rtsp::RTSPLowerTrans,
        pem: Option<String>,
    ) -> Self {
        crate::gst::init().unwrap();
        let context = glib::MainContext::new();
        let main = glib::MainLoop::new(Some(&context), false);
        let (launch, login) = (
            launch.to_owned(),
            login.map(|(u, p)| (u.to_owned(), p.to_owned())),
        );
        let (tell, told) = mpsc::channel();
        let (looping, its) = (main.clone(), context.clone());
        let thread = std::thread::spawn(move || {
            context
                .with_thread_default(|| {
                    let server = gst_rtsp_server::RTSPServer::new();
                    server.set_address("127.0.0.1");
                    server.set_service("0");
                    // All in one thread: the server cannot close a connection while another handles a request.
                    let pool = gst_rtsp_server::RTSPThreadPool::new();
                    pool.set_max_threads(0);
                    server.set_thread_pool(Some(&pool));
                    let factory = gst_rtsp_server::RTSPMediaFactory::new();
                    factory.set_launch(&launch);
                    factory.set_shared(true);
                    factory.set_protocols(protocols);
                    if let Some((user, password)) = &login {
                        let auth = gst_rtsp_server::RTSPAuth::new();
                        let role = "user";
                        let token = gst_rtsp_server::RTSPToken::builder()
                            .field(gst_rtsp_server::RTSP_TOKEN_MEDIA_FACTORY_ROLE, role)
                            .build();
                        auth.set_supported_methods(gst_rtsp::RTSPAuthMethod::Digest);
                        auth.add_digest(user, password, &token);
                        server.set_auth(Some(&auth));
                        factory.add_role_from_structure(
                            &gst::Structure::builder(role)
                                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
                                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
                                .build(),
                        );
                    }
                    if let Some(pem) = &pem {
                        let auth = gst_rtsp_server::RTSPAuth::new();
                        let certificate = gst_rtsp_server::gio::TlsCertificate::from_pem(pem).unwrap();
                        auth.set_tls_certificate(Some(&certificate));
                        let mut token = gst_rtsp_server::RTSPToken::builder()
                            .field(gst_rtsp_server::RTSP_TOKEN_MEDIA_FACTORY_ROLE, "anyone")
                            .build();
                        auth.set_default_token(Some(&mut token));
                        server.set_auth(Some(&auth));
                        factory.add_role_from_structure(
                            &gst::Structure::builder("anyone")
                                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
                                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
                                .build(),
                        );
                    }
                    server.mount_points().unwrap().add_factory("/cam", factory);
                    // Removed with its context.
                    let _source = server.attach(Some(&context)).unwrap();
                    let port = u16::try_from(server.bound_port()).unwrap();
                    tell.send((port, server)).unwrap();
                    looping.run();
                })
                .unwrap();
        });
        let (port, server) = told.recv().unwrap();
        Self {
            port,
            server,
            context: its,
            main,
            thread: Some(thread),
        }
    }

    /// Closes the connections that exist; new ones are taken.
    pub(crate) fn drop_clients(&self) {
        let server = self.server.clone();
        let (tell, told) = mpsc::channel();
        self.context.invoke(move || {
            let mut remove = |_: &_, _: &_| gst_rtsp_server::RTSPFilterResult::Remove;
            server.client_filter(Some(&mut remove));
            let _ = tell.send(());
        });
        told.recv().unwrap();
    }

    /// Connections now.
    pub(crate) fn clients(&self) -> usize {
        let mut all = |_: &_, _: &_| gst_rtsp_server::RTSPFilterResult::Ref;
        self.server.client_filter(Some(&mut all)).len()
    }

    pub(crate) fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }
}

impl Drop for RtspCamera {
    fn drop(&mut self) {
        self.main.quit();
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

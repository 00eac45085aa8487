//! Sessions of one reactor beside each other, and with TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::demand::Demand;
use super::failure::{Failure, FailureKind};
use super::reactor::{Handle, Reactor};
use super::session::{Handler, Open};
use crate::gst::sources::testing_rtsp::RtspCamera;
use crate::gst::sources::testing_script::{Scripted, Tls};
use crate::rtsp::{ClientOptions, Event, Unit};
use crate::source::SourceSpec;

const H264: &str = "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 threads=1 ! rtph264pay name=pay0 pt=96 )";

/// What a session tells.
#[derive(Debug)]
enum News {
    Unit(Unit),
    /// A batch is over: so many units, and whether more is expected at once.
    Batch(usize, bool),
    Ended(Failure),
}

/// Tells what comes, and panics at one unit if it is told to.
#[derive(Debug)]
struct Probe {
    tell: mpsc::Sender<News>,
    units: usize,
    batch: usize,
    panic_at: Option<usize>,
}

impl Handler for Probe {
    fn event(&mut self, event: Event) -> Result<(), Failure> {
        if let Event::Unit(unit) = event {
            self.units += 1;
            self.batch += 1;
            assert_ne!(Some(self.units), self.panic_at, "as the test wants it");
            let _ = self.tell.send(News::Unit(unit));
        }
        Ok(())
    }

    fn flush(&mut self, more: bool) -> Result<(), Failure> {
        let _ = self.tell.send(News::Batch(std::mem::take(&mut self.batch), more));
        Ok(())
    }

    fn ended(&mut self, why: Failure) {
        let _ = self.tell.send(News::Ended(why));
    }
}

/// A session and its news.
struct Session {
    _handle: Handle,
    news: mpsc::Receiver<News>,
    demand: Arc<Demand>,
    units: Vec<Unit>,
}

impl Session {
    fn open(reactor: &Reactor, url: &str, lazy: bool, panic_at: Option<usize>) -> Self {
        Self::open_with(reactor, url, lazy, panic_at, true)
    }

    /// Whoever the server is.
    fn open_unverified(reactor: &Reactor, url: &str) -> Self {
        Self::open_with(reactor, url, false, None, false)
    }

    fn open_with(
        reactor: &Reactor,
        url: &str,
        lazy: bool,
        panic_at: Option<usize>,
        verify_tls: bool,
    ) -> Self {
        let Ok(SourceSpec::Rtsp(source)) = SourceSpec::parse(url) else {
            panic!("{url}")
        };
        let (tell, news) = mpsc::channel();
        let demand = Arc::new(Demand::default());
        let open = Open {
            client: ClientOptions {
                url: source.url,
                credentials: source.credentials,
                withheld_for: None,
                want_audio: true,
                user_agent: "test".into(),
                range: None,
                replay: false,
                timeout_ns: 20_000_000_000,
                seed: 7,
            },
            verify_tls,
            lazy,
            demand: demand.clone(),
            span: tracing::Span::none(),
            handler: Box::new(Probe {
                tell,
                units: 0,
                batch: 0,
                panic_at,
            }),
        };
        Self {
            _handle: reactor.open(open).unwrap(),
            news,
            demand,
            units: Vec::new(),
        }
    }

    fn next(&mut self) -> News {
        let news = self
            .news
            .recv_timeout(Duration::from_secs(30))
            .expect("nothing happened for 30 s");
        if let News::Unit(unit) = &news {
            self.units.push(unit.clone());
        }
        news
    }

    fn wait_for_units(&mut self, count: usize) {
        let until = self.units.len() + count;
        while self.units.len() < until {
            if let News::Ended(why) = self.next() {
                panic!("{why:?}");
            }
        }
    }

    /// The size of a batch of more than one unit, or of one unit, that is of this kind.
    fn wait_for_batch(&mut self, more: bool, least: usize) {
        loop {
            match self.next() {
                News::Batch(count, m) if m == more && count >= least => return,
                News::Ended(why) => panic!("{why:?}"),
                _ => {}
            }
        }
    }

    fn failure(&mut self) -> Failure {
        loop {
            if let News::Ended(why) = self.next() {
                return why;
            }
        }
    }

    /// No frame is missing.
    fn check_whole(&self) {
        for pair in self.units.windows(2) {
            let step = pair[1].pts_ns - pair[0].pts_ns;
            assert!((30_000_000..60_000_000).contains(&step), "{step}");
            assert_eq!(pair[1].lost_before, 0);
        }
    }
}

#[test]
fn a_panic_of_one_camera_costs_no_other_a_frame() {
    let (bad, good) = (RtspCamera::serve(H264, None), RtspCamera::serve(H264, None));
    let reactor = Reactor::new();
    for lazy in [false, true] {
        let mut other = Session::open(&reactor, &good.url(), lazy, None);
        other.wait_for_units(10);
        let mut panics = Session::open(&reactor, &bad.url(), lazy, Some(5));
        let why = panics.failure();
        assert_eq!(why.kind, FailureKind::Internal, "{why:?}");
        assert!(why.message.contains("as the test wants it"), "{why:?}");
        other.wait_for_units(50);
        other.check_whole();
        // And the camera itself is opened again.
        let mut again = Session::open(&reactor, &bad.url(), lazy, None);
        again.wait_for_units(10);
        again.check_whole();
    }
}

/// A camera that answers as one does, and then sends what is none of RTSP.
fn babbler() -> String {
    const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 sprop-parameter-sets=Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA,aO4xshsA\r\na=control:t\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else {
            return;
        };
        let mut request = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).is_ok_and(|n| n == 1) {
            request.push(byte[0]);
            if !request.ends_with(b"\r\n\r\n") {
                continue;
            }
            let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
            let cseq = text.lines().find(|l| l.starts_with("CSeq")).unwrap().to_owned();
            let (head, body) = match text.split(' ').next() {
                Some("DESCRIBE") => (format!("Content-Length: {}\r\n", SDP.len()), SDP),
                Some("SETUP") => (
                    "Session: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n".to_owned(),
                    "",
                ),
                _ => (String::new(), ""),
            };
            let answer = format!("RTSP/1.0 200 OK\r\n{cseq}\r\n{head}\r\n{body}");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            if text.starts_with("PLAY") {
                break;
            }
        }
        // Until it is hung up on.
        let mut state = 0x1234_5678_9ABC_DEFFu64;
        loop {
            let mut piece = [0u8; 4096];
            for b in &mut piece {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *b = (state >> 32) as u8;
            }
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    format!("rtsp://127.0.0.1:{port}/")
}

#[test]
fn rubbish_of_one_camera_costs_no_other_a_frame() {
    let good = RtspCamera::serve(H264, None);
    let reactor = Reactor::new();
    let mut other = Session::open(&reactor, &good.url(), true, None);
    other.wait_for_units(10);
    let mut babbles = Session::open(&reactor, &babbler(), true, None);
    let why = babbles.failure();
    assert_eq!(why.kind, FailureKind::Bad, "{why:?}");
    other.wait_for_units(50);
    other.check_whole();
}

#[test]
fn frames_come_at_once_while_somebody_wants_them_and_none_is_lost_between() {
    let camera = RtspCamera::serve(H264, None);
    let reactor = Reactor::new();
    let mut session = Session::open(&reactor, &camera.url(), true, None);
    for _ in 0..3 {
        // Several frames in a batch, and nothing is expected soon.
        session.wait_for_batch(false, 2);
        let wanting = session.demand.want();
        session.wait_for_batch(true, 1);
        session.wait_for_batch(true, 1);
        drop(wanting);
        session.wait_for_batch(false, 2);
    }
    session.check_whole();
}

/// A server that sends on with its answer to DESCRIBE.
fn sends_on(host: &str, tls: Tls, to: String) -> Scripted {
    Scripted::serve(host, tls, move |request| {
        if request.starts_with("DESCRIBE") {
            return format!("302 Moved Temporarily\r\nLocation: {to}\r\n");
        }
        "200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n".into()
    })
}

/// A server that wants a login with its DESCRIBE and then has nothing.
fn wants_login(host: &str, challenge: &'static str) -> Scripted {
    Scripted::serve(host, None, move |request| {
        if request.starts_with("OPTIONS") {
            return "200 OK\r\n".into();
        }
        if request.contains("Authorization") {
            return "404 Not Found\r\n".into();
        }
        format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n")
    })
}

const CHALLENGES: [&str; 2] = [
    "Basic realm=\"x\"",
    "Digest realm=\"x\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c0\"",
];

#[test]
fn a_redirect_is_followed_with_the_password_on_the_same_host_only() {
    let reactor = Reactor::new();
    let login = |s: &Scripted| format!("rtsp://admin:hunter2@{}/x", s.address);
    // The same host: to a camera that asks, over two servers.
    let camera = RtspCamera::serve(H264, Some(("admin", "hunter2")));
    let second = sends_on("127.0.0.1", None, camera.url());
    let first = sends_on("127.0.0.1", None, format!("rtsp://{}/y", second.address));
    Session::open(&reactor, &login(&first), false, None).wait_for_units(10);
    for challenge in CHALLENGES {
        let kind = challenge.split(' ').next().unwrap();
        let same = wants_login("127.0.0.1", challenge);
        let first = sends_on("127.0.0.1", None, format!("rtsp://{}/y", same.address));
        let why = Session::open(&reactor, &login(&first), false, None).failure();
        assert_eq!(why.kind, FailureKind::NotFound, "{why:?}");
        let sent = format!("Authorization: {kind} ");
        assert!(same.requests().iter().any(|r| r.contains(&sent)), "{challenge}");
        // Another host gets nothing, though it asks, and the error says what to do.
        let other = wants_login("127.0.0.2", challenge);
        let first = sends_on("127.0.0.1", None, format!("rtsp://a:b@{}/y", other.address));
        let why = Session::open(&reactor, &login(&first), false, None).failure();
        assert_eq!(why.kind, FailureKind::Withheld, "{why:?}");
        for word in ["127.0.0.1 sends on", &other.address, "as `source`"] {
            assert!(why.message.contains(word), "{why:?}");
        }
        let asked = other.requests();
        assert!(asked.iter().any(|r| r.starts_with("DESCRIBE")), "{asked:?}");
        assert!(!asked.iter().any(|r| r.contains("Authorization")), "{asked:?}");
        // Nor by way of it.
        let back = wants_login("127.0.0.1", challenge);
        let over = sends_on("127.0.0.2", None, format!("rtsp://{}/y", back.address));
        let first = sends_on("127.0.0.1", None, format!("rtsp://{}/y", over.address));
        let why = Session::open(&reactor, &login(&first), false, None).failure();
        assert_eq!(why.kind, FailureKind::NotFound, "{why:?}");
        assert!(!over.requests().iter().any(|r| r.contains("Authorization")));
    }
    // One that does not ask is as good as any.
    let open = RtspCamera::serve(H264, None);
    let first = sends_on("127.0.0.2", None, open.url());
    Session::open(&reactor, &login(&first), false, None).wait_for_units(10);
}

#[test]
fn a_redirect_does_not_lead_out_of_an_encryption() {
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=cam -keyout key -out pem",
    );
    openssl(dir.path(), "x509 -in pem -outform DER -out der");
    openssl(
        dir.path(),
        "pkcs8 -topk8 -nocrypt -in key -outform DER -out key.der",
    );
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(read("key.der"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![read("der").into()], key.into())
        .unwrap();
    let reactor = Reactor::new();
    let camera = RtspCamera::serve(H264, None);
    let first = sends_on("127.0.0.1", Some(Arc::new(config)), camera.url());
    let with = format!("rtsps://admin:hunter2@{}/x", first.address);
    let why = Session::open_unverified(&reactor, &with).failure();
    assert_eq!(why.kind, FailureKind::Withheld, "{why:?}");
    assert!(
        why.message.contains("encrypted") && why.message.contains("as `source`"),
        "{why:?}"
    );
    assert_eq!(camera.clients(), 0);
    // Without a password there is nothing to lose.
    let without = format!("rtsps://{}/x", first.address);
    Session::open_unverified(&reactor, &without).wait_for_units(5);
}

#[test]
fn redirects_end() {
    crate::gst::init().unwrap();
    let place = Arc::new(std::sync::Mutex::new(String::new()));
    let to = place.clone();
    let round = Scripted::serve("127.0.0.1", None, move |request| {
        if request.starts_with("OPTIONS") {
            return "200 OK\r\n".into();
        }
        format!("302 Found\r\nLocation: rtsp://{}/x\r\n", to.lock().unwrap())
    });
    place.lock().unwrap().clone_from(&round.address);
    let why = Session::open(
        &Reactor::new(),
        &format!("rtsp://{}/x", round.address),
        false,
        None,
    )
    .failure();
    assert_eq!(why.kind, FailureKind::Redirect, "{why:?}");
}

fn openssl(dir: &Path, line: &str) {
    let made = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "openssl {line}: {said}");
}

/// Makes `NAME.pem` and `NAME.key`, signed by another.
fn sign(dir: &Path, name: &str, extension: &str, by: &str) {
    std::fs::write(dir.join("ext"), extension).unwrap();
    openssl(
        dir,
        &format!("req -new -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"),
    );
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 2 -extfile ext -out {name}.pem"
        ),
    );
}

#[test]
fn certificates_are_judged_by_chain_name_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for root in ["root", "stranger"] {
        openssl(
            dir,
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={root} -keyout {root}.key -out {root}.pem"
            ),
        );
    }
    sign(dir, "middle", "basicConstraints=critical,CA:TRUE", "root");
    sign(dir, "right", "subjectAltName=IP:127.0.0.1", "middle");
    sign(dir, "wrong", "subjectAltName=DNS:camera.example", "middle");
    let read = |names: &[&str]| -> String {
        let each = names
            .iter()
            .map(|n| std::fs::read_to_string(dir.join(n)).unwrap());
        each.collect()
    };
    let right = RtspCamera::serve_tls(H264, &read(&["right.pem", "middle.pem", "right.key"]));
    let wrong = RtspCamera::serve_tls(H264, &read(&["wrong.pem", "middle.pem", "wrong.key"]));
    let trusting = |root: &str, later: Duration| {
        openssl(dir, &format!("x509 -in {root}.pem -outform DER -out {root}.der"));
        Reactor::trusting(std::fs::read(dir.join(format!("{root}.der"))).unwrap(), later)
    };
    let now = Duration::ZERO;
    let open = |reactor: &Reactor, camera: &RtspCamera| {
        let url = camera.url().replace("rtsp://", "rtsps://");
        Session::open(reactor, &url, false, None)
    };
    open(&trusting("root", now), &right).wait_for_units(10);
    for (camera, root, later, word) in [
        (&wrong, "root", now, "another name"),
        (&right, "root", Duration::from_secs(5 * 86_400), "expired"),
        (&right, "stranger", now, "signed by nobody"),
    ] {
        let why = open(&trusting(root, later), camera).failure();
        assert_eq!(why.kind, FailureKind::Certificate, "{why:?}");
        assert!(why.message.contains(word), "{why:?}");
    }
}

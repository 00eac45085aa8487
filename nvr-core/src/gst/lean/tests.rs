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
use crate::rtsp::{ClientOptions, Event, Unit};

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
        let (tell, news) = mpsc::channel();
        let demand = Arc::new(Demand::default());
        let open = Open {
            client: ClientOptions {
                url: url::Url::parse(url).unwrap(),
                credentials: None,
                want_audio: true,
                user_agent: "test".into(),
                range: None,
                timeout_ns: 20_000_000_000,
                seed: 7,
            },
            verify_tls: true,
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

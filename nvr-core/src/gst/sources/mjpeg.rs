//! Cameras that send JPEG pictures over HTTP: `multipart/x-mixed-replace`, decoded and encoded.
//!
//! Each picture gets the time of its arrival; none is invented or left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use super::cause::SourceError;
use super::tracks::{Gate, Kind, discard, video_chain};
use super::{jpeg, link_into, make, on_pad};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::encoders::{self, EncoderSettings};
use crate::gst::source_bin::OnTracks;
use crate::source::MjpegSource;
use crate::track::VideoCodec;

/// A part larger than this is no picture of a camera.
const MAX_PART_BYTES: u64 = 64 << 20;

pub(super) fn build(spec: &MjpegSource, on_tracks: OnTracks) -> Result<gst::Bin> {
    let encoder = encoders::best(encoders::H264, &EncoderSettings::live((1280, 720), 15.0))?;
    let bin = gst::Bin::builder().name("mjpeg").build();
    let src = make("souphttpsrc")?;
    src.set_property("location", spec.url.as_str());
    if let Some(c) = &spec.credentials {
        src.set_property("user-id", &c.user);
        src.set_property("user-pw", c.password.expose());
    }
    src.set_property("ssl-strict", spec.verify_tls);
    src.set_property("is-live", true);
    src.set_property("do-timestamp", true);
    src.set_property("timeout", 10u32);
    src.set_property("retries", 0i32);
    src.set_property("user-agent", concat!("nvr/", env!("CARGO_PKG_VERSION")));
    let demux = make("multipartdemux")?;
    demux.set_property("single-stream", true);
    bin.add_many([&src, &demux])
        .and_then(|()| src.link(&demux))
        .map_err(|e| Error::new(ErrorKind::Internal, "HTTP source").with_source(e))?;

    let gate = Gate::new(&bin, on_tracks, false);
    let since_picture = Arc::new(AtomicU64::new(0));
    if let Some(pad) = src.static_pad("src") {
        limit(&pad, &gate, &since_picture);
    }

    // Built now, so that what is missing is said before the camera is asked; linked when its pictures come.
    let mut chain = vec![jpeg::decoder()?];
    chain.extend(encoder.chain(&EncoderSettings::live((1280, 720), 15.0))?);
    let end = link_into(&bin, &chain)?;
    gate.add(Kind::Video, &end, &video_chain(VideoCodec::H264)?)?;

    let head = chain.first().and_then(|decoder| decoder.static_pad("sink"));
    demux.connect_pad_added(move |_, pad| {
        gate.guarded("pad-added", (), || {
            pad_added(&gate, head.as_ref(), &since_picture, pad);
        });
    });
    Ok(bin)
}

/// The first part came: it says what the stream is made of.
fn pad_added(gate: &Arc<Gate>, head: Option<&gst::Pad>, since_picture: &Arc<AtomicU64>, pad: &gst::Pad) {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps
        .structure(0)
        .map(|s| s.name().to_string())
        .unwrap_or_default();
    match head {
        Some(head) if name == "image/jpeg" && !head.is_linked() => {
            stamp(pad, since_picture);
            jpeg::guard(pad, gate);
            if pad.link(head).is_err() {
                gate.fail(SourceError::Internal, "the pictures do not link");
            }
        }
        _ => {
            discard(pad);
            if name != "image/jpeg" {
                let words = format!("the parts of the stream are {name}, not image/jpeg");
                gate.fail(SourceError::Unsupported, &words);
            }
        }
    }
}

/// Ends the source when the server sends without end and no picture comes of it.
fn limit(pad: &gst::Pad, gate: &Arc<Gate>, since_picture: &Arc<AtomicU64>) {
    let (gate, since) = (Arc::clone(gate), Arc::clone(since_picture));
    on_pad(pad, gst::PadProbeType::BUFFER, move |_, info| {
        let size = info.buffer().map_or(0, |b| b.size() as u64);
        if since.fetch_add(size, Ordering::Relaxed) + size > MAX_PART_BYTES {
            gate.fail(
                SourceError::Bad,
                "64 MiB came without a picture: this is no stream of JPEG pictures",
            );
            // What is held is bounded now: nothing more goes in.
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

/// Gives each picture the running time of its arrival.
fn stamp(pad: &gst::Pad, since_picture: &Arc<AtomicU64>) {
    let since = Arc::clone(since_picture);
    let last = AtomicU64::new(0);
    on_pad(pad, gst::PadProbeType::BUFFER, move |pad, info| {
        since.store(0, Ordering::Relaxed);
        let now = pad.parent_element().and_then(|e| e.current_running_time());
        if let (Some(now), Some(buffer)) = (now, info.buffer_mut()) {
            // Two in one millisecond still need two times.
            let pts = now.nseconds().max(last.load(Ordering::Relaxed) + 1_000_000);
            last.store(pts, Ordering::Relaxed);
            let b = buffer.make_mut();
            b.set_pts(gst::ClockTime::from_nseconds(pts));
            b.set_dts(gst::ClockTime::NONE);
            b.set_duration(gst::ClockTime::NONE);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::certificate::explain;
    use super::super::testing::{Running, check_video, decode, run};
    use crate::clock::{Clock, SystemClock};
    use crate::event::CauseKind;
    use crate::source::SourceSpec;

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        crate::gst::init().unwrap();
        let p = gst::parse::launch(&format!(
            "videotestsrc num-buffers=1 ! video/x-raw,format=I420,width={width},height={height} ! jpegenc ! appsink name=a"
        ))
        .unwrap();
        let p = gst::prelude::Cast::downcast::<gst::Pipeline>(p).unwrap();
        use gst::prelude::*;
        p.set_state(gst::State::Playing).unwrap();
        let sink = p.by_name("a").unwrap().downcast::<gst_app::AppSink>().unwrap();
        let data = sink
            .pull_sample()
            .unwrap()
            .buffer()
            .unwrap()
            .map_readable()
            .unwrap()
            .to_vec();
        p.set_state(gst::State::Null).unwrap();
        data
    }

    /// A server for one connection; `serve` gets the request's head and the connection.
    fn serve(
        serve: impl Fn(&str, &mut std::net::TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/video", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
                let _ = serve(&head, &mut stream);
                if head.contains("GET /stop") {
                    break;
                }
            }
        });
        url
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";

    fn part(s: &mut std::net::TcpStream, body: &[u8]) -> std::io::Result<()> {
        write!(
            s,
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        s.write_all(body)?;
        s.write_all(b"\r\n")
    }

    #[test]
    fn irregular_pictures_keep_their_times_and_none_is_added_or_lost() {
        let picture = jpeg(320, 240);
        let (tell, sent) = mpsc::channel();
        let clock = std::sync::Arc::new(SystemClock::new());
        let at = clock.clone();
        let url = serve(move |_, s| {
            s.write_all(HEAD.as_bytes())?;
            for n in 0..19u64 {
                // A sleep makes the input here; nothing waits for it.
                std::thread::sleep(Duration::from_millis(
                    [20, 250, 60, 10, 1000, 90][(n % 6) as usize],
                ));
                let _ = tell.send(at.steady_ns());
                part(s, &picture)?;
            }
            std::thread::sleep(Duration::from_secs(30));
            Ok(())
        });
        let running: Running = run(&SourceSpec::parse(&url).unwrap());
        // A demuxer may keep the last part until the next begins.
        let (audio, units) = running.collect(18);
        assert!(!audio);
        check_video(&units);
        assert_eq!(decode(&units).len(), 18);
        let sent: Vec<i64> = sent.try_iter().take(18).collect();
        let behind: Vec<i64> = units
            .iter()
            .zip(&sent)
            .map(|(u, sent)| u.pts_ns.unwrap() - sent)
            .collect();
        // Evenly spread over time they would differ by 760 ms.
        let spread = behind.iter().max().unwrap() - behind.iter().min().unwrap();
        assert!(spread < 500_000_000, "{behind:?}");
        let keys: Vec<i64> = units.iter().filter(|u| u.key).filter_map(|u| u.pts_ns).collect();
        assert!(
            keys.len() >= 2 && keys.windows(2).all(|k| k[1] - k[0] < 3_500_000_000),
            "{keys:?}"
        );
    }

    #[test]
    fn a_broken_picture_is_left_out_and_the_stream_goes_on() {
        let picture = jpeg(320, 240);
        let url = serve(move |_, s| {
            s.write_all(HEAD.as_bytes())?;
            for n in 0..40 {
                let mut body = picture.clone();
                match n % 4 {
                    1 => body.truncate(body.len() / 2),
                    2 => body = b"no picture at all".to_vec(),
                    _ => {}
                }
                part(s, &body)?;
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_secs(30));
            Ok(())
        });
        let (_, units) = run(&SourceSpec::parse(&url).unwrap()).collect(15);
        check_video(&units);
    }

    #[test]
    fn the_password_opens_and_faults_are_told_apart() {
        let picture = jpeg(320, 240);
        let guarded = serve(move |head, s| {
            // admin:s3cr3t
            if !head.contains("Basic YWRtaW46czNjcjN0") {
                return s.write_all(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"cam\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
            s.write_all(HEAD.as_bytes())?;
            for _ in 0..50 {
                part(s, &picture)?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        });
        let with = |login: &str| SourceSpec::parse(&guarded.replace("//", &format!("//{login}@"))).unwrap();
        let (_, units) = run(&with("admin:s3cr3t")).collect(5);
        check_video(&units);

        let answer = |text: &'static str| serve(move |_, s| s.write_all(text.as_bytes()));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let flood = serve(|_, s| {
            s.write_all(HEAD.as_bytes())?;
            s.write_all(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n")?;
            loop {
                s.write_all(&[b'x'; 65536])?;
            }
        });
        let faults = [
            (with("admin:wr0ngword"), CauseKind::Unauthorized),
            (SourceSpec::parse(&guarded).unwrap(), CauseKind::Unauthorized),
            (
                SourceSpec::parse(&answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")).unwrap(),
                CauseKind::StreamNotFound,
            ),
            (
                SourceSpec::parse(&answer(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>",
                ))
                .unwrap(),
                CauseKind::Unsupported,
            ),
            (
                SourceSpec::parse(&format!("http://{closed}/")).unwrap(),
                CauseKind::Unreachable,
            ),
            (SourceSpec::parse(&flood).unwrap(), CauseKind::BadStream),
        ];
        for (spec, kind) in faults {
            let (cause, all) = run(&spec).failure();
            println!("{} <- {all}", cause.message);
            assert_eq!(cause.kind, kind, "{cause:?} {all}");
            assert!(!all.contains("wr0ngword"), "{all}");
        }
    }

    /// A TLS server with a certificate of its own.
    struct TlsServer {
        _dir: tempfile::TempDir,
        child: std::process::Child,
        port: u16,
    }

    impl TlsServer {
        fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (key, cert) = (dir.path().join("key.pem"), dir.path().join("cert.pem"));
            let made = std::process::Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "rsa:2048",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=camera",
                ])
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&cert)
                .output()
                .unwrap();
            assert!(made.status.success());
            let mut child = std::process::Command::new("openssl")
                .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-key"])
                .arg(&key)
                .arg("-cert")
                .arg(&cert)
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let port = lines
                .map_while(Result::ok)
                .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok())
                .expect("the port");
            Self {
                _dir: dir,
                child,
                port,
            }
        }
    }

    impl Drop for TlsServer {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn a_refused_certificate_is_said_to_be_the_reason() {
        let server = TlsServer::start();
        let at = |verify: bool| {
            let mut spec = SourceSpec::parse(&format!("https://127.0.0.1:{}/", server.port)).unwrap();
            let SourceSpec::Mjpeg(s) = &mut spec else { panic!() };
            s.verify_tls = verify;
            spec
        };
        let spec = at(true);
        let (cause, all) = run(&spec).failure();
        let cause = explain(cause, &spec);
        assert_eq!(cause.kind, CauseKind::Unreachable, "{cause:?} {all}");
        for word in [
            "certificate is refused: signed by nobody whom this machine trusts",
            "another name",
            "verify_tls = false",
        ] {
            assert!(cause.message.contains(word), "{cause:?} {all}");
        }
        // It is no wonder that nobody answers where nobody listens.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let spec = SourceSpec::parse(&format!("https://{closed}/")).unwrap();
        let cause = explain(run(&spec).failure().0, &spec);
        assert!(!cause.message.contains("certificate"), "{cause:?}");
        // Taken as it is, it answers with a page.
        let (cause, all) = run(&at(false)).failure();
        assert_eq!(cause.kind, CauseKind::Unsupported, "{cause:?} {all}");
    }
}

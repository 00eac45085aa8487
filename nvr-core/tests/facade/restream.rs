//! The cameras' streams for others over RTSP: FFmpeg and the recorder's own clients read them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nvr_core::accounts::{CameraSet, NewAccount, Permission, Role, Scopes, TokenWish};
use nvr_core::config::{Auth, RecordMode};
use nvr_core::event::CameraPhase;
use nvr_core::live::StreamKind;
use nvr_core::restream::StreamPath;
use nvr_core::secret::Secret;
use nvr_core::source::Ingest;
use nvr_core::{Nvr, SourceSpec};

use crate::house::*;

const CAMERA: &str = "test:?size=320x240&fps=25&gop=25";

fn open_house(cameras: impl IntoIterator<Item = nvr_core::config::CameraConfig>) -> House {
    let mut house = House::new(cameras);
    let server = &mut house.config.rtsp_server;
    server.enabled = true;
    server.listen = "127.0.0.1:0".parse().unwrap();
    server.auth = Auth::None;
    house
}

fn address(nvr: &Nvr) -> SocketAddr {
    nvr.restream().unwrap().address()
}

fn url(nvr: &Nvr, path: &str) -> String {
    nvr.restream().unwrap().url(&StreamPath::parse(path).unwrap())
}

/// FFmpeg copies so many seconds of a stream into a file.
async fn copy(url: &str, transport: &str, seconds: u32, out: &Path) -> Output {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-y", "-rtsp_transport", transport, "-i", url])
        .args(["-t", &seconds.to_string(), "-c", "copy"])
        .arg(out);
    run(command).await
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn probe(url: &str, more: &[&str]) -> Output {
    let mut command = Command::new("ffprobe");
    command
        .args(["-v", "error", "-rtsp_transport", "tcp"])
        .args(more)
        .args(["-show_entries", "stream=codec_name,width", "-of", "csv=p=0", url]);
    run(command).await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Digests of the decoded frames of a file's video.
fn frames_of(file: &Path) -> Vec<String> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    let said = text(&out.stderr);
    assert!(
        out.status.success() && said.is_empty(),
        "{}: {said}",
        file.display()
    );
    text(&out.stdout)
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.rsplit(',').next().map(|d| d.trim().to_owned()))
        .collect()
}

/// Where a sequence of frames stands in a longer one.
fn place(part: &[String], whole: &[String]) -> Option<usize> {
    whole.windows(part.len()).position(|w| w == part)
}

/// One request, and the first line of its answer.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let read = socket.read(&mut answer).unwrap();
    text(&answer[..read])
}

async fn recorded(nvr: &Nvr, house: &House, name: &str) -> std::path::PathBuf {
    nvr.camera(&id(name)).unwrap().stop().unwrap();
    phase(&nvr.camera(&id(name)).unwrap(), CameraPhase::Stopped).await;
    let archive = house.archive().await;
    let rows = segments(&archive, name).await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    house.config.recorder.root.join(&rows[0].path)
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_gets_every_frame_over_tcp_and_udp() {
    let house = open_house([camera("cam", CAMERA)]);
    let nvr = house.start().await;
    frames(&nvr.camera(&id("cam")).unwrap(), 10).await;
    let dir = tempfile::tempdir().unwrap();
    let mut copies = Vec::new();
    for transport in ["tcp", "udp"] {
        let file = dir.path().join(format!("{transport}.mkv"));
        let out = copy(&url(&nvr, "/cam"), transport, 3, &file).await;
        assert!(out.status.success(), "{transport}: {}", text(&out.stderr));
        copies.push(file);
    }
    let original = frames_of(&recorded(&nvr, &house, "cam").await);
    for file in copies {
        let copied = frames_of(&file);
        assert!(copied.len() > 60, "{}: {}", file.display(), copied.len());
        assert!(
            place(&copied, &original).is_some(),
            "{} has other frames",
            file.display()
        );
        let out = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-show_entries",
                "stream=codec_name",
                "-of",
                "csv=p=0",
            ])
            .arg(&file)
            .output()
            .unwrap();
        let codecs = text(&out.stdout);
        assert!(codecs.contains("h264") && codecs.contains("pcm_alaw"), "{codecs}");
    }
    // That a client is gone is seen a moment after it went.
    let cam = until("both to be gone", || {
        let cam = nvr.restream().unwrap().figures()[&id("cam")];
        (cam.clients == 0).then_some(cam)
    })
    .await;
    assert_eq!(cam.total, 2);
    assert!(cam.sent_bytes > 50_000, "{cam:?}");
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_recorder_records_the_same_frames_with_both_clients() {
    let house = open_house([camera("cam", CAMERA)]);
    let nvr = house.start().await;
    frames(&nvr.camera(&id("cam")).unwrap(), 10).await;
    let cameras = [("lean", Ingest::Lean), ("rtspsrc", Ingest::Rtspsrc)].map(|(name, ingest)| {
        let mut config = camera(name, &url(&nvr, "/cam"));
        if let SourceSpec::Rtsp(spec) = &mut config.source {
            spec.ingest = ingest;
        }
        config
    });
    let other = House::new(cameras);
    let reader = other.start().await;
    for name in ["lean", "rtspsrc"] {
        frames(&reader.camera(&id(name)).unwrap(), 75).await;
    }
    let clients = nvr.restream().unwrap().clients();
    assert_eq!(clients.len(), 2, "{clients:#?}");
    assert!(
        clients.iter().all(|c| !c.udp && c.frames_lost == 0),
        "{clients:#?}"
    );
    let lean = frames_of(&recorded(&reader, &other, "lean").await);
    let rtspsrc = frames_of(&recorded(&reader, &other, "rtspsrc").await);
    stop(reader).await;
    let original = frames_of(&recorded(&nvr, &house, "cam").await);
    for (name, copied) in [("lean", lean), ("rtspsrc", rtspsrc)] {
        assert!(copied.len() >= 75, "{name}: {}", copied.len());
        assert!(place(&copied, &original).is_some(), "{name} has other frames");
    }
    stop(nvr).await;
}

async fn with_user(house: &House, nvr: &Nvr, name: &str, role: Role, cameras: CameraSet) -> String {
    assert_eq!(house.config.rtsp_server.auth, Auth::Accounts);
    let new = NewAccount {
        name: name.parse().unwrap(),
        password: Secret::new("correct horse battery"),
        role,
        cameras,
    };
    nvr.accounts().add_user(new).await.unwrap();
    format!("{name}:correct%20horse%20battery@")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_look_at_a_camera_gets_it_and_is_noted() {
    let mut house = open_house([camera("front", SMALL), camera("yard", SMALL)]);
    house.config.rtsp_server.auth = Auth::Accounts;
    let nvr = house.start().await;
    frames(&nvr.camera(&id("front")).unwrap(), 10).await;
    let root = with_user(&house, &nvr, "root", Role::Admin, CameraSet::all()).await;
    let anna = with_user(&house, &nvr, "anna", Role::Viewer, CameraSet::only([id("front")])).await;
    let at = |login: &str, path: &str| format!("rtsp://{login}{}{path}", address(&nvr));
    for (login, path, answer) in [
        ("", "/front", "401"),
        ("anna:wrong-password@", "/front", "401"),
        ("nobody:wrong-password@", "/front", "401"),
        (anna.as_str(), "/yard", "404"),
        (anna.as_str(), "/none", "404"),
        (anna.as_str(), "/front/other", "404"),
    ] {
        let out = probe(&at(login, path), &[]).await;
        let said = text(&out.stderr);
        assert!(
            !out.status.success() && said.contains(answer),
            "{login}{path}: {said}"
        );
    }
    assert!(text(&probe(&at(&root, "/yard/sub"), &[]).await.stdout).contains("h264"));
    let out = probe(&at(&anna, "/front"), &[]).await;
    assert!(text(&out.stdout).contains("h264"), "{}", text(&out.stderr));

    let wish = |scope| TokenWish {
        label: "wall".into(),
        scopes: Scopes::default().with(scope),
        cameras: CameraSet::only([id("yard")]),
        expires: None,
    };
    let (info, token) = nvr
        .accounts()
        .add_token(None, wish(Permission::Look))
        .await
        .unwrap();
    let login = format!("wall:{}@", token.expose());
    assert!(text(&probe(&at(&login, "/yard"), &[]).await.stdout).contains("h264"));
    assert!(text(&probe(&at(&login, "/front"), &[]).await.stderr).contains("404"));
    let (_, export) = nvr
        .accounts()
        .add_token(None, wish(Permission::Export))
        .await
        .unwrap();
    let out = probe(&at(&format!("wall:{}@", export.expose()), "/yard"), &[]).await;
    assert!(text(&out.stderr).contains("403"), "{}", text(&out.stderr));

    // Written a moment later.
    let accounts = nvr.accounts().clone();
    let noted = async {
        loop {
            let page = accounts
                .audit(None, Some("watch".into()), 10, None)
                .await
                .unwrap();
            let mut all: Vec<_> = page
                .entries
                .into_iter()
                .map(|e| (e.user, e.camera, e.detail))
                .collect();
            if all.len() == 3 {
                all.sort();
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let noted = tokio::time::timeout(LIMIT, noted).await.unwrap();
    let entry =
        |user: &str, camera: &str| (Some(user.to_owned()), Some(id(camera)), format!("RTSP /{camera}"));
    let token_of = format!("token:{}", info.id);
    assert_eq!(
        noted,
        [
            entry("anna", "front"),
            entry("root", "yard"),
            entry(&token_of, "yard")
        ]
    );

    // Who watches is sent away when he may no longer.
    let viewing = tokio::spawn({
        let url = at(&login, "/yard");
        let dir = tempfile::tempdir().unwrap();
        async move { copy(&url, "tcp", 600, &dir.path().join("x.mkv")).await }
    });
    until("a client", || {
        (nvr.restream().unwrap().clients().len() == 1).then_some(())
    })
    .await;
    nvr.accounts().remove_token(info.id, None).await.unwrap();
    tokio::time::timeout(LIMIT, viewing).await.unwrap().unwrap();
    assert!(nvr.restream().unwrap().clients().is_empty());
    stop(nvr).await;
}

/// A client in words: asks for a stream over TCP and plays it.
struct Words {
    socket: TcpStream,
    base: String,
    sequence: u32,
    session: Option<String>,
}

impl Words {
    fn new(nvr: &Nvr, path: &str) -> Self {
        // With little room between the two.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(&address(nvr).into()).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self {
            socket,
            base: url(nvr, path),
            sequence: 0,
            session: None,
        }
    }

    fn say(&mut self, method: &str, track: &str, more: &str) {
        self.sequence += 1;
        let session = self
            .session
            .as_ref()
            .map_or(String::new(), |s| format!("Session: {s}\r\n"));
        let text = format!(
            "{method} {}{track} RTSP/1.0\r\nCSeq: {}\r\n{session}{more}\r\n",
            self.base, self.sequence
        );
        self.socket.write_all(text.as_bytes()).unwrap();
    }

    /// The head of the next answer.
    fn hear(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = text(&head);
        let of = |name: &str| {
            let line = head.lines().find_map(|l| l.strip_prefix(name))?;
            Some(line.split(';').next()?.trim().to_owned())
        };
        if let Some(session) = of("Session:") {
            self.session = Some(session);
        }
        let length: usize = of("Content-Length:").map_or(0, |l| l.parse().unwrap());
        self.socket.read_exact(&mut vec![0; length]).unwrap();
        head
    }

    fn ask(&mut self, method: &str, track: &str, more: &str) -> String {
        self.say(method, track, more);
        self.hear()
    }

    fn play(nvr: &Nvr, path: &str) -> Self {
        let mut words = Self::new(nvr, path);
        assert!(words.ask("DESCRIBE", "", "").contains(" 200 "));
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        assert!(words.ask("SETUP", "/stream=0", transport).contains(" 200 "));
        assert!(words.ask("PLAY", "", "Range: npt=0.000-\r\n").contains(" 200 "));
        words
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_costs_the_recorder_nothing() {
    // Enough for all buffers between here and there to be full soon.
    let house = open_house([camera(
        "cam",
        "test:?size=640x480&fps=60&gop=15&audio=0&pattern=snow",
    )]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 10).await;
    let mute = tokio::task::block_in_place(|| Words::play(&nvr, "/cam"));
    let only = || nvr.restream().unwrap().clients().into_iter().next();
    until("a client", only).await;
    let mut before = (0, 0);
    until("nothing more to go out", || {
        let (sent, frames) = (only()?.sent_bytes, cam.status().counters.frames);
        if sent != before.0 {
            before = (sent, frames);
        }
        // More than may wait for it.
        (frames > before.1 + 700).then_some(())
    })
    .await;
    assert_eq!(cam.status().counters.frames_dropped, 0);
    // Another one is not held up by it.
    let dir = tempfile::tempdir().unwrap();
    let out = copy(&url(&nvr, "/cam"), "tcp", 1, &dir.path().join("x.mkv")).await;
    assert!(out.status.success(), "{}", text(&out.stderr));
    // It reads again: what did not find room was left out, and is told.
    let mut socket = mute.socket.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut socket, &mut std::io::sink()));
    until("lost frames", || (only()?.frames_lost > 0).then_some(())).await;
    let sent = only().unwrap().sent_bytes;
    until("it to go on", || {
        (only()?.sent_bytes > sent + 100_000).then_some(())
    })
    .await;
    assert_eq!(cam.status().counters.frames_dropped, 0);
    mute.socket.shutdown(std::net::Shutdown::Both).unwrap();
    let _ = reader.join().unwrap();
    until("the client to be gone", || only().is_none().then_some(())).await;
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_ends_at_once_whatever_clients_do() {
    let mut demand = camera("demand", NOBODY);
    demand.record = RecordMode::Off;
    let house = open_house([camera("cam", SMALL), demand]);
    let nvr = house.start().await;
    frames(&nvr.camera(&id("cam")).unwrap(), 10).await;
    let (idle, waiting, playing) = tokio::task::block_in_place(|| {
        let idle = TcpStream::connect(address(&nvr)).unwrap();
        let mut waiting = Words::new(&nvr, "/demand");
        waiting.say("DESCRIBE", "", "");
        (idle, waiting, Words::play(&nvr, "/cam"))
    });
    let demand = nvr.camera(&id("demand")).unwrap();
    until("a viewer", || {
        (demand.viewers(StreamKind::Main).now == 1).then_some(())
    })
    .await;
    let restream = nvr.restream().unwrap().clone();
    let clock = nvr.clock();
    let begun = clock.steady_ns();
    stop(nvr).await;
    // Less than it waits for a camera, and for clients that do not go.
    assert!(clock.steady_ns() - begun < 5 * S);
    assert_eq!(restream.connections(), 0);
    assert!(restream.clients().is_empty());
    drop((idle, waiting, playing));
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_connect_on_demand_and_one_that_is_down_is_said_to_be() {
    let mut demand = camera("demand", SMALL);
    demand.record = RecordMode::Off;
    let mut disabled = camera("disabled", SMALL);
    disabled.enabled = false;
    let house = open_house([demand, disabled, camera("down", NOBODY)]);
    let nvr = house.start().await;
    let camera = nvr.camera(&id("demand")).unwrap();
    assert_eq!(camera.status().state.phase, CameraPhase::Stopped);
    let out = probe(&url(&nvr, "/demand/sub"), &[]).await;
    assert!(text(&out.stdout).contains("h264,320"), "{}", text(&out.stderr));
    assert_eq!(camera.status().counters.segments, 0);
    for path in ["/disabled", "/down"] {
        let out = probe(&url(&nvr, path), &[]).await;
        let said = text(&out.stderr);
        assert!(said.contains("503") || said.contains("5XX"), "{path}: {said}");
    }
    phase(&camera, CameraPhase::Stopped).await;
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_comes_back_goes_on_and_one_that_changed_ends() {
    let mut house = open_house([camera("cam", CAMERA)]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    frames(&cam, 10).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.mkv");
    let copied = tokio::spawn({
        let (url, file) = (url(&nvr, "/cam"), file.clone());
        async move { copy(&url, "tcp", 600, &file).await }
    });
    let sent = || {
        nvr.restream()
            .unwrap()
            .figures()
            .get(&id("cam"))
            .map_or(0, |f| f.sent_bytes)
    };
    until("a stream", || (sent() > 50_000).then_some(())).await;
    cam.restart().unwrap();
    let before = sent();
    frames(&cam, 50).await;
    until("the stream to go on", || (sent() > before + 50_000).then_some(())).await;
    assert_eq!(nvr.restream().unwrap().clients().len(), 1);

    // Another size is another stream: the client is sent away, and finds out when it comes again.
    house.config.cameras[0].source = SourceSpec::parse("test:?size=160x120&fps=25&gop=25").unwrap();
    nvr.reload(house.config.clone()).await.unwrap();
    let out = tokio::time::timeout(LIMIT, copied).await.unwrap().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let decoded = frames_of(&file);
    assert!(decoded.len() > 60, "{}", decoded.len());
    let sizes = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "frame=width",
            "-of",
            "csv=p=0",
        ])
        .arg(&file)
        .output()
        .unwrap();
    let sizes = text(&sizes.stdout);
    assert!(
        sizes
            .lines()
            .all(|l| l.is_empty() || l.trim_end_matches(',') == "320"),
        "{sizes}"
    );
    let out = probe(&url(&nvr, "/cam"), &[]).await;
    assert!(text(&out.stdout).contains("h264,160"), "{}", text(&out.stderr));
    nvr.remove_camera(&id("cam")).await.unwrap();
    let out = probe(&format!("rtsp://{}/cam", address(&nvr)), &[]).await;
    assert!(text(&out.stderr).contains("404"), "{}", text(&out.stderr));
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_places_are_limited() {
    let mut house = open_house([camera("cam", SMALL)]);
    house.config.rtsp_server.max_clients = 2;
    let nvr = house.start().await;
    frames(&nvr.camera(&id("cam")).unwrap(), 10).await;
    tokio::task::block_in_place(|| {
        let mut one = Words::play(&nvr, "/cam");
        // A session is its client's, also for one who knows its name.
        let mut other = Words::new(&nvr, "/cam");
        other.session.clone_from(&one.session);
        let answer = other.ask("TEARDOWN", "", "");
        assert!(answer.contains(" 454 "), "{answer}");
        let mut third = TcpStream::connect(address(&nvr)).unwrap();
        third.set_read_timeout(Some(LIMIT)).unwrap();
        let _ = third.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        assert!(
            matches!(third.read(&mut [0; 64]), Ok(0) | Err(_)),
            "it is sent away"
        );
        drop(other);
        one.say("TEARDOWN", "", "");
    });
    until("a place", || {
        (nvr.restream().unwrap().connections() < 2).then_some(())
    })
    .await;
    let nonsense =
        tokio::task::block_in_place(|| ask(address(&nvr), "DESCRIBE rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n"));
    assert!(nonsense.contains(" 404 "), "{nonsense}");
    stop(nvr).await;
}

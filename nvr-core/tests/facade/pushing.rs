//! Pushes to real servers: FFmpeg listens, for RTMP and for SRT.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nvr_core::config::RecordMode;
use nvr_core::event::CauseKind;
use nvr_core::live::StreamKind;
use nvr_core::push::{PushAddress, PushState, PushStatus, PushWish};
use nvr_core::{ErrorKind, Nvr};

use crate::house::*;

const CAMERA: &str = "test:?size=320x240&fps=25&gop=25";

fn wish(url: &str) -> PushWish {
    PushWish {
        address: PushAddress::parse(url).unwrap(),
        stream: StreamKind::Main,
        audio: true,
        keep: false,
    }
}

fn tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A server of one stream, which it copies into a file; killed if a test leaves it.
struct Listener(Child);

impl Listener {
    fn rtmp(port: u16, out: &Path) -> Self {
        let url = format!("rtmp://127.0.0.1:{port}/live/abc-KEY");
        Self::of(&["-listen", "1", "-f", "flv", "-i", &url], out)
    }

    fn srt(port: u16, out: &Path) -> Self {
        let url = format!("srt://127.0.0.1:{port}?mode=listener");
        Self::of(&["-f", "mpegts", "-i", &url], out)
    }

    fn of(input: &[&str], out: &Path) -> Self {
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-y"])
            .args(input)
            .args(["-c", "copy", "-flush_packets", "1"])
            .arg(out)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([name, &self.0.id().to_string()])
            .status();
        assert!(done.unwrap().success());
    }

    /// Ends it in order, so that its file is whole.
    fn end(mut self) {
        self.signal("-INT");
        self.0.wait().unwrap();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Codecs and packets of a file: `(video codec, video packets, audio codec, audio packets)`.
fn judge(file: &Path) -> Vec<(String, u64)> {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-show_entries"])
        .args(["stream=codec_name,nb_read_packets", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    let mut all: Vec<(String, u64)> = String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .filter_map(|l| {
            let (codec, packets) = l.trim_end_matches(',').split_once(',')?;
            Some((codec.to_owned(), packets.parse().ok()?))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The listener goes in the middle of a picture, whoever hangs up first: a transport stream is cut
/// before the last packet of each stream that begins one.
fn without_the_last(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let mut last = std::collections::BTreeMap::new();
    for (at, packet) in bytes.chunks_exact(188).enumerate() {
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        // ISO/IEC 13818-1, 2.4.3.2: payload_unit_start_indicator. Streams of FFmpeg begin at 0x100.
        if packet[1] & 0x40 != 0 && (0x100..0x1000).contains(&pid) {
            last.insert(pid, at * 188);
        }
    }
    let end = *last.values().min().expect("pictures");
    assert!(end * 2 > bytes.len(), "most of the file is left");
    bytes.truncate(end);
    std::fs::write(file, bytes).unwrap();
}

fn decodes(file: &Path) {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.is_empty(), "{said}");
}

fn only(nvr: &Nvr) -> PushStatus {
    nvr.pushes().all().remove(0)
}

async fn sent(nvr: &Nvr, bytes: u64) -> PushStatus {
    until("bytes that go out", || {
        let push = only(nvr);
        (push.state == PushState::Live && push.sent_bytes >= bytes).then_some(push)
    })
    .await
}

async fn bytes_in(file: &Path, bytes: u64) {
    until("bytes that arrive", || {
        std::fs::metadata(file)
            .is_ok_and(|m| m.len() >= bytes)
            .then_some(())
    })
    .await;
}

fn recorded_all(nvr: &Nvr) {
    let status = nvr.camera(&id("cam")).unwrap().status();
    assert_eq!(status.counters.frames_dropped, 0, "the recorder lost frames");
    assert!(status.recording);
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmp_is_taken_and_connected_again_when_the_server_comes_back() {
    let house = House::new([camera("cam", CAMERA)]);
    let dir = tempfile::tempdir().unwrap();
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let port = tcp_port();
    let url = format!("rtmp://127.0.0.1:{port}/live/abc-KEY");
    let begun = nvr
        .push(&id("cam"), wish(&url), Some("anna".into()))
        .await
        .unwrap();
    assert_eq!((begun.id, begun.by.as_deref()), (1, Some("anna")));
    // The same again is refused.
    let e = nvr.push(&id("cam"), wish(&url), None).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);

    // Nobody listens yet: that is told once, however often it is tried.
    until("a second failure", || (only(&nvr).failures >= 2).then_some(())).await;
    let push = only(&nvr);
    let (_, cause) = push.last_failure.unwrap();
    assert_eq!(cause.kind, CauseKind::Unreachable, "{cause:?}");

    let mut files: Vec<PathBuf> = Vec::new();
    for life in 1..=2 {
        let file = dir.path().join(format!("{life}.flv"));
        let listener = Listener::rtmp(port, &file);
        let push = sent(&nvr, only(&nvr).sent_bytes + 60_000).await;
        assert!(push.connections >= life, "{push:?}");
        bytes_in(&file, 60_000).await;
        if life == 1 {
            listener.signal("-KILL");
            drop(listener);
            until("the loss", || {
                (only(&nvr).state == PushState::Retrying).then_some(())
            })
            .await;
        } else {
            listener.end();
        }
        files.push(file);
    }
    let found = judge(&files[1]);
    let codecs: Vec<&str> = found.iter().map(|(c, _)| c.as_str()).collect();
    assert_eq!(codecs, ["aac", "h264"]);
    assert!(found.iter().all(|(_, packets)| *packets > 20), "{found:?}");
    decodes(&files[1]);
    recorded_all(&nvr);

    nvr.pushes()
        .stop(&id("cam"), 1, Some("bea".into()))
        .await
        .unwrap();
    assert!(nvr.pushes().all().is_empty());
    let again = nvr.pushes().stop(&id("cam"), 1, None).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    let viewers = nvr.camera(&id("cam")).unwrap();
    until("nobody watches", || {
        (viewers.viewers(StreamKind::Main).now == 0).then_some(())
    })
    .await;

    let told = until("its end to be told", || {
        let all = log.all();
        all.iter().any(|e| e.kind.name() == "push_stopped").then_some(all)
    })
    .await;
    let names: Vec<&str> = told
        .iter()
        .map(|e| e.kind.name())
        .filter(|n| n.starts_with("push"))
        .collect();
    assert_eq!(
        &names[..4],
        ["push_started", "push_down", "push_live", "push_down"]
    );
    assert!(!format!("{told:?}").contains("KEY"), "a key is in an event");
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_given_up_and_costs_the_recorder_nothing() {
    // Large enough that the buffers of the system are full soon.
    let house = House::new([camera(
        "cam",
        "test:?size=1280x720&fps=25&gop=25&pattern=snow&audio=0",
    )]);
    let dir = tempfile::tempdir().unwrap();
    let nvr = house.start().await;
    let port = tcp_port();
    let file = dir.path().join("out.flv");
    let listener = Listener::rtmp(port, &file);
    let url = format!("rtmp://127.0.0.1:{port}/live/abc-KEY");
    nvr.push(&id("cam"), wish(&url), None).await.unwrap();
    sent(&nvr, 200_000).await;
    listener.signal("-STOP");
    let push = until("the failure", || {
        let push = only(&nvr);
        (push.state == PushState::Retrying && push.connections > 0).then_some(push)
    })
    .await;
    let (_, cause) = push.last_failure.clone().unwrap();
    assert!(cause.message.contains("takes nothing"), "{cause:?}");
    assert!(push.frames_lost > 0, "{push:?}");
    recorded_all(&nvr);
    listener.signal("-CONT");
    drop(listener);
    stop(nvr).await;
    assert_eq!(
        gaps(&house.archive().await, "cam").await.len(),
        2,
        "before and after"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up() {
    let house = House::new([camera("cam", CAMERA)]);
    let nvr = house.start().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("rtmp://127.0.0.1:{port}/live/abc-KEY");
    nvr.push(&id("cam"), wish(&url), None).await.unwrap();
    let push = until("the failure", || {
        let push = only(&nvr);
        (push.failures > 0).then_some(push)
    })
    .await;
    assert_eq!(push.last_failure.unwrap().1.kind, CauseKind::Unreachable);
    recorded_all(&nvr);
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn srt_takes_both_codecs_and_rtmp_refuses_h265() {
    let mut other = camera("h265", "test:?size=320x240&fps=25&gop=25&codec=h265");
    other.record = RecordMode::Off;
    let house = House::new([camera("cam", CAMERA), other]);
    let dir = tempfile::tempdir().unwrap();
    let nvr = house.start().await;
    for (name, codec) in [("cam", "h264"), ("h265", "hevc")] {
        let (port, file) = (udp_port(), dir.path().join(format!("{name}.ts")));
        let listener = Listener::srt(port, &file);
        // SRT leaves out what comes later than this, and the machine may be busy.
        let url = format!("srt://127.0.0.1:{port}?latency=1000");
        let push = nvr.push(&id(name), wish(&url), None).await.unwrap();
        bytes_in(&file, 60_000).await;
        nvr.pushes().stop(&id(name), push.id, None).await.unwrap();
        listener.end();
        let found = judge(&file);
        let codecs: Vec<&str> = found.iter().map(|(c, _)| c.as_str()).collect();
        assert_eq!(codecs, ["aac", codec], "{found:?}");
        without_the_last(&file);
        decodes(&file);
    }
    nvr.push(&id("h265"), wish("rtmp://127.0.0.1:1/live/KEY"), None)
        .await
        .unwrap();
    let (_, cause) = until("the refusal", || only(&nvr).last_failure).await;
    assert_eq!(cause.kind, CauseKind::Unsupported);
    assert!(cause.message.contains("SRT"), "{cause:?}");
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn srt_is_connected_again_when_the_server_comes_back() {
    let house = House::new([camera("cam", CAMERA)]);
    let dir = tempfile::tempdir().unwrap();
    let nvr = house.start().await;
    let port = udp_port();
    let first = Listener::srt(port, &dir.path().join("1.ts"));
    nvr.push(&id("cam"), wish(&format!("srt://127.0.0.1:{port}")), None)
        .await
        .unwrap();
    bytes_in(&dir.path().join("1.ts"), 30_000).await;
    first.signal("-KILL");
    drop(first);
    until("the loss", || {
        (only(&nvr).state == PushState::Retrying).then_some(())
    })
    .await;
    let second = Listener::srt(port, &dir.path().join("2.ts"));
    bytes_in(&dir.path().join("2.ts"), 30_000).await;
    assert!(only(&nvr).connections >= 2);
    recorded_all(&nvr);
    drop(second);
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_kept_goes_on_after_a_restart() {
    let house = House::new([camera("cam", SMALL), camera("other", SMALL)]);
    let file = house.config.recorder.pushes();
    let nvr = house.start().await;
    let mut kept = wish("rtmp://127.0.0.1:1/live/abc-KEY");
    kept.keep = true;
    nvr.push(&id("other"), wish("rtmp://127.0.0.1:1/live/other-KEY"), None)
        .await
        .unwrap();
    let begun = nvr
        .push(&id("cam"), kept.clone(), Some("anna".into()))
        .await
        .unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds keys");
    stop(nvr).await;

    let nvr = house.start().await;
    let all = nvr.pushes().all();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (all[0].id, &all[0].wish, &all[0].by),
        (begun.id, &kept, &begun.by)
    );
    assert_eq!(all[0].started, begun.started);
    // Numbers are not used twice.
    let next = nvr
        .push(&id("cam"), wish("rtmp://127.0.0.1:1/live/x"), None)
        .await
        .unwrap();
    assert!(next.id > begun.id);
    nvr.pushes().stop(&id("cam"), begun.id, None).await.unwrap();
    stop(nvr).await;
    let nvr = house.start().await;
    assert!(nvr.pushes().all().is_empty());

    // A camera that goes takes its pushes along.
    nvr.push(&id("cam"), kept, None).await.unwrap();
    nvr.remove_camera(&id("cam")).await.unwrap();
    until("its end", || nvr.pushes().all().is_empty().then_some(())).await;
    until("it is forgotten", || {
        (!std::fs::read_to_string(&file).unwrap().contains("KEY")).then_some(())
    })
    .await;
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_broken_holds_up_nothing_and_is_not_quoted() {
    let house = House::new([camera("cam", SMALL)]);
    stop(house.start().await).await;
    std::fs::write(house.config.recorder.pushes(), "[{\"url\": \"rtmp://h/a/KEY\"").unwrap();
    let nvr = house.start().await;
    assert!(nvr.pushes().all().is_empty());
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_not_recorded_is_connected_for_a_push_and_its_sub_stream_too() {
    let mut cam = camera("cam", CAMERA);
    cam.record = RecordMode::Off;
    cam.sub = Some(nvr_core::SourceSpec::parse("test:?size=160x120&fps=10&gop=10&audio=0").unwrap());
    let house = House::new([cam]);
    let dir = tempfile::tempdir().unwrap();
    let nvr = house.start().await;
    let (port, file) = (tcp_port(), dir.path().join("sub.flv"));
    let listener = Listener::rtmp(port, &file);
    let mut wanted = wish(&format!("rtmp://127.0.0.1:{port}/live/abc-KEY"));
    wanted.stream = StreamKind::Sub;
    nvr.push(&id("cam"), wanted, None).await.unwrap();
    bytes_in(&file, 20_000).await;
    listener.end();
    assert_eq!(
        judge(&file).iter().map(|(c, _)| c.as_str()).collect::<Vec<_>>(),
        ["h264"]
    );
    stop(nvr).await;
}

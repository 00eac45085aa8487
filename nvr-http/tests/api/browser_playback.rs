//! H.265 footage as H.264: over HTTP, and played by a real browser.

use crate::browser::Browser;
use crate::support::{PICTURE, Server, assert_problem, camera, probe, run, write};
use nvr_core::jobs::JobState;
use nvr_core::{CameraId, TimeRange, Timestamp};
use reqwest::Method;

/// Plays a playlist by MSE with the codecs that the playlist names: header and pieces of each file in order, put behind
/// one another.
const PLAYER: &str = r"
window.told = {}, (async (address) => {
  const text = async (a) => (await fetch(a)).text();
  const bytes = async (a, range) => {
    const r = await fetch(a, range ? { headers: { Range: range } } : {});
    if (!r.ok) throw new Error(a + ': ' + r.status);
    return r.arrayBuffer();
  };
  const master = await text(address);
  const codecs = master.match(/CODECS=.([^\x22]+)/)[1];
  const media = new URL(master.trim().split('\n').pop(), new URL(address, location)).href;
  const lines = (await text(media)).split('\n');
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  window.video = video;
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise((r) => source.addEventListener('sourceopen', r));
  const buffer = source.addSourceBuffer('video/mp4; codecs=\x22' + codecs + '\x22');
  buffer.mode = 'segments';
  const append = async (b, what) => {
    const done = new Promise((ok, no) => { buffer.onupdateend = ok; buffer.onerror = () => no(new Error('append of ' + what + ': ' + video.error?.message)); });
    buffer.appendBuffer(b);
    await done;
  };
  let at = 0, range = null, pieces = 0, made = 0;
  for (const line of lines) {
    const part = (l) => { const m = l.match(/BYTERANGE[=:]\x22?(\d+)@(\d+)/); return m && 'bytes=' + m[2] + '-' + (+m[1] + +m[2] - 1); };
    if (line.startsWith('#EXT-X-MAP:')) {
      buffer.timestampOffset = at;
      await append(await bytes(new URL(line.match(/URI=\x22([^\x22]+)/)[1], media), part(line)), line);
    } else if (line.startsWith('#EXTINF:')) at += parseFloat(line.slice(8));
    else if (line.startsWith('#EXT-X-BYTERANGE:')) range = part(line);
    else if (line && !line.startsWith('#')) {
      await append(await bytes(new URL(line, media), range), line);
      pieces++;
      if (line.includes('part=')) made++;
      range = null;
    }
  }
  source.endOfStream();
  const b = buffer.buffered;
  const ranges = [...Array(b.length).keys()].map((i) => [b.start(i), b.end(i)]);
  window.told = { codecs, pieces, made, at, ranges, duration: source.duration };
  video.onended = () => { window.told.ended = video.currentTime; };
  video.playbackRate = 4;
  await video.play();
})('ADDRESS').catch((e) => { window.told = { error: String(e) }; }), true";

/// Names of the boxes of a file, in order.
fn boxes(mut file: &[u8]) -> Vec<String> {
    let mut kinds = Vec::new();
    while !file.is_empty() {
        let size = u32::from_be_bytes(file[..4].try_into().unwrap()) as usize;
        kinds.push(String::from_utf8_lossy(&file[4..8]).into_owned());
        file = &file[size..];
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn footage_that_a_browser_cannot_play_is_made_playable() {
    let server = Server::of([camera("front", PICTURE)], |config| {
        config.jobs.max_load_percent = 0;
        config.transcode.min_ssim = 0.0;
        config.transcode.smaller_by_percent = 0;
        config.transcode.quality = 48;
    })
    .await;
    let timeline = server.history().await;
    let ranges = &timeline["ranges"];
    let from: Timestamp = ranges[0]["start"].as_str().unwrap().parse().unwrap();
    let end: Timestamp = ranges[0]["end"].as_str().unwrap().parse().unwrap();
    let front = CameraId::new("front").unwrap();
    let rows = server
        .json("/api/v1/cameras/front/segments?order=asc&limit=2")
        .await;
    let row = &rows["segments"][0];
    let first: Timestamp = row["start"].as_str().unwrap().parse().unwrap();
    let first = first.add_ns((row["duration_seconds"].as_f64().unwrap() * 1e9) as i64 + 1_000_000);
    // The first of two segments becomes H.265: the range is mixed.
    let jobs = server
        .nvr
        .transcode(&front, TimeRange::new(from, first).unwrap())
        .await
        .unwrap();
    let job = server.nvr.jobs().wait(jobs[0]).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    let row = server
        .nvr
        .segment(nvr_core::SegmentId(row["id"].as_i64().unwrap()))
        .await
        .unwrap();
    assert_eq!(
        row.tracks.video.codec,
        nvr_core::track::VideoCodec::H265,
        "{job:#?}"
    );
    let span = format!("from={from}&to={end}");
    let base = "/api/v1/cameras/front";
    let seconds = end.since(from) as f64 / 1e9;

    // As it is, it is two codecs; as H.264 it is one file.
    assert_problem(
        &server.get(&format!("{base}/export.mp4?{span}")).await,
        409,
        "conflict",
    );
    let path = format!("{base}/export.mp4?{span}&codec=h264");
    let head = server.ask(Method::HEAD, &path, &[], None).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, None));
    let whole = server.get(&path).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(whole.header("accept-ranges"), Some("none"));
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "whole.mp4", &whole.body);
    let (length, frames) = probe(file.to_str().unwrap()).await;
    assert!((length - seconds).abs() < 0.5, "{length} s of {seconds} s");
    assert!((frames as f64 - seconds * 10.0).abs() < 2.0, "{frames} frames");
    // The same with its index in front, which needs all of it to be made first.
    let path = format!("{path}&format=mp4&download=true");
    let head = server.ask(Method::HEAD, &path, &[], None).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, None));
    let packed = server.get(&path).await;
    assert_eq!(packed.status, 200, "{}", packed.text());
    assert_eq!(packed.header("content-length"), None);
    assert_eq!(packed.header("accept-ranges"), Some("none"));
    assert!(packed.header("content-disposition").unwrap().contains(".mp4"));
    let kinds = boxes(&packed.body);
    assert_eq!(kinds.first().map(String::as_str), Some("ftyp"), "{kinds:?}");
    let rest: Vec<_> = kinds[1..].iter().filter(|k| *k != "free").collect();
    assert_eq!(rest, ["moov", "mdat"], "{kinds:?}");
    let file = write(dir.path(), "packed.mp4", &packed.body);
    let (packed_length, packed_frames) = probe(file.to_str().unwrap()).await;
    assert!(
        (packed_length - length).abs() < 0.2,
        "{packed_length} s of {length} s"
    );
    assert_eq!(packed_frames, frames);
    let file = file.to_str().unwrap();
    run(
        "ffmpeg",
        &["-v", "error", "-xerror", "-i", file, "-f", "null", "-"],
    )
    .await;
    let codec = [
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "stream=codec_name",
        "-of",
        "csv=p=0",
        file,
    ];
    assert_eq!(run("ffprobe", &codec).await.trim(), "h264");
    let left = std::fs::read_dir(server.dir.path().join("recordings/_exports")).unwrap();
    assert_eq!(left.count(), 0, "no scratch file stays behind");

    // What is H.264 already stays as it is, with a size.
    let second = format!("from={}&to={end}", first.add_ns(100_000_000));
    let plain = server.get(&format!("{base}/export.mp4?{second}")).await;
    let asked = server
        .get(&format!("{base}/export.mp4?{second}&codec=h264"))
        .await;
    assert!(plain.status == 200 && plain.body == asked.body);
    assert_eq!(plain.header("etag"), asked.header("etag"));

    let master = server.get(&format!("{base}/vod.m3u8?{span}&codec=h264")).await;
    assert!(master.text().contains("CODECS=\"avc1."), "{}", master.text());
    assert!(!master.text().contains("hvc1"), "{}", master.text());
    let media = server.get(&format!("{base}/media.m3u8?{span}&codec=h264")).await;
    let media = media.text();
    let made = media.lines().find(|l| l.contains("part=0-")).expect(media);
    let (address, _) = made.trim_start_matches("../..").split_once("&codec").unwrap();
    let address = format!("/api/v1{address}");
    for (query, status, kind) in [
        ("&codec=h264&part=1-2", 404, "not_found"),
        ("&codec=h264&part=0-9999", 404, "not_found"),
        ("&codec=h264&part=all", 400, "invalid_argument"),
        ("&codec=h264", 400, "invalid_argument"),
        ("&part=init", 400, "invalid_argument"),
        ("&codec=av1&part=init", 400, "invalid_argument"),
    ] {
        assert_problem(&server.get(&format!("{address}{query}")).await, status, kind);
    }
    let url = server.url(&format!("{base}/vod.m3u8?{span}&codec=h264"));
    run(
        "ffmpeg",
        &["-v", "error", "-i", &url, "-map", "0:v", "-f", "null", "-"],
    )
    .await;

    let browser = Browser::start(dir.path()).await;
    browser.open(&server.url("/health")).await;
    let address = server.url(&format!("{base}/vod.m3u8?{span}&codec=h264"));
    browser.value(&PLAYER.replace("ADDRESS", &address)).await;
    let told = browser
        .until("window.told.error ?? (window.told.ended ? window.told : null)")
        .await;
    assert!(told["error"].is_null() && told["ended"].is_number(), "{told:#}");
    let ended = told["ended"].as_f64().unwrap();
    assert!((ended - seconds).abs() < 0.7, "{told:#}");
    assert!(
        told["made"].as_u64().unwrap() >= 1 && told["pieces"].as_u64() > told["made"].as_u64(),
        "{told:#}"
    );
    assert_eq!(told["ranges"].as_array().unwrap().len(), 1, "no hole: {told:#}");
    assert_eq!(
        browser.value("[video.videoWidth, video.videoHeight]").await,
        serde_json::json!([320, 240])
    );
    browser.end().await;

    // None at all: refused, and told so.
    let mut config = (*server.nvr.config()).clone();
    config.transcode.playback.max_running = 0;
    server.nvr.reload(config).await.unwrap();
    assert_problem(
        &server.get(&format!("{base}/export.mp4?{span}&codec=h264")).await,
        501,
        "unsupported",
    );
    let metrics = server.get("/metrics").await;
    for name in [
        "nvr_converting 0",
        "camera_index_waiting{",
        "camera_index_lost_total{",
    ] {
        assert!(metrics.text().contains(name), "{name}");
    }
    server.end().await;
}

//! Viewers and requests beside recording: what they get, and what recording loses by them.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use nvr_core::media::boxes::find;
use nvr_core::media::{InitSegment, MovieFragment, scan};
use nvr_tests::proc::Signal;
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::meter::{Stopwatch, usage};
use crate::report::{Goal, quantile};
use crate::{Bench, recording, roles};

const CAMERAS: u32 = 8;
const SOCKETS: usize = 44;
const READERS: usize = 6;
const CONNECTIONS: usize = 16;
/// Of each connection: a little more than 500 requests a second in all.
const PERIOD: Duration = Duration::from_micros(31_250);
const LIMIT: Duration = Duration::from_secs(60);

/// What the load's process tells.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    socket_frames: u64,
    socket_lost: u64,
    reader_frames: u64,
    requests_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let seconds = if bench.quick { 10 } else { 30 };
    let root = bench.dir.join("load");
    let mut camera = roles::start(&["camera", "--paths", &CAMERAS.to_string()])?;
    let line = camera.wait_for_line("serving", Duration::from_secs(120))?;
    let url = line.trim_start_matches("serving ").trim_end_matches("/0");
    let urls: Vec<String> = (0..CAMERAS).map(|n| format!("{url}/{n}")).collect();
    let root_text = root.to_string_lossy().into_owned();
    let mut args = vec!["server", "--root", &root_text];
    args.extend(urls.iter().map(String::as_str));
    let mut server = roles::start(&args)?;
    let line = server.wait_for_line("listening", LIMIT)?;
    let address = line.trim_start_matches("listening ").to_owned();
    std::thread::sleep(Duration::from_secs(3));

    let cpu = || Ok::<_, anyhow::Error>((usage(&[server.id()])?.cpu_s, Stopwatch::start()));
    let per_s = |(before, watch): (f64, Stopwatch)| {
        Ok::<_, anyhow::Error>((usage(&[server.id()])?.cpu_s - before) / watch.elapsed().as_secs_f64())
    };
    let window = Duration::from_secs(seconds);
    let begin = cpu()?;
    std::thread::sleep(window);
    let alone = per_s(begin)?;
    let mut load = roles::start(&[
        "viewers",
        "--address",
        &address,
        "--seconds",
        &seconds.to_string(),
    ])?;
    load.wait_for_line("ready", LIMIT)?;
    let begin = cpu()?;
    // Before the load ends: threads that end take their time along.
    std::thread::sleep(window.saturating_sub(Duration::from_secs(1)));
    let loaded = per_s(begin)?;
    let line = load.wait_for_line("outcome", LIMIT)?;
    let outcome: Outcome = serde_json::from_str(line.trim_start_matches("outcome "))?;
    load.wait_for_end(LIMIT)?;

    let sent = recording::sent(&camera)?;
    server.signal(Signal::Term)?;
    server.wait_for_end(LIMIT)?;
    let lost = recording::losses(&root, sent, &mut camera, CAMERAS)?.lost;
    std::fs::remove_dir_all(root)?;

    let r = &mut bench.report;
    let expected = |viewers: usize| (viewers as u64 * seconds * 25) as f64;
    for (what, value, unit, goal) in [
        (
            "frames received, share of 25/s, 44 viewers by WebSocket",
            outcome.socket_frames as f64 / expected(SOCKETS),
            "",
            Goal::None,
        ),
        (
            "frames dropped for them",
            outcome.socket_lost as f64,
            "",
            Goal::None,
        ),
        (
            "frames received, share of 25/s, 6 viewers by LL-HLS",
            outcome.reader_frames as f64 / expected(READERS),
            "",
            Goal::None,
        ),
        (
            "timelines answered",
            outcome.requests_per_s,
            "requests/s",
            Goal::AtLeast(500.0),
        ),
        ("timeline, p50", outcome.p50_ms, "ms", Goal::None),
        ("timeline, p99", outcome.p99_ms, "ms", Goal::None),
        ("processor, 8 cameras without load", alone, "CPU-s/s", Goal::None),
        ("processor, 8 cameras with load", loaded, "CPU-s/s", Goal::None),
        ("frames lost by recording", lost as f64, "", Goal::AtMost(0.0)),
    ] {
        r.add(format!("load: {what}"), value, unit, goal);
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Counters {
    counting: AtomicBool,
    socket_frames: AtomicU64,
    socket_lost: AtomicU64,
    reader_frames: AtomicU64,
}

impl Counters {
    fn add(&self, to: &AtomicU64, n: u64) {
        if self.counting.load(Ordering::Relaxed) {
            to.fetch_add(n, Ordering::Relaxed);
        }
    }
}

/// The process of the viewers and of those who ask.
pub(crate) async fn load(address: String, seconds: u64) -> anyhow::Result<String> {
    let counters = Arc::new(Counters::default());
    let ready = Arc::new(Barrier::new(SOCKETS + READERS + 1));
    let mut viewers = JoinSet::new();
    for _ in 0..SOCKETS {
        viewers.spawn(socket(address.clone(), counters.clone(), ready.clone()));
    }
    for _ in 0..READERS {
        viewers.spawn(reader(address.clone(), counters.clone(), ready.clone()));
    }
    tokio::select! {
        _ = ready.wait() => {}
        Some(ended) = viewers.join_next() => { ended??; anyhow::bail!("a viewer ended"); }
    }
    crate::roles::say("ready");
    counters.counting.store(true, Ordering::Relaxed);
    let watch = Stopwatch::start();
    let mut askers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        askers.spawn(ask(address.clone(), Duration::from_secs(seconds)));
    }
    let mut times = Vec::new();
    while let Some(asked) = askers.join_next().await {
        times.extend(asked??);
    }
    let took = watch.elapsed().as_secs_f64();
    counters.counting.store(false, Ordering::Relaxed);
    if let Some(ended) = viewers.try_join_next() {
        ended??;
        anyhow::bail!("a viewer ended");
    }
    Ok(serde_json::to_string(&Outcome {
        socket_frames: counters.socket_frames.load(Ordering::Relaxed),
        socket_lost: counters.socket_lost.load(Ordering::Relaxed),
        reader_frames: counters.reader_frames.load(Ordering::Relaxed),
        requests_per_s: times.len() as f64 / took,
        p50_ms: quantile(&mut times, 0.5),
        p99_ms: quantile(&mut times, 0.99),
    })?)
}

/// Asks at a fixed rate; milliseconds of each answer from when it was due, so that waiting for the one before counts.
async fn ask(address: String, window: Duration) -> anyhow::Result<Vec<f64>> {
    let client = reqwest::Client::new();
    let watch = Stopwatch::start();
    let mut ticks = tokio::time::interval(PERIOD);
    let mut times = Vec::new();
    while watch.elapsed() < window {
        let due = ticks.tick().await;
        let camera = rand::random_range(0..CAMERAS);
        let url = format!("http://{address}/api/v1/cameras/cam{camera:02}/timeline");
        client.get(url).send().await?.error_for_status()?.bytes().await?;
        times.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

fn frames(chunk: &[u8], init: &InitSegment) -> anyhow::Result<u64> {
    let moof = find(chunk, b"moof")?.context("no moof")?;
    let parsed = MovieFragment::parse(&chunk[moof.body_offset() - 8..], init)?;
    Ok(parsed.tracks.first().map_or(0, |t| t.samples().count() as u64))
}

fn init(bytes: &[u8]) -> anyhow::Result<InitSegment> {
    scan(&mut Cursor::new(bytes))?.init.context("no init segment")
}

async fn socket(address: String, counters: Arc<Counters>, ready: Arc<Barrier>) -> anyhow::Result<()> {
    let url = format!("ws://{address}/api/v1/cameras/cam00/live.mp4");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let mut header = None;
    let mut waited = false;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(bytes) => match &header {
                None => header = Some(init(&bytes)?),
                Some(header) => {
                    counters.add(&counters.socket_frames, frames(&bytes, header)?);
                    if !waited {
                        waited = true;
                        ready.wait().await;
                    }
                }
            },
            Message::Text(text) => {
                let said: serde_json::Value = serde_json::from_str(&text)?;
                match said["type"].as_str() {
                    Some("init") => header = None,
                    Some("lost") => counters.add(&counters.socket_lost, said["frames"].as_u64().unwrap_or(0)),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    anyhow::bail!("the server closed the WebSocket")
}

async fn reader(address: String, counters: Arc<Counters>, ready: Arc<Barrier>) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let base = format!("http://{address}/api/v1/cameras/cam00");
    let get = async |name: &str| {
        let reply = client.get(format!("{base}/{name}")).send().await?;
        Ok::<_, anyhow::Error>(reply.error_for_status()?.bytes().await?)
    };
    let uri = |list: &[u8], tag: &str| {
        let text = String::from_utf8_lossy(list);
        let line = text.lines().find(|l| l.starts_with(tag))?;
        Some(line.split("URI=\"").nth(1)?.split('"').next()?.to_owned())
    };
    let list = get("live.m3u8").await?;
    let header = init(&get(&uri(&list, "#EXT-X-MAP").context("no map")?).await?)?;
    let mut before = String::new();
    ready.wait().await;
    loop {
        // What is hinted at is answered when it is there; the list names the next one then.
        let hint = uri(&get("live.m3u8").await?, "#EXT-X-PRELOAD-HINT").context("no hint")?;
        if hint == before {
            tokio::task::yield_now().await;
            continue;
        }
        let part = get(&hint).await?;
        ensure!(!part.is_empty(), "an empty part");
        counters.add(&counters.reader_frames, frames(&part, &header)?);
        before = hint;
    }
}

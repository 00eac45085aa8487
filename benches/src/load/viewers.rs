//! The process of those who watch and of those who ask.

use std::convert::Infallible;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use nvr_core::media::boxes::Boxes;
use nvr_core::media::fragment::TrackFragment;
use nvr_core::media::{InitSegment, MovieFragment, scan};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::{CAMERAS, playlist};
use crate::meter::Stopwatch;
use crate::report::quantile;

/// By fMP4 over WebSocket, LL-HLS, MJPEG and JPEG over WebSocket.
const VIEWERS: [(Way, usize); 4] = [
    (Way::Socket, 32),
    (Way::Hls, 8),
    (Way::Mjpeg, 5),
    (Way::Preview, 5),
];
const CONNECTIONS: usize = 16;
/// Of each connection: a little more than 500 requests a second in all.
const PERIOD: Duration = Duration::from_micros(31_250);
/// How long viewers may take to begin.
const BEGIN: Duration = Duration::from_secs(40);
/// Troubles that are told in words.
const TOLD: usize = 5;

#[derive(Debug, Clone, Copy)]
enum Way {
    Socket,
    Hls,
    Mjpeg,
    Preview,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "WebSocket",
            Self::Hls => "LL-HLS",
            Self::Mjpeg => "MJPEG, 640 wide at most 10/s",
            Self::Preview => "preview, 640 wide at most 5/s",
        }
    }

    const fn tells_missed(self) -> bool {
        matches!(self, Self::Socket | Self::Hls)
    }
}

/// What those who watch in one way got.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub name: String,
    pub viewers: usize,
    pub frames: u64,
    /// Frames that the server left out for them, or that were gone when they asked; pictures are made as many as there is
    /// room for.
    pub missed: Option<u64>,
    /// How many of them got an error.
    pub ended: usize,
}

/// What the load's process tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub seconds: f64,
    pub ways: Vec<Watched>,
    pub requests_per_s: f64,
    pub failed_requests: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// The first of what went wrong.
    pub trouble: Vec<String>,
}

#[derive(Debug, Default)]
struct Counters {
    counting: AtomicBool,
    frames: AtomicU64,
    missed: AtomicU64,
}

impl Counters {
    fn add(&self, to: &AtomicU64, n: u64) {
        if self.counting.load(Ordering::Relaxed) {
            to.fetch_add(n, Ordering::Relaxed);
        }
    }
}

/// One who watches.
struct Viewer {
    address: String,
    counters: Arc<Counters>,
    /// Dropped with the first frame, or with the viewer.
    waited_for: Option<mpsc::Sender<Infallible>>,
}

/// Watches and asks for so many seconds; the [`Outcome`] as JSON.
pub(crate) async fn load(address: String, seconds: u64) -> anyhow::Result<String> {
    let (waited_for, mut begun) = mpsc::channel(1);
    let mut ways = Vec::new();
    for (way, viewers) in VIEWERS {
        let counters: Arc<Counters> = Arc::default();
        let mut all = JoinSet::new();
        for _ in 0..viewers {
            let viewer = Viewer {
                address: address.clone(),
                counters: counters.clone(),
                waited_for: Some(waited_for.clone()),
            };
            all.spawn(viewer.watch(way));
        }
        ways.push((way, viewers, counters, all));
    }
    drop(waited_for);
    // Whoever does not begin has no frames.
    let _ = tokio::time::timeout(BEGIN, begun.recv()).await;
    crate::roles::say("ready");
    let count = |on: bool| {
        for (_, _, counters, _) in &ways {
            counters.counting.store(on, Ordering::Relaxed);
        }
    };
    count(true);
    let watch = Stopwatch::start();
    let mut askers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        askers.spawn(ask(address.clone(), Duration::from_secs(seconds)));
    }
    let (mut times, mut failed_requests, mut trouble) = (Vec::new(), 0, Vec::new());
    while let Some(asked) = askers.join_next().await {
        let (answered, failed) = asked?;
        times.extend(answered);
        failed_requests += failed.len();
        trouble.extend(failed);
    }
    let took = watch.elapsed().as_secs_f64();
    count(false);
    let mut watched = Vec::new();
    for (way, viewers, counters, mut all) in ways {
        let mut ended = 0;
        while let Some(end) = all.try_join_next() {
            let Err(e) = end?;
            ended += 1;
            trouble.push(format!("{}: {e:#}", way.name()));
        }
        watched.push(Watched {
            name: way.name().to_owned(),
            viewers,
            frames: counters.frames.load(Ordering::Relaxed),
            missed: way
                .tells_missed()
                .then(|| counters.missed.load(Ordering::Relaxed)),
            ended,
        });
    }
    trouble.truncate(TOLD);
    Ok(serde_json::to_string(&Outcome {
        seconds: took,
        ways: watched,
        requests_per_s: times.len() as f64 / took,
        failed_requests,
        p50_ms: quantile(&mut times, 0.5),
        p99_ms: quantile(&mut times, 0.99),
        trouble,
    })?)
}

/// Asks at a fixed rate; milliseconds of each answer from when it was due, so that waiting for the one before counts, and
/// what was refused.
async fn ask(address: String, window: Duration) -> (Vec<f64>, Vec<String>) {
    let client = reqwest::Client::new();
    let watch = Stopwatch::start();
    let mut ticks = tokio::time::interval(PERIOD);
    let (mut times, mut failed) = (Vec::new(), Vec::new());
    while watch.elapsed() < window {
        let due = ticks.tick().await;
        let camera = rand::random_range(0..CAMERAS);
        let url = format!("http://{address}/api/v1/cameras/cam{camera:02}/timeline");
        let answer = async {
            let reply = client.get(url).send().await?.error_for_status()?;
            reply.bytes().await
        };
        match answer.await {
            Ok(_) => times.push(due.elapsed().as_secs_f64() * 1e3),
            Err(e) => failed.push(e.to_string()),
        }
    }
    (times, failed)
}

/// Frames of the first track in all chunks of some bytes.
fn frames(bytes: &[u8], init: &InitSegment) -> anyhow::Result<u64> {
    let mut count = 0;
    for found in Boxes::new(bytes) {
        let found = found?;
        if found.kind() == b"moof" {
            let parsed = MovieFragment::parse(&bytes[found.body_offset() - 8..], init)?;
            count += parsed.tracks.first().map_or(0, TrackFragment::sample_count);
        }
    }
    Ok(count)
}

fn init(bytes: &[u8]) -> anyhow::Result<InitSegment> {
    scan(&mut Cursor::new(bytes))?.init.context("no init segment")
}

impl Viewer {
    async fn watch(self, way: Way) -> anyhow::Result<Infallible> {
        match way {
            Way::Socket => self.socket().await,
            Way::Hls => self.hls().await,
            Way::Mjpeg => self.mjpeg().await,
            Way::Preview => self.preview().await,
        }
    }

    fn url(&self, scheme: &str, rest: &str) -> String {
        format!("{scheme}://{}/api/v1/cameras/cam00/{rest}", self.address)
    }

    fn got(&mut self, frames: u64) {
        self.waited_for = None;
        self.counters.add(&self.counters.frames, frames);
    }

    fn missed(&self, frames: u64) {
        self.counters.add(&self.counters.missed, frames);
    }

    async fn socket(mut self) -> anyhow::Result<Infallible> {
        let (mut socket, _) = tokio_tungstenite::connect_async(self.url("ws", "live.mp4")).await?;
        let mut header = None;
        while let Some(message) = socket.next().await {
            match message? {
                Message::Binary(bytes) => match &header {
                    None => header = Some(init(&bytes)?),
                    Some(header) => self.got(frames(&bytes, header)?),
                },
                Message::Text(text) => {
                    let said: serde_json::Value = serde_json::from_str(&text)?;
                    match said["type"].as_str() {
                        Some("init") => header = None,
                        Some("lost") => self.missed(said["frames"].as_u64().unwrap_or(0)),
                        Some("end") => bail!("{}", said["why"]),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        bail!("the server closed the WebSocket")
    }

    /// Reloads with the number of the next part, as players do, and takes every part that is new.
    async fn hls(mut self) -> anyhow::Result<Infallible> {
        let client = reqwest::Client::new();
        let base = self.url("http", "");
        let get = async |name: &str| {
            let reply = client.get(format!("{base}{name}")).send().await?;
            Ok::<_, anyhow::Error>(reply)
        };
        let whole = async |name: &str| {
            let reply = get(name).await?.error_for_status()?;
            Ok::<_, anyhow::Error>(reply.bytes().await?)
        };
        let mut list = playlist::parse(&String::from_utf8_lossy(&whole("live.m3u8").await?))?;
        // It begins at the live edge.
        let mut last = list.parts.last().map_or((1, 0), |p| p.at);
        let mut map = String::new();
        let mut header = None;
        loop {
            if list.map != map {
                header = Some(init(&whole(&list.map).await?)?);
                map.clone_from(&list.map);
            }
            for part in list.parts.iter().filter(|p| p.at > last) {
                let reply = get(&part.uri).await?;
                if reply.status() == reqwest::StatusCode::NOT_FOUND {
                    // Whoever comes late finds it gone: a part holds 200 ms.
                    self.missed(5);
                    continue;
                }
                let bytes = reply.error_for_status()?.bytes().await?;
                let header = header.as_ref().context("no header")?;
                self.got(frames(&bytes, header)?);
            }
            let before = last;
            last = list.parts.last().map_or(last, |p| p.at.max(last));
            // Segments whose parts are listed no more were missed as a whole; they are a second long at least.
            let first = list.parts.first().map_or(last.0, |p| p.at.0);
            self.missed(first.saturating_sub(before.0 + 1) * 25);
            let next = format!("live.m3u8?_HLS_msn={}&_HLS_part={}", last.0, last.1 + 1);
            list = playlist::parse(&String::from_utf8_lossy(&whole(&next).await?))?;
        }
    }

    async fn mjpeg(mut self) -> anyhow::Result<Infallible> {
        let url = self.url("http", "live.mjpeg?width=640&fps=10");
        let mut reply = reqwest::Client::new().get(url).send().await?.error_for_status()?;
        let mut held = Vec::new();
        while let Some(bytes) = reply.chunk().await? {
            held.extend_from_slice(&bytes);
            while let Some(taken) = picture(&held)? {
                held.drain(..taken);
                self.got(1);
            }
        }
        bail!("the server ended the pictures")
    }

    async fn preview(mut self) -> anyhow::Result<Infallible> {
        use futures_util::SinkExt as _;
        let url = self.url("ws", "preview?width=640&fps=5");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
        while let Some(message) = socket.next().await {
            match message? {
                Message::Binary(bytes) => {
                    let number = bytes.first_chunk().context("a picture without a number")?;
                    let ack = format!("{{\"ack\":{}}}", u64::from_be_bytes(*number));
                    socket.send(Message::text(ack)).await?;
                    self.got(1);
                }
                Message::Text(text) => bail!("{text}"),
                _ => {}
            }
        }
        bail!("the server closed the WebSocket")
    }
}

/// How many bytes the first picture of a multipart body takes, when it is whole.
fn picture(held: &[u8]) -> anyhow::Result<Option<usize>> {
    const MOST: usize = 1 << 22;
    let Some(head) = held.windows(4).position(|w| w == b"\r\n\r\n") else {
        ensure!(held.len() < MOST, "no head of a picture");
        return Ok(None);
    };
    let text = std::str::from_utf8(&held[..head])?;
    let length: usize = text
        .lines()
        .find_map(|l| l.strip_prefix("Content-Length: "))
        .context("a picture without a length")?
        .parse()?;
    let end = head + 4 + length;
    Ok((held.len() >= end).then_some(end))
}

//! A bench camera: one clip, packetised once, sent to many connections in real time without an encoder.
//!
//! One thread serves all paths `/0`, `/1`, … over TCP (interleaved) only. Each connection has its own sequence numbers,
//! timestamps and SSRC and starts with the clip's first frame, a keyframe; timestamps go on when the clip begins
//! again.

mod clip;
mod rtsp;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::Context as _;
use nvr_core::clock::{Clock as _, SystemClock};
use tokio::sync::oneshot;

pub use clip::Clip;
pub(crate) use clip::INTERLEAVED;
pub(crate) use rtsp::{Parsed, Request, parse, sdp};

use crate::ports;

/// A bench camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayOptions {
    /// TCP port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Number of paths, each a camera of its own to its viewers.
    pub paths: u32,
    /// An H.264 byte stream (Annex B) that begins with SPS, PPS and a keyframe and has no B-frames. None takes a
    /// generated clip of 10 s, 1080p25, 4 Mbit/s, kept in the target directory, with frame numbers 0 to 249.
    pub file: Option<PathBuf>,
    /// Frames a second of the file.
    pub fps: u32,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            port: 0,
            paths: 32,
            file: None,
            fps: 25,
        }
    }
}

/// What was sent so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub connections: AtomicU64,
    pub playing: AtomicU64,
    pub frames: AtomicU64,
    pub bytes: AtomicU64,
    pub late: AtomicU64,
    pub held_up: AtomicU64,
    pub unsent: AtomicU64,
    pub broken: AtomicU64,
    /// Of each frame of the clip, when any connection sent it last; 0 for never.
    pub sent_at_ns: Box<[AtomicI64]>,
}

/// A bench camera that runs until it is dropped.
#[derive(Debug)]
pub struct ReplayCam {
    address: SocketAddr,
    paths: u32,
    sizes: Box<[u32]>,
    clock: Arc<SystemClock>,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ReplayCam {
    /// Reads or makes the clip, and listens; the camera answers when this returns.
    ///
    /// # Errors
    /// When the clip cannot be made or read, or the port is taken.
    pub fn start(options: &ReplayOptions) -> anyhow::Result<Self> {
        let clip = match &options.file {
            Some(file) => Clip::read(file, options.fps)?,
            None => Clip::generated()?,
        };
        let port = if options.port == 0 {
            ports::free_port()?
        } else {
            options.port
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener =
            std::net::TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let counters = Arc::new(Counters {
            sent_at_ns: clip.sizes().iter().map(|_| AtomicI64::new(0)).collect(),
            ..Counters::default()
        });
        let clock = Arc::new(SystemClock::new());
        let (sizes, theirs) = (clip.sizes().into(), Arc::clone(&clock));
        let (stop, stopped) = oneshot::channel();
        let (shared, paths) = (Arc::clone(&counters), options.paths);
        let thread = std::thread::Builder::new()
            .name("replaycam".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        ended = serve::serve(listener, Arc::new(clip), paths, theirs, shared) => {
                            if let Err(e) = ended {
                                tracing::error!("the bench camera stopped listening: {e:#}");
                            }
                        }
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            paths,
            sizes,
            clock,
            counters,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `rtsp://127.0.0.1:PORT/N`.
    #[must_use]
    pub fn url(&self, path: u32) -> String {
        format!("rtsp://{}/{path}", self.address)
    }

    /// All URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        (0..self.paths).map(|n| self.url(n)).collect()
    }

    /// Connections taken so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Connections that play now.
    #[must_use]
    pub fn playing(&self) -> u64 {
        self.counters.playing.load(Ordering::Relaxed)
    }

    /// Frames sent so far, over all connections.
    #[must_use]
    pub fn frames_sent(&self) -> u64 {
        self.counters.frames.load(Ordering::Relaxed)
    }

    /// Bytes of video sent so far, with their headers.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.counters.bytes.load(Ordering::Relaxed)
    }

    /// Frames handed to the kernel more than one frame's time too late because this camera did not get to run: a
    /// measurement made then says little of the viewer. None is left out.
    #[must_use]
    pub fn frames_late(&self) -> u64 {
        self.counters.late.load(Ordering::Relaxed)
    }

    /// Frames that the kernel did not take at once, or that came late behind such a one: the viewer did not read.
    #[must_use]
    pub fn frames_held_up(&self) -> u64 {
        self.counters.held_up.load(Ordering::Relaxed)
    }

    /// How long ago a frame of this size in a file (see [`Clip::sizes`]) was handed to the kernel last, in nanoseconds;
    /// `None` when that is not known.
    #[must_use]
    pub fn since_sent_ns(&self, size: u32) -> Option<i64> {
        let mut alike = self.sizes.iter().enumerate().filter(|(_, s)| **s == size);
        let (index, _) = alike.next()?;
        let sent = self.counters.sent_at_ns[index].load(Ordering::Relaxed);
        (sent > 0 && alike.next().is_none()).then(|| self.clock.steady_ns() - sent)
    }

    /// Frames that were due and not sent when their connection ended.
    #[must_use]
    pub fn frames_unsent(&self) -> u64 {
        self.counters.unsent.load(Ordering::Relaxed)
    }

    /// Connections that ended while they played, without a farewell.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.counters.broken.load(Ordering::Relaxed)
    }
}

impl Drop for ReplayCam {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the bench camera panicked");
        }
    }
}

//! An RTSP camera of software: real encoders behind gst-rtsp-server, with faults on demand.
//!
//! Each camera has a port on the loopback interface, a main loop and a thread of its own, so that many live in one
//! process. Frames are numbered in the picture (see [`crate::picture`]) from the camera's start, one number for each
//! frame; while nobody watches, or between death and return, the numbers go on with time.

mod faults;
mod media;
mod options;
mod poc;
mod rtp;
mod server;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nvr_core::clock::{SharedClock, SystemClock};

use faults::Faults;
use media::Mount;
pub use options::{Audio, Auth, AuthKind, Codec, Picture, TestCamOptions};
use server::Server;

use crate::ports;

/// A camera that runs until it is dropped.
pub struct TestCam {
    options: TestCamOptions,
    port: u16,
    clock: SharedClock,
    born_ns: i64,
    faults: Arc<Faults>,
    mounts: Vec<Arc<Mount>>,
    server: Option<Server>,
}

impl fmt::Debug for TestCam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCam")
            .field("port", &self.port)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl TestCam {
    /// Starts a camera; it answers when this returns.
    ///
    /// # Errors
    /// When GStreamer or one of its plugins is missing, an option is out of range or the port is taken.
    pub fn start(options: TestCamOptions) -> anyhow::Result<Self> {
        gst::init()?;
        options.validate()?;
        let port = if options.port == 0 {
            ports::free_port()?
        } else {
            options.port
        };
        let clock = SystemClock::shared();
        let born_ns = clock.steady_ns();
        let mut cam = Self {
            options,
            port,
            clock,
            born_ns,
            faults: Arc::default(),
            mounts: Vec::new(),
            server: None,
        };
        cam.live()?;
        Ok(cam)
    }

    fn live(&mut self) -> anyhow::Result<()> {
        for _ in self.mounts.len()..self.options.paths.len() {
            self.mounts.push(Arc::new(Mount {
                faults: Arc::clone(&self.faults),
                clock: Arc::clone(&self.clock),
                born_ns: self.born_ns,
                next: 0.into(),
                drawn_now: 0.into(),
                encoders: Mutex::default(),
            }));
        }
        self.server = Some(Server::start(
            &self.options,
            self.port,
            &self.mounts,
            &self.faults,
        )?);
        Ok(())
    }

    /// `rtsp://127.0.0.1:PORT/PATH` of the first path, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls().swap_remove(0)
    }

    /// The URLs of all paths.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.options
            .paths
            .iter()
            .map(|p| format!("rtsp://127.0.0.1:{}{p}", self.port))
            .collect()
    }

    /// The first URL with `user:password@`, where there is one.
    #[must_use]
    pub fn url_with_credentials(&self) -> String {
        match &self.options.auth {
            Some(a) => self
                .url()
                .replacen("://", &format!("://{}:{}@", a.user, a.password), 1),
            None => self.url(),
        }
    }

    /// The TCP port, the same over deaths and returns.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The options of this life.
    #[must_use]
    pub fn options(&self) -> &TestCamOptions {
        &self.options
    }

    /// Nothing is sent any more, neither frames nor RTCP, but the connections stay and requests are answered.
    pub fn freeze(&self) {
        self.faults.frozen.store(true, Ordering::SeqCst);
    }

    /// Like [`Self::freeze`], and requests wait for their answers too; only the kernel still takes connections.
    pub fn hang(&self) {
        self.freeze();
        self.faults.set_hung(true);
    }

    /// Ends [`Self::freeze`] and [`Self::hang`]; goes on with a keyframe.
    pub fn resume(&self) {
        self.faults.frozen.store(false, Ordering::SeqCst);
        self.faults.set_hung(false);
        self.force_keyframe();
    }

    /// Closes all connections and listens no more.
    pub fn die(&mut self) {
        self.server = None;
    }

    /// False after [`Self::die`].
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.server.is_some()
    }

    /// Comes back after [`Self::die`] on the same port, healthy and as before; a camera that lives is restarted.
    ///
    /// # Errors
    /// When somebody took the port.
    pub fn come_back(&mut self) -> anyhow::Result<()> {
        self.come_back_as(self.options.clone())
    }

    /// Comes back on the same port as another camera: other size, other codec, without audio.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn come_back_as(&mut self, options: TestCamOptions) -> anyhow::Result<()> {
        options.validate()?;
        self.server = None;
        self.faults.frozen.store(false, Ordering::SeqCst);
        self.faults.set_hung(false);
        self.faults.audio_stalled.store(false, Ordering::SeqCst);
        self.faults.shift_ns.store(0, Ordering::SeqCst);
        self.options = options;
        self.live()
    }

    /// Closes the connections that exist, as a short loss of the network does; goes on listening.
    pub fn drop_connections(&self) {
        if let Some(server) = &self.server {
            server.drop_clients();
        }
    }

    /// From now on new connections need this, whatever was said at the start: a changed password, or none.
    pub fn set_auth(&self, auth: Option<&Auth>) {
        if let Some(server) = &self.server {
            server.set_auth(auth);
        }
    }

    /// No more audio until [`Self::resume_audio`]; video goes on.
    pub fn stall_audio(&self) {
        self.faults.audio_stalled.store(true, Ordering::SeqCst);
    }

    /// Ends [`Self::stall_audio`].
    pub fn resume_audio(&self) {
        self.faults.audio_stalled.store(false, Ordering::SeqCst);
    }

    /// From the next frame on all RTP timestamps of all tracks are this much later, without a new connection.
    pub fn jump_timestamps_forward(&self, by: Duration) {
        self.faults.shift_ns.fetch_add(nanoseconds(by), Ordering::SeqCst);
    }

    /// From the next frame on all RTP timestamps of all tracks are this much earlier.
    pub fn jump_timestamps_backward(&self, by: Duration) {
        self.faults.shift_ns.fetch_sub(nanoseconds(by), Ordering::SeqCst);
    }

    /// The next `frames` video frames carry the timestamp of the frame before them.
    pub fn repeat_timestamps(&self, frames: u32) {
        self.faults.repeat.store(frames, Ordering::SeqCst);
    }

    /// The next `frames` video frames carry timestamps that are too low by `by`.
    pub fn backward_timestamps(&self, frames: u32, by: Duration) {
        self.faults.backward_ns.store(nanoseconds(by), Ordering::SeqCst);
        self.faults.backward.store(frames, Ordering::SeqCst);
    }

    /// The next `frames` encoded video frames are lost inside the camera: numbers and picture order counts jump.
    pub fn lose_frames(&self, frames: u32) {
        self.faults.lose_frames.store(frames, Ordering::SeqCst);
    }

    /// From the next P-frame up to the next keyframe, picture order counts are this much off (two for each frame; the
    /// field holds few bits, so that more than some 15 frames look like a step back). Does nothing without B-frames
    /// and in H.265.
    pub fn jump_picture_order(&self, by: i32) {
        self.faults.poc_shift.fetch_add(by, Ordering::SeqCst);
    }

    /// The next frame is a keyframe.
    pub fn force_keyframe(&self) {
        for mount in &self.mounts {
            mount.force_keyframe();
        }
    }

    /// Encoded video frames handed to the network, over all paths and lives.
    #[must_use]
    pub fn frames_sent(&self) -> u64 {
        self.faults.frames.load(Ordering::SeqCst)
    }

    /// Frames drawn, sent or not, over all paths and lives: goes on in a frozen camera that has clients.
    #[must_use]
    pub fn frames_drawn(&self) -> u64 {
        self.faults.drawn.load(Ordering::SeqCst)
    }

    /// DESCRIBE requests so far.
    #[must_use]
    pub fn describes(&self) -> u64 {
        self.faults.describes.load(Ordering::SeqCst)
    }

    /// Connections taken so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.faults.connections.load(Ordering::SeqCst)
    }

    /// Clients connected now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.server.as_ref().map_or(0, Server::clients)
    }
}

fn nanoseconds(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

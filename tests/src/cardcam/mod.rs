//! A camera with a card: its clip runs from the start on, whoever watches; what ran is on the card, to be replayed as ONVIF
//! has it (Streaming Specification, 6). The network can be cut between it and the world, while its card goes on.
//!
//! Frames are numbered from 0 in the picture. `/live` is the present, from the next keyframe on; `/card` the past, as fast as it is
//! taken.

mod serve;
mod sound;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nvr_core::clock::{Clock as _, SystemClock};
use tokio::sync::{oneshot, watch};

pub use sound::CardSound;

use crate::replay::Clip;

/// Frames a second of the clip, and frames from one keyframe to the next.
pub const FPS: u64 = 10;
/// See [`FPS`].
pub const GOP: u64 = 10;

/// What is wrong with the replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replayed {
    /// Nothing.
    #[default]
    Well,
    /// It does not say when frames were taken.
    WithoutTimes,
    /// All frames were taken in another century.
    WithAbsurdTimes,
    /// It closes the connection in the middle, after so many frames.
    Broken(u64),
    /// Its sound cannot be set up.
    SoundRefused,
    /// It answers whoever wants its sound, and plays nothing.
    SoundSilences,
    /// Its sound does not say when it was recorded.
    SoundWithoutTimes,
    /// Its sound is rubbish.
    SoundGarbled,
}

#[derive(Debug)]
struct Shared {
    clip: Clip,
    sound: sound::Sound,
    clock: SystemClock,
    /// When frame 0 was taken, by the recorder's clock.
    began_ns: i64,
    /// How far the camera's clock is ahead.
    ahead_ns: i64,
    cut: watch::Sender<bool>,
    /// Frames that are not on the card.
    lost: Mutex<Vec<Range<u64>>>,
    replayed: Mutex<Replayed>,
    /// Frames that were replayed, with those replayed twice.
    sent: Mutex<Vec<u64>>,
}

/// A camera that runs until it is dropped.
#[derive(Debug)]
pub struct CardCam {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CardCam {
    /// A camera whose clock is ahead by so many milliseconds.
    ///
    /// # Errors
    /// When the clip cannot be made, or no port be had.
    pub fn start(ahead_ms: i64) -> anyhow::Result<Self> {
        Self::with_sound(ahead_ms, CardSound::None)
    }

    /// One that hears as well.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_sound(ahead_ms: i64, sound: CardSound) -> anyhow::Result<Self> {
        let clip = Clip::small()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let clock = SystemClock::new();
        let shared = Arc::new(Shared {
            clip,
            sound: sound::Sound::new(sound)?,
            began_ns: clock.now().as_ns(),
            clock,
            ahead_ns: ahead_ms * 1_000_000,
            cut: watch::Sender::new(false),
            lost: Mutex::default(),
            replayed: Mutex::default(),
            sent: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("cardcam".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        ended = serve::serve(listener, theirs) => {
                            if let Err(e) = ended {
                                tracing::error!("the camera stopped listening: {e:#}");
                            }
                        }
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Address of the present.
    #[must_use]
    pub fn live(&self) -> String {
        format!("rtsp://{}/live", self.address)
    }

    /// Address of the past.
    #[must_use]
    pub fn card(&self) -> String {
        format!("rtsp://{}/card", self.address)
    }

    /// Cuts it off from the network, or no longer.
    pub fn cut(&self, cut: bool) {
        self.shared.cut.send_replace(cut);
    }

    /// The number of the frame that is taken now.
    #[must_use]
    pub fn frame_now(&self) -> u64 {
        self.shared.frame_now()
    }

    /// Takes frames off the card.
    pub fn lose(&self, frames: Range<u64>) {
        lock(&self.shared.lost).push(frames);
    }

    /// What is wrong with replays from now on.
    pub fn replay(&self, how: Replayed) {
        *lock(&self.shared.replayed) = how;
    }

    /// The frames that were replayed so far.
    #[must_use]
    pub fn sent(&self) -> Vec<u64> {
        lock(&self.shared.sent).clone()
    }
}

impl Shared {
    fn frame_now(&self) -> u64 {
        self.frame_at(self.clock.now().as_ns())
    }

    /// The frame that is shown at an instant of the recorder's clock.
    fn frame_at(&self, ns: i64) -> u64 {
        let passed = u64::try_from(ns - self.began_ns).unwrap_or(0);
        passed * FPS / 1_000_000_000
    }

    /// When a frame was taken, by the recorder's clock.
    fn time_of(&self, frame: u64) -> i64 {
        self.began_ns + i64::try_from(frame * 1_000_000_000 / FPS).unwrap_or(0)
    }

    fn is_lost(&self, frame: u64) -> bool {
        lock(&self.lost).iter().any(|r| r.contains(&frame))
    }
}

impl Drop for CardCam {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the camera panicked");
        }
    }
}

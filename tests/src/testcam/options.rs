//! What a simulated camera can be asked to be.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// Video codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264.
    H264,
    /// H.265, several times as expensive to encode.
    H265,
}

/// Audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audio {
    /// No audio track.
    None,
    /// AAC-LC, 48 kHz mono.
    Aac,
    /// G.711 µ-law, 8 kHz mono.
    Pcmu,
    /// G.711 A-law, 8 kHz mono.
    Pcma,
    /// Opus, 48 kHz mono.
    Opus,
}

/// What the encoder sees besides the marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// A moving ball: few bytes, cheap.
    Ball,
    /// Colour bars.
    Bars,
    /// Noise: many bytes and expensive; fills any bit rate.
    Snow,
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// Basic.
    Basic,
    /// Digest.
    Digest,
}

/// Method, user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The only method offered.
    pub kind: AuthKind,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
}

impl Auth {
    /// Basic authentication.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Self {
        Self {
            kind: AuthKind::Basic,
            user: user.into(),
            password: password.into(),
        }
    }

    /// Digest authentication.
    #[must_use]
    pub fn digest(user: &str, password: &str) -> Self {
        Self {
            kind: AuthKind::Digest,
            user: user.into(),
            password: password.into(),
        }
    }
}

/// A camera. Write only what differs: `TestCamOptions { gop: 50, ..Default::default() }`.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCamOptions {
    /// TCP port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Paths served, each with an encoder of its own. The first is that of `TestCam::url`.
    pub paths: Vec<String>,
    /// Video codec.
    pub codec: Codec,
    /// Width in pixels, a multiple of 8, at least 160.
    pub width: u32,
    /// Height in pixels, a multiple of 2, at least 90.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// Frames from one keyframe to the next.
    pub gop: u32,
    /// B-frames between two P-frames.
    pub bframes: u32,
    /// Bits a second of the encoder's rate control.
    pub bitrate_bps: u32,
    /// Variable frame rate: about one frame in five is left out, the rest come up to 0.3 of a frame late, in a fixed
    /// pseudo-random pattern. Frames that exist are numbered without holes.
    pub variable_rate: bool,
    /// Background.
    pub picture: Picture,
    /// Audio codec.
    pub audio: Audio,
    /// The audio track is in the SDP, but no packet of it is ever sent.
    pub audio_silent: bool,
    /// Audio stops for good at this time after the pipeline's start.
    pub audio_stops_after: Option<Duration>,
    /// Who may come in; none means everybody.
    pub auth: Option<Auth>,
    /// Refuse UDP transport.
    pub tcp_only: bool,
    /// Refuse every transport but UDP.
    pub udp_only: bool,
    /// Time to think before DESCRIBE is answered.
    pub describe_delay: Duration,
}

impl Default for TestCamOptions {
    fn default() -> Self {
        Self {
            port: 0,
            paths: vec!["/cam".into()],
            codec: Codec::H264,
            width: 640,
            height: 360,
            fps: 25,
            gop: 25,
            bframes: 0,
            bitrate_bps: 500_000,
            variable_rate: false,
            picture: Picture::Ball,
            audio: Audio::None,
            audio_silent: false,
            audio_stops_after: None,
            auth: None,
            tcp_only: false,
            udp_only: false,
            describe_delay: Duration::ZERO,
        }
    }
}

impl TestCamOptions {
    /// # Errors
    /// When a value is out of its range.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(
            self.width.is_multiple_of(8) && (160..=7680).contains(&self.width),
            "width {} is not a multiple of 8 from 160 on",
            self.width
        );
        ensure!(
            self.height.is_multiple_of(2) && (90..=4320).contains(&self.height),
            "height {} is not even and at least 90",
            self.height
        );
        ensure!(
            (1..=240).contains(&self.fps),
            "fps {} is not in 1..=240",
            self.fps
        );
        ensure!(
            self.gop >= 1 && self.gop <= 1_000_000,
            "gop {} is not in 1..=1000000",
            self.gop
        );
        ensure!(self.bframes <= 4, "bframes {} is more than 4", self.bframes);
        ensure!(
            !(self.tcp_only && self.udp_only),
            "nothing but TCP and nothing but UDP leaves no transport"
        );
        ensure!(!self.paths.is_empty(), "no path to serve");
        for path in &self.paths {
            ensure!(
                path.starts_with('/') && path.len() > 1,
                "path {path:?} does not start with / or is empty"
            );
        }
        Ok(())
    }
}

impl FromStr for Codec {
    type Err = anyhow::Error;
    fn from_str(s: &str) -> anyhow::Result<Self> {
        Ok(match s {
            "h264" => Self::H264,
            "h265" => Self::H265,
            _ => bail!("unknown codec {s:?}; write h264 or h265"),
        })
    }
}

impl FromStr for Audio {
    type Err = anyhow::Error;
    fn from_str(s: &str) -> anyhow::Result<Self> {
        Ok(match s {
            "none" => Self::None,
            "aac" => Self::Aac,
            "pcmu" => Self::Pcmu,
            "pcma" => Self::Pcma,
            "opus" => Self::Opus,
            _ => bail!("unknown audio {s:?}; write none, aac, pcmu, pcma or opus"),
        })
    }
}

impl FromStr for Picture {
    type Err = anyhow::Error;
    fn from_str(s: &str) -> anyhow::Result<Self> {
        Ok(match s {
            "ball" => Self::Ball,
            "bars" => Self::Bars,
            "snow" => Self::Snow,
            _ => bail!("unknown picture {s:?}; write ball, bars or snow"),
        })
    }
}

impl FromStr for Auth {
    type Err = anyhow::Error;
    fn from_str(s: &str) -> anyhow::Result<Self> {
        let mut parts = s.splitn(3, ':');
        let kind = match parts.next() {
            Some("basic") => AuthKind::Basic,
            Some("digest") => AuthKind::Digest,
            _ => bail!("write basic:USER:PASSWORD or digest:USER:PASSWORD"),
        };
        let user = parts.next().context("the user is missing")?.to_owned();
        let password = parts.next().context("the password is missing")?.to_owned();
        Ok(Self { kind, user, password })
    }
}

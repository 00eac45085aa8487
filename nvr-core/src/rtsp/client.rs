//! One session with one server: requests, answers, and the packets between them.

use url::Url;

use super::auth::Authenticator;
use super::choose::{self, Chosen};
use super::error::{RtspError, RtspErrorKind};
use super::event::{Event, Tracks};
use super::framing::{Channel, Framing, Item};
use super::requests::{self, Method, Pending};
use super::rtp::Packet;
use super::track::{AudioTrack, VideoTrack};
use crate::source::Credentials;
use crate::time::NS_PER_S;

mod answers;

/// Between two receiver reports (RFC 3550, 6.2: five seconds at least).
const REPORT_NS: i64 = 5 * NS_PER_S;

/// How long a session lives without a sign where the server does not say (RFC 2326, 12.37).
const SESSION_S: i64 = 60;

/// Shortest and longest time between two signs of life.
const KEEP_ALIVE_S: (i64, i64) = (2, 60);

/// Most times that one request is sent.
const MAX_ATTEMPTS: u32 = 6;

/// Most bytes that are added to a message whose length is not known yet.
const PIECE_BYTES: usize = 512;

/// What to open, and how.
#[derive(Clone, Debug)]
pub(crate) struct ClientOptions {
    /// Address without credentials.
    pub url: Url,
    /// User and password, sent only when the server asks.
    pub credentials: Option<Credentials>,
    /// The host that credentials were given for, where a redirect led to another: this one gets none.
    pub withheld_for: Option<String>,
    /// Whether an audio track is set up.
    pub want_audio: bool,
    /// `User-Agent` header.
    pub user_agent: String,
    /// `Range` of `PLAY` (`npt=0.000-`, `clock=20260504T000000Z-`); `npt=0.000-` if absent.
    pub range: Option<String>,
    /// The stream is a recording of the camera's (ONVIF Streaming Specification, 6): it is sent as fast as it is taken,
    /// and units have the time at which they were recorded as their `ntp`.
    pub replay: bool,
    /// How long an answer is waited for, in nanoseconds. A stream that plays may be silent, as long as the server answers.
    pub timeout_ns: i64,
    /// Any number that differs from session to session: nonces and the receiver's SSRC are made of it.
    pub seed: u64,
}

/// Where the session stands.
#[derive(Debug)]
enum Stage {
    /// Until the answer to `DESCRIBE`.
    Asking,
    /// Until the answer to `PLAY`; audio is set up next, or was.
    SettingUp {
        chosen: Box<Chosen>,
        audio_next: bool,
    },
    Playing,
    /// Over: whatever comes is thrown away.
    Over,
}

/// The client's side of a session over one connection, which the caller has made.
#[derive(Debug)]
pub(crate) struct Client {
    options: ClientOptions,
    stage: Stage,
    auth: Authenticator,
    framing: Framing,
    /// The start of something whose end is to come, and how long it is at least.
    partial: Vec<u8>,
    need: usize,
    output: Vec<u8>,
    cseq: u32,
    pending: Option<Pending>,
    base: String,
    control: String,
    session: Option<String>,
    session_s: i64,
    keep_alive: Method,
    /// Methods that the server listed.
    methods: Vec<Method>,
    server: Option<String>,
    video: Option<VideoTrack>,
    audio: Option<AudioTrack>,
    /// What is told once the video's parameters are known.
    untold: Option<Tracks>,
    told: bool,
    own_ssrc: u32,
    last_input_ns: i64,
    keep_alive_at: Option<i64>,
    report_at: Option<i64>,
}

impl Client {
    /// A session that has sent nothing yet; the first request waits in [`take_output`](Self::take_output).
    pub(crate) fn new(options: ClientOptions, now_ns: i64) -> Self {
        let base = choose::plain(options.url.clone());
        let mut client = Self {
            auth: Authenticator::new(options.credentials.clone(), options.seed),
            // Any 32 bits will do.
            own_ssrc: (options.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32,
            options,
            stage: Stage::Asking,
            framing: Framing::default(),
            partial: Vec::new(),
            need: 0,
            output: Vec::new(),
            cseq: 0,
            pending: None,
            control: base.clone(),
            base,
            session: None,
            session_s: SESSION_S,
            keep_alive: Method::Options,
            methods: Vec::new(),
            server: None,
            video: None,
            audio: None,
            untold: None,
            told: false,
            last_input_ns: now_ns,
            keep_alive_at: None,
            report_at: None,
        };
        let url = client.base.clone();
        client.request(Method::Options, url, now_ns);
        client
    }

    /// Takes what arrived, in pieces of any size, and adds what came of it to `out`.
    ///
    /// # Errors
    /// When the session cannot go on. What is in `out` is good; the connection is to be closed.
    pub(crate) fn input(&mut self, bytes: &[u8], now_ns: i64, out: &mut Vec<Event>) -> Result<(), RtspError> {
        let mut rest = bytes;
        if !rest.is_empty() {
            self.last_input_ns = self.last_input_ns.max(now_ns);
        }
        while !rest.is_empty() {
            if matches!(self.stage, Stage::Over) {
                return Ok(());
            }
            if self.partial.is_empty() {
                let (used, need) = self.item(rest, now_ns, out)?;
                rest = &rest[used..];
                if need > 0 {
                    self.partial.extend_from_slice(rest);
                    self.need = need;
                    return Ok(());
                }
                continue;
            }
            // More of what began with the last input, but as little as possible of what follows.
            let before = self.partial.len();
            let known = self.need > before + 1;
            let wanted = if known { self.need - before } else { PIECE_BYTES };
            let (piece, after) = rest.split_at(wanted.min(rest.len()));
            self.partial.extend_from_slice(piece);
            if self.partial.len() < self.need {
                return Ok(());
            }
            let partial = std::mem::take(&mut self.partial);
            let result = self.item(&partial, now_ns, out);
            self.partial = partial;
            let (used, need) = result?;
            if need > 0 {
                self.need = need;
                rest = after;
            } else if used >= before {
                self.partial.clear();
                rest = &rest[used - before..];
            } else {
                self.partial.drain(..used);
                // Whether that is enough is seen at the next turn, with no more bytes if there are none.
                self.need = 0;
                rest = after;
                self.settle(now_ns, out)?;
            }
        }
        Ok(())
    }

    /// Takes what stands at the start of the kept bytes, until more are needed.
    fn settle(&mut self, now_ns: i64, out: &mut Vec<Event>) -> Result<(), RtspError> {
        let partial = std::mem::take(&mut self.partial);
        let mut at = 0;
        while at < partial.len() && !matches!(self.stage, Stage::Over) {
            let (used, need) = self.item(&partial[at..], now_ns, out)?;
            at += used;
            if need > 0 {
                self.need = need;
                break;
            }
        }
        self.partial = partial;
        self.partial.drain(..at);
        Ok(())
    }

    /// Takes one thing from the start of `data`, which is not empty: the bytes that it had, or how many are needed.
    fn item(&mut self, data: &[u8], now_ns: i64, out: &mut Vec<Event>) -> Result<(usize, usize), RtspError> {
        let (channels, count) = self.channels();
        let used = match self.framing.next(data, &channels[..count])? {
            Item::Need(n) => return Ok((0, n)),
            Item::Nothing(n) => n,
            Item::Packet { channel, end } => {
                self.packet(channel, &data[4..end], now_ns, out)?;
                end
            }
            Item::Message { head, body, end } => {
                self.message(&head, &data[body..end], now_ns, out)?;
                end
            }
        };
        self.framing.advance(used);
        Ok((used, 0))
    }

    fn channels(&self) -> ([Channel; 4], usize) {
        let mut all = [Channel { number: 0, rtp: None }; 4];
        let mut count = 0;
        let lines = [
            self.video.as_ref().map(|v| &v.line),
            self.audio.as_ref().map(|a| &a.line),
        ];
        for line in lines.into_iter().flatten() {
            all[count..count + 2].copy_from_slice(&line.channels());
            count += 2;
        }
        (all, count)
    }

    /// Bytes to send; empty if there are none.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// When [`on_time`](Self::on_time) is to be called at the latest; calling it early does no harm.
    pub(crate) fn next_timeout_ns(&self) -> Option<i64> {
        let deadline = self.pending.as_ref().map(|p| p.deadline_ns);
        [deadline, self.keep_alive_at, self.report_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Keep-alive, receiver reports and deadlines.
    ///
    /// # Errors
    /// `Timeout` when an answer is overdue; while playing, only if nothing else came from the server either.
    pub(crate) fn on_time(&mut self, now_ns: i64, _out: &mut Vec<Event>) -> Result<(), RtspError> {
        if let Some(pending) = &self.pending
            && now_ns >= pending.deadline_ns
        {
            let playing = matches!(self.stage, Stage::Playing);
            if !playing || self.last_input_ns <= pending.sent_ns {
                return Err(RtspError::new(
                    RtspErrorKind::Timeout,
                    format!(
                        "no answer to {} within {:.1} s",
                        pending.method.name(),
                        self.options.timeout_ns as f64 / NS_PER_S as f64
                    ),
                ));
            }
            // The stream flows; there are cameras that never answer a sign of life.
            self.pending = None;
        }
        if self.keep_alive_at.is_some_and(|t| now_ns >= t) {
            self.keep_alive_at = Some(now_ns + self.keep_alive_ns());
            if self.pending.is_none() {
                self.request(self.keep_alive, self.control.clone(), now_ns);
            }
        }
        if self.report_at.is_some_and(|t| now_ns >= t) {
            self.report_at = Some(now_ns + REPORT_NS);
            if let Some(v) = &mut self.video {
                v.line.write_report(self.own_ssrc, now_ns, &mut self.output);
            }
            if let Some(a) = &mut self.audio {
                a.line.write_report(self.own_ssrc, now_ns, &mut self.output);
            }
        }
        Ok(())
    }

    /// The connection is closed: gives the last picture of a replay, whose end would have been seen by the next one.
    pub(crate) fn closed(&mut self, now_ns: i64, out: &mut Vec<Event>) {
        if matches!(self.stage, Stage::Playing)
            && let Some(video) = &mut self.video
        {
            video.flush(now_ns, &mut self.untold, out);
        }
    }

    /// Whether the video has not come to the present yet: the server sends what it kept first.
    pub(crate) fn catching_up(&self, now_ns: i64) -> bool {
        self.video
            .as_ref()
            .is_some_and(|v| v.line.timeline.catching_up(now_ns))
    }

    /// It has. Gives what is to be added to the times of the units so far, of video and of audio, none of which
    /// was used yet: what was kept is older than it came.
    pub(crate) fn settle_times(&mut self) -> (i64, i64) {
        let video_ns = self.video.as_mut().map_or(0, |v| v.line.timeline.settle(None));
        let beside = self.video.as_ref().map(|v| &v.line.timeline);
        let audio = self.audio.as_mut();
        (video_ns, audio.map_or(0, |a| a.line.timeline.settle(beside)))
    }

    /// Ends the session: queues `TEARDOWN`, whose answer need not be waited for. What arrives afterwards is ignored.
    pub(crate) fn teardown(&mut self) {
        if self.session.is_some() && !matches!(self.stage, Stage::Over) {
            self.pending = None;
            self.request(Method::Teardown, self.control.clone(), i64::MAX / 2);
        }
        self.over();
    }

    fn over(&mut self) {
        self.stage = Stage::Over;
        self.pending = None;
        self.keep_alive_at = None;
        self.report_at = None;
        self.partial = Vec::new();
    }

    fn keep_alive_ns(&self) -> i64 {
        (self.session_s / 2).clamp(KEEP_ALIVE_S.0, KEEP_ALIVE_S.1) * NS_PER_S
    }

    /// Writes a request and waits for its answer.
    fn request(&mut self, method: Method, url: String, now_ns: i64) {
        self.send(method, url, Vec::new(), now_ns);
    }

    fn send(&mut self, method: Method, url: String, headers: Vec<(&'static str, String)>, now_ns: i64) {
        let attempts = 0;
        self.attempt(
            Pending {
                method,
                url,
                headers,
                cseq: 0,
                answered: false,
                attempts,
                sent_ns: 0,
                deadline_ns: 0,
            },
            now_ns,
        );
    }

    fn attempt(&mut self, mut pending: Pending, now_ns: i64) {
        self.cseq += 1;
        pending.cseq = self.cseq;
        pending.attempts += 1;
        pending.sent_ns = now_ns;
        pending.deadline_ns = now_ns.saturating_add(self.options.timeout_ns);
        let login = self.auth.answer(pending.method.name(), &pending.url);
        pending.answered = login.is_some();
        requests::write(
            &mut self.output,
            &pending,
            &self.options.user_agent,
            login.as_deref(),
            self.session.as_deref(),
        );
        self.pending = Some(pending);
    }

    fn packet(
        &mut self,
        channel: u8,
        data: &[u8],
        now_ns: i64,
        out: &mut Vec<Event>,
    ) -> Result<(), RtspError> {
        let Some(video) = &mut self.video else {
            return Ok(());
        };
        if channel == video.line.rtp_channel {
            let Some(packet) = Packet::parse(data) else {
                return Ok(());
            };
            video
                .packet(&packet, now_ns, &mut self.untold, out)
                .map_err(|e| {
                    e.context(format_args!(
                        "channel {channel}, packet {}, byte {} of the connection",
                        packet.sequence, self.framing.offset
                    ))
                })?;
            self.told |= self.untold.is_none() && matches!(self.stage, Stage::Playing);
            return Ok(());
        }
        if channel == video.line.rtcp_channel {
            if video.line.rtcp(data, now_ns) {
                if self.options.replay {
                    video.flush(now_ns, &mut self.untold, out);
                }
                out.push(Event::Ended("the camera ended the stream (RTCP BYE)".into()));
                self.over();
            }
            return Ok(());
        }
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        if channel == audio.line.rtp_channel {
            if let Some(packet) = Packet::parse(data) {
                audio.packet(&packet, now_ns, &video.line.timeline, self.told, out);
            }
        } else if channel == audio.line.rtcp_channel {
            audio.line.rtcp(data, now_ns);
        }
        Ok(())
    }

    /// What was set up, and what the description says of the video.
    #[cfg(test)]
    pub(super) fn set_up_for_test(&self) -> (Tracks, Option<super::VideoParams>) {
        let tracks = self.untold.clone().expect("set up and nothing told");
        (tracks, self.video.as_ref().and_then(VideoTrack::params_for_test))
    }
}

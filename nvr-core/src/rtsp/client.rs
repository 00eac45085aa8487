//! One session with one server: requests, answers, and the packets between them.

use url::Url;

use super::auth::Authenticator;
use super::choose::{self, Chosen};
use super::error::{RtspError, RtspErrorKind, quoted};
use super::event::{Event, Tracks};
use super::framing::{Channel, Framing, Item};
use super::message::{Head, Start};
use super::requests::{self, Method, Pending, Transport};
use super::rtp::Packet;
use super::sdp::Description;
use super::track::{AudioTrack, VideoTrack};
use crate::source::Credentials;
use crate::time::NS_PER_S;

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
    /// Whether an audio track is set up.
    pub want_audio: bool,
    /// `User-Agent` header.
    pub user_agent: String,
    /// `Range` of `PLAY` (`npt=0.000-`, `clock=20260504T000000Z-`); `npt=0.000-` if absent.
    pub range: Option<String>,
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
            return video
                .packet(&packet, now_ns, &mut self.untold, out)
                .map_err(|e| {
                    let place = format!(
                        "channel {channel}, packet {}, byte {} of the connection",
                        packet.sequence, self.framing.offset
                    );
                    e.context(place)
                })
                .inspect(|()| {
                    self.told = self.told || (self.untold.is_none() && matches!(self.stage, Stage::Playing))
                });
        }
        if channel == video.line.rtcp_channel {
            if video.line.rtcp(data, now_ns) {
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

    fn message(
        &mut self,
        head: &Head,
        body: &[u8],
        now_ns: i64,
        out: &mut Vec<Event>,
    ) -> Result<(), RtspError> {
        match &head.start {
            Start::Request { method } => {
                self.asked(method, head, body, out);
                Ok(())
            }
            Start::Response { status, reason } => {
                let Some(pending) = self.pending.take_if(|p| head.cseq().is_none_or(|c| c == p.cseq)) else {
                    // An answer that came too late, or to nothing.
                    return Ok(());
                };
                if self.server.is_none() {
                    self.server = head.get("server").map(quoted);
                }
                self.answered(pending, *status, reason, head, body, now_ns, out)
            }
        }
    }

    /// A request of the server: RFC 2326, 10. Each is answered.
    fn asked(&mut self, method: &str, head: &Head, body: &[u8], out: &mut Vec<Event>) {
        let status = match method {
            "OPTIONS" | "ANNOUNCE" | "REDIRECT" | "GET_PARAMETER" | "SET_PARAMETER" | "TEARDOWN"
            | "PLAY_NOTIFY" => "200 OK",
            _ => "501 Not Implemented",
        };
        requests::write_answer(&mut self.output, status, head);
        match method {
            "REDIRECT" => {
                let to = head.get("location").and_then(|l| self.location(l));
                out.push(to.map_or_else(
                    || Event::Ended("the camera wants to be asked again".into()),
                    Event::Redirect,
                ));
                self.over();
            }
            "TEARDOWN" => {
                out.push(Event::Ended("the camera ended the session".into()));
                self.over();
            }
            "ANNOUNCE" | "PLAY_NOTIFY" => {
                // "2101 End-of-Stream Reached" and its kin, by which servers tell that nothing more comes.
                let notice = head
                    .get("x-notice")
                    .or_else(|| head.get("notice"))
                    .unwrap_or_default();
                if notice.starts_with("21")
                    || notice.starts_with("5")
                    || head.get("notify-reason") == Some("end-of-stream")
                {
                    out.push(Event::Ended(format!(
                        "the camera ended the stream ({})",
                        quoted(notice)
                    )));
                    self.over();
                } else if let Some(video) = &mut self.video
                    && let Ok(new) = choose::choose(&Description::parse(body), &self.base, false)
                {
                    video.add_sets(&new.video.sets);
                }
            }
            _ => {}
        }
    }

    /// A `Location`, resolved and without credentials.
    fn location(&self, text: &str) -> Option<Url> {
        let mut url = self.options.url.join(text.trim()).ok()?;
        let _ = url.set_username("");
        let _ = url.set_password(None);
        (matches!(url.scheme(), "rtsp" | "rtsps") && url.has_host()).then_some(url)
    }

    #[expect(clippy::too_many_arguments, reason = "all of an answer")]
    fn answered(
        &mut self,
        pending: Pending,
        status: u16,
        reason: &str,
        head: &Head,
        body: &[u8],
        now_ns: i64,
        out: &mut Vec<Event>,
    ) -> Result<(), RtspError> {
        if status < 200 {
            // 100 Continue: the answer is still to come.
            self.pending = Some(pending);
            return Ok(());
        }
        if status == 401 && pending.attempts < MAX_ATTEMPTS {
            match self
                .auth
                .challenge(head.all("www-authenticate"), pending.answered)
            {
                Ok(()) => self.attempt(pending, now_ns),
                // The stream goes on without its signs of life, for as long as it does.
                Err(_) if matches!(self.stage, Stage::Playing) => self.kept_alive(false, status),
                Err(e) => return Err(e.context(pending.method.name())),
            }
            return Ok(());
        }
        if (300..400).contains(&status) && status != 304 {
            let to = head.get("location").and_then(|l| self.location(l));
            let to = to.ok_or_else(|| {
                RtspError::protocol(format!(
                    "{} was redirected ({status}) to nowhere",
                    pending.method.name()
                ))
            })?;
            out.push(Event::Redirect(to));
            self.over();
            return Ok(());
        }
        let good = (200..300).contains(&status);
        if good && pending.answered {
            self.auth.accepted();
        }
        let refused = || requests::refusal(pending.method, status, reason);
        match pending.method {
            Method::Options if matches!(self.stage, Stage::Asking) => {
                // A server that does not know OPTIONS may know the rest.
                for list in [
                    head.all("public").collect::<Vec<_>>(),
                    head.all("allow").collect(),
                ] {
                    self.methods
                        .extend(list.join(",").split(',').filter_map(|m| Method::of(m.trim())));
                }
                self.methods.truncate(32);
                if matches!(status, 403 | 503) {
                    return Err(refused());
                }
                let accept = vec![("Accept", "application/sdp".to_owned())];
                self.send(Method::Describe, self.base.clone(), accept, now_ns);
                Ok(())
            }
            Method::Describe if good => self.described(head, body, now_ns),
            Method::Setup if good => self.set_up(head, now_ns),
            Method::Setup
                if matches!(
                    &self.stage,
                    Stage::SettingUp {
                        audio_next: false,
                        ..
                    }
                ) && self.video.is_some() =>
            {
                tracing::info!(status, "the camera refuses to set up its audio");
                if let Some(tracks) = &mut self.untold {
                    tracks.audio = None;
                    tracks.left_out.push("audio (refused)".into());
                }
                self.play(now_ns);
                Ok(())
            }
            Method::Play if good => {
                self.stage = Stage::Playing;
                self.keep_alive = self.choose_keep_alive();
                self.keep_alive_at = Some(now_ns + self.keep_alive_ns());
                // Sessions that began at the same time do not report at the same time.
                let spread = i64::from(self.own_ssrc % 1000) * REPORT_NS / 1000;
                self.report_at = Some(now_ns + REPORT_NS / 2 + spread);
                Ok(())
            }
            Method::Options | Method::GetParameter | Method::SetParameter => {
                self.kept_alive(good, status);
                Ok(())
            }
            Method::Teardown => Ok(()),
            Method::Describe | Method::Setup | Method::Play => Err(refused()),
        }
    }

    fn choose_keep_alive(&self) -> Method {
        let order = [Method::GetParameter, Method::Options, Method::SetParameter];
        order
            .into_iter()
            .find(|m| self.methods.contains(m))
            .unwrap_or(Method::Options)
    }

    /// A sign of life was answered; one that the server does not know is given another form.
    fn kept_alive(&mut self, good: bool, status: u16) {
        if !good && status != 454 {
            let failed = self.keep_alive;
            self.methods.retain(|m| *m != failed);
            self.keep_alive = self.choose_keep_alive();
            tracing::debug!(
                status,
                from = failed.name(),
                to = self.keep_alive.name(),
                "keep-alive refused"
            );
        }
    }

    fn described(&mut self, head: &Head, body: &[u8], now_ns: i64) -> Result<(), RtspError> {
        let bases = [head.get("content-base"), head.get("content-location")];
        self.base = choose::base_of(bases, &self.options.url);
        let mut chosen = choose::choose(&Description::parse(body), &self.base, self.options.want_audio)?;
        self.control = std::mem::take(&mut chosen.control);
        let url = chosen.video.control.clone();
        let audio_next = chosen.audio.is_some();
        self.stage = Stage::SettingUp {
            chosen: Box::new(chosen),
            audio_next,
        };
        self.send(Method::Setup, url, Transport::request(0), now_ns);
        Ok(())
    }

    fn set_up(&mut self, head: &Head, now_ns: i64) -> Result<(), RtspError> {
        let Stage::SettingUp { chosen, audio_next } = &mut self.stage else {
            return Err(RtspError::protocol("an answer to SETUP out of order"));
        };
        if let Some(text) = head.get("session") {
            let mut parts = text.split(';').map(str::trim);
            let id = parts.next().unwrap_or_default();
            if id.is_empty() || id.len() > 512 || id.chars().any(char::is_control) {
                return Err(RtspError::protocol(format!("a session named \"{}\"", quoted(id))));
            }
            self.session = Some(id.to_owned());
            let timeout = parts.find_map(|p| {
                let (key, value) = p.split_once('=')?;
                key.trim()
                    .eq_ignore_ascii_case("timeout")
                    .then(|| value.trim().parse::<i64>().ok())
                    .flatten()
            });
            self.session_s = timeout.filter(|t| *t > 0).unwrap_or(SESSION_S);
        }
        let first = self.video.is_none();
        let transport = Transport::parse(head.get("transport"), if first { 0 } else { 2 })?;
        if first {
            self.video = Some(VideoTrack::new(&chosen.video, transport.channels));
            self.untold = Some(Tracks {
                video: requests::unknown_video(chosen.video.codec),
                audio: chosen.audio.as_ref().map(|a| a.params.clone()),
                left_out: std::mem::take(&mut chosen.left_out),
                server: self.server.clone(),
            });
        } else if let Some(audio) = &chosen.audio {
            let taken = self
                .video
                .as_ref()
                .map(|v| (v.line.rtp_channel, v.line.rtcp_channel));
            let (rtp, rtcp) = transport.channels;
            if taken.is_some_and(|(a, b)| [a, b].contains(&rtp) || [a, b].contains(&rtcp)) {
                return Err(RtspError::protocol(format!(
                    "channel {rtp} for audio as for video"
                )));
            }
            self.audio = Some(AudioTrack::new(audio, transport.channels));
        }
        if std::mem::take(audio_next)
            && let Some(audio) = &chosen.audio
        {
            let url = audio.control.clone();
            self.send(Method::Setup, url, Transport::request(2), now_ns);
        } else {
            self.play(now_ns);
        }
        Ok(())
    }

    fn play(&mut self, now_ns: i64) {
        let range = self.options.range.clone().unwrap_or_else(|| "npt=0.000-".into());
        self.send(Method::Play, self.control.clone(), vec![("Range", range)], now_ns);
    }
}

//! What the server says: answers to requests, and requests of its own.

use url::Url;

use super::super::choose;
use super::super::error::{RtspError, RtspErrorKind, quoted};
use super::super::event::{Event, Tracks};
use super::super::message::{Head, Start};
use super::super::redirect;
use super::super::requests::{self, Method, Pending, Transport};
use super::super::sdp::Description;
use super::super::track::{AudioTrack, VideoTrack};
use super::{Client, MAX_ATTEMPTS, REPORT_NS, SESSION_S, Stage};

impl Client {
    pub(super) fn message(
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
                Err(e) => {
                    let url = &self.options.url;
                    let withheld = self.options.withheld_for.as_deref();
                    return Err(withheld.map_or_else(
                        || e.context(pending.method.name()),
                        |home| redirect::withheld(home, url),
                    ));
                }
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
                self.begins(head);
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

    /// `RTP-Info` (RFC 2326, 12.33): with which packets the tracks begin. Each is found by the end of its address, which
    /// servers write in their own ways; where none is like it, by its place.
    fn begins(&mut self, head: &Head) {
        let infos: Vec<StreamInfo> = head
            .all("rtp-info")
            .flat_map(|line| line.split(','))
            .map(StreamInfo::parse)
            .take(8)
            .collect();
        let Stage::SettingUp { chosen, .. } = &self.stage else {
            return;
        };
        let of = |control: &str, place: usize| {
            let like = |i: &&StreamInfo| i.url.as_deref().is_some_and(|url| control.ends_with(url));
            let named = infos.iter().any(|i| i.url.is_some());
            infos
                .iter()
                .find(like)
                .or_else(|| infos.get(place).filter(|_| !named))
                .map_or((None, None), |i| (i.sequence, i.timestamp))
        };
        if let Some(video) = &mut self.video {
            let (sequence, timestamp) = of(&chosen.video.control, 0);
            video.line.begins_at(sequence, timestamp);
        }
        if let (Some(audio), Some(chosen)) = (&mut self.audio, &chosen.audio) {
            let (sequence, timestamp) = of(&chosen.control, 1);
            audio.line.begins_at(sequence, timestamp);
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
        let mut headers = Transport::request(0);
        if self.options.replay {
            headers.push(require_replay());
        }
        self.send(Method::Setup, url, headers, now_ns);
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
            let video = VideoTrack::new(&chosen.video, transport.channels);
            self.video = Some(if self.options.replay {
                video.replay()
            } else {
                video
            });
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
                return Err(RtspError::new(
                    RtspErrorKind::Transport,
                    format!("SETUP: channel {rtp} for audio as for video"),
                ));
            }
            let audio = AudioTrack::new(audio, transport.channels);
            self.audio = Some(if self.options.replay {
                audio.replay()
            } else {
                audio
            });
        }
        if std::mem::take(audio_next)
            && let Some(audio) = &chosen.audio
        {
            let url = audio.control.clone();
            let mut headers = Transport::request(2);
            if self.options.replay {
                headers.push(require_replay());
            }
            self.send(Method::Setup, url, headers, now_ns);
        } else {
            self.play(now_ns);
        }
        Ok(())
    }

    fn play(&mut self, now_ns: i64) {
        let range = self.options.range.clone().unwrap_or_else(|| "npt=0.000-".into());
        let mut headers = vec![("Range", range)];
        if self.options.replay {
            headers.extend([require_replay(), ("Rate-Control", "no".to_owned())]);
        }
        self.send(Method::Play, self.control.clone(), headers, now_ns);
    }
}

/// Without it a server takes a recording for a stream like any other.
fn require_replay() -> (&'static str, String) {
    ("Require", "onvif-replay".to_owned())
}

/// One stream of `RTP-Info`.
#[derive(Debug, Default)]
struct StreamInfo {
    /// The last part of the path.
    url: Option<String>,
    sequence: Option<u16>,
    timestamp: Option<u32>,
}

impl StreamInfo {
    fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for part in text.split(';') {
            let Some((key, value)) = part.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "url" => {
                    let last = value.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                    info.url = (!last.is_empty()).then(|| last.to_owned());
                }
                "seq" => info.sequence = value.parse().ok(),
                "rtptime" => info.timestamp = value.parse().ok(),
                _ => {}
            }
        }
        info
    }
}

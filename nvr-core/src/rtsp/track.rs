//! A track that plays: from its packets to units with their times, and its reports.

use std::collections::VecDeque;

use super::audio::AudioUnpacker;
use super::choose::{ChosenAudio, ChosenVideo};
use super::error::RtspError;
use super::event::{Event, TrackKind, Tracks, Unit, VideoParams};
use super::framing::{Channel, Expected};
use super::rtcp::{self, LastReport, Received};
use super::rtp::{Packet, Place, ReplayMark, Sequence};
use super::timeline::Timeline;
use super::video::{Assembler, VideoUnit};
use crate::time::{NS_PER_S, Timestamp};

/// What both kinds of track have.
#[derive(Debug)]
pub(super) struct Line {
    /// Channel of RTP.
    pub rtp_channel: u8,
    /// Channel of RTCP.
    pub rtcp_channel: u8,
    sequence: Sequence,
    pub timeline: Timeline,
    last_report: Option<LastReport>,
}

impl Line {
    fn new(payload_type: u8, clock_rate: u32, channels: (u8, u8)) -> Self {
        Self {
            rtp_channel: channels.0,
            rtcp_channel: channels.1,
            sequence: Sequence::new(payload_type, clock_rate),
            timeline: Timeline::new(clock_rate),
            last_report: None,
        }
    }

    /// What the server says of the first packet.
    pub(super) fn begins_at(&mut self, sequence: Option<u16>, timestamp: Option<u32>) {
        if let Some(sequence) = sequence {
            self.sequence.begins_at(sequence);
        }
        if let Some(timestamp) = timestamp {
            self.timeline.begins_at(timestamp);
        }
    }

    /// What to look for in a connection that lost its thread.
    pub(super) fn channels(&self) -> [Channel; 2] {
        let expected = Expected {
            payload_type: self.sequence.payload_type(),
            ssrc: self.sequence.ssrc(),
        };
        [
            Channel {
                number: self.rtp_channel,
                rtp: Some(expected),
            },
            Channel {
                number: self.rtcp_channel,
                rtp: None,
            },
        ]
    }

    /// Takes an RTCP packet. `true` when the source says goodbye.
    pub(super) fn rtcp(&mut self, data: &[u8], now_ns: i64) -> bool {
        let Received { report, goodbye } = rtcp::parse(data);
        let ssrc = self.sequence.ssrc();
        if let Some(report) = report
            && ssrc == Some(report.ssrc)
        {
            self.timeline.sender_report(&report);
            self.last_report = Some(LastReport {
                ntp: report.ntp,
                arrived_ns: now_ns,
            });
        }
        goodbye.is_some() && goodbye == ssrc
    }

    /// Appends a receiver report, if there is anything to report.
    pub(super) fn write_report(&mut self, own_ssrc: u32, now_ns: i64, out: &mut Vec<u8>) {
        if let Some(reception) = self.sequence.report() {
            rtcp::write_receiver_report(
                out,
                self.rtcp_channel,
                own_ssrc,
                &reception,
                self.last_report,
                now_ns,
            );
        }
    }
}

/// The video track.
#[derive(Debug)]
pub(super) struct VideoTrack {
    pub line: Line,
    assembler: Assembler,
    /// The parameters that were told last.
    told: Option<VideoParams>,
    /// Sets differ from what was told, and no keyframe came since.
    changed: bool,
    /// Of a replay: what was said of the pictures that are not handed out yet.
    marks: Option<VecDeque<(u32, ReplayMark)>>,
}

/// Pictures that a replay may have begun and not handed out.
const MOST_MARKS: usize = 16;

impl VideoTrack {
    pub(super) fn new(chosen: &ChosenVideo, channels: (u8, u8)) -> Self {
        Self {
            line: Line::new(chosen.payload_type, chosen.clock_rate, channels),
            assembler: Assembler::new(chosen.codec, &chosen.sets),
            told: None,
            changed: false,
            marks: None,
        }
    }

    /// The stream is a replay: its packets say when pictures were taken, and nothing else does.
    pub(super) fn replay(mut self) -> Self {
        self.marks = Some(VecDeque::new());
        self
    }

    #[cfg(test)]
    pub(super) fn params_for_test(&self) -> Option<VideoParams> {
        self.assembler.sets.params()
    }

    /// Takes up parameter sets that came beside the stream.
    pub(super) fn add_sets(&mut self, sets: &[Vec<u8>]) {
        for nal in sets {
            self.assembler.sets.insert(nal);
        }
    }

    /// Takes a packet. `tracks` is what is told of the session once the video's parameters are known.
    ///
    /// # Errors
    /// See [`Assembler::packet`].
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        now_ns: i64,
        tracks: &mut Option<Tracks>,
        out: &mut Vec<Event>,
    ) -> Result<(), RtspError> {
        let lost = match self.line.sequence.place(packet, now_ns) {
            Place::Next(lost) => lost,
            Place::First => {
                self.assembler.reset();
                0
            }
            Place::Ignored => return Ok(()),
        };
        if let (Some(marks), Some(mark)) = (&mut self.marks, packet.replay)
            && marks.back().is_none_or(|(at, _)| *at != packet.timestamp)
        {
            if marks.len() >= MOST_MARKS {
                marks.pop_front();
            }
            marks.push_back((packet.timestamp, mark));
        }
        let is_last = |(at, mark): &(u32, ReplayMark)| *at == packet.timestamp && mark.terminal;
        let ends = packet.marker && self.marks.iter().flatten().any(is_last);
        let (assembler, mut teller) = self.split(now_ns, tracks, out);
        assembler.packet(
            packet.payload,
            packet.timestamp,
            packet.marker,
            lost,
            &mut |assembler, unit| teller.tell(assembler, unit),
        )?;
        if ends {
            self.flush(now_ns, tracks, out);
        }
        Ok(())
    }

    /// Nothing follows: hands out the picture whose end was to be seen by the next one.
    pub(super) fn flush(&mut self, now_ns: i64, tracks: &mut Option<Tracks>, out: &mut Vec<Event>) {
        let (assembler, mut teller) = self.split(now_ns, tracks, out);
        assembler.flush(&mut |assembler, unit| teller.tell(assembler, unit));
    }

    fn split<'a>(
        &'a mut self,
        now_ns: i64,
        tracks: &'a mut Option<Tracks>,
        out: &'a mut Vec<Event>,
    ) -> (&'a mut Assembler, Teller<'a>) {
        let teller = Teller {
            line: &mut self.line,
            told: &mut self.told,
            changed: &mut self.changed,
            marks: &mut self.marks,
            now_ns,
            tracks,
            out,
        };
        (&mut self.assembler, teller)
    }
}

/// Makes news of pictures that are complete.
struct Teller<'a> {
    line: &'a mut Line,
    told: &'a mut Option<VideoParams>,
    changed: &'a mut bool,
    marks: &'a mut Option<VecDeque<(u32, ReplayMark)>>,
    now_ns: i64,
    tracks: &'a mut Option<Tracks>,
    out: &'a mut Vec<Event>,
}

impl Teller<'_> {
    fn tell(&mut self, assembler: &mut Assembler, unit: VideoUnit) {
        *self.changed |= assembler.sets.take_change();
        let pts_ns = self.line.timeline.pts(unit.timestamp, self.now_ns, None);
        if *self.changed && (self.told.is_none() || unit.keyframe) {
            *self.changed = false;
            if let Some(params) = assembler.sets.params()
                && self.told.as_ref() != Some(&params)
            {
                *self.told = Some(params.clone());
                self.out.push(match self.tracks.take() {
                    Some(tracks) => Event::Tracks(Tracks {
                        video: params,
                        ..tracks
                    }),
                    None => Event::Parameters(params),
                });
            }
        }
        let (ntp, terminal) = self.camera_time(unit.timestamp);
        if self.told.is_some() {
            self.out.push(Event::Unit(Unit {
                track: TrackKind::Video,
                data: unit.data,
                keyframe: unit.keyframe,
                pts_ns,
                ntp,
                lost_before: unit.lost_before,
            }));
        }
        if terminal {
            self.out.push(Event::Ended("the recording ends here".into()));
        }
    }

    /// When a picture was taken by the camera's clock, and whether it is the last of a replay.
    fn camera_time(&mut self, timestamp: u32) -> (Option<Timestamp>, bool) {
        let Some(marks) = self.marks else {
            return (self.line.timeline.ntp(timestamp), false);
        };
        let Some(at) = marks.iter().position(|(t, _)| *t == timestamp) else {
            return (None, false);
        };
        // Those before it were of pictures that were not whole.
        let mark = marks.drain(..=at).next_back().map(|(_, mark)| mark);
        mark.map_or((None, false), |mark| {
            (rtcp::plausible(rtcp::unix_ns(mark.ntp)), mark.terminal)
        })
    }
}

/// The audio track.
#[derive(Debug)]
pub(super) struct AudioTrack {
    pub line: Line,
    unpacker: AudioUnpacker,
    rate: u32,
    clock_rate: u32,
    lost: u32,
    last_pts_ns: i64,
    /// Of a replay: a timestamp, and when what it stands for was recorded by the camera's clock.
    mark: Option<Mark>,
}

/// Whether the stream is a replay, and what it said last.
type Mark = Option<(u32, Timestamp)>;

/// Packets of sound without a time of their own count on from one that is no further away.
const MOST_COUNTED_NS: i64 = 10 * NS_PER_S;

impl AudioTrack {
    pub(super) fn new(chosen: &ChosenAudio, channels: (u8, u8)) -> Self {
        Self {
            line: Line::new(chosen.payload_type, chosen.clock_rate, channels),
            unpacker: AudioUnpacker::new(chosen.packing),
            rate: chosen.params.rate.max(1),
            clock_rate: chosen.clock_rate.max(1),
            lost: 0,
            last_pts_ns: i64::MIN,
            mark: None,
        }
    }

    /// The stream is a replay: its packets say when they were recorded, and nothing else does.
    pub(super) fn replay(mut self) -> Self {
        self.mark = Some(None);
        self
    }

    /// The camera's clock at a packet.
    fn camera_time(&mut self, packet: &Packet<'_>) -> Option<Timestamp> {
        let Some(mark) = &mut self.mark else {
            return self.line.timeline.ntp(packet.timestamp);
        };
        if let Some(said) = packet.replay {
            *mark = rtcp::plausible(rtcp::unix_ns(said.ntp)).map(|at| (packet.timestamp, at));
        }
        let (from, at) = (*mark)?;
        let ticks = i64::from(packet.timestamp.wrapping_sub(from) as i32);
        let later_ns = ticks * NS_PER_S / i64::from(self.clock_rate);
        (later_ns.abs() <= MOST_COUNTED_NS).then(|| at.add_ns(later_ns))
    }

    /// Takes a packet; `video` is what its times follow. Units are handed out once the tracks were told.
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        now_ns: i64,
        video: &Timeline,
        told: bool,
        out: &mut Vec<Event>,
    ) {
        let lost = match self.line.sequence.place(packet, now_ns) {
            Place::Next(lost) => lost,
            Place::First => {
                self.unpacker.reset();
                0
            }
            Place::Ignored => return,
        };
        self.lost = self.lost.saturating_add(lost);
        let pts = self.line.timeline.pts(packet.timestamp, now_ns, Some(video));
        let ntp = self.camera_time(packet);
        let Self {
            unpacker,
            rate,
            lost: lost_so_far,
            last_pts_ns,
            ..
        } = self;
        let good = unpacker.packet(
            packet.payload,
            packet.timestamp,
            packet.marker,
            lost,
            &mut |data, samples| {
                let later_ns = i64::from(samples) * NS_PER_S / i64::from(*rate);
                let pts_ns = pts.saturating_add(later_ns).max(last_pts_ns.saturating_add(1));
                *last_pts_ns = pts_ns;
                if told {
                    out.push(Event::Unit(Unit {
                        track: TrackKind::Audio,
                        data,
                        keyframe: true,
                        pts_ns,
                        ntp: ntp.map(|t| t.add_ns(later_ns)),
                        lost_before: std::mem::take(lost_so_far),
                    }));
                }
            },
        );
        if !good {
            // Counted as if it had not come: nothing came of it.
            self.lost = self.lost.saturating_add(1);
        }
    }
}

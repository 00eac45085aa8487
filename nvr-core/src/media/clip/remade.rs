//! A clip whose video is encoded anew while it is read: which frames go to the encoder, and chunks of what it gives back.
//!
//! The video starts at the very first frame that is shown, since everything is encoded anyway. Times are those of the
//! footage, parts put behind one another; the audio is copied. Pure: who decodes and encodes is not known here.

mod part;

use std::collections::{BTreeMap, VecDeque};

pub use self::part::RemadePart;
use super::edges::{audio_offset, pts_of};
use super::head::{TrackHead, fragmented};
use super::plan::{Parameters, PlanPart, common_init, no_video};
use super::timeline::rescale;
use crate::error::{Error, ErrorKind, Result};
use crate::media::boxes::corrupt;
use crate::media::init::{InitSegment, InitTrack};
use crate::media::recode::{NewVideo, init_with};
use crate::time::{NS_PER_S, TimeRange};
use crate::track::VideoCodec;

/// A frame of the footage on its way to the decoder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFrame {
    /// Length-prefixed NAL units.
    pub data: Vec<u8>,
    /// When it is shown, nanoseconds from the earliest frame of its part.
    pub pts_ns: i64,
    /// Whether it is a keyframe.
    pub keyframe: bool,
    /// Whether it belongs to the clip, or is only needed to decode others.
    pub shown: bool,
}

/// The clip.
#[derive(Debug)]
pub struct Remade {
    parts: Vec<PlanPart>,
    init: std::sync::Arc<InitSegment>,
    video: InitTrack,
    audio: Option<InitTrack>,
    sequence: u32,
    /// Where the next part begins, ticks of the clip's video.
    at: i64,
    /// End of the audio so far, ticks of the clip's audio.
    audio_end: i64,
    /// The `avcC` that the header holds.
    config: Vec<u8>,
}

impl Remade {
    /// From the parts that are shown.
    ///
    /// # Errors
    /// `Conflict` when the audio's parameters change on the way, `Corrupt` and `Storage` when a header cannot be read.
    pub fn new(parts: Vec<PlanPart>) -> Result<Self> {
        let init = common_init(&parts)?;
        let audio = init.audio().cloned();
        let mut heard: Option<Parameters> = None;
        for part in &parts {
            let own = Parameters::of(&part.segment)?;
            match &heard {
                Some(before) if !before.sounds_like(&own) => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("the audio changes at {}", part.shown.start()),
                    )
                    .with_hint("ask for a range that ends there"));
                }
                Some(before) if before.has_audio() => {}
                _ => heard = Some(own),
            }
        }
        let video = init
            .video()
            .cloned()
            .ok_or_else(|| corrupt("a clip without video"))?;
        Ok(Self {
            parts,
            video,
            audio,
            init,
            sequence: 0,
            at: 0,
            audio_end: 0,
            config: Vec::new(),
        })
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &[PlanPart] {
        &self.parts
    }

    /// From the first instant shown to the last.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let start = self.parts.first().map(|p| p.shown.start());
        let end = self.parts.iter().map(|p| p.shown.end()).max();
        start
            .zip(end)
            .and_then(|(s, e)| TimeRange::new(s, e).ok())
            .unwrap_or(TimeRange::ALL)
    }

    /// How long it is going to be, nanoseconds.
    #[must_use]
    pub fn duration_ns(&self) -> i64 {
        self.parts.iter().map(|p| p.shown.len_ns()).sum()
    }

    /// `ftyp` and `moov`, once the encoder told its parameters: `config` is the body of `avcC`. `size` when the pictures
    /// were brought to one.
    ///
    /// # Errors
    /// `Corrupt` when the header of the footage cannot be read.
    pub fn head(&mut self, config: &[u8], size: Option<(u16, u16)>) -> Result<Vec<u8>> {
        config.clone_into(&mut self.config);
        let new = NewVideo {
            codec: VideoCodec::H264,
            config,
            size,
        };
        let init = InitSegment::parse(&init_with(&self.init, &new)?)?;
        let duration = rescale(self.duration_ns(), NS_PER_S as u32, init.movie_timescale);
        let duration = u64::try_from(duration).unwrap_or(0);
        let tracks: Vec<TrackHead<'_>> = [Some(&self.video), self.audio.as_ref()]
            .into_iter()
            .flatten()
            .map(|t| TrackHead {
                id: t.id,
                edits: Vec::new(),
                duration,
                table: None,
            })
            .collect();
        fragmented(&init, &tracks, duration)
    }

    /// Begins a part; parts are taken in order, each to its end.
    ///
    /// # Errors
    /// `Corrupt` when the segment is not what its index says.
    pub fn part(&mut self, number: usize) -> Result<RemadePart<'_>> {
        let part = self
            .parts
            .get(number)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a part that is not there"))?;
        let init = part.segment.init()?;
        let video = init.video().ok_or_else(|| no_video(&part.segment))?;
        let (from, to) = (
            pts_of(&part, &init, part.shown.start())?,
            pts_of(&part, &init, part.shown.end())?,
        );
        let audio_offset = audio_offset(&init);
        Ok(RemadePart {
            timescale: video.timescale,
            audio_id: init.audio().map(|a| a.id).filter(|_| self.audio.is_some()),
            audio_scale: init.audio().map_or(1, |a| a.timescale),
            next_fragment: part.fragments.start,
            clip: self,
            part,
            init,
            from,
            to,
            audio_offset,
            base: None,
            first: None,
            read: VecDeque::new(),
            expected: BTreeMap::new(),
            audio: VecDeque::new(),
            held: Vec::new(),
            end: from,
        })
    }
}

//! From recorded segments and a range of UTC to one plan per file that comes out.

use std::ops::Range;

use super::Format;
use super::source::ClipSegment;
use super::spans::{SpanInput, spans};
use crate::error::{Error, ErrorKind, Result};
use crate::media::init::{CodecConfig, InitSegment, InitTrack};
use crate::time::{NS_PER_S, TimeRange};

/// How far behind the end progressive files look for frames that are presented before it: the reorder
/// delay of B-frames is 16 frames at most and in practice below half a second.
const MP4_SLACK_NS: i64 = NS_PER_S;

/// What to do when the codec parameters change inside the range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnChange {
    /// One plan, so one file, for each stretch of equal parameters.
    Split,
    /// An error that lists the stretches.
    #[default]
    Refuse,
}

/// A run of consecutive fragments of one segment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanPart {
    /// The segment.
    pub segment: ClipSegment,
    /// Its fragments; the first begins with a keyframe.
    pub fragments: Range<usize>,
    /// The UTC that is shown of it (without the lead-in from the keyframe to the wanted start).
    pub shown: TimeRange,
}

/// What one file will hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClipPlan {
    /// Packing that it was planned for.
    pub format: Format,
    /// From the first instant shown to the last; gaps may lie between.
    pub range: TimeRange,
    /// Parts in order of time, at least one.
    pub parts: Vec<PlanPart>,
}

/// Plans the clips for a range.
///
/// Segments may come in any order, overlap and leave gaps; only those that are shown are read (their init
/// segment, once). Mostly there is one plan. Parameters change when the video or audio sample entry, a
/// timescale or a track id does. Audio that is there in some segments only is no change: such a clip has
/// an audio track that is silent elsewhere.
///
/// # Errors
/// `InvalidArgument` for an empty range; `NotFound` when nothing in it is recorded; `Conflict` when the
/// codec parameters change and `on_change` is [`OnChange::Refuse`]; `Corrupt` and `Storage` when an init
/// segment cannot be read; `Unsupported` when a segment has no video.
pub fn plan(
    segments: &[ClipSegment],
    wanted: TimeRange,
    format: Format,
    on_change: OnChange,
) -> Result<Vec<ClipPlan>> {
    let slack_ns = match format {
        Format::Fmp4 => 0,
        Format::Mp4 => MP4_SLACK_NS,
    };
    let parts = shown_parts(segments, wanted, slack_ns)?;
    let mut groups: Vec<Group> = Vec::new();
    for part in parts {
        let parameters = Parameters::of(&part.segment)?;
        match groups.last_mut() {
            Some(g) if g.parameters.accepts(&parameters) => {
                g.parameters.audio = g.parameters.audio.take().or(parameters.audio);
                g.parts.push(part);
            }
            _ => groups.push(Group {
                parameters,
                parts: vec![part],
            }),
        }
    }
    if groups.len() > 1 && on_change == OnChange::Refuse {
        let ranges: Vec<String> = groups.iter().map(Group::to_string).collect();
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "the codec parameters change inside the range: {}",
                ranges.join("; ")
            ),
        )
        .with_hint("ask for one of these ranges, or for one file each"));
    }
    Ok(groups
        .into_iter()
        .map(|g| ClipPlan {
            format,
            range: g.range(),
            parts: g.parts,
        })
        .collect())
}

/// The parts that show a range, not yet grouped by codec parameters. So far behind the end, frames are taken that may be
/// shown before it.
///
/// # Errors
/// `InvalidArgument` for an empty range; `NotFound` when nothing in it is recorded.
pub fn shown_parts(segments: &[ClipSegment], wanted: TimeRange, slack_ns: i64) -> Result<Vec<PlanPart>> {
    if wanted.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("the range at {} is empty", wanted.start()),
        ));
    }
    let inputs: Vec<SpanInput<'_>> = segments
        .iter()
        .map(|s| SpanInput {
            start: s.start,
            run_order: s.run_order,
            index: &s.index,
        })
        .collect();
    let spans = spans(&inputs, wanted, slack_ns);
    if spans.is_empty() {
        return Err(nothing_recorded(segments, wanted));
    }
    Ok(spans
        .into_iter()
        .map(|s| PlanPart {
            segment: segments[s.segment].clone(),
            fragments: s.fragments,
            shown: s.shown,
        })
        .collect())
}

fn nothing_recorded(segments: &[ClipSegment], wanted: TimeRange) -> Error {
    let ranges = || segments.iter().map(ClipSegment::range).filter(|r| !r.is_empty());
    let before = ranges().map(|r| r.end()).filter(|&t| t <= wanted.start()).max();
    let after = ranges().map(|r| r.start()).filter(|&t| t >= wanted.end()).min();
    let error = Error::new(
        ErrorKind::NotFound,
        format!("nothing is recorded from {} to {}", wanted.start(), wanted.end()),
    );
    match (before, after) {
        (None, None) => error,
        (Some(b), None) => error.with_hint(format!("the last footage before it ends at {b}")),
        (None, Some(a)) => error.with_hint(format!("the next footage after it starts at {a}")),
        (Some(b), Some(a)) => error.with_hint(format!("the nearest footage ends at {b} and starts at {a}")),
    }
}

struct Group {
    parameters: Parameters,
    parts: Vec<PlanPart>,
}

impl Group {
    fn range(&self) -> TimeRange {
        let start = self.parts.first().map(|p| p.shown.start());
        let end = self.parts.iter().map(|p| p.shown.end()).max();
        start
            .zip(end)
            .and_then(|(s, e)| TimeRange::new(s, e).ok())
            .unwrap_or(TimeRange::ALL)
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let r = self.range();
        let v = &self.parameters.video;
        write!(
            f,
            "{} to {} ({} {}x{}",
            r.start(),
            r.end(),
            v.sample_entry,
            v.width,
            v.height
        )?;
        if let Some(a) = &self.parameters.audio {
            write!(f, ", {} {} Hz {} ch", a.sample_entry, a.sample_rate, a.channels)?;
        }
        write!(f, ")")
    }
}

/// What has to be equal for fragments to share an init segment.
#[derive(Clone, Debug)]
pub(in crate::media) struct Parameters {
    video: InitTrack,
    audio: Option<InitTrack>,
}

impl Parameters {
    pub(in crate::media) fn of(segment: &ClipSegment) -> Result<Self> {
        let init = segment.init()?;
        let video = init.video().ok_or_else(|| no_video(segment))?;
        Ok(Self {
            video: comparable(video),
            audio: init.audio().map(comparable),
        })
    }

    pub(in crate::media) fn accepts(&self, other: &Self) -> bool {
        self.video == other.video && self.sounds_like(other)
    }

    /// Whether the audio of both goes into one track.
    pub(in crate::media) fn sounds_like(&self, other: &Self) -> bool {
        match (&self.audio, &other.audio) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        }
    }

    pub(in crate::media) fn has_audio(&self) -> bool {
        self.audio.is_some()
    }
}

pub(in crate::media) fn no_video(segment: &ClipSegment) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{} has no video track", segment.name),
    )
}

/// The init segment that serves all parts: the first with audio, else the first.
pub(in crate::media) fn common_init(parts: &[PlanPart]) -> Result<std::sync::Arc<InitSegment>> {
    let mut first = None;
    for part in parts {
        let init = part.segment.init()?;
        if init.audio().is_some() {
            return Ok(init);
        }
        first = first.or(Some(init));
    }
    first.ok_or_else(|| Error::new(ErrorKind::Internal, "a plan without parts"))
}

/// A track without what may differ: edits are made anew, and bit rates in `esds` are statistics.
fn comparable(track: &InitTrack) -> InitTrack {
    let mut t = track.clone();
    t.edits.clear();
    if let CodecConfig::Esds(es) = &mut t.config
        && let Some(specific) = decoder_specific(es)
    {
        *es = specific;
    }
    t
}

/// Object type and DecoderSpecificInfo of an ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5).
pub(crate) fn decoder_specific(es: &[u8]) -> Option<Vec<u8>> {
    let (tag, body) = descriptor(es)?;
    let mut skip = 3;
    let flags = *body.get(2)?;
    if flags & 0x80 != 0 {
        skip += 2;
    }
    if flags & 0x40 != 0 {
        skip += 1 + usize::from(*body.get(skip)?);
    }
    if flags & 0x20 != 0 {
        skip += 2;
    }
    let (config_tag, config) = descriptor(body.get(skip..)?)?;
    let (_, specific) = descriptor(config.get(13..)?)?;
    if (tag, config_tag) != (3, 4) {
        return None;
    }
    Some([&[config[0]], specific].concat())
}

fn descriptor(data: &[u8]) -> Option<(u8, &[u8])> {
    let (&tag, mut rest) = data.split_first()?;
    let mut len = 0usize;
    for _ in 0..4 {
        let (&b, tail) = rest.split_first()?;
        rest = tail;
        len = len << 7 | usize::from(b & 0x7f);
        if b & 0x80 == 0 {
            break;
        }
    }
    Some((tag, rest.get(..len)?))
}

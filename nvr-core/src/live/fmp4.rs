//! Live frames as fragmented MP4: an init segment, then a chunk for each frame, at once.

use bytes::Bytes;

use super::place::{Line, Placed, VIDEO_TIMESCALE};
use crate::gst::{AccessUnit, LiveSound, UnitTrack};
use crate::media::InitSegment;
use crate::media::codec::{codec_string, codecs};
use crate::media::fragment::{Sample, SampleFlags};
use crate::media::mux::{self, AUDIO_ID, AudioEntry, TrackChunk, VIDEO_ID, VideoEntry};
use crate::time::{NS_PER_S, Timestamp};

/// So many audio packets go on their own when no frame comes to take them along.
const AUDIO_ALONE: usize = 3;

/// The beginning of what follows, again when the stream changes its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Init {
    /// `video/mp4; codecs="avc1.64001f,mp4a.40.2"`.
    pub mime: String,
    /// Codec string of the video.
    pub video_codec: String,
    /// Codec string of the audio, if there is any in it.
    pub audio_codec: Option<String>,
    /// Size in pixels.
    pub size: (u16, u16),
    /// Ticks of video per second.
    pub timescale: u32,
    /// `ftyp` and `moov`.
    pub bytes: Bytes,
}

/// A video frame and the audio before it, or a little audio.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// `moof` and `mdat`.
    pub bytes: Bytes,
    /// Whether it has a video frame, and decoding can begin with it.
    pub keyframe: bool,
    /// Where its video frame begins, in ticks of the video; `None` when it has audio only.
    pub decode_time: Option<i64>,
    /// How long its video frame is, in ticks of the video.
    pub duration: u32,
    /// When its video frame is shown, in ticks of the video.
    pub presentation: i64,
    /// The same in UTC.
    pub utc: Timestamp,
}

/// What comes out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// An init segment.
    Init(Init),
    /// A chunk.
    Chunk(Chunk),
}

/// Packs the frames of one viewer.
#[derive(Debug)]
pub struct Packager {
    with_audio: bool,
    /// Known before the first frame, so that the first init segment has it.
    expected_audio: Option<AudioEntry>,
    /// Makes AAC of what is something else.
    converter: Option<LiveSound>,
    stream: Option<Stream>,
    line: Line,
    sequence: u32,
    sound: Vec<(Placed, Bytes)>,
}

#[derive(Debug)]
struct Stream {
    of: AccessUnit,
    audio: Option<AudioEntry>,
}

impl Packager {
    /// `audio` is a packet of what will come, if that is known; with `with_audio` off there will be none.
    #[must_use]
    pub fn new(with_audio: bool, audio: Option<&AccessUnit>) -> Self {
        let mut packager = Self {
            with_audio,
            expected_audio: None,
            converter: None,
            stream: None,
            line: Line::new(None),
            sequence: 0,
            sound: Vec::new(),
        };
        if let Some(audio) = audio.filter(|_| with_audio) {
            packager.expect(audio);
        }
        packager
    }

    fn expect(&mut self, audio: &AccessUnit) {
        if let Some((entry, converted)) = audio.live_audio_entry() {
            self.expected_audio = Some(entry);
            self.converter = converted.then(LiveSound::aac);
        }
    }

    /// Packs a frame. Empty before the first keyframe, and for audio, which waits for a frame.
    pub fn push(&mut self, unit: &AccessUnit) -> Vec<Packet> {
        match unit.track() {
            UnitTrack::Audio if !self.with_audio => Vec::new(),
            UnitTrack::Audio => {
                if self.expected_audio.is_none() {
                    // It joins at the next keyframe.
                    self.expect(unit);
                }
                match &mut self.converter {
                    Some(converter) => {
                        let packets = converter.push(unit);
                        packets
                            .iter()
                            .filter_map(|p| self.audio(p))
                            .map(Packet::Chunk)
                            .collect()
                    }
                    None => self.audio(unit).into_iter().map(Packet::Chunk).collect(),
                }
            }
            UnitTrack::Video => self.video(unit),
        }
    }

    fn audio(&mut self, unit: &AccessUnit) -> Option<Chunk> {
        let rate = self.stream.as_ref()?.audio.as_ref()?.sample_rate;
        let duration_ns = unit.audio_duration_ns(rate);
        let placed = self.line.audio(unit.pts_ns(), duration_ns, rate)?;
        // Packets of a chunk lie end to end; what is behind a hole is left for the next.
        if let Some((last, _)) = self.sound.last()
            && last.at + i64::from(last.duration) != placed.at
        {
            self.sound.clear();
        }
        self.sound.push((placed, Bytes::copy_from_slice(&unit.data())));
        if self.sound.len() < AUDIO_ALONE {
            return None;
        }
        self.sequence = self.sequence.wrapping_add(1);
        Some(Chunk {
            bytes: self.chunk(None),
            keyframe: false,
            decode_time: None,
            duration: 0,
            presentation: 0,
            utc: unit.utc(),
        })
    }

    fn video(&mut self, unit: &AccessUnit) -> Vec<Packet> {
        let mut out = Vec::with_capacity(1);
        if unit.keyframe() {
            let same = self.stream.as_ref().is_some_and(|s| {
                s.of.same_stream(unit) && (s.audio.is_some() || self.expected_audio.is_none())
            });
            if !same {
                let Some(init) = self.begin(unit) else { return out };
                out.push(Packet::Init(init));
            }
        }
        if self.stream.is_none() {
            return out;
        }
        let placed = self.line.video(unit.dts_ns());
        let shift = unit.pts_ns().saturating_sub(unit.dts_ns());
        let cts = i32::try_from(i128::from(shift) * i128::from(VIDEO_TIMESCALE) / i128::from(NS_PER_S))
            .unwrap_or(0);
        let data = unit.data();
        self.sequence = self.sequence.wrapping_add(1);
        let sample = Sample {
            duration: placed.duration,
            size: data.len() as u32,
            flags: if unit.keyframe() {
                SampleFlags::SYNC
            } else {
                SampleFlags::NON_SYNC
            },
            cts_offset: cts,
        };
        out.push(Packet::Chunk(Chunk {
            bytes: self.chunk(Some((placed, sample, &data[..]))),
            keyframe: unit.keyframe(),
            decode_time: Some(placed.at),
            duration: placed.duration,
            presentation: placed.at + i64::from(cts),
            utc: unit.utc(),
        }));
        out
    }

    /// Another stream, or the first one.
    fn begin(&mut self, unit: &AccessUnit) -> Option<Init> {
        let video = unit.video_entry()?;
        if self.stream.is_none() {
            self.line = Line::new(unit.tracks().video.frame_rate);
        }
        let audio = self.expected_audio.clone();
        let init = init_of(&video, audio.as_ref())?;
        self.sound.clear();
        self.stream = Some(Stream {
            of: unit.clone(),
            audio,
        });
        Some(init)
    }

    fn chunk(&mut self, video: Option<(Placed, Sample, &[u8])>) -> Bytes {
        let sound = std::mem::take(&mut self.sound);
        let pictures: Vec<Sample> = video.iter().map(|(_, sample, _)| *sample).collect();
        let packets: Vec<Sample> = sound
            .iter()
            .map(|(placed, data)| Sample {
                duration: placed.duration,
                size: data.len() as u32,
                flags: SampleFlags::SYNC,
                cts_offset: 0,
            })
            .collect();
        let at = |placed: Option<Placed>| placed.map_or(0, |p| u64::try_from(p.at).unwrap_or(0));
        let tracks = [
            TrackChunk {
                id: VIDEO_ID,
                decode_time: at(video.map(|(placed, ..)| placed)),
                samples: &pictures,
            },
            TrackChunk {
                id: AUDIO_ID,
                decode_time: at(sound.first().map(|(placed, _)| *placed)),
                samples: &packets,
            },
        ];
        let mut bytes = mux::chunk_head(self.sequence, &tracks);
        if let Some((_, _, data)) = video {
            bytes.extend_from_slice(data);
        }
        for (_, data) in &sound {
            bytes.extend_from_slice(data);
        }
        bytes.into()
    }
}

fn init_of(video: &VideoEntry, audio: Option<&AudioEntry>) -> Option<Init> {
    let bytes = mux::init_segment(video, audio);
    let parsed = InitSegment::parse(&bytes).ok()?;
    Some(Init {
        mime: format!("video/mp4; codecs=\"{}\"", codecs(&parsed)?),
        video_codec: codec_string(parsed.video()?)?,
        audio_codec: parsed.audio().and_then(codec_string),
        size: (video.width, video.height),
        timescale: VIDEO_TIMESCALE,
        bytes: bytes.into(),
    })
}

/// The init segment that would begin with this keyframe and this audio, and so the codec strings.
#[must_use]
pub fn init_for(video: &AccessUnit, audio: Option<&AccessUnit>) -> Option<Init> {
    let audio = audio
        .and_then(AccessUnit::live_audio_entry)
        .map(|(entry, _)| entry);
    init_of(&video.video_entry()?, audio.as_ref())
}

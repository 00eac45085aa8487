//! What a segment says of itself: a `uuid` box right behind `moov`, before the first fragment.
//!
//! Players skip it. With it the index can be rebuilt from the recordings alone, whatever the files are
//! called. The record is versioned: fields that a newer writer added are skipped, an incompatible
//! change gets a new version number and is refused.

use super::boxes::{BoxHeader, BoxWriter, HeaderParse, Reader, corrupt};
use super::tlv::{Record, RecordWriter, unzigzag, varint, zigzag};
use crate::error::Result;
use crate::ids::{CameraId, RunId};
use crate::run::Anchor;
use crate::segment::{Container, SegmentStart};
use crate::time::Timestamp;
use crate::track::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

/// Extended type of the box: `fb74b79e-94d4-4fba-b8e2-8bc0f09dd717`.
pub const DESCRIPTION_UUID: [u8; 16] = [
    0xfb, 0x74, 0xb7, 0x9e, 0x94, 0xd4, 0x4f, 0xba, 0xb8, 0xe2, 0x8b, 0xc0, 0xf0, 0x9d, 0xd7, 0x17,
];

/// Largest description that is accepted.
pub const MAX_DESCRIPTION_BYTES: u64 = 16 << 10;

const VERSION: u8 = 1;

mod tag {
    pub(super) const CAMERA: u64 = 1;
    pub(super) const RUN: u64 = 2;
    pub(super) const SEQUENCE: u64 = 3;
    pub(super) const ANCHOR_UTC: u64 = 4;
    pub(super) const ANCHOR_STEADY: u64 = 5;
    pub(super) const ANCHOR_RUNNING: u64 = 6;
    pub(super) const START: u64 = 7;
    pub(super) const CAMERA_START: u64 = 8;
    pub(super) const CONTAINER: u64 = 9;
    pub(super) const VIDEO_CODEC: u64 = 10;
    pub(super) const WIDTH: u64 = 11;
    pub(super) const HEIGHT: u64 = 12;
    pub(super) const FRAME_RATE: u64 = 13;
    pub(super) const AUDIO_CODEC: u64 = 14;
    pub(super) const SAMPLE_RATE: u64 = 15;
    pub(super) const CHANNELS: u64 = 16;
    pub(super) const MASKS: u64 = 17;
    pub(super) const FROM_CARD: u64 = 18;
}

/// The whole box, ready to be written behind `moov`.
#[must_use]
pub fn to_box(start: &SegmentStart) -> Vec<u8> {
    let record = to_record(start);
    let mut w = BoxWriter::new();
    w.uuid(&DESCRIPTION_UUID, |w| {
        w.bytes(&record);
    });
    w.into_bytes()
}

/// Reads a whole box that [`to_box`] made.
///
/// # Errors
/// `Corrupt` when it is another box or damaged; `Unsupported` when a newer release wrote it.
pub fn from_box(data: &[u8]) -> Result<SegmentStart> {
    match BoxHeader::parse(data)? {
        HeaderParse::Whole(h) if h.uuid == Some(DESCRIPTION_UUID) && h.size == Some(data.len() as u64) => {
            from_record(&data[usize::from(h.header_len)..]).map_err(|e| e.context("segment description"))
        }
        _ => Err(corrupt("not a segment description")),
    }
}

fn to_record(s: &SegmentStart) -> Vec<u8> {
    let mut w = RecordWriter::new(VERSION);
    w.bytes(tag::CAMERA, s.camera.as_str().as_bytes())
        .number(tag::RUN, s.run.as_u64())
        .number(tag::SEQUENCE, u64::from(s.sequence))
        .signed(tag::ANCHOR_UTC, s.anchor.utc.as_ns())
        .signed(tag::ANCHOR_STEADY, s.anchor.steady_ns)
        .signed(tag::ANCHOR_RUNNING, s.anchor.running_ns)
        .signed(tag::START, s.start.as_ns())
        .number(tag::CONTAINER, container_number(s.container));
    if let Some(t) = s.camera_start {
        w.number(tag::CAMERA_START, zigzag(t.as_ns()));
    }
    let v = &s.tracks.video;
    w.number(tag::VIDEO_CODEC, video_number(v.codec))
        .number(tag::WIDTH, u64::from(v.width))
        .number(tag::HEIGHT, u64::from(v.height));
    if let Some(rate) = v.frame_rate {
        w.bytes(tag::FRAME_RATE, &rate.to_be_bytes());
    }
    if let Some(a) = &s.tracks.audio {
        w.number(tag::AUDIO_CODEC, audio_number(a.codec))
            .number(tag::SAMPLE_RATE, u64::from(a.sample_rate))
            .number(tag::CHANNELS, u64::from(a.channels));
    }
    if let Some(masks) = &s.masks {
        w.bytes(tag::MASKS, masks.as_bytes());
    }
    if s.from_card {
        w.number(tag::FROM_CARD, 1);
    }
    w.finish()
}

fn from_record(data: &[u8]) -> Result<SegmentStart> {
    let r = Record::parse(data, VERSION)?;
    let camera = std::str::from_utf8(r.bytes(tag::CAMERA)?).map_err(|_| corrupt("camera is not text"))?;
    let run = r.number(tag::RUN)?;
    if run >= RunId::LIMIT {
        return Err(corrupt("run is too large"));
    }
    let frame_rate = match r.get(tag::FRAME_RATE) {
        Some(v) => Some(f64::from_be_bytes(Reader::new(v).array()?)).filter(|f| f.is_finite() && *f > 0.0),
        None => None,
    };
    let audio = match r.get_number(tag::AUDIO_CODEC)? {
        Some(codec) => Some(AudioTrack {
            codec: audio_codec(codec),
            sample_rate: r.number_u32(tag::SAMPLE_RATE)?,
            channels: r.number_u32(tag::CHANNELS)?,
        }),
        None => None,
    };
    Ok(SegmentStart {
        camera: CameraId::new(camera).map_err(|e| corrupt(e.to_string()))?,
        run: RunId::from_u64(run),
        sequence: r.number_u32(tag::SEQUENCE)?,
        anchor: Anchor {
            utc: Timestamp::from_ns(r.signed(tag::ANCHOR_UTC)?),
            steady_ns: r.signed(tag::ANCHOR_STEADY)?,
            running_ns: r.signed(tag::ANCHOR_RUNNING)?,
        },
        start: Timestamp::from_ns(r.signed(tag::START)?),
        camera_start: match r.get(tag::CAMERA_START) {
            Some(v) => Some(Timestamp::from_ns(unzigzag(varint(&mut Reader::new(v))?))),
            None => None,
        },
        container: container(r.number(tag::CONTAINER)?)?,
        tracks: Tracks {
            video: VideoTrack {
                codec: video_codec(r.number(tag::VIDEO_CODEC)?)?,
                width: r.number_u32(tag::WIDTH)?,
                height: r.number_u32(tag::HEIGHT)?,
                frame_rate,
            },
            audio,
        },
        masks: match r.get(tag::MASKS) {
            Some(v) => Some(
                std::str::from_utf8(v)
                    .map_err(|_| corrupt("masks are not text"))?
                    .to_owned(),
            ),
            None => None,
        },
        from_card: r.get_number(tag::FROM_CARD)?.is_some_and(|n| n != 0),
    })
}

// The numbers below are part of the file format: never change one, only add.

fn container_number(c: Container) -> u64 {
    match c {
        Container::Fmp4 => 0,
        Container::Mp4 => 1,
        Container::Matroska => 2,
    }
}

fn container(n: u64) -> Result<Container> {
    Ok(match n {
        0 => Container::Fmp4,
        1 => Container::Mp4,
        2 => Container::Matroska,
        _ => return Err(corrupt(format!("container {n} is not known"))),
    })
}

fn video_number(c: VideoCodec) -> u64 {
    match c {
        VideoCodec::H264 => 0,
        VideoCodec::H265 => 1,
    }
}

fn video_codec(n: u64) -> Result<VideoCodec> {
    Ok(match n {
        0 => VideoCodec::H264,
        1 => VideoCodec::H265,
        _ => return Err(corrupt(format!("video codec {n} is not known"))),
    })
}

fn audio_number(c: AudioCodec) -> u64 {
    match c {
        AudioCodec::Other => 0,
        AudioCodec::Aac => 1,
        AudioCodec::Opus => 2,
        AudioCodec::Pcmu => 3,
        AudioCodec::Pcma => 4,
        AudioCodec::Pcm => 5,
    }
}

fn audio_codec(n: u64) -> AudioCodec {
    match n {
        1 => AudioCodec::Aac,
        2 => AudioCodec::Opus,
        3 => AudioCodec::Pcmu,
        4 => AudioCodec::Pcma,
        5 => AudioCodec::Pcm,
        _ => AudioCodec::Other,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::growing::GrowingIndex;
    use super::super::testing::SyntheticSegment;
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    prop_compose! {
        pub(in crate::media) fn any_start()(
            camera in "[a-z0-9][a-z0-9_-]{0,62}",
            (run, sequence) in (0..RunId::LIMIT, any::<u32>()),
            (utc, steady_ns, running_ns, start) in any::<(i64, i64, i64, i64)>(),
            camera_start in any::<Option<i64>>(),
            (container, video_codec, width, height) in (0..3u64, 0..2u64, any::<u32>(), any::<u32>()),
            frame_rate in prop::option::of(0.01f64..1000.0),
            audio in prop::option::of((0..6u64, any::<u32>(), any::<u32>())),
            masks in prop::option::of("[a-z |:0-9,.;]{0,60}"),
            from_card: bool,
        ) -> SegmentStart {
            SegmentStart {
                camera: CameraId::new(&camera).unwrap(),
                run: RunId::from_u64(run),
                sequence,
                anchor: Anchor { utc: Timestamp::from_ns(utc), steady_ns, running_ns },
                start: Timestamp::from_ns(start),
                camera_start: camera_start.map(Timestamp::from_ns),
                container: super::container(container).unwrap(),
                tracks: Tracks {
                    video: VideoTrack {
                        codec: super::video_codec(video_codec).unwrap(), width, height, frame_rate,
                    },
                    audio: audio.map(|(codec, sample_rate, channels)| AudioTrack {
                        codec: audio_codec(codec), sample_rate, channels,
                    }),
                },
                masks,
                from_card,
            }
        }
    }

    proptest! {
        #[test]
        fn round_trip(start in any_start()) {
            let data = to_box(&start);
            prop_assert!(data.len() < 400);
            prop_assert_eq!(from_box(&data).unwrap(), start.clone());
            let s = SyntheticSegment { description: Some(start.clone()), ..SyntheticSegment::new() }.build();
            let mut g = GrowingIndex::new();
            g.push(&s.bytes).unwrap();
            prop_assert_eq!(g.description(), Some(&start));
            prop_assert_eq!(g.index(), &s.index);
            prop_assert_eq!(g.index().header_len, (s.init_len + data.len()) as u64);
        }

        #[test]
        fn damage_is_noticed(start in any_start(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut data = to_box(&start);
            let at = at.index(data.len());
            prop_assert!(from_box(&data[..at]).is_err());
            data[at] ^= 1 << bit;
            prop_assert!(from_box(&data).is_err());
        }

        #[test]
        fn fields_that_lie_do_not_panic(
            fields in prop::collection::vec((1..20u64, prop::collection::vec(any::<u8>(), 0..12)), 0..20),
        ) {
            let mut w = RecordWriter::new(VERSION);
            for (tag, value) in &fields {
                w.bytes(*tag, value);
            }
            let _ = from_record(&w.finish());
        }
    }

    #[test]
    fn a_newer_version_is_refused_and_a_newer_field_is_not() {
        let mut w = RecordWriter::new(VERSION + 1);
        w.number(1, 1);
        assert_eq!(
            from_record(&w.finish()).unwrap_err().kind(),
            ErrorKind::Unsupported
        );

        let mut w = RecordWriter::new(VERSION);
        w.bytes(777, b"of tomorrow").bytes(tag::CAMERA, b"yard");
        for (n, tag) in (2..13).filter(|t| *t != tag::CAMERA_START).enumerate() {
            w.number(tag, if tag >= tag::CONTAINER { 1 } else { n as u64 });
        }
        let start = from_record(&w.finish()).unwrap();
        assert_eq!((start.camera.as_str(), start.camera_start), ("yard", None));
    }
}

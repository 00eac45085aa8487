//! Writing fragmented MP4: the init segment and the head of each chunk (ISO/IEC 14496-12; sample entries
//! 14496-14 and -15; CMAF, 23000-19).
//!
//! What goes into which chunk, and when, is not decided here.

use super::boxes::BoxWriter;
use super::fragment::{Sample, SampleFlags};
use crate::track::VideoCodec;

/// Track id of the video.
pub const VIDEO_ID: u32 = 1;
/// Track id of the audio.
pub const AUDIO_ID: u32 = 2;

/// The unity matrix of movie and track headers.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// What the header says of the video.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VideoEntry {
    /// Codec.
    pub codec: VideoCodec,
    /// Body of `avcC` or `hvcC` (14496-15); parameter sets are only there (`avc1`, `hvc1`).
    pub config: Vec<u8>,
    /// Coded width in pixels.
    pub width: u16,
    /// Coded height in pixels.
    pub height: u16,
    /// Width and height of a pixel; (1, 1) when it is square.
    pub pixel_aspect: (u32, u32),
    /// Ticks per second.
    pub timescale: u32,
}

/// What the header says of the audio: AAC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AudioEntry {
    /// `AudioSpecificConfig` (14496-3).
    pub config: Vec<u8>,
    /// Samples per second; the ticks of the track as well.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
}

/// One track's part of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct TrackChunk<'a> {
    /// Track id.
    pub id: u32,
    /// Decoding time of the first sample, in ticks of the track.
    pub decode_time: u64,
    /// The samples, in decoding order.
    pub samples: &'a [Sample],
}

/// `ftyp` and `moov`.
#[must_use]
pub fn init_segment(video: &VideoEntry, audio: Option<&AudioEntry>) -> Vec<u8> {
    let mut w = BoxWriter::new();
    w.boxed(b"ftyp", |w| {
        w.bytes(b"iso6\0\0\0\0iso6cmfcmp41");
    });
    w.boxed(b"moov", |w| {
        w.full(b"mvhd", 0, 0, |w| {
            // Created and modified: not known. Then 1000 ticks per second, no duration, rate and volume of 1.
            w.u32(0)
                .u32(0)
                .u32(1000)
                .u32(0)
                .u32(0x1_0000)
                .u16(0x100)
                .bytes(&[0; 10]);
            matrix(w);
            w.bytes(&[0; 24]).u32(AUDIO_ID + 1);
        });
        video_track(w, video);
        if let Some(audio) = audio {
            audio_track(w, audio);
        }
        w.boxed(b"mvex", |w| {
            trex(w, VIDEO_ID, SampleFlags::NON_SYNC);
            if audio.is_some() {
                trex(w, AUDIO_ID, SampleFlags::SYNC);
            }
        });
    });
    w.into_bytes()
}

/// `moof` and the header of `mdat`. The bytes of the samples follow: those of the first track in order, then
/// those of the next. Tracks without samples are left out.
///
/// `sequence` is the number of the chunk in the file, from 1.
#[must_use]
pub fn chunk_head(sequence: u32, tracks: &[TrackChunk<'_>]) -> Vec<u8> {
    let mut w = BoxWriter::new();
    // Where offsets of data stand, and what they count from the first byte behind the head.
    let mut offsets: Vec<(usize, u32)> = Vec::with_capacity(tracks.len());
    let mut data = 0u32;
    w.boxed(b"moof", |w| {
        w.full(b"mfhd", 0, 0, |w| {
            w.u32(sequence);
        });
        for track in tracks.iter().filter(|t| !t.samples.is_empty()) {
            let at = traf(w, track);
            offsets.push((at, data));
            data += track.samples.iter().map(|s| s.size).sum::<u32>();
        }
    });
    let head = w.position() as u32 + 8;
    for (at, from_head) in offsets {
        w.patch_u32(at, head + from_head);
    }
    w.u32(data + 8).bytes(b"mdat");
    w.into_bytes()
}

/// What samples have in common is said once. Hands back where the data offset of the run stands.
fn traf(w: &mut BoxWriter, track: &TrackChunk<'_>) -> usize {
    const DEFAULT_BASE_IS_MOOF: u32 = 0x2_0000;
    const DEFAULT_DURATION: u32 = 0x8;
    const DEFAULT_FLAGS: u32 = 0x20;
    const DATA_OFFSET: u32 = 0x1;
    const FIRST_FLAGS: u32 = 0x4;
    const DURATIONS: u32 = 0x100;
    const SIZES: u32 = 0x200;
    const FLAGS: u32 = 0x400;
    const CTS: u32 = 0x800;

    let samples = track.samples;
    let first = samples[0];
    let rest = samples.get(1).map_or(first.flags, |s| s.flags);
    let one_duration = samples.iter().all(|s| s.duration == first.duration);
    let one_kind = samples.iter().skip(1).all(|s| s.flags == rest);
    let mut run = DATA_OFFSET | SIZES;
    if !one_duration {
        run |= DURATIONS;
    }
    if !one_kind {
        run |= FLAGS;
    } else if first.flags != rest {
        run |= FIRST_FLAGS;
    }
    if samples.iter().any(|s| s.cts_offset != 0) {
        run |= CTS;
    }
    let mut data_offset_at = 0;
    w.boxed(b"traf", |w| {
        let mut flags = DEFAULT_BASE_IS_MOOF;
        if one_duration {
            flags |= DEFAULT_DURATION;
        }
        if one_kind {
            flags |= DEFAULT_FLAGS;
        }
        w.full(b"tfhd", 0, flags, |w| {
            w.u32(track.id);
            if one_duration {
                w.u32(first.duration);
            }
            if one_kind {
                w.u32(rest.0);
            }
        });
        // 64 bits always: a file may be a day long, and its head is a few bytes more.
        w.full(b"tfdt", 1, 0, |w| {
            w.u64(track.decode_time);
        });
        w.full(b"trun", 1, run, |w| {
            w.u32(samples.len() as u32);
            data_offset_at = w.position();
            w.u32(0);
            if run & FIRST_FLAGS != 0 {
                w.u32(first.flags.0);
            }
            for s in samples {
                if run & DURATIONS != 0 {
                    w.u32(s.duration);
                }
                w.u32(s.size);
                if run & FLAGS != 0 {
                    w.u32(s.flags.0);
                }
                if run & CTS != 0 {
                    w.bytes(&s.cts_offset.to_be_bytes());
                }
            }
        });
    });
    data_offset_at
}

fn matrix(w: &mut BoxWriter) {
    for n in MATRIX {
        w.u32(n);
    }
}

fn trex(w: &mut BoxWriter, id: u32, flags: SampleFlags) {
    w.full(b"trex", 0, 0, |w| {
        w.u32(id).u32(1).u32(0).u32(0).u32(flags.0);
    });
}

fn video_track(w: &mut BoxWriter, v: &VideoEntry) {
    let (across, down) = (
        u64::from(v.pixel_aspect.0.max(1)),
        u64::from(v.pixel_aspect.1.max(1)),
    );
    // 16.16; the shown width has the shape of pixels in it.
    let shown = u32::try_from((u64::from(v.width) << 16) * across / down).unwrap_or(u32::MAX);
    let sizes = (shown, u32::from(v.height) << 16);
    track(w, VIDEO_ID, v.timescale, Some(sizes), |w| {
        let (entry, config) = match v.codec {
            VideoCodec::H264 => (b"avc1", b"avcC"),
            VideoCodec::H265 => (b"hvc1", b"hvcC"),
        };
        w.boxed(entry, |w| {
            w.bytes(&[0; 6]).u16(1).bytes(&[0; 16]).u16(v.width).u16(v.height);
            // 72 dots per inch, one frame a sample, no name of a compressor, 24 bits of colour, no palette.
            w.u32(0x48_0000)
                .u32(0x48_0000)
                .u32(0)
                .u16(1)
                .bytes(&[0; 32])
                .u16(24)
                .u16(0xffff);
            w.boxed(config, |w| {
                w.bytes(&v.config);
            });
            if across != down {
                w.boxed(b"pasp", |w| {
                    w.u32(v.pixel_aspect.0).u32(v.pixel_aspect.1);
                });
            }
        });
    });
}

fn audio_track(w: &mut BoxWriter, a: &AudioEntry) {
    track(w, AUDIO_ID, a.sample_rate, None, |w| {
        w.boxed(b"mp4a", |w| {
            // 16.16, so rates above 65535 do not fit and are in the configuration alone.
            let rate = if a.sample_rate > 0xffff {
                0
            } else {
                a.sample_rate << 16
            };
            w.bytes(&[0; 6])
                .u16(1)
                .u64(0)
                .u16(a.channels)
                .u16(16)
                .u32(0)
                .u32(rate);
            w.full(b"esds", 0, 0, |w| {
                w.bytes(&es_descriptor(&a.config));
            });
        });
    });
}

/// What all tracks have; `sizes` are those shown, in 16.16, of a video.
fn track(
    w: &mut BoxWriter,
    id: u32,
    timescale: u32,
    sizes: Option<(u32, u32)>,
    entry: impl FnOnce(&mut BoxWriter),
) {
    let (width, height) = sizes.unwrap_or_default();
    let video = sizes.is_some();
    w.boxed(b"trak", |w| {
        w.full(b"tkhd", 0, 3, |w| {
            w.u32(0).u32(0).u32(id).u32(0).u32(0).bytes(&[0; 12]);
            w.u16(if video { 0 } else { 0x100 }).u16(0);
            matrix(w);
            w.u32(width).u32(height);
        });
        w.boxed(b"mdia", |w| {
            w.full(b"mdhd", 0, 0, |w| {
                // 0x55c4: "und".
                w.u32(0).u32(0).u32(timescale).u32(0).u16(0x55c4).u16(0);
            });
            w.full(b"hdlr", 0, 0, |w| {
                w.u32(0)
                    .bytes(if video { b"vide" } else { b"soun" })
                    .bytes(&[0; 13]);
            });
            w.boxed(b"minf", |w| {
                if video {
                    w.full(b"vmhd", 0, 1, |w| {
                        w.bytes(&[0; 8]);
                    });
                } else {
                    w.full(b"smhd", 0, 0, |w| {
                        w.u32(0);
                    });
                }
                w.boxed(b"dinf", |w| {
                    w.full(b"dref", 0, 0, |w| {
                        w.u32(1).full(b"url ", 0, 1, |_| {});
                    });
                });
                w.boxed(b"stbl", |w| {
                    w.full(b"stsd", 0, 0, |w| {
                        w.u32(1);
                        entry(w);
                    });
                    // Empty: all samples are in the fragments.
                    for kind in [b"stts", b"stsc", b"stco"] {
                        w.full(kind, 0, 0, |w| {
                            w.u32(0);
                        });
                    }
                    w.full(b"stsz", 0, 0, |w| {
                        w.u32(0).u32(0);
                    });
                });
            });
        });
    });
}

/// `ES_Descriptor` (14496-1, 7.2.6.5) of AAC.
fn es_descriptor(config: &[u8]) -> Vec<u8> {
    const AAC: u8 = 0x40;
    const AUDIO_STREAM: u8 = 0x15;
    let specific = descriptor(5, config);
    let mut decoder = vec![AAC, AUDIO_STREAM, 0, 0, 0];
    // The largest and the average bit rate: not known.
    decoder.extend([0; 8]);
    decoder.extend(specific);
    // ES_ID 0, no flags.
    let mut es = vec![0, 0, 0];
    es.extend(descriptor(4, &decoder));
    // SLConfigDescriptor: predefined for MP4.
    es.extend(descriptor(6, &[2]));
    descriptor(3, &es)
}

/// A descriptor with its length, seven bits a byte.
fn descriptor(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = body.len();
    for shift in [21, 14, 7] {
        if len >> shift > 0 {
            out.push((len >> shift) as u8 & 0x7f | 0x80);
        }
    }
    out.push(len as u8 & 0x7f);
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::init::{CodecConfig, Handler};
    use crate::media::{InitSegment, MovieFragment};

    fn init(audio: bool) -> InitSegment {
        let video = VideoEntry {
            codec: VideoCodec::H265,
            config: vec![1, 2, 3],
            width: 704,
            height: 576,
            pixel_aspect: (12, 11),
            timescale: 90_000,
        };
        let audio = audio.then(|| AudioEntry {
            config: vec![0x11, 0x90],
            sample_rate: 48_000,
            channels: 2,
        });
        let bytes = init_segment(&video, audio.as_ref());
        let init = InitSegment::parse(&bytes).unwrap();
        assert_eq!(init.bytes, bytes, "nothing but ftyp and moov");
        init
    }

    #[test]
    fn the_header_says_what_it_was_told() {
        let one = init(false);
        assert_eq!(one.tracks.len(), 1);
        let video = &one.tracks[0];
        assert_eq!(
            (video.id, video.handler, video.timescale),
            (VIDEO_ID, Handler::Video, 90_000)
        );
        assert_eq!((video.width, video.height), (704, 576));
        assert_eq!(video.config, CodecConfig::Hevc(vec![1, 2, 3]));

        let two = init(true);
        let audio = &two.tracks[1];
        assert_eq!(
            (audio.id, audio.handler, audio.timescale),
            (AUDIO_ID, Handler::Audio, 48_000)
        );
        assert_eq!((audio.channels, audio.sample_rate), (2, 48_000));
        let CodecConfig::Esds(es) = &audio.config else {
            panic!()
        };
        assert_eq!(
            crate::media::codec::codec_string(audio).as_deref(),
            Some("mp4a.40.2"),
            "{es:02x?}"
        );
    }

    #[test]
    fn lengths_of_descriptors() {
        assert_eq!(descriptor(5, &[7]), [5, 1, 7]);
        assert_eq!(descriptor(5, &[0; 127])[..2], [5, 127]);
        assert_eq!(descriptor(5, &[0; 128])[..3], [5, 0x81, 0]);
        assert_eq!(descriptor(5, &[0; 20_000])[..4], [5, 0x81, 0x9c, 0x20]);
    }

    prop_compose! {
        fn a_sample()(duration in 1u32..5000, size in 0u32..2000, key: bool, cts in prop::sample::select(vec![0, 0, 0, 3600, -3600])) -> Sample {
            Sample { duration, size, flags: if key { SampleFlags::SYNC } else { SampleFlags::NON_SYNC }, cts_offset: cts }
        }
    }

    proptest! {
        /// What was written is what is read, whatever samples have in common.
        #[test]
        fn chunks_round_trip(
            mut video in prop::collection::vec(a_sample(), 0..12),
            audio in prop::collection::vec(a_sample(), 0..12),
            uniform: bool,
            time in 0u64..1 << 40,
        ) {
            prop_assume!(!video.is_empty() || !audio.is_empty());
            if uniform {
                for s in &mut video {
                    *s = Sample { size: s.size, ..Sample { duration: 3600, size: 0, flags: SampleFlags::NON_SYNC, cts_offset: 0 } };
                }
                if let Some(s) = video.first_mut() {
                    s.flags = SampleFlags::SYNC;
                }
            }
            let head = chunk_head(7, &[
                TrackChunk { id: VIDEO_ID, decode_time: time, samples: &video },
                TrackChunk { id: AUDIO_ID, decode_time: time + 1, samples: &audio },
            ]);
            let data: u32 = video.iter().chain(&audio).map(|s| s.size).sum();
            let moof_len = head.len() - 8;
            prop_assert_eq!(&head[moof_len..], &[&(data + 8).to_be_bytes()[..], b"mdat"].concat()[..]);
            let moof = MovieFragment::parse(&head[..moof_len], &init(true)).unwrap();
            prop_assert_eq!(moof.tracks.len(), usize::from(!video.is_empty()) + usize::from(!audio.is_empty()));
            let mut at = head.len() as u64;
            for (id, time, want) in [(VIDEO_ID, time, &video), (AUDIO_ID, time + 1, &audio)] {
                if want.is_empty() {
                    continue;
                }
                let track = moof.track(id).unwrap();
                prop_assert_eq!(track.base_decode_time.unwrap().value, time);
                prop_assert_eq!(track.samples().collect::<Vec<_>>(), want.clone());
                prop_assert_eq!(track.runs[0].data_offset.unwrap() as u64, at);
                at += want.iter().map(|s| u64::from(s.size)).sum::<u64>();
            }
        }
    }
}

//! Synthetic fragmented MP4s for tests and benchmarks, with the index that they must yield.
//!
//! The samples have the shape of H.264 and AAC access units; nothing decodes them.

use super::boxes::BoxWriter;
use super::describe;
use super::growing::GrowingIndex;
use super::index::{Fragment, FragmentIndex, to_ns};
use super::init::InitSegment;
use super::mfra::closing_boxes;
use crate::segment::SegmentStart;

/// `avcC` of an H.264 High stream of 128x72 at 25 frames per second.
const AVCC: &[u8] = &[
    0x01, 0x64, 0x00, 0x0a, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0a, 0xac, 0xb2, 0x04, 0x17, 0xf2,
    0xe0, 0x22, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x64, 0x1e, 0x24, 0x4c, 0x90, 0x01,
    0x00, 0x06, 0x68, 0xeb, 0xc3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00,
];

/// ES_Descriptor of AAC-LC, 48 kHz, stereo.
const ESDS: &[u8] = &[
    0x03, 0x19, 0x00, 0x02, 0x00, 0x04, 0x11, 0x40, 0x15, 0x00, 0x00, 0x00, 0x00, 0x01, 0xf4, 0x00, 0x00,
    0x01, 0xf4, 0x00, 0x05, 0x02, 0x11, 0x90, 0x06, 0x01, 0x02,
];

/// Track id of the video.
pub const VIDEO_ID: u32 = 1;
/// Track id of the audio.
pub const AUDIO_ID: u32 = 2;
/// Timescale of the audio.
pub const AUDIO_TIMESCALE: u32 = 48_000;
/// Samples per AAC frame.
const AAC_FRAME: u64 = 1024;

/// What to generate; change the fields, then [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct SyntheticSegment {
    /// Number of video frames.
    pub frames: u32,
    /// Frames per GOP.
    pub gop: u32,
    /// Frames per chunk; a chunk also ends before a keyframe.
    pub chunk: u32,
    /// Ticks per second of the video track.
    pub timescale: u32,
    /// Duration of a frame in ticks.
    pub frame_ticks: u32,
    /// Decode time of the first frame in ticks; above 32 bits it is written as `tfdt` version 1.
    pub first_decode_time: u64,
    /// Every second frame is a B-frame (decoded I P b P b).
    pub b_frames: bool,
    /// Adds an audio track.
    pub audio: bool,
    /// With audio: every so many chunks an extra one of audio alone.
    pub audio_only_every: Option<u32>,
    /// The last audio sample says that it lasts 0 ticks, as muxers write it that were told no more.
    pub audio_open_end: bool,
    /// Writes a `styp` before every chunk with a keyframe.
    pub styp: bool,
    /// Writes the sizes of `mdat` in 64 bits.
    pub large_mdat: bool,
    /// Largest size of a keyframe in bytes; others have up to a fifth of it.
    pub frame_bytes: u32,
    /// Writes the description behind `moov`.
    pub description: Option<SegmentStart>,
    /// Writes sample table, summary and `mfra`.
    pub closed: bool,
    /// Other seeds give other sizes and contents.
    pub seed: u64,
}

/// One video frame of a synthetic segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyntheticFrame {
    /// Decode time in ticks.
    pub dts: u64,
    /// Presentation time in ticks.
    pub pts: u64,
    /// Where its bytes are in the file.
    pub offset: u64,
    /// Size in bytes.
    pub size: u32,
    /// Whether it is a keyframe.
    pub keyframe: bool,
}

/// A generated file and the truth about it.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// The file.
    pub bytes: Vec<u8>,
    /// Offset behind `moov`.
    pub init_len: usize,
    /// What an index of it must be.
    pub index: FragmentIndex,
    /// Its video frames in decode order.
    pub frames: Vec<SyntheticFrame>,
}

impl Default for SyntheticSegment {
    fn default() -> Self {
        Self::new()
    }
}

impl SyntheticSegment {
    /// Four seconds of 25 frames per second in chunks of 0.2 s, a keyframe per second, no audio.
    #[must_use]
    pub fn new() -> Self {
        Self {
            frames: 100,
            gop: 25,
            chunk: 5,
            timescale: 90_000,
            frame_ticks: 3600,
            first_decode_time: 0,
            b_frames: false,
            audio: false,
            audio_only_every: None,
            audio_open_end: false,
            styp: false,
            large_mdat: false,
            frame_bytes: 400,
            description: None,
            closed: false,
            seed: 1,
        }
    }

    /// Generates the file.
    ///
    /// # Panics
    /// When `timescale` or `gop` is 0.
    #[must_use]
    pub fn build(&self) -> Synthetic {
        assert!(self.timescale > 0 && self.gop > 0, "no timescale or GOP");
        let mut w = BoxWriter::new();
        write_init(&mut w, self);
        let init_len = w.position();
        if let Some(d) = &self.description {
            w.bytes(&describe::to_box(d));
        }
        let mut out = Builder {
            spec: self,
            random: self.seed.wrapping_mul(2).wrapping_add(1),
            file: w.into_bytes(),
            sequence: 0,
            audio_frames: 0,
            frames: Vec::new(),
            fragments: Vec::new(),
        };
        let header_len = out.file.len() as u64;
        let mut chunks = 0;
        let mut first = 0;
        while first < self.frames {
            let to_key = self.gop - first % self.gop;
            let count = self.chunk.max(1).min(to_key).min(self.frames - first);
            out.chunk(first, count);
            first += count;
            chunks += 1;
            if self.audio && self.audio_only_every.is_some_and(|n| chunks % n.max(1) == 0) {
                out.chunk(first, 0);
            }
        }
        let mut bytes = out.file;
        let index = FragmentIndex {
            header_len,
            timescale: self.timescale,
            media_start: if self.frames == 0 { 0 } else { self.pts(0) as i64 },
            fragments: out.fragments,
        };
        if self.closed {
            let init = InitSegment::parse(&bytes[..init_len]).expect("our own init segment");
            let mut growing = GrowingIndex::new();
            growing.push(&bytes).expect("our own file");
            bytes.extend(closing_boxes(&index, &init, growing.samples()));
        }
        Synthetic {
            bytes,
            init_len,
            index,
            frames: out.frames,
        }
    }

    fn dts(&self, frame: u32) -> u64 {
        self.first_decode_time + u64::from(frame) * u64::from(self.frame_ticks)
    }

    fn pts(&self, frame: u32) -> u64 {
        if !self.b_frames {
            return self.dts(frame);
        }
        let j = frame % self.gop;
        let last_of_gop = j + 1 == self.gop || frame + 1 == self.frames;
        let delay = match (j, j % 2) {
            (0, _) => 1,
            (_, 1) if last_of_gop => 1,
            (_, 1) => 2,
            _ => 0,
        };
        self.dts(frame) + delay * u64::from(self.frame_ticks)
    }

    fn ns(&self, frame: u32) -> i64 {
        to_ns(i64::from(frame) * i64::from(self.frame_ticks), self.timescale)
    }
}

struct Builder<'a> {
    spec: &'a SyntheticSegment,
    random: u64,
    file: Vec<u8>,
    sequence: u32,
    audio_frames: u64,
    frames: Vec<SyntheticFrame>,
    fragments: Vec<Fragment>,
}

impl Builder<'_> {
    fn random(&mut self, limit: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u32 % limit.max(1)
    }

    /// Bytes that hold the names of boxes, to catch whoever looks for them in media data.
    fn fill(&mut self, data: &mut Vec<u8>, len: u32) {
        for i in 0..len {
            let b = b"\0\0\0\x10moof\0\0\0\x09mdat"[i as usize % 16];
            data.push(if self.random(4) == 0 {
                self.random(256) as u8
            } else {
                b
            });
        }
    }

    fn chunk(&mut self, first: u32, count: u32) {
        let spec = self.spec;
        self.sequence += 1;
        let mut data = Vec::new();
        let mut sizes = Vec::new();
        for i in first..first + count {
            let key = i % spec.gop == 0;
            let most = if key {
                spec.frame_bytes
            } else {
                spec.frame_bytes / 5
            };
            let payload = 1 + self.random(most);
            sizes.push(payload + 5);
            data.extend((payload + 1).to_be_bytes());
            data.push(if key { 0x65 } else { 0x41 });
            self.fill(&mut data, payload);
        }
        let video_len = data.len();
        let audio_first = self.audio_frames;
        let mut audio_sizes = Vec::new();
        if spec.audio {
            let end = u64::from(first + count) * u64::from(spec.frame_ticks) * u64::from(AUDIO_TIMESCALE)
                / u64::from(spec.timescale);
            let mut wanted = end / AAC_FRAME;
            if count == 0 {
                wanted = wanted.max(self.audio_frames + 1);
            }
            while self.audio_frames < wanted {
                let size = 1 + self.random(200);
                audio_sizes.push(size);
                self.fill(&mut data, size);
                self.audio_frames += 1;
            }
        }

        let offset = self.file.len();
        let mut w = BoxWriter::new();
        if spec.styp && count > 0 && first.is_multiple_of(spec.gop) {
            w.boxed(b"styp", |w| {
                w.bytes(b"cmfs\0\0\0\0cmfs");
            });
        }
        let moof = w.position();
        let mut patches = Vec::new();
        w.boxed(b"moof", |w| {
            w.full(b"mfhd", 0, 0, |w| {
                w.u32(self.sequence);
            });
            if count > 0 {
                w.boxed(b"traf", |w| self.video_traf(w, first, &sizes, &mut patches));
            }
            if !audio_sizes.is_empty() {
                let open_end = spec.audio_open_end && first + count >= spec.frames;
                w.boxed(b"traf", |w| {
                    audio_traf(w, audio_first, &audio_sizes, open_end, video_len, &mut patches);
                });
            }
        });
        let header = if spec.large_mdat { 16 } else { 8 };
        for (at, in_data) in patches {
            w.patch_u32(at, (w.position() - moof + header + in_data) as u32);
        }
        if spec.large_mdat {
            w.u32(1).bytes(b"mdat").u64((data.len() + 16) as u64);
        } else {
            w.u32((data.len() + 8) as u32).bytes(b"mdat");
        }
        let head = w.into_bytes();
        let mut at = (offset + head.len()) as u64;
        for (i, &size) in (first..).zip(&sizes) {
            self.frames.push(SyntheticFrame {
                dts: spec.dts(i),
                pts: spec.pts(i),
                offset: at,
                size,
                keyframe: i % spec.gop == 0,
            });
            at += u64::from(size);
        }
        self.file.extend(&head);
        self.file.extend(&data);
        self.fragments.push(Fragment {
            offset: offset as u64,
            size: (self.file.len() - offset) as u32,
            start_ns: spec.ns(first),
            duration_ns: spec.ns(first + count) - spec.ns(first),
            keyframe: count > 0 && first.is_multiple_of(spec.gop),
        });
    }

    fn video_traf(&self, w: &mut BoxWriter, first: u32, sizes: &[u32], patches: &mut Vec<(usize, usize)>) {
        let spec = self.spec;
        // default-base-is-moof, default duration; flags and composition offsets per sample.
        w.full(b"tfhd", 0, 0x02_0008, |w| {
            w.u32(VIDEO_ID).u32(spec.frame_ticks);
        });
        write_tfdt(w, spec.dts(first));
        let cts = if spec.b_frames { 0x800 } else { 0 };
        w.full(b"trun", 1, 0x601 | cts, |w| {
            w.u32(sizes.len() as u32);
            patches.push((w.position(), 0));
            w.u32(0);
            for (i, &size) in (first..).zip(sizes) {
                let key = i % spec.gop == 0;
                w.u32(size).u32(if key { 0x0200_0000 } else { 0x0101_0000 });
                if spec.b_frames {
                    w.u32((spec.pts(i) - spec.dts(i)) as u32);
                }
            }
        });
    }
}

fn write_tfdt(w: &mut BoxWriter, time: u64) {
    let wide = time > u64::from(u32::MAX);
    w.full(b"tfdt", u8::from(wide), 0, |w| {
        if wide {
            w.u64(time);
        } else {
            w.u32(time as u32);
        }
    });
}

fn audio_traf(
    w: &mut BoxWriter,
    first: u64,
    sizes: &[u32],
    open_end: bool,
    in_data: usize,
    patches: &mut Vec<(usize, usize)>,
) {
    w.full(b"tfhd", 0, 0x02_0000, |w| {
        w.u32(AUDIO_ID);
    });
    write_tfdt(w, first * AAC_FRAME);
    w.full(b"trun", 0, if open_end { 0x301 } else { 0x201 }, |w| {
        w.u32(sizes.len() as u32);
        patches.push((w.position(), in_data));
        w.u32(0);
        for (i, &size) in sizes.iter().enumerate() {
            if open_end {
                let is_last = i + 1 == sizes.len();
                w.u32(if is_last { 0 } else { AAC_FRAME as u32 });
            }
            w.u32(size);
        }
    });
}

const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

fn write_init(w: &mut BoxWriter, spec: &SyntheticSegment) {
    w.boxed(b"ftyp", |w| {
        w.bytes(b"iso6\0\0\0\0iso6cmfcmp41");
    });
    w.boxed(b"moov", |w| {
        w.full(b"mvhd", 0, 0, |w| {
            w.u32(0)
                .u32(0)
                .u32(1000)
                .u32(0)
                .u32(0x1_0000)
                .u16(0x100)
                .bytes(&[0; 10]);
            MATRIX.iter().for_each(|&n| {
                w.u32(n);
            });
            w.bytes(&[0; 24]).u32(3);
        });
        write_trak(w, VIDEO_ID, spec.timescale, true);
        if spec.audio {
            write_trak(w, AUDIO_ID, AUDIO_TIMESCALE, false);
        }
        w.boxed(b"mvex", |w| {
            w.full(b"trex", 0, 0, |w| {
                w.u32(VIDEO_ID).u32(1).u32(0).u32(0).u32(0);
            });
            if spec.audio {
                w.full(b"trex", 0, 0, |w| {
                    w.u32(AUDIO_ID)
                        .u32(1)
                        .u32(AAC_FRAME as u32)
                        .u32(0)
                        .u32(0x0200_0000);
                });
            }
        });
    });
}

fn write_trak(w: &mut BoxWriter, id: u32, timescale: u32, video: bool) {
    w.boxed(b"trak", |w| {
        w.full(b"tkhd", 0, 3, |w| {
            w.u32(0).u32(0).u32(id).u32(0).u32(0).bytes(&[0; 12]);
            w.u16(if video { 0 } else { 0x100 }).u16(0);
            MATRIX.iter().for_each(|&n| {
                w.u32(n);
            });
            w.u32(if video { 128 << 16 } else { 0 })
                .u32(if video { 72 << 16 } else { 0 });
        });
        w.boxed(b"mdia", |w| {
            w.full(b"mdhd", 0, 0, |w| {
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
                        if video { write_avc1(w) } else { write_mp4a(w) }
                    });
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

fn write_avc1(w: &mut BoxWriter) {
    w.boxed(b"avc1", |w| {
        w.bytes(&[0; 6]).u16(1).bytes(&[0; 16]).u16(128).u16(72);
        w.u32(0x48_0000)
            .u32(0x48_0000)
            .u32(0)
            .u16(1)
            .bytes(&[0; 32])
            .u16(24)
            .u16(0xffff);
        w.boxed(b"avcC", |w| {
            w.bytes(AVCC);
        });
    });
}

fn write_mp4a(w: &mut BoxWriter) {
    w.boxed(b"mp4a", |w| {
        w.bytes(&[0; 6])
            .u16(1)
            .u64(0)
            .u16(2)
            .u16(16)
            .u32(0)
            .u32(AUDIO_TIMESCALE << 16);
        w.full(b"esds", 0, 0, |w| {
            w.bytes(ESDS);
        });
    });
}

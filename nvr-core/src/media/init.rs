//! The init segment (`ftyp` + `moov`): the tracks of a fragmented file and how to read their fragments.

use super::boxes::{BoxRef, Boxes, FourCc, Reader, corrupt, find, find_path};
use crate::error::Result;
use crate::track::VideoCodec;

/// Largest init segment that is accepted.
pub const MAX_INIT_BYTES: usize = 4 << 20;

/// Most tracks that are accepted.
const MAX_TRACKS: usize = 64;

/// What a track carries, from its `hdlr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handler {
    /// `vide`.
    Video,
    /// `soun`.
    Audio,
    /// Anything else.
    Other(FourCc),
}

/// What `trex` says where a fragment does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SampleDefaults {
    /// Index of the sample entry, from 1.
    pub description_index: u32,
    /// Duration in the track's timescale.
    pub duration: u32,
    /// Size in bytes.
    pub size: u32,
    /// Sample flags (14496-12, 8.8.3.1).
    pub flags: u32,
}

/// One entry of an edit list (14496-12, 8.6.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edit {
    /// Duration in the movie's timescale; 0 in a fragmented file: to the end.
    pub duration: u64,
    /// Where it starts in the track's timescale; -1: empty edit, nothing is presented.
    pub media_time: i64,
}

/// Codec-specific configuration, as raw bytes (the payload of its box).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodecConfig {
    /// `avcC`: AVCDecoderConfigurationRecord (14496-15).
    Avc(Vec<u8>),
    /// `hvcC`: HEVCDecoderConfigurationRecord (14496-15).
    Hevc(Vec<u8>),
    /// `esds` without version and flags: an ES_Descriptor (14496-1).
    Esds(Vec<u8>),
    /// None of these.
    Unknown,
}

/// One track of an init segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitTrack {
    /// Track id.
    pub id: u32,
    /// What it carries.
    pub handler: Handler,
    /// Ticks per second, never 0.
    pub timescale: u32,
    /// Type of the first sample entry (`avc1`, `hvc1`, `mp4a`).
    pub sample_entry: FourCc,
    /// Codec configuration of the first sample entry.
    pub config: CodecConfig,
    /// Coded width in pixels; 0 unless video.
    pub width: u16,
    /// Coded height in pixels; 0 unless video.
    pub height: u16,
    /// Channels; 0 unless audio.
    pub channels: u16,
    /// Samples per second; 0 unless audio.
    pub sample_rate: u32,
    /// Defaults for its fragments.
    pub defaults: SampleDefaults,
    /// Its edit list; mostly empty.
    pub edits: Vec<Edit>,
}

impl InitTrack {
    /// The video codec, if it is one that the recorder knows.
    #[must_use]
    pub fn codec(&self) -> Option<VideoCodec> {
        match self.config {
            CodecConfig::Avc(_) => Some(VideoCodec::H264),
            CodecConfig::Hevc(_) => Some(VideoCodec::H265),
            _ => None,
        }
    }
}

/// A parsed init segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitSegment {
    /// The boxes `ftyp` and `moov` as they are in the file (what precedes `moov`, and `moov`).
    pub bytes: Vec<u8>,
    /// Ticks per second of the movie header.
    pub movie_timescale: u32,
    /// Tracks in file order.
    pub tracks: Vec<InitTrack>,
}

impl InitSegment {
    /// Parses bytes that begin with `ftyp` (or another box) and hold a whole `moov`; what follows `moov`
    /// is not looked at and not kept.
    ///
    /// # Errors
    /// `Corrupt` when `moov` is missing, damaged or has no track.
    pub fn parse(data: &[u8]) -> Result<Self> {
        if data.len() > MAX_INIT_BYTES {
            return Err(corrupt(format!(
                "an init segment of {} bytes is too large",
                data.len()
            )));
        }
        let moov = find(data, b"moov")?.ok_or_else(|| corrupt("init segment without 'moov'"))?;
        Self::parse_moov(&moov, data[..moov.offset + moov.bytes.len()].to_vec())
            .map_err(|e| e.context("init segment"))
    }

    fn parse_moov(moov: &BoxRef<'_>, bytes: Vec<u8>) -> Result<Self> {
        let mut movie_timescale = 0;
        let mut tracks = Vec::new();
        for b in moov.children() {
            let b = b?;
            match &b.kind().0 {
                b"mvhd" => movie_timescale = timescale_of(&b)?,
                b"trak" => tracks.push(parse_trak(&b)?),
                _ => {}
            }
            if tracks.len() > MAX_TRACKS {
                return Err(corrupt(format!("more than {MAX_TRACKS} tracks")));
            }
        }
        if tracks.is_empty() {
            return Err(corrupt("no track"));
        }
        if let Some(mvex) = find(moov.body(), b"mvex")? {
            for b in mvex.children() {
                let b = b?;
                if b.kind() == b"trex" {
                    let (_, _, mut r) = b.full()?;
                    let id = r.u32()?;
                    let defaults = SampleDefaults {
                        description_index: r.u32()?,
                        duration: r.u32()?,
                        size: r.u32()?,
                        flags: r.u32()?,
                    };
                    if let Some(t) = tracks.iter_mut().find(|t| t.id == id) {
                        t.defaults = defaults;
                    }
                }
            }
        }
        Ok(Self {
            bytes,
            movie_timescale,
            tracks,
        })
    }

    /// The first video track.
    #[must_use]
    pub fn video(&self) -> Option<&InitTrack> {
        self.tracks.iter().find(|t| t.handler == Handler::Video)
    }

    /// The first audio track.
    #[must_use]
    pub fn audio(&self) -> Option<&InitTrack> {
        self.tracks.iter().find(|t| t.handler == Handler::Audio)
    }

    /// The track with this id.
    #[must_use]
    pub fn track(&self, id: u32) -> Option<&InitTrack> {
        self.tracks.iter().find(|t| t.id == id)
    }
}

/// Timescale of `mvhd` or `mdhd`.
fn timescale_of(b: &BoxRef<'_>) -> Result<u32> {
    let (version, _, mut r) = b.full()?;
    r.take(if version == 1 { 16 } else { 8 })?;
    r.u32()
}

fn need<'a>(found: Option<BoxRef<'a>>, name: &str) -> Result<BoxRef<'a>> {
    found.ok_or_else(|| corrupt(format!("track without '{name}'")))
}

fn parse_trak(trak: &BoxRef<'_>) -> Result<InitTrack> {
    let (version, _, mut r) = need(find(trak.body(), b"tkhd")?, "tkhd")?.full()?;
    r.take(if version == 1 { 16 } else { 8 })?;
    let id = r.u32()?;

    let mdia = need(find(trak.body(), b"mdia")?, "mdia")?;
    let timescale = timescale_of(&need(find(mdia.body(), b"mdhd")?, "mdhd")?)?;
    if id == 0 || timescale == 0 {
        return Err(corrupt(format!("track {id} with timescale {timescale}")));
    }
    let (_, _, mut r) = need(find(mdia.body(), b"hdlr")?, "hdlr")?.full()?;
    r.take(4)?;
    let handler = match FourCc(r.array()?) {
        FourCc([b'v', b'i', b'd', b'e']) => Handler::Video,
        FourCc([b's', b'o', b'u', b'n']) => Handler::Audio,
        other => Handler::Other(other),
    };
    let stsd = need(find_path(mdia.body(), &[b"minf", b"stbl", b"stsd"])?, "stsd")?;
    let (_, _, mut r) = stsd.full()?;
    r.take(4)?;
    let entry = Boxes::new(r.rest())
        .next()
        .ok_or_else(|| corrupt(format!("track {id} without a sample entry")))??;

    let mut track = InitTrack {
        id,
        handler,
        timescale,
        sample_entry: entry.kind(),
        config: CodecConfig::Unknown,
        width: 0,
        height: 0,
        channels: 0,
        sample_rate: 0,
        defaults: SampleDefaults::default(),
        edits: match find_path(trak.body(), &[b"edts", b"elst"])? {
            Some(elst) => parse_elst(&elst)?,
            None => Vec::new(),
        },
    };
    let mut r = Reader::new(entry.body());
    match handler {
        Handler::Video => {
            r.take(24)?;
            track.width = r.u16()?;
            track.height = r.u16()?;
            r.take(50)?;
        }
        Handler::Audio => {
            r.take(8)?;
            let version = r.u16()?;
            r.take(6)?;
            track.channels = r.u16()?;
            r.take(6)?;
            track.sample_rate = r.u32()? >> 16;
            // QuickTime sound descriptions 1 and 2; ISO files have 0 here.
            r.take(match version {
                1 => 16,
                2 => 36,
                _ => 0,
            })?;
        }
        Handler::Other(_) => return Ok(track),
    }
    for b in Boxes::new(r.rest()) {
        let b = b?;
        track.config = match &b.kind().0 {
            b"avcC" => CodecConfig::Avc(b.body().to_vec()),
            b"hvcC" => CodecConfig::Hevc(b.body().to_vec()),
            b"esds" => CodecConfig::Esds(b.full()?.2.rest().to_vec()),
            _ => continue,
        };
        break;
    }
    Ok(track)
}

fn parse_elst(elst: &BoxRef<'_>) -> Result<Vec<Edit>> {
    let (version, _, mut r) = elst.full()?;
    let count = r.u32()?;
    let mut edits = Vec::new();
    for _ in 0..count {
        edits.push(if version == 1 {
            Edit {
                duration: r.u64()?,
                media_time: r.i64()?,
            }
        } else {
            Edit {
                duration: u64::from(r.u32()?),
                media_time: i64::from(r.i32()?),
            }
        });
        r.take(4)?;
    }
    Ok(edits)
}

//! One movie fragment (`moof`, ISO/IEC 14496-12, 8.8.4 to 8.8.12): its tracks, runs and samples.
//!
//! Runs are read in place: a run that claims millions of samples costs nothing until they are asked for.

use super::boxes::{BoxRef, Boxes, Reader, corrupt};
use super::init::{InitSegment, SampleDefaults};
use crate::error::Result;

/// Largest `moof` that is accepted: one second of video and audio takes about 2 KiB.
pub const MAX_MOOF_BYTES: u64 = 4 << 20;

/// Most samples that a run may claim.
const MAX_RUN_SAMPLES: u32 = 1 << 20;

/// Most samples of a fragment: half a second has some hundred. A run can claim a million in a few bytes.
const MAX_FRAGMENT_SAMPLES: u64 = 1 << 17;

/// Most tracks or runs that are accepted.
const MAX_PARTS: usize = 4096;

/// Flags of a sample (14496-12, 8.8.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SampleFlags(pub u32);

impl SampleFlags {
    /// A keyframe: independent of others, decodable from here.
    pub const SYNC: Self = Self(0x0200_0000);
    /// Any other frame.
    pub const NON_SYNC: Self = Self(0x0101_0000);

    /// Whether it is a sync sample: `sample_is_non_sync_sample` is 0 and `sample_depends_on` does not
    /// say that it depends on others.
    #[must_use]
    pub const fn is_sync(self) -> bool {
        self.0 & 0x0001_0000 == 0 && (self.0 >> 24) & 3 != 1
    }
}

impl std::fmt::Debug for SampleFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SampleFlags({:#010x})", self.0)
    }
}

/// One sample of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Duration in the track's timescale.
    pub duration: u32,
    /// Size in bytes.
    pub size: u32,
    /// Flags.
    pub flags: SampleFlags,
    /// Presentation time minus decode time in the track's timescale. Unsigned in version 0 of `trun`
    /// by the letter; read as signed always, because writers store negative ones there too.
    pub cts_offset: i32,
}

/// A `tfdt` box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BaseDecodeTime {
    /// Decode time of the first sample in the track's timescale.
    pub value: u64,
    /// Offset of the number from the start of the `moof`.
    pub offset: usize,
    /// Whether it is stored in 64 bits (version 1) rather than 32.
    pub wide: bool,
}

/// A `trun` box.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Where its data starts, as stored: counted from the base of the track fragment.
    pub data_offset: Option<i32>,
    /// Offset of the data offset field from the start of the `moof`, if there is one.
    pub data_offset_at: Option<usize>,
    /// Number of samples.
    pub sample_count: u32,
    first_flags: Option<u32>,
    flags: u32,
    defaults: SampleDefaults,
    table: &'a [u8],
}

const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const CTS: u32 = 0x800;

impl<'a> Run<'a> {
    fn parse(b: &BoxRef<'a>, defaults: SampleDefaults) -> Result<Self> {
        let (_, flags, mut r) = b.full()?;
        let sample_count = r.u32()?;
        let mut data_offset_at = None;
        let mut data_offset = None;
        if flags & 1 != 0 {
            data_offset_at = Some(b.body_offset() + 8);
            data_offset = Some(r.i32()?);
        }
        let first_flags = if flags & 4 != 0 { Some(r.u32()?) } else { None };
        let row = 4 * (flags & (DURATION | SIZE | FLAGS | CTS)).count_ones() as usize;
        if sample_count > MAX_RUN_SAMPLES {
            return Err(corrupt(format!("a run of {sample_count} samples")));
        }
        let table = r.take(row * sample_count as usize)?;
        Ok(Self {
            data_offset,
            data_offset_at,
            sample_count,
            first_flags,
            flags,
            defaults,
            table,
        })
    }

    /// The samples in decode order.
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<'a> {
        let Self {
            flags,
            defaults,
            first_flags,
            ..
        } = *self;
        let mut r = Reader::new(self.table);
        (0..self.sample_count).map(move |i| {
            // The table was measured when the run was parsed: reading it does not fail.
            let mut field = |bit: u32, default: u32| {
                if flags & bit != 0 {
                    r.u32().unwrap_or(default)
                } else {
                    default
                }
            };
            let duration = field(DURATION, defaults.duration);
            let size = field(SIZE, defaults.size);
            let own_flags = field(FLAGS, defaults.flags);
            let cts = field(CTS, 0);
            Sample {
                duration,
                size,
                flags: SampleFlags(if i == 0 {
                    first_flags.unwrap_or(own_flags)
                } else {
                    own_flags
                }),
                cts_offset: cts as i32,
            }
        })
    }

    /// Sum of the samples' durations in the track's timescale.
    #[must_use]
    pub fn duration(&self) -> u64 {
        if self.flags & DURATION == 0 {
            u64::from(self.defaults.duration) * u64::from(self.sample_count)
        } else {
            self.samples().map(|s| u64::from(s.duration)).sum()
        }
    }

    /// Sum of the samples' sizes in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        if self.flags & SIZE == 0 {
            u64::from(self.defaults.size) * u64::from(self.sample_count)
        } else {
            self.samples().map(|s| u64::from(s.size)).sum()
        }
    }
}

/// A `traf` box: the fragment's part of one track.
#[derive(Clone, Debug)]
pub struct TrackFragment<'a> {
    /// Track id.
    pub track_id: u32,
    /// Absolute file offset that data offsets count from, if given.
    pub base_data_offset: Option<u64>,
    /// Whether data offsets count from the start of the `moof` (as everything written here does).
    pub default_base_is_moof: bool,
    /// `tfdt`.
    pub base_decode_time: Option<BaseDecodeTime>,
    /// `trun` boxes in order.
    pub runs: Vec<Run<'a>>,
}

impl TrackFragment<'_> {
    /// Number of samples.
    #[must_use]
    pub fn sample_count(&self) -> u64 {
        self.runs.iter().map(|r| u64::from(r.sample_count)).sum()
    }

    /// Sum of the samples' durations in the track's timescale.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.runs.iter().map(Run::duration).sum()
    }

    /// Sum of the samples' sizes in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.runs.iter().map(Run::size).sum()
    }

    /// All samples in decode order.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.runs.iter().flat_map(Run::samples)
    }

    /// The first sample in decode order.
    #[must_use]
    pub fn first_sample(&self) -> Option<Sample> {
        self.samples().next()
    }

    /// Whether its first sample is a sync sample.
    #[must_use]
    pub fn starts_with_keyframe(&self) -> bool {
        self.first_sample().is_some_and(|s| s.flags.is_sync())
    }
}

/// A run, where its samples lie, and when the first of them is decoded.
#[derive(Clone, Debug)]
pub struct PlacedRun<'a> {
    /// Id of its track.
    pub track_id: u32,
    /// Decode time of its first sample in the track's timescale; `None` where the `moof` does not tell it.
    pub decode_time: Option<i64>,
    /// Offset of its first sample in the file.
    pub offset: u64,
    /// Sum of its samples' sizes in bytes.
    pub size: u64,
    /// The run.
    pub run: Run<'a>,
}

/// A parsed `moof`.
#[derive(Clone, Debug)]
pub struct MovieFragment<'a> {
    /// Number in `mfhd`.
    pub sequence: u32,
    /// Offset of that number from the start of the `moof`.
    pub sequence_at: usize,
    /// Track fragments in file order.
    pub tracks: Vec<TrackFragment<'a>>,
}

impl<'a> MovieFragment<'a> {
    /// Parses a whole `moof` box, header included; `init` gives the defaults of `trex`.
    ///
    /// # Errors
    /// `Corrupt` when it is not a `moof` or something in it is cut or impossible.
    pub fn parse(moof: &'a [u8], init: &InitSegment) -> Result<Self> {
        Self::parse_with(moof, |id| init.track(id).map(|t| t.defaults).unwrap_or_default())
            .map_err(|e| e.context("moof"))
    }

    fn parse_with(moof: &'a [u8], defaults: impl Fn(u32) -> SampleDefaults) -> Result<Self> {
        let outer = Boxes::new(moof).next().ok_or_else(|| corrupt("empty"))??;
        if outer.kind() != b"moof" {
            return Err(corrupt(format!("box '{}' in its place", outer.kind())));
        }
        let mut fragment = Self {
            sequence: 0,
            sequence_at: 0,
            tracks: Vec::new(),
        };
        let base = outer.body_offset();
        for b in outer.children() {
            let b = b?;
            match &b.kind().0 {
                b"mfhd" => {
                    fragment.sequence = b.full()?.2.u32()?;
                    fragment.sequence_at = base + b.body_offset() + 4;
                }
                b"traf" => fragment.tracks.push(parse_traf(&b, base, &defaults)?),
                _ => {}
            }
            if fragment.tracks.len() > MAX_PARTS {
                return Err(corrupt("too many tracks"));
            }
        }
        if fragment.sequence_at == 0 {
            return Err(corrupt("no 'mfhd'"));
        }
        Ok(fragment)
    }

    /// The part of a track; the first, should there be several.
    #[must_use]
    pub fn track(&self, id: u32) -> Option<&TrackFragment<'a>> {
        self.tracks.iter().find(|t| t.track_id == id)
    }

    /// Sum of all samples' sizes in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tracks.iter().map(TrackFragment::size).sum()
    }

    /// To be asked before all samples are looked at.
    ///
    /// # Errors
    /// `Corrupt` when it claims more than any fragment has.
    pub fn check_sample_count(&self) -> Result<()> {
        match self.tracks.iter().map(TrackFragment::sample_count).sum() {
            0..=MAX_FRAGMENT_SAMPLES => Ok(()),
            samples => Err(corrupt(format!("a fragment that claims {samples} samples"))),
        }
    }

    /// Its runs, in the order of their boxes, with their places in a file that has this `moof` at `offset` (14496-12,
    /// 8.8.7 and 8.8.8).
    ///
    /// # Errors
    /// `Corrupt` when an offset or a time is impossible.
    pub fn placed(&self, offset: u64) -> Result<Vec<PlacedRun<'a>>> {
        let mut placed = Vec::with_capacity(self.tracks.len());
        let mut behind_last = offset;
        for (i, track) in self.tracks.iter().enumerate() {
            let base = match track.base_data_offset {
                Some(base) => base,
                None if track.default_base_is_moof || i == 0 => offset,
                None => behind_last,
            };
            behind_last = base;
            let time = track.base_decode_time.map(|t| i64::try_from(t.value)).transpose();
            let mut decode_time = time.map_err(|_| corrupt("a decode time is out of range"))?;
            for run in &track.runs {
                let at = match run.data_offset {
                    Some(o) => base.checked_add_signed(i64::from(o)),
                    None => Some(behind_last),
                };
                let at = at.ok_or_else(|| corrupt("samples lie before the file"))?;
                let size = run.size();
                behind_last = at.saturating_add(size);
                placed.push(PlacedRun {
                    track_id: track.track_id,
                    decode_time,
                    offset: at,
                    size,
                    run: run.clone(),
                });
                decode_time = decode_time.map(|t| t.saturating_add_unsigned(run.duration()));
            }
        }
        Ok(placed)
    }
}

fn parse_traf<'a>(
    traf: &BoxRef<'a>,
    base: usize,
    defaults: &impl Fn(u32) -> SampleDefaults,
) -> Result<TrackFragment<'a>> {
    let base = base + traf.body_offset();
    let mut header = None;
    let mut base_decode_time = None;
    let mut runs = Vec::new();
    for b in traf.children() {
        let mut b = b?;
        b.offset += base;
        match &b.kind().0 {
            b"tfhd" => {
                let (_, flags, mut r) = b.full()?;
                let track_id = r.u32()?;
                let mut d = defaults(track_id);
                let base_data_offset = if flags & 0x01 != 0 { Some(r.u64()?) } else { None };
                if flags & 0x02 != 0 {
                    d.description_index = r.u32()?;
                }
                if flags & 0x08 != 0 {
                    d.duration = r.u32()?;
                }
                if flags & 0x10 != 0 {
                    d.size = r.u32()?;
                }
                if flags & 0x20 != 0 {
                    d.flags = r.u32()?;
                }
                header = Some((track_id, base_data_offset, flags & 0x02_0000 != 0, d));
            }
            b"tfdt" => {
                let (version, _, mut r) = b.full()?;
                base_decode_time = Some(BaseDecodeTime {
                    value: if version == 1 {
                        r.u64()?
                    } else {
                        u64::from(r.u32()?)
                    },
                    offset: b.body_offset() + 4,
                    wide: version == 1,
                });
            }
            b"trun" => {
                let d = header.ok_or_else(|| corrupt("'trun' before 'tfhd'"))?.3;
                runs.push(Run::parse(&b, d)?);
                if runs.len() > MAX_PARTS {
                    return Err(corrupt("too many runs"));
                }
            }
            _ => {}
        }
    }
    let (track_id, base_data_offset, default_base_is_moof, _) =
        header.ok_or_else(|| corrupt("'traf' without 'tfhd'"))?;
    Ok(TrackFragment {
        track_id,
        base_data_offset,
        default_base_is_moof,
        base_decode_time,
        runs,
    })
}

#[cfg(test)]
mod tests {
    use super::super::boxes::BoxWriter;
    use super::super::testing::{AUDIO_ID, SyntheticSegment, VIDEO_ID};
    use super::*;
    use crate::error::ErrorKind;

    /// A `moof` of one track with these `tfhd` flags and fields, `tfdt` and `trun`.
    fn moof(tfhd: (u32, &[u32]), tfdt: Option<u64>, trun: (u8, u32, &[u32])) -> Vec<u8> {
        let mut w = BoxWriter::new();
        let numbers = |w: &mut BoxWriter, n: &[u32]| {
            n.iter().for_each(|&n| {
                w.u32(n);
            });
        };
        w.boxed(b"moof", |w| {
            w.full(b"mfhd", 0, 0, |w| {
                w.u32(77);
            });
            w.boxed(b"traf", |w| {
                w.full(b"tfhd", 0, tfhd.0, |w| numbers(w.u32(9), tfhd.1));
                if let Some(t) = tfdt {
                    w.full(b"tfdt", 1, 0, |w| {
                        w.u64(t);
                    });
                }
                w.full(b"trun", trun.0, trun.1, |w| numbers(w, trun.2));
            });
        });
        w.into_bytes()
    }

    fn parse(moof: &[u8]) -> Result<MovieFragment<'_>> {
        let trex = SampleDefaults {
            description_index: 1,
            duration: 10,
            size: 20,
            flags: 0x0101_0000,
        };
        MovieFragment::parse_with(moof, |_| trex)
    }

    #[test]
    fn defaults_of_trex_then_tfhd_then_the_run() {
        let of_trex = moof((0, &[]), None, (0, 0, &[3]));
        let part = &parse(&of_trex).unwrap().tracks[0];
        assert_eq!((part.duration(), part.size(), part.sample_count()), (30, 60, 3));
        assert!(!part.starts_with_keyframe() && part.base_decode_time.is_none());

        let of_tfhd = moof(
            (0x3b, &[0, 5000, 2, 11, 21, 0x0200_0000]),
            Some(1 << 40),
            (0, 0x5, &[3, 8, 0x0101_0000]),
        );
        let part = &parse(&of_tfhd).unwrap().tracks[0];
        assert_eq!((part.duration(), part.size()), (33, 63));
        assert_eq!(
            (part.base_data_offset, part.base_decode_time.unwrap().value),
            (Some(5000), 1 << 40)
        );
        let sync: Vec<_> = part.samples().map(|s| s.flags.is_sync()).collect();
        assert_eq!(sync, [false, true, true], "the first sample has flags of its own");

        let of_run = moof(
            (0, &[]),
            Some(0),
            (1, 0xf00, &[2, 1, 2, 0, 5, 3, 4, 0x0001_0000, -5i32 as u32]),
        );
        let part = &parse(&of_run).unwrap().tracks[0];
        let samples: Vec<_> = part
            .samples()
            .map(|s| (s.duration, s.size, s.flags.is_sync(), s.cts_offset))
            .collect();
        assert_eq!(samples, [(1, 2, true, 5), (3, 4, false, -5)]);
        assert_eq!((part.duration(), part.size()), (4, 6));
    }

    #[test]
    fn offsets_point_at_the_numbers() {
        let spec = SyntheticSegment {
            audio: true,
            styp: true,
            first_decode_time: 1 << 35,
            ..SyntheticSegment::new()
        };
        let s = spec.build();
        let init = InitSegment::parse(&s.bytes).unwrap();
        let f = &s.index.fragments[3];
        let data = &s.bytes[f.offset as usize..];
        let bytes = Boxes::new(data)
            .map(Result::unwrap)
            .find(|b| b.kind() == b"moof")
            .unwrap()
            .bytes;
        let moof = MovieFragment::parse(bytes, &init).unwrap();
        let u32_at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((u32_at(moof.sequence_at), moof.sequence), (4, 4));
        for (id, wide) in [(VIDEO_ID, true), (AUDIO_ID, false)] {
            let part = moof.track(id).unwrap();
            let t = part.base_decode_time.unwrap();
            assert_eq!(t.wide, wide);
            let low = u32_at(if wide { t.offset + 4 } else { t.offset });
            assert_eq!(low, t.value as u32);
            let run = &part.runs[0];
            assert_eq!(
                u32_at(run.data_offset_at.unwrap()) as i32,
                run.data_offset.unwrap()
            );
        }
        let video = &moof.track(VIDEO_ID).unwrap();
        assert_eq!(video.base_decode_time.unwrap().value, s.frames[15].dts);
        assert_eq!(
            f.offset + video.runs[0].data_offset.unwrap() as u64,
            s.frames[15].offset
        );
    }

    #[test]
    fn what_is_cut_or_impossible_is_refused() {
        for bad in [
            moof((0, &[]), None, (0, 0, &[u32::MAX])),
            moof((0, &[]), None, (0, 0x200, &[2, 1])),
            moof((0x08, &[]), None, (0, 0, &[1])),
            b"\0\0\0\x08moof".to_vec(),
            b"\0\0\0\x08mdat".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(parse(&bad).unwrap_err().kind(), ErrorKind::Corrupt, "{bad:?}");
        }
    }
}

//! The sample table of a closed segment: size, time and place of every sample, in one box behind the last fragment.
//!
//! A progressive export needs them all. In the `moof`s they are spread over the whole file, half a second of footage
//! apart: a seek and a page for each. Here they are one read. Who does not find the box reads the `moof`s.
//!
//! A run of samples is a track, a decode time (as its distance from where the run before it ended), an offset in the
//! fragment, a number of samples and a shape, which says what is told once or of each: durations, sync samples,
//! composition offsets. Sizes are told of each.

use super::boxes::{BoxHeader, BoxWriter, HeaderParse, Reader, corrupt};
use super::fragment::{MovieFragment, Sample, SampleFlags};
use super::index::{Fragment, MAX_BLOB_BYTES};
use super::tlv::{Record, RecordWriter, put_varint, unzigzag, varint, zigzag};
use crate::error::Result;

/// Extended type of the box: `0363c53e-42da-41d7-905d-0caf4940fc69`.
pub const SAMPLES_UUID: [u8; 16] = [
    0x03, 0x63, 0xc5, 0x3e, 0x42, 0xda, 0x41, 0xd7, 0x90, 0x5d, 0x0c, 0xaf, 0x49, 0x40, 0xfc, 0x69,
];

const VERSION: u8 = 1;
const TAG_FRAGMENTS: u64 = 1;
const TAG_RUNS: u64 = 2;

/// A table of more is not kept: two days of a camera with sound.
const MOST_BYTES: usize = 32 << 20;
/// Most tracks whose clocks are followed.
const MOST_TRACKS: usize = 8;

mod shape {
    /// Durations are told of each sample, not once.
    pub(super) const DURATIONS: u8 = 1;
    /// Composition offsets are told; else all are 0.
    pub(super) const OFFSETS: u8 = 2;
    /// The first one is a sync sample.
    pub(super) const FIRST: u8 = 4;
    /// The others are sync samples.
    pub(super) const OTHERS: u8 = 8;
    /// Which of the others are sync samples is told of each.
    pub(super) const MIXED: u8 = 16;
    pub(super) const ALL: u8 = 31;
}

/// Follows the decode times of tracks, so that only what was not to be expected is stored.
#[derive(Clone, Debug, Default)]
struct Clocks(Vec<(u32, i64)>);

impl Clocks {
    /// Where the last run of a track ended.
    fn of(&mut self, track: u32) -> Result<&mut i64> {
        let at = match self.0.iter().position(|(id, _)| *id == track) {
            Some(at) => at,
            None if self.0.len() == MOST_TRACKS => return Err(corrupt("too many tracks")),
            None => {
                self.0.push((track, 0));
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[at].1)
    }
}

/// Writes down the samples of a file as its fragments come.
#[derive(Clone, Debug, Default)]
pub struct SampleLog {
    /// Of whole fragments.
    runs: Vec<u8>,
    fragments: u64,
    clocks: Clocks,
    /// Of a `moof` whose `mdat` is not whole yet.
    staged: Vec<u8>,
    /// Something cannot be told: there is no table.
    given_up: bool,
}

impl SampleLog {
    /// A fragment begins at `start`, its `moof` at `moof_at`.
    pub(super) fn begin(&mut self, moof: &MovieFragment<'_>, start: u64, moof_at: u64) {
        if !self.given_up && self.stage(moof, start, moof_at).is_err() {
            self.give_up();
        }
    }

    /// The fragment that was begun is whole.
    pub(super) fn end(&mut self) {
        if self.given_up {
            return;
        }
        if self.runs.len() + self.staged.len() > MOST_BYTES {
            return self.give_up();
        }
        self.runs.append(&mut self.staged);
        self.fragments += 1;
    }

    fn give_up(&mut self) {
        *self = Self {
            given_up: true,
            ..Self::default()
        };
    }

    fn stage(&mut self, moof: &MovieFragment<'_>, start: u64, moof_at: u64) -> Result<()> {
        self.staged.clear();
        moof.check_sample_count()?;
        let placed = moof.placed(moof_at)?;
        let runs = || placed.iter().filter(|p| p.run.sample_count > 0);
        put_varint(&mut self.staged, runs().count() as u64);
        for p in runs() {
            let out = &mut self.staged;
            let offset = p.offset.checked_sub(start);
            let offset = offset.ok_or_else(|| corrupt("samples lie before their fragment"))?;
            let time = p
                .decode_time
                .ok_or_else(|| corrupt("a run without a decode time"))?;
            let clock = self.clocks.of(p.track_id)?;
            put_varint(out, u64::from(p.track_id));
            put_varint(out, zigzag(time.wrapping_sub(*clock)));
            put_varint(out, offset);
            put_varint(out, u64::from(p.run.sample_count));
            let samples: Vec<Sample> = p.run.samples().collect();
            put_run(out, &samples);
            *clock = time.saturating_add_unsigned(p.run.duration());
        }
        Ok(())
    }

    /// The box, to be written behind the last fragment; `None` where there is nothing to tell, or it cannot be told.
    #[must_use]
    pub fn to_box(&self) -> Option<Vec<u8>> {
        if self.given_up || self.fragments == 0 {
            return None;
        }
        let mut record = RecordWriter::new(VERSION);
        record
            .number(TAG_FRAGMENTS, self.fragments)
            .bytes(TAG_RUNS, &self.runs);
        let mut w = BoxWriter::new();
        w.uuid(&SAMPLES_UUID, |w| {
            w.bytes(&record.finish());
        });
        Some(w.into_bytes())
    }
}

fn put_run(out: &mut Vec<u8>, samples: &[Sample]) {
    let Some((first, others)) = samples.split_first() else {
        return;
    };
    let syncs = others.iter().filter(|s| s.flags.is_sync()).count();
    let mut shape = 0;
    let mut with = |bit: u8, set: bool| shape |= if set { bit } else { 0 };
    with(
        shape::DURATIONS,
        others.iter().any(|s| s.duration != first.duration),
    );
    with(shape::OFFSETS, samples.iter().any(|s| s.cts_offset != 0));
    with(shape::FIRST, first.flags.is_sync());
    with(shape::OTHERS, syncs > 0 && syncs == others.len());
    with(shape::MIXED, syncs > 0 && syncs < others.len());
    out.push(shape);
    if shape & shape::DURATIONS == 0 {
        put_varint(out, u64::from(first.duration));
    }
    for s in samples {
        put_varint(out, u64::from(s.size));
        if shape & shape::DURATIONS != 0 {
            put_varint(out, u64::from(s.duration));
        }
        if shape & shape::OFFSETS != 0 {
            put_varint(out, zigzag(i64::from(s.cts_offset)));
        }
        if shape & shape::MIXED != 0 {
            out.push(u8::from(s.flags.is_sync()));
        }
    }
}

/// A run of samples that lie behind each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SampleRun {
    /// Id of its track.
    pub track_id: u32,
    /// Decode time of the first one in the track's timescale.
    pub decode_time: i64,
    /// Offset of the first one in the file.
    pub offset: u64,
    /// The samples in decode order; of their flags only whether they are sync samples is known.
    pub samples: Vec<Sample>,
}

/// The samples of a closed file, as its table tells them.
#[derive(Clone, Debug)]
pub struct StoredSamples {
    fragments: u64,
    runs: Vec<u8>,
}

impl StoredSamples {
    /// Size of the box that begins so, if it is one of these and no larger than it may be.
    #[must_use]
    pub fn box_size(data: &[u8]) -> Option<usize> {
        match BoxHeader::parse(data) {
            Ok(HeaderParse::Whole(h)) if h.uuid == Some(SAMPLES_UUID) => h
                .size
                .and_then(|n| usize::try_from(n).ok())
                .filter(|&n| n <= MAX_BLOB_BYTES),
            _ => None,
        }
    }

    /// Reads the whole box.
    ///
    /// # Errors
    /// `Corrupt` when it is another box or damaged; `Unsupported` when a newer release wrote it.
    pub fn from_box(data: &[u8]) -> Result<Self> {
        let record = match BoxHeader::parse(data)? {
            HeaderParse::Whole(h) if Self::box_size(data) == Some(data.len()) => {
                &data[usize::from(h.header_len)..]
            }
            _ => return Err(corrupt("not a sample table")),
        };
        let record = Record::parse(record, VERSION).map_err(|e| e.context("sample table"))?;
        Ok(Self {
            fragments: record.number(TAG_FRAGMENTS)?,
            runs: record.bytes(TAG_RUNS)?.to_vec(),
        })
    }

    /// Calls `take` with the runs of those `fragments`, which are all of the file, whose numbers are in `wanted`.
    ///
    /// # Errors
    /// `Corrupt` when the table is not of these fragments; one of `take`.
    pub fn read(
        &self,
        fragments: &[Fragment],
        wanted: std::ops::Range<usize>,
        mut take: impl FnMut(Vec<SampleRun>) -> Result<()>,
    ) -> Result<()> {
        if self.fragments != fragments.len() as u64 {
            return Err(corrupt("a sample table of other fragments"));
        }
        let mut r = Reader::new(&self.runs);
        let mut clocks = Clocks::default();
        for (i, fragment) in fragments.iter().enumerate().take(wanted.end) {
            let count = varint(&mut r)?;
            let mut runs = Vec::new();
            for _ in 0..count {
                let run = get_run(&mut r, &mut clocks, fragment, wanted.contains(&i))?;
                runs.extend(run);
            }
            if wanted.contains(&i) {
                take(runs)?;
            }
        }
        Ok(())
    }
}

/// The next run, if it is wanted.
fn get_run(
    r: &mut Reader<'_>,
    clocks: &mut Clocks,
    fragment: &Fragment,
    wanted: bool,
) -> Result<Option<SampleRun>> {
    let number = |r: &mut Reader<'_>| -> Result<u32> {
        u32::try_from(varint(r)?).map_err(|_| corrupt("a number of a sample is too large"))
    };
    let track_id = number(r)?;
    let clock = clocks.of(track_id)?;
    let decode_time = clock.wrapping_add(unzigzag(varint(r)?));
    let offset = fragment.offset.checked_add(varint(r)?);
    let count = number(r)? as usize;
    let shape = r.u8()?;
    // Each has a byte at least.
    if shape & !shape::ALL != 0 || count > r.rest().len() {
        return Err(corrupt("an impossible run of samples"));
    }
    let once = match shape & shape::DURATIONS {
        0 => number(r)?,
        _ => 0,
    };
    let mut samples = Vec::with_capacity(if wanted { count } else { 0 });
    let (mut size, mut length) = (0u64, 0u64);
    for i in 0..count {
        let bytes = number(r)?;
        let duration = match shape & shape::DURATIONS {
            0 => once,
            _ => number(r)?,
        };
        let cts_offset = match shape & shape::OFFSETS {
            0 => 0,
            _ => i32::try_from(unzigzag(varint(r)?))
                .map_err(|_| corrupt("an impossible composition offset"))?,
        };
        let sync = match shape & shape::MIXED {
            0 if i == 0 => shape & shape::FIRST != 0,
            0 => shape & shape::OTHERS != 0,
            _ => r.u8()? != 0,
        };
        size += u64::from(bytes);
        length += u64::from(duration);
        if wanted {
            samples.push(Sample {
                duration,
                size: bytes,
                flags: if sync {
                    SampleFlags::SYNC
                } else {
                    SampleFlags::NON_SYNC
                },
                cts_offset,
            });
        }
    }
    *clock = decode_time.saturating_add_unsigned(length);
    let offset = offset.filter(|o| {
        o.checked_add(size)
            .is_some_and(|end| end <= fragment.end_offset())
    });
    let offset = offset.ok_or_else(|| corrupt("samples lie outside their fragment"))?;
    Ok(wanted.then_some(SampleRun {
        track_id,
        decode_time,
        offset,
        samples,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::growing::GrowingIndex;
    use super::super::testing::{Synthetic, SyntheticSegment, VIDEO_ID};
    use super::*;
    use crate::error::ErrorKind;
    use crate::media::InitSegment;
    use crate::media::boxes::Boxes;
    use proptest::prelude::*;

    fn any_segment() -> impl Strategy<Value = SyntheticSegment> {
        let numbers = (
            1u32..120,
            1u32..20,
            1u32..9,
            prop::option::of(1u32..4),
            0u64..1 << 40,
        );
        let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
        (numbers, switches, any::<u64>()).prop_map(|(n, s, seed)| SyntheticSegment {
            frames: n.0,
            gop: n.1,
            chunk: n.2,
            audio_only_every: n.3,
            first_decode_time: n.4,
            b_frames: s.0,
            audio: s.1,
            styp: s.2,
            large_mdat: s.3,
            frame_bytes: 60,
            closed: true,
            seed,
            ..SyntheticSegment::new()
        })
    }

    fn table_of(s: &Synthetic) -> Vec<u8> {
        let tail = &s.bytes[s.index.tail_offset() as usize..];
        tail[..StoredSamples::box_size(tail).unwrap()].to_vec()
    }

    fn read(table: &StoredSamples, s: &Synthetic, wanted: std::ops::Range<usize>) -> Vec<Vec<SampleRun>> {
        let mut all = Vec::new();
        table
            .read(&s.index.fragments, wanted, |runs| {
                all.push(runs);
                Ok(())
            })
            .unwrap();
        all
    }

    /// What the `moof` of each fragment says.
    fn of_moofs(s: &Synthetic) -> Vec<Vec<SampleRun>> {
        let init = InitSegment::parse(&s.bytes).unwrap();
        let runs = |f: &Fragment| {
            let bytes = &s.bytes[f.offset as usize..f.end_offset() as usize];
            let moof = Boxes::new(bytes)
                .map(Result::unwrap)
                .find(|b| b.kind() == b"moof")
                .unwrap();
            let parsed = MovieFragment::parse(moof.bytes, &init).unwrap();
            let placed = parsed.placed(f.offset + moof.offset as u64).unwrap();
            let run = placed.into_iter().map(|p| SampleRun {
                track_id: p.track_id,
                decode_time: p.decode_time.unwrap(),
                offset: p.offset,
                samples: p
                    .run
                    .samples()
                    .map(|s| Sample {
                        flags: match s.flags.is_sync() {
                            true => SampleFlags::SYNC,
                            false => SampleFlags::NON_SYNC,
                        },
                        ..s
                    })
                    .collect(),
            });
            run.filter(|r| !r.samples.is_empty()).collect()
        };
        s.index.fragments.iter().map(runs).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_table_tells_what_the_moofs_do(
            spec in any_segment(),
            part in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let s = spec.build();
            let table = StoredSamples::from_box(&table_of(&s)).unwrap();
            let all = read(&table, &s, 0..s.index.fragments.len());
            prop_assert_eq!(&all, &of_moofs(&s));
            // And that is what was recorded.
            let mut frames = s.frames.iter();
            for run in all.iter().flatten().filter(|r| r.track_id == VIDEO_ID) {
                let (mut time, mut at) = (run.decode_time, run.offset);
                for sample in &run.samples {
                    let frame = frames.next().unwrap();
                    let shown = (time + i64::from(sample.cts_offset)) as u64;
                    prop_assert_eq!((time as u64, shown, at), (frame.dts, frame.pts, frame.offset));
                    prop_assert_eq!((sample.size, sample.flags.is_sync()), (frame.size, frame.keyframe));
                    time += i64::from(sample.duration);
                    at += u64::from(sample.size);
                }
            }
            prop_assert!(frames.next().is_none());
            let (a, b) = (part.0.index(all.len() + 1), part.1.index(all.len() + 1));
            let wanted = a.min(b)..a.max(b);
            prop_assert_eq!(&read(&table, &s, wanted.clone())[..], &all[wanted]);
        }

        #[test]
        fn what_is_damaged_or_of_another_file_is_refused(
            spec in any_segment(),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let s = spec.build();
            let good = table_of(&s);
            let mut bad = good.clone();
            *at.get_mut(&mut bad) ^= flip;
            prop_assert!(StoredSamples::from_box(&bad).is_err());
            let cut = at.index(good.len());
            prop_assert!(StoredSamples::from_box(&good[..cut]).is_err());
            let table = StoredSamples::from_box(&good).unwrap();
            let fewer = &s.index.fragments[1..];
            prop_assert!(table.read(fewer, 0..fewer.len(), |_| Ok(())).is_err());
            let mut shorter = s.index.fragments.clone();
            shorter.iter_mut().for_each(|f| f.size /= 4);
            prop_assert!(table.read(&shorter, 0..shorter.len(), |_| Ok(())).is_err());
        }

        #[test]
        fn any_numbers_do_not_panic(runs in prop::collection::vec(any::<u8>(), 0..200), fragments in 0u64..4) {
            let table = StoredSamples { fragments, runs };
            let fragment = Fragment { offset: u64::MAX - 9, size: 9, start_ns: 0, duration_ns: 0, keyframe: true };
            let fragments = vec![fragment; fragments as usize];
            let _ = table.read(&fragments, 0..fragments.len(), |_| Ok(()));
        }

        #[test]
        fn only_whole_fragments_are_told(spec in any_segment(), at in any::<prop::sample::Index>()) {
            let s = spec.build();
            let mut growing = GrowingIndex::new();
            growing.push(&s.bytes[..at.index(s.bytes.len())]).unwrap();
            let index = growing.index();
            match growing.samples().to_box() {
                None => prop_assert!(index.fragments.is_empty()),
                Some(data) => {
                    let table = StoredSamples::from_box(&data).unwrap();
                    let mut told = 0;
                    table.read(&index.fragments, 0..index.fragments.len(), |_| { told += 1; Ok(()) }).unwrap();
                    prop_assert_eq!(told, index.fragments.len());
                }
            }
        }
    }

    /// A `moof` of a track without a decode time whose run claims so many samples of 0 bytes.
    fn begun(time: Option<u32>, claimed: u32) -> SampleLog {
        let s = SyntheticSegment::new().build();
        let init = InitSegment::parse(&s.bytes).unwrap();
        let mut w = BoxWriter::new();
        w.boxed(b"moof", |w| {
            w.full(b"mfhd", 0, 0, |w| {
                w.u32(1);
            });
            w.boxed(b"traf", |w| {
                w.full(b"tfhd", 0, 0x02_0018, |w| {
                    w.u32(VIDEO_ID).u32(40).u32(0);
                });
                if let Some(time) = time {
                    w.full(b"tfdt", 0, 0, |w| {
                        w.u32(time);
                    });
                }
                w.full(b"trun", 0, 0, |w| {
                    w.u32(claimed);
                });
            });
        });
        let bytes = w.into_bytes();
        let mut log = SampleLog::default();
        log.begin(&MovieFragment::parse(&bytes, &init).unwrap(), 0, 0);
        log.end();
        log
    }

    #[test]
    fn what_cannot_be_told_makes_no_table() {
        assert!(begun(Some(7), 3).to_box().is_some());
        assert!(begun(None, 3).to_box().is_none());
        assert!(
            begun(Some(7), 1 << 20).to_box().is_none(),
            "it would cost more than it is worth"
        );
        assert!(SampleLog::default().to_box().is_none());
    }

    #[test]
    fn a_table_is_a_small_part_of_its_file() {
        let s = SyntheticSegment {
            frames: 2500,
            chunk: 12,
            gop: 50,
            audio: true,
            closed: true,
            ..SyntheticSegment::new()
        }
        .build();
        let of_a_frame = table_of(&s).len() as f64 / 2500.0;
        assert!(
            of_a_frame < 8.0,
            "{of_a_frame} bytes for each frame, with its sound"
        );
    }

    #[test]
    fn one_of_a_newer_release_is_told_apart() {
        let mut w = BoxWriter::new();
        w.uuid(&SAMPLES_UUID, |w| {
            w.bytes(&RecordWriter::new(VERSION + 1).finish());
        });
        let e = StoredSamples::from_box(&w.into_bytes()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }
}

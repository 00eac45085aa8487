//! The samples of a part of a clip, and which of them are kept.

use std::ops::Range;

use super::edges::{audio_offset, length, pts_of};
use super::moof::HeaderReader;
use super::plan::PlanPart;
use super::timeline::{PartEdges, TrackEdges, rescale};
use crate::error::Result;
use crate::media::boxes::corrupt;
use crate::media::fragment::{self, MovieFragment};
use crate::media::index::Fragment;
use crate::media::init::{InitSegment, InitTrack};

/// A sample as recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub dts: i64,
    pub pts: i64,
    pub duration: u32,
    pub size: u32,
    pub sync: bool,
}

/// Samples of one track that lie together in the file.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub track: usize,
    pub offset: u64,
    pub samples: Range<usize>,
}

pub(super) const VIDEO: usize = 0;
pub(super) const AUDIO: usize = 1;

/// A part as its file tells, in its table of samples or in its `moof`s: samples of video and audio, chunks in file order.
#[derive(Debug, Default)]
pub(super) struct PartSamples {
    pub samples: [Vec<Sample>; 2],
    pub chunks: Vec<Chunk>,
}

/// What remains of a part.
#[derive(Debug)]
pub(super) struct Kept {
    pub ranges: [Range<usize>; 2],
    pub edges: PartEdges,
    /// Presentation time as recorded of the first instant that is not shown.
    pub shown_end: i64,
}

impl PartSamples {
    /// Reads the samples of a part.
    pub fn read(part: &PlanPart, video: &InitTrack, audio: Option<&InitTrack>) -> Result<Self> {
        let init = part.segment.init()?;
        let track_of = |id| {
            if id == video.id {
                Some(VIDEO)
            } else {
                audio.filter(|a| a.id == id).map(|_| AUDIO)
            }
        };
        let mut out = match Self::from_table(part, track_of) {
            Some(out) => out,
            None => Self::from_moofs(part, &init, track_of)?,
        };
        if let [.., before, last] = out.samples[AUDIO].as_mut_slice() {
            last.duration = length(last.duration, before.duration);
        }
        let offset = audio_offset(&init);
        for s in &mut out.samples[AUDIO] {
            s.dts = s.dts.saturating_add(offset);
            s.pts = s.pts.saturating_add(offset);
        }
        if out.samples[VIDEO].is_empty() {
            return Err(corrupt("fragments without video"));
        }
        Ok(out)
    }

    /// From the table behind the fragments, where the file has one and it is worth reading.
    fn from_table(part: &PlanPart, track_of: impl Fn(u32) -> Option<usize>) -> Option<Self> {
        if part.fragments.len() < FEW_FRAGMENTS {
            return None;
        }
        let table = part.segment.sample_table()?;
        let mut out = Self::default();
        let read = table.read(&part.segment.index.fragments, part.fragments.clone(), |runs| {
            let first_chunk = out.chunks.len();
            for run in runs {
                if let Some(track) = track_of(run.track_id) {
                    out.push(track, run.decode_time, run.offset, run.samples.into_iter());
                }
            }
            out.in_file_order(first_chunk)
        });
        // What is wrong with the file is found in what is read instead.
        if let Err(e) = read {
            tracing::debug!(path = %part.segment.name, error = %e, "the sample table is of no use");
            return None;
        }
        Some(out)
    }

    /// From all `moof`s of a part, several at once: they lie far from each other, so this is mostly waiting, for memory
    /// or for a disk.
    fn from_moofs(
        part: &PlanPart,
        init: &InitSegment,
        track_of: impl Fn(u32) -> Option<usize> + Copy + Sync,
    ) -> Result<Self> {
        let fragments = &part.segment.index.fragments[part.fragments.clone()];
        let read = side_by_side(fragments, |some| -> Result<Self> {
            let mut reader = HeaderReader::new(&part.segment);
            let mut out = Self::default();
            for f in some {
                let header = reader.read(f)?;
                let moof = header.parse(init)?;
                let moof_offset = f.offset + header.moof_at as u64;
                let data_from = f.offset + header.bytes.len() as u64;
                out.add(&moof, f, moof_offset, data_from, track_of)?;
            }
            Ok(out)
        });
        let mut out = Self::default();
        for some in read {
            out.append(some?);
        }
        Ok(out)
    }

    /// Behind these, those of fragments that follow.
    fn append(&mut self, next: Self) {
        let before = [VIDEO, AUDIO].map(|track| self.samples[track].len());
        for (all, more) in self.samples.iter_mut().zip(next.samples) {
            if all.is_empty() {
                *all = more;
            } else {
                all.extend(more);
            }
        }
        self.chunks.extend(next.chunks.into_iter().map(|c| Chunk {
            samples: before[c.track] + c.samples.start..before[c.track] + c.samples.end,
            ..c
        }));
    }

    fn add(
        &mut self,
        moof: &MovieFragment<'_>,
        fragment: &Fragment,
        moof_offset: u64,
        data_from: u64,
        track_of: impl Fn(u32) -> Option<usize>,
    ) -> Result<()> {
        let first_chunk = self.chunks.len();
        for placed in moof.placed(moof_offset)? {
            let end = placed.offset.saturating_add(placed.size);
            if placed.offset < data_from || end > fragment.end_offset() {
                return Err(corrupt(format!(
                    "samples at byte {} lie outside their fragment at {}",
                    placed.offset, fragment.offset
                )));
            }
            if let Some(track) = track_of(placed.track_id) {
                let time = placed.decode_time;
                let time = time.ok_or_else(|| corrupt("a track fragment without 'tfdt'"))?;
                self.push(track, time, placed.offset, placed.run.samples());
            }
        }
        self.in_file_order(first_chunk)
    }

    /// A run of samples.
    fn push(&mut self, track: usize, mut dts: i64, offset: u64, run: impl Iterator<Item = fragment::Sample>) {
        let samples = &mut self.samples[track];
        let from = samples.len();
        for s in run {
            samples.push(Sample {
                dts,
                pts: dts.saturating_add(i64::from(s.cts_offset)),
                duration: s.duration,
                size: s.size,
                sync: s.flags.is_sync(),
            });
            dts = dts.saturating_add(i64::from(s.duration));
        }
        self.chunks.push(Chunk {
            track,
            offset,
            samples: from..samples.len(),
        });
    }

    /// The chunks of a fragment, which are those from `first` on.
    fn in_file_order(&mut self, first: usize) -> Result<()> {
        self.chunks[first..].sort_by_key(|c| c.offset);
        // A track whose runs are not in file order would get its samples in another order than its chunks.
        for track in [VIDEO, AUDIO] {
            let mut starts = self.chunks[first..]
                .iter()
                .filter(|c| c.track == track)
                .map(|c| c.samples.start);
            let mut last = 0;
            if starts.any(|s| std::mem::replace(&mut last, s) > s) {
                return Err(corrupt("runs of a track are not in file order"));
            }
        }
        Ok(())
    }

    /// Which samples are kept.
    pub fn trim(&self, part: &PlanPart, first: bool, video: &InitTrack, audio_scale: u32) -> Result<Kept> {
        let init = part.segment.init()?;
        let index = &part.segment.index;
        let shown_pts = pts_of(part, &init, part.shown.start())?;
        let to_end = part.shown.end() >= part.segment.range().end();
        let [videos, audios] = &self.samples;

        let limit = if to_end {
            i64::MAX
        } else {
            pts_of(part, &init, part.shown.end())?
        };
        let keep = videos.iter().rposition(|s| s.pts < limit).map_or(1, |i| i + 1);
        let edges = edges_of(&videos[..keep]);
        let shown_end = limit.min(edges.end_pts);

        let whole_start = !first && index.fragments[..part.fragments.start].is_empty();
        let to_audio = |t: i64| rescale(t, video.timescale, audio_scale);
        let mut range = 0..audios.len();
        if !whole_start {
            let from = if first { shown_pts } else { edges.first_pts };
            // One more in front: a decoder needs it to bring the first one right.
            range.start = audios
                .partition_point(|s| s.dts.saturating_add(i64::from(s.duration)) <= to_audio(from))
                .saturating_sub(usize::from(first));
        }
        if !to_end {
            range.end = audios
                .partition_point(|s| s.dts < to_audio(shown_end))
                .max(range.start);
        }
        let audio_edges = (!range.is_empty()).then(|| edges_of(&audios[range.clone()]));
        Ok(Kept {
            ranges: [0..keep, range],
            edges: PartEdges {
                video: edges,
                audio: audio_edges,
                shown_pts,
                shown: part.shown,
            },
            shown_end,
        })
    }
}

/// The `moof`s of fewer are read sooner than the table of a whole file.
const FEW_FRAGMENTS: usize = 32;
/// What a thread of its own is worth.
const MANY_FRAGMENTS: usize = 128;
/// More would only wait for each other.
const MOST_THREADS: usize = 4;

/// What `read` makes of stretches of some fragments, in order; many of them are read by several threads.
fn side_by_side<T: Send>(fragments: &[Fragment], read: impl Fn(&[Fragment]) -> T + Sync) -> Vec<T> {
    let threads = (fragments.len() / MANY_FRAGMENTS).clamp(1, MOST_THREADS);
    let mut stretches = fragments.chunks(fragments.len().div_ceil(threads).max(1));
    let own = stretches.next().unwrap_or_default();
    let read = &read;
    std::thread::scope(|scope| {
        let others: Vec<_> = stretches
            .map(|some| {
                let thread = std::thread::Builder::new().name("nvr-clip".into());
                // Where there are no threads to be had, one is enough.
                thread.spawn_scoped(scope, move || read(some)).map_err(|_| some)
            })
            .collect();
        let own = read(own);
        let others = others.into_iter().map(|thread| match thread {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(some) => read(some),
        });
        std::iter::once(own).chain(others).collect()
    })
}

/// Of samples in decode order; there is at least one.
fn edges_of(samples: &[Sample]) -> TrackEdges {
    let edges = |s: &Sample| TrackEdges {
        first_dts: s.dts,
        end_dts: s.dts.saturating_add(i64::from(s.duration)),
        first_pts: s.pts,
        end_pts: s.pts.saturating_add(i64::from(s.duration)),
    };
    let zero = TrackEdges {
        first_dts: 0,
        end_dts: 0,
        first_pts: 0,
        end_pts: 0,
    };
    samples.iter().map(edges).reduce(TrackEdges::and).unwrap_or(zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_come_back_in_order_and_whole() {
        for n in [
            0,
            1,
            MANY_FRAGMENTS,
            2 * MANY_FRAGMENTS,
            3 * MANY_FRAGMENTS + 7,
            5003,
        ] {
            let fragments: Vec<Fragment> = (0..n as u64)
                .map(|offset| Fragment {
                    offset,
                    size: 1,
                    start_ns: 0,
                    duration_ns: 0,
                    keyframe: false,
                })
                .collect();
            let here = std::thread::current().id();
            let read = side_by_side(&fragments, |some| (some.to_vec(), std::thread::current().id()));
            let others = read.iter().filter(|(_, thread)| *thread != here).count();
            assert_eq!(others, (n / MANY_FRAGMENTS).clamp(1, MOST_THREADS) - 1, "{n}");
            let whole: Vec<Fragment> = read.into_iter().flat_map(|(some, _)| some).collect();
            assert_eq!(whole, fragments);
        }
    }

    #[test]
    #[should_panic = "a fault in one of them"]
    fn a_panic_in_a_thread_is_one_here() {
        let fragment = Fragment {
            offset: 0,
            size: 1,
            start_ns: 0,
            duration_ns: 0,
            keyframe: false,
        };
        let fragments = vec![fragment; 4 * MANY_FRAGMENTS];
        let here = std::thread::current().id();
        side_by_side(&fragments, |_| {
            assert!(std::thread::current().id() == here, "a fault in one of them");
        });
    }
}

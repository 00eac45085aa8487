//! The samples of a part of a clip, as its `moof`s tell them, and which of them are kept.

use std::ops::Range;

use super::edges::{audio_offset, length, pts_of};
use super::moof::{HeaderReader, absolute_offsets};
use super::plan::PlanPart;
use super::timeline::{PartEdges, TrackEdges, rescale};
use crate::error::Result;
use crate::media::boxes::corrupt;
use crate::media::fragment::MovieFragment;
use crate::media::index::Fragment;
use crate::media::init::InitTrack;

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

/// A part as read from its `moof`s: samples of video and audio, chunks in file order.
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
    /// Reads all `moof`s of a part, several at once: they lie far from each other, so this is mostly waiting, for memory
    /// or for a disk.
    pub fn read(part: &PlanPart, video: &InitTrack, audio: Option<&InitTrack>) -> Result<Self> {
        let init = part.segment.init()?;
        let track_of = |id| {
            if id == video.id {
                Some(VIDEO)
            } else {
                audio.filter(|a| a.id == id).map(|_| AUDIO)
            }
        };
        let fragments = &part.segment.index.fragments[part.fragments.clone()];
        let read = side_by_side(fragments, |some| -> Result<Self> {
            let mut reader = HeaderReader::new(&part.segment);
            let mut out = Self::default();
            for f in some {
                let header = reader.read(f)?;
                let moof = header.parse(&init)?;
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
        let mut behind_last = moof_offset;
        for (i, traf) in moof.tracks.iter().enumerate() {
            let base = match traf.base_data_offset {
                Some(base) => base,
                None if traf.default_base_is_moof || i == 0 => moof_offset,
                None => behind_last,
            };
            behind_last = base;
            let track = track_of(traf.track_id);
            let mut dts = match (traf.base_decode_time, track) {
                (Some(t), _) => {
                    i64::try_from(t.value).map_err(|_| corrupt("a decode time is out of range"))?
                }
                (None, None) => 0,
                (None, Some(_)) => return Err(corrupt("a track fragment without 'tfdt'")),
            };
            for run in &traf.runs {
                let offset = match run.data_offset {
                    Some(o) => base
                        .checked_add_signed(i64::from(o))
                        .ok_or_else(absolute_offsets)?,
                    None => behind_last,
                };
                let size = run.size();
                if offset < data_from || offset.saturating_add(size) > fragment.end_offset() {
                    return Err(corrupt(format!(
                        "samples at byte {offset} lie outside their fragment at {}",
                        fragment.offset
                    )));
                }
                behind_last = offset + size;
                let Some(track) = track else { continue };
                let samples = &mut self.samples[track];
                let from = samples.len();
                for s in run.samples() {
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
        }
        self.chunks[first_chunk..].sort_by_key(|c| c.offset);
        // A track whose runs are not in file order would get its samples in another order than its chunks.
        for track in [VIDEO, AUDIO] {
            let mut starts = self.chunks[first_chunk..]
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

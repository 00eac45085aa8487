//! From segments to sorted, disjoint stretches of footage.

use super::{Growing, JOIN_NS, Recorded, Totals, join};
use crate::event::Cause;
use crate::ids::RunId;
use crate::store::{GapRow, SegmentRow, SegmentState};
use crate::time::{TimeRange, Timestamp};
use crate::track::VideoCodec;

/// One piece of footage, whether finished or growing.
struct Piece {
    range: TimeRange,
    run: RunId,
    size_bytes: u64,
    codec: VideoCodec,
    growing: bool,
}

/// All pieces, sorted by run and start.
pub(super) struct Footage(Vec<Piece>);

impl Footage {
    pub(super) fn collect(segments: &[SegmentRow], growing: Option<&Growing>) -> Self {
        let mut pieces: Vec<Piece> = segments
            .iter()
            .filter(|s| s.state != SegmentState::Missing)
            .filter(|s| s.state != SegmentState::Open || s.duration_ns > 0)
            // The row of the growing segment: what is known of it now is better.
            .filter(|s| !growing.is_some_and(|g| g.run == s.run && g.start == s.start))
            .map(|s| Piece {
                range: s.range(),
                run: s.run,
                size_bytes: s.size_bytes,
                codec: s.tracks.video.codec,
                growing: s.state == SegmentState::Open,
            })
            .collect();
        pieces.extend(growing.and_then(|g| {
            Some(Piece {
                range: TimeRange::new(g.start, g.end).ok()?,
                run: g.run,
                size_bytes: g.size_bytes,
                codec: g.codec,
                growing: true,
            })
        }));
        pieces.sort_by_key(|p| (p.run, p.range.start(), p.range.end()));
        Self(pieces)
    }

    /// Adds up what touches `range`.
    pub(super) fn count(&self, range: TimeRange, totals: &mut Totals) {
        for piece in self.0.iter().filter(|p| p.range.intersect(&range).is_some()) {
            totals.segments += 1;
            totals.bytes = totals.bytes.saturating_add(piece.size_bytes);
        }
    }

    /// Stretches of all runs, sorted and disjoint.
    ///
    /// After a step of the wall clock two runs can claim the same time: the stretch that starts first has
    /// it, the other begins where that one ends. Runs are put together first and compared then, so that
    /// such a time shows one run and not slices of both.
    pub(super) fn stretches(&self, gaps: &[GapRow], now: Timestamp) -> Vec<Recorded> {
        let gaps = sorted_gaps(gaps, now);
        let mut stretches: Vec<Recorded> = Vec::new();
        // One that grows and has no frame yet still says that the stretch before it goes on.
        for piece in self.0.iter().filter(|p| p.growing || !p.range.is_empty()) {
            match stretches.last_mut() {
                Some(last) if last.run == piece.run && joins(last.range, piece.range, &gaps) => {
                    // A piece inside the one before does not end the stretch's growing.
                    if piece.range.end() > last.range.end() {
                        last.growing = piece.growing;
                    } else if piece.range.end() == last.range.end() {
                        last.growing |= piece.growing;
                    }
                    last.range = join(last.range, piece.range);
                    add_codec(&mut last.codecs, piece.codec);
                }
                _ if piece.range.is_empty() => {}
                _ => stretches.push(Recorded {
                    range: piece.range,
                    growing: piece.growing,
                    run: piece.run,
                    runs: 1,
                    codecs: vec![piece.codec],
                }),
            }
        }
        stretches.sort_by_key(|r| (r.range.start(), r.range.end()));
        let mut taken = Timestamp::MIN;
        stretches.retain_mut(|r| {
            let Ok(rest) = TimeRange::new(r.range.start().max(taken), r.range.end()) else {
                return false;
            };
            r.range = rest;
            taken = taken.max(rest.end());
            !rest.is_empty()
        });
        stretches
    }
}

/// Whether the second of two pieces of one run goes on where the first ends.
fn joins(a: TimeRange, b: TimeRange, gaps: &[(TimeRange, &Cause)]) -> bool {
    if b.start() <= a.end() {
        return true;
    }
    if b.start().since(a.end()) > JOIN_NS {
        return false;
    }
    let Ok(hole) = TimeRange::new(a.end(), b.start()) else {
        return false;
    };
    overlapping(gaps, hole).next().is_none()
}

fn add_codec(codecs: &mut Vec<VideoCodec>, codec: VideoCodec) {
    if !codecs.contains(&codec) {
        codecs.push(codec);
    }
}

/// Stored gaps, sorted and disjoint (of two that overlap the earlier one has the common part), an open
/// one ending now; empty ones are left out.
pub(super) fn sorted_gaps(gaps: &[GapRow], now: Timestamp) -> Vec<(TimeRange, &Cause)> {
    let mut sorted: Vec<(TimeRange, &Cause)> = gaps
        .iter()
        .filter_map(|g| Some((TimeRange::new(g.start, g.end.unwrap_or(now)).ok()?, &g.cause)))
        .collect();
    sorted.sort_by_key(|(r, _)| (r.start(), r.end()));
    let mut taken = Timestamp::MIN;
    sorted.retain_mut(|(r, _)| {
        let Ok(rest) = TimeRange::new(r.start().max(taken), r.end()) else {
            return false;
        };
        *r = rest;
        taken = taken.max(rest.end());
        !rest.is_empty()
    });
    sorted
}

/// Those of [`sorted_gaps`] that overlap a range, cut to it.
pub(super) fn overlapping<'a, 'b>(
    gaps: &'b [(TimeRange, &'a Cause)],
    range: TimeRange,
) -> impl Iterator<Item = (TimeRange, &'a Cause)> + use<'a, 'b> {
    gaps[gaps.partition_point(|(g, _)| g.end() <= range.start())..]
        .iter()
        .map_while(move |(g, cause)| Some((g.intersect(&range)?, *cause)))
}

/// Cuts stretches to `range`; one that is cut at its end does not grow inside the range.
pub(super) fn clip(stretches: &mut Vec<Recorded>, range: TimeRange) {
    stretches.retain_mut(|r| {
        let Some(inside) = r.range.intersect(&range) else {
            return false;
        };
        r.growing &= inside.end() == r.range.end();
        r.range = inside;
        true
    });
}

/// What the stretches leave of `span`.
pub(super) fn holes(stretches: &[Recorded], span: TimeRange) -> Vec<TimeRange> {
    let mut holes = Vec::new();
    let mut at = span.start();
    for r in stretches {
        if r.range.start() >= span.end() {
            break;
        }
        if r.range.start() > at {
            holes.extend(TimeRange::new(at, r.range.start()));
        }
        at = at.max(r.range.end());
    }
    if at < span.end() {
        holes.extend(TimeRange::new(at, span.end()));
    }
    holes
}

/// Joins stretches that are less than `resolution_ns` apart.
pub(super) fn fold(stretches: &mut Vec<Recorded>, resolution_ns: i64) {
    stretches.dedup_by(|later, kept| {
        if later.range.start().since(kept.range.end()) >= resolution_ns {
            return false;
        }
        kept.range = join(kept.range, later.range);
        kept.growing = later.growing;
        kept.runs = kept.runs.saturating_add(later.runs);
        for &codec in &later.codecs {
            add_codec(&mut kept.codecs, codec);
        }
        true
    });
}

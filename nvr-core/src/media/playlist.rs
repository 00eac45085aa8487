//! HLS playlists (RFC 8216) of recorded time, by byte ranges of the segment files themselves.
//!
//! A media playlist names each segment file with an `EXT-X-MAP` for its header and a byte range for every
//! stretch of fragments that begins with a keyframe; nothing is copied or rewritten. Each file counts its
//! times from its own start, so a discontinuity stands between files, and the date after it.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use super::clip::ClipSegment;
use super::clip::plan::{PlanPart, shown_parts};
use super::codec::{add_codec, codec_string};
use super::index::FragmentIndex;
use super::init::{Handler, InitSegment, InitTrack};
use crate::error::Result;
use crate::time::{NS_PER_S, TimeRange};
use crate::track::VideoCodec;

/// How a media playlist is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VodOptions {
    /// Wished length of a media segment in nanoseconds: GOPs are joined until it is (nearly) reached. With
    /// longer GOPs a media segment is one GOP.
    pub target_ns: i64,
    /// Leave the playlist open (`EVENT`, no `EXT-X-ENDLIST`) when it reaches the end of a growing file, so
    /// that players come back for more.
    pub event: bool,
    /// Name H.265 footage as H.264 that is made when it is asked for: the address of its segment with `codec=h264` and
    /// `part=init`, or `part=` and the numbers of its fragments, added to its query.
    pub h264: bool,
}

impl Default for VodOptions {
    fn default() -> Self {
        Self {
            target_ns: 4 * NS_PER_S,
            event: false,
            h264: false,
        }
    }
}

impl VodOptions {
    /// Whether a segment is named as what is made of it.
    fn converts(self, segment: &ClipSegment) -> bool {
        self.h264 && segment.codec == Some(VideoCodec::H265)
    }
}

/// A media segment: consecutive fragments that begin with a keyframe.
#[derive(Clone, Debug)]
struct Group {
    fragments: Range<usize>,
    offset: u64,
    end_offset: u64,
    start_ns: i64,
    duration_ns: i64,
}

impl Group {
    fn bytes(&self) -> u64 {
        self.end_offset.saturating_sub(self.offset)
    }
}

/// Joins the GOPs of a part. What is grouped does not depend on fragments behind the group, so the groups
/// of a growing file stay the same when it grows; the last is complete only when the file is. `from` is the fragment
/// from which groups are counted.
fn groups(index: &FragmentIndex, from: usize, to: usize, target_ns: i64) -> Vec<Group> {
    let enough = target_ns - target_ns / 10;
    let mut groups: Vec<Group> = Vec::new();
    for (i, f) in index.fragments.iter().enumerate().take(to).skip(from) {
        match groups.last_mut() {
            Some(g) if !(f.keyframe && f.start_ns.saturating_sub(g.start_ns) >= enough) => {
                g.fragments.end = i + 1;
                g.end_offset = f.end_offset();
                g.duration_ns = g.duration_ns.max(f.end_ns().saturating_sub(g.start_ns));
            }
            last => {
                if let Some(g) = last {
                    g.duration_ns = f.start_ns.saturating_sub(g.start_ns);
                }
                groups.push(Group {
                    fragments: i..i + 1,
                    offset: f.offset,
                    end_offset: f.end_offset(),
                    start_ns: f.start_ns,
                    duration_ns: f.duration_ns,
                });
            }
        }
    }
    groups
}

/// The groups of a part. Those that are encoded are counted from the beginning of the file, so that whoever asks for
/// another range gets the same ones; only the first and the last may be cut.
fn groups_of(part: &PlanPart, options: VodOptions) -> Vec<Group> {
    let (index, shown) = (&part.segment.index, &part.fragments);
    if !options.converts(&part.segment) {
        return groups(index, shown.start, shown.end, options.target_ns);
    }
    let start_ns = |i: usize| index.fragments.get(i).map_or(0, |f| f.start_ns);
    groups(index, first_keyframe(index), shown.end, options.target_ns)
        .into_iter()
        .filter(|g| g.fragments.end > shown.start)
        .map(|mut g| {
            if g.fragments.start < shown.start {
                g.fragments.start = shown.start;
                let later = start_ns(shown.start);
                g.duration_ns -= later - g.start_ns;
                g.start_ns = later;
            }
            g
        })
        .collect()
}

fn first_keyframe(index: &FragmentIndex) -> usize {
    index.fragments.iter().position(|f| f.keyframe).unwrap_or(0)
}

/// Whether fragments of a segment are what a playlist of H.264 may name: from a keyframe on, and no more than a group.
#[must_use]
pub fn is_piece(index: &FragmentIndex, fragments: &Range<usize>) -> bool {
    let first = index.fragments.get(fragments.start);
    first.is_some_and(|f| f.keyframe)
        && fragments.start < fragments.end
        && groups(
            index,
            first_keyframe(index),
            index.fragments.len(),
            VodOptions::default().target_ns,
        )
        .iter()
        .any(|g| g.fragments.contains(&fragments.start) && fragments.end <= g.fragments.end)
}

/// The media playlist of a range, version 7. `uri` gives the address of a segment's file, absolute or
/// relative to that of the playlist.
///
/// It begins with the keyframe at or before the wanted start, `EXT-X-START` points to the exact moment,
/// and ends with the fragment in which the range ends. A change of codec parameters is one more
/// discontinuity.
///
/// # Errors
/// `InvalidArgument` for an empty range, `NotFound` when nothing in it is recorded.
pub fn media_playlist(
    segments: &[ClipSegment],
    wanted: TimeRange,
    options: VodOptions,
    uri: impl Fn(&ClipSegment) -> String,
) -> Result<String> {
    let parts = shown_parts(segments, wanted, 0)?;
    let mut grouped: Vec<(&PlanPart, Vec<Group>)> =
        parts.iter().map(|p| (p, groups_of(p, options))).collect();
    let open = options.event && parts.last().is_some_and(|p| is_open(p, wanted));
    if open {
        // It may still grow.
        if let Some((_, groups)) = grouped.last_mut() {
            groups.pop();
        }
    }

    let longest = grouped
        .iter()
        .flat_map(|(_, g)| g)
        .map(|g| g.duration_ns)
        .max()
        .unwrap_or(0);
    // The value of an open playlist must not change later: leave room for one more GOP.
    let longest = if open {
        longest.max(options.target_ns.saturating_mul(2))
    } else {
        longest
    };
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n");
    line(
        &mut out,
        format_args!("#EXT-X-TARGETDURATION:{}", seconds_up(longest).max(1)),
    );
    out += "#EXT-X-MEDIA-SEQUENCE:0\n";
    line(
        &mut out,
        format_args!("#EXT-X-PLAYLIST-TYPE:{}", if open { "EVENT" } else { "VOD" }),
    );
    out += "#EXT-X-INDEPENDENT-SEGMENTS\n";
    if let Some((part, _)) = grouped.first() {
        let lead_in = part.shown.start().since(part_start(part)).max(0);
        line(
            &mut out,
            format_args!("#EXT-X-START:TIME-OFFSET={},PRECISE=YES", decimal(lead_in)),
        );
    }
    let mut first = true;
    for (part, groups) in &grouped {
        let Some(begin) = groups.first() else { continue };
        if !std::mem::take(&mut first) {
            out += "#EXT-X-DISCONTINUITY\n";
        }
        let uri = clean(&uri(&part.segment));
        let header = part.segment.index.header_len;
        // What is made of it lies at addresses of its own.
        let made = options.converts(&part.segment).then(|| {
            let separator = if uri.contains('?') { '&' } else { '?' };
            format!("{uri}{separator}codec=h264&part=")
        });
        match &made {
            Some(made) => line(&mut out, format_args!("#EXT-X-MAP:URI=\"{made}init\"")),
            None => line(
                &mut out,
                format_args!("#EXT-X-MAP:URI=\"{uri}\",BYTERANGE=\"{header}@0\""),
            ),
        }
        let date = part.segment.start.add_ns(begin.start_ns).to_jiff();
        line(&mut out, format_args!("#EXT-X-PROGRAM-DATE-TIME:{date:.3}"));
        for g in groups {
            line(&mut out, format_args!("#EXTINF:{},", decimal(g.duration_ns)));
            if let Some(made) = &made {
                let (from, to) = (g.fragments.start, g.fragments.end);
                line(&mut out, format_args!("{made}{from}-{to}"));
                continue;
            }
            line(
                &mut out,
                format_args!("#EXT-X-BYTERANGE:{}@{}", g.bytes(), g.offset),
            );
            line(&mut out, format_args!("{uri}"));
        }
    }
    if !open {
        out += "#EXT-X-ENDLIST\n";
    }
    Ok(out)
}

/// The master playlist of a range: one variant with bit rates, `CODECS` and `RESOLUTION` (the largest,
/// should it change). `media_uri` is the address of its media playlist.
///
/// # Errors
/// As [`media_playlist`]; `Corrupt`, `Storage` when an init segment cannot be read. `made` gives the header of a
/// segment that is named as H.264.
pub fn master_playlist(
    segments: &[ClipSegment],
    wanted: TimeRange,
    options: VodOptions,
    media_uri: &str,
    made: &dyn Fn(&ClipSegment) -> Result<Arc<InitSegment>>,
) -> Result<String> {
    let parts = shown_parts(segments, wanted, 0)?;
    let mut tracks: Vec<InitTrack> = Vec::new();
    let mut size = (0, 0);
    let (mut peak, mut bytes, mut ns) = (0u64, 0u64, 0i64);
    let rate = |bytes: u64, ns: i64| {
        let bits = u128::from(bytes) * 8 * NS_PER_S as u128;
        u64::try_from(bits / u128::from(ns.max(1).unsigned_abs())).unwrap_or(u64::MAX)
    };
    for part in &parts {
        let converts = options.converts(&part.segment);
        let init = if converts {
            made(&part.segment)?
        } else {
            part.segment.init()?
        };
        for track in &init.tracks {
            if matches!(track.handler, Handler::Video | Handler::Audio) {
                add_codec(&mut tracks, track);
            }
            size = size.max((track.width, track.height));
        }
        let groups = groups_of(part, options);
        for g in &groups {
            // H.264 of the same picture is about twice as large; more is not known before it is made.
            let bytes_of = if converts {
                g.bytes().saturating_mul(2)
            } else {
                g.bytes()
            };
            // A stump at the end of a file says nothing of the rate.
            if g.duration_ns >= NS_PER_S / 2 || groups.len() == 1 {
                peak = peak.max(rate(bytes_of, g.duration_ns));
            }
            bytes = bytes.saturating_add(bytes_of);
            ns = ns.saturating_add(g.duration_ns);
        }
    }
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let average = rate(bytes, ns);
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={average}",
        peak.max(average)
    );
    let codecs: Vec<String> = tracks.iter().filter_map(codec_string).collect();
    if !codecs.is_empty() {
        let _ = write!(out, ",CODECS=\"{}\"", codecs.join(","));
    }
    if size.0 > 0 {
        let _ = write!(out, ",RESOLUTION={}x{}", size.0, size.1);
    }
    line(&mut out, format_args!("\n{}", clean(media_uri)));
    Ok(out)
}

/// Whether more may follow inside the range.
fn is_open(last: &PlanPart, wanted: TimeRange) -> bool {
    last.segment.is_growing()
        && last.fragments.end == last.segment.index.fragments.len()
        && wanted.end() > last.segment.range().end()
}

fn part_start(part: &PlanPart) -> crate::time::Timestamp {
    let first = part.segment.index.fragments.get(part.fragments.start);
    part.segment.start.add_ns(first.map_or(0, |f| f.start_ns))
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
    out.push('\n');
}

/// Seconds with six decimals.
fn decimal(ns: i64) -> String {
    let us = (ns.max(0) + 500) / 1000;
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn seconds_up(ns: i64) -> i64 {
    ns.max(0).saturating_add(NS_PER_S - 1) / NS_PER_S
}

/// An address that cannot end its line or its quotes.
fn clean(uri: &str) -> String {
    let mut out = String::with_capacity(uri.len());
    for c in uri.chars() {
        if c == '"' || c.is_control() {
            let mut utf8 = [0; 4];
            for b in c.encode_utf8(&mut utf8).bytes() {
                let _ = write!(out, "%{b:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests;

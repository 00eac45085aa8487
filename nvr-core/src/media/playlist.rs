//! HLS playlists (RFC 8216) of recorded time, by byte ranges of the segment files themselves.
//!
//! A media playlist names each segment file with an `EXT-X-MAP` for its header and a byte range for every
//! stretch of fragments that begins with a keyframe; nothing is copied or rewritten. Each file counts its
//! times from its own start, so a discontinuity stands between files, and the date after it.

use std::fmt::Write;

use super::clip::ClipSegment;
use super::clip::plan::{PlanPart, shown_parts};
use super::codec::codec_string;
use super::init::Handler;
use crate::error::Result;
use crate::time::{NS_PER_S, TimeRange};

/// How a media playlist is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VodOptions {
    /// Wished length of a media segment in nanoseconds: GOPs are joined until it is (nearly) reached. With
    /// longer GOPs a media segment is one GOP.
    pub target_ns: i64,
    /// Leave the playlist open (`EVENT`, no `EXT-X-ENDLIST`) when it reaches the end of a growing file, so
    /// that players come back for more.
    pub event: bool,
}

impl Default for VodOptions {
    fn default() -> Self {
        Self {
            target_ns: 4 * NS_PER_S,
            event: false,
        }
    }
}

/// A media segment: consecutive fragments that begin with a keyframe.
#[derive(Clone, Copy, Debug)]
struct Group {
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
/// of a growing file stay the same when it grows; the last is complete only when the file is.
fn groups(part: &PlanPart, target_ns: i64) -> Vec<Group> {
    let enough = target_ns - target_ns / 10;
    let mut groups: Vec<Group> = Vec::new();
    for f in &part.segment.index.fragments[part.fragments.clone()] {
        match groups.last_mut() {
            Some(g) if !(f.keyframe && f.start_ns.saturating_sub(g.start_ns) >= enough) => {
                g.end_offset = f.end_offset();
                g.duration_ns = g.duration_ns.max(f.end_ns().saturating_sub(g.start_ns));
            }
            last => {
                if let Some(g) = last {
                    g.duration_ns = f.start_ns.saturating_sub(g.start_ns);
                }
                groups.push(Group {
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
        parts.iter().map(|p| (p, groups(p, options.target_ns))).collect();
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
        line(
            &mut out,
            format_args!("#EXT-X-MAP:URI=\"{uri}\",BYTERANGE=\"{header}@0\""),
        );
        let date = part.segment.start.add_ns(begin.start_ns).to_jiff();
        line(&mut out, format_args!("#EXT-X-PROGRAM-DATE-TIME:{date:.3}"));
        for g in groups {
            line(&mut out, format_args!("#EXTINF:{},", decimal(g.duration_ns)));
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
/// As [`media_playlist`]; `Corrupt`, `Storage` when an init segment cannot be read.
pub fn master_playlist(
    segments: &[ClipSegment],
    wanted: TimeRange,
    options: VodOptions,
    media_uri: &str,
) -> Result<String> {
    let parts = shown_parts(segments, wanted, 0)?;
    let mut codecs: Vec<String> = Vec::new();
    let mut size = (0, 0);
    let (mut peak, mut bytes, mut ns) = (0u64, 0u64, 0i64);
    let rate = |bytes: u64, ns: i64| {
        let bits = u128::from(bytes) * 8 * NS_PER_S as u128;
        u64::try_from(bits / u128::from(ns.max(1).unsigned_abs())).unwrap_or(u64::MAX)
    };
    for part in &parts {
        let init = part.segment.init()?;
        for track in &init.tracks {
            if matches!(track.handler, Handler::Video | Handler::Audio) {
                codecs.extend(codec_string(track).filter(|c| !codecs.contains(c)));
            }
            size = size.max((track.width, track.height));
        }
        let groups = groups(part, options.target_ns);
        for g in &groups {
            // A stump at the end of a file says nothing of the rate.
            if g.duration_ns >= NS_PER_S / 2 || groups.len() == 1 {
                peak = peak.max(rate(g.bytes(), g.duration_ns));
            }
            bytes = bytes.saturating_add(g.bytes());
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
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::media::clip::FileStamp;
    use crate::media::clip::tests::material::{EPOCH, Kind, range_ms, run, three};
    use crate::media::index::{Fragment, FragmentIndex};
    use crate::time::Timestamp;
    use std::sync::Arc;

    /// A file of chunks of 250 ms with a keyframe every `gop`.
    fn synthetic(start_s: i64, chunks: usize, gop: usize, stamp: FileStamp) -> ClipSegment {
        let fragments = (0..chunks)
            .map(|i| Fragment {
                offset: 1000 + 5000 * i as u64,
                size: 5000,
                start_ns: i as i64 * 250_000_000,
                duration_ns: 250_000_000,
                keyframe: i % gop == 0,
            })
            .collect();
        let index = FragmentIndex {
            header_len: 1000,
            timescale: 90_000,
            media_start: 0,
            fragments,
        };
        ClipSegment::new(
            &format!("{start_s}.mp4"),
            Timestamp::from_secs(start_s),
            0,
            Arc::new(Vec::new()),
            Arc::new(index),
            stamp,
        )
    }

    fn secs(from: i64, to: i64) -> TimeRange {
        TimeRange::new(Timestamp::from_secs(from), Timestamp::from_secs(to)).unwrap()
    }

    #[test]
    fn a_playlist_word_by_word() {
        let all = [
            synthetic(1000, 20, 4, FileStamp::Size(1)),
            synthetic(1010, 8, 4, FileStamp::Growing),
        ];
        let options = VodOptions {
            target_ns: 2 * NS_PER_S,
            event: false,
        };
        let text = media_playlist(&all, secs(1001, 1030), options, |s| {
            format!("f/{}?a=\"b\n", s.name)
        })
        .unwrap();
        let expected = "#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-START:TIME-OFFSET=0.000000,PRECISE=YES
#EXT-X-MAP:URI=\"f/1000.mp4?a=%22b%0A\",BYTERANGE=\"1000@0\"
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:41.000Z
#EXTINF:2.000000,
#EXT-X-BYTERANGE:40000@21000
f/1000.mp4?a=%22b%0A
#EXTINF:2.000000,
#EXT-X-BYTERANGE:40000@61000
f/1000.mp4?a=%22b%0A
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"f/1010.mp4?a=%22b%0A\",BYTERANGE=\"1000@0\"
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:50.000Z
#EXTINF:2.000000,
#EXT-X-BYTERANGE:40000@1000
f/1010.mp4?a=%22b%0A
#EXT-X-ENDLIST
";
        assert_eq!(text, expected);
        let e = media_playlist(&all, secs(1, 2), options, |_| String::new()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn an_open_playlist_only_grows(sizes in prop::collection::vec(0usize..60, 1..8), gop in 1usize..12) {
            let mut sizes = sizes;
            sizes.sort_unstable();
            let options = VodOptions { event: true, ..Default::default() };
            let mut before = String::new();
            for (i, n) in sizes.iter().enumerate() {
                let closed = i + 1 == sizes.len();
                let stamp = if closed { FileStamp::Size(1) } else { FileStamp::Growing };
                let all = [synthetic(1000, 12, gop, FileStamp::Size(1)), synthetic(1003, *n, gop, stamp)];
                let text = media_playlist(&all, secs(1000, 1100), options, |s| s.name.to_string()).unwrap();
                let body = |t: &str| t.lines().filter(|l| !l.starts_with("#EXT-X-TARGET") && !l.starts_with("#EXT-X-PLAYLIST-TYPE") && *l != "#EXT-X-ENDLIST").collect::<Vec<_>>().join("\n");
                prop_assert!(body(&text).starts_with(&body(&before)), "{before}\n-- became\n{text}");
                if !closed && *n > 0 {
                    prop_assert!(!text.contains("ENDLIST"));
                }
                before = text;
            }
        }

        #[test]
        fn durations_stay_below_the_target(chunks in 1usize..80, gop in 1usize..40, target in 1i64..10, from in 0i64..20) {
            let all = [synthetic(1000, chunks, gop, FileStamp::Size(1))];
            let options = VodOptions { target_ns: target * NS_PER_S, event: false };
            let Ok(text) = media_playlist(&all, secs(1000 + from, 2000), options, |_| "x".into()) else {
                return Ok(());
            };
            let value = |l: &str, tag: &str| l.strip_prefix(tag).map(|v| v.trim_end_matches(',').parse::<f64>().unwrap());
            let most = text.lines().find_map(|l| value(l, "#EXT-X-TARGETDURATION:")).unwrap();
            let each: Vec<f64> = text.lines().filter_map(|l| value(l, "#EXTINF:")).collect();
            prop_assert!(each.iter().all(|&d| d.round() <= most));
            let start = text.lines().find_map(|l| l.strip_prefix("#EXT-X-START:TIME-OFFSET=")).unwrap();
            let lead_in: f64 = start.split(',').next().unwrap().parse().unwrap();
            let total: f64 = each.iter().sum();
            prop_assert!((total - lead_in - (chunks as f64 / 4.0 - from as f64)).abs() < 0.001);
        }
    }

    /// Checksums of the video packets as they leave the demuxer (ffmpeg drops decoded frames where times
    /// start again at a discontinuity).
    fn packet_hashes(path: &std::path::Path) -> Vec<String> {
        let mut args = vec!["-v", "error", "-select_streams", "v", "-show_data_hash", "md5"];
        args.extend(["-show_entries", "packet=data_hash", "-of", "csv=p=0"]);
        if path.extension().is_some_and(|e| e == "m3u8") {
            args.extend(["-allowed_extensions", "ALL"]);
        }
        args.push(path.to_str().unwrap());
        run("ffprobe", &args)
            .lines()
            .filter(|l| !l.is_empty())
            .map(|l| l.trim_end_matches(',').to_owned())
            .collect()
    }

    #[test]
    fn ffmpeg_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (segments, paths) = three(dir.path(), Kind::H264B);
        let names: HashMap<_, _> = segments
            .iter()
            .zip(&paths)
            .map(|(s, p)| (s.name.clone(), p.clone()))
            .collect();
        let options = VodOptions {
            target_ns: 2 * NS_PER_S,
            event: false,
        };
        let wanted = range_ms(1480, 8000);
        let text = media_playlist(&segments, wanted, options, |s| {
            names[&s.name].display().to_string()
        })
        .unwrap();
        assert!(text.contains("#EXT-X-START:TIME-OFFSET=0.480000"), "{text}");
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY").count(), 2);
        let date = EPOCH.add_ns(NS_PER_S).to_jiff();
        assert!(text.contains(&format!("DATE-TIME:{date:.3}\n")), "{text}");
        let path = dir.path().join("vod.m3u8");
        std::fs::write(&path, &text).unwrap();
        let all: Vec<String> = paths.iter().flat_map(|p| packet_hashes(p)).collect();
        let got = packet_hashes(&path);
        assert!(got.len() >= 175 && got.len() < 195, "{}", got.len());
        assert!(got[..] == all[25..25 + got.len()]);

        let master = master_playlist(&segments, wanted, options, "vod.m3u8").unwrap();
        assert!(master.contains("CODECS=\"avc1."), "{master}");
        assert!(master.contains(",mp4a.40.2\""), "{master}");
        assert!(master.contains("RESOLUTION=192x144\nvod.m3u8\n"), "{master}");
        std::fs::write(dir.path().join("master.m3u8"), &master).unwrap();
        let master = dir.path().join("master.m3u8");
        run(
            "ffprobe",
            &[
                "-v",
                "error",
                "-allowed_extensions",
                "ALL",
                master.to_str().unwrap(),
            ],
        );
    }
}

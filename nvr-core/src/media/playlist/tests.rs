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
        ..VodOptions::default()
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
        let options = VodOptions { target_ns: target * NS_PER_S, ..Default::default() };
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
        ..VodOptions::default()
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

    let master = master_playlist(&segments, wanted, options, "vod.m3u8", &|s| s.init()).unwrap();
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

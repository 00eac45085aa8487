//! Real H.265 in, H.264 out, judged by ffprobe and ffmpeg.

mod masked;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::slots::{self, Slots};
use super::*;
use crate::clock::SystemClock;
use crate::error::{ErrorKind, Result};
use crate::gst::test_encoders;
use crate::media::clip::tests::material::{Kind, encode, range_ms, run, segment, three};
use crate::media::clip::{ClipSegment, shown};
use crate::media::playlist::{VodOptions, media_playlist};
use crate::time::TimeRange;
use crate::track::VideoCodec;

const SOON: Duration = Duration::from_secs(60);

fn converter() -> Converter {
    Converter::new(&TranscodeConfig::default(), SystemClock::shared())
}

/// A clip of a range, written to a file.
async fn export(segments: &[ClipSegment], range: TimeRange, path: &Path) -> Result<()> {
    let parts = shown(segments, range, 1_000_000_000).unwrap();
    let converted = converter().export(parts, None, SOON).await?;
    let mut file = std::fs::File::create(path).unwrap();
    let made = tokio::task::spawn_blocking(move || {
        let mut last = 0.0;
        converted.write_to(&mut file, |done| {
            assert!((last..=1.0).contains(&done), "{done} after {last}");
            last = done;
            true
        })
    });
    made.await.unwrap().map(drop)
}

/// What ffprobe says of each packet.
fn packets(path: &Path, stream: &str, what: &str) -> Vec<String> {
    let what = format!("packet={what}");
    let args = ["-v", "error", "-select_streams", stream, "-show_entries", &what];
    let more = ["-show_data_hash", "md5", "-of", "csv=p=0", path.to_str().unwrap()];
    run("ffprobe", &[&args[..], &more].concat())
        .lines()
        .map(|l| l.trim_end_matches(',').to_owned())
        .filter(|l| !l.is_empty())
        .collect()
}

fn times(path: &Path) -> Vec<i64> {
    let mut times: Vec<i64> = packets(path, "v", "pts")
        .iter()
        .map(|t| t.parse().unwrap())
        .collect();
    times.sort_unstable();
    times
}

/// Codec, width and height; every picture of it can be decoded.
fn about(path: &Path) -> (String, usize) {
    let entries = "stream=codec_name,width,height";
    let file = path.to_str().unwrap();
    let stream = [
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        entries,
        "-of",
        "csv=p=0",
        file,
    ];
    let stream = run("ffprobe", &stream).trim().trim_end_matches(',').to_owned();
    let frames = [
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "frame=pts",
        "-of",
        "csv=p=0",
        file,
    ];
    (
        stream,
        run("ffprobe", &frames).lines().filter(|l| !l.is_empty()).count(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_each_frame_at_its_time_and_the_sound_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, paths) = three(dir.path(), Kind::H265B);
    let out = dir.path().join("out.mp4");
    // From frame 37 of the first file to frame 50 of the third.
    export(&segments, range_ms(1480, 8000), &out).await.unwrap();
    let frames = 38 + 75 + 50;
    assert_eq!(about(&out), ("h264,192,144".to_owned(), frames));
    assert_eq!(
        times(&out),
        (0..frames as i64).map(|n| n * 3600).collect::<Vec<_>>()
    );
    let flags = packets(&out, "v", "flags");
    assert!(flags[0].starts_with('K'), "it begins with a keyframe: {flags:?}");
    let heard: HashSet<String> = paths.iter().flat_map(|p| packets(p, "a", "data_hash")).collect();
    let sound = packets(&out, "a", "data_hash");
    // Packets of 21.3 ms.
    assert!((295..=307).contains(&sound.len()), "{}", sound.len());
    assert!(
        sound.iter().all(|hash| heard.contains(hash)),
        "the sound was not copied"
    );
    let sound = packets(&out, "a", "pts");
    let sound: Vec<i64> = sound.iter().map(|t| t.parse().unwrap()).collect();
    assert!(
        sound.windows(2).all(|w| w[0] < w[1]) && sound[0] < 1100,
        "{sound:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_codec_and_size_becomes_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut segments = Vec::new();
    for (k, kind) in [Kind::H264Large, Kind::H265B, Kind::H264B]
        .into_iter()
        .enumerate()
    {
        let path = encode(dir.path(), kind, k as i64);
        segments.push(segment(&path, 3000 * k as i64, 0));
    }
    let out = dir.path().join("out.mp4");
    export(&segments, range_ms(0, 9000), &out).await.unwrap();
    assert_eq!(about(&out), ("h264,320,240".to_owned(), 225));
    assert_eq!(times(&out), (0..225).map(|n| n * 3600).collect::<Vec<i64>>());
    // Nothing can be shown of it without what one header says.
    let whole = std::fs::read(&out).unwrap();
    assert_eq!(whole.windows(4).filter(|w| w == b"moov").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pieces_of_a_playlist_stand_alone_and_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = encode(dir.path(), Kind::H265B, 0);
    let one = segment(&path, 0, 0).with_codec(VideoCodec::H265);
    let converter = converter();
    let options = VodOptions {
        target_ns: 1_000_000_000,
        h264: true,
        ..VodOptions::default()
    };
    let text = media_playlist(std::slice::from_ref(&one), range_ms(0, 3000), options, |_| {
        "s?v=1".into()
    })
    .unwrap();
    assert!(
        text.contains("#EXT-X-MAP:URI=\"s?v=1&codec=h264&part=init\"\n"),
        "{text}"
    );
    let parts: Vec<VodPart> = text
        .lines()
        .filter_map(|l| l.strip_prefix("s?v=1&codec=h264&part="))
        .map(|l| l.parse().unwrap())
        .collect();
    assert_eq!(parts.len(), 3, "{text}");
    let header = converter.header(&one).await.unwrap();
    let mut all = header.to_vec();
    let mut each = Vec::new();
    for part in parts {
        let VodPart::Fragments(fragments) = part else {
            panic!("{part:?}")
        };
        let piece = converter.piece(&one, fragments.clone(), None).await.unwrap();
        // The second time it is at hand: the very same memory.
        let again = converter.piece(&one, fragments, None).await.unwrap();
        assert_eq!(piece.as_ptr(), again.as_ptr());
        let alone = dir.path().join(format!("piece{}.mp4", each.len()));
        std::fs::write(&alone, [&header[..], &piece].concat()).unwrap();
        assert_eq!(about(&alone), ("h264,192,144".to_owned(), 25));
        each.extend(times(&alone));
        all.extend_from_slice(&piece);
    }
    assert_eq!(each, times(&path), "times are those of the file");
    let whole = dir.path().join("whole.mp4");
    std::fs::write(&whole, &all).unwrap();
    assert_eq!(about(&whole).1, 75);
    assert_eq!(
        packets(&whole, "a", "pts,data_hash"),
        packets(&path, "a", "pts,data_hash")
    );
    assert_eq!(converter.running(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pictures_are_made_smaller_for_playlists() {
    let dir = tempfile::tempdir().unwrap();
    let one = segment(&encode(dir.path(), Kind::H265B, 0), 0, 0).with_codec(VideoCodec::H265);
    let mut config = TranscodeConfig::default();
    config.playback.max_height = 120;
    let converter = Converter::new(&config, SystemClock::shared());
    let header = converter.header(&one).await.unwrap();
    let piece = converter.piece(&one, 0..4, None).await.unwrap();
    let path = dir.path().join("small.mp4");
    std::fs::write(&path, [&header[..], &piece].concat()).unwrap();
    assert_eq!(about(&path).0, "h264,160,120");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_fails_is_followed_by_the_next() {
    test_encoders::register();
    let dir = tempfile::tempdir().unwrap();
    let one = segment(&encode(dir.path(), Kind::H265B, 0), 0, 0).with_codec(VideoCodec::H265);
    let config = TranscodeConfig::default();
    let converter = Converter::of(test_encoders::BREAKING_THEN_X264, &config, SystemClock::shared());
    let header = converter.header(&one).await.unwrap();
    let piece = converter
        .piece(&one, 0..one.index.fragments.len(), None)
        .await
        .unwrap();
    let path = dir.path().join("piece.mp4");
    std::fs::write(&path, [&header[..], &piece].concat()).unwrap();
    // The parameter sets of the second encoder are in the stream: the header has those of the first.
    assert_eq!(about(&path), ("h264,192,144".to_owned(), 75));
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_at_once_and_no_more() {
    let slots = Slots::new(2, SystemClock::shared());
    let (one, two) = (slots.take(SOON).await.unwrap(), slots.take(SOON).await.unwrap());
    let refused = slots.take(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let waiting = tokio::spawn({
        let slots = slots.clone();
        async move { slots.take(SOON).await }
    });
    drop(one);
    let three = waiting.await.unwrap().unwrap();
    assert_eq!(slots.running(), 2);
    slots.set_most(0);
    assert_eq!(slots.take(SOON).await.unwrap_err().kind(), ErrorKind::Unsupported);
    drop((two, three));
    assert_eq!(slots.running(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_nobody_waits_for_ends() {
    let slots = Slots::new(1, SystemClock::shared());
    let slot = slots.take(SOON).await.unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let work = tokio::spawn(slots::run(
        slot,
        crate::priority::Priority::default(),
        move |stop| {
            begun.send(()).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Acquire) {
                std::thread::yield_now();
            }
            Ok(())
        },
    ));
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap())
        .await
        .unwrap();
    work.abort();
    // The slot comes back when the thread is really at its end.
    slots.take(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_ends_with_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let (segments, _) = three(dir.path(), Kind::H265B);
    let mut config = TranscodeConfig::default();
    config.playback.max_running = 1;
    let converter = Converter::new(&config, SystemClock::shared());
    let parts = shown(&segments, range_ms(0, 9000), 0).unwrap();
    let mut stream = converter
        .export(parts, None, SOON)
        .await
        .unwrap()
        .stream()
        .unwrap();
    let first = tokio_stream::StreamExt::next(&mut stream).await.unwrap().unwrap();
    assert_eq!(&first.bytes[4..8], b"ftyp");
    assert_eq!(converter.running(), 1);
    drop(stream);
    let again = converter.0.slots.take(SOON).await.unwrap();
    assert_eq!(converter.running(), 1);
    drop(again);
}

/// A steady clock on which every look takes six seconds.
#[derive(Debug, Default)]
struct Slow(SystemClock, std::sync::atomic::AtomicI64);

impl crate::clock::Clock for Slow {
    fn now(&self) -> crate::time::Timestamp {
        self.0.now()
    }
    fn steady_ns(&self) -> i64 {
        self.1
            .fetch_add(6_000_000_000, std::sync::atomic::Ordering::SeqCst)
    }
    fn sleep(&self, d: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.sleep(d)
    }
}

async fn packed(converter: &Converter, full: bool) -> Result<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let (segments, _) = three(dir.path(), Kind::H265B);
    let parts = shown(&segments, range_ms(1480, 8000), 1_000_000_000).unwrap();
    let scratch = Converted::scratch(dir.path()).unwrap();
    let made = converter.export(parts, None, SOON).await?;
    let mut stream = made.stream_mp4(scratch, move |_| full)?;
    let mut all = Vec::new();
    while let Some(piece) = tokio_stream::StreamExt::next(&mut stream).await {
        all.extend(piece?);
    }
    Ok(all)
}

/// While it is made empty boxes come, and all the same everything is found where the index says.
#[tokio::test(flavor = "multi_thread")]
async fn an_mp4_that_is_made_slowly_gives_signs_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let config = TranscodeConfig::default();
    let quick = packed(&converter(), false).await.unwrap();
    let slow = Converter::new(&config, std::sync::Arc::new(Slow::default()));
    let slow = packed(&slow, false).await.unwrap();
    let signs = |file: &[u8]| file.windows(4).filter(|w| w == b"free").count();
    assert!(signs(&slow) > 1, "{}", signs(&slow));
    // On a busy machine the quick one may give some, too.
    assert_eq!(slow.len() - 8 * signs(&slow), quick.len() - 8 * signs(&quick));
    let files = ["quick.mp4", "slow.mp4"].map(|name| dir.path().join(name));
    std::fs::write(&files[0], &quick).unwrap();
    std::fs::write(&files[1], &slow).unwrap();
    for file in &files {
        assert_eq!(about(file), ("h264,192,144".to_owned(), 38 + 75 + 50));
    }
    for stream in ["v", "a"] {
        assert_eq!(
            packets(&files[0], stream, "pts,dts,size,data_hash"),
            packets(&files[1], stream, "pts,dts,size,data_hash")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mp4_for_which_the_disk_has_no_room_is_refused() {
    let converter = converter();
    let e = packed(&converter, true).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Storage, "{e}");
    converter.0.slots.take(SOON).await.unwrap();
}

#[test]
fn names_of_parts() {
    assert_eq!("init".parse::<VodPart>().unwrap(), VodPart::Init);
    assert_eq!("3-17".parse::<VodPart>().unwrap(), VodPart::Fragments(3..17));
    for bad in [
        "",
        "3",
        "3-3",
        "5-3",
        "-1-2",
        "+1-2",
        "1-99999999999999999999999",
        "all",
        "1-2-3",
    ] {
        let e = bad.parse::<VodPart>().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
    }
}

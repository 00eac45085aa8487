//! Footage to ask for: an hour of real H.264 as the recorder writes it, made from ten seconds of recording.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_core::clock::SystemClock;
use nvr_core::config::Config;
use nvr_core::files::{Create, Root, RootOptions, SyncPolicy, Tree};
use nvr_core::media::boxes::find;
use nvr_core::media::{MovieFragment, Scan, scan};
use nvr_core::run::Anchor;
use nvr_core::segment::{Container, SegmentFiles as _, SegmentStart};
use nvr_core::store::{OpenMode, Store};
use nvr_core::time::NS_PER_S;
use nvr_core::track::{Tracks, VideoCodec, VideoTrack};
use nvr_core::{CameraId, RunId, Timestamp};
use nvr_tests::{ReplayCam, ReplayOptions, wait};

use crate::Bench;
use crate::roles;

/// 2026-01-01T00:00:00Z.
pub(crate) const BEGIN: Timestamp = Timestamp::from_ns(1_767_225_600 * NS_PER_S);
/// Length of a segment.
pub(crate) const SEGMENT_S: i64 = 900;

pub(crate) fn camera(n: usize) -> CameraId {
    CameraId::new(&format!("cam{n:02}")).unwrap_or_else(|_| unreachable!("a valid id"))
}

pub(crate) fn tracks() -> Tracks {
    Tracks {
        video: VideoTrack {
            codec: VideoCodec::H264,
            width: 1920,
            height: 1080,
            frame_rate: Some(25.0),
        },
        audio: None,
    }
}

/// A root and index without footage.
pub(crate) fn archive(root: &Path) -> anyhow::Result<(Config, Tree, Store)> {
    std::fs::create_dir_all(root)?;
    let config = Config::new(root);
    let options = RootOptions {
        create: Create::IfEmpty,
        exclusive: true,
        ..RootOptions::default()
    };
    let opened = Root::open(root, options, SystemClock::shared())?;
    let id = opened.attach()?;
    let store = Store::open(&config.recorder.database, OpenMode::ReadWrite)?;
    store.set_tree_id_blocking(&id.to_string())?;
    Ok((config, Tree::new(opened, SyncPolicy::Close)?, store))
}

/// The segments below a root, in order of their paths.
pub(crate) fn segments(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "mp4") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn read(path: &Path) -> anyhow::Result<Scan> {
    Ok(scan(&mut BufReader::new(File::open(path)?))?)
}

/// A video frame of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Decode time in seconds.
    pub at_s: f64,
    pub bytes: u32,
}

/// The video frames of a segment, from its whole fragments.
pub(crate) fn frames(path: &Path) -> anyhow::Result<Vec<Frame>> {
    let found = read(path)?;
    let Some(init) = &found.init else {
        return Ok(Vec::new());
    };
    let file = File::open(path)?;
    let mut frames = Vec::new();
    for fragment in &found.index.fragments {
        let mut bytes = vec![0; fragment.size as usize];
        file.read_exact_at(&mut bytes, fragment.offset)?;
        let moof = find(&bytes, b"moof")?.context("no moof")?;
        let parsed = MovieFragment::parse(&bytes[moof.body_offset() - 8..], init)?;
        let Some(track) = parsed.tracks.first() else {
            continue;
        };
        let mut at = track.base_decode_time.map_or(0, |t| t.value);
        for sample in track.samples() {
            frames.push(Frame {
                at_s: at as f64 / f64::from(found.index.timescale.max(1)),
                bytes: sample.size,
            });
            at += u64::from(sample.duration);
        }
    }
    Ok(frames)
}

/// An hour of one camera in four segments, made once in a run.
pub(crate) fn hour(bench: &Bench) -> anyhow::Result<Config> {
    lay(bench, "hour", 1, 4, SEGMENT_S as u64 / 10)
}

/// A minute of two cameras, made once in a run.
pub(crate) fn pair(bench: &Bench) -> anyhow::Result<Config> {
    lay(bench, "pair", 2, 1, 6)
}

/// So many segments of each of some cameras, each of so many times ten seconds.
fn lay(bench: &Bench, name: &str, cameras: usize, segments: u32, turns: u64) -> anyhow::Result<Config> {
    let root = bench.dir.join(name);
    if root.exists() {
        return Ok(Config::new(root));
    }
    let (header, chunks, scale) = ten_seconds(&bench.dir.join(format!("{name}-ten")))?;
    let (config, tree, store) = archive(&root)?;
    let all = (0..cameras).flat_map(|n| (0..segments).map(move |sequence| (n, sequence)));
    for (n, sequence) in all {
        let start = BEGIN.add_ns(i64::from(sequence) * turns as i64 * 10 * NS_PER_S);
        let start = SegmentStart {
            camera: camera(n),
            run: RunId::from_u64(n as u64 + 1),
            sequence,
            anchor: Anchor {
                utc: BEGIN,
                steady_ns: 0,
                running_ns: 0,
            },
            start,
            camera_start: None,
            container: Container::Fmp4,
            tracks: tracks(),
            masks: None,
            from_card: false,
        };
        let mut file = tree.create(&start)?;
        let mut at = 0;
        file.write_at(at, &header)?;
        at += header.len() as u64;
        let mut number = 0u32;
        for turn in 0..turns {
            for chunk in &chunks {
                let mut bytes = chunk.bytes.clone();
                number += 1;
                bytes[chunk.number_at..][..4].copy_from_slice(&number.to_be_bytes());
                let time = chunk.time + turn * 10 * u64::from(scale);
                if chunk.wide {
                    bytes[chunk.time_at..][..8].copy_from_slice(&time.to_be_bytes());
                } else {
                    bytes[chunk.time_at..][..4].copy_from_slice(&u32::try_from(time)?.to_be_bytes());
                }
                file.write_at(at, &bytes)?;
                at += bytes.len() as u64;
            }
        }
        store.insert_segments_blocking(vec![file.finish()?])?;
    }
    store.shutdown_blocking()?;
    Ok(config)
}

struct Chunk {
    bytes: Vec<u8>,
    time: u64,
    time_at: usize,
    wide: bool,
    number_at: usize,
}

/// Records the clip once around and cuts it at the keyframes where it begins.
fn ten_seconds(root: &Path) -> anyhow::Result<(Vec<u8>, Vec<Chunk>, u32)> {
    let cam = ReplayCam::start(&ReplayOptions::default())?;
    let root_text = root.to_string_lossy();
    let mut recorder = roles::start(&[
        "recorder",
        "--segment",
        "86400",
        "--root",
        &root_text,
        &cam.url(0),
    ])?;
    recorder.wait_for_line("recording", Duration::from_secs(30))?;
    wait::until_true("twelve seconds of footage", Duration::from_secs(40), || {
        cam.frames_sent() > 300
    })?;
    recorder.signal(nvr_tests::proc::Signal::Term)?;
    recorder.wait_for_end(Duration::from_secs(20))?;

    let path = segments(root)
        .into_iter()
        .max_by_key(|p| std::fs::metadata(p).map_or(0, |m| m.len()))
        .context("nothing was recorded")?;
    let found = read(&path)?;
    let init = found.init.context("no init segment")?;
    let file = File::open(&path)?;
    let mut chunks = Vec::new();
    let mut ended = false;
    for fragment in &found.index.fragments {
        if fragment.start_ns >= 10 * NS_PER_S - NS_PER_S / 100 {
            ensure!(fragment.keyframe, "the clip does not begin with a keyframe again");
            ended = true;
            break;
        }
        let mut bytes = vec![0; fragment.size as usize];
        file.read_exact_at(&mut bytes, fragment.offset)?;
        let moof_at = find(&bytes, b"moof")?.context("no moof")?.body_offset() - 8;
        let parsed = MovieFragment::parse(&bytes[moof_at..], &init)?;
        let time = parsed
            .tracks
            .first()
            .and_then(|t| t.base_decode_time)
            .context("no tfdt")?;
        let number_at = moof_at + parsed.sequence_at;
        chunks.push(Chunk {
            time: time.value,
            time_at: moof_at + time.offset,
            wide: time.wide,
            number_at,
            bytes,
        });
    }
    ensure!(ended, "less than ten seconds were recorded");
    Ok((init.bytes, chunks, found.index.timescale))
}

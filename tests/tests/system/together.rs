//! Everything at once for a while: three cameras, a small disk, footage encoded again once the window opens, and a service for
//! its copies that is away in between. The program `endurance` makes half an hour of it, with a `kill -9`.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use nvr_core::clock::Clock as _;
use nvr_core::config::Room;
use nvr_core::store::{SegmentRow, SegmentState, UploadState};
use nvr_core::time::NS_PER_S;
use nvr_core::track::VideoCodec;
use nvr_core::window::Windows;
use nvr_core::{EventKind, Timestamp};
use nvr_tests::disk::{Mount, available, run, text};
use nvr_tests::rig::{LIMIT, Rig, checked, file_of, id, judge_timeline, rows, small, storage_fault, whole};
use nvr_tests::s3::{Mode, S3};
use nvr_tests::{Picture, TestCam, TestCamOptions, judge, wait};

const MIB: u64 = 1 << 20;
/// How long they record.
const SECONDS: u64 = 40;
const DISK_MIB: u64 = 24;
const CAMERAS: [&str; 3] = ["ball", "other", "snow"];

/// Two that are worth being encoded again, and one that fills the disk.
fn cameras() -> [TestCam; 3] {
    let ball = || TestCamOptions {
        fps: 15,
        gop: 30,
        ..TestCamOptions::default()
    };
    let snow = TestCamOptions {
        bitrate_bps: 4_000_000,
        picture: Picture::Snow,
        ..small()
    };
    [ball(), ball(), snow].map(|options| TestCam::start(options).unwrap())
}

/// A disk with a file system as most have it, in a file; in memory where files cannot be mounted.
fn disk(at: &Path) -> Option<Mount> {
    if !Path::new("/dev/loop-control").exists() {
        return Mount::memory(at, DISK_MIB);
    }
    let image = at.with_extension("img");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(DISK_MIB * MIB)
        .unwrap();
    assert!(run("mkfs.ext4", &["-q", "-m", "0", text(&image)]));
    Mount::new(at, &["-o", "loop", text(&image)])
}

/// A window that opens so many seconds from now, and the clock set so that this is a whole minute.
fn opens_in(rig: &Rig, wait_s: u64) -> Windows {
    const MINUTE: i64 = 60 * NS_PER_S;
    let opens = rig.clock.now().add_ns(i64::try_from(wait_s).unwrap() * NS_PER_S);
    rig.clock.step(MINUTE - opens.as_ns().rem_euclid(MINUTE));
    let opens = rig.clock.now().add_ns(i64::try_from(wait_s).unwrap() * NS_PER_S);
    let at = |t: Timestamp| t.to_jiff().strftime("%H:%M").to_string();
    // A moment has passed since it was set.
    let opens = opens.add_ns(NS_PER_S / 2);
    let closes = opens.add_ns(6 * 60 * MINUTE);
    Windows::parse(&format!("{}-{}", at(opens), at(closes)), "UTC").unwrap()
}

/// What the copies in the bucket hold: the numbers of their frames, by the hash of their bytes.
async fn copies(s3: &S3) -> HashMap<[u8; 32], Vec<u32>> {
    let mut all = HashMap::new();
    for key in s3.keys().await.unwrap() {
        let (bytes, said) = s3.object(&key).await.unwrap().unwrap();
        let hash = blake3::hash(&bytes);
        assert_eq!(
            said,
            hash.to_hex().to_string(),
            "{key} says another hash than it has"
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let numbers = tokio::task::spawn_blocking(move || judge::frame_numbers(file.path()).unwrap());
        all.insert(*hash.as_bytes(), numbers.await.unwrap());
    }
    all
}

/// Waits until whatever is complete has its copy and nothing is left to be done.
async fn settled(rig: &Rig) {
    wait::until_async("the copies", 2 * LIMIT, || async {
        for row in rig.rows().await.unwrap() {
            if row.state == SegmentState::Open {
                continue;
            }
            let copies = rig.nvr().uploads().of_segment(row.id).await.unwrap();
            let newest = rig.nvr().store().segment(row.id).unwrap();
            if newest.is_some() && !copies.iter().any(|c| c.state == UploadState::Done) {
                return None;
            }
        }
        Some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_on_a_small_disk() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("disk");
    let Some(_mount) = disk(&root) else {
        return;
    };
    let whole_disk = available(&root);

    let s3 = S3::start().await.unwrap();
    let cams = cameras();
    let mut rig = Rig::at(&root.join("recordings"));
    std::fs::create_dir(rig.root()).unwrap();
    let retention = &mut rig.config.retention;
    retention.min_free = Room::Bytes(whole_disk / 4);
    retention.critical_free = Room::Bytes(whole_disk / 20);
    let mut target = s3.target("s3");
    target.local_retention = Some(Duration::from_secs(SECONDS / 4));
    rig.config.uploads.push(target);
    rig.config.jobs.retry_ceiling = Duration::from_secs(2);
    // Others use this machine, too.
    rig.config.jobs.max_load_percent = 0;
    let transcode = &mut rig.config.transcode;
    transcode.enabled = true;
    transcode.after = Duration::ZERO;
    transcode.min_bytes = 0;
    transcode.preset = Some("superfast".into());
    rig.config.transcode.window = opens_in(&rig, SECONDS / 4);
    for (name, cam) in CAMERAS.iter().zip(&cams) {
        rig.add(name, &cam.url()).unwrap().segment = Duration::from_secs(2);
    }
    rig.start().await.unwrap();

    let mut least = u64::MAX;
    let none_encoded = || rig.nvr().store().transcode_totals().unwrap().is_empty();
    // However long a busy machine takes until it has encoded one again.
    for second in 0..SECONDS + LIMIT.as_secs() {
        if second >= SECONDS && !none_encoded() {
            break;
        } else if second == SECONDS * 2 / 5 {
            s3.set(Mode::Away);
        } else if second == SECONDS * 3 / 5 {
            s3.set(Mode::Pass);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        least = least.min(available(&root));
        // By itself it looks for footage once a minute.
        rig.nvr().set_transcoding(true).await.unwrap();
    }
    let failures: u64 = rig.nvr().uploads().figures().values().map(|f| f.failures).sum();
    settled(&rig).await;
    least = least.min(available(&root));
    let totals = rig.nvr().store().transcode_totals().unwrap();
    let stats: Vec<_> = CAMERAS
        .iter()
        .map(|c| rig.nvr().camera(&id(c)).unwrap().status().counters)
        .collect();
    let mut timelines = Vec::new();
    for camera in CAMERAS {
        timelines.push(rig.timeline(camera).await.unwrap());
    }
    rig.stop_clean().await.unwrap();

    // The disk was never full, though more was recorded than it holds, and nobody was ever held up.
    eprintln!("disk {} KiB, least free {} KiB", whole_disk / 1024, least / 1024);
    assert!(least > whole_disk / 20, "only {least} bytes were free");
    assert_eq!(rig.count(|k| storage_fault(k).is_some()), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::FramesDropped { .. })), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::SpaceLow { .. })), 0);
    assert!(failures > 0, "the service was away and nobody noticed");

    // Timelines are complete: one stretch, no gap.
    for timeline in &timelines {
        judge_timeline(timeline).unwrap();
        assert_eq!(
            (timeline.ranges.len(), timeline.gaps.len()),
            (1, 0),
            "{timeline:#?}"
        );
    }

    // Whatever was recorded is here or there, as the index says, and no frame is missing.
    let report = checked(&rig.config).await.unwrap();
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    let rows = rows(&rig.config).await.unwrap();
    let there = copies(&s3).await;
    let (mut here, mut remote, mut bytes) = (0, 0, 0);
    for (camera, counters) in CAMERAS.iter().zip(&stats) {
        let mut mine: Vec<&SegmentRow> = rows.iter().filter(|r| r.camera.as_str() == *camera).collect();
        mine.sort_by_key(|r| r.start);
        let mut numbers = Vec::new();
        for row in mine {
            let hash = row.hash.unwrap_or_else(|| panic!("no hash: {row:?}"));
            bytes += row.size_bytes;
            match row.state {
                SegmentState::Closed => {
                    here += 1;
                    let path = file_of(&rig.config, row);
                    assert_eq!(
                        *blake3::hash(&std::fs::read(&path).unwrap()).as_bytes(),
                        hash,
                        "{row:?}"
                    );
                    let found = tokio::task::spawn_blocking(move || judge::frame_numbers(&path).unwrap());
                    numbers.extend(found.await.unwrap());
                }
                SegmentState::Remote => {
                    remote += 1;
                    numbers.extend(there.get(&hash).unwrap_or_else(|| panic!("no copy: {row:?}")));
                }
                other => panic!("{other:?}: {row:?}"),
            }
        }
        whole(&numbers).unwrap();
        eprintln!(
            "{camera}: {} frames, {} at the last look at its counter",
            numbers.len(),
            counters.frames
        );
        assert!(numbers.len() as u64 >= counters.frames);
    }
    assert!(remote > 0, "nothing was left to the service");
    eprintln!(
        "{here} segments here, {remote} only there, {} KiB together",
        bytes / 1024
    );

    let encoded = rows
        .iter()
        .filter(|r| r.tracks.video.codec == VideoCodec::H265)
        .count() as u64;
    for t in &totals {
        eprintln!(
            "{}: {} encoded again and {} left, {} KiB became {} KiB, SSIM {:?}, worst {:?}, {:.1} s for {:.1} s of footage",
            t.camera,
            t.done,
            t.kept,
            t.before_bytes / 1024,
            t.after_bytes / 1024,
            t.ssim,
            t.worst_ssim,
            t.elapsed_ns as f64 / 1e9,
            t.footage_ns as f64 / 1e9,
        );
        assert!(t.ssim.is_none_or(|s| s >= rig.config.transcode.min_ssim));
    }
    assert!(encoded > 0, "nothing was encoded again");
    assert!(encoded >= totals.iter().map(|t| t.done).sum::<u64>());
}

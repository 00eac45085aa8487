//! Several cameras in one file, and many hours in a minute; decoded by ffmpeg.

use std::path::Path;
use std::process::Command;

use nvr_core::convert::{Layout, MergeParams, TimelapseParams};
use nvr_core::event::EventKind;
use nvr_core::jobs::{JobRow, JobState};
use nvr_core::{CameraId, ErrorKind, TimeRange, Timestamp};
use nvr_tests::judge;
use nvr_tests::rig::{CAM, Rig, file_of, id};
use serde_json::Value;

const OTHER: &str = "other";
const PICTURE: &str = "test:?size=640x360&fps=25&gop=25&audio=1";

/// Two cameras with some seconds of footage that all lies still.
async fn recorded() -> (Rig, Vec<TimeRange>, [Vec<(i64, u64)>; 2]) {
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, PICTURE).unwrap();
    rig.add(OTHER, PICTURE).unwrap();
    rig.start().await.unwrap();
    rig.frames(75).await.unwrap();
    for camera in [CAM, OTHER] {
        rig.nvr().camera(&id(camera)).unwrap().stop().unwrap();
    }
    rig.wait_for("both files", 2, |k| matches!(k, EventKind::SegmentClosed { .. }))
        .await
        .unwrap();
    let rows = rig.rows().await.unwrap();
    let range = |camera: &str| {
        let of: Vec<_> = rows.iter().filter(|r| r.camera == id(camera)).collect();
        TimeRange::new(of[0].start, of[of.len() - 1].end()).unwrap()
    };
    let ranges = vec![range(CAM), range(OTHER)];
    let frames = |camera: &str| {
        let of = rows.iter().filter(|r| r.camera == id(camera));
        let frames = of.flat_map(|row| {
            let file = file_of(&rig.config, row);
            let mut times: Vec<f64> = judge::packets(&file, "v:0")
                .unwrap()
                .iter()
                .filter_map(|p| p.pts)
                .collect();
            times.sort_by(f64::total_cmp);
            let numbers: Vec<u64> = pictures(&file, "null").iter().map(|p| number(p)).collect();
            assert_eq!(times.len(), numbers.len());
            let at = |t: f64| row.start.as_ns() + ((t - times[0]) * 1e9) as i64;
            times.iter().map(|&t| at(t)).zip(numbers).collect::<Vec<_>>()
        });
        frames.collect::<Vec<_>>()
    };
    let frames = [frames(CAM), frames(OTHER)];
    (rig, ranges, frames)
}

async fn done(rig: &Rig, job: nvr_core::jobs::NewJob) -> JobRow {
    let jobs = rig.nvr().jobs();
    let job = jobs.enqueue(job).await.unwrap().job;
    jobs.wait(job.id).await.unwrap()
}

fn file(rig: &Rig, job: &JobRow) -> std::path::PathBuf {
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    let name = job.result.as_ref().unwrap()["file"].as_str().unwrap();
    rig.root().join("_exports").join(name)
}

/// The luma of each picture of a part of a file, brought back to the size of the camera.
fn pictures(file: &Path, crop: &str) -> Vec<Vec<u8>> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args([
            "-vf",
            crop,
            "-fps_mode",
            "passthrough",
            "-pix_fmt",
            "gray",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.chunks_exact(640 * 360).map(<[u8]>::to_vec).collect()
}

/// Number of the frame that the blocks at the bottom of a picture say.
fn number(luma: &[u8]) -> u64 {
    blocks(luma) >> 48
}

fn blocks(luma: &[u8]) -> u64 {
    let mut number = 0u64;
    for bit in 0..64 {
        number = number << 1 | u64::from(luma[(350 + 5) * 640 + bit * 10 + 5] > 128);
    }
    number
}

fn warnings(job: &JobRow) -> Vec<String> {
    let list = job.result.as_ref().unwrap()["warnings"].as_array().unwrap();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_lie_beside_each_other_at_the_same_moment() {
    let (rig, ranges, frames) = recorded().await;
    // From a second before the later one begins to its end: black until then.
    let first = ranges.iter().map(TimeRange::start).max().unwrap();
    let end = ranges.iter().map(TimeRange::end).min().unwrap();
    let range = TimeRange::new(first.add_ns(-1_000_000_000), end).unwrap();
    let params = MergeParams {
        sound: Some(id(CAM)),
        height: Some(360),
        fps: Some(25),
        ..MergeParams::new(vec![id(CAM), id(OTHER)], range)
    };
    let job = done(&rig, params.job().unwrap()).await;
    let path = file(&rig, &job);
    judge::decode_all(&path).unwrap();
    let streams = judge::streams(path.to_str().unwrap()).unwrap();
    let kinds: Vec<_> = streams
        .iter()
        .map(|s| s["codec_name"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["h264", "aac"]);
    assert_eq!(
        (&streams[0]["width"], &streams[0]["height"]),
        (&1280.into(), &360.into())
    );
    assert!(judge::loudness(&path).unwrap() > -60.0, "it is heard");
    assert!(
        warnings(&job).iter().any(|w| w.contains(CAM)),
        "{:?}",
        warnings(&job)
    );
    let sides = [
        pictures(&path, "crop=640:360:0:0"),
        pictures(&path, "crop=640:360:640:0"),
    ];
    assert_eq!(sides[0].len(), sides[1].len());
    assert!((range.len_ns() / 40_000_000 - sides[0].len() as i64).abs() <= 1);
    let mut compared = 0;
    for (n, (left, right)) in sides[0].iter().zip(&sides[1]).enumerate() {
        let at = range.start().add_ns(n as i64 * 40_000_000);
        if at < first {
            continue;
        }
        for (picture, recorded) in [left, right].into_iter().zip(&frames) {
            // Times in files are rounded to ticks.
            let newest = |slack: i64| {
                let before = recorded.iter().filter(|(t, _)| *t <= at.as_ns() + slack);
                before.map(|(_, n)| *n).next_back()
            };
            let shown = Some(number(picture));
            assert!(
                shown == newest(-100_000) || shown == newest(100_000),
                "picture {n} shows {shown:?}, not {:?}",
                newest(0)
            );
        }
        compared += 1;
    }
    assert!(compared > 25, "{compared}");
    assert!(
        sides[0][0].iter().filter(|&&b| b > 128).count() < 640 * 360 / 20,
        "black"
    );
    assert!(sides[0][0].iter().any(|&b| b > 200), "with the name");

    // A camera that is away throughout, one after the other, without sound.
    let late = TimeRange::new(end.add_ns(-1_000_000_000), end).unwrap();
    let params = MergeParams {
        layout: Layout::OneAfterTheOther,
        ..MergeParams::new(vec![id(CAM), id(OTHER)], late)
    };
    let job = done(&rig, params.job().unwrap()).await;
    let path = file(&rig, &job);
    judge::decode_all(&path).unwrap();
    assert_eq!(judge::streams(path.to_str().unwrap()).unwrap().len(), 1);
    assert_eq!(pictures(&path, "null").len(), 50);

    // Nothing there at all.
    let never = TimeRange::new(Timestamp::from_secs(1000), Timestamp::from_secs(1010)).unwrap();
    let job = done(
        &rig,
        MergeParams::new(vec![id(CAM), id(OTHER)], never).job().unwrap(),
    )
    .await;
    assert_eq!((job.state, job.attempts), (JobState::Failed, 1), "{job:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_called_off_leaves_nothing() {
    let (rig, ranges, _) = recorded().await;
    let long = TimeRange::new(ranges[0].start(), ranges[0].start().add_ns(36_000_000_000_000)).unwrap();
    let jobs = rig.nvr().jobs();
    let params = MergeParams::new(vec![id(CAM), id(OTHER)], long);
    let job = jobs.enqueue(params.job().unwrap()).await.unwrap().job;
    let folder = rig.root().join("_exports");
    rig.until("something to be written", || {
        std::fs::read_dir(&folder)
            .is_ok_and(|d| d.flatten().any(|f| f.metadata().is_ok_and(|m| m.len() > 1000)))
    })
    .await
    .unwrap();
    jobs.cancel(job.id).await.unwrap();
    assert_eq!(jobs.wait(job.id).await.unwrap().state, JobState::Cancelled);
    rig.until("the part to be gone", || {
        std::fs::read_dir(&folder).unwrap().count() == 0
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_lapse_shows_keyframes_at_even_distances() {
    let (rig, ranges, _) = recorded().await;
    let params = TimelapseParams {
        length_s: Some(0.5),
        fps: 12,
        ..TimelapseParams::new(id(CAM), ranges[0])
    };
    let job = done(&rig, params.job().unwrap()).await;
    let path = file(&rig, &job);
    judge::decode_all(&path).unwrap();
    let clocks: Vec<u64> = pictures(&path, "null").iter().map(|p| number(p)).collect();
    assert_eq!(clocks.len(), 6, "{clocks:?}");
    assert!(clocks.windows(2).all(|w| w[1] >= w[0]), "{clocks:?}");
    assert!(clocks[5] - clocks[0] >= 25, "{clocks:?}");
    assert!(warnings(&job).is_empty());
}

#[test]
fn what_cannot_be() {
    let range = TimeRange::new(Timestamp::from_secs(1), Timestamp::from_secs(2)).unwrap();
    let names = |n: usize| {
        (0..n)
            .map(|n| CameraId::new(&format!("c{n}")).unwrap())
            .collect::<Vec<_>>()
    };
    for bad in [
        MergeParams::new(names(1), range),
        MergeParams::new(names(17), range),
        MergeParams::new(vec![id(CAM), id(CAM)], range),
        MergeParams {
            sound: Some(id("no")),
            ..MergeParams::new(names(2), range)
        },
        MergeParams {
            fps: Some(0),
            ..MergeParams::new(names(2), range)
        },
        MergeParams {
            height: Some(1),
            ..MergeParams::new(names(2), range)
        },
        MergeParams {
            path: Some("a.mp4".into()),
            ..MergeParams::new(names(2), range)
        },
    ] {
        assert_eq!(bad.job().unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

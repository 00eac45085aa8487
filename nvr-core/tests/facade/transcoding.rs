//! Footage is encoded again beside a recording that goes on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use nvr_core::event::{CameraPhase, EventKind};
use nvr_core::jobs::JobState;
use nvr_core::store::SegmentState;
use nvr_core::track::VideoCodec;
use nvr_core::{ErrorKind, ExportRequest, TimeRange, media::clip::Format};

use crate::house::*;

const PICTURES: &str = "test:?size=640x360&fps=25&gop=25&audio=1";
/// A frame of [`PICTURES`], in ticks of the file.
const FRAME: i64 = 90_000 / 25;

/// Presentation times of a file's frames, in ticks.
fn times(path: &Path) -> Vec<i64> {
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "packet=pts",
            "-of",
            "csv=p=0",
        ])
        .arg(path)
        .output()
        .expect("ffprobe is needed by this test");
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).unwrap();
    let mut times: Vec<i64> = text
        .lines()
        .map(|l| l.trim_matches(',').parse().unwrap())
        .collect();
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcode_at_full_tilt_costs_the_recorder_no_frame() {
    let mut house = House::new([camera("cam", PICTURES)]);
    // All that the machine has, thoroughly: what matters is what it may not take.
    house.config.transcode.threads = 0;
    house.config.transcode.preset = Some("slow".into());
    // The test pattern is small already.
    house.config.transcode.quality = 38;
    house.config.transcode.min_ssim = 0.5;
    house.config.transcode.smaller_by_percent = 0;
    // It must not be called off because it makes the machine busy.
    house.config.jobs.max_load_percent = 0;
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    frames(&cam, 150).await;
    cam.split().unwrap();
    until("a closed segment", || {
        (cam.status().counters.segments >= 1).then_some(())
    })
    .await;
    let first = until_indexed(&nvr).await;

    let before = cam.status().counters;
    let range = TimeRange::new(first.start, first.end()).unwrap();
    let jobs = nvr.transcode(&id("cam"), range).await.unwrap();
    assert_eq!(jobs.len(), 1);
    let job = tokio::time::timeout(Duration::from_secs(120), nvr.jobs().wait(jobs[0]))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    assert!(job.message.contains("smaller"), "{}", job.message);
    let after = cam.status().counters;
    assert!(after.frames > before.frames, "nothing was recorded beside it");
    assert_eq!((after.frames_dropped, after.restarts), (0, before.restarts));

    // The segment is H.265 now, and part of everything that can be asked.
    let rows = segments(&nvr, "cam").await;
    assert_eq!(rows[0].id, first.id);
    assert_eq!(rows[0].tracks.video.codec, VideoCodec::H265);
    assert_eq!(rows[0].state, SegmentState::Closed);
    assert_eq!(
        (rows[0].start, rows[0].duration_ns),
        (first.start, first.duration_ns)
    );
    let timeline = nvr.timeline(&id("cam"), TimeRange::ALL).await.unwrap();
    assert_eq!(
        (timeline.ranges.len(), timeline.gaps.len()),
        (1, 0),
        "{timeline:#?}"
    );
    let clip = nvr
        .export(ExportRequest::new(id("cam"), range, Format::Mp4))
        .await
        .unwrap();
    let root = house.config.recorder.root.clone();
    let path = root.with_file_name("clip.mp4");
    clip.write_to(&mut std::fs::File::create(&path).unwrap(), |_| true)
        .unwrap();
    let exported = times(&path);
    assert_eq!(exported.len(), times(&root.join(&rows[0].path)).len());

    // Not one frame is missing in what was recorded beside it.
    let report = nvr.shutdown(STOP).await;
    assert!(report.cut.is_empty());
    drop((nvr, cam));
    let archive = house.archive().await;
    let rows = segments(&archive, "cam").await;
    assert!(rows.len() >= 2);
    for row in &rows {
        let times = times(&house.config.recorder.root.join(&row.path));
        for pair in times.windows(2) {
            let step = pair[1] - pair[0];
            assert!(
                (step - FRAME).abs() <= 90,
                "{}: a step of {step} ticks",
                row.path.display()
            );
        }
    }
    let status = archive.store().transcode_totals().unwrap();
    assert_eq!((status.len(), status[0].done), (1, 1));
}

async fn until_indexed(nvr: &nvr_core::Nvr) -> nvr_core::store::SegmentRow {
    for _ in 0..1000 {
        let rows = segments(nvr, "cam").await;
        if let Some(row) = rows.into_iter().find(|r| r.state == SegmentState::Closed) {
            return row;
        }
        a_second(nvr).await;
    }
    panic!("no closed segment");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_switched_on_and_off_at_run_time() {
    let mut house = House::new([camera("cam", SMALL)]);
    house.config.transcode.after = Duration::ZERO;
    house.config.transcode.min_bytes = 0;
    house.config.jobs.max_load_percent = 0;
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    assert!(!nvr.transcoding().await.unwrap().enabled);
    let nothing = nvr.transcode(&id("cam"), TimeRange::ALL).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotFound);
    frames(&cam, 30).await;
    cam.split().unwrap();
    let first = until_indexed(&nvr).await;
    assert!(nvr.set_transcoding(true).await.unwrap().enabled);
    // The planner entered it at once.
    let job = nvr
        .jobs()
        .list(nvr_core::jobs::JobQuery::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .find(|j| j.kind == "transcode")
        .expect("a job");
    let job = tokio::time::timeout(LIMIT, nvr.jobs().wait(job.id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    let tried = nvr.store().transcode_of(first.id).unwrap();
    assert!(tried.is_some(), "{job:#?}");
    assert!(!nvr.set_transcoding(false).await.unwrap().enabled);
    stop(nvr).await;
}

/// Threads of this process that give way to others. Not by name: GStreamer gives them names of its own.
fn background_threads() -> usize {
    let stats = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    stats
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        // `nice`, counted from behind the name, which may hold anything (proc(5)).
        .filter_map(|stat| {
            let behind = stat.rsplit_once(") ")?.1;
            behind.split(' ').nth(16)?.parse::<i32>().ok()
        })
        .filter(|nice| *nice > 0)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcode_that_runs_is_called_off_and_nothing_is_left_of_it() {
    let mut house = House::new([camera("cam", PICTURES)]);
    // It must not be done before it is called off.
    house.config.transcode.threads = 1;
    house.config.transcode.preset = Some("slow".into());
    house.config.transcode.quality = 45;
    house.config.transcode.min_ssim = 0.0;
    house.config.transcode.smaller_by_percent = 0;
    house.config.jobs.max_load_percent = 0;
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    frames(&cam, 250).await;
    cam.split().unwrap();
    let first = until_indexed(&nvr).await;
    cam.stop().unwrap();
    let range = TimeRange::new(first.start, first.end()).unwrap();
    let mut told = nvr.events();
    let job = nvr.transcode(&id("cam"), range).await.unwrap()[0];
    // Once a part of it is encoded. The row is written more rarely than the event is told.
    loop {
        let event = told.next().await.unwrap();
        if let EventKind::JobChanged {
            job: of, progress, ..
        } = event.kind
            && of == job
            && progress > 0.0
        {
            break;
        }
    }
    while background_threads() == 0 {
        let row = nvr.jobs().get(job).await.unwrap();
        assert!(!row.state.is_over(), "{row:#?}");
        tokio::task::yield_now().await;
    }
    let clock = nvr.clock();
    let begun = clock.steady_ns();
    let row = nvr.jobs().cancel(job).await.unwrap();
    let took = (clock.steady_ns() - begun) / 1_000_000;
    assert_eq!(row.state, JobState::Cancelled, "{row:#?}");
    // The thread that worked tells first, and ends then.
    let gone = async {
        while background_threads() > 0 {
            clock.sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("what worked is gone");
    println!("called off within {took} ms");
    assert!(nvr.store().transcode_of(first.id).unwrap().is_none());
    assert_eq!(
        segments(&nvr, "cam").await[0].tracks.video.codec,
        VideoCodec::H264
    );
    let left = house.config.recorder.root.join(".nvr-transcode");
    assert!(!left.exists() || std::fs::read_dir(left).unwrap().next().is_none());
    stop(nvr).await;
}

//! A real RTSP stream recorded for minutes through a `kill -9`, a restart of the camera and a change of its
//! resolution, then judged: timeline, files, exports, and the index made again from the files.
//!
//! `cargo run -p nvr-tests --bin acceptance -- --minutes 10`
#![allow(clippy::print_stdout, reason = "it reports")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::Config;
use nvr_core::event::CauseKind;
use nvr_core::files::{Root, RootOptions};
use nvr_core::store::SegmentRow;
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, ErrorKind, EventKind, ExportFormat, ExportRequest, TimeRange, check};
use nvr_tests::proc::Signal;
use nvr_tests::recorder::{Recorder, program};
use nvr_tests::rig::{CAM, file_of, id, judge_all, judge_timeline, numbers_of, whole};
use nvr_tests::{Audio, TestCam, TestCamOptions, judge, wait};

const FPS: u32 = 25;
/// The word that makes this program the recorder that is killed.
const RECORDER: &str = "recorder";

#[derive(Parser)]
struct Args {
    /// How long to record.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Where to record; a temporary folder by default. It must be empty, and it stays.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Length of a segment in seconds.
    #[arg(long, default_value = "60")]
    segment: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(RECORDER) {
        return program::run(program::Args::parse_from(std::env::args().skip(1))).await;
    }
    let args = Args::parse();
    let kept;
    let root = if let Some(dir) = args.dir {
        dir
    } else {
        kept = tempfile::tempdir()?;
        kept.path().join("recordings")
    };
    let config = {
        let mut config = Config::new(&root);
        config.recorder.time_zone = "UTC".into();
        config
    };
    let lost_ns = record(&root, args.minutes, &args.segment)?;
    let rows = judged(&config, lost_ns).await?;
    exports(&config, &rows).await?;
    rebuilt(&config, &rows).await?;
    println!("all is as it should be");
    Ok(ExitCode::SUCCESS)
}

fn camera() -> TestCamOptions {
    TestCamOptions {
        fps: FPS,
        gop: 50,
        audio: Audio::Aac,
        ..TestCamOptions::default()
    }
}

fn recorder(root: &Path, cam: &TestCam, segment: &str) -> anyhow::Result<Recorder> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(RECORDER);
    Recorder::start_by(
        command,
        root,
        &[format!("{CAM}={}", cam.url())],
        &["--segment", segment],
    )
}

fn opened(recorder: &Recorder) -> usize {
    recorder.log().matches("segment_opened").count()
}

/// The four parts of the recording; hands back what the kill cost.
fn record(root: &Path, minutes: f64, segment: &str) -> anyhow::Result<i64> {
    let part = Duration::from_secs_f64(minutes * 60.0 / 4.0);
    let clock = SystemClock::new();
    let pass = |what: &str| {
        println!("{} {what}, for {part:?}", clock.now());
        let until = clock.steady_ns() + nvr_core::time::duration_ns(part);
        wait::until_true(what, part + Duration::from_secs(60), || {
            clock.steady_ns() >= until
        })
    };
    let mut cam = TestCam::start(camera())?;
    let mut first = recorder(root, &cam, segment)?;
    first.until("a segment", |r| opened(r) > 0)?;
    pass("recording")?;

    println!("{} kill -9", clock.now());
    first.kill()?;
    let arrived = first.arrived().into_iter().max().context("no frame arrived")?;
    let mut second = recorder(root, &cam, segment)?;
    second.until("a segment", |r| opened(r) > 0)?;
    pass("killed and started again")?;

    for (what, next) in [
        ("the camera was restarted", camera()),
        (
            "the camera came back with another resolution",
            TestCamOptions {
                width: 1280,
                height: 720,
                ..camera()
            },
        ),
    ] {
        let before = second.log().matches("run_started").count();
        println!("{} the camera dies", clock.now());
        cam.die();
        second.until("the loss to be noticed", |r| {
            r.events().last().is_some_and(
                |e| matches!(e.kind, EventKind::CameraState { to, .. } if to == nvr_core::event::CameraPhase::BackingOff),
            )
        })?;
        cam.come_back_as(next)?;
        second.until("a new run", |r| r.log().matches("run_started").count() > before)?;
        pass(what)?;
    }
    println!("{} SIGTERM", clock.now());
    second.signal(Signal::Term)?;
    let status = second.wait_for_end()?;
    ensure!(
        status.success(),
        "it did not end in order: {status}\n{}",
        second.log()
    );
    Ok(arrived)
}

async fn judged(config: &Config, arrived_ns: i64) -> anyhow::Result<Vec<SegmentRow>> {
    let rows = judge_all(config).await?;
    println!(
        "\n{} segments, all decoded by ffmpeg, index and files agree",
        rows.len()
    );
    let archive = Archive::open(config).await?;
    let timeline = archive.timeline(&id(CAM), TimeRange::ALL).await?;
    judge_timeline(&timeline)?;
    println!("\ntimeline");
    for r in &timeline.ranges {
        let s = r.range.len_ns() / NS_PER_S;
        println!("  recorded {} to {} ({s} s)", r.range.start(), r.range.end());
    }
    for g in &timeline.gaps {
        let s = g.range.len_ns() as f64 / NS_PER_S as f64;
        let kind = g.cause.kind.as_str();
        println!(
            "  missing  {} ({s:.3} s): {kind}, {}",
            g.range.start(),
            g.cause.message
        );
    }
    ensure!(
        timeline.ranges.len() == 4,
        "not the four stretches that were filmed"
    );
    let cause = |n: usize| {
        let at = timeline.ranges[n].range.end();
        let gap = timeline.gaps.iter().find(|g| g.range.start() == at);
        gap.map(|g| g.cause.kind)
    };
    ensure!(
        cause(0) == Some(CauseKind::Crash),
        "the kill is not told: {:?}",
        cause(0)
    );
    for n in [1, 2] {
        let known = [CauseKind::StreamEnded, CauseKind::Unreachable];
        ensure!(
            cause(n).is_some_and(|c| known.contains(&c)),
            "the camera's death is not told: {:?}",
            cause(n)
        );
    }
    let lost = arrived_ns + NS_PER_S / i64::from(FPS) - timeline.ranges[0].range.end().as_ns();
    println!("\nthe kill cost {} ms of what had arrived", lost / 1_000_000);
    ensure!(
        lost <= NS_PER_S / 2 + NS_PER_S / i64::from(FPS),
        "that is too much"
    );

    let mut frames = 0;
    for stretch in &timeline.ranges {
        let mut numbers = Vec::new();
        for row in rows.iter().filter(|r| r.run == stretch.run) {
            numbers.extend(numbers_of(config, row).await?);
        }
        whole(&numbers)?;
        frames += numbers.len();
    }
    println!("{frames} frames, none missing within a run");
    Ok(rows)
}

/// Before the change of resolution, after it, and over it.
async fn exports(config: &Config, rows: &[SegmentRow]) -> anyhow::Result<()> {
    let archive = Archive::open(config).await?;
    let change = rows
        .iter()
        .position(|r| r.tracks.video.width == 1280)
        .context("no footage of the new resolution")?;
    let dir = tempfile::tempdir()?;
    println!("\nexports");
    for (name, part) in [("before", &rows[..change]), ("after", &rows[change..])] {
        let range = TimeRange::new(part[0].start, part[part.len() - 1].end())?;
        let mut expected = Vec::new();
        for row in part {
            expected.extend(numbers_of(config, row).await?);
        }
        for format in [ExportFormat::Mp4, ExportFormat::Fmp4] {
            let clip = archive.export(ExportRequest::new(id(CAM), range, format)).await?;
            let (length, size) = (clip.duration_ns() as f64 / NS_PER_S as f64, clip.len());
            let path = dir.path().join(format!("{name}.mp4"));
            let out = path.clone();
            let numbers = tokio::task::spawn_blocking(move || {
                let mut file = std::fs::File::create(&out)?;
                clip.write_to(&mut file, |_| true)?;
                judge::decode_all(&out)?;
                judge::frame_numbers(&out)
            })
            .await??;
            ensure!(std::fs::metadata(&path)?.len() == size, "the size was told wrong");
            ensure!(
                numbers == expected,
                "{} frames of {}",
                numbers.len(),
                expected.len()
            );
            let shown = judge::ffprobe(&path.to_string_lossy(), &["-show_format", "-show_streams"])?;
            let told: f64 = shown["format"]["duration"].as_str().unwrap_or("0").parse()?;
            println!(
                "  {name} the change as {format:?}: {size} bytes, {told:.2} s, {} frames, {}x{} {} and {}",
                numbers.len(),
                shown["streams"][0]["width"],
                shown["streams"][0]["height"],
                shown["streams"][0]["codec_name"],
                shown["streams"][1]["codec_name"],
            );
            ensure!((told - length).abs() < 1.0, "{told} s instead of {length}");
        }
    }
    let range = TimeRange::new(rows[0].start, rows[rows.len() - 1].end())?;
    let request = ExportRequest::new(id(CAM), range, ExportFormat::Mp4);
    match archive.export(request.clone()).await {
        Err(e) if e.kind() == ErrorKind::Conflict => println!("  over the change: refused, {e}"),
        other => anyhow::bail!("over the change: {other:?}"),
    }
    let split = archive.export_split(request).await?;
    ensure!(split.len() == 2, "{} files instead of two", split.len());
    println!("  over the change, split: two files");
    Ok(())
}

/// The index made again from the files equals the old one.
async fn rebuilt(config: &Config, old: &[SegmentRow]) -> anyhow::Result<()> {
    let (root, db) = (config.recorder.root.clone(), config.recorder.database.clone());
    let report = tokio::task::spawn_blocking(move || {
        let options = RootOptions {
            exclusive: true,
            ..RootOptions::default()
        };
        let root = Root::open(root, options, SystemClock::shared())?;
        check::rebuild(&root, &db, check::RebuildOptions::default(), &mut |_| {})
    })
    .await??;
    let new = judge_all(config).await?;
    let essence = |rows: &[SegmentRow]| {
        let mut rows: Vec<SegmentRow> = rows
            .iter()
            .map(|r| SegmentRow {
                id: nvr_core::SegmentId(0),
                ..r.clone()
            })
            .collect();
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        rows
    };
    ensure!(
        essence(&new) == essence(old),
        "the rebuilt index differs: {old:#?} {new:#?}"
    );
    for row in &new {
        ensure!(file_of(config, row).is_file(), "{row:?}");
    }
    println!(
        "\nrebuilt from the files: {} segments of {} runs, equal to the index before",
        report.segments, report.runs
    );
    Ok(())
}

//! The queue of jobs in a real recorder: killed in the middle, exports, verification.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use nvr_core::config::Config;
use nvr_core::event::EventKind;
use nvr_core::jobs::export::ExportParams;
use nvr_core::jobs::verify::VerifyParams;
use nvr_core::jobs::{IdleJobs, JobId, JobRow, JobState};
use nvr_core::privacy::{MaskStyle, Privacy};
use nvr_core::store::{OpenMode, SegmentRow, Store};
use nvr_core::{Archive, ErrorKind, ExportFormat, ExportRequest, TimeRange};
use nvr_tests::judge;
use nvr_tests::proc::Signal;
use nvr_tests::recorder::Recorder;
use nvr_tests::recorder::steps::Steps;
use nvr_tests::rig::{CAM, Rig, file_of, id};
use serde_json::json;

const PICTURE: &str = "test:?size=320x240&fps=10&gop=10";

async fn row(config: &Config, job: JobId) -> JobRow {
    let path = config.recorder.database.clone();
    tokio::task::spawn_blocking(move || Store::open(path, OpenMode::ReadOnly).unwrap().job(job).unwrap())
        .await
        .unwrap()
}

/// `kill -9` while a job is under way, several times: it goes on where it was, and no step is done twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_after_a_kill() {
    const STEPS: u64 = 8;
    let rig = Rig::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let steps = Steps {
        dir: dir.path().to_owned(),
        steps: STEPS,
    };
    // Makes root and index; the queue is then filled while no recorder runs.
    let mut recorder = Recorder::start(rig.root(), &[], &[]).unwrap();
    recorder.signal(Signal::Term).unwrap();
    recorder.wait_for_end().unwrap();
    let jobs = IdleJobs::open(&rig.config).await.unwrap();
    let job = jobs.enqueue(steps.job()).await.unwrap();
    assert!(job.is_new && !jobs.enqueue(steps.job()).await.unwrap().is_new);
    let job = job.job.id;
    jobs.close().await.unwrap();
    for kill in 0..STEPS / 2 {
        let mut recorder = Recorder::start(rig.root(), &[], &[]).unwrap();
        let e = IdleJobs::open(&rig.config).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict, "a recorder runs");
        for step in [2 * kill, 2 * kill + 1] {
            steps.go(step).unwrap();
            recorder
                .until("the step", |_| {
                    steps.done().is_ok_and(|d| d.len() as u64 == step + 1)
                })
                .unwrap();
        }
        // The checkpoint is written after the line.
        let next = Some(json!({"next": 2 * kill + 2}));
        let path = rig.config.recorder.database.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(path, OpenMode::ReadOnly).unwrap())
            .await
            .unwrap();
        if kill + 1 < STEPS / 2 {
            recorder
                .until("the checkpoint", |_| store.job(job).unwrap().checkpoint == next)
                .unwrap();
            recorder.kill().unwrap();
            drop(store);
            let left = row(&rig.config, job).await;
            assert_eq!((left.state, left.attempts), (JobState::Running, 1), "{left:?}");
        } else {
            recorder
                .until("the end", |_| store.job(job).unwrap().state == JobState::Done)
                .unwrap();
            recorder.signal(Signal::Term).unwrap();
            assert!(recorder.wait_for_end().unwrap().success(), "{}", recorder.log());
        }
    }
    let wanted: Vec<String> = (0..STEPS).map(|n| n.to_string()).collect();
    assert_eq!(steps.done().unwrap(), wanted, "nothing twice");
    let done = row(&rig.config, job).await;
    assert_eq!(done.result, Some(json!({"first": STEPS - 2})));
    assert_eq!((done.state, done.error), (JobState::Done, None));
}

/// A signal interrupts a job; it does not count as an attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_interrupted_by_an_orderly_stop() {
    let rig = Rig::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let steps = Steps {
        dir: dir.path().to_owned(),
        steps: 2,
    };
    let mut recorder = Recorder::start(rig.root(), &[], &[]).unwrap();
    recorder.signal(Signal::Term).unwrap();
    recorder.wait_for_end().unwrap();
    let jobs = IdleJobs::open(&rig.config).await.unwrap();
    let job = jobs.enqueue(steps.job()).await.unwrap().job.id;
    jobs.close().await.unwrap();
    steps.go(0).unwrap();
    let mut recorder = Recorder::start(rig.root(), &[], &[]).unwrap();
    recorder
        .until("the step", |_| steps.done().is_ok_and(|d| d.len() == 1))
        .unwrap();
    recorder.signal(Signal::Term).unwrap();
    assert!(recorder.wait_for_end().unwrap().success(), "{}", recorder.log());
    let left = row(&rig.config, job).await;
    assert_eq!((left.state, left.attempts), (JobState::Queued, 0), "{left:?}");
}

/// A recorder with some seconds of footage in two segments and nothing that grows.
async fn recorded() -> (Rig, Vec<SegmentRow>) {
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, PICTURE).unwrap().privacy = Privacy::new(
        Privacy::parse_masks("door: 0.5,0.5 0.9,0.5 0.9,0.9").unwrap(),
        MaskStyle::default(),
    );
    rig.start().await.unwrap();
    rig.frames(30).await.unwrap();
    rig.cam().split().unwrap();
    rig.wait_for("the first segment", 1, |k| {
        matches!(k, EventKind::SegmentClosed { .. })
    })
    .await
    .unwrap();
    rig.frames(20).await.unwrap();
    rig.cam().stop().unwrap();
    rig.wait_for("both", 2, |k| matches!(k, EventKind::SegmentClosed { .. }))
        .await
        .unwrap();
    let rows = rig.rows().await.unwrap();
    (rig, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_as_a_job_is_the_same_file() {
    let (mut rig, rows) = recorded().await;
    let jobs = rig.nvr().jobs();
    let range = TimeRange::new(rows[0].start, rows[1].end()).unwrap();
    let params = ExportParams {
        camera: id(CAM),
        from: range.start(),
        to: range.end(),
        format: Default::default(),
        path: None,
        codec: nvr_core::ClipCodec::AsRecorded,
        masked: false,
    };
    let job = jobs.enqueue(params.job().unwrap()).await.unwrap().job;
    let done = jobs.wait(job.id).await.unwrap();
    assert_eq!(done.state, JobState::Done, "{done:#?}");
    let (name, mut file, len) = rig.nvr().export_file(job.id).await.unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    let path = rig.root().join("_exports").join(&name);
    judge::decode_all(&path).unwrap();
    let clip = rig
        .nvr()
        .export(ExportRequest::new(id(CAM), range, ExportFormat::Mp4))
        .await
        .unwrap();
    let mut wanted = Vec::new();
    clip.write_to(&mut wanted, |_| true).unwrap();
    assert_eq!(len, clip.len());
    assert!(bytes == wanted, "the job wrote other bytes than the export gives");

    // To a place of the caller's, and not over what is there.
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("clip.mp4");
    let elsewhere = ExportParams {
        path: Some(place.clone()),
        ..params.clone()
    };
    let job = jobs.enqueue(elsewhere.job().unwrap()).await.unwrap().job;
    assert_eq!(jobs.wait(job.id).await.unwrap().state, JobState::Done);
    assert!(std::fs::read(&place).unwrap() == wanted);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing half-made is left"
    );
    let again = jobs.enqueue(elsewhere.job().unwrap()).await.unwrap();
    assert!(again.is_new, "the first is over");
    let failed = jobs.wait(again.job.id).await.unwrap();
    assert_eq!(
        (failed.state, failed.attempts),
        (JobState::Failed, 1),
        "{failed:#?}"
    );
    assert!(std::fs::read(&place).unwrap() == wanted);
    assert_eq!(
        rig.nvr().export_file(job.id).await.unwrap_err().kind(),
        ErrorKind::NotFound,
        "what lies elsewhere is not handed out"
    );

    // Nothing is recorded there: it would be the same next time.
    let nothing = ExportParams {
        from: range.start().add_ns(-3_600_000_000_000),
        to: range.start().add_ns(-60_000_000_000),
        ..params
    };
    let job = jobs.enqueue(nothing.job().unwrap()).await.unwrap().job;
    let failed = jobs.wait(job.id).await.unwrap();
    assert_eq!(
        (failed.state, failed.attempts),
        (JobState::Failed, 1),
        "{failed:#?}"
    );
    rig.stop_clean().await.unwrap();
    // The folder of exports is not foreign to `nvr check`.
    let report = nvr_tests::rig::checked(&rig.config).await.unwrap();
    assert!(
        report.problems.is_empty() && report.foreign.is_empty(),
        "{report:#?}"
    );
}

/// Of recorded bytes and of what is encoded for it alike.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_a_file_whole_or_not_at_all() {
    let (mut rig, rows) = recorded().await;
    let range = TimeRange::new(rows[0].start, rows[1].end()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let request = ExportRequest::new(id(CAM), range, ExportFormat::Mp4);
    let export =
        async |request: &ExportRequest, path: &Path| rig.nvr().export_to(request.clone(), path).await;

    let plain = dir.path().join("plain.mp4");
    let bytes = export(&request, &plain).await.unwrap();
    assert_eq!(bytes, std::fs::metadata(&plain).unwrap().len());
    judge::decode_all(&plain).unwrap();
    let frames = judge::packets(&plain, "v:0").unwrap().len();
    assert!(frames >= 50, "{frames}");
    let before = std::fs::read(&plain).unwrap();
    let again = export(&request, &plain).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again}");
    assert!(std::fs::read(&plain).unwrap() == before);

    for format in [ExportFormat::Mp4, ExportFormat::Fmp4] {
        let request = ExportRequest {
            format,
            ..request.clone()
        }
        .masked(true);
        let masked = dir.path().join(format!("{format:?}.mp4"));
        let bytes = export(&request, &masked).await.unwrap();
        assert_eq!(bytes, std::fs::metadata(&masked).unwrap().len());
        judge::decode_all(&masked).unwrap();
        assert_eq!(judge::packets(&masked, "v:0").unwrap().len(), frames);
    }

    let nothing = TimeRange::new(range.start() - Duration::from_secs(60), range.start()).unwrap();
    let request = ExportRequest::new(id(CAM), nothing, ExportFormat::Mp4);
    let error = export(&request, &dir.path().join("none.mp4")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    // A file that is damaged: the copy fails in its middle.
    let whole = ExportRequest::new(id(CAM), range, ExportFormat::Mp4);
    let path = file_of(&rig.config, &rows[1]);
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(2000).unwrap();
    let error = export(&whole, &dir.path().join("half.mp4")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["Fmp4.mp4", "Mp4.mp4", "plain.mp4"]);
    rig.stop_clean().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_finds_what_is_damaged_and_only_that() {
    let (mut rig, rows) = recorded().await;
    let jobs = rig.nvr().jobs();
    let whole = |decode| VerifyParams {
        decode,
        ..VerifyParams::default()
    };
    let verified = async |params: VerifyParams| {
        let job = jobs.enqueue(params.job().unwrap()).await.unwrap().job;
        let done = jobs.wait(job.id).await.unwrap();
        assert_eq!(done.state, JobState::Done, "{done:#?}");
        done.result.unwrap()
    };
    let good = verified(whole(true)).await;
    assert_eq!(
        (&good["segments"], &good["bad"], &good["without_hash"]),
        (&json!(2), &json!(0), &json!(0)),
        "{good:#}"
    );
    assert!(good["pictures"].as_u64() >= Some(50), "{good:#}");

    // A bit of a picture, in the middle of the first file.
    let path = file_of(&rig.config, &rows[0]);
    let original = std::fs::read(&path).unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let middle = original.len() / 2;
    file.seek(SeekFrom::Start(middle as u64)).unwrap();
    file.write_all(&[original[middle] ^ 0x10]).unwrap();
    drop(file);
    let bad = verified(whole(false)).await;
    assert_eq!((&bad["segments"], &bad["bad"]), (&json!(2), &json!(1)), "{bad:#}");
    assert_eq!(bad["named"][0]["segment"], json!(rows[0].id), "{bad:#}");
    let told = |k: &EventKind| matches!(k, EventKind::SegmentDamaged { path, .. } if *path == rows[0].path.to_string_lossy());
    rig.wait_for("the event", 1, told).await.unwrap();
    // The other one alone is good; cut short it is not, and what is gone is said.
    let only = |n: usize| VerifyParams {
        segments: vec![rows[n].id],
        ..VerifyParams::default()
    };
    assert_eq!(verified(only(1)).await["bad"], 0);
    let second = file_of(&rig.config, &rows[1]);
    let file = std::fs::OpenOptions::new().write(true).open(&second).unwrap();
    file.set_len(1000).unwrap();
    assert_eq!(verified(only(1)).await["bad"], 1);
    std::fs::remove_file(&second).unwrap();
    assert_eq!(
        verified(only(1)).await["named"][0]["detail"],
        "the file is not there"
    );
    std::fs::write(&path, &original).unwrap();
    assert_eq!(verified(only(0)).await["bad"], 0);
    let archive = Archive::open(&rig.config).await.unwrap();
    assert_eq!(archive.jobs_of(Default::default()).await.unwrap().items.len(), 6);
    drop(archive);
    rig.stop().await;
}

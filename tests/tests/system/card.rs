//! Gaps filled from the camera's own card (ONVIF Profile G), with a camera that is cut off while its card goes on.

mod sound;

use std::path::Path;
use std::time::Duration;

use nvr_core::clock::Clock as _;
use nvr_core::config::OnvifConfig;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::jobs::{JobQuery, JobRow, JobState};
use nvr_core::onvif::Access;
use nvr_core::secret::Secret;
use nvr_core::source::Credentials;
use nvr_core::store::{SegmentRow, SegmentState};
use nvr_core::timeline::Timeline;
use nvr_core::{EventKind, TimeRange, check, files};
use nvr_tests::cardcam::{CardCam, CardSound, GOP, Replayed};
use nvr_tests::judge;
use nvr_tests::onvifcam::{CardAnswer, OnvifCam, OnvifOptions};
use nvr_tests::recorder::Recorder;
use nvr_tests::rig::{self, CAM, LIMIT, Rig, judge_timeline};
use nvr_tests::wait;

/// How far the camera's clock is ahead.
const AHEAD_S: i64 = 77;

/// A recorder and both sides of its camera.
struct House {
    cam: CardCam,
    onvif: OnvifCam,
    rig: Rig,
}

impl House {
    /// What is changed of the camera's ONVIF before it starts, and whether it has a card.
    async fn new(card: bool, change: impl FnOnce(&mut OnvifOptions, &mut OnvifConfig)) -> Self {
        Self::with_sound(card, CardSound::None, change).await
    }

    async fn with_sound(
        card: bool,
        sound: CardSound,
        change: impl FnOnce(&mut OnvifOptions, &mut OnvifConfig),
    ) -> Self {
        let cam = CardCam::with_sound(AHEAD_S * 1000, sound).unwrap();
        let mut options = OnvifOptions {
            clock_ahead_s: AHEAD_S,
            replay: card.then(|| cam.card()),
            ..OnvifOptions::default()
        };
        let mut config = OnvifConfig::new("http://127.0.0.1:1".parse().unwrap(), None);
        config.credentials = Some(Credentials {
            user: "admin".into(),
            password: Secret::new("s&cret"),
        });
        config.fill.enabled = true;
        config.fill.after = Duration::ZERO;
        config.fill.bytes_per_s = 0;
        change(&mut options, &mut config);
        let onvif = OnvifCam::start(0, options).await.unwrap();
        config.address = Access::parse(&onvif.address(), None).unwrap().address;
        let mut rig = Rig::new().unwrap();
        let camera = rig.add(CAM, &cam.live()).unwrap();
        camera.segment = Duration::from_secs(2);
        camera.onvif = Some(config);
        Self { cam, onvif, rig }
    }

    /// Records, loses the camera for `frames` of its frames and more, has it back and records again.
    async fn outage(&self, frames: u64) {
        let (rig, cam) = (&self.rig, &self.cam);
        rig.frames(45).await.unwrap();
        let told = rig.gap_causes().len();
        cam.cut(true);
        rig.until("the loss", || rig.gap_causes().len() > told)
            .await
            .unwrap();
        let until = cam.frame_now() + frames;
        rig.until("the outage to last", || cam.frame_now() >= until)
            .await
            .unwrap();
        cam.cut(false);
        rig.phase(CAM, CameraPhase::Recording).await.unwrap();
        rig.frames(25).await.unwrap();
    }

    async fn jobs(&self) -> Vec<JobRow> {
        let query = JobQuery {
            kinds: vec!["fill".into()],
            ..JobQuery::default()
        };
        self.rig.nvr().jobs().list(query).await.unwrap().items
    }

    /// Waits for the end of so many jobs.
    async fn ended(&self, count: usize) -> Vec<JobRow> {
        let over = || async {
            let jobs = self.jobs().await;
            let all = jobs
                .iter()
                .all(|j| matches!(j.state, JobState::Done | JobState::Failed | JobState::Cancelled));
            (jobs.len() >= count && all).then_some(jobs)
        };
        wait::until_async("the end of filling", LIMIT, over)
            .await
            .unwrap()
    }

    async fn gaps(&self) -> Timeline {
        let timeline = self.rig.timeline(CAM).await.unwrap();
        judge_timeline(&timeline).unwrap();
        timeline
    }
}

/// Gaps that can be seen: more than rounding.
fn missing(timeline: &Timeline) -> Vec<(i64, CauseKind)> {
    timeline
        .gaps
        .iter()
        .map(|g| (g.range.len_ns() / 1_000_000, g.cause.kind))
        .filter(|(ms, _)| *ms > 0)
        .collect()
}

/// What was fetched overlaps nothing; the recorder's own segments meet to a fraction of a millisecond.
fn nothing_overlaps(by_time: &[SegmentRow]) -> bool {
    by_time.windows(2).all(|w| {
        let over_ns = w[0].end().since(w[1].start);
        over_ns
            <= if w[0].from_card || w[1].from_card {
                0
            } else {
                1_000_000
            }
    })
}

/// There is a gap, and all of it has a cause: an outage may have several, one after the other.
fn is_explained(gaps: &[(i64, CauseKind)]) -> bool {
    !gaps.is_empty() && gaps.iter().all(|(_, cause)| *cause != CauseKind::Unknown)
}

/// The frames of segments in order of time; what was needed only to decode others is left out.
async fn frames(rig: &Rig, rows: &[SegmentRow]) -> Vec<u32> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|r| r.start);
    let mut all: Vec<u32> = Vec::new();
    for row in &rows {
        let numbers = rig::numbers_of(&rig.config, row).await.unwrap();
        let before = all.last().copied();
        let twice = numbers
            .iter()
            .filter(|n| before.is_some_and(|b| **n <= b))
            .count();
        assert!(
            twice as u64 <= if row.from_card { GOP } else { 1 },
            "{row:?}: {numbers:?} behind {before:?}"
        );
        all.extend(numbers.into_iter().filter(|n| before.is_none_or(|b| *n > b)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_filled_without_losing_a_frame() {
    let mut house = House::new(true, |_, _| {}).await;
    house.rig.start().await.unwrap();
    house.outage(45).await;
    let jobs = house.ended(1).await;
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:#?}");
    assert!(
        jobs[0].message.contains("nothing is missing any more"),
        "{jobs:#?}"
    );

    // The outage stays an event, and is no gap.
    let timeline = house.gaps().await;
    assert_eq!(missing(&timeline), [], "{timeline:#?}");
    assert_eq!(house.rig.gap_causes().len(), 1);
    // By hand there is nothing left to be done.
    let whole = TimeRange::new(
        timeline.ranges[0].range.start(),
        timeline.ranges.last().unwrap().range.end(),
    )
    .unwrap();
    let sent = house.cam.sent().len();
    let id = house.rig.nvr().fill(&rig::id(CAM), whole).await.unwrap().job.id;
    let done = house.rig.nvr().jobs().wait(id).await.unwrap();
    assert_eq!(
        (done.state, house.cam.sent().len()),
        (JobState::Done, sent),
        "{done:#?}"
    );

    let out = house.rig.export_mp4(whole).await.unwrap();
    judge::decode_all(out.path()).unwrap();

    house.rig.stop_clean().await.unwrap();
    let rows = house.rig.judge().await.unwrap();
    assert!(rows.iter().any(|r| r.from_card));
    rig::whole(&frames(&house.rig, &rows).await).unwrap();
    let mut by_time = rows.clone();
    by_time.sort_by_key(|r| r.start);
    assert!(nothing_overlaps(&by_time), "{by_time:#?}");

    // The files say the same as the index.
    let (path, db) = (
        house.rig.root().to_owned(),
        house.rig.config.recorder.database.clone(),
    );
    tokio::task::spawn_blocking(move || {
        let options = files::RootOptions {
            exclusive: true,
            ..files::RootOptions::default()
        };
        let root = files::Root::open(path, options, nvr_core::clock::SystemClock::shared()).unwrap();
        check::rebuild(&root, &db, check::RebuildOptions::default(), &mut |_| {}).unwrap()
    })
    .await
    .unwrap();
    let again = house.rig.judge().await.unwrap();
    let essence = |rows: &[SegmentRow]| {
        let mut all: Vec<_> = rows
            .iter()
            .map(|r| {
                (
                    r.path.clone(),
                    r.run,
                    r.sequence,
                    r.start,
                    r.duration_ns,
                    r.size_bytes,
                    r.from_card,
                    r.camera_start,
                )
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(essence(&again), essence(&rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_card_does_not_have_stays_a_gap_with_its_cause() {
    let mut house = House::new(true, |_, _| {}).await;
    house.rig.start().await.unwrap();
    house.rig.frames(1).await.unwrap();
    // The card begins to work in the middle of the outage.
    let begins = house.cam.frame_now() + 45 + 40;
    house.cam.lose(0..begins.next_multiple_of(GOP));
    house.outage(80).await;
    let jobs = house.ended(1).await;
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:#?}");
    assert!(
        jobs[0].message.contains("are not on the camera's card"),
        "{jobs:#?}"
    );
    let timeline = house.gaps().await;
    let left = missing(&timeline);
    assert!(is_explained(&left), "{timeline:#?}");
    house.rig.stop_clean().await.unwrap();
    let rows = house.rig.judge().await.unwrap();
    assert!(rows.iter().any(|r| r.from_card));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_breaks_is_gone_on_with() {
    let mut house = House::new(true, |_, _| {}).await;
    // Enough to begin with, and not for all.
    house.cam.replay(Replayed::Broken(80));
    house.rig.start().await.unwrap();
    house.outage(60).await;
    house.ended(1).await;
    let timeline = house.gaps().await;
    house.cam.replay(Replayed::Well);
    let whole = TimeRange::new(
        timeline.ranges[0].range.start(),
        timeline.ranges.last().unwrap().range.end(),
    )
    .unwrap();
    let id = house.rig.nvr().fill(&rig::id(CAM), whole).await.unwrap().job.id;
    let done = house.rig.nvr().jobs().wait(id).await.unwrap();
    assert_eq!(done.state, JobState::Done, "{done:#?}");
    assert_eq!(missing(&house.gaps().await), []);
    house.rig.stop_clean().await.unwrap();
    let rows = house.rig.judge().await.unwrap();
    rig::whole(&frames(&house.rig, &rows).await).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The disk as a power cut leaves it while a segment is being fetched: a copy of it, on which another recorder goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_is_gone_on_with() {
    let mut house = House::new(true, |_, config| config.fill.bytes_per_s = 60_000).await;
    house.rig.start().await.unwrap();
    house.outage(80).await;
    let fetching = async || {
        let rows = house.rig.rows().await.unwrap();
        let open = rows.iter().any(|r| r.from_card && r.state == SegmentState::Open);
        open.then_some(())
    };
    wait::until_async("a segment that is being fetched", LIMIT, fetching)
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    copy(house.rig.root(), &dir.path().join("recordings"));
    house.rig.stop().await;

    let mut again = Rig::at(&dir.path().join("recordings"));
    again.config.cameras = house.rig.config.cameras.clone();
    again.config.cameras[0].onvif.as_mut().unwrap().fill.bytes_per_s = 0;
    house.rig = again;
    house.rig.start().await.unwrap();
    house.rig.frames(30).await.unwrap();
    // What the crash cost is fetched as well.
    let full = async || missing(&house.gaps().await).is_empty().then_some(());
    if let Err(e) = wait::until_async("no gap", LIMIT, full).await {
        panic!(
            "{e:#}: {:#?} {:#?}",
            missing(&house.gaps().await),
            house.jobs().await
        );
    }
    house.rig.stop_clean().await.unwrap();
    let rows = house.rig.judge().await.unwrap();
    let mut by_time = rows.clone();
    by_time.sort_by_key(|r| r.start);
    assert!(nothing_overlaps(&by_time), "{by_time:#?}");
    rig::whole(&frames(&house.rig, &rows).await).unwrap();
}

/// A recorder as a process, killed twice while it writes a segment from the card; another one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_filling_it_goes_on() {
    const KILLS: usize = 2;
    let mut house = House::new(true, |_, _| {}).await;
    let cam = &house.cam;
    let camera = [format!("{CAM}={}", cam.live())];
    let address = house.onvif.address();
    // Slow enough to be met in the middle.
    let more = ["--segment", "2", "--onvif", &address, "--fill-rate", "60000"];
    for kill in 0..KILLS {
        let mut recorder = Recorder::start(house.rig.root(), &camera, &more).unwrap();
        if kill == 0 {
            recorder.wait_for_frames(45).unwrap();
            cam.cut(true);
            recorder
                .until("the loss", |r| r.log().contains("gap_opened"))
                .unwrap();
            let until = cam.frame_now() + 80;
            wait::until_true("the outage to last", LIMIT, || cam.frame_now() >= until).unwrap();
            cam.cut(false);
        }
        let half = async || {
            let rows = rig::rows(&house.rig.config).await.unwrap();
            let open = |r: &SegmentRow| r.from_card && r.state == SegmentState::Open;
            let grows = |r: &SegmentRow| {
                let file = rig::file_of(&house.rig.config, r);
                std::fs::metadata(file).is_ok_and(|m| m.len() > 20_000)
            };
            rows.iter().any(|r| open(r) && grows(r)).then_some(())
        };
        if let Err(e) = wait::until_async("a segment that is half there", LIMIT, half).await {
            panic!("kill {kill}: {e:#}\n{}", recorder.log());
        }
        recorder.kill().unwrap();
        // A hole that is shorter than a quarter of a second is left alone.
        let until = cam.frame_now() + 25;
        wait::until_true("a hole that is filled", LIMIT, || cam.frame_now() >= until).unwrap();
    }

    house.rig.start().await.unwrap();
    house.rig.frames(30).await.unwrap();
    let full = async || missing(&house.gaps().await).is_empty().then_some(());
    if let Err(e) = wait::until_async("no gap", LIMIT, full).await {
        let left = missing(&house.gaps().await);
        panic!("{e:#}: {left:#?} {:#?}", house.jobs().await);
    }
    house.rig.stop_clean().await.unwrap();
    let rows = house.rig.judge().await.unwrap();
    assert!(rows.iter().any(|r| r.from_card));
    let mut by_time = rows.clone();
    by_time.sort_by_key(|r| r.start);
    assert!(nothing_overlaps(&by_time), "{by_time:#?}");
    rig::whole(&frames(&house.rig, &rows).await).unwrap();
    // What was there already was not fetched another time.
    let files: std::collections::HashSet<_> = rows.iter().map(|r| r.path.clone()).collect();
    assert_eq!(files.len(), rows.len());
}

/// An outage after which the only job fails, and nothing is changed.
async fn fails(house: &mut House, words: &str) {
    house.rig.start().await.unwrap();
    house.outage(20).await;
    let jobs = house.ended(1).await;
    assert_eq!(jobs[0].state, JobState::Failed, "{jobs:#?}");
    let error = jobs[0].error.clone().unwrap_or_default();
    assert!(error.contains(words), "{error}");
    let left = missing(&house.gaps().await);
    assert!(is_explained(&left), "{left:?}");
    // The planner had its chances meanwhile.
    house.rig.frames(100).await.unwrap();
    assert_eq!(house.jobs().await.len(), 1, "it is not tried for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_without_a_card_is_asked_once() {
    let mut house = House::new(false, |_, _| {}).await;
    fails(&mut house, "Profile G").await;
    // Nor after the next outage.
    house.outage(20).await;
    house.rig.frames(100).await.unwrap();
    assert_eq!(house.jobs().await.len(), 1);
    assert_eq!(
        house
            .onvif
            .seen(|s| s.operations.iter().filter(|o| *o == "FindRecordings").count()),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_by_one_job() {
    let mut house = House::new(true, |_, config| {
        config.credentials.as_mut().unwrap().password = Secret::new("wrong");
    })
    .await;
    fails(&mut house, "not Authorized").await;
    assert!(house.onvif.seen(|s| s.refused) <= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_are_errors() {
    for (answer, words) in [
        (CardAnswer::NoXml, "no ONVIF service"),
        (CardAnswer::Huge, "too large"),
        (CardAnswer::TwoLenses, "onvif_recording"),
        (CardAnswer::Absurd, ""),
        (CardAnswer::Endless, "come to an end"),
    ] {
        let mut house = House::new(true, |options, config| {
            options.card = answer;
            config.fill.enabled = false;
        })
        .await;
        house.rig.start().await.unwrap();
        house.rig.frames(5).await.unwrap();
        let now = house.rig.clock.now();
        let range = TimeRange::new(now.add_ns(-60_000_000_000), now.add_ns(-30_000_000_000)).unwrap();
        let id = house.rig.nvr().fill(&rig::id(CAM), range).await.unwrap().job.id;
        let tried = || async {
            let job = house.rig.nvr().jobs().get(id).await.unwrap();
            let settled = job.error.is_some() || job.state == JobState::Done;
            settled.then_some(job)
        };
        let job = wait::until_async("an answer", LIMIT, tried).await.unwrap();
        let said = format!("{}{}", job.error.unwrap_or_default(), job.message);
        assert!(said.contains(words) && !said.is_empty(), "{answer:?}: {said}");
        assert_eq!(house.cam.sent(), [0; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_cannot_be_bring_no_footage() {
    for how in [Replayed::WithoutTimes, Replayed::WithAbsurdTimes] {
        let mut house = House::new(true, |_, _| {}).await;
        house.cam.replay(how);
        house.rig.start().await.unwrap();
        house.outage(20).await;
        house.ended(1).await;
        assert!(!house.cam.sent().is_empty());
        assert!(is_explained(&missing(&house.gaps().await)), "{how:?}");
        house.rig.stop_clean().await.unwrap();
        let rows = house.rig.judge().await.unwrap();
        assert!(rows.iter().all(|r| !r.from_card), "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_called_off_stays_so() {
    let mut house = House::new(true, |_, config| {
        // It would take minutes.
        config.fill.bytes_per_s = 2_000;
    })
    .await;
    house.rig.start().await.unwrap();
    house.outage(80).await;
    let running = async || {
        let jobs = house.jobs().await;
        jobs.into_iter().find(|j| j.state == JobState::Running)
    };
    let job = wait::until_async("the job", LIMIT, running).await.unwrap();
    house.rig.nvr().jobs().cancel(job.id).await.unwrap();
    let jobs = house.ended(1).await;
    assert_eq!(jobs[0].state, JobState::Cancelled, "{jobs:#?}");
    house.rig.frames(100).await.unwrap();
    assert_eq!(house.jobs().await.len(), 1, "it is not entered again");
    assert!(house.rig.count(|k| matches!(k, EventKind::GapClosed { .. })) > 0);
    house.rig.stop_clean().await.unwrap();
    house.rig.judge().await.unwrap();
}

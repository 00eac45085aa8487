//! Stills at intervals, and time-lapses of each day: taken, kept once, found again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nvr_core::config::{Age, DailyTimelapse};
use nvr_core::jobs::timelapse::{LapseSource, TimelapseParams};
use nvr_core::jobs::{JobQuery, JobRow, JobState};
use nvr_core::stills::{Still, StillFigures, StillQuery};
use nvr_core::time::NS_PER_S;
use nvr_core::{TimeRange, Timestamp};
use nvr_tests::judge;
use nvr_tests::rig::{CAM, Rig, checked, id};

const PICTURE: &str = "test:?size=640x360&fps=25&gop=25&audio=0";
const AWAY: &str = "away";
const DAY_NS: i64 = 86_400 * NS_PER_S;

fn rig() -> Rig {
    let mut rig = Rig::new().unwrap();
    rig.config.stills.rules.every = Some(Duration::from_secs(5));
    rig.config.stills.rules.max_age = Age::Forever;
    rig
}

fn figures(rig: &Rig, camera: &str) -> StillFigures {
    let all = rig.nvr().still_figures();
    let of = all.into_iter().find(|(c, _)| *c == id(camera));
    of.map(|(_, f)| f).unwrap_or_default()
}

async fn stills(rig: &Rig, camera: &str) -> Vec<Still> {
    let mut query = StillQuery::new(id(camera));
    query.limit = 1000;
    rig.nvr().stills(query).await.unwrap().items
}

/// A camera that is there has stills, one that is away has none and holds up nobody; nothing indexes them, so they are
/// there after the index is gone.
#[tokio::test(flavor = "multi_thread")]
async fn stills_are_taken_of_cameras_that_are_there_and_need_no_index() {
    let mut rig = rig();
    rig.add(CAM, PICTURE).unwrap().stills.width = Some(320);
    rig.add(AWAY, "rtsp://127.0.0.1:9/stream").unwrap();
    // As `kill -9` in the middle of a write leaves it.
    let day = rig.root().join("_stills").join(CAM).join("2026-05-04");
    std::fs::create_dir_all(&day).unwrap();
    let part = day.join(".03-02-01.250Z.jpg.part");
    std::fs::write(&part, b"\xff\xd8 half").unwrap();
    rig.config.recorder.adopt_root = true;
    rig.start().await.unwrap();
    rig.until("three stills", || figures(&rig, CAM).taken >= 3)
        .await
        .unwrap();
    rig.until("misses of the one that is away", || {
        figures(&rig, AWAY).missed >= 2
    })
    .await
    .unwrap();
    assert!(!part.exists());
    assert!(stills(&rig, AWAY).await.is_empty());
    let found = stills(&rig, CAM).await;
    assert!(found.windows(2).all(|w| w[0].at < w[1].at), "{found:?}");
    let jpeg = rig.nvr().still(id(CAM), found[0].at).await.unwrap();
    assert_eq!(jpeg.len() as u64, found[0].size_bytes);
    let file = rig.root().join("first.jpg");
    std::fs::write(&file, &jpeg).unwrap();
    let picture = &judge::streams(file.to_str().unwrap()).unwrap()[0];
    assert_eq!(
        (picture["width"].as_u64(), picture["height"].as_u64()),
        (Some(320), Some(180))
    );
    std::fs::remove_file(&file).unwrap();

    // One is not taken again after a restart, and all are there.
    rig.stop_clean().await.unwrap();
    let report = checked(&rig.config).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.foreign.is_empty(), "{:?}", report.foreign);
    assert!(report.stills >= found.len() as u64);
    for end in ["", "-wal", "-shm"] {
        let mut name = rig.config.recorder.database.clone().into_os_string();
        name.push(end);
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
    rig.start().await.unwrap();
    let again = stills(&rig, CAM).await;
    assert_eq!(&again[..found.len()], found);
    rig.until("them to be counted", || {
        figures(&rig, CAM).sums.count >= found.len() as u64
    })
    .await
    .unwrap();
    rig.stop_clean().await.unwrap();
}

/// The clock is set back and ahead: stills go on by the new time, each with the time of its frame.
#[tokio::test(flavor = "multi_thread")]
async fn stills_go_on_when_the_clock_is_set() {
    let mut rig = rig();
    rig.add(CAM, PICTURE).unwrap();
    rig.start().await.unwrap();
    rig.until("a still", || figures(&rig, CAM).taken >= 1)
        .await
        .unwrap();
    let first = stills(&rig, CAM).await[0].at;
    rig.clock.step(-3600 * NS_PER_S);
    let last = |rig: &Rig| figures(rig, CAM).last.unwrap();
    rig.until("one of an hour ago", || last(&rig) < first)
        .await
        .unwrap();
    rig.clock.step(2 * DAY_NS);
    rig.until("one of the day after tomorrow", || {
        last(&rig).since(first) > DAY_NS
    })
    .await
    .unwrap();
    let found = stills(&rig, CAM).await;
    assert_eq!(found.len() as u64, figures(&rig, CAM).taken);
    rig.stop_clean().await.unwrap();
}

/// The oldest go beyond the limits, and footage does not.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_stills_go_and_no_footage() {
    let mut rig = rig();
    rig.add(CAM, PICTURE).unwrap();
    rig.config.stills.rules.max_count = Some(2);
    let old = rig.root().join("_stills").join("gone").join("2020-05-04");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(
        old.join("03-02-01.250Z.jpg"),
        b"\xff\xd8 of a removed camera \xff\xd9",
    )
    .unwrap();
    rig.config.stills.rules.max_age = Age::For(Duration::from_secs(86_400));
    rig.config.recorder.adopt_root = true;
    rig.start().await.unwrap();
    rig.until("the one of the removed camera to go", || !old.exists())
        .await
        .unwrap();
    rig.until("more than the limit, then no more", || {
        let f = figures(&rig, CAM);
        f.taken > 3 && f.sums.count == 2
    })
    .await
    .unwrap();
    let newest = figures(&rig, CAM).last.unwrap();
    let found = stills(&rig, CAM).await;
    assert!(found.last().unwrap().at >= newest, "the newest is there");
    assert!(rig.nvr().deleted().is_empty());
    rig.stop_clean().await.unwrap();
}

async fn lapses(rig: &Rig) -> BTreeMap<(String, String), Vec<JobRow>> {
    let query = JobQuery {
        kinds: vec!["timelapse".into()],
        limit: 100,
        ..JobQuery::default()
    };
    let mut by_day: BTreeMap<_, Vec<JobRow>> = BTreeMap::new();
    for job in rig.nvr().jobs().list(query).await.unwrap().items {
        let text = |key: &str| job.params[key].as_str().unwrap_or_default().to_owned();
        by_day.entry((text("daily"), text("from"))).or_default().push(job);
    }
    by_day
}

async fn all_done(rig: &Rig, name: &str) -> Vec<JobRow> {
    nvr_tests::wait::until_async(name, nvr_tests::rig::LIMIT, || async {
        let jobs: Vec<JobRow> = lapses(rig)
            .await
            .into_iter()
            .filter(|((daily, _), _)| daily == name)
            .flat_map(|(_, jobs)| jobs)
            .collect();
        let over = !jobs.is_empty() && jobs.iter().all(|j| j.state.is_over());
        over.then_some(jobs)
    })
    .await
    .unwrap()
}

/// Made once the day is over, and once only: over restarts, and when the index was made anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_has_one_time_lapse() {
    let mut rig = rig();
    rig.add(CAM, PICTURE).unwrap();
    rig.add(AWAY, "rtsp://127.0.0.1:9/stream").unwrap();
    let daily = |name: &str| {
        let mut daily = DailyTimelapse::new(id(name), vec![id(CAM), id(AWAY)]);
        daily.length = Duration::from_secs(1);
        daily
    };
    rig.config.timelapses.push(daily("garden"));
    rig.start().await.unwrap();
    rig.frames(60).await.unwrap();
    assert!(lapses(&rig).await.is_empty(), "the day is not over");
    // The recorder is off when it is due, and makes it later.
    rig.stop_clean().await.unwrap();
    rig.clock.step(DAY_NS + 3600 * NS_PER_S);
    rig.start().await.unwrap();
    let jobs = all_done(&rig, "garden").await;
    for job in &jobs {
        assert_eq!(job.state, JobState::Done, "{job:#?}");
        assert_eq!(job.camera, Some(id(CAM)), "nothing is made of nothing");
        let (name, file, len) = rig.nvr().export_file(job.id).await.unwrap();
        drop(file);
        let path = rig.root().join("_exports/daily/garden").join(name);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
        judge::decode_all(&path).unwrap();
    }
    rig.stop_clean().await.unwrap();

    // The second one is looked at after the first: once it is there, the first would be.
    rig.config.timelapses.push(daily("second"));
    rig.start().await.unwrap();
    all_done(&rig, "second").await;
    let all = lapses(&rig).await;
    assert!(all.values().all(|jobs| jobs.len() == 1), "{all:#?}");
    rig.stop_clean().await.unwrap();

    for end in ["", "-wal", "-shm"] {
        let mut name = rig.config.recorder.database.clone().into_os_string();
        name.push(end);
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
    rig.config.timelapses.push(daily("third"));
    rig.start().await.unwrap();
    all_done(&rig, "third").await;
    let all = lapses(&rig).await;
    assert!(all.keys().all(|(daily, _)| daily == "third"), "{all:#?}");
    rig.stop_clean().await.unwrap();
}

/// Footage may be gone: a time-lapse is made of stills as well, each shown once.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_lapse_is_made_of_stills() {
    let mut rig = rig();
    rig.add(CAM, PICTURE).unwrap();
    rig.start().await.unwrap();
    rig.until("three stills", || figures(&rig, CAM).taken >= 3)
        .await
        .unwrap();
    rig.cam().stop().unwrap();
    let found = stills(&rig, CAM).await;
    // One that is damaged is left out.
    let (first, last) = (found[0].at, found[found.len() - 1].at);
    let bad = rig
        .root()
        .join("_stills")
        .join(CAM)
        .join(&first.to_string()[..10])
        .join("23-59-59.999Z.jpg");
    let day_end = Timestamp::from_ns((first.as_ns() / DAY_NS + 1) * DAY_NS);
    std::fs::write(bad, b"\xff\xd8 no picture \xff\xd9").unwrap();
    let range = TimeRange::new(first, last.add_ns(1).max(day_end)).unwrap();
    let shown = stills(&rig, CAM).await.len() - 1;
    let params = TimelapseParams {
        per_hour: Some(3600.0),
        length_s: None,
        source: LapseSource::Stills,
        ..TimelapseParams::new(id(CAM), range)
    };
    let jobs = rig.nvr().jobs();
    let job = jobs.enqueue(params.job().unwrap()).await.unwrap().job;
    let job = jobs.wait(job.id).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:#?}");
    let result = job.result.as_ref().unwrap();
    assert_eq!(result["frames"].as_u64(), Some(shown as u64), "{result}");
    assert_eq!(
        (result["width"].as_u64(), result["height"].as_u64()),
        (Some(640), Some(360))
    );
    assert!(
        job.message.contains("1 pictures cannot be decoded"),
        "{}",
        job.message
    );
    let path = rig.root().join("_exports").join(result["file"].as_str().unwrap());
    judge::decode_all(&path).unwrap();
    rig.stop_clean().await.unwrap();
}

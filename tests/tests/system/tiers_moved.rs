//! What moved to the second root is uploaded, comes back and plays as anything else; settings take effect; a check finds
//! files below the wrong root.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nvr_core::clock::SystemClock;
use nvr_core::config::{Room, TierConfig, UploadConfig, UploadPlace};
use nvr_core::event::{CameraPhase, JobState};
use nvr_core::files::{Root, RootOptions};
use nvr_core::jobs::JobQuery;
use nvr_core::segment::Tier;
use nvr_core::store::{OpenMode, SegmentQuery, SegmentRow, SegmentState, Store, UploadState};
use nvr_core::window::Windows;
use nvr_core::{ClipCodec, TimeRange, VodRequest, check};
use nvr_tests::rig::{CAM, LIMIT, Rig, checked, file_of, id, small, whole};
use nvr_tests::{TestCam, judge, wait};

/// A recorder whose segments of a second move as soon as they are complete.
fn rig(dir: &Path, cam: &TestCam) -> Rig {
    let mut rig = Rig::at(&dir.join("first"));
    let mut tier = TierConfig::new(dir.join("second"));
    tier.after = Some(Duration::ZERO);
    tier.min_free = Room::NONE;
    rig.config.tier = Some(tier);
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig
}

async fn moved(rig: &Rig, count: usize) -> Vec<SegmentRow> {
    wait::until_async("segments below the second root", LIMIT, || async {
        let mut rows = rig.rows().await.unwrap();
        rows.retain(|r| r.tier == Tier::Second && r.state == SegmentState::Closed);
        (rows.len() >= count).then_some(rows)
    })
    .await
    .unwrap()
}

fn row(rig: &Rig, row: &SegmentRow) -> SegmentRow {
    rig.nvr().store().segment(row.id).unwrap().unwrap()
}

/// Bytes of a segment's file, as if over HTTP.
async fn part(rig: &Rig, address: &str, (offset, length): (u64, usize)) -> Vec<u8> {
    let segment = address.split(['?', '.']).next().unwrap().parse().unwrap();
    let (_, file, _) = rig
        .nvr()
        .open_segment(nvr_core::SegmentId(segment))
        .await
        .unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let (mut piece, mut done) = (vec![0; length], 0);
        while done < length {
            match file.read_at(offset + done as u64, &mut piece[done..]).unwrap() {
                0 => panic!("a piece is shorter than was said"),
                n => done += n,
            }
        }
        piece
    });
    read.await.unwrap()
}

/// What a playlist names: for each header that with the pieces behind it.
async fn fetched(rig: &Rig, playlist: &str) -> Vec<Vec<u8>> {
    // `LENGTH@OFFSET`
    let parse = |text: &str| {
        let (length, offset) = text.split_once('@').unwrap();
        (offset.parse::<u64>().unwrap(), length.parse::<usize>().unwrap())
    };
    let (mut files, mut range) = (Vec::new(), None);
    for line in playlist.lines() {
        if let Some(map) = line.strip_prefix("#EXT-X-MAP:") {
            let attribute = |name: &str| map.split_once(&format!("{name}=\""))?.1.split('"').next();
            let header = parse(attribute("BYTERANGE").unwrap());
            files.push(part(rig, attribute("URI").unwrap(), header).await);
        } else if let Some(text) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            range = Some(parse(text));
        } else if !line.starts_with('#') && !line.is_empty() {
            let piece = part(rig, line, range.take().unwrap()).await;
            files.last_mut().unwrap().extend(piece);
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moved_is_uploaded_comes_back_and_plays() {
    let dir = tempfile::tempdir().unwrap();
    let cam = TestCam::start(small()).unwrap();
    let mut rig = rig(dir.path(), &cam);
    let nas = dir.path().join("nas");
    std::fs::create_dir(&nas).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    let there = moved(&rig, 4).await;
    rig.cam().stop().unwrap();
    rig.phase(CAM, CameraPhase::Stopped).await.unwrap();
    // All of it is there before a target wants any.
    wait::until_async("all to move", LIMIT, || async {
        let rows = rig.rows().await.unwrap();
        rows.iter().all(|r| r.tier == Tier::Second).then_some(())
    })
    .await
    .unwrap();

    // HLS names byte ranges of files wherever they lie.
    let range = rig.timeline(CAM).await.unwrap().ranges[0].range;
    let request = VodRequest {
        camera: id(CAM),
        range,
        event: false,
        codec: ClipCodec::AsRecorded,
    };
    let playlist = rig
        .nvr()
        .vod(request, |segment| format!("{segment}.mp4"))
        .await
        .unwrap();
    let mut numbers = Vec::new();
    for file in fetched(&rig, &playlist).await {
        let out = dir.path().join("vod.mp4");
        std::fs::write(&out, file).unwrap();
        judge::decode_all(&out).unwrap();
        numbers.extend(judge::frame_numbers(&out).unwrap());
    }
    whole(&numbers).unwrap();
    assert!(numbers.len() >= 35, "{} frames\n{playlist}", numbers.len());

    // Uploaded from there.
    let mut config = rig.config.clone();
    config
        .uploads
        .push(UploadConfig::new("nas", UploadPlace::Folder(nas.clone())));
    rig.nvr().reload(config.clone()).await.unwrap();
    rig.nvr()
        .uploads()
        .request(&id(CAM), TimeRange::ALL, None)
        .await
        .unwrap();
    wait::until_async("the copies", LIMIT, || async {
        for row in &there {
            let uploads = rig.nvr().uploads().of_segment(row.id).await.unwrap();
            if uploads.len() != 1 || uploads[0].state != UploadState::Done {
                return None;
            }
            assert_eq!(uploads[0].hash, row.hash);
        }
        Some(())
    })
    .await
    .unwrap();
    // What cannot be read there now plays from its copy.
    let (file, aside) = (file_of(&rig.config, &there[2]), dir.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    let (_, stored, len) = rig.nvr().open_segment(there[2].id).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut all = vec![0; usize::try_from(len).unwrap()];
        let n = stored.read_at(0, &mut all).unwrap();
        assert_eq!(n as u64, len);
        *blake3::hash(&all).as_bytes()
    });
    assert_eq!(Some(read.await.unwrap()), there[2].hash);
    std::fs::rename(&aside, &file).unwrap();
    // The local files go, from the second root.
    config.uploads[0].local_retention = Some(Duration::ZERO);
    rig.nvr().reload(config.clone()).await.unwrap();
    rig.until("the local files to go", || {
        there.iter().all(|r| row(&rig, r).state == SegmentState::Remote)
    })
    .await
    .unwrap();
    for row in &there {
        assert!(!file_of(&rig.config, row).exists() && !rig.root().join(&row.path).exists());
    }
    // They come back to the recordings root, protected, and move again like any others.
    config.uploads[0].local_retention = None;
    rig.nvr().reload(config).await.unwrap();
    let wanted = TimeRange::new(there[0].start, there[1].end()).unwrap();
    let added = rig.nvr().restore(&id(CAM), wanted).await.unwrap();
    let job = rig.nvr().jobs().wait(added.job.id).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    rig.until("them to move again", || {
        there[..2].iter().all(|r| row(&rig, r).tier == Tier::Second)
    })
    .await
    .unwrap();
    for before in &there[..2] {
        let now = row(&rig, before);
        assert_eq!(
            (now.state, now.protected, now.hash),
            (SegmentState::Closed, true, before.hash)
        );
        let bytes = std::fs::read(file_of(&rig.config, &now)).unwrap();
        assert_eq!(Some(*blake3::hash(&bytes).as_bytes()), before.hash);
    }
    rig.stop_clean().await.unwrap();
    assert_eq!(checked(&rig.config).await.unwrap().problems, []);
}

/// Jobs that move, by state.
fn moves(rig: &Rig, state: JobState) -> usize {
    let query = JobQuery {
        kinds: vec!["move".into()],
        states: vec![state],
        ..JobQuery::default()
    };
    rig.nvr().store().jobs(&query).unwrap().items.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_and_the_bandwidth_take_effect_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let cam = TestCam::start(small()).unwrap();
    let mut rig = rig(dir.path(), &cam);
    // In an hour for an hour: never in this test.
    let later = |hours: i64| {
        let time = nvr_core::clock::Clock::now(&*rig.clock).add_ns(hours * 3_600_000_000_000);
        time.to_jiff().strftime("%H:%M").to_string()
    };
    let closed = Windows::parse(&format!("{}-{}", later(1), later(2)), "UTC").unwrap();
    let tier = rig.config.tier.as_mut().unwrap();
    tier.window = closed;
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    // Age alone moves nothing now.
    rig.wait_for("some segments", 6, |k| {
        matches!(k, nvr_core::EventKind::SegmentOpened { .. })
    })
    .await
    .unwrap();
    let rows = rig.rows().await.unwrap();
    assert!(rows.iter().all(|r| r.tier == Tier::First), "{rows:#?}");
    assert_eq!(moves(&rig, JobState::Done), 0);

    // Want of room does not ask for the time.
    let mut config = rig.config.clone();
    config.tier.as_mut().unwrap().above_bytes = Some(60_000);
    rig.nvr().reload(config.clone()).await.unwrap();
    moved(&rig, 2).await;
    let first_bytes = |rows: &[SegmentRow]| -> u64 {
        let first = rows
            .iter()
            .filter(|r| r.tier == Tier::First && r.state == SegmentState::Closed);
        first.map(|r| r.size_bytes).sum()
    };
    wait::until_async("no more than that to be left", LIMIT, || async {
        let rows = rig.rows().await.unwrap();
        (first_bytes(&rows) <= 60_000 + rows[0].size_bytes * 2).then_some(())
    })
    .await
    .unwrap();

    // The window opens, but hardly a byte a second may go: not one copy comes to its end.
    let tier = config.tier.as_mut().unwrap();
    (tier.above_bytes, tier.window, tier.bandwidth_bytes_per_s) = (None, Windows::always(), 1);
    rig.nvr().reload(config.clone()).await.unwrap();
    wait::until_true("a copy", LIMIT, || moves(&rig, JobState::Running) == 1).unwrap();
    // What was under way by the old rate is over.
    rig.frames(20).await.unwrap();
    let done = moves(&rig, JobState::Done);
    rig.frames(40).await.unwrap();
    assert_eq!(moves(&rig, JobState::Done), done);
    // And as much as there is: also the one that waits goes on.
    config.tier.as_mut().unwrap().bandwidth_bytes_per_s = 0;
    rig.nvr().reload(config).await.unwrap();
    rig.until("the copies to end", || moves(&rig, JobState::Done) > done + 3)
        .await
        .unwrap();
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
}

/// What `nvr check --repair` does, with nothing else running.
async fn repaired(rig: &Rig) -> check::CheckReport {
    let config = rig.config.clone();
    tokio::task::spawn_blocking(move || {
        let options = RootOptions {
            exclusive: true,
            ..RootOptions::default()
        };
        let clock = SystemClock::shared();
        let store = Store::open(&config.recorder.database, OpenMode::ReadWrite).unwrap();
        let first = Root::open(&config.recorder.root, options, clock.clone()).unwrap();
        let second = Root::open(&config.tier.unwrap().root, options, clock).unwrap();
        let options = check::CheckOptions {
            repair: true,
            second: Some(Arc::new(second)),
            ..check::CheckOptions::default()
        };
        let report = check::check(&store, &first, &options, &mut |_| {}).unwrap();
        store.shutdown_blocking().unwrap();
        report
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_mends_files_below_the_other_root() {
    let dir = tempfile::tempdir().unwrap();
    let cam = TestCam::start(small()).unwrap();
    let mut rig = rig(dir.path(), &cam);
    rig.start().await.unwrap();
    moved(&rig, 4).await;
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    let there: Vec<&SegmentRow> = rows.iter().filter(|r| r.tier == Tier::Second).collect();
    let at = |tier: Tier, row: &SegmentRow| {
        let root = match tier {
            Tier::First => "first",
            Tier::Second => "second",
        };
        dir.path().join(root).join(&row.path)
    };
    let put = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    };
    // One is there twice; one was carried back by hand; of one the version that counts is damaged.
    let (twice, carried, damaged) = (there[0], there[1], there[2]);
    for row in [twice, carried, damaged] {
        put(&at(Tier::Second, row), &at(Tier::First, row));
    }
    std::fs::remove_file(at(Tier::Second, carried)).unwrap();
    let mut bytes = std::fs::read(at(Tier::Second, damaged)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(at(Tier::Second, damaged), &bytes).unwrap();

    let other = |report: &check::CheckReport| -> Vec<(std::path::PathBuf, check::Repair)> {
        let of = report
            .problems
            .iter()
            .filter(|p| p.kind == check::ProblemKind::OtherRoot);
        of.map(|p| (p.path.clone(), p.repair.clone())).collect()
    };
    let mut found = other(&checked(&rig.config).await.unwrap());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let told: Vec<_> = found.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(
        told,
        [&twice.path, &carried.path, &damaged.path].map(Clone::clone)
    );

    let report = repaired(&rig).await;
    let mut repairs = other(&report);
    repairs.sort_by(|a, b| a.0.cmp(&b.0));
    let repairs: Vec<_> = repairs.into_iter().map(|(_, repair)| repair).collect();
    assert_eq!(
        repairs,
        [
            check::Repair::Done,
            check::Repair::Done,
            check::Repair::Impossible
        ],
        "{:#?}",
        report.problems
    );
    assert!(!at(Tier::First, twice).exists() && at(Tier::Second, twice).exists());
    assert!(at(Tier::First, carried).exists());
    // Nobody knows which of these is to be kept: both are.
    assert!(at(Tier::First, damaged).exists() && at(Tier::Second, damaged).exists());
    // The second look finds that one alone.
    let left = other(&checked(&rig.config).await.unwrap());
    assert_eq!(left.iter().map(|l| &l.0).collect::<Vec<_>>(), [&damaged.path]);
    std::fs::rename(at(Tier::First, damaged), at(Tier::Second, damaged)).unwrap();
    let after = rig.judge().await.unwrap();
    let now = after.iter().find(|r| r.id == carried.id).unwrap();
    assert_eq!(
        (now.tier, now.state, now.hash),
        (Tier::First, SegmentState::Closed, carried.hash)
    );
    // What was carried back moves again.
    rig.start().await.unwrap();
    wait::until_async("it to move again", LIMIT, || async {
        let store = rig.nvr().store();
        let rows = store
            .all_segments(&SegmentQuery::new([id(CAM)], TimeRange::ALL))
            .unwrap();
        rows.iter()
            .any(|r| r.id == carried.id && r.tier == Tier::Second)
            .then_some(())
    })
    .await
    .unwrap();
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

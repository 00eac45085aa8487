//! Audio that is missing, dies, or is of a kind that files do not hold.

use std::path::Path;
use std::process::Command;

use nvr_core::EventKind;
use nvr_core::event::CameraPhase;
use nvr_core::track::AudioCodec;
use nvr_tests::rig::{CAM, Rig, file_of, small, whole};
use nvr_tests::{Audio, TestCam, TestCamOptions, judge};

async fn recording(source: &str) -> Rig {
    let mut rig = Rig::new().unwrap();
    rig.add(CAM, source).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(15).await.unwrap();
    rig
}

async fn audio_dies(audio: Audio) {
    let cam = TestCam::start(TestCamOptions { audio, ..small() }).unwrap();
    let mut rig = recording(&cam.url()).await;
    cam.stall_audio();
    rig.wait_for("word of the audio", 1, |k| {
        matches!(k, EventKind::AudioTrouble { .. })
    })
    .await
    .unwrap();
    rig.frames(25).await.unwrap();
    // The file goes on while the audio is away: a split works, too.
    rig.cam().split().unwrap();
    rig.wait_for("a new segment", 2, |k| {
        matches!(k, EventKind::SegmentOpened { .. })
    })
    .await
    .unwrap();
    rig.frames(15).await.unwrap();
    cam.resume_audio();
    rig.frames(25).await.unwrap();
    assert_eq!(rig.cam().status().counters.restarts, 0, "{:#?}", rig.events());
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fm07_g711_audio_dies_and_video_goes_on() {
    audio_dies(Audio::Pcma).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm07_aac_audio_dies_and_video_goes_on() {
    audio_dies(Audio::Aac).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm07_declared_audio_never_arrives() {
    let cam = TestCam::start(TestCamOptions {
        audio: Audio::Aac,
        audio_silent: true,
        ..small()
    })
    .unwrap();
    let mut rig = recording(&cam.url()).await;
    rig.frames(20).await.unwrap();
    assert_eq!(rig.cam().status().counters.restarts, 0, "{:#?}", rig.events());
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
}

/// Makes a film whose video and audio begin and end at other times (seconds).
fn film(file: &Path, audio: Option<(f64, f64)>) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]);
    command.arg("testsrc=size=320x240:rate=10:duration=5");
    if let Some((offset, length)) = audio {
        command.args(["-itsoffset", &offset.to_string(), "-f", "lavfi", "-i"]);
        command.arg(format!("sine=duration={length}"));
        command.args(["-c:a", "aac"]);
    }
    let status = command
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "10",
            "-pix_fmt",
            "yuv420p",
        ])
        .arg(file)
        .status()
        .unwrap();
    assert!(status.success());
}

/// Video and audio come from one demuxer's thread: whichever is starved, the other flows.
#[tokio::test(flavor = "multi_thread")]
async fn fm08_one_demuxer_thread_for_video_and_audio() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new().unwrap();
    let films = [
        ("short", Some((0.0, 0.5))),
        ("late", Some((4.0, 1.0))),
        ("even", Some((0.0, 5.0))),
        ("none", None),
    ];
    for (name, audio) in films {
        let file = dir.path().join(format!("{name}.mp4"));
        film(&file, audio);
        rig.add(name, &format!("file:{}", file.display())).unwrap();
    }
    rig.start().await.unwrap();
    for (name, _) in films {
        rig.phase(name, CameraPhase::Recording).await.unwrap();
    }
    for (name, _) in films {
        let cam = rig.nvr().camera(&nvr_tests::rig::id(name)).unwrap();
        // Once round the film and into the next round.
        rig.until(&format!("{name} to go on"), || cam.status().counters.frames > 65)
            .await
            .unwrap();
        assert_eq!(cam.status().counters.frames_dropped, 0, "{name}");
    }
    rig.stop_clean().await.unwrap();
    rig.judge().await.unwrap();
}

/// G.711 is no audio that MP4 players know: it becomes AAC, and it can be heard.
#[tokio::test(flavor = "multi_thread")]
async fn fm09_g711_becomes_a_file_that_every_player_opens() {
    for audio in [Audio::Pcmu, Audio::Pcma] {
        let cam = TestCam::start(TestCamOptions { audio, ..small() }).unwrap();
        let mut rig = recording(&cam.url()).await;
        rig.frames(20).await.unwrap();
        rig.stop_clean().await.unwrap();
        let rows = rig.judge().await.unwrap();
        for row in &rows {
            assert_eq!(row.tracks.audio.as_ref().map(|a| a.codec), Some(AudioCodec::Aac));
            let file = file_of(&rig.config, row);
            let streams = judge::streams(&file.to_string_lossy()).unwrap();
            let audio: Vec<_> = streams.iter().filter(|s| s["codec_type"] == "audio").collect();
            assert_eq!(audio.len(), 1, "{streams:?}");
            assert_eq!(audio[0]["codec_name"], "aac");
            assert_eq!(audio[0]["profile"], "LC");
            let loudness = judge::loudness(&file).unwrap();
            assert!(loudness > -40.0, "{loudness} dB is not the camera's tone");
        }
        whole(&rig.numbers(CAM).await.unwrap()).unwrap();
    }
}

/// No sound is lost where one segment ends and the next begins, nor where a clip goes over that: the ticks of the camera
/// come at their second, and packet follows packet.
async fn goes_on_over_splits(audio: Audio) {
    let cam = TestCam::start(TestCamOptions { audio, ..small() }).unwrap();
    let mut rig = recording(&cam.url()).await;
    for n in 0..5 {
        rig.frames(37).await.unwrap();
        rig.cam().split().unwrap();
        rig.wait_for("a new segment", n + 2, |k| {
            matches!(k, EventKind::SegmentOpened { .. })
        })
        .await
        .unwrap();
        // Also while the file before waits for its sound nothing is missing.
        let timeline = rig.timeline(CAM).await.unwrap();
        assert!(timeline.gaps.is_empty(), "{audio:?}: {:?}", timeline.gaps);
    }
    rig.frames(37).await.unwrap();
    let timeline = rig.timeline(CAM).await.unwrap();
    let range = timeline.ranges[0].range;
    let out = rig.export_mp4(range).await.unwrap();
    rig.stop_clean().await.unwrap();
    let rows = rig.judge().await.unwrap();
    for (n, row) in rows.iter().enumerate() {
        let file = file_of(&rig.config, row);
        let ends = |track| {
            let packets = judge::packets(&file, track).unwrap();
            let last = packets.last().unwrap();
            last.pts.unwrap() + last.duration.unwrap()
        };
        let (shows, sounds) = (ends("v:0"), ends("a:0"));
        assert!(
            n + 1 == rows.len() || (shows - sounds).abs() < 0.1,
            "{audio:?}: file {n} shows until {shows}, sounds until {sounds}"
        );
    }
    let packets = judge::packets(out.path(), "a:0").unwrap();
    for pair in packets.windows(2) {
        let (at, next) = (pair[0].pts.unwrap(), pair[1].pts.unwrap());
        // Sound that is brought to its pictures may leave out a packet's length.
        assert!((0.015..0.05).contains(&(next - at)), "{audio:?}: {at} to {next}");
    }
    let ticks = judge::onsets(out.path()).unwrap();
    assert!(ticks.len() > 15, "{audio:?}: {ticks:?}");
    for pair in ticks.windows(2) {
        let step = pair[1] - pair[0];
        assert!((0.94..1.06).contains(&step), "{audio:?}: {ticks:?}");
    }
    assert_eq!(rows.len(), 6, "{audio:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aac_goes_on_over_splits() {
    goes_on_over_splits(Audio::Aac).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g711_goes_on_over_splits() {
    goes_on_over_splits(Audio::Pcmu).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_goes_on_over_splits() {
    goes_on_over_splits(Audio::Opus).await;
}

//! Sound that comes from the card with the pictures.

use std::path::Path;

use nvr_core::jobs::JobState;
use nvr_core::store::SegmentRow;
use nvr_core::track::AudioCodec;
use nvr_core::{TimeRange, Timestamp};
use nvr_tests::cardcam::{CardSound, GOP, Replayed};
use nvr_tests::judge;
use nvr_tests::rig;

use super::{House, frames, missing};

/// Each tone of a file begins with a keyframe of the camera, as it did there.
fn in_step(file: &Path) {
    let pictures = judge::packets(file, "v:0").unwrap();
    let numbers = judge::frame_numbers(file).unwrap();
    assert_eq!(pictures.len(), numbers.len());
    let keyframes: Vec<f64> = pictures
        .iter()
        .zip(&numbers)
        .filter(|(_, n)| u64::from(**n).is_multiple_of(GOP))
        .filter_map(|(p, _)| p.pts)
        .collect();
    let tones = judge::onsets(file).unwrap();
    let near = |tone: f64| keyframes.iter().any(|k| (tone - k).abs() < 0.09);
    let last = pictures.last().unwrap().pts.unwrap();
    // The first may be one that began before the file, and the last packet of a file sounds into the next.
    let wrong: Vec<f64> = tones
        .iter()
        .copied()
        .filter(|t| (0.15..=last).contains(t) && !near(*t))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?} of {tones:?} beside {keyframes:?}");
    // Nor is one missing, but at the ends.
    let silent: Vec<f64> = keyframes
        .iter()
        .copied()
        .filter(|k| (0.15..last - 0.4).contains(k) && !tones.iter().any(|t| (t - k).abs() < 0.09))
        .collect();
    assert!(silent.is_empty(), "{silent:?}: {tones:?} beside {keyframes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_filled_with_its_sound() {
    for sound in [CardSound::Aac, CardSound::Pcmu] {
        let mut house = House::with_sound(true, sound, |_, _| {}).await;
        house.rig.start().await.unwrap();
        house.outage(45).await;
        let jobs = house.ended(1).await;
        assert_eq!(jobs[0].state, JobState::Done, "{jobs:#?}");
        let timeline = house.gaps().await;
        assert_eq!(missing(&timeline), [], "{timeline:#?}");
        let whole = TimeRange::new(
            timeline.ranges[0].range.start(),
            // Of the newest, sound is still on its way.
            timeline.ranges.last().unwrap().range.end().add_ns(-1_000_000_000),
        )
        .unwrap();
        let out = house.rig.export_mp4(whole).await.unwrap();
        house.rig.stop_clean().await.unwrap();

        let rows = house.rig.judge().await.unwrap();
        rig::whole(&frames(&house.rig, &rows).await).unwrap();
        let fetched: Vec<&SegmentRow> = rows.iter().filter(|r| r.from_card).collect();
        assert!(!fetched.is_empty());
        let fetched_from = fetched.iter().map(|r| r.start).min().unwrap();
        let fetched_to = fetched.iter().map(|r| r.end()).max().unwrap();
        for row in fetched {
            assert_eq!(
                row.tracks.audio.as_ref().map(|a| a.codec),
                Some(AudioCodec::Aac),
                "{row:?}"
            );
        }
        // What came live sounds with its pictures as well, from its first second on.
        for row in rows.iter().filter(|r| r.tracks.audio.is_some()) {
            in_step(&rig::file_of(&house.rig.config, row));
        }
        // One file over the hole: it can be decoded from end to end, and sounds as long as it shows.
        judge::decode_all(out.path()).unwrap();
        let end = |track| {
            judge::packets(out.path(), track)
                .unwrap()
                .last()
                .unwrap()
                .pts
                .unwrap()
        };
        assert!(
            (end("v:0") - end("a:0")).abs() < 0.2,
            "{} {}",
            end("v:0"),
            end("a:0")
        );
        // A tone in each second of what came from the card, but where the camera's loss and return may have cut one off.
        let seconds = |at: Timestamp| at.since(whole.start()) as f64 / 1e9;
        let (from, to) = (seconds(fetched_from), seconds(fetched_to));
        let tones = judge::onsets(out.path()).unwrap();
        let within: Vec<f64> = tones.iter().copied().filter(|t| (from..to).contains(t)).collect();
        let steps: Vec<f64> = within.windows(2).map(|w| w[1] - w[0]).collect();
        let odd = steps.iter().filter(|s| (**s - 1.0).abs() > 0.09).count();
        assert!(
            steps.len() > 3 && odd == 0,
            "{sound:?}: {within:?} of {tones:?}, {from} to {to}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_do_not_wait_for_sound() {
    for (how, sound) in [
        (Replayed::SoundRefused, CardSound::Aac),
        (Replayed::SoundSilences, CardSound::Pcmu),
        (Replayed::SoundWithoutTimes, CardSound::Pcmu),
        // Whatever comes is G.711, but not AAC.
        (Replayed::SoundGarbled, CardSound::Aac),
    ] {
        let mut house = House::with_sound(true, sound, |_, _| {}).await;
        house.cam.replay(how);
        house.rig.start().await.unwrap();
        house.outage(20).await;
        let jobs = house.ended(1).await;
        assert_eq!(jobs[0].state, JobState::Done, "{how:?} {jobs:#?}");
        assert_eq!(missing(&house.gaps().await), [], "{how:?}");
        house.rig.stop_clean().await.unwrap();
        let rows = house.rig.judge().await.unwrap();
        rig::whole(&frames(&house.rig, &rows).await).unwrap();
        let fetched: Vec<_> = rows.iter().filter(|r| r.from_card).collect();
        assert!(!fetched.is_empty());
        assert!(fetched.iter().all(|r| r.tracks.audio.is_none()), "{how:?}");
    }
}

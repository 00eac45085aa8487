use super::*;

const MS: i64 = 1_000_000;
const TICK: i64 = 250 * MS;
const DAY_S: i64 = 24 * 3600;

/// The next tick at which a socket is drained.
fn on_tick(t: i64) -> i64 {
    (t + TICK - 1) / TICK * TICK
}

/// A camera for a day whose clock runs at `rate` of the true one: the largest error, after the first minute, and the
/// least and most distance of two frames that lie 40 ms apart.
fn day(rate: f64, jitter: impl Fn(i64) -> i64) -> (i64, i64, i64) {
    let mut line = Timeline::new(90_000);
    let (mut worst, mut least, mut most) = (0, i64::MAX, 0);
    let mut last = None;
    for n in 0..DAY_S * 25 {
        let truth = 7 * NS_PER_S + n * 40 * MS;
        let ticks = ((n * 3600) as f64 * rate) as i64;
        let timestamp = 4_000_000_000u32.wrapping_add(ticks as u32);
        let pts = line.pts(timestamp, on_tick(truth + jitter(n)), None);
        if n > 25 * 60 {
            worst = worst.max((pts - truth).abs());
        }
        if let Some(last) = last {
            least = least.min(pts - last);
            most = most.max(pts - last);
        }
        last = Some(pts);
    }
    (worst, least, most)
}

#[test]
fn a_day_of_a_true_clock() {
    let (worst, least, most) = day(1.0, |_| 0);
    assert!(worst < 260 * MS, "{worst}");
    assert!(least >= 39 * MS && most <= 42 * MS, "{least} {most}");
}

#[test]
fn a_day_of_a_clock_that_is_one_per_cent_fast_or_slow() {
    for rate in [0.99, 1.01] {
        let (worst, least, most) = day(rate, |n| (n * 7919 % 97) * MS);
        assert!(worst < 500 * MS, "{rate}: {worst}");
        // 40 ms, off by a per cent, bent by three: no frame is doubled and none is far away.
        assert!(least > 38 * MS && most < 43 * MS, "{rate}: {least} {most}");
    }
}

#[test]
fn frames_of_a_true_clock_keep_their_exact_distance() {
    let mut line = Timeline::new(90_000);
    let mut last = line.pts(0, TICK, None);
    for n in 1..100_000i64 {
        let pts = line.pts((n * 3600) as u32, on_tick(n * 40 * MS + TICK), None);
        // Within the dead band nothing is bent.
        if n > 1000 {
            assert!((pts - last - 40 * MS).abs() <= 1, "{n}: {}", pts - last);
            assert_eq!(line.bend_ppm(), 0);
        }
        last = pts;
    }
}

#[test]
fn jumps_and_resets_go_on_where_the_clock_is() {
    for jump in [
        0x8000_0000u32,
        90_000 * 149 * 3,
        90_000 * 20,
        0u32.wrapping_sub(90_000 * 5),
    ] {
        let mut line = Timeline::new(90_000);
        let mut last = 0;
        for n in 0..500i64 {
            let base = if n < 250 { 0 } else { jump };
            let arrival = NS_PER_S + n * 40 * MS;
            let pts = line.pts(base.wrapping_add((n * 3600) as u32), arrival, None);
            assert!(
                n == 0 || (1..=90 * MS).contains(&(pts - last)),
                "{jump}: {n} {}",
                pts - last
            );
            assert!((pts - arrival).abs() < 100 * MS, "{jump}: {n}");
            last = pts;
        }
    }
}

#[test]
fn the_wrap_is_no_jump_and_reordering_is_kept() {
    let mut line = Timeline::new(90_000);
    let start = 0u32.wrapping_sub(90_000);
    let first = line.pts(start, 0, None);
    for (n, ms) in [(3i64, 120i64), (1, 40), (2, 80), (60, 2400), (40, 1600)] {
        let pts = line.pts(start.wrapping_add((n * 3600) as u32), n * 40 * MS, None);
        assert!((pts - first - ms * MS).abs() < 3 * MS);
    }
}

#[test]
fn a_stall_of_the_network_moves_no_frame() {
    let mut line = Timeline::new(90_000);
    for n in 0..2500i64 {
        // From second 40 to 50 nothing arrives, then all of it at once.
        let sent = n * 40 * MS;
        let arrival = if (40 * NS_PER_S..50 * NS_PER_S).contains(&sent) {
            50 * NS_PER_S
        } else {
            sent
        };
        let pts = line.pts((n * 3600) as u32, arrival, None);
        assert!((pts - sent).abs() < 400 * MS, "{n}: {}", pts - sent);
    }
}

#[test]
fn a_camera_that_paused_without_its_clock_is_met_again() {
    let mut line = Timeline::new(90_000);
    let mut last = i64::MIN;
    for n in 0..3000i64 {
        let arrival = n * 40 * MS + if n < 1000 { 0 } else { 3600 * NS_PER_S };
        let pts = line.pts((n * 3600) as u32, arrival, None);
        assert!(pts > last);
        last = pts;
        assert!(n < 1500 || (pts - arrival).abs() < NS_PER_S, "{n}");
    }
}

fn report(seconds: i64, fraction_ms: i64, timestamp: u32) -> SenderReport {
    SenderReport {
        ssrc: 1,
        ntp: ((seconds + 3_900_000_000) as u64) << 32 | ((fraction_ms << 32) / 1000) as u64,
        timestamp,
    }
}

#[test]
fn audio_meets_video_by_sender_reports_without_going_back() {
    for late in [-400i64, 400] {
        let mut video = Timeline::new(90_000);
        let mut audio = Timeline::new(8_000);
        let mut last = i64::MIN;
        let mut apart = 0;
        for n in 0..6000i64 {
            let t = n * 20 * MS;
            if n % 2 == 0 {
                video.pts((n * 1800) as u32, t + 500 * MS, None);
            }
            // The sound of an instant arrives at another time than its picture, always.
            let pts = audio.pts((n * 160) as u32, t + (500 + late) * MS, Some(&video));
            assert!(pts > last);
            last = pts;
            if n % 250 == 100 {
                let s = report(n / 50, 0, (n / 50 * 90_000) as u32);
                video.sender_report(&s);
                audio.sender_report(&SenderReport {
                    timestamp: (n / 50 * 8_000) as u32,
                    ..s
                });
            }
            apart = (pts - (t + 500 * MS)).abs();
        }
        assert!(apart < 40 * MS, "{late}: {apart}");
    }
}

#[test]
fn tracks_that_begin_together_meet_before_any_sender_report() {
    let mut video = Timeline::new(90_000);
    let mut audio = Timeline::new(8_000);
    video.begins_at(700);
    audio.begins_at(40);
    let mut apart = 0;
    for n in 0..3000i64 {
        let t = n * 20 * MS;
        if n % 2 == 0 {
            video.pts((700 + n * 1800) as u32, t, None);
        }
        let pts = audio.pts((40 + n * 160) as u32, t + 400 * MS, Some(&video));
        apart = (pts - t).abs();
    }
    assert!(apart < 40 * MS, "{apart}");
    assert_eq!(video.ntp(700), None, "that is no time of day");
    // A server that tells something else.
    let mut other = Timeline::new(90_000);
    other.begins_at(900_000);
    other.pts(0, 0, None);
    assert_eq!(other.report, None);
}

#[test]
fn audio_begins_beside_its_video_where_sender_reports_come_with_it() {
    for (early, told) in [(150i64, true), (-150, true), (150, false)] {
        let mut video = Timeline::new(90_000);
        let mut audio = Timeline::new(8_000);
        let mut held = Vec::new();
        // Pictures take 200 ms, sound less or more; nothing was used of the first 100 ms.
        for n in 0..6i64 {
            let t = 5 * NS_PER_S + n * 20 * MS;
            if n % 2 == 0 {
                video.pts((n * 1800) as u32, t + 200 * MS, None);
            }
            held.push(audio.pts((n * 160) as u32, t + (200 - early) * MS, Some(&video)));
            if n == 0 && told {
                video.sender_report(&report(5, 0, 0));
                audio.sender_report(&report(5, 0, 0));
            }
        }
        video.settle(None);
        let shift = audio.settle(Some(&video));
        let mut times: Vec<i64> = held.iter().map(|t| t + shift).collect();
        for n in 6..500i64 {
            let t = 5 * NS_PER_S + n * 20 * MS;
            if n % 2 == 0 {
                video.pts((n * 1800) as u32, t + 200 * MS, None);
            }
            times.push(audio.pts((n * 160) as u32, t + (200 - early) * MS, Some(&video)));
        }
        let off = if told { 0 } else { -early * MS };
        for (n, pts) in times.iter().enumerate() {
            let right = 5 * NS_PER_S + n as i64 * 20 * MS + 200 * MS + off;
            assert!(
                (pts - right).abs() < 2 * MS,
                "{early} {told} {n}: {}",
                pts - right
            );
        }
    }
}

#[test]
fn what_a_camera_kept_is_older_than_it_came() {
    for kept in [0, 1, 10, 100i64] {
        let mut line = Timeline::new(90_000);
        // So many frames come a millisecond apart, the others when they are due.
        let arrival = |n: i64| 10 * NS_PER_S + n.min(kept) * MS + (n - kept).max(0) * 40 * MS;
        let mut held = Vec::new();
        let mut n = 0;
        while line.last.is_none() || line.catching_up(arrival(n)) {
            held.push(line.pts((n * 3600) as u32, arrival(n), None));
            n += 1;
        }
        assert_eq!(n, kept + 2, "known with the first frame that comes in its time");
        let shift = line.settle(None);
        let mut times: Vec<i64> = held.iter().map(|t| t + shift).collect();
        times.extend((n..n + 500).map(|n| line.pts((n * 3600) as u32, arrival(n), None)));
        for (n, pair) in times.windows(2).enumerate() {
            assert!((39 * MS..41 * MS).contains(&(pair[1] - pair[0])), "{kept}: {n}");
            let late = arrival(n as i64) - pair[0];
            assert!(
                n as i64 <= kept || (-MS..45 * MS).contains(&late),
                "{kept}: {n} {late}"
            );
        }
    }
}

#[test]
fn the_cameras_clock_is_told_when_it_is_set() {
    let mut line = Timeline::new(90_000);
    line.pts(1000, 0, None);
    assert_eq!(line.ntp(1000), None);
    line.sender_report(&report(5, 500, 1000));
    assert_eq!(
        line.ntp(1000 + 90_000).unwrap().as_ns(),
        (3_900_000_006 - 2_208_988_800) * NS_PER_S + 500 * MS
    );
    // A clock that counts from the camera's start.
    line.sender_report(&SenderReport {
        ssrc: 1,
        ntp: (0x83AA_7E80u64 + 60) << 32,
        timestamp: 1000,
    });
    assert_eq!(line.ntp(1000), None);
    // Of another clock altogether.
    line.sender_report(&report(5, 0, 1_000_000_000));
    assert_eq!(line.ntp(1000), None);
}

proptest::proptest! {
    #[test]
    fn any_times_whatever(steps in proptest::collection::vec(proptest::prelude::any::<(u32, i64, bool)>(), 1..80)) {
        let mut line = Timeline::new(90_000);
        let mut video = Timeline::new(1);
        for (timestamp, now, r) in steps {
            video.pts(timestamp.rotate_left(7), now, None);
            line.pts(timestamp, now, Some(&video));
            if r {
                let r = SenderReport { ssrc: 0, ntp: now as u64, timestamp };
                line.sender_report(&r);
                video.sender_report(&r);
            }
            line.ntp(timestamp);
        }
    }
}

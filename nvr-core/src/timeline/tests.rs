use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::ids::SegmentId;
use crate::segment::Container;
use crate::store::SegmentState;
use crate::track::{Tracks, VideoTrack};

const MS: i64 = 1_000_000;

fn cam() -> CameraId {
    CameraId::new("a").unwrap()
}

fn ms(n: i64) -> Timestamp {
    Timestamp::from_ns(n * MS)
}

fn span(from_ms: i64, to_ms: i64) -> TimeRange {
    TimeRange::new(ms(from_ms), ms(to_ms)).unwrap()
}

fn row(run: u64, start_ms: i64, length_ms: i64) -> SegmentRow {
    SegmentRow {
        id: SegmentId(start_ms),
        camera: cam(),
        run: RunId::from_u64(run),
        sequence: 0,
        path: format!("a/{run}-{start_ms}.mp4").into(),
        state: SegmentState::Closed,
        start: ms(start_ms),
        duration_ns: length_ms * MS,
        size_bytes: 100,
        container: Container::Fmp4,
        tracks: Tracks {
            video: VideoTrack {
                codec: if run.is_multiple_of(2) {
                    VideoCodec::H264
                } else {
                    VideoCodec::H265
                },
                width: 640,
                height: 360,
                frame_rate: None,
            },
            audio: None,
        },
        hash: None,
        protected: false,
        camera_start: None,
        marks: crate::store::Marks::default(),
        tier: crate::segment::Tier::First,
        masks: None,
        from_card: false,
    }
}

fn gap(from_ms: i64, to_ms: Option<i64>, kind: CauseKind) -> GapRow {
    GapRow {
        camera: cam(),
        start: ms(from_ms),
        end: to_ms.map(ms),
        cause: Cause::new(kind, ""),
    }
}

fn material<'a>(segments: &'a [SegmentRow], gaps: &'a [GapRow], now_ms: i64) -> Material<'a> {
    Material {
        camera: cam(),
        range: TimeRange::ALL,
        now: ms(now_ms),
        first: None,
        segments,
        growing: None,
        gaps,
        events: Vec::new(),
        resolution_ns: 0,
    }
}

fn ranges(t: &Timeline) -> Vec<TimeRange> {
    t.ranges.iter().map(|r| r.range).collect()
}

fn gaps(t: &Timeline) -> Vec<(TimeRange, CauseKind)> {
    t.gaps.iter().map(|g| (g.range, g.cause.kind)).collect()
}

#[test]
fn segments_of_a_run_join_and_the_growing_one_with_them() {
    let mut rows = vec![row(1, 20_000, 10_000), row(1, 0, 9_900), row(1, 10_000, 10_100)];
    let mut open = row(1, 30_200, 0);
    open.state = SegmentState::Open;
    rows.push(open);
    let growing = Growing {
        run: RunId::from_u64(1),
        start: ms(30_200),
        end: ms(34_000),
        size_bytes: 50,
        codec: VideoCodec::H265,
    };
    let mut m = material(&rows, &[], 34_000);
    m.growing = Some(&growing);
    let t = build(m.clone());
    assert_eq!(ranges(&t), [span(0, 34_000)]);
    assert!(t.ranges[0].growing);
    assert_eq!(t.ranges[0].codecs, [VideoCodec::H265]);
    assert_eq!(t.gaps, []);
    assert_eq!(
        (t.totals.segments, t.totals.bytes, t.totals.recorded_ns),
        (4, 350, 34_000 * MS)
    );
    // A cut before its end does not grow.
    m.range = span(5_000, 33_000);
    let t = build(m);
    assert_eq!(ranges(&t), [span(5_000, 33_000)]);
    assert!(!t.ranges[0].growing);
}

#[test]
fn the_next_segment_of_a_run_is_not_missing_before_its_first_frame() {
    let mut rows = vec![row(1, 0, 9_999)];
    let mut open = row(1, 10_000, 0);
    open.state = SegmentState::Open;
    rows.push(open);
    let mut growing = Growing {
        run: RunId::from_u64(1),
        start: ms(10_000),
        end: ms(10_000),
        size_bytes: 0,
        codec: VideoCodec::H264,
    };
    let mut m = material(&rows, &[], 10_000);
    m.growing = Some(&growing);
    let t = build(m.clone());
    assert_eq!((ranges(&t), gaps(&t)), (vec![span(0, 10_000)], vec![]));
    assert!(t.ranges[0].growing);
    // Alone it is no footage yet, and nothing is missing.
    m.segments = &rows[1..];
    let t = build(m.clone());
    assert_eq!((ranges(&t), gaps(&t)), (vec![], vec![]));
    // Of another run it does not say that the one before goes on.
    growing.run = RunId::from_u64(2);
    let mut m = material(&rows[..1], &[], 10_000);
    m.growing = Some(&growing);
    let t = build(m);
    assert_eq!(ranges(&t), [span(0, 9_999)]);
    assert!(!t.ranges[0].growing);
}

#[test]
fn the_present_is_known_as_far_as_the_run_that_goes_on_has_written() {
    let newest = Some(span(0, 10_000));
    // No run goes on; one does; one is silent for too long.
    assert_eq!(known_until(None, &[], ms(11_000)), ms(11_000));
    assert_eq!(known_until(newest, &[], ms(11_000)), ms(10_000));
    assert_eq!(known_until(newest, &[], ms(16_000)), ms(16_000));
    // Frames are stamped with their end.
    assert_eq!(known_until(newest, &[], ms(9_990)), ms(9_990));
    // A gap says that it is over, but not one before.
    let over = [gap(10_000, None, CauseKind::NotScheduled)];
    assert_eq!(known_until(newest, &over, ms(10_500)), ms(10_500));
    let before = [gap(-5_000, Some(0), CauseKind::NoFrames)];
    assert_eq!(known_until(newest, &before, ms(10_500)), ms(10_000));
    // It began with what went before: that reaches back over the gap.
    let pre_rolled = [gap(500, Some(500), CauseKind::NotScheduled)];
    assert_eq!(known_until(Some(span(0, 0)), &pre_rolled, ms(600)), ms(0));
}

#[test]
fn a_real_gap_a_long_hole_or_another_run_is_not_joined() {
    let rows = [
        row(1, 0, 10_000),
        row(1, 10_300, 10_000),
        row(1, 21_000, 1_000),
        row(2, 22_000, 1_000),
    ];
    let stored = [gap(10_100, Some(10_200), CauseKind::NoFrames)];
    let t = build(material(&rows, &stored, 23_000));
    assert_eq!(
        ranges(&t),
        [
            span(0, 10_000),
            span(10_300, 20_300),
            span(21_000, 22_000),
            span(22_000, 23_000)
        ]
    );
    assert_eq!(
        gaps(&t),
        [
            (span(10_000, 10_300), CauseKind::NoFrames),
            (span(20_300, 21_000), CauseKind::Unknown)
        ]
    );
}

#[test]
fn nothing_is_missing_before_the_first_footage_nor_after_now() {
    let rows = [row(1, 10_000, 10_000)];
    let stored = [
        gap(0, Some(10_000), CauseKind::Unreachable),
        gap(20_000, None, CauseKind::Device),
    ];
    let mut m = material(&rows, &stored, 25_000);
    m.range = span(0, 60_000);
    let t = build(m.clone());
    assert_eq!(ranges(&t), [span(10_000, 20_000)]);
    assert_eq!(gaps(&t), [(span(20_000, 25_000), CauseKind::Device)]);
    // Known from elsewhere: older footage lies outside what was asked.
    m.first = Some(ms(5_000));
    assert_eq!(
        gaps(&build(m.clone()))[0],
        (span(5_000, 10_000), CauseKind::Unreachable)
    );
    // Never recorded at all: missing since the first outage.
    (m.segments, m.first) = (&[], None);
    let t = build(m.clone());
    assert!(t.ranges.is_empty());
    assert_eq!(t.gaps[0].range.start(), ms(0));
    // The range lies in the future.
    (m.segments, m.range) = (&rows, span(30_000, 60_000));
    let t = build(m);
    assert!(t.ranges.is_empty() && t.gaps.is_empty());
}

#[test]
fn a_cause_covers_what_was_noticed_late_but_not_hours() {
    let rows = [row(1, 0, 10_000), row(2, 100_000, 10_000)];
    let t = build(material(
        &rows,
        &[gap(20_000, Some(95_000), CauseKind::NoFrames)],
        110_000,
    ));
    assert_eq!(gaps(&t), [(span(10_000, 100_000), CauseKind::NoFrames)]);
    let stored = [
        gap(60_000, Some(70_000), CauseKind::Unauthorized),
        gap(50_000, Some(65_000), CauseKind::Crash),
    ];
    let t = build(material(&rows, &stored, 110_000));
    assert_eq!(
        gaps(&t),
        [
            (span(10_000, 50_000), CauseKind::Unknown),
            (span(50_000, 65_000), CauseKind::Crash),
            (span(65_000, 100_000), CauseKind::Unauthorized),
        ]
    );
}

#[test]
fn after_a_step_back_of_the_clock_time_is_monotonic() {
    // Two hours of run 1, then the clock goes back one hour and run 2 records two hours.
    let h = 3_600_000;
    let rows: Vec<_> = (0..8)
        .map(|i| row(1, i * h / 4, h / 4))
        .chain((0..8).map(|i| row(2, h + 7_000 + i * h / 4, h / 4)))
        .collect();
    let t = build(material(&rows, &[], 3 * h + 7_000));
    assert_eq!(ranges(&t), [span(0, 2 * h), span(2 * h, 3 * h + 7_000)]);
    assert_eq!(t.gaps, []);
    assert_eq!(t.totals.recorded_ns, (3 * h + 7_000) * MS);
    assert_eq!(t.totals.segments, 16);
}

#[test]
fn folding_keeps_footage_and_exact_totals() {
    // A second of footage in each of twenty minutes, with two long holes.
    let rows: Vec<_> = (0..20)
        .filter(|i| ![5, 6, 7, 12, 13, 14].contains(i))
        .map(|i| row(i as u64, i * 60_000, 1_000))
        .collect();
    let stored = [
        gap(241_000, Some(250_000), CauseKind::Device),
        gap(250_000, Some(480_000), CauseKind::Unreachable),
    ];
    let mut m = material(&rows, &stored, 1_200_000);
    let exact = build(m.clone());
    m.resolution_ns = 120_000 * MS;
    let t = build(m);
    assert_eq!(t.totals, exact.totals);
    assert_eq!(
        ranges(&t),
        [span(0, 241_000), span(480_000, 661_000), span(900_000, 1_141_000)]
    );
    assert_eq!(t.ranges.iter().map(|r| r.runs).collect::<Vec<_>>(), [5, 4, 5]);
    assert_eq!(t.ranges[0].codecs.len(), 2);
    assert_eq!(
        gaps(&t),
        [
            (span(241_000, 480_000), CauseKind::Unreachable),
            (span(661_000, 900_000), CauseKind::Unknown),
            // At the end of what is known even a short gap stays: it says that nothing comes in now.
            (span(1_141_000, 1_200_000), CauseKind::Unknown),
        ]
    );
}

#[test]
fn days_of_23_and_25_hours() {
    let tz = TimeZone::get("Europe/Berlin").unwrap();
    let t = |s: &str| s.parse::<Timestamp>().unwrap();
    let minute_segments = |from: Timestamp, hours: i64| -> Vec<SegmentRow> {
        (0..hours * 60)
            .map(|i| row(1, from.as_ns() / MS + i * 60_000, 60_000))
            .collect()
    };
    for (from, hours, dates) in [
        (
            "2026-03-28T12:00:00+01:00",
            47,
            [
                ("2026-03-28", 24, 12),
                ("2026-03-29", 23, 23),
                ("2026-03-30", 24, 12),
            ],
        ),
        (
            "2026-10-24T12:00:00+02:00",
            49,
            [
                ("2026-10-24", 24, 12),
                ("2026-10-25", 25, 25),
                ("2026-10-26", 24, 12),
            ],
        ),
    ] {
        let rows = minute_segments(t(from), hours);
        let found = days(&tz, &rows, None, TimeRange::ALL);
        let short: Vec<_> = found
            .iter()
            .map(|d| {
                (
                    d.date.to_string(),
                    d.length_s / 3600,
                    d.recorded_ns / (3600 * NS_PER_S),
                )
            })
            .collect();
        assert_eq!(short, dates.map(|(d, l, r)| (d.to_owned(), l, r)));
        assert_eq!(found[0].end, found[1].start);
        assert!(
            serde_json::to_string(&found[1])
                .unwrap()
                .contains(&format!("\"date\":\"{}\"", dates[1].0))
        );
    }
    assert_eq!(
        days(
            &tz,
            &minute_segments(t("2026-10-25T00:00:00+02:00"), 1),
            None,
            TimeRange::ALL
        )[0]
        .start,
        t("2026-10-24T22:00:00Z")
    );
}

#[test]
fn days_are_cut_to_the_range_and_empty_ones_left_out() {
    let day = 86_400_000;
    let rows = [row(1, day / 2, day), row(2, 5 * day, 1_500)];
    let growing = Growing {
        run: RunId::from_u64(2),
        start: ms(5 * day + 1_500),
        end: ms(5 * day + 2_000),
        size_bytes: 1,
        codec: VideoCodec::H264,
    };
    let range = TimeRange::new(ms(day), Timestamp::MAX).unwrap();
    let found = days(&TimeZone::UTC, &rows, Some(&growing), range);
    let short: Vec<_> = found.iter().map(|d| (d.start, d.recorded_s())).collect();
    assert_eq!(short, [(ms(day), 43_200.0), (ms(5 * day), 2.0)]);
    // Nonsense from a broken index ends.
    let mut endless = row(1, 0, 0);
    (endless.start, endless.duration_ns) = (Timestamp::MIN, i64::MAX);
    assert!(!days(&TimeZone::UTC, &[endless], None, TimeRange::ALL).is_empty());
}

fn any_rows() -> impl Strategy<Value = Vec<SegmentRow>> {
    proptest::collection::vec((0u64..4, 0i64..60_000, 0i64..8_000), 0..25).prop_map(|v| {
        v.into_iter()
            .map(|(run, start, length)| row(run, start, length))
            .collect()
    })
}

fn any_gaps() -> impl Strategy<Value = Vec<GapRow>> {
    let kinds = [CauseKind::Device, CauseKind::Crash, CauseKind::NoFrames];
    proptest::collection::vec((0i64..60_000, 0i64..9_000, 0usize..3, 0u8..9), 0..8).prop_map(move |v| {
        v.into_iter()
            .map(|(start, length, kind, open)| gap(start, (open > 0).then_some(start + length), kinds[kind]))
            .collect()
    })
}

proptest! {
    #[test]
    fn ranges_and_gaps_tile_what_is_known(
        rows in any_rows(),
        stored in any_gaps(),
        now in 0i64..90_000,
        (from, length) in (0i64..60_000, 0i64..40_000),
        resolution in prop_oneof![Just(0i64), 0i64..20_000],
        everything in any::<bool>(),
    ) {
        let mut m = material(&rows, &stored, now);
        m.resolution_ns = resolution * MS;
        m.first = rows.iter().map(|r| r.start).min();
        if !everything {
            m.range = span(from, from + length);
        }
        let (range, first) = (m.range, m.first);
        let t = build(m.clone());

        // Sorted, disjoint, inside the range; gaps never before the first footage nor after now.
        let mut all: Vec<TimeRange> = ranges(&t);
        prop_assert!(all.windows(2).all(|w| w[0].end() <= w[1].start()));
        prop_assert!(t.gaps.windows(2).all(|w| w[0].range.end() <= w[1].range.start()));
        for g in &t.gaps {
            prop_assert!(Some(g.range.start()) >= first && g.range.end() <= ms(now));
        }
        all.extend(t.gaps.iter().map(|g| g.range));
        all.sort_by_key(TimeRange::start);
        prop_assert!(all.iter().all(|r| !r.is_empty() && r.intersect(&range) == Some(*r)));
        prop_assert!(all.windows(2).all(|w| w[0].end() <= w[1].start()), "{all:?}");

        // Without a hole between the first footage and now.
        if let Some(known) = first.and_then(|f| TimeRange::new(f, ms(now)).ok()?.intersect(&range)) {
            let mut covered = known.start();
            for r in &all {
                if r.start() <= covered {
                    covered = covered.max(r.end());
                }
            }
            prop_assert!(covered >= known.end(), "{all:?} leaves a hole in {known:?} at {covered}");
        }

        // Totals are exact: the same whatever the resolution, and those of the unfolded stretches.
        let footage = rows.iter().filter(|r| r.range().intersect(&range).is_some());
        prop_assert_eq!(t.totals.segments, footage.count() as u64);
        m.resolution_ns = 0;
        let exact = build(m);
        prop_assert_eq!(t.totals, exact.totals);
        prop_assert_eq!(exact.totals.recorded_ns, exact.ranges.iter().map(|r| r.range.len_ns()).sum::<i64>());
        prop_assert_eq!(exact.totals.missing_ns, exact.gaps.iter().map(|g| g.range.len_ns()).sum::<i64>());

        // Every instant of footage is shown, folded or not.
        for r in rows.iter().filter_map(|r| r.range().intersect(&range)) {
            for instant in [r.start(), r.end().add_ns(-1)] {
                prop_assert!(t.ranges.iter().any(|x| x.range.contains(instant)));
            }
        }
        if resolution > 0 {
            let (first, last) = (ms(0), ms(90_000));
            let most = last.since(first) / (resolution * MS) + 2;
            prop_assert!(t.ranges.len() as i64 <= most);
        }
    }

    #[test]
    fn days_add_up_to_the_footage(
        rows in any_rows(),
        day in 0i64..500,
        zone in prop_oneof![Just("Europe/Berlin"), Just("America/St_Johns"), Just("Asia/Kathmandu"), Just("UTC")],
    ) {
        // Stretched a thousandfold: segments of hours over weeks.
        let rows: Vec<_> = rows
            .into_iter()
            .map(|r| {
                let start = day * 86_400_000 + r.start.as_ns() / MS * 1000;
                row(r.run.as_u64(), start, r.duration_ns / MS * 1000)
            })
            .collect();
        let tz = TimeZone::get(zone).unwrap();
        let found = days(&tz, &rows, None, TimeRange::ALL);
        let t = build(material(&rows, &[], 0));
        prop_assert_eq!(found.iter().map(|d| d.recorded_ns).sum::<i64>(), t.totals.recorded_ns);
        prop_assert!(found.windows(2).all(|w| w[0].date < w[1].date && w[0].end <= w[1].start));
        for d in &found {
            prop_assert!(d.recorded_ns > 0 && d.recorded_ns <= d.end.since(d.start));
            prop_assert!((22 * 3600..=26 * 3600).contains(&d.length_s));
        }
    }
}

#[test]
fn a_camera_that_never_recorded_is_missing_since_its_first_outage() {
    let rows = [
        gap(0, Some(1_000), CauseKind::NotScheduled),
        gap(1_000, None, CauseKind::Unreachable),
    ];
    let t = build(material(&[], &rows, 5_000));
    assert_eq!(gaps(&t), [(span(1_000, 5_000), CauseKind::Unreachable)]);
    let idle = build(material(&[], &rows[..1], 5_000));
    assert_eq!(gaps(&idle), []);
}

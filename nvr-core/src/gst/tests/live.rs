//! Those who begin to watch.

use std::time::Duration;

use super::harness::*;
use super::slow_disk::{stream, unit};
use crate::gst::tap::{Tap, TapCore};

/// Whoever comes in the middle of a group of pictures gets it from its keyframe on, and then what follows.
#[test]
fn a_new_reader_begins_with_the_present_group() {
    let options = Options {
        keep: Duration::ZERO,
        ..Options::default()
    };
    let mut b = Bench::start(&h264(25, 1500, ""), Some(ALAW), options);
    b.wait_frames(40);
    let mut late = b.run().tap().subscribe_from(Duration::ZERO, 1000);
    let first = late.blocking_recv().unwrap();
    assert!(first.keyframe());
    b.wait_frames(60);
    assert!(b.stop());
    let mut got = vec![first];
    while let Some(unit) = late.blocking_recv() {
        got.push(unit);
    }
    let times =
        |units: &[crate::gst::AccessUnit]| units.iter().map(|u| (u.track(), u.pts_ns())).collect::<Vec<_>>();
    // The bench reads from the start: with one group only both have the same, but for what came before the keyframe.
    let from = b
        .delivered
        .iter()
        .position(crate::gst::AccessUnit::keyframe)
        .unwrap();
    let whole = times(&b.delivered[from..]);
    let begin = whole
        .iter()
        .position(|u| *u == (got[0].track(), got[0].pts_ns()))
        .unwrap();
    assert_eq!(times(&got), whole[begin..]);
    assert!(b.video().len() >= 60 && late.dropped() == 0);
}

#[test]
fn a_group_that_is_too_large_is_not_kept_and_the_next_one_is() {
    crate::gst::init().unwrap();
    let core = TapCore::new(Duration::ZERO);
    let tap = Tap(core.clone());
    let (info, megabyte) = (stream(), gst::Memory::from_slice(vec![0u8; 1 << 20]));
    for i in 0..60 {
        core.push(&unit(i, i == 0, &megabyte, &info));
        assert!(tap.recent(Duration::ZERO).len() <= 16);
    }
    let mut early = tap.subscribe_from(Duration::ZERO, 100);
    core.push(&unit(60, false, &megabyte, &info));
    for i in 61..65 {
        core.push(&unit(i, i == 61, &megabyte, &info));
    }
    let mut late = tap.subscribe_from(Duration::ZERO, 100);
    core.push(&unit(65, false, &megabyte, &info));
    core.close();
    for reader in [&mut early, &mut late] {
        let mut times = Vec::new();
        while let Some(unit) = reader.blocking_recv() {
            times.push(unit.pts_ns() / 40_000_000);
        }
        assert_eq!(times, [61, 62, 63, 64, 65]);
        assert_eq!(reader.dropped(), 0);
    }
}

/// Who goes while frames wait for it lost those, too; what it was told of before does not count again.
#[test]
fn what_a_slow_reader_leaves_behind_is_counted() {
    crate::gst::init().unwrap();
    let core = TapCore::new(Duration::ZERO);
    let (info, memory) = (stream(), gst::Memory::from_slice(vec![0u8; 10]));
    let mut reader = Tap(core.clone()).subscribe(3);
    assert_eq!(reader.left(), 0);
    let push = |range: std::ops::Range<i64>| {
        for i in range {
            core.push(&unit(i, i % 5 == 0, &memory, &info));
        }
    };
    push(0..5);
    // Three wait, two found no room.
    assert_eq!(reader.left(), 5);
    assert!(reader.blocking_recv().is_some());
    assert_eq!(reader.left(), 4);
    // A keyframe after it tells of the two.
    push(5..6);
    assert_eq!(reader.left(), 5);
    for _ in 0..3 {
        assert!(reader.blocking_recv().is_some());
    }
    assert_eq!((reader.left(), reader.dropped()), (0, 2));
}

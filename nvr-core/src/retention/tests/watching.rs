//! The critical mark, pausing by priority, and clocks that step.

use proptest::prelude::*;

use super::*;

fn three() -> Vec<(CameraId, u8)> {
    vec![(cam(0), 5), (cam(1), 9), (cam(2), 5)]
}

#[test]
fn cameras_pause_by_priority_and_resume() {
    let mut watch = Watch::default();
    let cameras = three();
    assert_eq!(watch.look(1000, 1000, true, &cameras), []);
    // Low, but there is something to delete.
    assert_eq!(watch.look(999, 1000, false, &cameras), [Change::Low]);
    assert!(watch.is_low());
    assert_eq!(
        watch.look(999, 1000, true, &cameras),
        [Change::Pause(cam(0)), Change::Pause(cam(2))]
    );
    assert_eq!(
        watch.look(500, 1000, true, &cameras),
        [],
        "the important one has its half"
    );
    assert_eq!(watch.look(499, 1000, true, &cameras), [Change::Pause(cam(1))]);
    assert!(watch.is_paused(&cam(1)));
    // At a quarter more than where they paused.
    assert_eq!(watch.look(624, 1000, true, &cameras), []);
    assert_eq!(watch.look(625, 1000, true, &cameras), [Change::Resume(cam(1))]);
    assert_eq!(watch.look(1249, 1000, false, &cameras), []);
    assert_eq!(
        watch.look(1250, 1000, false, &cameras),
        [Change::Resume(cam(0)), Change::Resume(cam(2)), Change::Recovered]
    );
    assert_eq!(watch, Watch::default());
}

#[test]
fn a_mark_that_is_lowered_lets_cameras_go_on() {
    let mut watch = Watch::default();
    watch.look(10, 1000, true, &three());
    assert!(watch.is_paused(&cam(1)));
    let changes = watch.look(10, 0, true, &three());
    assert_eq!(changes.len(), 4, "{changes:?}");
    assert_eq!(watch, Watch::default());
}

#[test]
fn a_removed_camera_is_forgotten() {
    let mut watch = Watch::default();
    watch.look(10, 1000, true, &three());
    assert_eq!(watch.look(10, 1000, true, &three()[1..]), []);
    assert!(!watch.is_paused(&cam(0)));
}

proptest! {
    /// Whatever comes, orders alternate, and who pauses is never more important than who does not.
    #[test]
    fn orders_alternate_and_the_important_go_last(
        looks in prop::collection::vec((0u64..3000, any::<bool>()), 1..60),
        priorities in prop::collection::vec(1u8..=10, 1..6),
    ) {
        let cameras: Vec<_> = priorities.iter().enumerate().map(|(n, p)| (cam(n), *p)).collect();
        let mut watch = Watch::default();
        let mut paused = std::collections::HashSet::new();
        for (available, exhausted) in looks {
            for change in watch.look(available, 1000, exhausted, &cameras) {
                match change {
                    Change::Pause(c) => prop_assert!(paused.insert(c)),
                    Change::Resume(c) => prop_assert!(paused.remove(&c)),
                    Change::Low | Change::Recovered => {}
                }
            }
            let of = |is: bool| -> Vec<u8> {
                cameras.iter().filter(|(c, _)| watch.is_paused(c) == is).map(|(_, p)| *p).collect()
            };
            if exhausted && watch.is_low() {
                prop_assert!(of(true).into_iter().max().unwrap_or(0) <= of(false).into_iter().min().unwrap_or(10));
            }
            prop_assert!(available < 1250 || of(true).is_empty());
        }
    }
}

/// A clock that jumps ahead makes everything old: for an hour nothing goes for its age.
#[test]
fn fm02_a_clock_that_jumps_ahead_deletes_nothing() {
    const S: i64 = 1_000_000_000;
    let mut steps = Steps::default();
    assert_eq!(steps.trusted(at(1000), 0), Some(at(1000)));
    assert_eq!(steps.trusted(at(1030), 30 * S), Some(at(1030)));
    // Ten years, and back again ten minutes later.
    let wrong = 1060 + 10 * 365 * 86_400;
    assert_eq!(steps.trusted(at(wrong), 60 * S), None);
    assert_eq!(steps.trusted(at(wrong + 30), 90 * S), None);
    assert_eq!(
        steps.trusted(at(1660), 660 * S),
        None,
        "the way back is a step, too"
    );
    assert_eq!(steps.trusted(at(1660 + 3599), 4259 * S), None);
    assert_eq!(steps.trusted(at(1660 + 3600), 4260 * S), Some(at(5260)));
    // A small correction is none.
    assert_eq!(steps.trusted(at(5350), 4290 * S), Some(at(5350)));
}

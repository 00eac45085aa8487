//! Zones, masks and sensitivity, on the same yard.

use super::render::{Canvas, Chance, yard};
use crate::grey::GreyFrame;
use crate::motion::{Detector, SURE, Scene, Settings};
use crate::time::NS_PER_S;
use crate::zone::{Polygon, Zone};

/// Highest score of the picture and of each zone while somebody walks from left to right at the bottom.
fn walk(settings: Settings, size: (i32, i32), v: u8) -> (f32, Vec<f32>) {
    let base = yard(5);
    let mut chance = Chance::new(6);
    let mut detector = Detector::new(settings);
    let (mut best, mut zones) = (0f32, Vec::new());
    for t in 0..20 {
        let mut canvas = Canvas::of(&base);
        if t >= 8 {
            canvas.thing(50 + (t - 8) * 20, 240, size.0, size.1, v);
        }
        let look = detector.look(&canvas.shot(&mut chance, 6.0), i64::from(t) * NS_PER_S);
        best = best.max(look.score);
        zones.resize(look.zones.len(), 0.0);
        for (best, now) in zones.iter_mut().zip(look.zones) {
            *best = f32::max(*best, now);
        }
    }
    (best, zones)
}

#[test]
fn only_what_moves_in_a_zone_counts() {
    let zones = Zone::parse_list(
        "left: 0,0.5 0.5,0.5 0.5,1 0,1; right: 0.6,0.5 1,0.5 1,1 0.6,1; sky: 0,0 1,0 1,0.4 0,0.4",
    );
    let settings = Settings {
        zones: zones.unwrap(),
        ..Settings::default()
    };
    let (best, zones) = walk(settings, (20, 55), 230);
    assert!(best > SURE && zones[0] > SURE, "{best} {zones:?}");
    assert_eq!(zones[1..], [0.0, 0.0]);
    assert_eq!(best, zones[0]);
}

#[test]
fn what_a_mask_covers_does_not_count() {
    let settings = Settings {
        masks: Polygon::parse_list("0,0.6 1,0.6 1,1 0,1").unwrap(),
        ..Settings::default()
    };
    assert!(walk(Settings::default(), (20, 55), 230).0 > SURE);
    assert_eq!(walk(settings, (20, 55), 230).0, 0.0);
}

#[test]
fn a_higher_sensitivity_sees_more() {
    let with = |sensitivity| {
        let settings = Settings {
            sensitivity,
            ..Settings::default()
        };
        walk(settings, (10, 20), 150).0
    };
    let (low, middle, high) = (with(1), with(50), with(100));
    assert!(low < middle && middle < high, "{low} {middle} {high}");
    assert!(low < 0.2 && high > SURE, "{low} {high}");
}

#[test]
fn another_size_begins_anew_and_settings_change_on_the_way() {
    let mut detector = Detector::new(Settings::default());
    let grey = |w, h| GreyFrame::new(w, h, vec![100; w * h]).unwrap();
    assert_eq!(detector.look(&grey(160, 90), 0).scene, Scene::Learning);
    for t in 1..6 {
        detector.look(&grey(160, 90), t * NS_PER_S);
    }
    detector.set(Settings {
        zones: Zone::parse_list("all: 0,0 1,0 1,1 0,1").unwrap(),
        ..Settings::default()
    });
    let look = detector.look(&grey(160, 90), 6 * NS_PER_S);
    assert_eq!((look.scene, look.zones), (Scene::Steady, vec![0.0]));
    assert_eq!(detector.look(&grey(120, 90), 7 * NS_PER_S).scene, Scene::Learning);
    // Pictures of any size are looked at without a fault.
    for (w, h) in [(1, 1), (3, 200), (160, 1)] {
        for t in 8..12 {
            detector.look(&grey(w, h), t * NS_PER_S);
        }
    }
}

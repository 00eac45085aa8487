//! Each scene is looked at as by keyframes of a second's distance; what is found is compared with what moved.

use super::render::{Canvas, Chance, H, W, yard};
use crate::motion::{Detector, Settings, SpanChange, SpanRules, Spans};
use crate::time::{NS_PER_S, Timestamp};

/// Seconds of a scene.
const LENGTH: i64 = 75;
/// What is found so much earlier or later is the same.
const NEAR: i64 = 2;

/// Paints second `t` of a scene.
type Paint = fn(&mut Canvas, &mut Chance, t: i64);

struct Scene {
    name: &'static str,
    noise: f32,
    /// Seconds in which something moves.
    moving: &'static [(i64, i64)],
    paint: Paint,
}

fn walker(canvas: &mut Canvas, t: i64, from: i64, to: i64, v: u8) {
    if (from..=to).contains(&t) {
        // Far off: a tenth of the picture's height, and slow.
        canvas.thing(75 + (t - from) as i32 * 9, 210, 13, 37, v);
    }
}

fn weather(canvas: &mut Canvas, chance: &mut Chance) {
    canvas.marks(chance, 350, 1, 13, 70);
}

const SCENES: &[Scene] = &[
    Scene {
        name: "noise by day",
        noise: 8.0,
        moving: &[],
        paint: |_, _, _| {},
    },
    Scene {
        name: "noise by night",
        noise: 22.0,
        moving: &[],
        paint: |c, _, _| c.light(0, W, 0.25),
    },
    Scene {
        name: "light switched",
        noise: 6.0,
        moving: &[],
        paint: |c, _, t| {
            if (20..45).contains(&t) {
                c.light(0, W, 0.35);
            }
        },
    },
    Scene {
        name: "clouds",
        noise: 6.0,
        moving: &[],
        paint: |c, _, t| c.light(0, W, 1.0 + 0.3 * (t as f32 / 4.0).sin()),
    },
    Scene {
        name: "a lamp lights a part",
        noise: 6.0,
        moving: &[],
        paint: |c, _, t| {
            if t % 30 > 14 {
                c.light(0, W / 3, 1.5);
            }
        },
    },
    Scene {
        name: "slow walker",
        noise: 6.0,
        moving: &[(20, 55)],
        paint: |c, _, t| walker(c, t, 20, 55, 40),
    },
    Scene {
        name: "walker by night",
        noise: 15.0,
        moving: &[(20, 50)],
        paint: |c, _, t| {
            c.light(0, W, 0.5);
            walker(c, t, 20, 50, 110);
        },
    },
    Scene {
        name: "rain",
        noise: 8.0,
        moving: &[],
        paint: |c, chance, _| weather(c, chance),
    },
    Scene {
        name: "rain sets in",
        noise: 8.0,
        moving: &[],
        paint: |c, chance, t| {
            if t > 25 {
                weather(c, chance);
            }
        },
    },
    Scene {
        name: "snow",
        noise: 8.0,
        moving: &[],
        paint: |c, chance, _| c.marks(chance, 250, 3, 3, 60),
    },
    Scene {
        name: "walker in the rain",
        noise: 8.0,
        moving: &[(25, 55)],
        paint: |c, chance, t| {
            walker(c, t, 25, 55, 35);
            weather(c, chance);
        },
    },
    Scene {
        name: "fast car",
        noise: 6.0,
        moving: &[(30, 32)],
        paint: |c, _, t| c.thing(-150 + (t - 29) as i32 * 275, 240, 130, 50, 200),
    },
    Scene {
        name: "camera shakes",
        noise: 6.0,
        moving: &[],
        paint: |c, chance, t| {
            if t > 20 {
                c.shift((chance.swing() * 7.0) as i32, (chance.swing() * 5.0) as i32);
            }
        },
    },
    Scene {
        name: "walker, camera shakes",
        noise: 6.0,
        moving: &[(30, 60)],
        paint: |c, chance, t| {
            walker(c, t, 30, 60, 230);
            c.shift((chance.swing() * 4.0) as i32, (chance.swing() * 3.0) as i32);
        },
    },
    Scene {
        name: "hedge in the wind",
        noise: 6.0,
        moving: &[],
        paint: |c, chance, _| c.sway(500, 140, 140, 45, (chance.swing() * 5.0) as i32),
    },
    Scene {
        name: "car comes, stays, goes",
        noise: 6.0,
        moving: &[(15, 19), (58, 62)],
        paint: |c, _, t| {
            let x = match t {
                15..=19 => -150 + (t - 14) as i32 * 60,
                20..=57 => 150,
                58..=62 => 150 + (t - 57) as i32 * 110,
                _ => return,
            };
            c.thing(x, 215, 140, 60, 190);
        },
    },
    Scene {
        name: "somebody comes and switches the light on",
        noise: 8.0,
        moving: &[(20, 60)],
        paint: |c, _, t| {
            walker(c, t, 20, 60, 30);
            if t < 32 {
                c.light(0, W, 0.45);
            }
        },
    },
    Scene {
        name: "somebody right before the camera",
        noise: 6.0,
        moving: &[(30, 36)],
        paint: |c, _, t| {
            if (30..=36).contains(&t) {
                c.thing((t - 30) as i32 * 45, 30, 320, H as i32, 70);
            }
        },
    },
];

fn found(scene: &Scene, seed: u64) -> Vec<(i64, i64)> {
    let base = yard(seed);
    let mut chance = Chance::new(seed + 77);
    let mut detector = Detector::new(Settings::default());
    let mut spans = Spans::new(SpanRules {
        min_duration_ns: 0,
        cool_down_ns: 10 * NS_PER_S,
    });
    let mut out = Vec::new();
    let mut began = 0;
    let second = |t: Timestamp| t.as_ns() / NS_PER_S;
    for t in 0..LENGTH {
        let mut canvas = Canvas::of(&base);
        (scene.paint)(&mut canvas, &mut chance, t);
        let look = detector.look(&canvas.shot(&mut chance, scene.noise), t * NS_PER_S);
        if std::env::var_os("NVR_SHOW_SCORES").is_some() {
            println!(
                "{} {t} {:.2} {:?} {:?}",
                scene.name, look.score, look.scene, look.place
            );
        }
        for change in spans.look(Timestamp::from_ns(t * NS_PER_S), look.score) {
            match change {
                SpanChange::Began { at, .. } => began = second(at),
                SpanChange::Ended { at } => out.push((began, second(at))),
                SpanChange::Grew { .. } => {}
            }
        }
    }
    if let Some(SpanChange::Ended { at }) = spans.end() {
        out.push((began, second(at)));
    }
    out
}

fn meet(a: &(i64, i64), b: &(i64, i64)) -> bool {
    a.0 <= b.1 + NEAR && b.0 <= a.1 + NEAR
}

/// How much of what moved is in what was found, and the other way round, in seconds.
fn cover(of: &[(i64, i64)], by: &[(i64, i64)]) -> i64 {
    let seconds = of.iter().flat_map(|(from, to)| *from..=*to);
    seconds
        .filter(|s| by.iter().any(|(from, to)| (*from..=*to).contains(s)))
        .count() as i64
}

#[test]
fn generated_scenes_are_judged() {
    let (mut right, mut wrong, mut missed) = (0, 0, 0);
    let (mut seconds, mut covered) = (0, 0);
    println!(
        "{:42} {:>6} {:>6} {:>6} {:>6}",
        "scene", "moved", "found", "wrong", "missed"
    );
    for scene in SCENES {
        for seed in [3, 11] {
            let found = found(scene, seed);
            let bad = found
                .iter()
                .filter(|f| !scene.moving.iter().any(|m| meet(f, m)))
                .count();
            let lost = scene
                .moving
                .iter()
                .filter(|m| !found.iter().any(|f| meet(f, m)))
                .count();
            println!(
                "{:42} {:>6} {:>6} {bad:>6} {lost:>6}   {found:?}",
                scene.name,
                scene.moving.len(),
                found.len()
            );
            wrong += bad;
            missed += lost;
            right += scene.moving.len() - lost;
            seconds += scene.moving.iter().map(|(from, to)| to - from + 1).sum::<i64>();
            covered += cover(scene.moving, &found);
        }
    }
    let precision = right as f64 / (right + wrong).max(1) as f64;
    let recall = right as f64 / (right + missed).max(1) as f64;
    let within = covered as f64 / seconds.max(1) as f64;
    println!("precision {precision:.3}, recall {recall:.3}, seconds of motion covered {within:.3}");
    assert!(precision >= 0.95, "precision {precision:.3}");
    assert!(recall >= 0.95, "recall {recall:.3}");
    assert!(
        within >= 0.9,
        "only {within:.3} of the seconds in which something moved are covered"
    );
}

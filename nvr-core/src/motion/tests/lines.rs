//! Lines that are crossed: by points that are followed, and by what the detector sees in generated scenes.

use proptest::prelude::*;

use super::render::{Canvas, Chance, W, yard};
use crate::line::{Direction, Line, LineDirection};
use crate::motion::{Crossing, Detector, Scene as Whole, Settings, Tracker};
use crate::time::{NS_PER_S, Timestamp};
use crate::zone::Area;

type Point = (f32, f32);

fn area((x, y, width, height): (f32, f32, f32, f32)) -> Area {
    Area { x, y, width, height }
}

fn thing((x, y): Point) -> Area {
    let (w, h) = (0.04, 0.1);
    area((x - w / 2.0, y - h / 2.0, w, h))
}

fn line(from: Point, to: Point) -> Line {
    Line::new("gate", from, to, LineDirection::Any).unwrap()
}

/// What is crossed by one thing that is at these places, `every_ns` apart.
fn walk(lines: &[Line], places: &[Point], every_ns: i64) -> Vec<Crossing> {
    let mut tracker = Tracker::new(lines.to_vec());
    let looks = places.iter().enumerate();
    looks
        .flat_map(|(n, place)| tracker.look(Timestamp::from_ns(n as i64 * every_ns), &[thing(*place)]))
        .collect()
}

/// A straight way in steps.
fn way(from: Point, to: Point, steps: usize) -> Vec<Point> {
    let share = |n: usize| n as f32 / steps.max(1) as f32;
    (0..=steps)
        .map(|n| {
            let s = share(n);
            (from.0 + (to.0 - from.0) * s, from.1 + (to.1 - from.1) * s)
        })
        .collect()
}

fn directions(crossings: &[Crossing]) -> Vec<Direction> {
    crossings.iter().map(|c| c.direction).collect()
}

#[test]
fn there_and_back_is_two_crossings() {
    let down = line((0.1, 0.5), (0.9, 0.5));
    let mut places = way((0.5, 0.2), (0.5, 0.8), 6);
    places.extend(way((0.5, 0.8), (0.5, 0.2), 6));
    let crossings = walk(std::slice::from_ref(&down), &places, NS_PER_S);
    assert_eq!(
        directions(&crossings),
        [Direction::LeftToRight, Direction::RightToLeft]
    );
    assert!(crossings[0].from < crossings[0].to);
    let one_way = Line {
        direction: LineDirection::RightToLeft,
        ..down
    };
    assert_eq!(
        directions(&walk(&[one_way], &places, NS_PER_S)),
        [Direction::RightToLeft]
    );
}

#[test]
fn who_lingers_on_a_line_crosses_it_once() {
    let gate = line((0.5, 0.0), (0.5, 1.0));
    let mut places = way((0.2, 0.5), (0.5, 0.5), 8);
    for n in 0..40 {
        let by = if n % 2 == 0 { 0.01 } else { -0.01 };
        places.push((0.5 + by, 0.5));
    }
    places.extend(way((0.5, 0.5), (0.8, 0.5), 8));
    assert_eq!(walk(&[gate], &places, NS_PER_S / 5).len(), 1);
}

#[test]
fn round_its_end_is_not_across() {
    let short = line((0.4, 0.5), (0.6, 0.5));
    let mut places = way((0.5, 0.3), (0.8, 0.3), 6);
    places.extend(way((0.8, 0.3), (0.8, 0.7), 6));
    places.extend(way((0.8, 0.7), (0.5, 0.7), 6));
    assert_eq!(walk(&[short], &places, NS_PER_S), []);
}

#[test]
fn two_that_meet_each_other_are_two() {
    let gate = line((0.5, 0.0), (0.5, 1.0));
    let mut tracker = Tracker::new(vec![gate]);
    let mut crossings = Vec::new();
    for n in 0..=10 {
        let x = 0.1 + 0.08 * n as f32;
        let things = [thing((x, 0.4)), thing((1.0 - x, 0.7))];
        crossings.extend(tracker.look(Timestamp::from_secs(n), &things));
    }
    let mut found = directions(&crossings);
    found.sort();
    assert_eq!(found, [Direction::LeftToRight, Direction::RightToLeft]);
}

#[test]
fn another_one_much_later_is_another() {
    let gate = line((0.5, 0.0), (0.5, 1.0));
    let mut tracker = Tracker::new(vec![gate]);
    for n in 0..5 {
        tracker.look(Timestamp::from_secs(n), &[thing((0.3, 0.5))]);
    }
    for n in 5..20 {
        tracker.look(Timestamp::from_secs(n), &[]);
    }
    assert_eq!(tracker.followed(), 0);
    assert_eq!(tracker.look(Timestamp::from_secs(20), &[thing((0.6, 0.5))]), []);
    // Nor is one of quite another size at once.
    let large = area((0.1, 0.1, 0.6, 0.8));
    assert_eq!(tracker.look(Timestamp::from_secs(21), &[large]), []);
    assert_eq!(tracker.followed(), 2);
}

#[test]
fn other_lines_begin_anew() {
    let mut tracker = Tracker::new(vec![line((0.5, 0.0), (0.5, 1.0))]);
    tracker.look(Timestamp::from_secs(0), &[thing((0.3, 0.5))]);
    tracker.set(vec![line((0.6, 0.0), (0.6, 1.0)), line((0.4, 0.0), (0.4, 1.0))]);
    assert_eq!(
        tracker.look(Timestamp::from_secs(1), &[thing((0.5, 0.5))]),
        [],
        "it was nowhere beside these lines"
    );
    assert_eq!(
        tracker.look(Timestamp::from_secs(2), &[thing((0.7, 0.5))]).len(),
        1
    );
}

#[test]
fn along_the_edge_of_the_picture_is_a_crossing_both_ways() {
    let gate = line((0.5, 0.0), (0.5, 1.0));
    for y in [0.0, 1.0] {
        let mut places = way((0.4, y), (0.6, y), 4);
        places.extend(way((0.6, y), (0.4, y), 4));
        let crossings = walk(std::slice::from_ref(&gate), &places, NS_PER_S / 5);
        assert_eq!(
            directions(&crossings),
            [Direction::RightToLeft, Direction::LeftToRight],
            "at {y}"
        );
    }
}

proptest! {
    /// Straight across, at whatever distance of looks a walker is seen: once, and the other way round backwards.
    #[test]
    fn straight_across_is_one_crossing(
        y in (0.1f32..0.9, 0.1f32..0.9), at in (0.3f32..0.7, 0.3f32..0.7),
        every_ms in 180i64..2500, reversed in any::<bool>(),
    ) {
        let gate = line((at.0, 0.0), (at.1, 1.0));
        // A tenth of the picture a second.
        let (from, to) = ((0.05, y.0), (0.95, y.1));
        let mut places = way(from, to, (9000 / every_ms) as usize);
        if reversed {
            places.reverse();
        }
        let crossings = walk(std::slice::from_ref(&gate), &places, every_ms * 1_000_000);
        // Who sets out at the left of the picture is to the right of a line that goes down.
        let want = if reversed { Direction::LeftToRight } else { Direction::RightToLeft };
        prop_assert_eq!(directions(&crossings), [want]);
        let turned = Line { from: gate.to, to: gate.from, ..gate };
        let crossings = walk(&[turned], &places, every_ms * 1_000_000);
        prop_assert_eq!(directions(&crossings), [want.back()]);
    }

    /// Who stays on one side crosses nothing, whatever they do.
    #[test]
    fn one_side_is_no_crossing(
        places in prop::collection::vec((0.0f32..0.49, 0.0f32..1.0), 0..60), every_ms in 100i64..3000,
    ) {
        prop_assert_eq!(walk(&[line((0.5, 0.0), (0.5, 1.0))], &places, every_ms * 1_000_000), []);
    }

    /// Crossings of a line from edge to edge by one thing come in turns.
    #[test]
    fn there_is_no_coming_without_going(
        steps in prop::collection::vec((-0.04f32..0.04, -0.04f32..0.04), 0..120),
    ) {
        let mut at = (0.5f32, 0.5f32);
        let places: Vec<Point> = steps
            .into_iter()
            .map(|(dx, dy)| {
                at = ((at.0 + dx).clamp(0.0, 1.0), (at.1 + dy).clamp(0.0, 1.0));
                at
            })
            .collect();
        let crossings = walk(&[line((0.5, 0.0), (0.5, 1.0))], &places, NS_PER_S / 5);
        prop_assert!(crossings.windows(2).all(|w| w[0].direction != w[1].direction));
        prop_assert!(crossings.iter().all(|c| c.from <= c.to));
    }

    /// Anything at all is borne.
    #[test]
    fn any_things_are_borne(
        looks in prop::collection::vec(
            (0i64..4000, prop::collection::vec((0.0f32..1.0, 0.0f32..1.0, 0.0f32..0.5, 0.0f32..0.5), 0..40)), 0..30),
    ) {
        let mut tracker = Tracker::new(vec![line((0.2, 0.1), (0.7, 0.9)), line((0.0, 0.5), (1.0, 0.5))]);
        let mut ms = 0;
        for (later, places) in looks {
            ms += later;
            let things: Vec<Area> = places.into_iter().map(area).collect();
            tracker.look(Timestamp::from_ns(ms * 1_000_000), &things);
            prop_assert!(tracker.followed() <= 32);
        }
    }
}

/// Paints the picture at a time in seconds.
type Paint = fn(&mut Canvas, &mut Chance, t: f32);

struct Scene {
    name: &'static str,
    /// Crossings to the right of the picture, and to its left.
    crossed: (usize, usize),
    paint: Paint,
}

fn person(canvas: &mut Canvas, x: f32, y: i32, v: u8) {
    canvas.thing(x as i32, y, 18, 46, v);
}

/// The line is upright, at 300 of 640, from the middle of the picture to its lower edge.
const SCENES: &[Scene] = &[
    Scene {
        name: "nothing",
        crossed: (0, 0),
        paint: |_, _, _| {},
    },
    Scene {
        name: "somebody walks across",
        crossed: (1, 0),
        paint: |c, _, t| person(c, 60.0 + (t - 10.0) * 18.0, 230, 35),
    },
    Scene {
        name: "and back",
        crossed: (1, 1),
        paint: |c, _, t| {
            let way = (t - 10.0) * 30.0;
            let x = if way < 400.0 { way } else { 800.0 - way };
            person(c, 80.0 + x, 230, 35);
        },
    },
    Scene {
        name: "somebody turns before it",
        crossed: (0, 0),
        paint: |c, _, t| {
            let way = (t - 10.0) * 16.0;
            let x = if way < 180.0 { way } else { 360.0 - way };
            person(c, 60.0 + x, 230, 35);
        },
    },
    Scene {
        name: "beyond its end",
        crossed: (0, 0),
        paint: |c, _, t| person(c, 60.0 + (t - 10.0) * 18.0, 90, 230),
    },
    Scene {
        name: "two from both sides",
        crossed: (1, 1),
        paint: |c, _, t| {
            person(c, 60.0 + (t - 10.0) * 18.0, 195, 35);
            person(c, 560.0 - (t - 10.0) * 18.0, 290, 230);
        },
    },
    Scene {
        name: "two one after the other",
        crossed: (2, 0),
        paint: |c, _, t| {
            person(c, 60.0 + (t - 10.0) * 18.0, 230, 35);
            person(c, -20.0 + (t - 10.0) * 18.0, 240, 230);
        },
    },
    Scene {
        name: "a runner",
        crossed: (1, 0),
        paint: |c, _, t| person(c, -20.0 + (t - 15.0) * 110.0, 230, 35),
    },
    Scene {
        name: "a car",
        crossed: (0, 1),
        paint: |c, _, t| c.thing(640 - ((t - 15.0) * 200.0) as i32, 230, 130, 55, 210),
    },
    Scene {
        name: "somebody stops on it",
        crossed: (1, 0),
        paint: |c, _, t| {
            let x = match t {
                t if t < 22.0 => (t - 10.0) * 19.0,
                t if t < 25.0 => 228.0,
                t => 228.0 + (t - 25.0) * 19.0,
            };
            person(c, 60.0 + x, 230, 35);
        },
    },
    Scene {
        name: "across in the rain",
        crossed: (1, 0),
        paint: |c, chance, t| {
            person(c, 60.0 + (t - 10.0) * 18.0, 230, 35);
            c.marks(chance, 350, 1, 13, 70);
        },
    },
    Scene {
        name: "rain",
        crossed: (0, 0),
        paint: |c, chance, _| c.marks(chance, 350, 1, 13, 70),
    },
    Scene {
        name: "light switched",
        crossed: (0, 0),
        paint: |c, _, t| {
            if (15.0..28.0).contains(&t) {
                c.light(0, W, 0.35);
            }
        },
    },
    Scene {
        name: "a hedge in the wind",
        crossed: (0, 0),
        paint: |c, chance, _| c.sway(220, 190, 140, 120, (chance.swing() * 4.0) as i32),
    },
];

/// Seconds of a scene that are looked at; in the first three the place is learnt.
const BEGIN: i64 = 7;
const END: i64 = 31;

/// Crossings to the right and to the left of the picture, looked at so often a second.
fn crossed(scene: &Scene, seed: u64, per_second: i64) -> (usize, usize) {
    let base = yard(seed);
    let mut chance = Chance::new(seed + 5);
    let mut detector = Detector::new(Settings {
        things: true,
        ..Settings::default()
    });
    // From the lower edge up: what goes to the right of the picture goes from left to right.
    let mut tracker = Tracker::new(vec![line((0.47, 1.0), (0.47, 0.45))]);
    let mut out = (0, 0);
    for n in BEGIN * per_second..END * per_second {
        let at_ns = n * NS_PER_S / per_second;
        let mut canvas = Canvas::of(&base);
        let t = at_ns as f32 / NS_PER_S as f32;
        if t >= 10.0 || scene.crossed == (0, 0) {
            (scene.paint)(&mut canvas, &mut chance, t);
        }
        let look = detector.look(&canvas.shot(&mut chance, 6.0), at_ns);
        if matches!(look.scene, Whole::Learning | Whole::Light) {
            tracker.forget();
            continue;
        }
        for crossing in tracker.look(Timestamp::from_ns(at_ns), &look.things) {
            match crossing.direction {
                Direction::LeftToRight => out.0 += 1,
                Direction::RightToLeft => out.1 += 1,
            }
        }
    }
    out
}

/// Prints what was found, and how much of it is right.
fn judge(per_second: i64, seeds: &[u64]) {
    let (mut right, mut wrong, mut missed) = (0, 0, 0);
    for scene in SCENES {
        for seed in seeds {
            let found = crossed(scene, *seed, per_second);
            for (want, have) in [(scene.crossed.0, found.0), (scene.crossed.1, found.1)] {
                right += want.min(have);
                missed += want.saturating_sub(have);
                wrong += have.saturating_sub(want);
            }
            println!("{:26} crossed {:?}, found {found:?}", scene.name, scene.crossed);
        }
    }
    let precision = right as f64 / (right + wrong).max(1) as f64;
    let recall = right as f64 / (right + missed).max(1) as f64;
    println!("{per_second} a second: precision {precision:.3}, recall {recall:.3}");
    assert!(
        precision >= 0.9,
        "{per_second} a second: precision {precision:.3}"
    );
    assert!(recall >= 0.9, "{per_second} a second: recall {recall:.3}");
}

#[test]
fn lines_in_generated_scenes_once_a_second() {
    judge(1, &[3, 11]);
}

#[test]
fn lines_in_generated_scenes_four_times_a_second() {
    judge(4, &[3]);
}

//! Covers against the definition: every pixel that a polygon touches, and hardly one more.

use proptest::prelude::*;

use super::*;

fn polygons() -> impl Strategy<Value = Vec<Polygon>> {
    let corner = (0.0f32..=1.0, 0.0f32..=1.0);
    let polygon = prop::collection::vec(corner, 3..9).prop_map(|c| Polygon::new(c).unwrap());
    prop::collection::vec(polygon, 1..4)
}

/// How far a point is from a polygon's edges, pixels.
fn distance(area: &Polygon, (w, h): (f64, f64), (x, y): (f64, f64)) -> f64 {
    let corners = area.corners();
    let at = |n: usize| {
        let (x, y) = corners[n % corners.len()];
        (f64::from(x) * w, f64::from(y) * h)
    };
    (0..corners.len())
        .map(|n| {
            let ((ax, ay), (bx, by)) = (at(n), at(n + 1));
            let (dx, dy) = (bx - ax, by - ay);
            let length = dx * dx + dy * dy;
            let t = if length > 0.0 {
                (((x - ax) * dx + (y - ay) * dy) / length).clamp(0.0, 1.0)
            } else {
                0.0
            };
            (x - ax - t * dx).hypot(y - ay - t * dy)
        })
        .fold(f64::INFINITY, f64::min)
}

proptest! {
    #[test]
    fn what_is_inside_is_covered_and_what_is_far_is_not(
        areas in polygons(),
        (w, h) in (1u32..70, 1u32..70),
        picks in prop::collection::vec((0.0f32..1.0, 0.0f32..1.0), 60),
    ) {
        let cover = Cover::new(&areas, (w, h));
        for (x, y) in picks {
            let (px, py) = (x * w as f32, y * h as f32);
            let pixel = ((px as u32).min(w - 1), (py as u32).min(h - 1));
            let covered = cover.contains(pixel.0, pixel.1);
            if areas.iter().any(|a| a.contains(x, y)) {
                prop_assert!(covered, "{pixel:?} is inside");
            }
            // The cell's diagonal, and what rounding does.
            let middle = (f64::from(pixel.0) + 0.5, f64::from(pixel.1) + 0.5);
            let size = (f64::from(w), f64::from(h));
            let far = areas.iter().all(|a| {
                distance(a, size, middle) > 3.0
                    && !a.contains((middle.0 / size.0) as f32, (middle.1 / size.1) as f32)
            });
            prop_assert!(!(covered && far), "{pixel:?} is far away");
        }
    }

    #[test]
    fn spans_say_what_contains_says_in_every_format(areas in polygons(), (w, h) in (1u32..60, 1u32..60)) {
        let cover = Cover::new(&areas, (w, h));
        for shift in [(0, 0), (1, 0), (1, 1)] {
            let (cw, ch) = (w.div_ceil(1 << shift.0) as usize, h.div_ceil(1 << shift.1) as usize);
            let mut found = vec![false; cw * ch];
            for (y, span) in cover.spans(shift) {
                prop_assert!(y < ch && span.end <= cw && !span.is_empty());
                for x in span {
                    prop_assert!(!found[y * cw + x], "twice");
                    found[y * cw + x] = true;
                }
            }
            for y in 0..ch {
                for x in 0..cw {
                    // All pixels of a chroma sample are covered, or none.
                    let of_it: Vec<bool> = (0..1u32 << shift.1)
                        .flat_map(|dy| (0..1u32 << shift.0).map(move |dx| (dx, dy)))
                        .map(|(dx, dy)| (((x as u32) << shift.0) + dx, ((y as u32) << shift.1) + dy))
                        .filter(|(x, y)| *x < w && *y < h)
                        .map(|(x, y)| cover.contains(x, y))
                        .collect();
                    prop_assert!(of_it.iter().all(|c| *c == found[y * cw + x]));
                }
            }
        }
    }

    #[test]
    fn only_what_is_covered_changes(
        areas in polygons(),
        (w, h) in (1u32..50, 1u32..50),
        (pad, step, offset) in (0usize..9, 1usize..3, 0usize..2),
        seed in any::<u8>(),
        pixelate in any::<bool>(),
    ) {
        let cover = Cover::new(&areas, (w, h));
        for shift in [(0, 0), (1, 1)] {
            let (cw, ch) = (w.div_ceil(1 << shift.0) as usize, h.div_ceil(1 << shift.1) as usize);
            let offset = offset.min(step - 1);
            let stride = cw * step + pad;
            let before: Vec<u8> = (0..stride * ch).map(|n| (n as u8).wrapping_mul(37).wrapping_add(seed)).collect();
            let mut after = before.clone();
            let mut samples = Samples { data: &mut after, stride, step, offset, shift };
            if pixelate { cover.pixelate(&mut samples) } else { cover.fill(&mut samples, 7) }
            let mut covered = vec![false; before.len()];
            for (y, span) in cover.spans(shift) {
                for x in span {
                    covered[y * stride + offset + x * step] = true;
                }
            }
            for (n, c) in covered.iter().enumerate() {
                if !c { prop_assert_eq!(before[n], after[n]) }
                if *c && !pixelate { prop_assert_eq!(after[n], 7) }
            }
            let same = cover.difference((&after, stride), (&after, stride), (step, offset), shift);
            prop_assert_eq!((same.sum, same.far), (0, 0));
            prop_assert_eq!(same.samples as usize, covered.iter().filter(|c| **c).count());
        }
    }

    #[test]
    fn blocks_hold_what_is_covered(areas in polygons(), (w, h) in (8u32..60, 8u32..60)) {
        let cover = Cover::new(&areas, (w, h));
        let blocks = cover.blocks(4);
        let columns = (w / 4) as usize;
        for (n, block) in blocks.iter().enumerate() {
            let (x, y) = ((n % columns * 4) as u32, (n / columns * 4) as u32);
            let any = (0..16).any(|i| cover.contains(x + i % 4, y + i / 4));
            prop_assert_eq!(*block, any);
        }
    }
}

#[test]
fn a_rectangle_is_covered_exactly() {
    let area = Polygon::new(vec![(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]).unwrap();
    let cover = Cover::new([&area], (64, 32));
    assert!(cover.contains(16, 8) && cover.contains(47, 23));
    // Edges on the border of cells belong to both.
    assert!(cover.contains(49, 24) && cover.contains(15, 7) == cover.contains(14, 6));
    assert!(
        !cover.contains(12, 8) && !cover.contains(16, 4) && !cover.contains(50, 8) && !cover.contains(16, 26)
    );
    assert!(!cover.is_empty() && !cover.contains(64, 8));
    assert!(Cover::new([], (64, 32)).is_empty());
}

#[test]
fn blocks_of_the_mean_are_of_what_is_covered_only() {
    // The left half is covered; the right is bright and must not shine in.
    let area = Polygon::new(vec![(0.0, 0.0), (0.49, 0.0), (0.49, 1.0), (0.0, 1.0)]).unwrap();
    let (w, h) = (64usize, 32usize);
    let cover = Cover::new([&area], (w as u32, h as u32));
    let mut data: Vec<u8> = (0..w * h)
        .map(|n| match n % w {
            x if x >= 32 => 255,
            x if x % 2 == 0 => 10,
            _ => 30,
        })
        .collect();
    cover.pixelate(&mut Samples {
        data: &mut data,
        stride: w,
        step: 1,
        offset: 0,
        shift: (0, 0),
    });
    for y in 0..h {
        assert!(data[y * w..y * w + 32].iter().all(|v| *v == 20));
        assert!(data[y * w + 32..(y + 1) * w].iter().all(|v| *v == 255));
    }
}

#[test]
fn what_is_not_covered_is_found() {
    let area = Polygon::new(vec![(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]).unwrap();
    let cover = Cover::new([&area], (16, 16));
    let (black, grey) = (vec![16u8; 256], vec![120u8; 256]);
    let found = cover.difference((&black, 16), (&grey, 16), (1, 0), (0, 0));
    assert!(found.mean() > 100.0 && found.far_share() == 1.0);
    let short = cover.difference((&black, 16), (&black[..100], 16), (1, 0), (0, 0));
    assert!(short.far_share() > 0.5);
}

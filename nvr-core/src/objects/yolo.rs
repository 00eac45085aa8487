//! What networks of the YOLO family are given, and what they answer. Pure.
//!
//! Input: `[1, 3, height, width]`, red, green and blue planes from 0 to 1, the picture scaled to fit in the middle of a grey
//! field ("letterbox"). Output, all in pixels of the input:
//!
//! | network | shape | a row or column |
//! |---|---|---|
//! | YOLOv5, v7 | `[1, boxes, 5 + classes]` | centre x, y, width, height, objectness, classes |
//! | YOLOv8, v9, 11 | `[1, 4 + classes, boxes]` | centre x, y, width, height, classes |
//! | YOLOv10, 26 (end to end) | `[1, boxes, 6]` | left, top, right, bottom, score, class |
//!
//! Source: the export formats in the documentation of Ultralytics, and of the THU-MIG's YOLOv10.

use super::{Area, Object, OutputLayout, RgbPicture};
use crate::error::{Error, ErrorKind, Result};

/// Grey of the field around the picture, as in training.
const GREY: f32 = 114.0 / 255.0;
/// Boxes of one class that overlap more than this are the same thing.
const SAME: f32 = 0.45;
/// Most that an end-to-end network answers; others give thousands.
const MOST_END_TO_END: usize = 1000;
/// Most candidates looked at in one picture, the surest first: a network gone wild costs no more.
const MOST_CANDIDATES: usize = 1000;

/// How a picture lies in the network's input.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Letterbox {
    scale: f32,
    left: f32,
    top: f32,
    picture: (f32, f32),
}

impl Letterbox {
    pub(super) fn new(picture: (u32, u32), input: (usize, usize)) -> Self {
        let (width, height) = (picture.0.max(1) as f32, picture.1.max(1) as f32);
        let (in_width, in_height) = (input.0 as f32, input.1 as f32);
        let scale = (in_width / width).min(in_height / height);
        Self {
            scale,
            left: (in_width - width * scale) / 2.0,
            top: (in_height - height * scale) / 2.0,
            picture: (width, height),
        }
    }

    /// Writes the three planes of `width` by `height` values each.
    pub(super) fn fill(&self, picture: &RgbPicture<'_>, (width, height): (usize, usize), planes: &mut [f32]) {
        let plane = width * height;
        planes.fill(GREY);
        let columns: Vec<Option<Step>> = (0..width)
            .map(|x| Step::at((x as f32 + 0.5 - self.left) / self.scale, picture.width as usize))
            .collect();
        for y in 0..height {
            let Some(row) = Step::at((y as f32 + 0.5 - self.top) / self.scale, picture.height as usize)
            else {
                continue;
            };
            let (above, below) = (row.before * picture.stride, row.after * picture.stride);
            for (x, column) in columns.iter().enumerate() {
                let Some(column) = column else { continue };
                for channel in 0..3 {
                    let at = |row: usize, column: usize| f32::from(picture.bytes[row + column * 3 + channel]);
                    let mix = |row| column.mix(at(row, column.before), at(row, column.after));
                    planes[channel * plane + y * width + x] = row.mix(mix(above), mix(below)) / 255.0;
                }
            }
        }
    }

    /// A rectangle of the input as one of the picture; none if nothing of it is within.
    fn back(&self, left: f32, top: f32, right: f32, bottom: f32) -> Option<Area> {
        let x = |v: f32| (((v - self.left) / self.scale) / self.picture.0).clamp(0.0, 1.0);
        let y = |v: f32| (((v - self.top) / self.scale) / self.picture.1).clamp(0.0, 1.0);
        let (x0, x1, y0, y1) = (x(left), x(right), y(top), y(bottom));
        // Also false for what is not a number.
        (x1 > x0 && y1 > y0).then_some(Area {
            x: x0,
            y: y0,
            width: x1 - x0,
            height: y1 - y0,
        })
    }
}

/// Between which two pixels a point lies, and how near to the second.
struct Step {
    before: usize,
    after: usize,
    part: f32,
}

impl Step {
    /// Of `size` pixels, whose middles lie at 0.5, 1.5 …
    fn at(position: f32, size: usize) -> Option<Self> {
        if position < 0.0 || position >= size as f32 {
            return None;
        }
        let from = (position - 0.5).max(0.0);
        let before = (from as usize).min(size - 1);
        Some(Self {
            before,
            after: (before + 1).min(size - 1),
            part: from - before as f32,
        })
    }

    fn mix(&self, before: f32, after: f32) -> f32 {
        before + (after - before) * self.part
    }
}

/// One box before names are given.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Candidate {
    class: usize,
    score: f32,
    area: Area,
}

/// What the network found, the surest first.
///
/// # Errors
/// `Unsupported` when the answer has no shape of a YOLO network, or more or fewer classes than there are names.
pub(super) fn objects(
    layout: OutputLayout,
    shape: &[usize],
    values: &[f32],
    labels: &[String],
    letterbox: &Letterbox,
    min_score: f32,
) -> Result<Vec<Object>> {
    let (layout, outer, inner) = layout_of(layout, shape)?;
    if values.len() != outer * inner {
        return Err(unsupported(&format!(
            "an answer of {} values for its shape {shape:?}",
            values.len()
        )));
    }
    let classes = match layout {
        OutputLayout::Yolov8 => outer - 4,
        OutputLayout::EndToEnd => labels.len(),
        _ => inner - 5,
    };
    if !labels.is_empty() && classes != labels.len() {
        return Err(unsupported(&format!(
            "a network of {classes} classes, and {} names for them",
            labels.len()
        )));
    }
    let mut found = Vec::new();
    let mut add = |class: usize, score: f32, area: Option<Area>| {
        if score >= min_score
            && let Some(area) = area
        {
            let score = score.min(1.0);
            found.push(Candidate { class, score, area });
        }
    };
    match layout {
        OutputLayout::Yolov8 => {
            for n in 0..inner {
                let at = |row: usize| values[row * inner + n];
                let (class, score) = best((0..classes).map(|c| at(4 + c)));
                add(class, score, centred(letterbox, at(0), at(1), at(2), at(3)));
            }
        }
        OutputLayout::EndToEnd => {
            for row in values.chunks_exact(inner) {
                let class = row[5];
                // Rows without anything are zeros or below.
                if (0.0..65_536.0).contains(&class) {
                    add(
                        class as usize,
                        row[4],
                        letterbox.back(row[0], row[1], row[2], row[3]),
                    );
                }
            }
        }
        _ => {
            for row in values.chunks_exact(inner) {
                let (class, score) = best(row[5..].iter().copied());
                add(
                    class,
                    score * row[4],
                    centred(letterbox, row[0], row[1], row[2], row[3]),
                );
            }
        }
    }
    Ok(named(without_doubles(found), labels))
}

fn layout_of(wanted: OutputLayout, shape: &[usize]) -> Result<(OutputLayout, usize, usize)> {
    let &[1, outer, inner] = shape else {
        return Err(unsupported(&format!(
            "an answer of shape {shape:?}, not [1, …, …]"
        )));
    };
    let layout = match wanted {
        OutputLayout::Auto if inner == 6 && outer <= MOST_END_TO_END => OutputLayout::EndToEnd,
        OutputLayout::Auto if outer < inner => OutputLayout::Yolov8,
        OutputLayout::Auto => OutputLayout::Yolov5,
        other => other,
    };
    let fits = match layout {
        OutputLayout::Yolov8 => outer > 4,
        OutputLayout::EndToEnd => inner == 6,
        _ => inner > 5,
    };
    if !fits {
        return Err(unsupported(&format!(
            "an answer of shape {shape:?}, which is not that of {layout:?}"
        )));
    }
    Ok((layout, outer, inner))
}

fn centred(letterbox: &Letterbox, x: f32, y: f32, width: f32, height: f32) -> Option<Area> {
    let (w, h) = (width / 2.0, height / 2.0);
    letterbox.back(x - w, y - h, x + w, y + h)
}

/// The class with the highest score.
fn best(scores: impl Iterator<Item = f32>) -> (usize, f32) {
    scores.enumerate().fold(
        (0, 0.0),
        |best, (class, score)| {
            if score > best.1 { (class, score) } else { best }
        },
    )
}

/// Of boxes of one class that overlap much, the surest (greedy non-maximum suppression).
fn without_doubles(mut found: Vec<Candidate>) -> Vec<Candidate> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(MOST_CANDIDATES);
    let mut kept: Vec<Candidate> = Vec::new();
    for one in found {
        let double = |k: &Candidate| k.class == one.class && k.area.overlap(&one.area) > SAME;
        if !kept.iter().any(double) {
            kept.push(one);
        }
    }
    kept
}

fn named(found: Vec<Candidate>, labels: &[String]) -> Vec<Object> {
    found
        .into_iter()
        .map(|one| Object {
            label: labels
                .get(one.class)
                .cloned()
                .unwrap_or_else(|| format!("class {}", one.class)),
            score: one.score,
            area: one.area,
        })
        .collect()
}

fn unsupported(what: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("the model of objects gave {what}"),
    )
    .with_hint("models of the YOLO family in the ONNX format are understood; see docs/objects.md")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("thing {n}")).collect()
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-3
    }

    /// As many boxes as networks of the older kinds answer at least.
    const BOXES: usize = 1200;

    /// The same things, as each kind of network says them, in a 640 by 640 input of a 1280 by 720 picture.
    #[test]
    fn every_layout_says_the_same() {
        let letterbox = Letterbox::new((1280, 720), (640, 640));
        // Half as large, 140 rows of grey above and below: from (100, 50) to (300, 350) of the picture.
        let (cx, cy, w, h) = (100.0, 140.0 + 100.0, 100.0, 150.0);
        let boxes = [
            (cx, cy, w, h, 1, 0.9_f32),
            // The same thing, less sure.
            (cx + 2.0, cy, w, h, 1, 0.8),
            (400.0, 300.0, 40.0, 40.0, 0, 0.6),
            // Not sure enough.
            (10.0, 300.0, 40.0, 40.0, 0, 0.2),
        ];
        let (mut v5, mut v8, mut end) = (vec![0.0; BOXES * 7], vec![0.0; 6 * BOXES], vec![0.0; 4 * 6]);
        for (n, (cx, cy, w, h, class, score)) in boxes.into_iter().enumerate() {
            let mut classes = [0.0, 0.0];
            classes[class] = 1.0;
            v5[n * 7..][..7].copy_from_slice(&[cx, cy, w, h, score, classes[0], classes[1]]);
            for (row, value) in [cx, cy, w, h, classes[0] * score, classes[1] * score]
                .into_iter()
                .enumerate()
            {
                v8[row * BOXES + n] = value;
            }
            let (x, y) = (w / 2.0, h / 2.0);
            end[n * 6..][..6].copy_from_slice(&[cx - x, cy - y, cx + x, cy + y, score, class as f32]);
        }
        let ask = |shape: [usize; 3], values: &[f32]| {
            objects(OutputLayout::Auto, &shape, values, &labels(2), &letterbox, 0.5).unwrap()
        };
        for found in [
            ask([1, BOXES, 7], &v5),
            ask([1, 6, BOXES], &v8),
            ask([1, 4, 6], &end),
        ] {
            assert_eq!(found.len(), 2, "{found:?}");
            assert_eq!((&*found[0].label, &*found[1].label), ("thing 1", "thing 0"));
            let area = found[0].area;
            assert!(
                near(found[0].score, 0.9) && near(area.x, 100.0 / 1280.0),
                "{found:?}"
            );
            assert!(
                near(area.y, 50.0 / 720.0) && near(area.width, 200.0 / 1280.0),
                "{found:?}"
            );
            assert!(near(area.height, 300.0 / 720.0), "{found:?}");
        }
    }

    #[test]
    fn what_is_no_such_answer_is_refused() {
        let letterbox = Letterbox::new((64, 64), (64, 64));
        let ask = |layout, shape: &[usize], names: usize| {
            let values = vec![0.0; shape.iter().product()];
            objects(layout, shape, &values, &labels(names), &letterbox, 0.5).map_err(|e| e.kind())
        };
        for (layout, shape, names) in [
            (OutputLayout::Auto, &[1, 1000][..], 0),
            (OutputLayout::Auto, &[2, 84, 8400], 0),
            (OutputLayout::Yolov8, &[1, 4, 8400], 0),
            (OutputLayout::Yolov5, &[1, 8400, 5], 0),
            (OutputLayout::EndToEnd, &[1, 300, 7], 0),
            (OutputLayout::Auto, &[1, 84, 8400], 79),
        ] {
            assert_eq!(
                ask(layout, shape, names),
                Err(ErrorKind::Unsupported),
                "{layout:?} {shape:?}"
            );
        }
        assert_eq!(ask(OutputLayout::Auto, &[1, 84, 8400], 80), Ok(Vec::new()));
        // Names that nobody knows are numbers.
        assert_eq!(ask(OutputLayout::Auto, &[1, 84, 8400], 0), Ok(Vec::new()));
    }

    #[test]
    fn a_picture_lies_in_the_middle_of_grey() {
        // Two by one: red, blue; scaled four times, with grey above and below.
        let bytes = [255, 0, 0, 0, 0, 255];
        let picture = RgbPicture {
            width: 2,
            height: 1,
            stride: 6,
            bytes: &bytes,
        };
        let letterbox = Letterbox::new((2, 1), (8, 8));
        let mut planes = vec![0.0; 3 * 64];
        letterbox.fill(&picture, (8, 8), &mut planes);
        let at = |channel: usize, x: usize, y: usize| planes[channel * 64 + y * 8 + x];
        for x in 0..8 {
            assert!(near(at(0, x, 1), GREY) && near(at(2, x, 6), GREY));
            assert!(near(at(1, x, 3), 0.0), "no green within");
            assert!(near(at(0, x, 3) + at(2, x, 4), 1.0), "red goes over to blue");
        }
        assert!(near(at(0, 0, 2), 1.0) && near(at(0, 7, 5), 0.0) && at(0, 3, 3) > at(0, 4, 3));
    }

    proptest! {
        #[test]
        fn whatever_a_network_answers_is_within_the_picture(
            values in proptest::collection::vec(prop_oneof![
                -1e4_f32..1e4, Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), 0.0_f32..1.0
            ], 7 * 60),
            (width, height) in (1_u32..4000, 1_u32..4000),
            layout in prop_oneof![Just((OutputLayout::Yolov5, 60, 7)), Just((OutputLayout::Yolov8, 7, 60)), Just((OutputLayout::EndToEnd, 70, 6))],
        ) {
            let letterbox = Letterbox::new((width, height), (320, 256));
            let found = objects(layout.0, &[1, layout.1, layout.2], &values, &[], &letterbox, 0.3).unwrap();
            for (n, one) in found.iter().enumerate() {
                let area = one.area;
                prop_assert!(area.x >= 0.0 && area.y >= 0.0 && area.x + area.width <= 1.001 && area.y + area.height <= 1.001);
                prop_assert!(area.width > 0.0 && area.height > 0.0 && (0.3..=1.0).contains(&one.score), "{one:?}");
                for other in &found[..n] {
                    prop_assert!(other.score >= one.score);
                    prop_assert!(other.label != one.label || area.overlap(&other.area) <= SAME);
                }
            }
        }
    }
}

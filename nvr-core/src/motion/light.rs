//! What changes a picture without anything moving in it: exposure, lamps, and a camera that shakes. Pure.

/// Cells along a side of the parts that are compared.
const PART: usize = 5;
/// Deviation of the cells of a part below which it has no structure to be compared.
const FLAT: f32 = 3.0;
/// Correlation from which on a part has the structure that it had.
const ALIKE: f32 = 0.85;
/// Furthest that a camera is thought to shake, in cells.
const SHAKE: isize = 5;

/// What all cells have in common: the median of their differences to the mean.
pub(super) fn common(cells: &[f32], mean: &[f32], active: &[bool]) -> f32 {
    let mut counts = [0u32; 1023];
    let mut all = 0;
    for ((cell, mean), _) in cells.iter().zip(mean).zip(active).filter(|(_, a)| **a) {
        // In halves of a grey level.
        let n = ((cell - mean) * 2.0).round().clamp(-511.0, 511.0) as i32 + 511;
        counts[usize::try_from(n).unwrap_or(0)] += 1;
        all += 1;
    }
    let mut below = 0;
    let middle = counts.iter().position(|n| {
        below += n;
        below * 2 >= all
    });
    middle.map_or(0.0, |n| (n as f32 - 511.0) / 2.0)
}

/// Whether each part of a picture has the structure that it had; `None` where there is none to compare.
#[derive(Debug)]
pub(super) struct Kept {
    parts: Vec<Option<bool>>,
    across: usize,
}

impl Kept {
    /// Share of cells in parts that kept their structure, among those whose parts have some. Without enough of these:
    /// none kept it.
    pub(super) fn share(&self, cells: &[usize], width: usize) -> f32 {
        let (mut kept, mut judged) = (0u32, 0u32);
        for at in cells {
            let part = (at / width / PART) * self.across + at % width / PART;
            if let Some(Some(alike)) = self.parts.get(part) {
                judged += 1;
                kept += u32::from(*alike);
            }
        }
        if (judged as f32) < cells.len() as f32 / 3.0 {
            return 0.0;
        }
        kept as f32 / judged as f32
    }
}

/// Compares the structure of all parts: their correlation with the background does not know brightness and contrast.
pub(super) fn keeps_structure(cells: &[f32], mean: &[f32], width: usize) -> Kept {
    let height = cells.len() / width.max(1);
    let (across, down) = (width.div_ceil(PART), height.div_ceil(PART));
    let mut parts = Vec::with_capacity(across * down);
    for top in (0..height).step_by(PART) {
        for left in (0..width).step_by(PART) {
            let (mut n, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0f32, 0f32, 0f32, 0f32, 0f32, 0f32);
            for y in top..(top + PART).min(height) {
                for x in left..(left + PART).min(width) {
                    let (a, b) = (cells[y * width + x], mean[y * width + x]);
                    n += 1.0;
                    sa += a;
                    sb += b;
                    saa += a * a;
                    sbb += b * b;
                    sab += a * b;
                }
            }
            let spread = |s: f32, ss: f32| (ss / n - (s / n) * (s / n)).max(0.0).sqrt();
            let (da, db) = (spread(sa, saa), spread(sb, sbb));
            parts.push(if db < FLAT {
                // A part that was flat and has structure now has something else in it.
                (da > 2.0 * FLAT).then_some(false)
            } else {
                let with = sab / n - sa / n * (sb / n);
                Some(da > 0.5 && with / (da * db) > ALIKE)
            });
        }
    }
    Kept { parts, across }
}

/// Whether what changed is light: most of it has the structure that it had.
pub(super) fn is_light(kept: &Kept, changed: &[bool], width: usize) -> bool {
    let cells: Vec<usize> = changed
        .iter()
        .enumerate()
        .filter(|(_, c)| **c)
        .map(|(at, _)| at)
        .collect();
    kept.share(&cells, width) > 0.5
}

/// By how many cells to the right and down the picture lies beside the background; `None` when it does not.
pub(super) fn moved(cells: &[f32], mean: &[f32], width: usize) -> Option<(isize, isize)> {
    let height = cells.len() / width.max(1);
    let margin = usize::try_from(SHAKE).unwrap_or(0);
    if width <= 4 * margin || height <= 4 * margin {
        return None;
    }
    let difference = |dx: isize, dy: isize| {
        let mut sum = 0.0;
        for y in (margin..height - margin).step_by(3) {
            for x in (margin..width - margin).step_by(3) {
                let from = y.saturating_add_signed(dy) * width + x.saturating_add_signed(dx);
                // One thing that moves must not outweigh a whole picture.
                sum += (cells[from] - mean[y * width + x]).abs().min(40.0);
            }
        }
        sum
    };
    let unmoved = difference(0, 0);
    let mut best = (unmoved, (0, 0));
    for dy in -SHAKE..=SHAKE {
        for dx in -SHAKE..=SHAKE {
            let now = difference(dx, dy);
            if now < best.0 {
                best = (now, (dx, dy));
            }
        }
    }
    (best.1 != (0, 0) && best.0 < unmoved * 0.7).then_some(best.1)
}

/// The picture moved back; where it shows nothing that was seen before, the background.
pub(super) fn moved_back(cells: &[f32], mean: &[f32], width: usize, by: (isize, isize)) -> Vec<f32> {
    let height = cells.len() / width.max(1);
    let mut back = mean.to_vec();
    for y in 0..height {
        for x in 0..width {
            let (Some(from_x), Some(from_y)) = (x.checked_add_signed(by.0), y.checked_add_signed(by.1))
            else {
                continue;
            };
            if from_x < width && from_y < height {
                back[y * width + x] = cells[from_y * width + from_x];
            }
        }
    }
    back
}

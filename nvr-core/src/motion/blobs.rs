//! Cells that changed, put together to things. Pure.

/// Left, top, right and bottom cell, the last two included.
pub(super) type Bounds = (usize, usize, usize, usize);

/// So many cells between two parts are no gap: somebody whose coat looks like the wall behind is still one.
const GAP: usize = 3;

/// A thing: cells that touch each other.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Blob {
    /// Their numbers.
    pub(super) cells: Vec<usize>,
    /// Where they are.
    pub(super) bounds: Bounds,
}

/// Cells that changed, without those that stand alone: three of the eight around have to be changed as well.
pub(super) fn without_specks(changed: &[bool], width: usize) -> Vec<bool> {
    let height = changed.len() / width.max(1);
    let mut kept = vec![false; changed.len()];
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            if !changed[at] {
                continue;
            }
            let mut near = 0;
            for row in y.saturating_sub(1)..(y + 2).min(height) {
                let row = &changed[row * width..(row + 1) * width];
                let part = &row[x.saturating_sub(1)..(x + 2).min(width)];
                near += part.iter().filter(|c| **c).count();
            }
            kept[at] = near > 3;
        }
    }
    kept
}

/// Puts together what touches, also over corners.
pub(super) fn find(changed: &[bool], width: usize) -> Vec<Blob> {
    let height = changed.len() / width.max(1);
    let mut left = changed.to_vec();
    let mut blobs = Vec::new();
    let mut waiting = Vec::new();
    for start in 0..changed.len() {
        if !left[start] {
            continue;
        }
        left[start] = false;
        waiting.push(start);
        let mut blob = Blob {
            cells: Vec::new(),
            bounds: (width, height, 0, 0),
        };
        while let Some(at) = waiting.pop() {
            let (x, y) = (at % width, at / width);
            let (l, t, r, b) = blob.bounds;
            blob.bounds = (l.min(x), t.min(y), r.max(x), b.max(y));
            blob.cells.push(at);
            for row in y.saturating_sub(1)..(y + 2).min(height) {
                for column in x.saturating_sub(1)..(x + 2).min(width) {
                    let near = row * width + column;
                    if std::mem::take(&mut left[near]) {
                        waiting.push(near);
                    }
                }
            }
        }
        blobs.push(blob);
    }
    blobs
}

/// Bounds of things, those next to each other as one; the largest `most`.
pub(super) fn together(blobs: &[Blob], most: usize) -> Vec<Bounds> {
    let mut out: Vec<Bounds> = blobs.iter().map(|b| b.bounds).collect();
    let near =
        |a: &Bounds, b: &Bounds| a.0 <= b.2 + GAP && b.0 <= a.2 + GAP && a.1 <= b.3 + GAP && b.1 <= a.3 + GAP;
    let mut n = 0;
    while n < out.len() {
        let one = out[n];
        match (n + 1..out.len()).find(|m| near(&one, &out[*m])) {
            Some(m) => {
                let other = out.swap_remove(m);
                out[n] = (
                    one.0.min(other.0),
                    one.1.min(other.1),
                    one.2.max(other.2),
                    one.3.max(other.3),
                );
                // The larger one may be next to one that was passed by.
                n = 0;
            }
            None => n += 1,
        }
    }
    out.sort_by_key(|b| std::cmp::Reverse((b.2 + 1 - b.0) * (b.3 + 1 - b.1)));
    out.truncate(most);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(rows: &[&str]) -> Vec<bool> {
        rows.iter().flat_map(|r| r.bytes().map(|c| c == b'#')).collect()
    }

    #[test]
    fn specks_and_thin_lines_go_and_things_stay() {
        let seen = cells(&[
            "#....#..", ".....#..", "..##.#..", "..##.#..", "..##....", "........",
        ]);
        let kept = without_specks(&seen, 8);
        assert_eq!(
            kept,
            cells(&[
                "........", "........", "..##....", "..##....", "..##....", "........"
            ])
        );
        let found = find(&kept, 8);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].cells.len(), found[0].bounds), (6, (2, 2, 3, 4)));
    }

    #[test]
    fn parts_next_to_each_other_are_one_thing() {
        let part = |bounds| Blob {
            cells: Vec::new(),
            bounds,
        };
        let parts = [
            part((10, 10, 12, 14)),
            part((40, 10, 60, 30)),
            part((10, 20, 12, 24)),
            // Joins the first and the third.
            part((9, 17, 13, 18)),
        ];
        assert_eq!(together(&parts, 9), [(40, 10, 60, 30), (9, 10, 13, 24)]);
        assert_eq!(together(&parts, 1), [(40, 10, 60, 30)]);
    }

    #[test]
    fn what_touches_over_a_corner_is_one() {
        let found = find(&cells(&["##..", "##..", "..##", "#.##"]), 4);
        assert_eq!(found.iter().map(|b| b.cells.len()).collect::<Vec<_>>(), [8, 1]);
    }
}

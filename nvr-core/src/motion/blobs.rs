//! Cells that changed, put together to things. Pure.

/// A thing: cells that touch each other.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Blob {
    /// Their numbers.
    pub(super) cells: Vec<usize>,
    /// Left, top, right and bottom cell, the last two included.
    pub(super) bounds: (usize, usize, usize, usize),
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
    fn what_touches_over_a_corner_is_one() {
        let found = find(&cells(&["##..", "##..", "..##", "#.##"]), 4);
        assert_eq!(found.iter().map(|b| b.cells.len()).collect::<Vec<_>>(), [8, 1]);
    }
}

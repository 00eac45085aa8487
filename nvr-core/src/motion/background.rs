//! What the picture of a camera usually looks like: for each cell a running mean, and how much it trembles. Pure.
//!
//! The mean follows slowly where nothing moves, slower where something does, and quickly where something that came stays.
//! How much a cell trembles says what is noise there: leaves, water and a dark scene make their own cells less sensitive.

/// So long until a change of light is taken in where nothing moves, seconds.
const QUIET_S: f32 = 30.0;
/// The same where something moves.
const MOVING_S: f32 = 300.0;
/// The same where something came and stands still: a parked car.
const STANDING_S: f32 = 20.0;
/// So long until it is known how much a cell trembles.
const TREMBLE_S: f32 = 60.0;
/// The same where something moves: what moves for ever is a tree.
const TREMBLE_MOVING_S: f32 = 600.0;
/// Grey levels that a cell always trembles.
const LEAST_TREMBLE: f32 = 1.0;
/// A cell that trembles more than this counts as if it did no more.
const MOST_TREMBLE: f32 = 16.0;
/// Looks in which it learns quickly.
pub(super) const LEARNING: u32 = 3;

/// What was seen in a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Seen {
    /// As usual.
    #[default]
    Quiet,
    /// Something moves there.
    Moving,
    /// Something else than usual, which does not move.
    Standing,
}

#[derive(Clone, Debug)]
pub(super) struct Background {
    pub(super) width: usize,
    pub(super) height: usize,
    mean: Vec<f32>,
    tremble: Vec<f32>,
    looks: u32,
}

impl Background {
    pub(super) fn new(width: usize, height: usize, cells: &[f32]) -> Self {
        Self {
            width,
            height,
            mean: cells.to_vec(),
            tremble: vec![2.0; cells.len()],
            looks: 1,
        }
    }

    pub(super) const fn is_learning(&self) -> bool {
        self.looks < LEARNING
    }

    pub(super) fn mean(&self) -> &[f32] {
        &self.mean
    }

    pub(super) fn tremble(&self) -> &[f32] {
        &self.tremble
    }

    /// From now on this is what it looks like; how much cells tremble stays.
    pub(super) fn adopt(&mut self, cells: &[f32]) {
        self.mean.copy_from_slice(cells);
    }

    /// The least and the greatest mean around each cell: what a camera that shakes by a cell may show there.
    pub(super) fn around(&self) -> (Vec<f32>, Vec<f32>) {
        let (w, h) = (self.width, self.height);
        // Along rows first, then along columns: six comparisons a cell instead of nine.
        let (mut low, mut high) = (self.mean.clone(), self.mean.clone());
        for y in 0..h {
            let row = &self.mean[y * w..(y + 1) * w];
            for x in 0..w {
                let near = &row[x.saturating_sub(1)..(x + 2).min(w)];
                low[y * w + x] = near.iter().copied().fold(f32::MAX, f32::min);
                high[y * w + x] = near.iter().copied().fold(f32::MIN, f32::max);
            }
        }
        let (rows_low, rows_high) = (low.clone(), high.clone());
        for y in 0..h {
            for x in 0..w {
                for near in y.saturating_sub(1)..(y + 2).min(h) {
                    let (at, from) = (y * w + x, near * w + x);
                    low[at] = low[at].min(rows_low[from]);
                    high[at] = high[at].max(rows_high[from]);
                }
            }
        }
        (low, high)
    }

    /// Learns from a look, `elapsed_s` after the one before. `cells` are without what was common to all of them.
    pub(super) fn learn(&mut self, cells: &[f32], seen: &[Seen], elapsed_s: f32) {
        self.looks = self.looks.saturating_add(1);
        let share = |within_s: f32| 1.0 - (-elapsed_s.max(0.0) / within_s).exp();
        // In the beginning the mean of all that was seen.
        let first = if self.looks <= 10 {
            1.0 / self.looks as f32
        } else {
            0.0
        };
        let (quiet, moving, standing) = (share(QUIET_S).max(first), share(MOVING_S), share(STANDING_S));
        let (calm, wild) = (share(TREMBLE_S).max(first / 2.0), share(TREMBLE_MOVING_S));
        for (((mean, tremble), cell), seen) in
            self.mean.iter_mut().zip(&mut self.tremble).zip(cells).zip(seen)
        {
            let off = cell - *mean;
            let (follow, shake) = match seen {
                Seen::Quiet => (quiet, calm),
                Seen::Moving => (moving, wild),
                Seen::Standing => (standing, 0.0),
            };
            *mean += follow * off;
            // A mean deviation is four fifths of a standard deviation.
            let now = (off.abs() * 1.25).min(4.0 * MOST_TREMBLE);
            *tremble = (*tremble + shake * (now - *tremble)).clamp(LEAST_TREMBLE, MOST_TREMBLE);
        }
    }
}

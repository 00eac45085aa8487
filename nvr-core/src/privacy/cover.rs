//! Which pixels of a picture of one size are covered, and covering them.

use std::ops::Range;

use crate::zone::Polygon;

/// Blocks of the mean colour: so many go into the shorter side of a picture.
const BLOCKS: u32 = 20;
/// Smallest side of such a block, cells.
const LEAST_BLOCK: u32 = 8;

/// The covered pixels of a picture: spans of cells of 2x2 pixels, row by row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cover {
    size: (u32, u32),
    /// Of each row of cells, in order, apart from each other.
    rows: Vec<Vec<Range<u32>>>,
}

/// The samples of one component of a picture, for writing.
#[derive(Debug)]
pub struct Samples<'a> {
    /// The bytes of its plane.
    pub data: &'a mut [u8],
    /// Bytes from row to row.
    pub stride: usize,
    /// Bytes from one sample to the next of the component, and from the row's begin to the first.
    pub step: usize,
    /// Where in the row the first sample is.
    pub offset: usize,
    /// How often width and height of the picture are halved for it: 0 or 1 each.
    pub shift: (u32, u32),
}

/// How far covered samples of two pictures are from each other.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Difference {
    /// Samples that were compared.
    pub samples: u64,
    /// Sum of the absolute differences.
    pub sum: u64,
    /// Samples that differ by more than what coding does to a covered part.
    pub far: u64,
}

impl Difference {
    /// A difference of samples that is more than coding does.
    pub const FAR: u8 = 40;

    /// Mean absolute difference.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.samples.max(1) as f64
    }

    /// Share of the samples that differ by more than [`FAR`](Self::FAR).
    #[must_use]
    pub fn far_share(&self) -> f64 {
        self.far as f64 / self.samples.max(1) as f64
    }
}

impl Cover {
    /// Of polygons, for pictures of a size in pixels.
    #[must_use]
    pub fn new<'a>(areas: impl IntoIterator<Item = &'a Polygon>, size: (u32, u32)) -> Self {
        let (columns, lines) = (size.0.div_ceil(2), size.1.div_ceil(2));
        let mut rows: Vec<Vec<Range<u32>>> = vec![Vec::new(); lines as usize];
        for area in areas {
            let (w, h) = (f64::from(size.0) / 2.0, f64::from(size.1) / 2.0);
            let corners: Vec<(f64, f64)> = area
                .corners()
                .iter()
                .map(|&(x, y)| (f64::from(x) * w, f64::from(y) * h))
                .collect();
            for (n, row) in rows.iter_mut().enumerate() {
                touched(&corners, n as f64, columns, row);
            }
        }
        for row in &mut rows {
            merge(row);
        }
        Self { size, rows }
    }

    /// The size of the picture, pixels.
    #[must_use]
    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Whether no pixel is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(Vec::is_empty)
    }

    /// Whether a pixel is covered.
    #[must_use]
    pub fn contains(&self, x: u32, y: u32) -> bool {
        x < self.size.0
            && y < self.size.1
            && self
                .rows
                .get((y / 2) as usize)
                .is_some_and(|row| row.iter().any(|s| s.contains(&(x / 2))))
    }

    /// The covered spans of a component, row by row: `shift` says how often width and height are halved for it, 0 or 1.
    pub fn spans(&self, shift: (u32, u32)) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let (wide, high) = (
            self.size.0.div_ceil(1 << shift.0) as usize,
            self.size.1.div_ceil(1 << shift.1) as usize,
        );
        (0..high).flat_map(move |y| {
            let row = &self.rows[y >> (1 - shift.1.min(1))];
            row.iter().map(move |span| {
                let up = 1 - shift.0.min(1);
                let begin = (span.start as usize) << up;
                (y, begin..((span.end as usize) << up).min(wide))
            })
        })
    }

    /// Covers a component with one value.
    pub fn fill(&self, into: &mut Samples<'_>, value: u8) {
        for (y, span) in self.spans(into.shift) {
            into.row(y, &span, |sample| *sample = value);
        }
    }

    /// Covers a component with blocks of the mean of what is covered in each.
    pub fn pixelate(&self, into: &mut Samples<'_>) {
        let block = (self.size.0.min(self.size.1) / 2 / BLOCKS).max(LEAST_BLOCK) as usize;
        // In samples of this component.
        let (bw, bh) = (
            block << (1 - into.shift.0.min(1)),
            block << (1 - into.shift.1.min(1)),
        );
        let columns = (self.size.0 as usize).div_ceil(bw) + 1;
        let mut spans = self.spans(into.shift).peekable();
        let mut here: Vec<(usize, Range<usize>)> = Vec::new();
        while let Some(&(first, _)) = spans.peek() {
            let lines = first / bh;
            here.clear();
            while let Some(span) = spans.next_if(|(y, _)| y / bh == lines) {
                here.push(span);
            }
            let mut sums = vec![(0u64, 0u64); columns];
            for (y, span) in &here {
                let mut x = span.start;
                into.row(*y, span, |sample| {
                    let (sum, n) = &mut sums[x / bw];
                    *sum += u64::from(*sample);
                    *n += 1;
                    x += 1;
                });
            }
            for (y, span) in &here {
                let mut x = span.start;
                into.row(*y, span, |sample| {
                    let (sum, n) = sums[x / bw];
                    *sample = ((sum + n / 2) / n.max(1)) as u8;
                    x += 1;
                });
            }
        }
    }

    /// How far the covered samples of two components are from each other; each is its bytes and their stride, both with
    /// `step`, `offset` and `shift` as [`Samples`] has them.
    #[must_use]
    pub fn difference(
        &self,
        (one, one_stride): (&[u8], usize),
        (two, two_stride): (&[u8], usize),
        (step, offset): (usize, usize),
        shift: (u32, u32),
    ) -> Difference {
        let mut found = Difference::default();
        for (y, span) in self.spans(shift) {
            let part = |data: &'_ [u8], stride: usize| -> Option<(usize, usize)> {
                let from = y * stride + offset + span.start * step;
                let to = y * stride + offset + (span.end.checked_sub(1)?) * step;
                (to < data.len()).then_some((from, to))
            };
            let (Some((a, a_end)), Some((b, b_end))) = (part(one, one_stride), part(two, two_stride)) else {
                // What is not there is not covered.
                found.samples += span.len() as u64;
                found.far += span.len() as u64;
                continue;
            };
            let pairs = one[a..=a_end]
                .iter()
                .step_by(step)
                .zip(two[b..=b_end].iter().step_by(step));
            for (x, y) in pairs {
                let off = x.abs_diff(*y);
                found.samples += 1;
                found.sum += u64::from(off);
                found.far += u64::from(off > Difference::FAR);
            }
        }
        found
    }

    /// Which blocks of `side` pixels hold a covered pixel, row by row, as far as whole blocks go into the picture.
    #[must_use]
    pub fn blocks(&self, side: usize) -> Vec<bool> {
        let (columns, lines) = (self.size.0 as usize / side, self.size.1 as usize / side);
        let mut out = vec![false; columns * lines];
        for (y, span) in self.spans((0, 0)) {
            if y / side >= lines || span.is_empty() {
                continue;
            }
            for column in span.start / side..=((span.end - 1) / side).min(columns.saturating_sub(1)) {
                if let Some(block) = out
                    .get_mut(y / side * columns + column)
                    .filter(|_| column < columns)
                {
                    *block = true;
                }
            }
        }
        out
    }
}

impl Samples<'_> {
    /// Every sample of a span of a row; what lies outside of the bytes is passed over.
    fn row(&mut self, y: usize, span: &Range<usize>, mut f: impl FnMut(&mut u8)) {
        let Some(last) = span.end.checked_sub(1).filter(|last| *last >= span.start) else {
            return;
        };
        let row = y * self.stride + self.offset;
        let to = (row + last * self.step + 1).min(self.data.len());
        if let Some(part) = self.data.get_mut(row + span.start * self.step..to) {
            part.iter_mut().step_by(self.step.max(1)).for_each(&mut f);
        }
    }
}

/// The cells of row `y..y + 1` that a polygon touches: what its edges run through, and what lies between them. A cell that
/// no edge enters is inside altogether or not at all, and so is its middle.
fn touched(corners: &[(f64, f64)], y: f64, columns: u32, out: &mut Vec<Range<u32>>) {
    let mut put = |from: f64, to: f64| {
        let begin = from.floor().max(0.0) as u32;
        let end = (to.floor() as u32).saturating_add(1).min(columns);
        if to >= 0.0 && begin < end {
            out.push(begin..end);
        }
    };
    let (top, bottom, middle) = (y, y + 1.0, y + 0.5);
    let mut crossings: Vec<f64> = Vec::new();
    let mut before = corners[corners.len() - 1];
    for &corner in corners {
        let (a, b) = if before.1 <= corner.1 {
            (before, corner)
        } else {
            (corner, before)
        };
        before = corner;
        // An edge along the border of two rows belongs to both: rather too much than too little.
        if b.1 < top || a.1 > bottom {
            continue;
        }
        let at = |y: f64| {
            if b.1 - a.1 <= f64::EPSILON {
                return None;
            }
            Some(a.0 + (b.0 - a.0) * ((y - a.1) / (b.1 - a.1)).clamp(0.0, 1.0))
        };
        match (at(a.1.max(top)), at(b.1.min(bottom))) {
            (Some(p), Some(q)) => put(p.min(q), p.max(q)),
            _ => put(a.0.min(b.0), a.0.max(b.0)),
        }
        if a.1 <= middle && b.1 > middle {
            crossings.extend(at(middle));
        }
    }
    crossings.sort_by(f64::total_cmp);
    for pair in crossings.chunks_exact(2) {
        put(pair[0], pair[1]);
    }
}

/// Puts spans in order and those that touch together.
fn merge(spans: &mut Vec<Range<u32>>) {
    spans.sort_by_key(|s| s.start);
    let mut out: Vec<Range<u32>> = Vec::with_capacity(spans.len());
    for span in spans.drain(..) {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    *spans = out;
}

#[cfg(test)]
mod tests;

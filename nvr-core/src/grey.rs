//! Small grey pictures, for those who only look for what changes in them. Bytes only.

/// A picture of brightness, one byte for each cell, rows one after the other without a gap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GreyFrame {
    width: usize,
    height: usize,
    cells: Vec<u8>,
}

/// A plane of brightness as a decoder gives it.
#[derive(Clone, Copy, Debug)]
pub struct Luma<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bits of a sample. More than 8 are stored as two bytes, the lower one first.
    pub bits: u32,
}

impl GreyFrame {
    /// A picture of cells that are there already; `None` when they are not as many as the size says.
    #[must_use]
    pub fn new(width: usize, height: usize, cells: Vec<u8>) -> Option<Self> {
        (width > 0 && height > 0 && width.checked_mul(height) == Some(cells.len())).then_some(Self {
            width,
            height,
            cells,
        })
    }

    /// Scales a plane down to at most `width` cells a row, the aspect kept; each cell is the mean of its pixels. Of large
    /// pictures every other row, or fewer, is read: a mean of so many does not need all. `None` for a plane without
    /// pixels, or with fewer bytes than it says.
    #[must_use]
    pub fn shrink(luma: Luma<'_>, width: usize) -> Option<Self> {
        let wide = luma.bits > 8;
        let sample_bytes = if wide { 2 } else { 1 };
        let row_bytes = luma.width.checked_mul(sample_bytes)?;
        if luma.width == 0 || luma.height == 0 || luma.stride < row_bytes {
            return None;
        }
        let needed = luma.stride.checked_mul(luma.height - 1)?.checked_add(row_bytes)?;
        if luma.data.len() < needed {
            return None;
        }
        let width = width.clamp(1, luma.width);
        let height = (luma.height * width / luma.width).clamp(1, luma.height);
        // At least four rows of each cell are read.
        let step = (luma.height / height / 4).max(1);
        let shift = luma.bits.saturating_sub(8).min(8);
        let edges: Vec<usize> = (0..=width).map(|x| x * luma.width / width).collect();
        let mut cells = Vec::with_capacity(width * height);
        let mut sums = vec![0u32; width];
        for y in 0..height {
            let (from, to) = (y * luma.height / height, (y + 1) * luma.height / height);
            sums.fill(0);
            let mut rows = 0;
            for row in (from..to).step_by(step) {
                rows += 1;
                let line = &luma.data[row * luma.stride..][..row_bytes];
                for (sum, edge) in sums.iter_mut().zip(edges.windows(2)) {
                    let part = &line[edge[0] * sample_bytes..edge[1] * sample_bytes];
                    *sum += if wide {
                        part.chunks_exact(2)
                            .map(|s| u32::from(u16::from_le_bytes([s[0], s[1]])) >> shift)
                            .sum::<u32>()
                    } else {
                        part.iter().map(|s| u32::from(*s)).sum::<u32>()
                    };
                }
            }
            for (sum, edge) in sums.iter().zip(edges.windows(2)) {
                let pixels = u32::try_from((edge[1] - edge[0]) * rows).unwrap_or(u32::MAX);
                cells.push(u8::try_from(sum / pixels.max(1)).unwrap_or(u8::MAX));
            }
        }
        Self::new(width, height, cells)
    }

    /// Cells of a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The cells, row by row.
    #[must_use]
    pub fn cells(&self) -> &[u8] {
        &self.cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(data: &[u8], width: usize, height: usize) -> Luma<'_> {
        Luma {
            data,
            stride: width,
            width,
            height,
            bits: 8,
        }
    }

    #[test]
    fn cells_are_means_and_the_aspect_is_kept() {
        let mut data = vec![10; 64 * 32];
        for row in data.chunks_mut(64) {
            row[32..].fill(50);
        }
        let grey = GreyFrame::shrink(plane(&data, 64, 32), 8).unwrap();
        assert_eq!((grey.width(), grey.height()), (8, 4));
        assert_eq!(&grey.cells()[..8], &[10, 10, 10, 10, 50, 50, 50, 50]);
        // A row longer than the picture, as decoders have them.
        let mut padded = plane(&data, 60, 32);
        padded.stride = 64;
        assert_eq!(GreyFrame::shrink(padded, 6).unwrap().cells()[0], 10);
        // One that is smaller than wanted stays as it is.
        assert_eq!(GreyFrame::shrink(plane(&data, 64, 32), 160).unwrap().width(), 64);
    }

    #[test]
    fn ten_bits_become_eight() {
        let data: Vec<u8> = (0..16 * 8).flat_map(|_| (400u16).to_le_bytes()).collect();
        let luma = Luma {
            data: &data,
            stride: 32,
            width: 16,
            height: 8,
            bits: 10,
        };
        assert!(
            GreyFrame::shrink(luma, 4)
                .unwrap()
                .cells()
                .iter()
                .all(|c| *c == 100)
        );
    }

    #[test]
    fn planes_that_lie_are_refused() {
        let data = vec![0; 100];
        for (stride, width, height, bits) in [
            (10, 10, 11, 8),
            (5, 10, 10, 8),
            (10, 10, 10, 10),
            (10, 0, 10, 8),
            (10, 10, 0, 8),
            (usize::MAX, usize::MAX, 3, 8),
        ] {
            let luma = Luma {
                data: &data,
                stride,
                width,
                height,
                bits,
            };
            assert_eq!(GreyFrame::shrink(luma, 4), None, "{luma:?}");
        }
    }
}

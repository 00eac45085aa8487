//! How like each other two pictures are: structural similarity (Wang et al. 2004) and mean squared error. Pure.
//!
//! Windows of 8x8 pixels at every fourth pixel of rows and columns, unweighted, as video tools count it: the mean
//! over all windows of a picture.

/// A plane of 8-bit values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane<'a> {
    pub data: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl<'a> Plane<'a> {
    /// A plane, if the data are as large as they must be.
    pub fn new(data: &'a [u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        let needed = height.checked_sub(1)?.checked_mul(stride)?.checked_add(width)?;
        (width > 0 && stride >= width && data.len() >= needed).then_some(Self {
            data,
            stride,
            width,
            height,
        })
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride..y * self.stride + self.width]
    }
}

/// Sums over a block of 4x4 pixels of both pictures.
#[derive(Clone, Copy, Default)]
struct Sums {
    a: u32,
    b: u32,
    /// Squares of both.
    squares: u32,
    product: u32,
}

impl Sums {
    fn plus(self, o: Self) -> Self {
        Self {
            a: self.a + o.a,
            b: self.b + o.b,
            squares: self.squares + o.squares,
            product: self.product + o.product,
        }
    }

    /// SSIM of a window of 64 pixels.
    fn ssim(self) -> f64 {
        const N: f64 = 64.0;
        const C1: f64 = 0.01 * 255.0 * 0.01 * 255.0;
        const C2: f64 = 0.03 * 255.0 * 0.03 * 255.0;
        let (ma, mb) = (f64::from(self.a) / N, f64::from(self.b) / N);
        // Both variances together, and the covariance; unbiased.
        let variances = (f64::from(self.squares) - N * (ma * ma + mb * mb)) / (N - 1.0);
        let covariance = (f64::from(self.product) - N * ma * mb) / (N - 1.0);
        ((2.0 * ma * mb + C1) * (2.0 * covariance + C2)) / ((ma * ma + mb * mb + C1) * (variances + C2))
    }
}

/// What comparing two pictures brought.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Likeness {
    /// 1 for equal pictures.
    pub ssim: f64,
    /// Mean of the squared differences.
    pub mse: f64,
}

/// What is left out of a comparison: blocks of 4x4 pixels row by row, as far as whole ones go into the picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Without<'a>(pub &'a [bool]);

impl Without<'_> {
    fn has(&self, column: usize, row: usize, columns: usize) -> bool {
        self.0.get(row * columns + column).copied().unwrap_or(false)
    }
}

/// Compares two planes of one size; `None` when they are not, or smaller than a window. Windows that touch what is left
/// out are, and so are its pixels; without any window left the planes count as equal.
pub(crate) fn compare(a: Plane<'_>, b: Plane<'_>, without: Option<Without<'_>>) -> Option<Likeness> {
    if (a.width, a.height) != (b.width, b.height) || a.width < 8 || a.height < 8 {
        return None;
    }
    let (columns, rows) = (a.width / 4, a.height / 4);
    let mut above: Vec<Sums> = Vec::new();
    let (mut total, mut windows) = (0.0, 0u64);
    for y in 0..rows {
        let mut here = vec![Sums::default(); columns];
        for line in 0..4 {
            let (ra, rb) = (a.row(y * 4 + line), b.row(y * 4 + line));
            for ((s, pa), pb) in here.iter_mut().zip(ra.chunks_exact(4)).zip(rb.chunks_exact(4)) {
                for (&x, &y) in pa.iter().zip(pb) {
                    let (x, y) = (u32::from(x), u32::from(y));
                    s.a += x;
                    s.b += y;
                    s.squares += x * x + y * y;
                    s.product += x * y;
                }
            }
        }
        if y > 0 {
            for (x, (up, low)) in above.windows(2).zip(here.windows(2)).enumerate() {
                let left_out = without.is_some_and(|w| {
                    [(x, y - 1), (x + 1, y - 1), (x, y), (x + 1, y)]
                        .iter()
                        .any(|&(x, y)| w.has(x, y, columns))
                });
                if !left_out {
                    total += up[0].plus(up[1]).plus(low[0]).plus(low[1]).ssim();
                    windows += 1;
                }
            }
        }
        above = here;
    }
    let (mut squares, mut pixels) = (0u64, 0u64);
    for y in 0..a.height {
        let (ra, rb) = (a.row(y), b.row(y));
        // The rest of a picture that is no multiple of 4 belongs to no block.
        for (n, (pa, pb)) in ra.chunks(4).zip(rb.chunks(4)).enumerate() {
            if n < columns && without.is_some_and(|w| w.has(n, y / 4, columns)) {
                continue;
            }
            pixels += pa.len() as u64;
            squares += pa
                .iter()
                .zip(pb)
                .map(|(&x, &y)| u64::from(x.abs_diff(y)).pow(2))
                .sum::<u64>();
        }
    }
    Some(Likeness {
        ssim: if windows == 0 { 1.0 } else { total / windows as f64 },
        mse: squares as f64 / pixels.max(1) as f64,
    })
}

/// Peak signal to noise ratio in dB of a mean squared error; 100 for none.
pub(crate) fn psnr(mse: f64) -> f64 {
    if mse <= 0.0 {
        return 100.0;
    }
    (10.0 * (255.0 * 255.0 / mse).log10()).min(100.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plane(data: &[u8], width: usize, height: usize) -> Plane<'_> {
        Plane::new(data, width, width, height).unwrap()
    }

    /// The definition, window by window.
    fn plain(a: &[u8], b: &[u8], width: usize, height: usize) -> f64 {
        let (mut total, mut n) = (0.0, 0.0);
        for y in (0..=height / 4 * 4 - 8).step_by(4) {
            for x in (0..=width / 4 * 4 - 8).step_by(4) {
                let pick = |d: &[u8]| -> Vec<f64> {
                    (0..64)
                        .map(|i| f64::from(d[(y + i / 8) * width + x + i % 8]))
                        .collect()
                };
                let (p, q) = (pick(a), pick(b));
                let (mp, mq) = (p.iter().sum::<f64>() / 64.0, q.iter().sum::<f64>() / 64.0);
                let cov = |u: &[f64], mu: f64, v: &[f64], mv: f64| {
                    u.iter().zip(v).map(|(x, y)| (x - mu) * (y - mv)).sum::<f64>() / 63.0
                };
                let (c1, c2) = (6.5025, 58.5225);
                total += ((2.0 * mp * mq + c1) * (2.0 * cov(&p, mp, &q, mq) + c2))
                    / ((mp * mp + mq * mq + c1) * (cov(&p, mp, &p, mp) + cov(&q, mq, &q, mq) + c2));
                n += 1.0;
            }
        }
        total / n
    }

    proptest! {
        #[test]
        fn it_is_the_definition(
            (width, height) in (8usize..40, 8usize..40),
            seed in any::<u64>(),
            noise in 0u8..80,
        ) {
            let mut x = seed | 1;
            let mut next = move || { x ^= x << 13; x ^= x >> 7; x ^= x << 17; x };
            let a: Vec<u8> = (0..width * height).map(|_| next() as u8).collect();
            let b: Vec<u8> = a.iter().map(|v| v.wrapping_add((next() % (u64::from(noise) + 1)) as u8)).collect();
            let found = compare(plane(&a, width, height), plane(&b, width, height), None).unwrap();
            prop_assert!((found.ssim - plain(&a, &b, width, height)).abs() < 1e-9);
            let mse = a.iter().zip(&b).map(|(x, y)| f64::from(x.abs_diff(*y)).powi(2)).sum::<f64>()
                / a.len() as f64;
            prop_assert!((found.mse - mse).abs() < 1e-9);
        }
    }

    #[test]
    fn known_pictures() {
        let flat = vec![100u8; 64 * 48];
        let same = compare(plane(&flat, 64, 48), plane(&flat, 64, 48), None).unwrap();
        assert!((same.ssim - 1.0).abs() < 1e-12 && same.mse == 0.0);
        let brighter = vec![110u8; 64 * 48];
        let found = compare(plane(&flat, 64, 48), plane(&brighter, 64, 48), None).unwrap();
        assert!((found.mse - 100.0).abs() < 1e-12 && found.ssim < 1.0);
        assert!((psnr(found.mse) - 28.13).abs() < 0.01);
        assert_eq!(compare(plane(&flat, 64, 48), plane(&flat, 48, 64), None), None);
        assert!(Plane::new(&flat, 10, 64, 48).is_none());
        assert!(Plane::new(&flat, 64, 64, 49).is_none());
    }

    #[test]
    fn what_is_left_out_does_not_count() {
        let a = vec![100u8; 64 * 48];
        let mut b = a.clone();
        let mut blocks = vec![false; 16 * 12];
        for (x, y) in [(20, 8), (21, 9), (60, 40)] {
            b[y * 64 + x] = 255;
            blocks[y / 4 * 16 + x / 4] = true;
        }
        let with = compare(plane(&a, 64, 48), plane(&b, 64, 48), None).unwrap();
        assert!(with.ssim < 0.99 && with.mse > 1.0);
        let without = compare(plane(&a, 64, 48), plane(&b, 64, 48), Some(Without(&blocks))).unwrap();
        assert!((without.ssim - 1.0).abs() < 1e-12 && without.mse == 0.0);
        let all = vec![true; 16 * 12];
        let nothing = compare(plane(&a, 64, 48), plane(&b, 64, 48), Some(Without(&all))).unwrap();
        assert_eq!((nothing.ssim, nothing.mse), (1.0, 0.0));
    }
}

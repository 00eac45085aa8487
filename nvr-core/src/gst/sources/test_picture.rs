//! Draws clock and frame number into test pictures, for people and for machines. Bytes only: it needs no fonts
//! library, which is often absent where a recorder runs.

/// Digits, `:`, `.`, `-`, `#`, space, and what names of cameras are made of, as 5 by 7 dots, a row per byte.
const GLYPHS: [(u8, [u8; 7]); 42] = [
    (b'0', [0x0E, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0E]),
    (b'1', [0x04, 0x0C, 0x04, 0x04, 0x04, 0x04, 0x0E]),
    (b'2', [0x0E, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1F]),
    (b'3', [0x1F, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0E]),
    (b'4', [0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02]),
    (b'5', [0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E]),
    (b'6', [0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E]),
    (b'7', [0x1F, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08]),
    (b'8', [0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E]),
    (b'9', [0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C]),
    (b':', [0x00, 0x0C, 0x0C, 0x00, 0x0C, 0x0C, 0x00]),
    (b'.', [0x00, 0x00, 0x00, 0x00, 0x00, 0x0C, 0x0C]),
    (b'-', [0x00, 0x00, 0x00, 0x1F, 0x00, 0x00, 0x00]),
    (b'#', [0x0A, 0x0A, 0x1F, 0x0A, 0x1F, 0x0A, 0x0A]),
    (b' ', [0; 7]),
    (b'a', [0x0E, 0x11, 0x11, 0x1F, 0x11, 0x11, 0x11]),
    (b'b', [0x1E, 0x11, 0x11, 0x1E, 0x11, 0x11, 0x1E]),
    (b'c', [0x0E, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0E]),
    (b'd', [0x1E, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1E]),
    (b'e', [0x1F, 0x10, 0x10, 0x1E, 0x10, 0x10, 0x1F]),
    (b'f', [0x1F, 0x10, 0x10, 0x1E, 0x10, 0x10, 0x10]),
    (b'g', [0x0E, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0F]),
    (b'h', [0x11, 0x11, 0x11, 0x1F, 0x11, 0x11, 0x11]),
    (b'i', [0x0E, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0E]),
    (b'j', [0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0C]),
    (b'k', [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11]),
    (b'l', [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1F]),
    (b'm', [0x11, 0x1B, 0x15, 0x15, 0x11, 0x11, 0x11]),
    (b'n', [0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11]),
    (b'o', [0x0E, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0E]),
    (b'p', [0x1E, 0x11, 0x11, 0x1E, 0x10, 0x10, 0x10]),
    (b'q', [0x0E, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0D]),
    (b'r', [0x1E, 0x11, 0x11, 0x1E, 0x14, 0x12, 0x11]),
    (b's', [0x0F, 0x10, 0x10, 0x0E, 0x01, 0x01, 0x1E]),
    (b't', [0x1F, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04]),
    (b'u', [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0E]),
    (b'v', [0x11, 0x11, 0x11, 0x11, 0x11, 0x0A, 0x04]),
    (b'w', [0x11, 0x11, 0x11, 0x15, 0x15, 0x1B, 0x11]),
    (b'x', [0x11, 0x11, 0x0A, 0x04, 0x0A, 0x11, 0x11]),
    (b'y', [0x11, 0x11, 0x0A, 0x04, 0x04, 0x04, 0x04]),
    (b'z', [0x1F, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1F]),
    (b'_', [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1F]),
];

const WHITE: u8 = 235;
const BLACK: u8 = 16;

/// The luma plane of a picture.
pub(crate) struct Luma<'a> {
    pub data: &'a mut [u8],
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl Luma<'_> {
    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, value: u8) {
        let end = (x + width).min(self.width);
        for row in y..(y + height).min(self.height) {
            let line = row * self.stride;
            if let Some(dots) = self.data.get_mut(line + x.min(end)..line + end) {
                dots.fill(value);
            }
        }
    }

    /// White text on black, cut at the right edge.
    pub(crate) fn text(&mut self, x: usize, y: usize, scale: usize, text: &str) {
        self.fill(x, y, text.len() * 6 * scale + scale, 9 * scale, BLACK);
        for (i, c) in text.bytes().enumerate() {
            let rows = GLYPHS.iter().find(|g| g.0 == c).map_or([0x1F; 7], |g| g.1);
            for (dy, row) in rows.iter().enumerate() {
                for dx in (0..5).filter(|dx| row & (0x10 >> dx) != 0) {
                    let (px, py) = (x + scale + (i * 6 + dx) * scale, y + (dy + 1) * scale);
                    self.fill(px, py, scale, scale, WHITE);
                }
            }
        }
    }

    /// A number as blocks along the bottom edge, the highest bit at the left: white is 1.
    /// Nothing is drawn where there is no room.
    pub(crate) fn bars(&mut self, number: u64) {
        let Some((block, y)) = bars_at(self.width, self.height) else {
            return;
        };
        for bit in 0..BITS {
            let on = number >> (BITS - 1 - bit) & 1 == 1;
            self.fill(bit * block, y, block, block, if on { WHITE } else { BLACK });
        }
    }
}

/// A yard in which nothing moves but, now and then, one thing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// Frames of a round, and how many of them nothing moves in; none: nothing ever does.
    rounds: Option<(u64, u64)>,
}

impl Scene {
    /// That of a source, if its pattern is one of a scene.
    pub(crate) fn of(spec: &crate::source::TestSource) -> Option<Self> {
        let frames = |s: u32| u64::from(s) * u64::from(spec.frame_rate.max(1));
        match spec.pattern.as_str() {
            "still" => Some(Self { rounds: None }),
            "mover" => {
                let still = frames(spec.still_s);
                Some(Self {
                    rounds: Some((still + frames(spec.moving_s), still)),
                })
            }
            _ => None,
        }
    }

    /// Draws the picture of a frame.
    pub(crate) fn draw(&self, luma: &mut Luma<'_>, frame: u64) {
        let (w, h) = (luma.width, luma.height);
        luma.fill(0, 0, w, h / 2, 150);
        luma.fill(0, h / 2, w, h, 100);
        for n in 0..8 {
            luma.fill(n * w / 8, h / 2, (w / 160).max(1), h, 70);
            luma.fill(
                n * w / 8 + w / 40,
                h / 8,
                w / 16,
                h / 6,
                if n % 2 == 0 { 60 } else { 210 },
            );
        }
        let Some((round, still)) = self.rounds else { return };
        let at = frame % round.max(1);
        if at >= still && round > still {
            let (step, of) = ((at - still) as usize, (round - still) as usize);
            let x = step * (w - w / 10) / of;
            luma.fill(x, h * 5 / 9, w / 12, h / 3, 220);
            luma.fill(x, h * 5 / 9 + h / 6, w / 12, h / 6, 30);
        }
    }
}

/// Bits of [`Luma::bars`]: 16 of the frame number, 48 of the Unix time in milliseconds.
const BITS: usize = 64;

fn bars_at(width: usize, height: usize) -> Option<(usize, usize)> {
    let block = (width / BITS).min(16);
    (block >= 4 && height >= 4 * block).then(|| (block, height - block))
}

/// Packs what the bars show.
pub(crate) fn pack(frame: u64, unix_ms: u64) -> u64 {
    (frame & 0xFFFF) << 48 | (unix_ms & 0xFFFF_FFFF_FFFF)
}

/// Reads [`Luma::bars`] back from a decoded picture of the same size: frame number (16 bits) and Unix time in
/// milliseconds.
#[cfg(test)]
pub(crate) fn read_bars(data: &[u8], stride: usize, width: usize, height: usize) -> Option<(u16, u64)> {
    let (block, y) = bars_at(width, height)?;
    let mut number = 0u64;
    for bit in 0..BITS {
        let dot = *data.get((y + block / 2) * stride + bit * block + block / 2)?;
        number = number << 1 | u64::from(dot > 128);
    }
    Some(((number >> 48) as u16, number & 0xFFFF_FFFF_FFFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_read_back_and_small_pictures_are_left_alone() {
        let mut data = vec![100; 640 * 360];
        let mut luma = Luma {
            data: &mut data,
            stride: 640,
            width: 640,
            height: 360,
        };
        luma.text(8, 8, 3, "2026-01-02 03:04:05.678 #123456789012345678901234567890");
        luma.bars(pack(0x1_2345, 1_790_000_000_123));
        assert_eq!(read_bars(&data, 640, 640, 360), Some((0x2345, 1_790_000_000_123)));
        assert!(data.contains(&WHITE));

        let mut small = vec![100; 32 * 16];
        let mut luma = Luma {
            data: &mut small,
            stride: 32,
            width: 32,
            height: 16,
        };
        luma.bars(u64::MAX);
        luma.text(8, 14, 3, "0");
        assert_eq!(read_bars(&small, 32, 32, 16), None);
    }
}

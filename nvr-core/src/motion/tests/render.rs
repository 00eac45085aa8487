//! Pictures of a yard as the sub stream of a camera would send them (640 by 360): only bytes, made anew from a seed each time.

use crate::grey::{GreyFrame, Luma};
use crate::motion::WIDTH;

pub(super) const W: usize = 640;
pub(super) const H: usize = 360;

/// Numbers that look like chance (xorshift).
#[derive(Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 20) as usize % n
    }

    /// From -1 to 1.
    pub(super) fn swing(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// A wall, a paved yard, a door, windows and a hedge.
pub(super) fn yard(seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let mut out = vec![0u8; W * H];
    for y in 0..H {
        for x in 0..W {
            let wall = y < H / 2;
            let mut v = if wall { 150 } else { 90 + (y - H / 2) / 6 };
            // Joints of bricks and slabs.
            let (bw, bh) = if wall { (24, 12) } else { (60, 30) };
            let shift = if y / bh % 2 == 0 { 0 } else { bw / 2 };
            if y % bh < 2 || (x + shift) % bw < 2 {
                v -= 35;
            }
            out[y * W + x] = v as u8;
        }
    }
    for (x, y, w, h, v) in [
        (100, 80, 45, 100, 50),
        (210, 60, 60, 45, 220),
        (320, 60, 60, 45, 60),
        (450, 50, 8, 130, 30),
        (500, 140, 140, 45, 70),
    ] {
        for row in out[y * W..(y + h) * W].chunks_mut(W) {
            row[x..x + w].fill(v);
        }
    }
    // Leaves of the hedge, and dirt.
    for _ in 0..4000 {
        let (x, y) = (500 + chance.below(135), 140 + chance.below(42));
        let v = 40 + chance.below(90) as u8;
        for row in out[y * W..(y + 3) * W].chunks_mut(W) {
            row[x..x + 5].fill(v);
        }
    }
    for _ in 0..1500 {
        let at = chance.below(W * H);
        out[at] = out[at].saturating_sub(20);
    }
    out
}

/// A picture under way.
pub(super) struct Canvas {
    pub(super) luma: Vec<u8>,
}

impl Canvas {
    pub(super) fn of(yard: &[u8]) -> Self {
        Self { luma: yard.to_vec() }
    }

    /// Something with two colours and a pattern, as people and cars have; what is outside is cut off.
    pub(super) fn thing(&mut self, x: i32, y: i32, w: i32, h: i32, v: u8) {
        for row in y.max(0)..(y + h).min(H as i32) {
            for column in x.max(0)..(x + w).min(W as i32) {
                let (dx, dy) = (column - x, row - y);
                let part = if dy < h / 5 {
                    30
                } else if dx / 4 % 2 == 0 {
                    0
                } else {
                    12
                };
                let v = if dy > h * 3 / 5 { v / 2 } else { v };
                self.luma[row as usize * W + column as usize] = v.saturating_add(part);
            }
        }
    }

    /// Makes all brighter or darker between two columns.
    pub(super) fn light(&mut self, from: usize, to: usize, gain: f32) {
        for row in self.luma.chunks_mut(W) {
            for v in &mut row[from..to] {
                *v = (f32::from(*v) * gain).min(255.0) as u8;
            }
        }
    }

    /// Drops or flakes: brighter marks of one size anywhere.
    pub(super) fn marks(&mut self, chance: &mut Chance, n: usize, w: usize, h: usize, by: u8) {
        for _ in 0..n {
            let (x, y) = (chance.below(W - w), chance.below(H - h));
            for row in self.luma[y * W..(y + h) * W].chunks_mut(W) {
                row[x..x + w].iter_mut().for_each(|v| *v = v.saturating_add(by));
            }
        }
    }

    /// The whole picture moved.
    pub(super) fn shift(&mut self, dx: i32, dy: i32) {
        let old = self.luma.clone();
        for y in 0..H {
            let from = (y as i32 + dy).clamp(0, H as i32 - 1) as usize * W;
            for x in 0..W {
                self.luma[y * W + x] = old[from + (x as i32 + dx).clamp(0, W as i32 - 1) as usize];
            }
        }
    }

    /// Moves a part to and fro within itself.
    pub(super) fn sway(&mut self, x: usize, y: usize, w: usize, h: usize, by: i32) {
        let old = self.luma.clone();
        for row in y..y + h {
            for column in x..x + w {
                let from = (column as i32 + by).clamp(x as i32, (x + w) as i32 - 1) as usize;
                self.luma[row * W + column] = old[row * W + from];
            }
        }
    }

    /// As a sensor of some noise sees it, scaled down as the recorder does.
    pub(super) fn shot(mut self, chance: &mut Chance, noise: f32) -> GreyFrame {
        if noise > 0.0 {
            // A table is enough, begun elsewhere for each picture.
            let table: Vec<i16> = (0..20_011)
                .map(|_| ((chance.swing() + chance.swing() + chance.swing()) * noise) as i16)
                .collect();
            let start = chance.below(table.len());
            for (at, v) in self.luma.iter_mut().enumerate() {
                *v = (i16::from(*v) + table[(start + at) % table.len()]).clamp(0, 255) as u8;
            }
        }
        let luma = Luma {
            data: &self.luma,
            stride: W,
            width: W,
            height: H,
            bits: 8,
        };
        GreyFrame::shrink(luma, WIDTH).unwrap()
    }
}

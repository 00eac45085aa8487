//! Marks in the picture that a program can read back: the frame number and the wall clock.
//!
//! The picture is divided into 40 blocks across (16 x 16 pixels at a width of 640). Row 0 holds the frame number, row
//! 1 the wall clock in milliseconds since 1970 (UTC). A row is: white, black, 32 bits (most significant first), four
//! bits of check sum, white, black. White is 1. The clock row holds the low 32 bits. As everything scales with the
//! width, a recording that was resized still reads. Below the rows the same is written for people.

/// Blocks across the picture.
pub const COLUMNS: usize = 40;
/// Rows of blocks in use.
pub const ROWS: usize = 2;

const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// Draws frame number and clock into the luma plane of a picture.
pub fn draw(luma: &mut [u8], width: usize, height: usize, stride: usize, number: u32, unix_ms: u64) {
    let block = width / COLUMNS;
    if block == 0 || stride < width || luma.len() < stride * height || height < block * 4 {
        return;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the row holds the low 32 bits")]
    let low = unix_ms as u32;
    draw_row(luma, width, stride, 0, number);
    draw_row(luma, width, stride, 1, low);
    let text = format!("{number} {}", time_of_day(unix_ms));
    draw_text(
        luma,
        width,
        height,
        stride,
        block * 2 + block / 2,
        (block / 4).max(1),
        &text,
    );
}

/// The frame number in a grey picture of `width` x `height` bytes without padding, or none when the marks are not
/// there or do not add up.
#[must_use]
pub fn read_frame_number(gray: &[u8], width: usize, height: usize) -> Option<u32> {
    read_row(gray, width, height, 0)
}

/// The low 32 bits of the wall clock in milliseconds since 1970, from a picture as in [`read_frame_number`].
#[must_use]
pub fn read_clock_low(gray: &[u8], width: usize, height: usize) -> Option<u32> {
    read_row(gray, width, height, 1)
}

/// The full time in milliseconds since 1970 of which `low` is the low half, taken as the one nearest to `near_ms`.
#[must_use]
pub fn full_clock(low: u32, near_ms: i64) -> i64 {
    let span = 1_i64 << 32;
    let guess = (near_ms & !(span - 1)) | i64::from(low);
    [guess - span, guess, guess + span]
        .into_iter()
        .min_by_key(|g| (g - near_ms).abs())
        .unwrap_or(guess)
}

fn row_bits(value: u32) -> [bool; COLUMNS] {
    let mut bits = [false; COLUMNS];
    bits[0] = true;
    for (i, bit) in bits.iter_mut().skip(2).take(32).enumerate() {
        *bit = value >> (31 - i) & 1 == 1;
    }
    let sum = check_sum(value);
    for (i, bit) in bits.iter_mut().skip(34).take(4).enumerate() {
        *bit = sum >> (3 - i) & 1 == 1;
    }
    bits[38] = true;
    bits
}

/// All nibbles and a constant, so that neither all black nor all white is a number.
fn check_sum(value: u32) -> u32 {
    (0..8).fold(0x5, |sum, i| sum ^ (value >> (4 * i) & 0xF))
}

fn draw_row(luma: &mut [u8], width: usize, stride: usize, row: usize, value: u32) {
    let bits = row_bits(value);
    let height = width / COLUMNS;
    let first = row * height * stride;
    for (column, bit) in bits.iter().enumerate() {
        let from = column * width / COLUMNS;
        let to = (column + 1) * width / COLUMNS;
        luma[first + from..first + to].fill(if *bit { WHITE } else { BLACK });
    }
    for y in 1..height {
        luma.copy_within(first..first + width, first + y * stride);
    }
}

fn read_row(gray: &[u8], width: usize, height: usize, row: usize) -> Option<u32> {
    let block = width / COLUMNS;
    if block < 2 || gray.len() < width.checked_mul(height)? || height < block * ROWS {
        return None;
    }
    let mut value = 0_u64;
    for column in 0..COLUMNS {
        let x0 = column * width / COLUMNS + block / 4;
        let y0 = row * block + block / 4;
        let side = (block / 2).max(1);
        let mut sum = 0_usize;
        for y in y0..y0 + side {
            sum += gray[y * width + x0..y * width + x0 + side]
                .iter()
                .map(|p| usize::from(*p))
                .sum::<usize>();
        }
        value = value << 1 | u64::from(sum / (side * side) > 127);
    }
    // 40 bits: 1 0, 32 of value, 4 of check sum, 1 0.
    if value >> 38 != 0b10 || value & 0b11 != 0b10 {
        return None;
    }
    let number = u32::try_from(value >> 6 & 0xFFFF_FFFF).ok()?;
    (u64::from(check_sum(number)) == value >> 2 & 0xF).then_some(number)
}

fn time_of_day(unix_ms: u64) -> String {
    let ms = unix_ms % 1000;
    let s = unix_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// Rows of three bits, top first.
fn glyph(c: char) -> [u8; 5] {
    match c {
        '0' => [7, 5, 5, 5, 7],
        '1' => [2, 6, 2, 2, 7],
        '2' => [7, 1, 7, 4, 7],
        '3' => [7, 1, 7, 1, 7],
        '4' => [5, 5, 7, 1, 1],
        '5' => [7, 4, 7, 1, 7],
        '6' => [7, 4, 7, 5, 7],
        '7' => [7, 1, 1, 1, 1],
        '8' => [7, 5, 7, 5, 7],
        '9' => [7, 5, 7, 1, 7],
        ':' => [0, 2, 0, 2, 0],
        '.' => [0, 0, 0, 0, 2],
        _ => [0; 5],
    }
}

fn draw_text(
    luma: &mut [u8],
    width: usize,
    height: usize,
    stride: usize,
    top: usize,
    dot: usize,
    text: &str,
) {
    let left = dot * 4;
    let right = left + text.chars().count() * 4 * dot;
    let bottom = top + 7 * dot;
    if right + dot > width || bottom > height {
        return;
    }
    for y in top..bottom {
        luma[y * stride + left - dot..y * stride + right].fill(BLACK);
    }
    for (i, c) in text.chars().enumerate() {
        for (row, bits) in glyph(c).into_iter().enumerate() {
            for column in 0..3 {
                if bits >> (2 - column) & 1 == 1 {
                    let x = left + (i * 4 + column) * dot;
                    for y in top + (row + 1) * dot..top + (row + 2) * dot {
                        luma[y * stride + x..y * stride + x + dot].fill(WHITE);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_clocks_read_back_at_every_size() {
        for (w, h) in [(160, 120), (320, 240), (640, 360), (704, 576), (1920, 1080)] {
            let stride = w + 8;
            let mut luma = vec![90_u8; stride * h];
            for number in [0, 1, 42, 0x8000_0001, u32::MAX] {
                draw(&mut luma, w, h, stride, number, 1_700_000_000_123);
                let tight: Vec<u8> = luma.chunks(stride).flat_map(|l| &l[..w]).copied().collect();
                assert_eq!(read_frame_number(&tight, w, h), Some(number), "{w}x{h}");
                let low = read_clock_low(&tight, w, h).unwrap();
                assert_eq!(full_clock(low, 1_700_000_500_000), 1_700_000_000_123);
            }
        }
    }

    #[test]
    fn pictures_without_marks_are_refused() {
        for level in [0, 16, 128, 235, 255] {
            assert_eq!(read_frame_number(&vec![level; 640 * 360], 640, 360), None);
        }
        assert_eq!(read_frame_number(&[0; 10], 640, 360), None);
        let mut luma = vec![90; 640 * 360];
        draw(&mut luma, 640, 360, 640, 7, 0);
        for y in 0..16 {
            luma[y * 640 + 33 * 16..][..16].fill(16); // the lowest bit of the number
        }
        assert_eq!(read_frame_number(&luma, 640, 360), None);
    }
}

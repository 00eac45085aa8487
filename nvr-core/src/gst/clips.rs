//! Clips that look like what cameras see, made rather than shipped: the same bytes on every machine.
//!
//! *Street*: daylight, a still scene with fine texture, things that move through it, a little sensor noise. *Night*:
//! the same in the dark, with much noise. Noise is what costs bits, and test patterns have none.

use gst::prelude::*;

use super::sources::make;
use crate::error::{Error, ErrorKind, Result};

/// What a clip shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scene {
    /// Daylight.
    Street,
    /// Darkness and noise.
    Night,
}

impl Scene {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Street => "street",
            Self::Night => "night",
        }
    }

    const fn noise(self) -> i32 {
        match self {
            Self::Street => 3,
            Self::Night => 12,
        }
    }
}

/// Frames per second of clips.
pub const CLIP_FPS: u32 = 25;

/// Writes a clip as H.264 in MP4, as a camera with a good bit rate would send it.
///
/// # Errors
/// `Unsupported` without an H.264 encoder, `Storage` when it cannot be written.
pub fn write_clip(scene: Scene, size: (u32, u32), frames: u32, path: &std::path::Path) -> Result<()> {
    super::init()?;
    let fault = |what: &str| Error::new(ErrorKind::Internal, format!("clip {}: {what}", path.display()));
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", size.0 as i32)
        .field("height", size.1 as i32)
        .field("framerate", gst::Fraction::new(CLIP_FPS as i32, 1))
        .build();
    let src = gst_app::AppSrc::builder()
        .caps(&caps)
        .format(gst::Format::Time)
        .max_buffers(4)
        .max_bytes(0)
        .block(true)
        .build();
    let encoder = make("x264enc")?;
    encoder.set_property_from_str("speed-preset", "veryfast");
    encoder.set_property_from_str("pass", "qual");
    encoder.set_property("quantizer", 20u32);
    encoder.set_property("key-int-max", CLIP_FPS * 2);
    encoder.set_property("bframes", 0u32);
    let (parse, mux, sink) = (make("h264parse")?, make("mp4mux")?, make("filesink")?);
    sink.set_property("location", path);
    let pipeline = gst::Pipeline::new();
    let chain = [src.upcast_ref(), &encoder, &parse, &mux, &sink];
    pipeline.add_many(chain).map_err(|_| fault("no pipeline"))?;
    gst::Element::link_many(chain).map_err(|_| fault("its elements do not link"))?;
    let result = (|| {
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| fault("it does not start"))?;
        let mut painter = Painter::new(scene, size);
        for n in 0..frames {
            let mut buffer = gst::Buffer::from_mut_slice(painter.paint(n));
            if let Some(b) = buffer.get_mut() {
                let frame = gst::ClockTime::SECOND / u64::from(CLIP_FPS);
                b.set_pts(frame * u64::from(n));
                b.set_duration(frame);
            }
            if src.push_buffer(buffer).is_err() {
                break;
            }
        }
        let _ = src.end_of_stream();
        let Some(bus) = pipeline.bus() else {
            return Err(fault("no bus"));
        };
        let end = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(600),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        match end.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Eos(_)) => Ok(()),
            Some(gst::MessageView::Error(e)) => Err(fault(e.error().message())),
            _ => Err(fault("it takes too long")),
        }
    })();
    let _ = pipeline.set_state(gst::State::Null);
    result
}

/// A small generator of numbers that look random (xorshift), the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

struct Painter {
    scene: Scene,
    width: usize,
    height: usize,
    still: Vec<u8>,
    /// Noise to be laid over the picture from a place that differs in each frame.
    noise: Vec<i8>,
    dice: Dice,
}

impl Painter {
    fn new(scene: Scene, size: (u32, u32)) -> Self {
        let (width, height) = (size.0 as usize, size.1 as usize);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let still = still(&mut dice, width, height);
        let spread = scene.noise();
        // The sum of three is nearly as a sensor's noise is spread.
        let mut one = || (dice.roll() % (2 * spread as u64 + 1)) as i32 - spread;
        let noise = (0..(1 << 20) + 7)
            .map(|_| ((one() + one() + one()) / 2) as i8)
            .collect();
        Self {
            scene,
            width,
            height,
            still,
            noise,
            dice,
        }
    }

    /// The n-th frame, I420.
    fn paint(&mut self, n: u32) -> Vec<u8> {
        let (w, h) = (self.width, self.height);
        let mut luma = self.still.clone();
        // Things that go by: their own texture, at speeds of their own.
        for thing in 0..5usize {
            let (tw, th) = (w / (8 + 3 * thing), h / (6 + 2 * thing));
            let speed = (thing + 2) * w / 600 + 1;
            let x0 = (thing * w / 3 + n as usize * speed) % (w + tw);
            let y0 = h / 3 + thing * h / 9;
            for y in y0..(y0 + th).min(h) {
                for x in x0.saturating_sub(tw)..x0.min(w) {
                    let inside = (x + tw - x0) * 7 / tw.max(1) + (y - y0) * 5 / th.max(1);
                    luma[y * w + x] = (60 + 30 * thing + 12 * (inside % 4)) as u8;
                }
            }
        }
        let from = (self.dice.roll() as usize) % self.noise.len();
        let noise = self.noise.iter().cycle().skip(from);
        let dark = self.scene == Scene::Night;
        for (v, n) in luma.iter_mut().zip(noise) {
            let value = if dark {
                16 + i32::from(*v) / 4
            } else {
                i32::from(*v)
            };
            *v = (value + i32::from(*n)).clamp(16, 235) as u8;
        }
        let mut out = luma;
        let chroma = (w / 2) * (h / 2);
        for plane in 0..2u8 {
            out.extend((0..chroma).map(|i| {
                let (x, y) = (i % (w / 2), i / (w / 2));
                let tint = ((x * 40 / w.max(1)) + (y * 24 / h.max(1))) as u8;
                let value = 118 + tint % 20;
                if dark { 128 } else { value.wrapping_add(plane * 8) }
            }));
        }
        out
    }
}

/// A still scene: coarse light and shade with finer and finer texture upon it.
fn still(dice: &mut Dice, w: usize, h: usize) -> Vec<u8> {
    let mut sum = vec![128i32; w * h];
    for (cell, strength) in [(w / 4, 60), (w / 16, 36), (w / 64, 20), (w / 200, 12)] {
        let cell = cell.max(2);
        let (columns, rows) = (w / cell + 2, h / cell + 2);
        let grid: Vec<i32> = (0..columns * rows)
            .map(|_| (dice.roll() % (2 * strength as u64 + 1)) as i32 - strength)
            .collect();
        for y in 0..h {
            let (gy, fy) = (y / cell, (y % cell) as i32);
            for x in 0..w {
                let (gx, fx) = (x / cell, (x % cell) as i32);
                let at = |dx: usize, dy: usize| grid[(gy + dy) * columns + gx + dx];
                let c = cell as i32;
                let top = at(0, 0) * (c - fx) + at(1, 0) * fx;
                let low = at(0, 1) * (c - fx) + at(1, 1) * fx;
                sum[y * w + x] += (top * (c - fy) + low * fy) / (c * c);
            }
        }
    }
    sum.into_iter().map(|v| v.clamp(24, 225) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_of_their_size_and_move() {
        for scene in [Scene::Street, Scene::Night] {
            let mut painter = Painter::new(scene, (320, 180));
            let (a, b) = (painter.paint(0), painter.paint(1));
            assert_eq!(a.len(), 320 * 180 * 3 / 2);
            assert_ne!(a, b);
            let again = Painter::new(scene, (320, 180)).paint(0);
            assert!(a == again, "the same on every machine");
        }
    }
}

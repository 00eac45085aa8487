//! The clip: made once, kept on disk, cut into RTP packets in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use gst::prelude::*;

use crate::picture;

/// Bytes of RTP payload in a packet.
const MTU: usize = 1400;
/// `$`, channel, two bytes of length.
pub(crate) const INTERLEAVED: usize = 4;
const RTP: usize = 12;
pub(crate) const PAYLOAD_TYPE: u8 = 96;
/// Change with the recipe of the generated clip.
const GENERATED: Recipe = Recipe {
    name: "replay-1080p25-4m-1.h264",
    width: 1920,
    height: 1080,
    fps: 25,
    frames: 250,
    gop: 50,
    kbps: 4000,
};
const SMALL: Recipe = Recipe {
    name: "card-240p10-1.h264",
    width: 320,
    height: 240,
    fps: 10,
    frames: 2000,
    gop: 10,
    kbps: 200,
};

/// How a clip is made.
struct Recipe {
    name: &'static str,
    width: usize,
    height: usize,
    fps: u32,
    frames: u32,
    gop: u32,
    kbps: u32,
}

static MAKING: Mutex<()> = Mutex::new(());

/// One access unit as interleaved RTP packets, one behind the other, with zeros where a connection puts its own
/// channel, sequence number, timestamp and SSRC.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub bytes: Vec<u8>,
    /// Where each packet (its `$`) begins.
    pub starts: Vec<usize>,
}

/// An H.264 clip as RTP packets.
#[derive(Debug, Clone)]
pub struct Clip {
    pub(crate) frames: Vec<Frame>,
    sizes: Vec<u32>,
    pub(crate) fps: u32,
    pub(crate) sps: Vec<u8>,
    pub(crate) pps: Vec<u8>,
}

impl Clip {
    /// The clip of 1080p25 at 4 Mbit/s; the first call on a machine encodes it, which takes some seconds.
    ///
    /// # Errors
    /// When the encoder is missing or the file cannot be written.
    pub fn generated() -> anyhow::Result<Self> {
        Self::made(&GENERATED)
    }

    /// A clip of 320x240 at 10 frames a second with a keyframe every second, frame numbers 0 to 1999.
    ///
    /// # Errors
    /// As of [`Self::generated`].
    pub fn small() -> anyhow::Result<Self> {
        Self::made(&SMALL)
    }

    fn made(recipe: &Recipe) -> anyhow::Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
            PathBuf::from,
        );
        let file = target.join(recipe.name);
        // Two processes may make it at the same time, each under its own name; two threads may not.
        let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if !file.exists() {
            std::fs::create_dir_all(&target)?;
            let part = target.join(format!("{}.{}", recipe.name, std::process::id()));
            generate(&part, recipe)?;
            std::fs::rename(&part, &file)?;
        }
        drop(making);
        Self::read(&file, recipe.fps)
    }

    /// Cuts an Annex B file into packets.
    ///
    /// # Errors
    /// When the file cannot be read, or does not begin with SPS, PPS and a keyframe.
    pub fn read(file: &Path, fps: u32) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        Self::from_bytes(&bytes, fps).with_context(|| format!("cut {} into packets", file.display()))
    }

    fn from_bytes(bytes: &[u8], fps: u32) -> anyhow::Result<Self> {
        ensure!((1..=240).contains(&fps), "fps {fps} is not in 1..=240");
        let units = access_units(bytes);
        let first = units.first().context("no access unit")?;
        let find = |kind| first.iter().find(|n| n[0] & 0x1F == kind).map(|n| n.to_vec());
        let sps = find(7).context("the first access unit has no SPS")?;
        let pps = find(8).context("the first access unit has no PPS")?;
        ensure!(sps.len() >= 4, "the SPS is too short");
        ensure!(find(5).is_some(), "the first access unit is no keyframe");
        Ok(Self {
            frames: units.iter().map(|unit| packetise(unit)).collect(),
            sizes: units.iter().map(|unit| size_in_a_file(unit)).collect(),
            fps,
            sps,
            pps,
        })
    }

    /// Frames until it begins again.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Never: a clip has at least one frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What each frame takes up in an MP4, where parameter sets stand elsewhere: by them a recording tells which frames
    /// it has.
    #[must_use]
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Average rate on the wire in bits a second, headers included.
    #[must_use]
    pub fn bitrate_bps(&self) -> u64 {
        let bytes: usize = self.frames.iter().map(|f| f.bytes.len()).sum();
        bytes as u64 * 8 * u64::from(self.fps) / self.frames.len() as u64
    }
}

/// NAL units by access unit, without access unit delimiters.
fn access_units(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut units: Vec<Vec<&[u8]>> = Vec::new();
    let mut has_slice = true;
    for nal in nal_units(bytes) {
        let kind = nal[0] & 0x1F;
        let slice = matches!(kind, 1 | 5);
        let first_slice = slice && nal.get(1).is_some_and(|b| b & 0x80 != 0);
        if has_slice && (first_slice || matches!(kind, 6..=9)) {
            units.push(Vec::new());
            has_slice = false;
        }
        has_slice |= slice;
        if let Some(unit) = units.last_mut()
            && kind != 9
        {
            unit.push(nal);
        }
    }
    units.retain(|u| u.iter().any(|n| matches!(n[0] & 0x1F, 1 | 5)));
    units
}

/// Each unit but parameter sets, with four bytes for its length.
fn size_in_a_file(unit: &[&[u8]]) -> u32 {
    let units = unit.iter().filter(|n| !matches!(n[0] & 0x1F, 7 | 8));
    let size: usize = units.map(|n| 4 + n.len()).sum();
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// What stands between start codes; none is empty.
fn nal_units(bytes: &[u8]) -> Vec<&[u8]> {
    let mut nals = Vec::new();
    let mut begin = None;
    let mut at = 0;
    while at + 3 <= bytes.len() {
        if bytes[at + 2] > 1 {
            at += 3;
        } else if bytes[at..at + 3] == [0, 0, 1] {
            if let Some(begin) = begin {
                push_nal(&mut nals, &bytes[begin..at]);
            }
            begin = Some(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    if let Some(begin) = begin {
        push_nal(&mut nals, &bytes[begin..]);
    }
    nals
}

fn push_nal<'a>(nals: &mut Vec<&'a [u8]>, nal: &'a [u8]) {
    let end = nal.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
    if end > 0 {
        nals.push(&nal[..end]);
    }
}

/// RFC 6184: single NAL unit packets and FU-A.
fn packetise(unit: &[&[u8]]) -> Frame {
    let mut frame = Frame {
        bytes: Vec::new(),
        starts: Vec::new(),
    };
    for (i, nal) in unit.iter().enumerate() {
        let last_nal = i + 1 == unit.len();
        if nal.len() <= MTU {
            packet(&mut frame, &[], nal, last_nal);
            continue;
        }
        let (header, rest) = (nal[0], &nal[1..]);
        let pieces = rest.len().div_ceil(MTU - 2);
        for (k, piece) in rest.chunks(MTU - 2).enumerate() {
            let start = if k == 0 { 0x80 } else { 0 };
            let end = if k + 1 == pieces { 0x40 } else { 0 };
            let fu = [header & 0xE0 | 28, start | end | header & 0x1F];
            packet(&mut frame, &fu, piece, last_nal && end != 0);
        }
    }
    frame
}

fn packet(frame: &mut Frame, head: &[u8], payload: &[u8], marker: bool) {
    frame.starts.push(frame.bytes.len());
    let len = u16::try_from(RTP + head.len() + payload.len()).unwrap_or(u16::MAX); // at most MTU and headers
    frame.bytes.extend([b'$', 0]);
    frame.bytes.extend(len.to_be_bytes());
    frame.bytes.extend([0x80, u8::from(marker) << 7 | PAYLOAD_TYPE]);
    frame.bytes.extend([0; 10]);
    frame.bytes.extend(head);
    frame.bytes.extend(payload);
}

/// Encodes the clip. The pattern moves everywhere, so that the encoder has to spend its bits.
fn generate(file: &Path, recipe: &Recipe) -> anyhow::Result<()> {
    gst::init()?;
    let &Recipe {
        width,
        height,
        fps,
        frames,
        gop,
        kbps,
        ..
    } = recipe;
    let line = format!(
        "videotestsrc name=src num-buffers={frames} pattern=zone-plate kx2=4 ky2=4 kt=2 ! \
         video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! \
         x264enc speed-preset=ultrafast tune=zerolatency bitrate={kbps} key-int-max={gop} option-string=scenecut=0 ! \
         video/x-h264,stream-format=byte-stream,alignment=au,profile=constrained-baseline ! \
         filesink name=sink"
    );
    let pipeline = gst::parse::launch(&line)?
        .downcast::<gst::Pipeline>()
        .ok()
        .context("the launch line is no pipeline")?;
    pipeline
        .by_name("sink")
        .context("no sink")?
        .set_property("location", file.to_string_lossy().as_ref());
    let pad = pipeline
        .by_name("src")
        .and_then(|s| s.static_pad("src"))
        .context("no source")?;
    let number = AtomicU32::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
            let n = number.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut map) = buffer.make_mut().map_writable() {
                picture::draw(
                    map.as_mut_slice(),
                    width,
                    height,
                    width,
                    n,
                    u64::from(n) * 1000 / u64::from(fps),
                );
            }
        }
        gst::PadProbeReturn::Ok
    });
    let bus = pipeline.bus().context("no bus")?;
    pipeline.set_state(gst::State::Playing)?;
    let message = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(300),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(e)) => bail!("cannot encode the clip: {}", e.error()),
        _ => bail!("the clip was not encoded within 300 s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts the packets of a frame together again.
    fn depacketise(frame: &Frame) -> Vec<Vec<u8>> {
        let mut nals: Vec<Vec<u8>> = Vec::new();
        for start in &frame.starts {
            let head = &frame.bytes[*start..start + INTERLEAVED];
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let payload = &frame.bytes[start + INTERLEAVED + RTP..start + INTERLEAVED + len];
            if payload[0] & 0x1F == 28 {
                if payload[1] & 0x80 != 0 {
                    nals.push(vec![payload[0] & 0xE0 | payload[1] & 0x1F]);
                }
                nals.last_mut().unwrap().extend(&payload[2..]);
            } else {
                nals.push(payload.to_vec());
            }
        }
        nals
    }

    #[test]
    fn packets_hold_the_whole_stream() {
        let big: Vec<u8> = std::iter::once(0x65)
            .chain((0..5000_u32).map(|i| (i % 251) as u8 | 0x80))
            .collect();
        let parts: Vec<&[u8]> = vec![
            &[9, 0x10],
            &[0x67, 66, 0, 30],
            &[0x68, 1],
            &big,
            &[9, 0x30],
            &[0x41, 0x9A, 7],
            &[0x41, 0x1A, 8],
        ];
        let mut stream = Vec::new();
        for part in &parts {
            stream.extend([0, 0, 0, 1]);
            stream.extend(*part);
        }
        let clip = Clip::from_bytes(&stream, 25).unwrap();
        assert_eq!(clip.len(), 2);
        assert_eq!(depacketise(&clip.frames[0]), [parts[1], parts[2], parts[3]]);
        assert_eq!(depacketise(&clip.frames[1]), [parts[5], parts[6]]);
        let markers: Vec<u8> = clip.frames[0]
            .starts
            .iter()
            .map(|s| clip.frames[0].bytes[s + 5] >> 7)
            .collect();
        assert_eq!(markers, [0, 0, 0, 0, 0, 1]);
        assert_eq!(clip.sizes(), [4 + big.len() as u32, 4 + 3 + 4 + 3]);
    }

    #[test]
    fn streams_that_cannot_be_played_are_refused() {
        for bytes in [
            &b""[..],
            b"hello",
            &[0, 0, 1],
            &[0, 0, 1, 0x65, 0x88, 1],
            &[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1],
        ] {
            assert!(Clip::from_bytes(bytes, 25).is_err());
        }
    }
}

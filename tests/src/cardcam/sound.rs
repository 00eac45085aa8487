//! The camera's sound: a tone for a tenth of a second at each keyframe, and silence between, so that a file tells whether it
//! sounds when it should.

use anyhow::Context as _;
use gst::prelude::*;
use gst_app::AppSink;

use super::FPS;

/// Samples per second of the AAC, and in a packet.
const AAC: (u64, u64) = (16_000, 1024);
/// The clip of AAC: as many seconds as have a whole number of packets.
const AAC_PACKETS: u64 = 125;
/// Samples per second of G.711, and in a packet.
const G711: (u64, u64) = (8000, 160);

/// What the camera sends beside its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CardSound {
    /// Nothing.
    #[default]
    None,
    /// AAC at 16 kHz.
    Aac,
    /// G.711, µ-law.
    Pcmu,
}

/// Packets of sound, numbered from 0 when frame 0 was taken.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) kind: CardSound,
    rate: u64,
    samples: u64,
    packets: Vec<Vec<u8>>,
}

impl Sound {
    pub(super) fn new(kind: CardSound) -> anyhow::Result<Self> {
        let ((rate, samples), packets) = match kind {
            CardSound::None => (G711, Vec::new()),
            CardSound::Aac => (AAC, aac()?),
            CardSound::Pcmu => (G711, pcmu()),
        };
        Ok(Self {
            kind,
            rate,
            samples,
            packets,
        })
    }

    /// The numbers of the packets that begin while a frame is shown.
    pub(super) fn of_frame(&self, frame: u64) -> std::ops::Range<u64> {
        if self.packets.is_empty() {
            return 0..0;
        }
        let first = |frame: u64| (frame * self.rate).div_ceil(FPS * self.samples);
        first(frame)..first(frame + 1)
    }

    /// When a packet begins, in nanoseconds after frame 0.
    pub(super) fn time_of(&self, packet: u64) -> i64 {
        i64::try_from(packet * self.samples * 1_000_000_000 / self.rate).unwrap_or(0)
    }

    pub(super) fn timestamp(&self, packet: u64) -> u32 {
        (packet * self.samples) as u32
    }

    /// Payload of RTP.
    pub(super) fn payload(&self, packet: u64) -> Vec<u8> {
        let data = &self.packets[usize::try_from(packet).unwrap_or(0) % self.packets.len()];
        match self.kind {
            CardSound::Aac => {
                // RFC 3640, 3.2: one header of 16 bits, of which 13 are the size.
                let size = u16::try_from(data.len() << 3).unwrap_or(0);
                [&[0, 16], &size.to_be_bytes()[..], data].concat()
            }
            _ => data.clone(),
        }
    }

    /// What the description says of it.
    pub(super) fn sdp(&self) -> &'static str {
        match self.kind {
            CardSound::None => "",
            CardSound::Aac => {
                "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/16000/1\r\na=fmtp:97 streamtype=5;mode=AAC-hbr;\
                 sizelength=13;indexlength=3;indexdeltalength=3;config=1408\r\na=control:sound\r\n"
            }
            CardSound::Pcmu => "m=audio 0 RTP/AVP 0\r\na=control:sound\r\n",
        }
    }

    pub(super) fn payload_type(&self) -> u8 {
        if self.kind == CardSound::Aac { 97 } else { 0 }
    }
}

/// A tone in the first tenth of each second.
fn sample(n: u64, rate: u64) -> f64 {
    if n % rate >= rate / 10 {
        return 0.0;
    }
    (n as f64 / rate as f64 * 1000.0 * std::f64::consts::TAU).sin() * 0.5
}

fn pcmu() -> Vec<Vec<u8>> {
    let (rate, samples) = G711;
    let all: Vec<u8> = (0..rate)
        .map(|n| mu_law((sample(n, rate) * 32_767.0) as i32))
        .collect();
    all.chunks(samples as usize).map(<[u8]>::to_vec).collect()
}

/// ITU-T G.711.
fn mu_law(sample: i32) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.abs().min(32_635) + 0x84;
    let exponent = 31 - magnitude.leading_zeros() as i32 - 7;
    let mantissa = magnitude >> (exponent + 3) & 0x0F;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// Without the packet with which an encoder begins, so that packet 0 begins with the first tone.
fn aac() -> anyhow::Result<Vec<Vec<u8>>> {
    gst::init()?;
    let line = "appsrc name=src format=time caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved ! \
                audioconvert ! avenc_aac bitrate=48000 ! aacparse ! \
                audio/mpeg,mpegversion=4,stream-format=raw ! appsink name=sink sync=false";
    let pipeline = gst::parse::launch(line)?
        .downcast::<gst::Pipeline>()
        .ok()
        .context("the launch line is no pipeline")?;
    let sink = pipeline
        .by_name("sink")
        .and_then(|s| s.downcast::<AppSink>().ok())
        .context("no sink")?;
    let source = pipeline
        .by_name("src")
        .and_then(|s| s.downcast::<gst_app::AppSrc>().ok())
        .context("no source")?;
    pipeline.set_state(gst::State::Playing)?;
    let (rate, samples) = AAC;
    let all: Vec<u8> = (0..(AAC_PACKETS + 4) * samples)
        .flat_map(|n| ((sample(n, rate) * 32_767.0) as i16).to_le_bytes())
        .collect();
    let mut buffer = gst::Buffer::from_mut_slice(all);
    if let Some(b) = buffer.get_mut() {
        b.set_pts(gst::ClockTime::ZERO);
    }
    source.push_buffer(buffer)?;
    source.end_of_stream()?;
    let mut packets = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().context("a sample without a buffer")?;
        packets.push(buffer.map_readable()?.to_vec());
    }
    pipeline.set_state(gst::State::Null)?;
    anyhow::ensure!(
        packets.len() as u64 > AAC_PACKETS,
        "{} packets of AAC",
        packets.len()
    );
    packets.remove(0);
    packets.truncate(usize::try_from(AAC_PACKETS)?);
    Ok(packets)
}

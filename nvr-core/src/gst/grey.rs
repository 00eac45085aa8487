//! Decodes pictures of a stream to small grey ones, in the thread that asks and without a pipeline around the decoder.
//!
//! A pipeline has a thread for each camera and hands pictures over queues; here a decoder is called like a function, so
//! that few threads serve all cameras. Nothing is scaled or converted by GStreamer: the plane of brightness is read where
//! the decoder left it.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gst_video::prelude::*;

use super::colour::ColourFrame;
use super::guard::guarded;
use super::sources::make;
use super::tap::AccessUnit;
use crate::error::{Error, ErrorKind, Result};
use crate::grey::{GreyFrame, Luma};
use crate::time::NS_PER_S;
use crate::track::VideoCodec;

/// Largest picture that is decoded (8K).
const MOST_PIXELS: u64 = 7680 * 4320;
/// A decoder wants times from zero on; reordering never reaches so far back.
const LEAD_NS: i64 = 60 * NS_PER_S;

/// What a stream is, for a decoder of its own.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct GreyStream {
    caps: gst::Caps,
    codec: VideoCodec,
}

impl GreyStream {
    /// That of a frame.
    pub(crate) fn of_unit(unit: &AccessUnit) -> Result<Self> {
        let video = &unit.tracks().video;
        check_size(video.width, video.height)?;
        Ok(Self {
            caps: unit.info.caps.clone(),
            codec: video.codec,
        })
    }

    /// That of recorded footage: `codec_data` is its `avcC` or `hvcC`.
    pub(crate) fn recorded(codec: VideoCodec, codec_data: &[u8], size: (u32, u32)) -> Result<Self> {
        super::init()?;
        check_size(size.0, size.1)?;
        let (media_type, format) = match codec {
            VideoCodec::H264 => ("video/x-h264", "avc"),
            VideoCodec::H265 => ("video/x-h265", "hvc1"),
        };
        let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder(media_type)
            .field("stream-format", format)
            .field("alignment", "au")
            .field("codec_data", gst::Buffer::from_slice(codec_data.to_vec()))
            .field("width", side(size.0))
            .field("height", side(size.1))
            .build();
        Ok(Self { caps, codec })
    }
}

fn check_size(w: u32, h: u32) -> Result<()> {
    if w == 0 || h == 0 || u64::from(w) * u64::from(h) > MOST_PIXELS {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("a picture of {w}x{h} pixels is not decoded"),
        ));
    }
    Ok(())
}

/// A frame for the decoder.
#[derive(Debug)]
pub(crate) struct GreyInput {
    buffer: gst::Buffer,
    pts_ns: i64,
    keyframe: bool,
}

impl GreyInput {
    pub(crate) fn of_unit(unit: &AccessUnit) -> Self {
        Self {
            buffer: unit.buffer.copy(),
            pts_ns: unit.pts_ns,
            keyframe: unit.keyframe,
        }
    }

    /// A keyframe with length prefixes.
    pub(crate) fn keyframe(data: bytes::Bytes, pts_ns: i64) -> Self {
        Self {
            buffer: gst::Buffer::from_slice(data),
            pts_ns,
            keyframe: true,
        }
    }
}

/// What came out of a decoder.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Its presentation time.
    pub(crate) pts_ns: i64,
    pub(crate) grey: GreyFrame,
    /// The picture as it was decoded; costs nothing until it is looked at.
    pub(crate) colour: ColourFrame,
}

type Taken = Arc<Mutex<Vec<Decoded>>>;

/// A decoder of one stream.
#[derive(Debug)]
pub(crate) struct GreyDecoder {
    stream: GreyStream,
    /// Whether each frame is a keyframe that is wanted at once.
    keyframes_only: bool,
    decoder: gst::Element,
    into: gst::Pad,
    /// A link does not keep the pad behind it alive.
    out: gst::Pad,
    taken: Taken,
}

impl GreyDecoder {
    /// Pictures that come out are `width` cells wide. Takes some milliseconds.
    pub(crate) fn new(stream: GreyStream, keyframes_only: bool, width: usize) -> Result<Self> {
        super::init()?;
        let decoder = make(match stream.codec {
            VideoCodec::H264 => "avdec_h264",
            VideoCodec::H265 => "avdec_h265",
        })?;
        decoder.set_property("max-threads", 1i32);
        // A picture with damage is better than none.
        decoder.set_property("max-errors", -1i32);
        let taken = Taken::default();
        let into = gst::Pad::builder(gst::PadDirection::Src).build();
        let out = sink(Arc::clone(&taken), width);
        let pad = |name| decoder.static_pad(name).ok_or_else(|| internal("no pad"));
        into.link(&pad("sink")?).map_err(internal)?;
        pad("src")?.link(&out).map_err(internal)?;
        // From here on dropping it stops the decoder.
        let me = Self {
            stream,
            keyframes_only,
            decoder,
            into,
            out,
            taken,
        };
        me.out.set_active(true).map_err(internal)?;
        me.decoder.set_state(gst::State::Playing).map_err(internal)?;
        me.into.set_active(true).map_err(internal)?;
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        if keyframes_only {
            // So a gap behind each keyframe makes the decoder give it out, instead of waiting for what might be shown before.
            segment.set_flags(gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_KEY_UNITS);
        }
        let events = [
            gst::event::StreamStart::new("grey"),
            gst::event::Caps::new(&me.stream.caps),
            gst::event::Segment::new(&segment),
        ];
        if events.into_iter().all(|event| me.into.push_event(event)) {
            Ok(me)
        } else {
            Err(internal("the decoder does not take the stream"))
        }
    }

    /// Whether it can go on with a stream.
    pub(crate) fn fits(&self, stream: &GreyStream, keyframes_only: bool) -> bool {
        self.keyframes_only == keyframes_only && self.stream == *stream
    }

    /// Decodes a frame; gives what comes out with it. Blocks for some milliseconds.
    ///
    /// # Errors
    /// `Corrupt` when the decoder gave up; it is of no use any more.
    pub(crate) fn decode(&mut self, input: GreyInput) -> Result<Vec<Decoded>> {
        let mut buffer = input.buffer;
        let at = u64::try_from(input.pts_ns.saturating_add(LEAD_NS)).unwrap_or(0);
        let at = gst::ClockTime::from_nseconds(at);
        if let Some(b) = buffer.get_mut() {
            b.set_pts(at);
            b.set_dts(gst::ClockTime::NONE);
            let mut flags = b.flags();
            flags.set(gst::BufferFlags::DELTA_UNIT, !input.keyframe);
            b.unset_flags(gst::BufferFlags::DELTA_UNIT | gst::BufferFlags::DISCONT);
            b.set_flags(flags & gst::BufferFlags::DELTA_UNIT);
        }
        self.into
            .push(buffer)
            .map_err(|e| Error::new(ErrorKind::Corrupt, format!("motion: the decoder gave up: {e}")))?;
        if self.keyframes_only {
            self.into.push_event(gst::event::Gap::builder(at).build());
        }
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        if self.keyframes_only && taken.is_empty() {
            // One that took rubbish first never gives anything.
            return Err(Error::new(
                ErrorKind::Corrupt,
                "motion: a keyframe gives no picture",
            ));
        }
        Ok(taken)
    }
}

impl Drop for GreyDecoder {
    fn drop(&mut self) {
        let _ = self.into.set_active(false);
        let _ = self.decoder.set_state(gst::State::Null);
    }
}

/// A pad that scales down what is pushed into it.
fn sink(taken: Taken, width: usize) -> gst::Pad {
    let format: Arc<Mutex<Option<gst_video::VideoInfo>>> = Arc::default();
    let known = Arc::clone(&format);
    gst::Pad::builder(gst::PadDirection::Sink)
        .event_function(move |_, _, event| {
            if let gst::EventView::Caps(caps) = event.view() {
                *known.lock().unwrap_or_else(PoisonError::into_inner) =
                    gst_video::VideoInfo::from_caps(caps.caps()).ok();
            }
            true
        })
        .chain_function(move |_, _, buffer| {
            guarded(
                "grey picture",
                Ok(gst::FlowSuccess::Ok),
                |_| {},
                || {
                    let format = format.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let format = format.ok_or(gst::FlowError::NotNegotiated)?;
                    let pts = buffer.pts().map_or(0, gst::ClockTime::nseconds);
                    let at_ns = i64::try_from(pts).unwrap_or(i64::MAX) - LEAD_NS;
                    if let Some(grey) = shrink(&buffer, &format, width) {
                        let colour = ColourFrame::new(buffer, format);
                        taken
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(Decoded {
                                pts_ns: at_ns,
                                grey,
                                colour,
                            });
                    }
                    Ok(gst::FlowSuccess::Ok)
                },
            )
        })
        .build()
}

/// `None` for a format whose brightness does not lie in a plane of its own.
fn shrink(buffer: &gst::BufferRef, format: &gst_video::VideoInfo, width: usize) -> Option<GreyFrame> {
    let kind = format.format_info();
    let bits = kind.depth().first().copied()?;
    let step = usize::try_from(kind.pixel_stride().first().copied()?).ok()?;
    let own_plane = (kind.is_yuv() || kind.is_gray()) && step == if bits > 8 { 2 } else { 1 };
    if !own_plane {
        return None;
    }
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, format).ok()?;
    let stride = usize::try_from(frame.plane_stride().first().copied()?).ok()?;
    let luma = Luma {
        data: frame.plane_data(0).ok()?,
        stride,
        width: frame.width() as usize,
        height: frame.height() as usize,
        bits,
    };
    GreyFrame::shrink(luma, width)
}

fn internal(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("motion: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keyframes of a real encoder, brighter from one to the next, with their parameters.
    fn keyframes(codec: VideoCodec, extra: &str, n: i32) -> (GreyStream, Vec<(bytes::Bytes, bool, i64)>) {
        super::super::init().unwrap();
        let encode = match codec {
            VideoCodec::H264 => format!(
                "x264enc key-int-max=10 speed-preset=ultrafast {extra} ! h264parse ! video/x-h264,stream-format=avc"
            ),
            VideoCodec::H265 => format!(
                "x265enc key-int-max=10 speed-preset=ultrafast option-string={extra} ! h265parse ! video/x-h265,stream-format=hvc1"
            ),
        };
        let text = format!(
            "videotestsrc name=src num-buffers={n} pattern=black ! video/x-raw,format=I420,width=640,height=360,framerate=10/1 ! {encode},alignment=au ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&text)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let pad = pipeline.by_name("src").unwrap().static_pad("src").unwrap();
        let count = std::sync::atomic::AtomicU8::new(0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut map = info.buffer_mut().unwrap().make_mut().map_writable().unwrap();
            map[..640 * 360].fill(20 + n * 2);
            drop(map);
            gst::PadProbeReturn::Ok
        });
        let out = pipeline
            .by_name("out")
            .unwrap()
            .downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let (mut units, mut data) = (Vec::new(), None);
        let mut first = None;
        while let Ok(sample) = out.pull_sample() {
            let s = sample.caps().unwrap().structure(0).unwrap();
            let config = s.get::<gst::Buffer>("codec_data").unwrap();
            data = Some(config.map_readable().unwrap().to_vec());
            let b = sample.buffer().unwrap();
            let pts = i64::try_from(b.pts().unwrap().nseconds()).unwrap();
            let first = *first.get_or_insert(pts);
            let key = !b.flags().contains(gst::BufferFlags::DELTA_UNIT);
            units.push((
                bytes::Bytes::copy_from_slice(&b.map_readable().unwrap()),
                key,
                pts - first,
            ));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        (
            GreyStream::recorded(codec, &data.unwrap(), (640, 360)).unwrap(),
            units,
        )
    }

    #[test]
    fn each_keyframe_comes_out_at_once() {
        for (codec, extra) in [
            (VideoCodec::H264, "bframes=0"),
            (VideoCodec::H264, "bframes=3 b-adapt=false b-pyramid=true"),
            (VideoCodec::H265, "bframes=0"),
            (VideoCodec::H265, "bframes=3:b-adapt=0"),
        ] {
            let (stream, units) = keyframes(codec, extra, 41);
            let mut decoder = GreyDecoder::new(stream.clone(), true, 160).unwrap();
            assert!(decoder.fits(&stream, true) && !decoder.fits(&stream, false));
            let keys: Vec<_> = units.into_iter().filter(|u| u.1).collect();
            assert!(keys.len() >= 5, "{codec} {extra}: {} keyframes", keys.len());
            for (data, _, at) in keys {
                let frames = decoder.decode(GreyInput::keyframe(data, at)).unwrap();
                assert_eq!(frames.len(), 1, "{codec} {extra} at {at}");
                assert_eq!(frames[0].pts_ns, at, "{codec} {extra}");
                let grey = &frames[0].grey;
                assert_eq!((grey.width(), grey.height()), (160, 90));
                let want = 20 + at / 100_000_000 * 2;
                let have = i64::from(grey.cells()[80 * 160 + 40]);
                assert!(
                    (have - want).abs() <= 3,
                    "{codec} {extra} at {at}: {have}, want {want}"
                );
            }
        }
    }

    #[test]
    fn all_frames_come_out_where_all_are_wanted() {
        let (stream, units) = keyframes(VideoCodec::H264, "bframes=2 b-adapt=false", 30);
        let mut decoder = GreyDecoder::new(stream, false, 160).unwrap();
        let mut times = Vec::new();
        for (data, keyframe, pts_ns) in units {
            let input = GreyInput {
                buffer: gst::Buffer::from_slice(data),
                pts_ns,
                keyframe,
            };
            times.extend(decoder.decode(input).unwrap().into_iter().map(|d| d.pts_ns));
        }
        assert!(times.len() >= 26, "{}", times.len());
        assert!(times.is_sorted(), "{times:?}");
    }

    #[test]
    fn rubbish_gives_nothing_and_the_next_keyframe_does() {
        let (stream, units) = keyframes(VideoCodec::H264, "bframes=0", 12);
        let mut decoder = GreyDecoder::new(stream.clone(), true, 160).unwrap();
        for rubbish in [
            &[0u8, 0, 0, 9, 1, 2, 3][..],
            &[0; 40],
            b"",
            &[0, 0, 0, 4, 0x65, 1, 2, 3],
        ] {
            let data = bytes::Bytes::copy_from_slice(rubbish);
            match decoder.decode(GreyInput::keyframe(data, 0)) {
                Ok(frames) => assert!(frames.len() <= 1),
                // It is of no use any more, as whoever has it knows.
                Err(_) => decoder = GreyDecoder::new(stream.clone(), true, 160).unwrap(),
            }
        }
        let (data, _, at) = units[10].clone();
        assert!(units[10].1);
        assert_eq!(decoder.decode(GreyInput::keyframe(data, at)).unwrap().len(), 1);
        assert!(GreyStream::recorded(VideoCodec::H264, &[], (60_000, 60_000)).is_err());
    }
}

//! What the tests of sources share: run a source, collect what comes out, serve it RTSP.

use std::sync::mpsc;
use std::time::Duration;

use gst::prelude::*;

use super::cause::cause_of;
use crate::event::Cause;
use crate::gst::source_bin::{Around, OnTracks};
use crate::source::SourceSpec;

/// One buffer that a source handed out.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub video: bool,
    /// Running time, as a recorder reckons.
    pub pts_ns: Option<i64>,
    pub dts_ns: Option<i64>,
    pub key: bool,
    pub data: Vec<u8>,
    pub caps: gst::Caps,
}

pub(crate) enum Told {
    Tracks(bool),
    Unit(Unit),
    Failed(Cause, String),
}

/// A source in a pipeline of its own; stopped when dropped.
pub(crate) struct Running {
    pub pipeline: gst::Pipeline,
    pub told: mpsc::Receiver<Told>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

/// Starts a source; what happens arrives in `told`.
pub(crate) fn run(spec: &SourceSpec) -> Running {
    run_bin(spec, |on_tracks| {
        super::build(spec, &Around::default(), on_tracks).unwrap().bin
    })
}

/// Starts a bin that was built otherwise.
pub(crate) fn run_bin(spec: &SourceSpec, build: impl FnOnce(OnTracks) -> gst::Bin) -> Running {
    crate::gst::init().unwrap();
    let pipeline = gst::Pipeline::new();
    let (tell, told) = mpsc::channel();
    let at = pipeline.downgrade();
    let tracks = tell.clone();
    let on_tracks: OnTracks = Box::new(move |has_audio| {
        let Some(pipeline) = at.upgrade() else { return };
        tracks.send(Told::Tracks(has_audio)).unwrap();
        let bin = pipeline.by_name("source").unwrap();
        let pads = if has_audio {
            vec!["video", "audio"]
        } else {
            vec!["video"]
        };
        for name in pads {
            let pad = bin.static_pad(name).unwrap();
            assert!(
                pad.current_caps().is_some() || name == "audio",
                "{name} has no caps yet"
            );
            // Nothing gets as far as the sink: on the way to NULL one would hold the thread that brings the packets for its
            // preroll, and rtspsrc waits for that thread.
            let sink = gst::ElementFactory::make("fakesink")
                .property("async", false)
                .build()
                .unwrap();
            let tell = tracks.clone();
            let video = name == "video";
            let end = sink.static_pad("sink").unwrap();
            end.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
                let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap();
                let sample = gst::Sample::builder()
                    .buffer(info.buffer().unwrap())
                    .caps(&pad.current_caps().unwrap())
                    .segment(segment.segment())
                    .build();
                let _ = tell.send(Told::Unit(unit(&sample, video)));
                gst::PadProbeReturn::Handled
            });
            pipeline.add(&sink).unwrap();
            pad.link(&sink.static_pad("sink").unwrap()).unwrap();
            sink.sync_state_with_parent().unwrap();
        }
    });
    let bin = build(on_tracks);
    bin.set_property("name", "source");
    pipeline.add(&bin).unwrap();
    let asked = spec.clone();
    pipeline.bus().unwrap().set_sync_handler(move |_, m| {
        if let gst::MessageView::Error(e) = m.view() {
            let debug = e.debug().map(|d| d.to_string());
            let all = format!("{} {}", e.error(), debug.as_deref().unwrap_or_default());
            let _ = tell.send(Told::Failed(cause_of(&e.error(), debug.as_deref(), &asked), all));
        }
        gst::BusSyncReply::Drop
    });
    pipeline.set_state(gst::State::Playing).ok();
    Running { pipeline, told }
}

fn unit(sample: &gst::Sample, video: bool) -> Unit {
    let buffer = sample.buffer().unwrap();
    let segment = sample
        .segment()
        .unwrap()
        .downcast_ref::<gst::ClockTime>()
        .unwrap();
    let running = |t: Option<gst::ClockTime>| {
        let signed = segment.to_running_time_full(t?)?;
        let ns = i64::try_from(signed.abs().nseconds()).unwrap();
        Some(if signed.is_negative() { -ns } else { ns })
    };
    Unit {
        video,
        pts_ns: running(buffer.pts()),
        dts_ns: running(buffer.dts()),
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        data: buffer.map_readable().unwrap().to_vec(),
        caps: sample.caps_owned().unwrap(),
    }
}

impl Running {
    /// Waits for the tracks and `frames` video frames; panics after a deadline or at an error.
    pub(crate) fn collect(&self, frames: usize) -> (bool, Vec<Unit>) {
        let mut audio = None;
        let mut units = Vec::new();
        while units.iter().filter(|u: &&Unit| u.video).count() < frames {
            match self.next() {
                Told::Tracks(a) => assert!(audio.replace(a).is_none(), "told twice"),
                Told::Unit(u) => units.push(u),
                Told::Failed(cause, all) => panic!("{cause:?}: {all}"),
            }
        }
        (audio.unwrap(), units)
    }

    /// Waits for the error; frames before it are passed over.
    pub(crate) fn failure(&self) -> (Cause, String) {
        loop {
            if let Told::Failed(cause, all) = self.next() {
                return (cause, all);
            }
        }
    }

    pub(crate) fn next(&self) -> Told {
        self.told
            .recv_timeout(Duration::from_secs(30))
            .expect("nothing happened for 30 s")
    }
}

/// Checks what every source promises of its video: caps, both times set, decoding order, a keyframe first.
pub(crate) fn check_video(units: &[Unit]) {
    let video: Vec<&Unit> = units.iter().filter(|u| u.video).collect();
    assert!(video[0].key, "the first frame is a keyframe");
    let s = video[0].caps.structure(0).unwrap();
    assert_eq!(s.get::<&str>("alignment"), Ok("au"));
    assert!(s.has_field("codec_data") && s.has_field("width"));
    for pair in video.windows(2) {
        let (a, b) = (pair[0].dts_ns.unwrap(), pair[1].dts_ns.unwrap());
        assert!(a < b, "DTS {a} then {b}");
        assert!(pair[1].pts_ns.unwrap() >= b, "PTS before DTS");
    }
}

/// The luma plane of a decoded picture.
pub(crate) struct Decoded {
    pub luma: Vec<u8>,
    pub stride: usize,
}

/// Decodes the H.264 video frames among `units`.
pub(crate) fn decode(units: &[Unit]) -> Vec<Decoded> {
    let pipeline = gst::parse::launch("appsrc name=in format=time ! h264parse ! avdec_h264 max-threads=1 ! videoconvert ! video/x-raw,format=I420 ! appsink name=out sync=false")
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let input = pipeline
        .by_name("in")
        .unwrap()
        .downcast::<gst_app::AppSrc>()
        .unwrap();
    let output = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    let video: Vec<&Unit> = units.iter().filter(|u| u.video).collect();
    input.set_caps(Some(&video[0].caps));
    pipeline.set_state(gst::State::Playing).unwrap();
    for u in &video {
        let mut b = gst::Buffer::from_slice(u.data.clone());
        let time = |ns: Option<i64>| {
            ns.and_then(|n| u64::try_from(n).ok())
                .map(gst::ClockTime::from_nseconds)
        };
        b.get_mut().unwrap().set_pts(time(u.pts_ns));
        b.get_mut().unwrap().set_dts(time(u.dts_ns));
        input.push_buffer(b).unwrap();
    }
    input.end_of_stream().unwrap();
    let mut out = Vec::new();
    while let Ok(sample) = output.pull_sample() {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        out.push(Decoded {
            luma: sample.buffer().unwrap().map_readable().unwrap().to_vec(),
            stride: usize::try_from(info.stride()[0]).unwrap(),
        });
    }
    pipeline.set_state(gst::State::Null).unwrap();
    out
}

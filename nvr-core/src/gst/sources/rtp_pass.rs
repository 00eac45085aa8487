//! `NvrRtpPass`: stands in rtspsrc where rtpjitterbuffer would, for streams that come over TCP.
//!
//! Within a connection no packet overtakes another, so that nothing needs to be held back and put in order, and no
//! thread is needed that does so: that thread is a third of what rtspsrc costs. Packets pass in the thread that read
//! them, with times from the time line that the lean client has, too.
//!
//! While a camera only records, that thread sleeps between two batches ([`Pace`]): what comes meanwhile waits in the
//! kernel, and is then read in one go.

use std::sync::{Arc, OnceLock};

use glib::subclass::prelude::*;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::pace::{At, Pace};
use crate::gst::guard::guarded;
use crate::rtsp::TrackKind;

mod imp {
    use std::sync::{LazyLock, Mutex, PoisonError};

    use super::*;

    /// From the era of NTP to that of Unix.
    const NTP_TO_UNIX_NS: i128 = 2_208_988_800 * 1_000_000_000;
    /// Ticks of a clock of which nothing is known.
    const CLOCK_RATE: u32 = 90_000;

    #[derive(Default)]
    pub(in crate::gst) struct NvrRtpPass {
        pub(super) pace: OnceLock<Arc<Pace>>,
        state: Mutex<State>,
        pads: OnceLock<(gst::Pad, gst::Pad)>,
    }

    #[derive(Default)]
    struct State {
        payload_type: Option<u8>,
        track: Option<TrackKind>,
        segment: gst::FormattedSegment<gst::ClockTime>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for NvrRtpPass {
        const NAME: &'static str = "NvrRtpPass";
        type Type = super::NvrRtpPass;
        type ParentType = gst::Element;
    }

    impl ObjectImpl for NvrRtpPass {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecUInt::builder("latency")
                        .nick("Latency")
                        .blurb("Set by rtpbin, which asks it of what stands here; nothing is held back")
                        .default_value(200)
                        .build(),
                ]
            });
            PROPERTIES.as_ref()
        }

        // rtpbin sets the latency; it says how long a jitter buffer would wait.
        fn set_property(&self, _id: usize, _value: &glib::Value, _pspec: &glib::ParamSpec) {}

        fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
            pspec.default_value().clone()
        }

        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
                vec![
                    // Answered by rtpbin, with the caps of a payload type.
                    glib::subclass::Signal::builder("request-pt-map")
                        .param_types([u32::static_type()])
                        .return_type::<Option<gst::Caps>>()
                        .build(),
                    // Connected by rtpbin to bring the streams of one sender together; that is done here.
                    glib::subclass::Signal::builder("handle-sync")
                        .param_types([gst::Structure::static_type()])
                        .build(),
                ]
            });
            SIGNALS.as_ref()
        }

        fn constructed(&self) {
            self.parent_constructed();
            let obj = self.obj();
            let template = |name| obj.pad_template(name);
            let (Some(sink), Some(src)) = (template("sink"), template("src")) else {
                return;
            };
            let sink = gst::Pad::builder_from_template(&sink)
                .name("sink")
                .chain_function(|_, parent, buffer| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |me| me.packet(buffer),
                    )
                })
                .event_function(|pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |me| me.event(pad, event))
                })
                .build();
            let src = gst::Pad::builder_from_template(&src).name("src").build();
            let _ = obj.add_pad(&sink);
            let _ = obj.add_pad(&src);
            let _ = self.pads.set((sink, src));
        }
    }

    impl GstObjectImpl for NvrRtpPass {}

    impl ElementImpl for NvrRtpPass {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "RTP of a TCP connection",
                    "Filter/Network/RTP",
                    "Times the packets of a stream that keeps its order",
                    "The nvr developers",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let rtp = gst::Caps::new_empty_simple("application/x-rtp");
                let rtcp = gst::Caps::new_empty_simple("application/x-rtcp");
                let (sink, src) = (gst::PadDirection::Sink, gst::PadDirection::Src);
                let (always, request) = (gst::PadPresence::Always, gst::PadPresence::Request);
                [
                    gst::PadTemplate::new("sink", sink, always, &rtp),
                    gst::PadTemplate::new("sink_rtcp", sink, request, &rtcp),
                    gst::PadTemplate::new("src", src, always, &rtp),
                ]
                .into_iter()
                .flatten()
                .collect()
            });
            TEMPLATES.as_ref()
        }

        fn request_new_pad(
            &self,
            template: &gst::PadTemplate,
            _name: Option<&str>,
            _caps: Option<&gst::Caps>,
        ) -> Option<gst::Pad> {
            let pad = gst::Pad::builder_from_template(template)
                .name("sink_rtcp")
                .chain_function(|_, parent, buffer| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |me| {
                            me.report(&buffer);
                            Ok(gst::FlowSuccess::Ok)
                        },
                    )
                })
                // Events of the other pad are those of the stream.
                .event_function(|_, _, _| true)
                .build();
            let _ = pad.set_active(true);
            self.obj().add_pad(&pad).ok()?;
            Some(pad)
        }

        fn release_pad(&self, pad: &gst::Pad) {
            let _ = self.obj().remove_pad(pad);
        }
    }

    impl NvrRtpPass {
        fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            match event.view() {
                gst::EventView::Segment(e) => {
                    if let Ok(segment) = e.segment().clone().downcast::<gst::ClockTime>() {
                        self.lock().segment = segment;
                    }
                }
                gst::EventView::FlushStart(_) => {
                    if let Some(pace) = self.pace.get() {
                        pace.flush(true);
                    }
                }
                gst::EventView::FlushStop(_) => {
                    if let Some(pace) = self.pace.get() {
                        pace.flush(false);
                    }
                }
                _ => {}
            }
            gst::Pad::event_default(pad, Some(&*self.obj()), event)
        }

        fn lock(&self) -> std::sync::MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Which track a payload type is of; begins its time line when it is new.
        fn track(&self, pace: &Pace, payload_type: u8) -> TrackKind {
            let mut s = self.lock();
            if s.payload_type == Some(payload_type)
                && let Some(track) = s.track
            {
                return track;
            }
            s.payload_type = Some(payload_type);
            drop(s);
            // Not under the lock: somebody answers.
            let caps = self
                .obj()
                .emit_by_name::<Option<gst::Caps>>("request-pt-map", &[&u32::from(payload_type)]);
            let s = caps.as_ref().and_then(|c| c.structure(0));
            let track = match s.and_then(|s| s.get::<&str>("media").ok()) {
                Some("audio") => TrackKind::Audio,
                _ => TrackKind::Video,
            };
            let rate = s.and_then(|s| s.get::<i32>("clock-rate").ok());
            let rate = rate.and_then(|r| u32::try_from(r).ok()).filter(|r| *r > 0);
            pace.begin(track, rate.unwrap_or(CLOCK_RATE));
            self.lock().track = Some(track);
            track
        }

        fn packet(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let Some(pace) = self.pace.get() else {
                return Err(gst::FlowError::NotNegotiated);
            };
            let mut head = [0; 8];
            if buffer.copy_to_slice(0, &mut head).is_err() {
                // No packet.
                return Ok(gst::FlowSuccess::Ok);
            }
            let marker = head[1] & 0x80 != 0;
            let track = self.track(pace, head[1] & 0x7F);
            let timestamp = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            let at = pace.time(track, timestamp);
            let size = buffer.size();
            let passed = self.pass(buffer, &at)?;
            if let Some(time) = pace.pause(track, marker, size, &at) {
                if let Some((_, src)) = self.pads.get() {
                    src.push_event(super::super::pause_event());
                }
                pace.sleep(time);
            }
            Ok(passed)
        }

        fn pass(&self, mut buffer: gst::Buffer, at: &At) -> Result<gst::FlowSuccess, gst::FlowError> {
            let (Some((_, src)), Some(base)) = (self.pads.get(), self.obj().base_time()) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let running = u64::try_from(at.pts_ns)
                .unwrap_or(0)
                .saturating_sub(base.nseconds());
            let running = gst::ClockTime::from_nseconds(running);
            let pts = self.lock().segment.position_from_running_time(running);
            let b = buffer.make_mut();
            b.set_pts(pts.unwrap_or(running));
            b.set_dts(gst::ClockTime::NONE);
            if let Some(ntp) = at.ntp
                && let Ok(ns) = u64::try_from(i128::from(ntp.as_ns()) + NTP_TO_UNIX_NS)
            {
                static NTP: LazyLock<gst::Caps> =
                    LazyLock::new(|| gst::Caps::new_empty_simple("timestamp/x-ntp"));
                let at = gst::ClockTime::from_nseconds(ns);
                gst::ReferenceTimestampMeta::add(b, &NTP, at, gst::ClockTime::NONE);
            }
            src.push(buffer)
        }

        fn report(&self, buffer: &gst::Buffer) {
            let (Some(track), Some(pace)) = (self.lock().track, self.pace.get()) else {
                return;
            };
            if let Ok(map) = buffer.map_readable() {
                pace.report(track, &map);
            }
        }
    }
}

glib::wrapper! {
    /// See the module.
    pub(in crate::gst) struct NvrRtpPass(ObjectSubclass<imp::NvrRtpPass>)
        @extends gst::Element, gst::Object;
}

/// Has an rtspsrc take these elements instead of jitter buffers.
pub(super) fn attach(src: &gst::Element, pace: Arc<Pace>) {
    src.connect("new-manager", false, move |args| {
        let manager = args.get(1)?.get::<gst::Element>().ok()?;
        glib::subclass::SignalId::lookup("request-jitterbuffer", manager.type_())?;
        let pace = pace.clone();
        manager.connect("request-jitterbuffer", false, move |_| {
            let element = guarded(
                "request-jitterbuffer",
                None,
                |_| {},
                || {
                    let element: NvrRtpPass = glib::Object::new();
                    let _ = element.imp().pace.set(pace.clone());
                    Some(element.upcast::<gst::Element>())
                },
            );
            Some(element.to_value())
        });
        None
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::gst::sources::{is_pause, make, pause_event};
    use crate::gst::writer::any_pad;

    fn coded(encoder: &str) -> (gst::Caps, Vec<gst::Buffer>) {
        let line = format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! {encoder} ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&line)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let out = pipeline
            .by_name("out")
            .unwrap()
            .downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let samples: Vec<gst::Sample> = std::iter::from_fn(|| out.pull_sample().ok()).collect();
        pipeline.set_state(gst::State::Null).unwrap();
        let caps = samples[0].caps_owned().unwrap();
        (caps, samples.iter().map(|s| s.buffer_owned().unwrap()).collect())
    }

    /// Who hears of it only with the next frame ends the chunk when the pause is over.
    #[test]
    fn a_pause_passes_a_parser_at_once() {
        crate::gst::init().unwrap();
        for (encoder, parser) in [
            (
                "x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream,alignment=au",
                "h264parse",
            ),
            (
                "x265enc tune=zerolatency ! video/x-h265,stream-format=byte-stream,alignment=au",
                "h265parse",
            ),
        ] {
            let (caps, frames) = coded(encoder);
            let seen: Arc<Mutex<Vec<&str>>> = Arc::default();
            let (on_frame, on_event) = (Arc::clone(&seen), Arc::clone(&seen));
            let sink = any_pad(gst::PadDirection::Sink, "sink")
                .chain_function(move |_, _, _| {
                    on_frame.lock().unwrap().push("frame");
                    Ok(gst::FlowSuccess::Ok)
                })
                .event_function(move |_, _, event| {
                    if is_pause(&event) {
                        on_event.lock().unwrap().push("pause");
                    }
                    true
                })
                .build();
            let src = any_pad(gst::PadDirection::Src, "src").build();
            let parser = make(parser).unwrap();
            src.link(&parser.static_pad("sink").unwrap()).unwrap();
            parser.static_pad("src").unwrap().link(&sink).unwrap();
            src.set_active(true).unwrap();
            sink.set_active(true).unwrap();
            parser.set_state(gst::State::Playing).unwrap();
            src.push_event(gst::event::StreamStart::new("test"));
            src.push_event(gst::event::Caps::new(&caps));
            src.push_event(gst::event::Segment::new(
                &gst::FormattedSegment::<gst::ClockTime>::new(),
            ));
            let count = frames.len();
            for frame in frames {
                src.push(frame).unwrap();
                src.push_event(pause_event());
            }
            parser.set_state(gst::State::Null).unwrap();
            assert_eq!(
                *seen.lock().unwrap(),
                ["frame", "pause"].repeat(count),
                "{}",
                parser.name()
            );
        }
    }
}

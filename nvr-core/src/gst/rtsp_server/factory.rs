//! The pipeline of one client: frames in, RTP out.

use std::sync::{Arc, OnceLock, Weak};

use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp::{RTSPLowerTrans, RTSPUrl};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gst_rtsp_server::{RTSPContext, RTSPMedia, RTSPMediaFactory};

use super::clients::Place;
use super::feed::{Feed, Link};
use super::{Around, Clients, Opened};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::guard::guarded;
use crate::gst::outlet::source;
use crate::gst::sources::make;
use crate::gst::tap::AccessUnit;
use crate::track::VideoCodec;

/// How far the running time of a pipeline is ahead of its begin, so that frames of before it have one, too.
const LEAD: gst::ClockTime = gst::ClockTime::from_seconds(600);

mod imp {
    use super::*;

    #[derive(Debug, Default)]
    pub struct Factory {
        pub(super) around: OnceLock<Weak<Around>>,
        pub(super) path: OnceLock<String>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Factory {
        const NAME: &'static str = "NvrRtspFactory";
        type Type = super::Factory;
        type ParentType = RTSPMediaFactory;
    }

    impl ObjectImpl for Factory {}

    impl RTSPMediaFactoryImpl for Factory {
        fn create_element(&self, _: &RTSPUrl) -> Option<gst::Element> {
            let make = || {
                let around = self.around.get().and_then(Weak::upgrade)?;
                super::element(&around, self.path.get()?).map(Cast::upcast)
            };
            guarded("rtsp stream", None, |_| {}, make)
        }

        fn create_pipeline(&self, media: &RTSPMedia) -> Option<gst::Pipeline> {
            let pipeline = self.parent_create_pipeline(media)?;
            guarded(
                "rtsp pipeline",
                (),
                |_| {},
                || {
                    super::prepare(&pipeline);
                    let around = self.around.get().and_then(Weak::upgrade);
                    if let Some(link) = around.and_then(|around| around.links.take(&media.element())) {
                        link.watch(&pipeline);
                    }
                },
            );
            Some(pipeline)
        }
    }
}

glib::wrapper! {
    pub struct Factory(ObjectSubclass<imp::Factory>) @extends RTSPMediaFactory;
}

pub(super) fn factory(around: &Arc<Around>, path: &str) -> Factory {
    let factory: Factory = glib::Object::new();
    let _ = factory.imp().around.set(Arc::downgrade(around));
    let _ = factory.imp().path.set(path.to_owned());
    factory.set_shared(false);
    factory.set_protocols(RTSPLowerTrans::TCP | RTSPLowerTrans::UDP);
    factory
}

/// The pipeline goes by the steady clock from a time before its begin: what was sent before a client came is late, and hence
/// goes at once, and reports of the sender tell the true time of each frame.
fn prepare(pipeline: &gst::Pipeline) {
    let clock = gst::SystemClock::obtain();
    let now = clock.time();
    pipeline.use_clock(Some(&clock));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(now.saturating_sub(LEAD));
}

fn element(around: &Arc<Around>, path: &str) -> Option<gst::Bin> {
    let place = RTSPContext::with_current_context(|context| Clients::place_of(around, context))??;
    let who = around.clients.who(place)?;
    let opened = match around.clients.take(place, path) {
        Some(opened) => opened,
        // Set up without asking what it is.
        None => around
            .door
            .may(&who, path)
            .and_then(|()| around.door.open(&who, path, place.peer))
            .ok()?,
    };
    match stream(around, place, opened) {
        Ok(bin) => Some(bin),
        Err(e) => {
            tracing::error!(path, error = %e, "a stream cannot be served");
            None
        }
    }
}

fn stream(around: &Arc<Around>, place: Place, opened: Opened) -> Result<gst::Bin> {
    let Opened {
        first,
        audio,
        age_ns,
        begin,
    } = opened;
    let pay = match first.tracks().video.codec {
        VideoCodec::H264 => make("rtph264pay")?,
        VideoCodec::H265 => make("rtph265pay")?,
    };
    // Parameter sets with each keyframe: who listens in the middle, or lost a packet, needs them.
    pay.set_property("config-interval", -1i32);
    pay.set_property("pt", 96u32);
    pay.set_property("name", "pay0");
    let bin = gst::Bin::new();
    let video = source("video", &first.info.caps);
    join(&bin, &video, &pay)?;
    let audio = match audio.as_ref().and_then(|a| Some((a, audio_pay(a)?))) {
        Some((unit, pay)) => {
            let source = source("audio", &unit.info.caps);
            join(&bin, &source, &pay?)?;
            Some((source, unit.clone()))
        }
        None => None,
    };
    let link = Link::new(&video);
    around.links.put(&bin, &link);
    begin(Feed::new(around, place, link, (video, first), audio, age_ns));
    Ok(bin)
}

fn join(bin: &gst::Bin, source: &gst_app::AppSrc, pay: &gst::Element) -> Result<()> {
    let internal = |e: glib::BoolError| Error::new(ErrorKind::Internal, format!("rtsp stream: {e}"));
    bin.add_many([source.upcast_ref(), pay]).map_err(internal)?;
    source.link(pay).map_err(internal)
}

/// What packs the sound; `None` for a codec that RTP has no common packing for.
fn audio_pay(unit: &AccessUnit) -> Option<Result<gst::Element>> {
    let caps = unit.info.caps.structure(0)?;
    let (factory, pt) = match caps.name().as_str() {
        "audio/mpeg" if caps.has_field("codec_data") => ("rtpmp4gpay", Some(97u32)),
        "audio/x-opus" => ("rtpopuspay", Some(97)),
        // Theirs stand in RFC 3551.
        "audio/x-mulaw" => ("rtppcmupay", None),
        "audio/x-alaw" => ("rtppcmapay", None),
        _ => return None,
    };
    Some(make(factory).inspect(|pay| {
        if let Some(pt) = pt {
            pay.set_property("pt", pt);
        }
        pay.set_property("name", "pay1");
    }))
}

//! Encoders for tests: one that works when it is tried and fails at work.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::archive_encoders::{ArchiveEncoder, X265};
use super::playback_encoders::X264;
use crate::track::VideoCodec;

mod imp {
    use super::*;

    /// An encoder, and an error after some more frames than a trial has.
    fn build(bin: &gst::Bin, name: &str, options: &str) {
        let make = |name: &str| gst::ElementFactory::make(name).build().unwrap();
        let (encoder, breaks) = (make(name), make("identity"));
        encoder.set_property_from_str("speed-preset", "ultrafast");
        encoder.set_property("option-string", options);
        breaks.set_property("error-after", 40i32);
        bin.add_many([&encoder, &breaks]).unwrap();
        encoder.link(&breaks).unwrap();
        for (element, name) in [(&encoder, "sink"), (&breaks, "src")] {
            let pad = element.static_pad(name).unwrap();
            let ghost = gst::GhostPad::builder_with_target(&pad)
                .unwrap()
                .name(name)
                .build();
            bin.add_pad(&ghost).unwrap();
        }
    }

    macro_rules! breaking {
        ($name:ident, $text:literal, $encoder:literal, $options:literal) => {
            #[derive(Default)]
            pub(crate) struct $name;

            #[glib::object_subclass]
            impl ObjectSubclass for $name {
                const NAME: &'static str = $text;
                type Type = super::$name;
                type ParentType = gst::Bin;
            }

            impl ObjectImpl for $name {
                fn constructed(&self) {
                    self.parent_constructed();
                    build(self.obj().upcast_ref(), $encoder, $options);
                }
            }

            impl GstObjectImpl for $name {}
            impl ElementImpl for $name {}
            impl BinImpl for $name {}
        };
    }

    breaking!(
        Breaking,
        "NvrTestBreaking",
        "x265enc",
        "bframes=0:open-gop=0:scenecut=0:keyint=1000"
    );
    breaking!(
        BreakingH264,
        "NvrTestBreakingH264",
        "x264enc",
        "bframes=0:scenecut=0:keyint=1000:cabac=0"
    );
}

glib::wrapper! {
    pub(crate) struct Breaking(ObjectSubclass<imp::Breaking>) @extends gst::Bin, gst::Element, gst::Object;
}

glib::wrapper! {
    pub(crate) struct BreakingH264(ObjectSubclass<imp::BreakingH264>) @extends gst::Bin, gst::Element, gst::Object;
}

/// The breaking one, then x264.
pub(crate) static BREAKING_THEN_X264: &[ArchiveEncoder] = &[
    ArchiveEncoder {
        name: "nvrtestbreaking264",
        codec: VideoCodec::H264,
        hardware: true,
        presets: &[],
        default_preset: "",
        settings: &[],
        output: "",
    },
    X264,
];

/// The breaking one, then x265.
pub(crate) static BREAKING_THEN_X265: &[ArchiveEncoder] = &[
    ArchiveEncoder {
        name: "nvrtestbreaking",
        hardware: true,
        presets: &[],
        default_preset: "",
        settings: &[],
        ..X265
    },
    X265,
];

/// Registers the breaking ones.
pub(crate) fn register() {
    super::init().unwrap();
    gst::Element::register(None, "nvrtestbreaking", gst::Rank::NONE, Breaking::static_type()).unwrap();
    let kind = BreakingH264::static_type();
    gst::Element::register(None, "nvrtestbreaking264", gst::Rank::NONE, kind).unwrap();
}

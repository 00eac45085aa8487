//! Encoders for tests: one that works when it is tried and fails at work.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::archive_encoders::{ArchiveEncoder, X265};

mod imp {
    use super::*;

    /// x265enc that gives an error after some more frames than a trial has.
    #[derive(Default)]
    pub(crate) struct Breaking;

    #[glib::object_subclass]
    impl ObjectSubclass for Breaking {
        const NAME: &'static str = "NvrTestBreaking";
        type Type = super::Breaking;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for Breaking {
        fn constructed(&self) {
            self.parent_constructed();
            let make = |name: &str| gst::ElementFactory::make(name).build().unwrap();
            let (encoder, breaks) = (make("x265enc"), make("identity"));
            encoder.set_property_from_str("speed-preset", "ultrafast");
            encoder.set_property("option-string", "bframes=0:open-gop=0:scenecut=0:keyint=1000");
            breaks.set_property("error-after", 40i32);
            let obj = self.obj();
            obj.add_many([&encoder, &breaks]).unwrap();
            encoder.link(&breaks).unwrap();
            for (element, name) in [(&encoder, "sink"), (&breaks, "src")] {
                let pad = element.static_pad(name).unwrap();
                let ghost = gst::GhostPad::builder_with_target(&pad)
                    .unwrap()
                    .name(name)
                    .build();
                obj.add_pad(&ghost).unwrap();
            }
        }
    }

    impl GstObjectImpl for Breaking {}
    impl ElementImpl for Breaking {}
    impl BinImpl for Breaking {}
}

glib::wrapper! {
    pub(crate) struct Breaking(ObjectSubclass<imp::Breaking>) @extends gst::Bin, gst::Element, gst::Object;
}

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

/// Registers the breaking one.
pub(crate) fn register() {
    super::init().unwrap();
    gst::Element::register(None, "nvrtestbreaking", gst::Rank::NONE, Breaking::static_type()).unwrap();
}

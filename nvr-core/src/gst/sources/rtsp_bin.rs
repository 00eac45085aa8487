//! The bin of an RTSP source: adds to the errors that leave it what only this recorder knows.

use glib::subclass::prelude::*;
use gst::subclass::prelude::*;

use super::cause::SourceError;

/// Divides what went wrong from why rtspsrc was asked at all, in the text of an error.
pub(super) const AFTER: &str = "; read by rtspsrc, because the lean client could not: ";

/// How rtspsrc says that it set up no stream, whether none is of a known kind or none by a transport that was allowed.
pub(super) const NOTHING_SET_UP: &str = "No supported stream was found";

#[derive(Debug, Default, Clone)]
struct Notes {
    after: Option<String>,
    video: bool,
    sent_on: Option<String>,
}

mod imp {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Default)]
    pub(in crate::gst) struct RtspBin {
        notes: Mutex<Notes>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for RtspBin {
        const NAME: &'static str = "NvrRtspBin";
        type Type = super::RtspBin;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for RtspBin {}
    impl GstObjectImpl for RtspBin {}
    impl BinImpl for RtspBin {}

    impl ElementImpl for RtspBin {
        /// Everything passes here on its way out, the messages of children and the bin's own.
        fn post_message(&self, message: gst::Message) -> bool {
            let told = match message.view() {
                gst::MessageView::Error(e) => self.explain(e),
                _ => None,
            };
            self.parent_post_message(told.unwrap_or(message))
        }
    }

    impl RtspBin {
        pub(super) fn note(&self, f: impl FnOnce(&mut Notes)) {
            f(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        }

        /// The same error in better words, if there are any.
        fn explain(&self, message: &gst::message::Error) -> Option<gst::Message> {
            let mut notes = Notes::default();
            self.note(|n| notes = n.clone());
            let error = message.error();
            let mut own = error.kind::<SourceError>();
            let (mut domain, mut code) = (error.domain(), error.code());
            let mut text = error.message().to_owned();
            if notes.video && text.contains(NOTHING_SET_UP) {
                let refused = glib::Error::new(gst::ResourceError::Settings, "");
                (domain, code) = (refused.domain(), refused.code());
                "the camera does not send in any way that was asked for".clone_into(&mut text);
            } else if error.kind::<gst::ResourceError>() == Some(gst::ResourceError::NotAuthorized)
                && let Some(why) = &notes.sent_on
            {
                own = Some(SourceError::Withheld);
                text.clone_from(why);
            } else if notes.after.is_none() {
                return None;
            }
            if let Some(after) = &notes.after {
                text = format!("{text}{AFTER}{after}");
            }
            let debug = message.debug();
            // What is made of an error may be of GStreamer's own kinds only.
            let builder = match own {
                Some(kind) => gst::message::Error::builder(kind, &text),
                None => {
                    gst::message::Error::builder_from_error(glib::Error::with_domain(domain, code, &text))
                }
            };
            let builder = builder.debug_if_some(debug.as_deref()).src_if_some(message.src());
            Some(builder.build())
        }
    }
}

glib::wrapper! {
    /// See the module.
    pub(in crate::gst) struct RtspBin(ObjectSubclass<imp::RtspBin>)
        @extends gst::Bin, gst::Element, gst::Object;
}

impl RtspBin {
    pub(super) fn new() -> Self {
        glib::Object::builder().property("name", "rtsp").build()
    }

    /// rtspsrc is asked, because the lean client could not; `None` when that does not matter any more.
    pub(super) fn asked_after(&self, why: Option<&str>) {
        self.imp().note(|n| n.after = why.map(str::to_owned));
    }

    /// rtspsrc is to set up a video: if it does not, that is not for want of one.
    pub(super) fn has_video(&self) {
        self.imp().note(|n| n.video = true);
    }

    /// rtspsrc is at another host, which gets no password; and the words for it.
    pub(super) fn sent_on(&self, why: String) {
        self.imp().note(|n| n.sent_on = Some(why));
    }
}

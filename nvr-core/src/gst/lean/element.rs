//! `nvrrtspsrc`: RTSP over TCP, out come whole access units with both times.
//!
//! Sometimes pads `video` and `audio`, both before `no-more-pads`. Besides its properties, which any pipeline can set,
//! a recorder hands it its [`Reactor`], who is watching ([`Demand`]), and what to do when it refuses a stream.

use std::sync::Arc;

use glib::subclass::prelude::*;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::demand::Demand;
use super::failure::{Failure, FailureKind};
use super::feeder::Feeder;
use super::reactor::{Handle, Reactor};
use super::session::Open;
use crate::gst::sources::cause::SourceError;
use crate::rtsp::ClientOptions;
use crate::secret::Secret;
use crate::source::Credentials;

/// Told of a stream that this element refuses; whether somebody else takes it, so that there is no error.
pub(in crate::gst) type OnRefusal = Box<dyn Fn(&Failure) -> bool + Send + Sync>;

/// What a recorder adds.
#[derive(Default)]
struct Embedding {
    reactor: Reactor,
    demand: Arc<Demand>,
    lazy: bool,
    on_refusal: Option<OnRefusal>,
}

mod imp {
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    use super::*;

    #[derive(Debug, Clone)]
    struct Settings {
        location: Option<String>,
        user: Option<String>,
        password: Option<Secret>,
        tls_validation: bool,
        audio: bool,
        latency_ms: u32,
        timeout_ms: u32,
        user_agent: String,
        range: Option<String>,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                location: None,
                user: None,
                password: None,
                tls_validation: true,
                audio: true,
                latency_ms: 200,
                timeout_ms: 5000,
                user_agent: concat!("nvr/", env!("CARGO_PKG_VERSION")).to_owned(),
                range: None,
            }
        }
    }

    #[derive(Default)]
    pub(in crate::gst) struct NvrRtspSrc {
        settings: Mutex<Settings>,
        embedding: Mutex<Embedding>,
        session: Mutex<Option<Handle>>,
    }

    fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
        m.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[glib::object_subclass]
    impl ObjectSubclass for NvrRtspSrc {
        const NAME: &'static str = "NvrRtspSrc";
        type Type = super::NvrRtspSrc;
        type ParentType = gst::Element;
    }

    impl ObjectImpl for NvrRtspSrc {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecString::builder("location")
                        .nick("Location")
                        .blurb("Address, rtsp:// or rtsps://, without user and password")
                        .build(),
                    glib::ParamSpecString::builder("user-id")
                        .nick("User")
                        .blurb("User, sent when the server asks")
                        .build(),
                    glib::ParamSpecString::builder("user-pw")
                        .nick("Password")
                        .blurb("Password of the user; cannot be read back")
                        .write_only()
                        .build(),
                    glib::ParamSpecBoolean::builder("tls-validation")
                        .nick("TLS validation")
                        .blurb("Check the server's certificate with those that the system trusts")
                        .default_value(true)
                        .build(),
                    glib::ParamSpecBoolean::builder("audio")
                        .nick("Audio")
                        .blurb("Set up the audio stream as well")
                        .default_value(true)
                        .build(),
                    glib::ParamSpecUInt::builder("latency")
                        .nick("Latency")
                        .blurb("Milliseconds that the network may hold packets up; added to the pipeline's latency, nothing is held back for it")
                        .default_value(200)
                        .build(),
                    glib::ParamSpecUInt::builder("timeout")
                        .nick("Timeout")
                        .blurb("Milliseconds that an answer is waited for")
                        .minimum(100)
                        .default_value(5000)
                        .build(),
                    glib::ParamSpecString::builder("user-agent")
                        .nick("User agent")
                        .blurb("Name by which this client calls itself")
                        .build(),
                    glib::ParamSpecString::builder("range")
                        .nick("Range")
                        .blurb("Range header of the request to play: npt=0.000- or clock=20260504T000000Z-")
                        .build(),
                ]
            });
            PROPERTIES.as_ref()
        }

        fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
            let mut s = lock(&self.settings);
            let text = || value.get::<Option<String>>().ok().flatten();
            match pspec.name() {
                "location" => s.location = text(),
                "user-id" => s.user = text(),
                "user-pw" => s.password = text().map(Secret::new),
                "tls-validation" => s.tls_validation = value.get().unwrap_or(true),
                "audio" => s.audio = value.get().unwrap_or(true),
                "latency" => s.latency_ms = value.get().unwrap_or(200),
                "timeout" => s.timeout_ms = value.get().unwrap_or(5000),
                "user-agent" => s.user_agent = text().unwrap_or_default(),
                "range" => s.range = text(),
                _ => {}
            }
        }

        fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
            let s = lock(&self.settings);
            match pspec.name() {
                "location" => s.location.to_value(),
                "user-id" => s.user.to_value(),
                "tls-validation" => s.tls_validation.to_value(),
                "audio" => s.audio.to_value(),
                "latency" => s.latency_ms.to_value(),
                "timeout" => s.timeout_ms.to_value(),
                "user-agent" => s.user_agent.to_value(),
                "range" => s.range.to_value(),
                _ => pspec.default_value().clone(),
            }
        }

        fn constructed(&self) {
            self.parent_constructed();
            self.obj().set_element_flags(gst::ElementFlags::SOURCE);
        }
    }

    impl GstObjectImpl for NvrRtspSrc {}

    impl ElementImpl for NvrRtspSrc {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Lean RTSP source",
                    "Source/Network",
                    "Reads H.264, H.265 and audio of cameras over RTSP/TCP; many in one thread",
                    "The nvr developers",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let video = "video/x-h264,stream-format=avc,alignment=au; \
                             video/x-h265,stream-format=hvc1,alignment=au";
                let audio =
                    "audio/mpeg,mpegversion=4,stream-format=raw; audio/x-mulaw; audio/x-alaw; audio/x-opus";
                [("video", video), ("audio", audio)]
                    .into_iter()
                    .filter_map(|(name, caps)| {
                        let caps = caps.parse::<gst::Caps>().ok()?;
                        let (src, sometimes) = (gst::PadDirection::Src, gst::PadPresence::Sometimes);
                        gst::PadTemplate::new(name, src, sometimes, &caps).ok()
                    })
                    .collect()
            });
            TEMPLATES.as_ref()
        }

        fn send_event(&self, event: gst::Event) -> bool {
            if event.type_() != gst::EventType::Eos {
                return self.parent_send_event(event);
            }
            // Asked to end: no more comes, and what came is complete.
            let session = lock(&self.session).take();
            drop(session);
            let mut all = true;
            for pad in self.obj().src_pads() {
                all &= pad.push_event(event.clone());
            }
            all
        }

        fn change_state(
            &self,
            transition: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            if transition == gst::StateChange::ReadyToPaused
                && let Err(e) = self.start()
            {
                self.obj().failed(&e, true);
                return Err(gst::StateChangeError);
            }
            if transition == gst::StateChange::PausedToReady {
                // Closes the session.
                let session = lock(&self.session).take();
                drop(session);
            }
            let result = self.parent_change_state(transition)?;
            match transition {
                gst::StateChange::PausedToReady => {
                    for pad in self.obj().src_pads() {
                        let _ = self.obj().remove_pad(&pad);
                    }
                    Ok(result)
                }
                // Nothing comes while it is paused.
                gst::StateChange::ReadyToPaused | gst::StateChange::PlayingToPaused => {
                    Ok(gst::StateChangeSuccess::NoPreroll)
                }
                _ => Ok(result),
            }
        }
    }

    impl NvrRtspSrc {
        pub(super) fn embed(&self, embedding: Embedding) {
            *lock(&self.embedding) = embedding;
        }

        pub(super) fn refused(&self, failure: &Failure) -> bool {
            let on_refusal = lock(&self.embedding).on_refusal.take();
            on_refusal.is_some_and(|f| f(failure))
        }

        pub(super) fn latency(&self) -> gst::ClockTime {
            gst::ClockTime::from_mseconds(lock(&self.settings).latency_ms.into())
        }

        fn start(&self) -> Result<(), Failure> {
            let s = lock(&self.settings).clone();
            let bad = |what: String| Failure::new(FailureKind::NotFound, what);
            let location = s.location.ok_or_else(|| bad("no location is set".into()))?;
            let url = url::Url::parse(&location).map_err(|e| bad(format!("the location is no URL ({e})")))?;
            if !matches!(url.scheme(), "rtsp" | "rtsps") {
                return Err(bad("the location is neither rtsp:// nor rtsps://".into()));
            }
            let credentials = s.user.map(|user| Credentials {
                user,
                password: s.password.unwrap_or_else(|| Secret::new("")),
            });
            let e = lock(&self.embedding);
            let handler = Feeder::new(&self.obj(), e.on_refusal.is_some(), s.audio);
            let open = Open {
                client: ClientOptions {
                    url,
                    credentials,
                    withheld_for: None,
                    want_audio: s.audio,
                    user_agent: s.user_agent,
                    range: s.range,
                    replay: false,
                    timeout_ns: i64::from(s.timeout_ms) * 1_000_000,
                    seed: rand::random(),
                },
                verify_tls: s.tls_validation,
                lazy: e.lazy,
                demand: e.demand.clone(),
                span: tracing::Span::current(),
                handler: Box::new(handler),
            };
            let handle = e.reactor.open(open)?;
            drop(e);
            *lock(&self.session) = Some(handle);
            Ok(())
        }
    }
}

glib::wrapper! {
    /// See the module.
    pub(in crate::gst) struct NvrRtspSrc(ObjectSubclass<imp::NvrRtspSrc>)
        @extends gst::Element, gst::Object;
}

/// Makes the element known by name.
///
/// # Errors
/// When GStreamer does not take it.
pub(in crate::gst) fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, "nvrrtspsrc", gst::Rank::NONE, NvrRtspSrc::static_type())
}

impl NvrRtspSrc {
    /// An element of a recorder. `lazy`: what comes may wait for the tick while nobody watches.
    pub(in crate::gst) fn embedded(
        reactor: Reactor,
        demand: Arc<Demand>,
        lazy: bool,
        on_refusal: Option<OnRefusal>,
    ) -> Self {
        let element: Self = glib::Object::new();
        element.imp().embed(Embedding {
            reactor,
            demand,
            lazy,
            on_refusal,
        });
        element
    }

    /// A pad that has begun its stream; not added yet.
    pub(super) fn begin(&self, name: &str, caps: &gst::Caps) -> gst::Pad {
        let weak = self.downgrade();
        let builder = match self.pad_template(name) {
            Some(template) => gst::Pad::builder_from_template(&template).name(name),
            None => gst::Pad::builder(gst::PadDirection::Src).name(name),
        };
        let pad = builder
            .query_function(move |pad, parent, query| {
                if let gst::QueryViewMut::Latency(q) = query.view_mut() {
                    let latency = weak.upgrade().map(|e| e.imp().latency());
                    q.set(true, latency.unwrap_or_default(), gst::ClockTime::NONE);
                    return true;
                }
                gst::Pad::query_default(pad, parent, query)
            })
            .flags(gst::PadFlags::FIXED_CAPS)
            .build();
        let _ = pad.set_active(true);
        let id = format!("{}/{name}", self.name());
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(crate::gst::writer::OFFSET);
        pad.push_event(gst::event::StreamStart::new(&id));
        pad.push_event(gst::event::Caps::new(caps));
        pad.push_event(gst::event::Segment::new(&segment));
        pad
    }

    /// The session failed. `begun`: its streams were told, so that nobody else can take over.
    pub(super) fn failed(&self, why: &Failure, begun: bool) {
        if !begun && why.is_refusal() && self.imp().refused(why) {
            return;
        }
        let text = why.message.as_str();
        let message = match why.kind {
            FailureKind::Unreachable => error(gst::ResourceError::OpenReadWrite, text, self),
            FailureKind::NoAnswer => error(gst::ResourceError::Read, text, self),
            FailureKind::Broken => error(gst::ResourceError::Write, text, self),
            FailureKind::Unauthorized => error(gst::ResourceError::NotAuthorized, text, self),
            FailureKind::NotFound => error(gst::ResourceError::NotFound, text, self),
            FailureKind::Transport => error(gst::ResourceError::Settings, text, self),
            FailureKind::Certificate => error(SourceError::Certificate, text, self),
            FailureKind::Unsupported | FailureKind::NoVideo => error(SourceError::Unsupported, text, self),
            FailureKind::Withheld => error(SourceError::Withheld, text, self),
            FailureKind::Bad | FailureKind::Redirect => error(SourceError::Bad, text, self),
            FailureKind::Ended => error(SourceError::Ended, text, self),
            FailureKind::Internal => error(SourceError::Internal, text, self),
        };
        let _ = self.post_message(message);
    }
}

fn error<T: gst::MessageErrorDomain>(kind: T, text: &str, from: &NvrRtspSrc) -> gst::Message {
    gst::message::Error::builder(kind, text).src(from).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anybody_can_make_one_and_nobody_reads_the_password() {
        crate::gst::init().unwrap();
        let e = gst::parse::bin_from_description(
            "nvrrtspsrc name=s location=rtsp://127.0.0.1/x user-id=u user-pw=hunter2 latency=100",
            false,
        )
        .unwrap();
        let s = e.by_name("s").unwrap();
        assert_eq!(s.property::<u32>("latency"), 100);
        assert!(
            s.find_property("user-pw")
                .is_some_and(|p| !p.flags().contains(glib::ParamFlags::READABLE))
        );
    }

    #[test]
    fn a_location_of_another_kind_is_an_error_at_once() {
        crate::gst::init().unwrap();
        let s = gst::ElementFactory::make("nvrrtspsrc")
            .property("location", "http://127.0.0.1/x")
            .build()
            .unwrap();
        assert!(s.set_state(gst::State::Playing).is_err());
        s.set_state(gst::State::Null).unwrap();
    }
}

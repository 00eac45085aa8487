//! Holds each request against the [`Door`](super::Door), before anything of it is done.

use std::sync::{Arc, OnceLock, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use glib::subclass::prelude::*;
use glib::translate::ToGlibPtr as _;
use gst_rtsp::{RTSPAuthMethod, RTSPStatusCode};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gst_rtsp_server::{RTSP_AUTH_CHECK_CONNECT, RTSP_AUTH_CHECK_URL, RTSPAuth, RTSPContext};

use super::clients::Place;
use super::{Around, Clients, Refusal, Who};
use crate::gst::guard::guarded;
use crate::secret::Secret;

const REALM: &str = "nvr";

mod imp {
    use super::*;

    #[derive(Debug, Default)]
    pub struct Auth {
        pub(super) around: OnceLock<Weak<Around>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Auth {
        const NAME: &'static str = "NvrRtspAuth";
        type Type = super::Auth;
        type ParentType = RTSPAuth;
    }

    impl ObjectImpl for Auth {}

    impl RTSPAuthImpl for Auth {
        fn check(&self, context: &RTSPContext, check: &glib::GString) -> bool {
            if check.as_str() == RTSP_AUTH_CHECK_CONNECT.as_str() {
                return self.parent_check(context, check);
            }
            // Where packets go is not the client's to say; what else is asked was answered with the request.
            if check.as_str() != RTSP_AUTH_CHECK_URL.as_str() {
                return check.as_str().starts_with("auth.check.media.factory.");
            }
            let judged = guarded(
                "rtsp request",
                Err(Denied::Code(RTSPStatusCode::InternalServerError)),
                |_| {},
                || {
                    let around = self.around.get().and_then(Weak::upgrade);
                    let around = around.ok_or(Denied::Code(RTSPStatusCode::ServiceUnavailable))?;
                    super::judge(&around, context)
                },
            );
            let Err(denied) = judged else { return true };
            self.refuse(context, denied);
            false
        }
    }

    impl Auth {
        fn refuse(&self, context: &RTSPContext, denied: Denied) {
            let (Some(client), Some(response)) = (context.client(), context.response()) else {
                return;
            };
            let code = match denied {
                Denied::Code(code) => code,
                Denied::For(Refusal::Unauthorized) => RTSPStatusCode::Unauthorized,
                Denied::For(Refusal::Forbidden) => RTSPStatusCode::Forbidden,
                Denied::For(Refusal::NotFound) => RTSPStatusCode::NotFound,
                Denied::For(Refusal::Unavailable) => RTSPStatusCode::ServiceUnavailable,
            };
            response.init_response(code, context.request());
            if code == RTSPStatusCode::Unauthorized {
                self.parent_generate_authenticate_header(context);
            }
            client.send_message(response, context.session());
        }
    }
}

glib::wrapper! {
    pub struct Auth(ObjectSubclass<imp::Auth>) @extends RTSPAuth;
}

/// Why a request is not done.
#[derive(Clone, Copy, Debug)]
enum Denied {
    For(Refusal),
    Code(RTSPStatusCode),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::For(refusal)
    }
}

pub(super) fn auth(around: &Arc<Around>) -> Auth {
    let auth: Auth = glib::Object::new();
    let _ = auth.imp().around.set(Arc::downgrade(around));
    auth.set_supported_methods(RTSPAuthMethod::Basic);
    auth.set_realm(Some(REALM));
    auth
}

/// What of RTSP's methods matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Options,
    Describe,
    Setup,
    Other,
}

fn method_of(context: &RTSPContext) -> Method {
    // SAFETY: the context lives as long as the request that is judged; the binding has no accessor.
    let method = unsafe { (*context.to_glib_none().0).method };
    match method {
        gst_rtsp::ffi::GST_RTSP_OPTIONS => Method::Options,
        gst_rtsp::ffi::GST_RTSP_DESCRIBE => Method::Describe,
        gst_rtsp::ffi::GST_RTSP_SETUP => Method::Setup,
        _ => Method::Other,
    }
}

fn judge(around: &Arc<Around>, context: &RTSPContext) -> Result<(), Denied> {
    let method = method_of(context);
    if method == Method::Options {
        return Ok(());
    }
    let client = context.client().ok_or(Refusal::Unavailable)?;
    let place = around.clients.place(client).ok_or(Refusal::Unavailable)?;
    let who = admit(around, context, place)?;
    // A session is its client's, and no other can take part in it by knowing its name.
    if let Some(session) = context.session().and_then(RTSPSessionExt::sessionid)
        && !around.clients.has_session(place, &session)
    {
        return Err(Denied::Code(RTSPStatusCode::SessionNotFound));
    }
    let Some(path) = path_of(context) else {
        return Ok(());
    };
    around.door.may(&who, &path)?;
    around.mount(&path);
    if method == Method::Describe || method == Method::Setup {
        around.clients.set_who(place, Arc::clone(&who));
    }
    if method == Method::Describe && !around.clients.is_opened(place, &path) {
        let opened = around.door.open(&who, &path, place.peer)?;
        around.clients.put(place, path, opened);
    }
    Ok(())
}

fn admit(around: &Arc<Around>, context: &RTSPContext, place: Place) -> Result<Who, Refusal> {
    let credentials = context
        .request()
        .map(gst_rtsp::rtsp_message::RTSPMessage::parse_auth_credentials);
    let login = credentials
        .iter()
        .flat_map(|all| all.iter())
        .find(|c| c.scheme() == RTSPAuthMethod::Basic)
        .and_then(|c| BASE64.decode(c.authorization()?).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let login = login.as_deref().and_then(|text| text.split_once(':'));
    let login = login.map(|(user, password)| (user, Secret::new(password)));
    around.door.admit(login, place.peer)
}

/// The path of a stream, without what belongs to a single track; `None` where a request is of none.
fn path_of(context: &RTSPContext) -> Option<String> {
    let components = context.uri()?.decode_path_components();
    let path: String = components
        .iter()
        .filter(|c| !c.is_empty() && !c.starts_with("stream="))
        .map(|c| format!("/{c}"))
        .collect();
    Some(if path.is_empty() { "/".to_owned() } else { path })
}

impl Clients {
    /// What a client is known by.
    pub(super) fn place_of(around: &Around, context: &RTSPContext) -> Option<Place> {
        around.clients.place(context.client()?)
    }
}

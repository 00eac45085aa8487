//! Why a source failed, in the recorder's words: from GStreamer's errors to a [`Cause`].

use gst::prelude::*;

use super::rtsp_bin::{AFTER, NOTHING_SET_UP};
use crate::error::{Error, ErrorKind};
use crate::event::{Cause, CauseKind};
use crate::source::{Ingest, RtspSource, SourceSpec};

/// Errors that the sources of this crate put on the bus themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, gst::glib::ErrorDomain)]
#[error_domain(name = "NvrSource")]
pub(crate) enum SourceError {
    /// Not of a kind that can be recorded.
    Unsupported,
    /// The stream ended.
    Ended,
    /// The camera's certificate is refused.
    Certificate,
    /// The stream broke its own format or a limit.
    Bad,
    /// User and password are asked for where they do not belong.
    Withheld,
    /// A fault in this program.
    Internal,
}

impl gst::MessageErrorDomain for SourceError {}

const TRANSPORT_REFUSED: &str = "the camera refuses the transport";

/// Puts an error on the bus in the name of `bin`.
pub(super) fn post(bin: &gst::Bin, kind: SourceError, message: &str) {
    let _ = bin.post_message(gst::message::Error::builder(kind, message).src(bin).build());
}

/// What an error on the bus means. `debug` is GStreamer's debug string; it is looked at and never shown.
///
/// The message holds the address without credentials and no text from the network but the server's own reason.
pub(crate) fn cause_of(error: &gst::glib::Error, debug: Option<&str>, spec: &SourceSpec) -> Cause {
    let debug = debug.unwrap_or_default();
    let (detail, after) = match error.message().split_once(AFTER) {
        Some((detail, why)) => (detail, format!("{AFTER}{}", clean(why, spec))),
        None => (error.message(), String::new()),
    };
    if let Some(own) = error.kind::<SourceError>() {
        let kind = match own {
            SourceError::Unsupported => CauseKind::Unsupported,
            SourceError::Ended => CauseKind::StreamEnded,
            SourceError::Certificate => CauseKind::Unreachable,
            SourceError::Bad => CauseKind::BadStream,
            SourceError::Withheld => CauseKind::Unauthorized,
            SourceError::Internal => CauseKind::Internal,
        };
        return Cause::new(kind, format!("{spec}: {}{after}", clean(detail, spec)));
    }
    if detail.contains(NOTHING_SET_UP) {
        // rtspsrc, when no stream of the description was selected; what it advises is beside the point.
        return Cause::new(
            CauseKind::Unsupported,
            format!("{spec}: the camera offers no H.264 or H.265 video{after}"),
        );
    }
    let (kind, words) = if let Some(e) = error.kind::<gst::ResourceError>() {
        resource(e, debug, spec)
    } else if let Some(e) = error.kind::<gst::StreamError>() {
        stream(e, debug, spec)
    } else if let Some(e) = error.kind::<gst::CoreError>() {
        match e {
            gst::CoreError::MissingPlugin => (CauseKind::Unsupported, "a GStreamer plugin is missing"),
            gst::CoreError::Negotiation => (CauseKind::Unsupported, "the stream's format cannot be handled"),
            _ => (CauseKind::Internal, "GStreamer failed"),
        }
    } else {
        (CauseKind::Unknown, "GStreamer failed")
    };
    let advice = match spec {
        SourceSpec::Rtsp(s) if words == TRANSPORT_REFUSED => transport_advice(s),
        _ => String::new(),
    };
    if is_stock(detail) {
        return Cause::new(kind, format!("{spec}: {words}{advice}{after}"));
    }
    let detail = clean(detail, spec);
    Cause::new(kind, format!("{spec}: {words} ({detail}){advice}{after}"))
}

/// What a source that could not be built means.
pub(crate) fn cause_of_build(error: &Error, spec: &SourceSpec) -> Cause {
    let local = is_device(spec);
    let kind = match error.kind() {
        ErrorKind::Unsupported => CauseKind::Unsupported,
        ErrorKind::Unauthorized => CauseKind::Unauthorized,
        _ if local => CauseKind::Device,
        ErrorKind::NotFound => CauseKind::StreamNotFound,
        ErrorKind::Internal => CauseKind::Internal,
        _ => CauseKind::Unreachable,
    };
    let words = error
        .hint()
        .map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"));
    Cause::new(kind, words)
}

fn is_device(spec: &SourceSpec) -> bool {
    matches!(spec, SourceSpec::V4l2(_) | SourceSpec::Libcamera(_))
}

fn resource(e: gst::ResourceError, debug: &str, spec: &SourceSpec) -> (CauseKind, &'static str) {
    use gst::ResourceError as R;
    if is_device(spec) {
        return (
            CauseKind::Device,
            match e {
                R::NotFound => "no such device",
                R::Busy => "the device is used by another program",
                R::OpenRead | R::OpenReadWrite => "the device cannot be opened",
                R::Read => "the device is gone",
                _ => "the device failed",
            },
        );
    }
    match e {
        R::NotAuthorized => (CauseKind::Unauthorized, "the camera refuses user or password"),
        R::NotFound => (CauseKind::StreamNotFound, "no such stream at this address"),
        // rtspsrc: the connection was made and nothing was answered in time.
        R::Read => (CauseKind::Unreachable, "the camera does not answer"),
        R::OpenRead | R::OpenReadWrite | R::OpenWrite if status(debug).is_none() => {
            (CauseKind::Unreachable, "the camera cannot be reached")
        }
        R::Write => (CauseKind::Unreachable, "the connection broke"),
        R::Settings => (CauseKind::Unsupported, TRANSPORT_REFUSED),
        _ => match status(debug) {
            Some(401 | 403 | 407) => (CauseKind::Unauthorized, "the camera refuses user or password"),
            Some(404 | 410 | 454) => (CauseKind::StreamNotFound, "no such stream at this address"),
            Some(461) => (CauseKind::Unsupported, TRANSPORT_REFUSED),
            Some(453 | 503) => (CauseKind::Unreachable, "the camera serves too many clients"),
            _ => (CauseKind::Unreachable, "the camera cannot be reached"),
        },
    }
}

/// What can be done about a refused transport.
fn transport_advice(s: &RtspSource) -> String {
    match (s.transport, s.ingest) {
        (Some(t), _) => format!(
            "; transport = \"{}\" is set: leave it out, or try another",
            t.as_str()
        ),
        (None, Ingest::Lean) => "; ingest = \"lean\" reads over TCP only: leave it out".to_owned(),
        (None, Ingest::Rtspsrc) => "; set transport = \"udp\", or leave `ingest` out".to_owned(),
        (None, Ingest::Auto) => String::new(),
    }
}

fn stream(e: gst::StreamError, debug: &str, spec: &SourceSpec) -> (CauseKind, &'static str) {
    use gst::StreamError as S;
    match e {
        S::TypeNotFound | S::WrongType | S::CodecNotFound => (
            CauseKind::Unsupported,
            "the stream is of no kind that can be recorded",
        ),
        S::Demux if matches!(spec, SourceSpec::Mjpeg(_)) => (
            CauseKind::Unsupported,
            "this is no stream of JPEG pictures (multipart/x-mixed-replace)",
        ),
        // souphttpsrc says no more than this when nobody listens or the connection breaks.
        S::Failed if debug.contains("GstSoupHTTPSrc") && debug.contains("reason error") => {
            (CauseKind::Unreachable, "the camera cannot be reached")
        }
        _ => (CauseKind::BadStream, "the stream is broken"),
    }
}

/// The status code in debug strings like `Not Found (404)`.
fn status(debug: &str) -> Option<u16> {
    debug.split(" (").skip(1).find_map(|part| {
        let digits = part.split(')').next()?;
        (digits.len() == 3).then(|| digits.parse().ok()).flatten()
    })
}

/// Whether a text is one of GStreamer's own sentences ("Could not open resource for reading and writing."), which
/// say less than the recorder's words, and not a server's reason.
fn is_stock(text: &str) -> bool {
    text.starts_with("Could not ") && text.ends_with('.') || text.starts_with("Internal data ")
}

/// One line of bounded length without the password.
fn clean(text: &str, spec: &SourceSpec) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    let credentials = match spec {
        SourceSpec::Rtsp(s) => s.credentials.as_ref(),
        SourceSpec::Mjpeg(s) => s.credentials.as_ref(),
        _ => None,
    };
    if let Some(c) = credentials {
        let password = c.password.expose();
        if !password.is_empty() {
            line = line.replace(password, "***");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_holds_the_password() {
        let spec = SourceSpec::parse("rtsp://admin:hunter2@10.0.0.2/x").unwrap();
        let error = gst::glib::Error::new(gst::ResourceError::NotAuthorized, "refused hunter2\nfor admin");
        let cause = cause_of(&error, Some("hunter2 (401)"), &spec);
        assert_eq!(cause.kind, CauseKind::Unauthorized);
        assert!(
            !cause.message.contains("hunter2") && !cause.message.contains('\n'),
            "{cause:?}"
        );
    }

    #[test]
    fn what_devices_say_is_about_devices() {
        let spec = SourceSpec::parse("v4l2:/dev/video0").unwrap();
        for (e, word) in [
            (gst::ResourceError::Read, "gone"),
            (gst::ResourceError::Busy, "another program"),
        ] {
            let cause = cause_of(&gst::glib::Error::new(e, "x"), None, &spec);
            assert!(
                cause.kind == CauseKind::Device && cause.message.contains(word),
                "{cause:?}"
            );
        }
        let gone = Error::new(ErrorKind::Unavailable, "v4l2:/dev/video0: no such file");
        assert_eq!(cause_of_build(&gone, &spec).kind, CauseKind::Device);
    }

    #[test]
    fn what_gstreamer_always_says_is_left_out() {
        let spec = SourceSpec::parse("rtsp://10.0.0.2/x").unwrap();
        let words = |text| {
            let error = gst::glib::Error::new(gst::ResourceError::OpenReadWrite, text);
            cause_of(&error, None, &spec).message
        };
        let plain = "rtsp://10.0.0.2/x: the camera cannot be reached";
        assert_eq!(words("Could not open resource for reading and writing."), plain);
        assert_eq!(words("Internal data stream error."), plain);
        assert_eq!(
            words("Service Unavailable"),
            format!("{plain} (Service Unavailable)")
        );
    }

    #[test]
    fn status_codes_are_found() {
        assert_eq!(status("Not Found (404)"), Some(404));
        assert_eq!(
            status("f.c(8336): x (): Failed to connect. (Generic error)"),
            None
        );
        assert_eq!(
            status("f.c(688): Forbidden (403), URL"),
            Some(403),
            "not the line number"
        );
    }
}

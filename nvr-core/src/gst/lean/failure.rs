//! Why a session ended.

use crate::rtsp::{RtspError, RtspErrorKind};

/// What sort of thing went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gst) enum FailureKind {
    /// No connection, or the server cannot serve now.
    Unreachable,
    /// Connected, and no answer in time.
    NoAnswer,
    /// An established connection broke.
    Broken,
    /// The server's certificate is not to be trusted.
    Certificate,
    /// User or password.
    Unauthorized,
    /// No such stream.
    NotFound,
    /// Of no kind that can be recorded, or in a manner that this client does not do.
    Unsupported,
    /// No video of a codec that can be recorded, whatever the client.
    NoVideo,
    /// RTP within the RTSP connection is refused.
    Transport,
    /// Against the protocol.
    Bad,
    /// A redirect that is not followed, whoever reads the stream.
    Redirect,
    /// User and password are asked for where they do not belong.
    Withheld,
    /// The stream ended.
    Ended,
    /// A fault in this program.
    Internal,
}

/// The end of a session, in one line without credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::gst) struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Whether another client may do better: rtspsrc knows other transports, old TLS and more codecs, and may make
    /// sense of answers that this one does not understand. Who is not there, or does not answer, is as silent to it.
    pub(in crate::gst) const fn is_refusal(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Unsupported | FailureKind::Transport | FailureKind::Bad
        )
    }
}

impl From<RtspError> for Failure {
    fn from(e: RtspError) -> Self {
        let kind = match e.kind {
            RtspErrorKind::Unreachable => FailureKind::Unreachable,
            RtspErrorKind::Unauthorized => FailureKind::Unauthorized,
            RtspErrorKind::NotFound => FailureKind::NotFound,
            RtspErrorKind::Unsupported => FailureKind::Unsupported,
            RtspErrorKind::NoVideo => FailureKind::NoVideo,
            RtspErrorKind::Transport => FailureKind::Transport,
            RtspErrorKind::Redirect => FailureKind::Redirect,
            RtspErrorKind::Withheld => FailureKind::Withheld,
            RtspErrorKind::Protocol => FailureKind::Bad,
            RtspErrorKind::Timeout => FailureKind::NoAnswer,
        };
        Self::new(kind, e.message)
    }
}

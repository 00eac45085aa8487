//! Why a session ended, in words that find the place.

use std::fmt;

/// What sort of thing went wrong; decides what is tried next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum RtspErrorKind {
    /// The server says that it cannot serve now (too many clients, 5xx).
    Unreachable,
    /// User or password are refused, or asked for and not given.
    Unauthorized,
    /// No such stream at this address.
    NotFound,
    /// The stream is of no kind that can be recorded, or the server wants what this client does not do.
    Unsupported,
    /// There is no video of a codec that can be recorded; no other client would find any.
    NoVideo,
    /// The server does not offer RTP within the RTSP connection (461); another transport may work.
    Transport,
    /// The peer does not keep to the protocol, or to a bound of this client.
    Protocol,
    /// A redirect that is not followed.
    Redirect,
    /// User and password are asked for where they do not belong.
    Withheld,
    /// No answer in time.
    Timeout,
}

/// The end of a session. The message says what and where; it never holds credentials and is one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RtspError {
    /// What to do about it.
    pub kind: RtspErrorKind,
    /// What happened.
    pub message: String,
}

impl RtspError {
    pub(crate) fn new(kind: RtspErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(RtspErrorKind::Protocol, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(RtspErrorKind::Unsupported, message)
    }

    /// Puts `context: ` before the message.
    pub(crate) fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for RtspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RtspError {}

/// Text of the peer for a message: one line, printable, of bounded length.
pub(crate) fn quoted(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(80)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

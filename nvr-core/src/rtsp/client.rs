//! One session with one server.

use url::Url;

use super::error::RtspError;
use super::event::Event;
use crate::source::Credentials;

/// What to open, and how.
#[derive(Clone, Debug)]
pub(crate) struct ClientOptions {
    /// Address without credentials.
    pub url: Url,
    /// User and password, sent only when the server asks.
    pub credentials: Option<Credentials>,
    /// Whether an audio track is set up.
    pub want_audio: bool,
    /// `User-Agent` header.
    pub user_agent: String,
    /// `Range` of `PLAY` (`npt=0.000-`, `clock=20260504T000000Z-`); `npt=0.000-` if absent.
    pub range: Option<String>,
    /// How long an answer is waited for, and how long a playing stream may be silent, in nanoseconds.
    pub timeout_ns: i64,
    /// Any number that differs from session to session: nonces and the receiver's SSRC are made of it.
    pub seed: u64,
}

/// The client's side of a session over one connection, which the caller has made.
#[derive(Debug)]
pub(crate) struct Client {
    options: ClientOptions,
    output: Vec<u8>,
}

impl Client {
    /// A session that has sent nothing yet; the first request waits in [`take_output`](Self::take_output).
    pub(crate) fn new(options: ClientOptions, _now_ns: i64) -> Self {
        Self {
            options,
            output: Vec::new(),
        }
    }

    /// Takes what arrived, in pieces of any size, and adds what came of it to `out`.
    ///
    /// # Errors
    /// When the session cannot go on. What is in `out` is good; the connection is to be closed.
    pub(crate) fn input(
        &mut self,
        _bytes: &[u8],
        _now_ns: i64,
        _out: &mut Vec<Event>,
    ) -> Result<(), RtspError> {
        Ok(())
    }

    /// Bytes to send; empty if there are none.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// When [`on_time`](Self::on_time) is to be called at the latest; calling it early does no harm.
    pub(crate) fn next_timeout_ns(&self) -> Option<i64> {
        None
    }

    /// Keep-alive, receiver reports and deadlines.
    ///
    /// # Errors
    /// `Timeout` when an answer or the stream is overdue.
    pub(crate) fn on_time(&mut self, _now_ns: i64, _out: &mut Vec<Event>) -> Result<(), RtspError> {
        Ok(())
    }

    /// Ends the session: queues `TEARDOWN`, whose answer need not be waited for.
    pub(crate) fn teardown(&mut self) {
        let _ = &self.options;
    }
}

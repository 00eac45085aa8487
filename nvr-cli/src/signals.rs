//! Signals: one asks for an orderly stop, a second one cuts, SIGHUP asks to read the configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use nvr_core::error::{Error, ErrorKind, Result};

/// The signals that the recorder listens to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// To stop in order.
    Stop,
    /// To read the configuration again.
    Reload,
}

impl Signals {
    /// Starts listening, instead of dying of them.
    ///
    /// # Errors
    /// `Internal` when the system refuses.
    pub fn listen() -> Result<Self> {
        let one = |kind| {
            signal(kind)
                .map_err(|e| Error::new(ErrorKind::Internal, "cannot listen to signals").with_source(e))
        };
        Ok(Self {
            terminate: one(SignalKind::terminate())?,
            interrupt: one(SignalKind::interrupt())?,
            hangup: one(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// From here on the next signal to stop ends the process at once.
    pub fn cut_on_next(mut self) {
        tokio::spawn(async move {
            while self.next().await != Wish::Stop {}
            tracing::error!("cut by a second signal; what was not closed is mended at the next start");
            cut();
        });
    }
}

#[expect(
    clippy::exit,
    reason = "the one place: whoever signals twice does not want to wait"
)]
fn cut() {
    std::process::exit(i32::from(crate::exit::CUT));
}

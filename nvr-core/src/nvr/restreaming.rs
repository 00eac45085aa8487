//! The recorder's streams for others over RTSP.

use std::sync::{Arc, OnceLock, PoisonError, Weak};

use super::{Inner, Nvr};
use crate::accounts::Accounts;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::error::Result;
use crate::restream::{Around, Restream};

/// Begins to serve, if the configuration says so; the recorder may still be in the making.
pub(super) async fn start(
    config: &Config,
    clock: SharedClock,
    accounts: Accounts,
    recorder: Arc<OnceLock<Weak<Inner>>>,
) -> Result<Option<Restream>> {
    let around = Around {
        clock,
        accounts,
        camera: Box::new(move |id| {
            let inner = recorder.get()?.upgrade()?;
            let cameras = inner.cameras.read().unwrap_or_else(PoisonError::into_inner);
            cameras.get(id).cloned()
        }),
    };
    Restream::start(config, around).await
}

impl Nvr {
    /// The RTSP server, if there is one.
    #[must_use]
    pub fn restream(&self) -> Option<&Restream> {
        self.0.restream.as_ref()
    }
}

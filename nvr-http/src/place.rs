//! A place among those who watch live: there are so many, and one ends when its viewer may no longer watch.

use nvr_core::accounts::Permission;
use nvr_core::{CameraId, Error, ErrorKind};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::auth::Viewer;
use crate::problem::Answer;
use crate::server::AppState;

/// See the module. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    stop: CancellationToken,
    recorder: CancellationToken,
    _watch: DropGuard,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Takes one, for a viewer of a camera.
    ///
    /// # Errors
    /// `Busy` when there is none left.
    pub(crate) fn take(app: &AppState, viewer: Viewer, camera: CameraId) -> Answer<Self> {
        let permit = app
            .viewers
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::new(ErrorKind::Busy, "as many as allowed are watching"))?;
        let stop = app.stop.child_token();
        let revoked = viewer.until_revoked(app.clone(), Permission::Look, Some(camera));
        tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = revoked => stop.cancel(),
                }
            }
        });
        Ok(Self {
            recorder: app.stop.clone(),
            _watch: stop.clone().drop_guard(),
            stop,
            _permit: permit,
        })
    }

    /// Ends when the recorder does, when the viewer may no longer watch, and with the place.
    pub(crate) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Why it ended, for the viewer.
    pub(crate) fn why(&self) -> String {
        let why = if self.recorder.is_cancelled() {
            "the recorder stops"
        } else {
            "this may no longer be watched with this login or token"
        };
        why.to_owned()
    }
}

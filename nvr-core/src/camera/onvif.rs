//! What a camera does besides sending its picture: it turns, and has a clock.

use std::sync::PoisonError;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Camera;
use crate::clock::SharedClock;
use crate::config::OnvifConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::onvif::{Access, Device, Ptz};

/// What is kept of a camera's services.
#[derive(Debug)]
pub(crate) struct OnvifSlot {
    clock: SharedClock,
    /// Reached once, and anew when its configuration changed or it failed.
    ptz: Mutex<Option<(OnvifConfig, Ptz)>>,
    /// What was found of its clock last.
    clock_ahead_ns: std::sync::Mutex<Option<i64>>,
    /// Ends what listens to the camera.
    pub(crate) stop: CancellationToken,
}

impl OnvifSlot {
    pub(crate) fn new(clock: SharedClock, stop: CancellationToken) -> Self {
        Self {
            clock,
            ptz: Mutex::default(),
            clock_ahead_ns: std::sync::Mutex::default(),
            stop,
        }
    }

    pub(super) fn clock_ahead_ns(&self) -> Option<i64> {
        *self.clock_ahead_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_clock(&self, ahead_ns: Option<i64>) {
        *self.clock_ahead_ns.lock().unwrap_or_else(PoisonError::into_inner) = ahead_ns;
    }
}

/// Where it is asked, and as whom.
pub(crate) fn access_of(config: &OnvifConfig) -> Access {
    Access {
        address: config.address.clone(),
        credentials: config.credentials.clone(),
    }
}

impl Camera {
    fn onvif_config(&self) -> Result<OnvifConfig> {
        let config = self.config.load();
        config.onvif.clone().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("camera {} is not asked by ONVIF", config.id),
            )
            .with_hint("say where it is asked in its configuration: onvif = \"auto\"")
        })
    }

    /// Its movement by ONVIF.
    ///
    /// # Errors
    /// `Unsupported` when its configuration does not name its ONVIF service, or it cannot be turned; as
    /// [`Device::connect`] when it cannot be reached.
    pub async fn ptz(&self) -> Result<Ptz> {
        let wanted = self.onvif_config()?;
        let mut known = self.onvif.ptz.lock().await;
        if let Some((config, ptz)) = known.as_ref()
            && *config == wanted
        {
            return Ok(ptz.clone());
        }
        *known = None;
        let ptz = Ptz::connect(&self.onvif.clock, access_of(&wanted), wanted.profile.as_deref()).await?;
        *known = Some((wanted, ptz.clone()));
        Ok(ptz)
    }

    /// Forgets what was found of its movement, so that it is reached anew: after it did not answer.
    pub async fn forget_ptz(&self) {
        *self.onvif.ptz.lock().await = None;
    }

    /// How far its clock is ahead of the recorder's, in nanoseconds, to about a second; `None` where it does not tell.
    ///
    /// # Errors
    /// As [`ptz`](Self::ptz).
    pub async fn clock_offset_ns(&self) -> Result<Option<i64>> {
        let address = self.onvif_config()?.address;
        let ahead_ns = Device::clock_offset_of(&self.onvif.clock, &address).await?;
        self.onvif.note_clock(ahead_ns);
        Ok(ahead_ns)
    }

    /// Sets its clock to the recorder's.
    ///
    /// # Errors
    /// As [`ptz`](Self::ptz), and `Unauthorized` where its user may not.
    pub async fn set_clock(&self) -> Result<()> {
        let device = Device::connect(&self.onvif.clock, access_of(&self.onvif_config()?)).await?;
        device.set_clock().await
    }
}

//! The cameras of a recorder: which there are, added and removed while it runs, and a picture of now.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Inner, Nvr, blocking, no_camera};
use crate::archive::{Snapshot, SnapshotRequest};
use crate::camera::{self, Camera, Command};
use crate::config::CameraConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::ids::CameraId;

impl Nvr {
    /// All cameras, by id.
    #[must_use]
    pub fn cameras(&self) -> Vec<Camera> {
        self.0.cameras()
    }

    /// One camera.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Unavailable` when the recorder has stopped.
    pub fn camera(&self, id: &CameraId) -> Result<Camera> {
        let cameras = self.0.cameras.read().unwrap_or_else(PoisonError::into_inner);
        let missing = || {
            if self.0.stop.is_cancelled() {
                stopped()
            } else {
                no_camera(id)
            }
        };
        cameras.get(id).cloned().ok_or_else(missing)
    }

    /// Adds a camera and starts it, until the recorder ends (the configuration file is not written).
    ///
    /// # Errors
    /// `AlreadyExists` when the id is taken, `Unavailable` when the recorder has stopped.
    pub async fn add_camera(&self, config: CameraConfig) -> Result<Camera> {
        let _one_at_a_time = self.0.changes.lock().await;
        let camera = self.begin(config.clone()).await?;
        self.0.change_config(|c| c.cameras.push(config));
        Ok(camera)
    }

    /// Stops a camera and forgets it; its footage stays.
    ///
    /// # Errors
    /// As [`camera`](Self::camera).
    pub async fn remove_camera(&self, id: &CameraId) -> Result<()> {
        let _one_at_a_time = self.0.changes.lock().await;
        self.camera(id)?;
        self.0.change_config(|c| c.cameras.retain(|k| &k.id != id));
        self.end(id, CauseKind::ConfigChanged, "the camera was removed")
            .await
    }

    pub(super) async fn begin(&self, config: CameraConfig) -> Result<Camera> {
        let id = config.id.clone();
        if self.0.stop.is_cancelled() {
            return Err(stopped());
        }
        if self.camera(&id).is_ok() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("camera {id} exists already"),
            ));
        }
        self.0
            .context
            .store
            .upsert_camera(&id, Some(&config.name), self.clock().now())
            .await?;
        // Before there is anything to be seen.
        self.privacy().put(&id, &config.privacy);
        let (commands, status) = camera::spawn(config.clone(), self.0.context.clone());
        status.viewing.set_privacy(&config.privacy);
        let config = Arc::new(arc_swap::ArcSwap::from_pointee(config));
        let sub = camera::SubStream::spawn(Arc::clone(&config), self.0.context.clone());
        sub.viewing.set_privacy(&config.load().privacy);
        let streams = [Arc::clone(&status.viewing), Arc::clone(&sub.viewing)];
        let camera = Camera {
            motion: crate::motion::Motion::spawn(Arc::clone(&config), streams, self.0.motion.clone()),
            sub,
            config,
            commands,
            status,
            onvif: Arc::new(camera::OnvifSlot::new(self.clock(), self.0.stop.child_token())),
        };
        tokio::spawn(super::onvif::listen(
            camera.clone(),
            self.0.detections.clone(),
            self.clock(),
            camera.onvif.stop.clone(),
        ));
        tokio::spawn(super::onvif::watch_clock(
            camera.clone(),
            self.clock(),
            camera.onvif.stop.clone(),
        ));
        let mut cameras = self.0.cameras.write().unwrap_or_else(PoisonError::into_inner);
        cameras.insert(id, camera.clone());
        Ok(camera)
    }

    pub(super) async fn end(&self, id: &CameraId, kind: CauseKind, words: &str) -> Result<()> {
        let camera = {
            // What it has to end it tells of a camera that is still there.
            self.camera(id)?.motion.end().await;
            let mut cameras = self.0.cameras.write().unwrap_or_else(PoisonError::into_inner);
            cameras.remove(id).ok_or_else(|| no_camera(id))?
        };
        camera.sub.stop();
        camera.onvif.stop.cancel();
        let (reply, ended) = oneshot::channel();
        let deadline = self.config().recorder.shutdown_deadline;
        // One that is gone already has nothing to end.
        let _ = camera.send(Command::Shutdown {
            cause: Cause::new(kind, words),
            deadline,
            reply,
        });
        let _ = tokio::time::timeout(deadline + Duration::from_secs(1), ended).await;
        self.0
            .context
            .store
            .mark_camera_removed(id, self.clock().now())
            .await
    }

    /// A picture, with the camera's privacy masks: of a recorded moment, or without one of now, from the stream while there is
    /// one.
    ///
    /// # Errors
    /// As [`Archive::snapshot`](crate::Archive::snapshot).
    pub async fn picture(&self, request: SnapshotRequest) -> Result<Snapshot> {
        let unit = match request.at {
            None => self
                .camera(&request.camera)
                .ok()
                .and_then(|camera| camera.latest_keyframe()),
            Some(_) => None,
        };
        let Some(unit) = unit else {
            return self.snapshot(request).await;
        };
        let privacy = self.privacy().of(&request.camera);
        blocking(move || {
            let jpeg = crate::gst::snapshot::jpeg_of(&unit, request.width, None, privacy)?;
            Ok(Snapshot {
                jpeg: jpeg.into(),
                at: unit.utc(),
            })
        })
        .await
    }
}

impl Inner {
    pub(super) fn cameras(&self) -> Vec<Camera> {
        let cameras = self.cameras.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Camera> = cameras.values().cloned().collect();
        all.sort_by_key(Camera::id);
        all
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the recorder has stopped")
}

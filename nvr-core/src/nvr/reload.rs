//! A new configuration, put in force while the recorder runs.

use std::sync::{Arc, PoisonError};

use super::Nvr;
use crate::camera::Command;
use crate::config::{Config, ConfigDiff};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{CauseKind, Event, EventKind};
use crate::retention::Policy;

impl Nvr {
    /// Puts a new configuration in force; only cameras that changed are touched.
    ///
    /// # Errors
    /// `Config` when two cameras have one id, and nothing is changed; an error of the index. What was changed before it stays
    /// changed and the rest as it was: the same call again does what is left.
    pub async fn reload(&self, new: Config) -> Result<ConfigDiff> {
        refuse_doubles(&new)?;
        let _one_at_a_time = self.0.changes.lock().await;
        let old = self.config();
        let diff = ConfigDiff::between(&old, &new);
        for id in &diff.removed {
            self.0.change_config(|c| c.cameras.retain(|k| &k.id != id));
            self.end(id, CauseKind::ConfigChanged, "the camera was removed")
                .await?;
        }
        for camera in &new.cameras {
            if diff.added.contains(&camera.id) {
                self.begin(camera.clone()).await?;
                self.0.change_config(|c| c.cameras.push(camera.clone()));
            } else if diff.changed.contains(&camera.id) {
                let handle = self.camera(&camera.id)?;
                self.0
                    .context
                    .store
                    .upsert_camera(&camera.id, Some(&camera.name), self.clock().now())
                    .await?;
                handle.set_privacy(&camera.privacy);
                handle.config.store(Arc::new(camera.clone()));
                handle.send(Command::Configure(Box::new(camera.clone())))?;
                self.0.change_config(|c| {
                    if let Some(old) = c.cameras.iter_mut().find(|k| k.id == camera.id) {
                        old.clone_from(camera);
                    }
                });
            }
        }
        let mut in_force = new;
        // What needs a restart stays as it is, and so it is shown.
        in_force.recorder = old.recorder.clone();
        in_force.recording.sync = old.recording.sync;
        in_force.http = old.http.clone();
        in_force.rtsp_server = old.rtsp_server.clone();
        in_force.log.format = old.log.format;
        in_force.tier = match (&old.tier, in_force.tier.take()) {
            (Some(old), Some(mut new)) => {
                new.root.clone_from(&old.root);
                new.root_mount.clone_from(&old.root_mount);
                Some(new)
            }
            (old, _) => old.clone(),
        };
        self.0.moving.configure(in_force.tier.clone());
        self.0.archive.set_policy(Policy::of(&in_force));
        self.0.archive.privacy().set(in_force.privacy());
        self.0.jobs_config.store(Arc::new(in_force.jobs.clone()));
        self.0.uploads.set(&in_force.uploads).await?;
        let mqtt = self.0.reconnect(&in_force);
        self.0.alerts.configure(&in_force.alerts, mqtt).await?;
        self.0.archive.configure_playback(&in_force.transcode);
        self.0.transcoding.configure(in_force.transcode.clone());
        self.0.detections.configure(in_force.detections.clone());
        self.0.objects.configure(in_force.objects.as_ref());
        self.0.jobs.look();
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
        let changed = [&diff.added, &diff.removed, &diff.changed]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let event = Event::new(self.clock().now(), None, EventKind::ConfigReloaded { changed });
        self.0.publish(event).await;
        Ok(diff)
    }
}

/// A file is refused when it is read; a configuration filled in by hand was read by nobody.
pub(super) fn refuse_doubles(config: &Config) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match config.cameras.iter().find(|c| !seen.insert(&c.id)) {
        Some(camera) => Err(
            Error::new(ErrorKind::Config, format!("two cameras are called {}", camera.id))
                .with_hint("give each an id of its own"),
        ),
        None => Ok(()),
    }
}

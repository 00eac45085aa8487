//! The configuration file of a running recorder: shown, changed and put in force in one go.

use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use super::{Nvr, blocking};
use crate::config::{Config, ConfigDiff, ConfigFile, EditOrigin, FieldError, FieldErrors};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventKind};
use crate::ids::CameraId;

/// A change of the configuration file that somebody asks for.
#[derive(Clone, Debug)]
pub struct ConfigOrder {
    /// What to change, as [`ConfigFile::edit`] takes it.
    pub changes: Map<String, Json>,
    /// The version that it was made for; any when absent.
    pub version: Option<String>,
    /// From where it comes, and so what it may say.
    pub origin: EditOrigin,
    /// Who asks, for the event.
    pub by: Option<String>,
}

impl ConfigOrder {
    /// A change by somebody on the network, of whatever version the file is.
    #[must_use]
    pub fn remote(changes: Map<String, Json>) -> Self {
        Self {
            changes,
            version: None,
            origin: EditOrigin::Remote,
            by: None,
        }
    }
}

/// What a change of the configuration file did.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConfigOutcome {
    /// The file as it is now.
    pub file: ConfigFile,
    /// Paths of what differs; empty when nothing was to be done.
    pub changed: Vec<String>,
    /// What was put in force, and what waits for the next start.
    pub diff: ConfigDiff,
}

impl Nvr {
    /// The configuration file as it is now, which need not be in force yet.
    ///
    /// # Errors
    /// `Conflict` when the recorder was started without one; those of [`ConfigFile::read`].
    pub async fn config_file(&self) -> Result<ConfigFile> {
        let path = self.config_path()?;
        blocking(move || ConfigFile::read(&path)).await
    }

    /// Changes the configuration file and puts it in force: checked as a whole, written in one go, and only cameras that
    /// differ start again.
    ///
    /// # Errors
    /// `Conflict` when the recorder was started without a file, or the file is of another version; `Config` with
    /// [`FieldErrors`] for mistakes, with nothing written; `Storage` when it cannot be
    /// written; those of [`reload`](Self::reload) once it is written.
    pub async fn change_config_file(&self, order: ConfigOrder) -> Result<ConfigOutcome> {
        let path = self.config_path()?;
        let _one_at_a_time = self.0.settings.lock().await;
        self.change_locked(path, order).await
    }

    /// Adds a camera to the file and starts it. `keys` are those of `[[cameras]]`, `id` among them.
    ///
    /// # Errors
    /// Those of [`change_config_file`](Self::change_config_file); `AlreadyExists` when the id is taken.
    pub async fn add_camera_to_file(
        &self,
        keys: Map<String, Json>,
        by: Option<String>,
    ) -> Result<ConfigOutcome> {
        let path = self.config_path()?;
        let _one_at_a_time = self.0.settings.lock().await;
        let Some(id) = keys.get("id").and_then(Json::as_str).map(str::to_owned) else {
            return Err(FieldErrors(vec![FieldError::new(
                "cameras.id",
                "`id` is missing, or not a text",
                "give it one: 1 to 63 of a-z, 0-9, `_` and `-`",
            )])
            .into());
        };
        if self.file_has(&path, &id).await? {
            let message = format!("camera {id} exists already");
            return Err(Error::new(ErrorKind::AlreadyExists, message)
                .with_hint("choose another id, or change that one"));
        }
        let mut order = ConfigOrder::remote(of_camera(&id, Json::Object(keys)));
        order.by = by;
        self.change_locked(path, order).await
    }

    /// Changes keys of a camera in the file; `null` gives one its default back.
    ///
    /// # Errors
    /// Those of [`change_config_file`](Self::change_config_file); `NotFound` when there is none of that id.
    pub async fn change_camera_in_file(
        &self,
        id: &CameraId,
        keys: Map<String, Json>,
        by: Option<String>,
    ) -> Result<ConfigOutcome> {
        self.of_camera_in_file(id, Json::Object(keys), by).await
    }

    /// Takes a camera out of the file and stops it. Its footage stays and can be asked for as before.
    ///
    /// # Errors
    /// Those of [`change_config_file`](Self::change_config_file); `NotFound` when there is none of that id.
    pub async fn remove_camera_from_file(&self, id: &CameraId, by: Option<String>) -> Result<ConfigOutcome> {
        self.of_camera_in_file(id, Json::Null, by).await
    }

    /// Reads the configuration file again and puts it in force, as on SIGHUP.
    ///
    /// # Errors
    /// `Conflict` when the recorder was started without one; those of [`Config::load`] and of
    /// [`reload`](Self::reload).
    pub async fn reload_file(&self) -> Result<ConfigDiff> {
        let path = self.config_path()?;
        let _one_at_a_time = self.0.settings.lock().await;
        let config = blocking(move || Config::load(path)).await?;
        self.reload(config).await
    }

    async fn of_camera_in_file(
        &self,
        id: &CameraId,
        change: Json,
        by: Option<String>,
    ) -> Result<ConfigOutcome> {
        let path = self.config_path()?;
        let _one_at_a_time = self.0.settings.lock().await;
        if !self.file_has(&path, id.as_str()).await? {
            let error = super::no_camera(id);
            return Err(match self.camera(id) {
                Ok(_) => error.with_hint("it was added while the recorder ran and stands in no file"),
                Err(_) => error,
            });
        }
        let mut order = ConfigOrder::remote(of_camera(id.as_str(), change));
        order.by = by;
        self.change_locked(path, order).await
    }

    async fn change_locked(&self, path: PathBuf, order: ConfigOrder) -> Result<ConfigOutcome> {
        let by = order.by.clone();
        let (file, changed, config) = blocking(move || {
            let file = ConfigFile::read(&path)?;
            if let Some(version) = &order.version {
                file.expect(version)?;
            }
            let edited = file.edit(&order.changes, order.origin)?;
            let changed = edited.changed().to_vec();
            let file = if changed.is_empty() {
                file
            } else {
                file.write(&edited)?
            };
            Ok((file, changed, edited.config().clone()))
        })
        .await?;
        if !changed.is_empty() {
            let kind = EventKind::ConfigChanged {
                paths: changed.clone(),
                by,
            };
            self.0
                .publish(Event::new(self.clock().now(), only_camera(&changed), kind))
                .await;
        }
        // Also without a change: the file may have been edited by hand and not be in force yet.
        let diff = self.reload(config).await?;
        Ok(ConfigOutcome { file, changed, diff })
    }

    async fn file_has(&self, path: &std::path::Path, id: &str) -> Result<bool> {
        let path = path.to_owned();
        let file = blocking(move || ConfigFile::read(&path)).await?;
        Ok(file.cameras().iter().any(|c| c == id))
    }

    fn config_path(&self) -> Result<PathBuf> {
        self.config().path.clone().ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                "this recorder was started without a configuration file",
            )
            .with_hint("what it does is up to the program that embeds it; `nvr run` has a file")
        })
    }
}

fn of_camera(id: &str, change: Json) -> Map<String, Json> {
    let cameras = Map::from_iter([(id.to_owned(), change)]);
    Map::from_iter([("cameras".to_owned(), Json::Object(cameras))])
}

/// The camera that all paths are of.
fn only_camera(paths: &[String]) -> Option<CameraId> {
    let mut ids = paths
        .iter()
        .map(|path| path.strip_prefix("cameras.")?.split('.').next());
    let first = ids.next()??;
    ids.all(|id| id == Some(first))
        .then(|| CameraId::new(first).ok())?
}

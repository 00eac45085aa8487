//! A target, whatever it is: asking, reading, addresses. Sending is in [`send`](super::send).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::folder::Folder;
use super::http::{Limiter, Wire};
use super::service::Service;
use super::webdav::Dav;
use super::{azure, gcs, s3};
use crate::clock::SharedClock;
use crate::config::{UploadConfig, UploadPlace};
use crate::error::{Error, ErrorKind, Result};
use crate::nvr::blocking;

/// How long an address may be good: what S3 allows.
pub const LONGEST_LINK: Duration = Duration::from_secs(7 * 86_400);

/// What a target has under a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) size_bytes: u64,
    /// BLAKE3, if it says.
    pub(super) hash: Option<[u8; 32]>,
    /// Its own tag.
    pub(super) etag: Option<String>,
}

/// Where a target is, opened.
#[derive(Debug)]
pub(super) enum Place {
    /// One that keeps objects.
    Objects(Box<dyn Service>),
    WebDav(Box<Dav>),
    Folder(Folder),
}

/// A target that copies of segments are at.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) config: UploadConfig,
    pub(super) place: Place,
    pub(super) limit: Arc<Limiter>,
}

impl Target {
    fn open(config: &UploadConfig, clock: SharedClock) -> Result<Self> {
        let limit = Arc::new(Limiter::new(config.bandwidth_bytes_per_s, clock.clone()));
        let wire = |ca: Option<&Path>| Wire::new(ca, Arc::clone(&limit), clock.clone());
        let place = match &config.place {
            UploadPlace::Folder(path) => Place::Folder(Folder::new(path.clone())),
            UploadPlace::S3(place) => {
                let wire = wire(place.ca.as_deref())?;
                Place::Objects(Box::new(s3::open(place, wire, clock)?))
            }
            UploadPlace::Azure(place) => {
                let wire = wire(place.ca.as_deref())?;
                Place::Objects(Box::new(azure::open(place, wire, clock)?))
            }
            UploadPlace::Gcs(place) => {
                let wire = wire(place.ca.as_deref())?;
                Place::Objects(Box::new(gcs::open(place, wire, clock)?))
            }
            UploadPlace::WebDav(place) => {
                Place::WebDav(Box::new(Dav::open(place, wire(place.ca.as_deref())?)?))
            }
        };
        Ok(Self {
            config: config.clone(),
            place,
            limit,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Says which target it was.
    pub(super) fn named(&self, e: Error) -> Error {
        e.context(format_args!("target {}", self.config.name))
    }

    /// What it has under a name. One that has to read it for that does so when it is of the size that is expected.
    pub(super) async fn head(&self, key: &str, size_bytes: u64) -> Result<Option<Found>> {
        match &self.place {
            Place::WebDav(dav) => dav.head(key, size_bytes).await,
            Place::Objects(service) => service.head(key).await,
            Place::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.to_owned());
                blocking(move || folder.head(&key, &|| false)).await
            }
        }
        .map_err(|e| self.named(e))
    }

    /// Bytes of a copy, fewer at its end.
    pub(crate) async fn read(&self, key: &str, offset: u64, length: usize) -> Result<Bytes> {
        match &self.place {
            Place::WebDav(dav) => dav.read(key, offset, length).await,
            Place::Objects(service) => service.read(key, offset, length).await,
            Place::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.to_owned());
                blocking(move || folder.read(&key, offset, length))
                    .await
                    .map(Bytes::from)
            }
        }
        .map_err(|e| self.named(e))
    }

    /// An address at which anybody may fetch a copy for so long.
    pub(super) async fn presign(&self, key: &str, expires: Duration) -> Result<String> {
        match &self.place {
            Place::Objects(service) => service.presign(key, expires).await.map(String::from),
            Place::WebDav(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "WebDAV has no addresses that are good without the password",
            )),
            Place::Folder(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "a folder has no addresses that can be handed on",
            )),
        }
        .map_err(|e| self.named(e))
    }

    /// Whether a copy that was cut off leaves something that no list of it tells.
    pub(super) const fn leaves_parts(&self) -> bool {
        matches!(self.place, Place::Folder(_) | Place::WebDav(_))
    }

    /// Ends what is unfinished under a name: the upload of that id, and all others.
    pub(super) async fn clean(&self, key: &str, upload: Option<&str>) -> Result<()> {
        let cleaned = async {
            match &self.place {
                Place::Objects(service) => {
                    if let Some(id) = upload {
                        service.abort(key, id).await?;
                    }
                    for (found, id) in service.begun(key).await? {
                        if found == key {
                            tracing::info!(key, "an upload that was cut off is given up");
                            service.abort(key, &id).await?;
                        }
                    }
                    Ok(())
                }
                Place::WebDav(dav) => dav.clean(key).await,
                Place::Folder(folder) => {
                    let (folder, key) = (folder.clone(), key.to_owned());
                    blocking(move || folder.clean(&key)).await
                }
            }
        };
        cleaned.await.map_err(|e| self.named(e))
    }

    /// Names under which something is unfinished, with its id. Folders and WebDAV cannot tell.
    pub(super) async fn begun(&self) -> Result<Vec<(String, String)>> {
        match &self.place {
            Place::Objects(service) => service.begun("").await.map_err(|e| self.named(e)),
            Place::WebDav(_) | Place::Folder(_) => Ok(Vec::new()),
        }
    }
}

/// A target's configuration, and the target once it was needed.
type Known = (UploadConfig, Option<Arc<Target>>);

/// The targets of a configuration, opened when they are first needed.
#[derive(Debug)]
pub(crate) struct Targets {
    clock: SharedClock,
    known: Mutex<HashMap<String, Known>>,
}

impl Targets {
    pub(crate) fn new(configs: &[UploadConfig], clock: SharedClock) -> Self {
        let targets = Self {
            clock,
            known: Mutex::default(),
        };
        targets.set(configs);
        targets
    }

    /// Another configuration; targets that did not change stay open.
    pub(super) fn set(&self, configs: &[UploadConfig]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *known);
        for config in configs {
            let kept = before.remove(&config.name).filter(|(old, _)| old == config);
            known.insert(
                config.name.clone(),
                kept.unwrap_or_else(|| (config.clone(), None)),
            );
        }
    }

    /// The configurations, by name.
    pub(super) fn configs(&self) -> Vec<UploadConfig> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<UploadConfig> = known.values().map(|(config, _)| config.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// A target. May read certificates, so not for async code.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Target>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((config, opened)) = known.get_mut(name) else {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let hint = if names.is_empty() {
                "none is configured; write a section [[upload]]".to_owned()
            } else {
                format!("the targets are {}", names.join(", "))
            };
            return Err(
                Error::new(ErrorKind::NotFound, format!("there is no upload target {name:?}"))
                    .with_hint(hint),
            );
        };
        if let Some(target) = opened {
            return Ok(Arc::clone(target));
        }
        let target =
            Target::open(config, self.clock.clone()).map_err(|e| e.context(format_args!("target {name}")))?;
        let target = Arc::new(target);
        *opened = Some(Arc::clone(&target));
        Ok(target)
    }
}

//! Opens recorded footage for asking, beside a running recorder or without one.

use jiff::tz::TimeZone;
use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::{Archive, CameraId, Timestamp};

use crate::cli::Global;
use crate::exit::Failure;
use crate::{config, logging, times};

/// Footage with what is needed to ask for it.
#[derive(Debug)]
pub struct Asked {
    pub config: Config,
    pub archive: Archive,
    pub zone: TimeZone,
    pub now: Timestamp,
}

/// Opens the footage of the configuration.
///
/// # Errors
/// Those of the configuration and the index.
pub async fn open(global: &Global) -> Result<Asked, Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    let archive = Archive::open(&config).await?;
    let zone = times::zone(&config.recorder.time_zone);
    let now = archive.clock().now();
    Ok(Asked {
        config,
        archive,
        zone,
        now,
    })
}

impl Asked {
    /// The cameras of these names; all that have footage or are configured, if none is given.
    ///
    /// # Errors
    /// `NotFound` for a name that neither the configuration nor the index knows.
    pub async fn cameras(&self, names: &[String]) -> Result<Vec<CameraId>, Failure> {
        let mut known: Vec<CameraId> = self.config.cameras.iter().map(|c| c.id.clone()).collect();
        for row in self.archive.recorded_cameras().await? {
            if !known.contains(&row.id) {
                known.push(row.id);
            }
        }
        if names.is_empty() {
            return Ok(known);
        }
        names.iter().map(|name| find(&known, name)).collect()
    }

    /// The camera of a name.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn camera(&self, name: &str) -> Result<CameraId, Failure> {
        find(&self.cameras(&[]).await?, name)
    }
}

fn find(known: &[CameraId], name: &str) -> Result<CameraId, Failure> {
    let found = known.iter().find(|id| id.as_str() == name);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(CameraId::as_str).collect();
        let hint = if names.is_empty() {
            crate::commands::cameras::NONE.to_owned()
        } else {
            format!("the cameras are {}", names.join(", "))
        };
        Error::new(ErrorKind::NotFound, format!("there is no camera {name}"))
            .with_hint(hint)
            .into()
    })
}

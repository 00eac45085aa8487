//! Backups of a running recorder: by hand, and by themselves.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr, blocking};
use crate::backup::{Backup, Sources, series};
use crate::config::BackupConfig;
use crate::error::{Error, Result};
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::time::Timestamp;

/// How often it is looked whether one is due, and how long after a failure.
const LOOK: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(900);

impl Nvr {
    /// Takes a backup of configuration, index, accounts and kept pushes as they are now. Its copies lie beside the index until
    /// it is dropped.
    ///
    /// # Errors
    /// `Conflict` when the recorder was started without a configuration file; those of [`Backup::take`].
    pub async fn backup(&self) -> Result<Backup> {
        let config = self.config();
        let sources = Sources::of(&config)?;
        let clock = self.clock();
        blocking(move || {
            let place = sources.index.parent().unwrap_or(Path::new("."));
            Backup::take(&sources, place, &clock)
        })
        .await
    }
}

/// Makes those of the configuration.
pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let clock = inner.context.clock.clone();
        let pause = match inner.backup_if_due().await {
            Ok(()) => LOOK,
            Err(()) => AGAIN,
        };
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(pause) => {}
        }
    }
}

impl Inner {
    async fn backup_if_due(&self) -> Result<(), ()> {
        let config = self.config();
        let Some(wanted) = config.backup.clone() else {
            return Ok(());
        };
        let clock = self.context.clock.clone();
        let now = clock.now();
        let made = blocking(move || {
            let Some(sources) = due(&wanted, now)?.then(|| Sources::of(&config)).transpose()? else {
                return Ok(None);
            };
            let backup = Backup::take(&sources, &wanted.dir, &clock)?;
            let path = wanted.dir.join(series::name(backup.manifest().made));
            let size_bytes = backup.save(&path)?;
            remove_surplus(&wanted)?;
            Ok(Some((path, size_bytes)))
        });
        let kind = match made.await {
            Ok(None) => return Ok(()),
            Ok(Some((path, size_bytes))) => {
                let path = path.display().to_string();
                tracing::info!(path, size_bytes, "a backup was made");
                EventKind::BackupMade { path, size_bytes }
            }
            Err(e) => {
                tracing::warn!(error = %e, "a backup failed; it is tried again");
                let cause = crate::fault::cause_of(&e)
                    .unwrap_or_else(|| Cause::new(CauseKind::StorageError, e.to_string()));
                self.publish(Event::new(now, None, EventKind::BackupFailed { cause }))
                    .await;
                return Err(());
            }
        };
        self.publish(Event::new(now, None, kind)).await;
        Ok(())
    }
}

fn due(wanted: &BackupConfig, now: Timestamp) -> Result<bool> {
    std::fs::create_dir_all(&wanted.dir).map_err(|e| Error::io(wanted.dir.display(), e))?;
    Ok(series::is_due(&names(&wanted.dir)?, now, wanted.every))
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let failed = |e| Error::io(dir.display(), e);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        all.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(all)
}

fn remove_surplus(wanted: &BackupConfig) -> Result<()> {
    for name in series::surplus(&names(&wanted.dir)?, wanted.keep) {
        let path: PathBuf = wanted.dir.join(name);
        std::fs::remove_file(&path).map_err(|e| Error::io(path.display(), e))?;
    }
    Ok(())
}

//! The certificate of the server, read again when its files change.

use std::path::{Path, PathBuf};

use gio::prelude::*;

use crate::error::{Error, ErrorKind, Result};

/// The files of certificate and key, and what they held.
#[derive(Debug)]
pub(super) struct Certificate {
    files: (PathBuf, PathBuf),
    read: (Vec<u8>, Vec<u8>),
}

/// Largest file.
const MAX_FILE: u64 = 1 << 20;

fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |e| Error::io(path.display(), e);
    if std::fs::metadata(path).map_err(wrong)?.len() > MAX_FILE {
        return Err(Error::new(
            ErrorKind::Config,
            format!("{} is too large for a certificate or key", path.display()),
        ));
    }
    std::fs::read(path).map_err(wrong)
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// `Unsupported` when GLib's TLS is missing; `Storage` or `NotFound` when a file cannot be read, `Config` when it does
    /// not hold what it should.
    pub(super) fn load((cert, key): &(PathBuf, PathBuf)) -> Result<(Self, gio::TlsCertificate)> {
        if !gio::TlsBackend::default().supports_tls() {
            return Err(
                Error::new(ErrorKind::Unsupported, "RTSP over TLS needs GLib's TLS")
                    .with_hint("install the package glib-networking"),
            );
        }
        let bytes = (read(cert)?, read(key)?);
        let current = made_of(cert, key)?;
        let files = (cert.clone(), key.clone());
        Ok((Self { files, read: bytes }, current))
    }

    /// The new one, if the files changed; one that is half written is tried again later.
    pub(super) fn refresh(&mut self) -> Option<gio::TlsCertificate> {
        let bytes = (read(&self.files.0).ok()?, read(&self.files.1).ok()?);
        if bytes == self.read {
            return None;
        }
        let new = made_of(&self.files.0, &self.files.1)
            .inspect_err(|e| tracing::warn!(error = %e, "the certificate of the RTSP server stays as it was"))
            .ok();
        self.read = bytes;
        new
    }
}

fn made_of(cert: &Path, key: &Path) -> Result<gio::TlsCertificate> {
    gio::TlsCertificate::from_files(cert, key).map_err(|e| {
        Error::new(
            ErrorKind::Config,
            format!("{} and {}: {}", cert.display(), key.display(), e.message()),
        )
    })
}

//! The pushes that go on after a restart: a small file beside the index, readable by its owner only, since addresses hold
//! keys.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{PushAddress, PushStatus, PushWish};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Largest file that is read.
const MOST_BYTES: u64 = 1 << 20;

/// A push as it is kept.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) camera: CameraId,
    url: String,
    stream: String,
    audio: bool,
    pub(super) by: Option<String>,
    pub(super) started: Timestamp,
}

impl Kept {
    pub(super) fn of(push: &PushStatus) -> Self {
        Self {
            id: push.id,
            camera: push.camera.clone(),
            url: push.wish.address.whole().expose().to_owned(),
            stream: push.wish.stream.as_str().to_owned(),
            audio: push.wish.audio,
            by: push.by.clone(),
            started: push.started,
        }
    }

    pub(super) fn wish(&self) -> Result<PushWish> {
        Ok(PushWish {
            address: PushAddress::parse(&self.url)?,
            stream: self.stream.parse()?,
            audio: self.audio,
            keep: true,
        })
    }
}

/// Those of a file; none when there is no file.
pub(super) fn load(file: &Path) -> Result<Vec<Kept>> {
    use std::io::Read as _;
    let failed = |e| Error::io(file.display(), e);
    let mut bytes = Vec::new();
    match std::fs::File::open(file) {
        Ok(open) => open.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    serde_json::from_slice(&bytes).map_err(|e| {
        // Without the parser's words: they may quote a key.
        let text = format!("{}: not a list of pushes (line {})", file.display(), e.line());
        Error::new(ErrorKind::Corrupt, text).with_hint("delete it, and begin the pushes again")
    })
}

/// Replaces the file in one step.
pub(super) fn save(file: &Path, kept: &[Kept]) -> Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let text = serde_json::to_vec_pretty(kept).unwrap_or_default();
    let written = (|| {
        // One of before may have any mode.
        match std::fs::remove_file(&new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        out.write_all(&text)?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        std::fs::rename(&new, file)
    })();
    written.map_err(|e| Error::io(file.display(), e))
}

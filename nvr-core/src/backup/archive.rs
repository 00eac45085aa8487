//! The archive, written and read.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::folder::{create_private, hashed_copy};
use super::manifest::{MOST_BYTES, Manifest};
use super::{CONFIG, MANIFEST};
use crate::error::{Error, ErrorKind, Result};

/// Zeroes behind the last member at most.
const MOST_PADDING: u64 = 1 << 20;

/// Writes manifest and members, which lie in `folder` under their names.
pub(super) fn write(manifest: &Manifest, folder: &Path, out: impl Write) -> Result<()> {
    let written = (|| -> io::Result<()> {
        let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::fast()));
        let made = u64::try_from(manifest.made.as_ns() / 1_000_000_000).unwrap_or(0);
        let header = |size| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o600);
            header.set_mtime(made);
            header.set_size(size);
            header
        };
        let text = serde_json::to_vec_pretty(manifest)?;
        tar.append_data(&mut header(text.len() as u64), MANIFEST, text.as_slice())?;
        for member in &manifest.members {
            let file = File::open(folder.join(&member.name))?;
            // A file of another size would put everything behind it out of place.
            tar.append_data(
                &mut header(member.size_bytes),
                &member.name,
                file.take(member.size_bytes),
            )?;
        }
        tar.into_inner()?.finish()?.flush()
    })();
    written.map_err(|e| Error::io("write the backup", e))
}

/// Reads an archive into files of `folder`, which bear the names of its members, and compares all of it with its manifest.
///
/// # Errors
/// `Unsupported` for one of a newer form; `Corrupt` for one that was cut off or changed, or holds anything but ordinary
/// files of the names that belong there; `Storage` when the files cannot be written.
pub(super) fn read(input: impl Read, folder: &Path) -> Result<Manifest> {
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(input)));
    let mut manifest: Option<Manifest> = None;
    let mut next = 0;
    // As it stands: names and links of extensions are not resolved, but refused as members.
    for entry in tar.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            let kind = entry.header().entry_type();
            return Err(corrupt(format!(
                "it holds something else than ordinary files ({kind:?})"
            )));
        }
        let name = entry.path_bytes().into_owned();
        let shown = || {
            String::from_utf8_lossy(&name)
                .chars()
                .take(100)
                .collect::<String>()
        };
        let Some(manifest) = &manifest else {
            if name != MANIFEST.as_bytes() {
                return Err(corrupt(format!(
                    "it begins with {:?}, not with its manifest",
                    shown()
                )));
            }
            let mut text = Vec::new();
            (&mut entry)
                .take(MOST_BYTES + 1)
                .read_to_end(&mut text)
                .map_err(damaged)?;
            if text.len() as u64 > MOST_BYTES {
                return Err(corrupt("its manifest is too long"));
            }
            manifest = Some(Manifest::parse(&text)?);
            continue;
        };
        let Some(member) = manifest.members.get(next).filter(|m| m.name.as_bytes() == name) else {
            return Err(corrupt(format!(
                "it holds {:?}, which its manifest does not name there",
                shown()
            )));
        };
        next += 1;
        if entry.size() != member.size_bytes {
            return Err(corrupt(format!(
                "{} has another size than its manifest says",
                member.name
            )));
        }
        let path = folder.join(&member.name);
        let mut file = create_private(&path)?;
        let (size, hash) = hashed_copy(&mut entry, &mut file).map_err(|e| match e {
            Copying::Read(e) => damaged(e),
            Copying::Write(e) => Error::io(path.display(), e),
        })?;
        if size != member.size_bytes || hash != member.blake3 {
            return Err(corrupt(format!(
                "{} is not as it was when the backup was made",
                member.name
            )));
        }
        file.sync_all().map_err(|e| Error::io(path.display(), e))?;
    }
    let manifest = manifest.ok_or_else(|| corrupt("there is nothing in it"))?;
    if let Some(missing) = manifest.members.get(next) {
        return Err(corrupt(format!("{} is missing: it was cut off", missing.name)));
    }
    if manifest.member(CONFIG).is_none() {
        return Err(corrupt("it holds no configuration"));
    }
    // Only its end tells whether it came whole.
    let mut rest = tar.into_inner();
    let padding = io::copy(&mut (&mut rest).take(MOST_PADDING + 1), &mut io::sink()).map_err(damaged)?;
    let mut behind = rest.into_inner();
    if padding > MOST_PADDING || behind.read(&mut [0]).map_err(damaged)? > 0 {
        return Err(corrupt("something follows on its end"));
    }
    Ok(manifest)
}

/// Which side of a copy failed.
pub(super) enum Copying {
    Read(io::Error),
    Write(io::Error),
}

fn damaged(e: io::Error) -> Error {
    let why = match e.kind() {
        io::ErrorKind::UnexpectedEof => "it was cut off".to_owned(),
        _ => e.to_string(),
    };
    corrupt(why).with_source(e)
}

fn corrupt(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("this is no whole backup: {why}"))
        .with_hint("take another copy of the archive; nothing was changed")
}

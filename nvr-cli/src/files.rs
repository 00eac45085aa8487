//! Files that a command writes: whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nvr_core::Timestamp;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::output_file::{self, OutputFile};

use crate::exit::Failure;

/// The standard output, or a file that gets its name when it is complete.
#[derive(Debug)]
pub struct Target {
    kind: Kind,
    closed: bool,
}

#[derive(Debug)]
enum Kind {
    Stdout,
    File(OutputFile),
}

impl Target {
    /// Prepares to write; `-` is the standard output.
    ///
    /// # Errors
    /// `AlreadyExists` unless `force`, and what the system says.
    pub fn create(path: &Path, force: bool) -> Result<Self, Error> {
        let kind = if path == Path::new("-") {
            Kind::Stdout
        } else {
            Kind::File(OutputFile::create(path, force).map_err(advised)?)
        };
        Ok(Self { kind, closed: false })
    }

    /// Where a file grows, for what writes it by its name; `None` for the standard output.
    pub fn part(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Stdout => None,
            Kind::File(file) => Some(file.part()),
        }
    }

    /// A folder for what is kept meanwhile: on the same disk, if it is a file.
    pub fn folder(&self) -> PathBuf {
        match &self.kind {
            Kind::Stdout => std::env::temp_dir(),
            Kind::File(file) => file.folder().to_owned(),
        }
    }

    /// Whether the reader of the standard output went away.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Gives the file its name, once its bytes are on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(self) -> Result<(), Failure> {
        match self.kind {
            Kind::Stdout => Ok(io::stdout().flush()?),
            Kind::File(file) => Ok(file.finish()?),
        }
    }
}

impl Write for Target {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let result = match &mut self.kind {
            Kind::Stdout => io::stdout().write(buf),
            Kind::File(file) => file.write(buf),
        };
        self.closed |= result
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Stdout => io::stdout().flush(),
            Kind::File(file) => file.flush(),
        }
    }
}

/// Whether a file may get this name, in the place of what is there.
///
/// # Errors
/// `InvalidArgument` where a folder, a device or a pipe is, and `AlreadyExists` for a file unless `force`.
pub fn may_replace(path: &Path, force: bool) -> Result<(), Error> {
    output_file::may_be_written(path, force).map_err(advised)
}

/// With what the options of a command can do about it.
fn advised(e: Error) -> Error {
    match e.kind() {
        ErrorKind::AlreadyExists => e.with_hint("name another file, or replace it with --force"),
        ErrorKind::InvalidArgument if e.hint().is_none() => {
            e.with_hint("name a file; `-` is the standard output, which goes wherever you lead it")
        }
        _ => e,
    }
}

/// A time as part of a file name (`20260504T030201Z`).
pub fn timestamp_name(t: Timestamp) -> String {
    t.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string()
}

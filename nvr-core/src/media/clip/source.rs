//! What a clip is made from: segment files that can be read at any offset, with their fragment index.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::media::boxes::MAX_HEADER_LEN;
use crate::media::index::FragmentIndex;
use crate::media::init::{InitSegment, MAX_INIT_BYTES};
use crate::media::samples::StoredSamples;
use crate::time::{TimeRange, Timestamp};
use crate::track::VideoCodec;

/// A file that can be read at any offset by several threads at once.
pub trait ReadAt: Send + Sync + fmt::Debug {
    /// Reads at an offset; 0 at the end of the file, fewer bytes than asked for at any time.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Size in bytes at this moment.
    ///
    /// # Errors
    /// What the operating system says.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|o| self.get(o..))
            .unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// Which bytes a file holds, as far as it is known without reading them; part of a clip's `ETag`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileStamp {
    /// Closed, with its BLAKE3.
    Hash([u8; 32]),
    /// Closed, with its size in bytes.
    Size(u64),
    /// Still written to. It only grows: the bytes of its indexed fragments stay as they are.
    Growing,
}

impl FileStamp {
    /// A short text that differs between versions of a file; `None` while it grows.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        match self {
            Self::Hash(hash) => Some(hash[..8].iter().map(|b| format!("{b:02x}")).collect()),
            Self::Size(size) => Some(format!("s{size}")),
            Self::Growing => None,
        }
    }
}

/// One recorded segment as material for clips and playlists.
#[derive(Clone, Debug)]
pub struct ClipSegment {
    /// UTC of the first video frame's presentation.
    pub start: Timestamp,
    /// Rank of its run by true order of recording (the row number of the run, say): where two runs claim
    /// the same UTC, the higher wins. All segments of a run have the same.
    pub run_order: i64,
    /// Stable name (path below the recordings root): for messages and the `ETag`.
    pub name: Arc<str>,
    /// The file.
    pub file: Arc<dyn ReadAt>,
    /// Its fragments; of a growing file those known now.
    pub index: Arc<FragmentIndex>,
    /// State of the file.
    pub stamp: FileStamp,
    /// Codec of its video, as far as it is known without reading it.
    pub codec: Option<VideoCodec>,
    init: Arc<OnceLock<Arc<InitSegment>>>,
}

impl ClipSegment {
    /// From its parts.
    #[must_use]
    pub fn new(
        name: &str,
        start: Timestamp,
        run_order: i64,
        file: Arc<dyn ReadAt>,
        index: Arc<FragmentIndex>,
        stamp: FileStamp,
    ) -> Self {
        Self {
            start,
            run_order,
            name: name.into(),
            file,
            index,
            stamp,
            codec: None,
            init: Arc::default(),
        }
    }

    /// Says what its video is.
    #[must_use]
    pub fn with_codec(mut self, codec: VideoCodec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// The stretch of UTC that its index covers.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let end = self.start.add_ns(self.index.duration_ns().max(0));
        TimeRange::new(self.start, end).unwrap_or(TimeRange::ALL)
    }

    /// Whether the file is still written to.
    #[must_use]
    pub fn is_growing(&self) -> bool {
        self.stamp == FileStamp::Growing
    }

    /// Its init segment, read once.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be parsed, `Storage` when it cannot be read.
    pub fn init(&self) -> Result<Arc<InitSegment>> {
        if let Some(init) = self.init.get() {
            return Ok(Arc::clone(init));
        }
        let len = usize::try_from(self.index.header_len)
            .ok()
            .filter(|&n| n <= MAX_INIT_BYTES)
            .ok_or_else(|| {
                let n = self.index.header_len;
                Error::new(
                    ErrorKind::Corrupt,
                    format!("{}: a header of {n} bytes is too large", self.name),
                )
            })?;
        let mut bytes = vec![0; len];
        self.read_exact(0, &mut bytes)?;
        let init = InitSegment::parse(&bytes).map_err(|e| e.context(&self.name))?;
        Ok(Arc::clone(self.init.get_or_init(|| Arc::new(init))))
    }

    /// The samples of all its fragments, where the file tells them in one place: a closed one does, unless a full disk or
    /// an older release left the table out.
    pub(super) fn sample_table(&self) -> Option<StoredSamples> {
        if self.is_growing() {
            return None;
        }
        let at = self.index.tail_offset();
        let mut head = [0; MAX_HEADER_LEN];
        self.read_exact(at, &mut head).ok()?;
        let mut table = vec![0; StoredSamples::box_size(&head)?];
        let read = self
            .read_exact(at, &mut table)
            .and_then(|()| StoredSamples::from_box(&table));
        read.inspect_err(|e| tracing::debug!(path = %self.name, error = %e, "cannot read the sample table"))
            .ok()
    }

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// `Corrupt` when the file ends before, `Storage` when it cannot be read.
    pub(crate) fn read_exact(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(offset + done as u64, &mut buf[done..]) {
                Ok(0) => {
                    let at = offset + done as u64;
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        format!("{} ends at byte {at}, before its index does", self.name),
                    )
                    .with_hint("run a check of the recordings; the file was truncated"));
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(&self.name, e)),
            }
        }
        Ok(())
    }
}

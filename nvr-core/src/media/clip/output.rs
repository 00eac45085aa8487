//! A clip: a file that does not exist, of known size and readable anywhere.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::Format;
use super::fmp4::Fmp4;
use super::mp4::Mp4;
use super::plan::{ClipPlan, common_init};
use super::timeline::MapEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::media::codec::codecs;
use crate::time::TimeRange;

/// How much [`Clip::write_to`] reads at once.
const COPY_BYTES: usize = 1 << 20;

/// Size of the pieces of [`Clip::stream`].
const STREAM_BYTES: usize = 256 << 10;

/// A clip laid out and ready to be read.
#[derive(Debug)]
pub struct Clip {
    body: Body,
    etag: String,
    codecs: Option<String>,
    range: TimeRange,
    format: Format,
}

#[derive(Debug)]
enum Body {
    Fmp4(Fmp4),
    Mp4(Mp4),
}

impl Clip {
    /// Lays out what was planned. Blocking: reads two `moof`s per part for `Fmp4`, all of them for `Mp4`.
    ///
    /// # Errors
    /// `Corrupt` when a file does not hold what its index says, `Storage` when it cannot be read,
    /// `Unsupported` when it is no file of this recorder (sample data addressed by absolute offset).
    pub fn open(plan: &ClipPlan) -> Result<Self> {
        Self::open_with_lead(plan, 0)
    }

    /// The same, for who is going to put so many bytes (whole boxes) between `ftyp` and `moov` of an `Mp4`: the clip is read
    /// without them.
    pub(crate) fn open_with_lead(plan: &ClipPlan, lead: u64) -> Result<Self> {
        let init = common_init(&plan.parts)?;
        let body = match plan.format {
            Format::Fmp4 => Body::Fmp4(Fmp4::open(plan, &init)?),
            Format::Mp4 => Body::Mp4(Mp4::open(plan, &init, lead)?),
        };
        Ok(Self {
            body,
            etag: etag(plan),
            codecs: codecs(&init),
            range: plan.range,
            format: plan.format,
        })
    }

    /// Size in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a clip always has a header")]
    pub fn len(&self) -> u64 {
        match &self.body {
            Body::Fmp4(b) => b.len(),
            Body::Mp4(b) => b.len(),
        }
    }

    /// Duration of what is shown in nanoseconds (the lead-in before the exact start does not count).
    #[must_use]
    pub fn duration_ns(&self) -> i64 {
        self.mapping()
            .last()
            .map_or(0, |m| m.clip_ns.saturating_add(m.duration_ns))
    }

    /// Which UTC each stretch of the clip shows, in order; stretches follow each other without a gap.
    #[must_use]
    pub fn mapping(&self) -> &[MapEntry] {
        match &self.body {
            Body::Fmp4(b) => b.mapping(),
            Body::Mp4(b) => b.mapping(),
        }
    }

    /// From the first instant shown to the last that was asked for and is recorded.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Packing.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// A strong entity tag (RFC 9110, 8.8.3) with its quotes: equal for equal bytes.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Media type with the `codecs` parameter when it is known.
    #[must_use]
    pub fn content_type(&self) -> String {
        self.codecs.as_ref().map_or_else(
            || "video/mp4".to_owned(),
            |c| format!("video/mp4; codecs=\"{c}\""),
        )
    }

    /// Fills `buf` from `offset` on; fewer bytes only at the end of the clip, where it returns 0. Blocking;
    /// may be called by several threads at once. Buffers of 256 KiB and more read fastest.
    ///
    /// # Errors
    /// `Corrupt` when a file does not hold what its index says, `Storage` when it cannot be read.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let Some(left) = self.len().checked_sub(offset) else {
            return Ok(0);
        };
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        match &self.body {
            Body::Fmp4(b) => b.read_exact(offset, &mut buf[..n])?,
            Body::Mp4(b) => b.read_exact(offset, &mut buf[..n])?,
        }
        Ok(n)
    }

    /// Writes the whole clip. `progress` is told the bytes written so far after each piece, and stops the
    /// copy by returning `false`; what was written then stays.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), and what `out` says.
    pub fn write_to(&self, out: &mut impl Write, mut progress: impl FnMut(u64) -> bool) -> Result<u64> {
        let mut buf = vec![0; COPY_BYTES];
        let mut done = 0;
        loop {
            let n = self.read_at(done, &mut buf)?;
            if n == 0 {
                out.flush().map_err(|e| Error::io("clip", e))?;
                return Ok(done);
            }
            out.write_all(&buf[..n]).map_err(|e| Error::io("clip", e))?;
            done += n as u64;
            if !progress(done) {
                return Ok(done);
            }
        }
    }

    /// The bytes of a range (cut to the clip) in order, for an HTTP body: pieces of 256 KiB, at most two read
    /// ahead. No thread waits for a slow receiver, and dropping the stream ends the reading. An error is
    /// the last item.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn stream(
        self: Arc<Self>,
        range: std::ops::Range<u64>,
    ) -> impl futures_core::Stream<Item = Result<Bytes>> + Send + Unpin + use<> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let end = range.end.min(self.len());
            let mut at = range.start;
            while at < end {
                let clip = Arc::clone(&self);
                let read = tokio::task::spawn_blocking(move || {
                    let n = usize::try_from(end - at).unwrap_or(usize::MAX).min(STREAM_BYTES);
                    let mut buf = vec![0; n];
                    clip.read_at(at, &mut buf).map(|_| Bytes::from(buf))
                });
                let piece = read.await.unwrap_or_else(|e| {
                    Err(Error::new(ErrorKind::Internal, "reading a clip").with_source(e))
                });
                at = piece.as_ref().map_or(end, |p| at + p.len() as u64);
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(receiver)
    }

    /// A reader from the start on, for those who want `std::io::Read`.
    #[must_use]
    pub fn reader(&self) -> ClipReader<'_> {
        ClipReader { clip: self, at: 0 }
    }
}

/// Reads a clip in order.
#[derive(Debug)]
pub struct ClipReader<'a> {
    clip: &'a Clip,
    at: u64,
}

impl std::io::Read for ClipReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.clip.read_at(self.at, buf).map_err(std::io::Error::other)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl std::io::Seek for ClipReader<'_> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        let (base, by) = match to {
            std::io::SeekFrom::Start(n) => (n, 0),
            std::io::SeekFrom::End(n) => (self.clip.len(), n),
            std::io::SeekFrom::Current(n) => (self.at, n),
        };
        self.at = base
            .checked_add_signed(by)
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// Version of the layout: changes when the same plan gives other bytes.
const LAYOUT: u8 = 2;

/// Everything that the bytes depend on: which files, and of each the fragments that
/// are taken, with places, sizes and times. Whether a file still grows does not belong to it: the bytes of a
/// fragment never change, so a range that is over has one tag, before and after its last file is closed. A file
/// that is replaced (transcoded) has fragments of other sizes.
fn etag(plan: &ClipPlan) -> String {
    let mut hash = blake3::Hasher::new();
    let mut number = |n: u64| {
        hash.update(&n.to_le_bytes());
    };
    number(u64::from(LAYOUT));
    number(plan.format as u64);
    number(plan.range.start().as_ns() as u64);
    number(plan.range.end().as_ns() as u64);
    for part in &plan.parts {
        let fragments = &part.segment.index.fragments[part.fragments.clone()];
        for n in [
            part.segment.start.as_ns() as u64,
            part.segment.index.header_len,
            part.segment.name.len() as u64,
            fragments.len() as u64,
        ] {
            hash.update(&n.to_le_bytes());
        }
        hash.update(part.segment.name.as_bytes());
        for f in fragments {
            for n in [
                f.offset,
                u64::from(f.size),
                f.start_ns as u64,
                f.duration_ns as u64,
            ] {
                hash.update(&n.to_le_bytes());
            }
        }
    }
    format!("\"{}\"", &hash.finalize().to_hex()[..32])
}

//! The same file with its index in front. Where everything lies is known only when all of it is made, so the fragments
//! are kept in a scratch file meanwhile.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::export::Converted;
use crate::error::{Error, ErrorKind, Result};
use crate::media::clip::{Clip, ClipSegment, FileStamp, Format, OnChange, ftyp, plan};
use crate::media::scan;
use crate::time::{NS_PER_S, Timestamp};

/// While it is made, something is sent so often: who waits for it in the middle would give up otherwise.
const SIGN_OF_LIFE_NS: i64 = 5 * NS_PER_S;
/// An empty box (ISO/IEC 14496-12, 8.1.2), which readers skip.
const FREE: &[u8; 8] = b"\0\0\0\x08free";
/// Signs of life that may wait for who reads.
const AHEAD: usize = 4;

/// What goes to who reads, in order.
enum Part {
    Bytes(Bytes),
    /// The rest of the clip, from so many bytes on.
    Clip(Arc<Clip>, u64),
}

impl Converted {
    /// Writes the whole file with its index in front, as all players and editors take it. The fragments are kept in
    /// `scratch` meanwhile. Blocking; `progress` as in [`write_to`](Self::write_to).
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to), and when `scratch` cannot be written.
    pub fn write_mp4(
        self,
        mut scratch: File,
        out: &mut impl Write,
        mut progress: impl FnMut(f64) -> bool,
    ) -> Result<u64> {
        let start = self.range().start();
        let mut go_on = true;
        self.write_to(&mut scratch, |done| {
            go_on = progress(done);
            go_on
        })?;
        if !go_on {
            return Ok(0);
        }
        packed(scratch, start, 0)?.write_to(out, |_| progress(1.0))
    }

    /// A file in a folder that nobody else sees and that is gone when it is closed, for
    /// [`write_mp4`](Self::write_mp4).
    ///
    /// # Errors
    /// `Storage` when it cannot be made there.
    pub fn scratch(folder: &Path) -> Result<File> {
        let name = folder.join(format!(
            ".nvr-scratch-{}-{:x}",
            std::process::id(),
            rand::random::<u64>()
        ));
        let made = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&name);
        let file = made.map_err(|e| Error::io(name.display(), e))?;
        std::fs::remove_file(&name).map_err(|e| Error::io(name.display(), e))?;
        Ok(file)
    }

    /// The pieces of the whole file with its index in front, in order; an error is the last item. The fragments are kept
    /// in `scratch` meanwhile, as long as `is_full` does not say that its disk needs the room; then the file follows. So
    /// its size is known at its end only, and until it is made there is little to read: `ftyp`, and an empty box every few
    /// seconds. Dropping the stream ends the work.
    ///
    /// # Errors
    /// `Unavailable` when no thread can be had.
    pub(crate) fn stream_mp4<F>(
        self,
        scratch: File,
        is_full: F,
    ) -> Result<impl futures_core::Stream<Item = Result<Bytes>> + Send + Unpin + use<F>>
    where
        F: Fn(&File) -> bool + Send + 'static,
    {
        let (sender, reader) = mpsc::channel(AHEAD);
        std::thread::Builder::new()
            .name("nvr-playback".into())
            .spawn(move || {
                if let Err(e) = self.pack(scratch, &is_full, &sender) {
                    let _ = sender.blocking_send(Err(e));
                }
            })
            .map_err(|e| {
                Error::new(ErrorKind::Unavailable, "no thread to write footage on").with_source(e)
            })?;
        let parts = tokio_stream::wrappers::ReceiverStream::new(reader);
        Ok(parts.flat_map(|part| match part {
            Ok(Part::Bytes(bytes)) => stream::once(std::future::ready(Ok(bytes))).left_stream(),
            Err(e) => stream::once(std::future::ready(Err(e))).left_stream(),
            Ok(Part::Clip(clip, from)) => {
                let end = clip.len();
                clip.stream(from..end).right_stream()
            }
        }))
    }

    fn pack(
        self,
        scratch: File,
        is_full: &dyn Fn(&File) -> bool,
        out: &mpsc::Sender<Result<Part>>,
    ) -> Result<()> {
        let front = ftyp(false);
        let (start, clock) = (self.range().start(), self.inner.clock.clone());
        if out.blocking_send(Ok(Part::Bytes(front.clone().into()))).is_err() {
            return Ok(());
        }
        let (mut said_ns, mut lead, mut full) = (clock.steady_ns(), 0, false);
        self.write_to(&mut &scratch, |_| {
            full = is_full(&scratch);
            let now = clock.steady_ns();
            if now.saturating_sub(said_ns) >= SIGN_OF_LIFE_NS {
                said_ns = now;
                // Who does not read needs no sign.
                if out.try_send(Ok(Part::Bytes(Bytes::from_static(FREE)))).is_ok() {
                    lead += FREE.len() as u64;
                }
            }
            !full && !out.is_closed()
        })?;
        if full {
            return Err(
                Error::new(ErrorKind::Storage, "the disk has no room for the export")
                    .with_hint("free some space, or let `jobs.exports` name a folder on another disk"),
            );
        }
        if out.is_closed() {
            return Ok(());
        }
        let clip = packed(scratch, start, lead)?;
        let mut begins = vec![0; front.len()];
        clip.read_at(0, &mut begins)?;
        if begins != front {
            return Err(Error::new(
                ErrorKind::Internal,
                "a clip of another kind than was said",
            ));
        }
        // Who does not wait for it any more is no fault.
        let _ = out.blocking_send(Ok(Part::Clip(Arc::new(clip), front.len() as u64)));
        Ok(())
    }
}

/// The clip of the fragments in a scratch file, to be read with so many bytes between `ftyp` and `moov`.
fn packed(mut scratch: File, start: Timestamp, lead: u64) -> Result<Clip> {
    let failed = |e| Error::io("scratch file", e);
    scratch.rewind().map_err(failed)?;
    let found = scan(&mut std::io::BufReader::new(&mut scratch))?;
    let size = scratch.metadata().map_err(failed)?.len();
    let segment = ClipSegment::new(
        "scratch file",
        start,
        0,
        Arc::new(scratch),
        Arc::new(found.index),
        FileStamp::Size(size),
    );
    let range = segment.range();
    let plans = plan(&[segment], range, Format::Mp4, OnChange::Refuse)?;
    let made = plans
        .first()
        .map(|plan| Clip::open_with_lead(plan, lead))
        .transpose()?;
    made.ok_or_else(|| Error::new(ErrorKind::Internal, "a plan without parts"))
}

//! One file of a range as H.264, written as it is made.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::encode::Stretch;
use super::slots::{self, Slot, Stop};
use super::{Converter, Inner};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{CodedFrame, Recoded};
use crate::media::clip::{PlanPart, Remade, RemadePart};
use crate::privacy::Privacy;
use crate::time::TimeRange;

/// Pieces between the encoder and who reads them.
const AHEAD: usize = 4;

/// A clip that is encoded while it is read: its size is known at its end only. Its turn is taken; dropping it, or what
/// reads it, gives that back and ends the work.
#[derive(Debug)]
pub struct Converted {
    remade: Remade,
    fit: Option<(u32, u32)>,
    privacy: Option<Arc<Privacy>>,
    pub(super) inner: Arc<Inner>,
    slot: Slot,
}

/// What was made since the last one.
#[derive(Clone, Debug)]
pub struct ConvertedPiece {
    /// The next bytes of the file.
    pub bytes: Bytes,
    /// Which share of the clip is made, 0 to 1.
    pub done: f64,
}

impl Converter {
    /// Prepares a clip of parts whose codec may differ; waits so long for its turn.
    pub(crate) async fn export(
        &self,
        parts: Vec<PlanPart>,
        privacy: Option<Arc<Privacy>>,
        patience: Duration,
    ) -> Result<Converted> {
        let (remade, fit) = crate::nvr::blocking(move || {
            let fit = common_size(&parts)?;
            Ok((Remade::new(parts)?, fit))
        })
        .await?;
        Ok(Converted {
            remade,
            fit,
            privacy,
            inner: Arc::clone(&self.0),
            slot: self.0.slots.take(patience).await?,
        })
    }
}

/// The size of the first part, where not all have it.
fn common_size(parts: &[PlanPart]) -> Result<Option<(u32, u32)>> {
    let mut first = None;
    let mut differs = false;
    for part in parts {
        let init = part.segment.init()?;
        let size = init.video().map(|v| (u32::from(v.width), u32::from(v.height)));
        differs |= *first.get_or_insert(size) != size;
    }
    let even = |(w, h): (u32, u32)| ((w & !1).max(2), (h & !1).max(2));
    Ok(first.flatten().filter(|_| differs).map(even))
}

impl Converted {
    /// From the first instant shown to the last.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.remade.range()
    }

    /// How long it is going to be, nanoseconds.
    #[must_use]
    pub fn duration_ns(&self) -> i64 {
        self.remade.duration_ns()
    }

    /// The pieces of the file in order; an error is the last item. The work begins now, is at most some pieces ahead of
    /// who reads, and ends when the stream is dropped.
    ///
    /// # Errors
    /// `Unavailable` when no thread can be had.
    pub fn stream(
        self,
    ) -> Result<impl futures_core::Stream<Item = Result<ConvertedPiece>> + Send + Unpin + use<>> {
        let (reader, stop) = self.start()?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(reader);
        Ok(tokio_stream::StreamExt::map(stream, move |item| {
            let _while_read = &stop;
            item
        }))
    }

    /// Writes the whole file. Blocking. `progress` is told the share that is done after each piece, and stops the work by
    /// returning `false`; what was written then stays. Gives the bytes written.
    ///
    /// # Errors
    /// What decoding and encoding fail with, and what `out` says.
    pub fn write_to(self, out: &mut impl Write, mut progress: impl FnMut(f64) -> bool) -> Result<u64> {
        let (mut reader, _stop) = self.start()?;
        let mut written = 0;
        while let Some(piece) = reader.blocking_recv() {
            let piece = piece?;
            out.write_all(&piece.bytes).map_err(|e| Error::io("clip", e))?;
            written += piece.bytes.len() as u64;
            if !progress(piece.done) {
                break;
            }
        }
        out.flush().map_err(|e| Error::io("clip", e))?;
        Ok(written)
    }

    pub(super) fn start(self) -> Result<(mpsc::Receiver<Result<ConvertedPiece>>, Stop)> {
        let (sender, reader) = mpsc::channel(AHEAD);
        let stop = Stop::default();
        let flag = stop.flag();
        let Self {
            remade,
            fit,
            privacy,
            inner,
            slot,
        } = self;
        let priority = inner.config.load().priority;
        slots::start(slot, priority, move || {
            let result = make(&inner, remade, fit, privacy.as_ref(), &sender, &flag);
            if let Err(e) = result {
                let _ = sender.blocking_send(Err(e));
            }
        })?;
        Ok((reader, stop))
    }
}

/// Makes the whole file.
fn make(
    inner: &Inner,
    mut remade: Remade,
    fit: Option<(u32, u32)>,
    privacy: Option<&Arc<Privacy>>,
    out: &mpsc::Sender<Result<ConvertedPiece>>,
    stop: &AtomicBool,
) -> Result<()> {
    let total = remade.duration_ns().max(1) as f64;
    let many = remade.parts().len() > 1;
    let (mut before, mut begun) = (0.0, false);
    for number in 0..remade.parts().len() {
        let share = remade.parts()[number].shown.len_ns() as f64 / total;
        let part = remade.part(number)?;
        let Some(track) = part.track().cloned() else {
            continue;
        };
        let mut work = Work {
            part,
            fit,
            out,
            before,
            share,
            begun,
            sets: Vec::new(),
            taken: false,
        };
        match inner.encode(&track, fit, privacy, &mut work, stop) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A stretch that is damaged is left out, if there are others.
            Err(e) if e.kind() == ErrorKind::Corrupt && many => {
                tracing::warn!(error = %e, "a stretch of an export cannot be decoded and is left out");
            }
            Err(e) => return Err(e),
        }
        begun = work.begun;
        before += share;
        if let Some(bytes) = work.part.finish() {
            send(out, bytes, before)?;
        }
    }
    if !begun {
        let what = "nothing of the range can be decoded";
        return Err(Error::new(ErrorKind::Corrupt, what));
    }
    Ok(())
}

/// Who read it is gone when this fails.
fn send(out: &mpsc::Sender<Result<ConvertedPiece>>, bytes: Vec<u8>, done: f64) -> Result<()> {
    let piece = ConvertedPiece {
        bytes: bytes.into(),
        done: done.min(1.0),
    };
    out.blocking_send(Ok(piece))
        .map_err(|_| Error::new(ErrorKind::Unavailable, "nobody reads it any more"))
}

/// One stretch on its way.
struct Work<'a> {
    part: RemadePart<'a>,
    fit: Option<(u32, u32)>,
    out: &'a mpsc::Sender<Result<ConvertedPiece>>,
    /// Share of the clip before this stretch, and its own.
    before: f64,
    share: f64,
    /// The header is out.
    begun: bool,
    /// Parameter sets that go before keyframes: those of the header are others.
    sets: Vec<u8>,
    /// A frame of this stretch came.
    taken: bool,
}

impl Stretch for Work<'_> {
    fn again(&mut self) -> Result<bool> {
        if self.taken {
            return Ok(false);
        }
        self.part.rewind();
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<CodedFrame>> {
        Ok(self.part.next()?.map(|f| CodedFrame {
            data: f.data,
            pts_ns: f.pts_ns,
            keyframe: f.keyframe,
            shown: f.shown,
        }))
    }

    fn take(&mut self, made: Recoded) -> Result<()> {
        match made {
            Recoded::Config(config) if !self.begun => {
                let size = self.fit.map(|(w, h)| (w as u16, h as u16));
                let head = self.part.head(&config, size)?;
                self.begun = true;
                send(self.out, head, self.before)
            }
            Recoded::Config(config) => {
                self.sets = self.part.sets_before_keyframes(&config);
                Ok(())
            }
            Recoded::Frame(mut frame) => {
                self.taken = true;
                if frame.keyframe && !self.sets.is_empty() {
                    frame.data.splice(0..0, self.sets.iter().copied());
                }
                match self.part.take(frame.pts_ns, frame.keyframe, frame.data)? {
                    Some(bytes) => send(self.out, bytes, self.before + self.share * self.part.done()),
                    None => Ok(()),
                }
            }
        }
    }
}

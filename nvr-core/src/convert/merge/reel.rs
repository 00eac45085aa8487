//! The pictures and the sound of one camera in the order of time, each read by a thread of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::super::encode::coded;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{CodedFrame, CodedSound, Picture, PictureReader, stopped};
use crate::media::clip::{PlanPart, Remade, RemadePart, decoder_specific};
use crate::media::init::CodecConfig;
use crate::priority::Priority;
use crate::privacy::Privacy;
use crate::time::{TimeRange, Timestamp};

/// Between two stretches that lie so close the last picture stands.
pub(super) const HOLD_NS: i64 = 500_000_000;
/// So much of a stretch is looked at for its frame rate.
const SAMPLE_NS: i64 = 2_000_000_000;
/// Pictures that wait to be taken.
const WAITING: usize = 4;
/// Pieces of sound that wait to be taken.
const WAITING_SOUND: usize = 64;
/// How long is waited before it is looked whether to go on.
const LOOK: Duration = Duration::from_millis(50);

enum Item<T> {
    /// When it is shown, and until when the stretch goes that it is of.
    Of(Timestamp, Timestamp, T),
    Fault(String),
}

/// What a thread gives, item by item.
struct Line<T> {
    items: Receiver<Item<T>>,
    stop: Arc<AtomicBool>,
}

impl<T> Drop for Line<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl<T: Send + 'static> Line<T> {
    fn start(
        name: &str,
        room: usize,
        priority: Priority,
        work: impl FnOnce(&SyncSender<Item<T>>, &AtomicBool) + Send + 'static,
    ) -> Result<Self> {
        let (sender, items) = sync_channel(room);
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                priority.lower_this_thread();
                work(&sender, &flag);
            })
            .map_err(|e| Error::new(ErrorKind::Unavailable, "no thread to read footage on").with_source(e))?;
        Ok(Self { items, stop })
    }

    fn next(&self, stop: &dyn Fn() -> bool) -> Result<Option<Item<T>>> {
        loop {
            match self.items.recv_timeout(LOOK) {
                Ok(item) => return Ok(Some(item)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if stop() => return Err(stopped()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// The pictures of a camera; moments are asked for in order.
pub(super) struct Reel {
    line: Line<Picture>,
    ended: bool,
    current: Option<(Timestamp, Picture)>,
    coming: VecDeque<(Timestamp, Timestamp, Picture)>,
    /// Stretches that could not be decoded to their end.
    pub(super) faults: Vec<String>,
}

impl Reel {
    pub(super) fn start(
        parts: Vec<PlanPart>,
        size: (u32, u32),
        privacy: Option<Arc<Privacy>>,
        priority: Priority,
    ) -> Result<Self> {
        let line = Line::start("nvr-reel", WAITING, priority, move |out, stop| {
            for part in parts {
                let shown = part.shown;
                match pictures(part, size, privacy.clone(), priority, out, stop) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(e) => {
                        let words = format!("from {}: {e}", shown.start());
                        if stop.load(Ordering::Acquire) || out.send(Item::Fault(words)).is_err() {
                            return;
                        }
                    }
                }
            }
        })?;
        Ok(Self {
            line,
            ended: false,
            current: None,
            coming: VecDeque::new(),
            faults: Vec::new(),
        })
    }

    /// The newest picture at or before a moment, unless its stretch is over.
    pub(super) fn at(&mut self, moment: Timestamp, stop: &dyn Fn() -> bool) -> Result<Option<&Picture>> {
        loop {
            while self.coming.front().is_some_and(|(at, ..)| *at <= moment) {
                if let Some((_, until, picture)) = self.coming.pop_front() {
                    self.current = Some((until, picture));
                }
            }
            if self.ended || !self.coming.is_empty() {
                break;
            }
            match self.line.next(stop)? {
                Some(Item::Of(at, until, picture)) => self.coming.push_back((at, until, picture)),
                Some(Item::Fault(words)) => self.faults.push(words),
                None => self.ended = true,
            }
        }
        let next = self.coming.front().map(|(at, ..)| *at);
        Ok(self.current.as_ref().and_then(|(until, picture)| {
            let holds = next.is_some_and(|next| next.since(*until) < HOLD_NS);
            (moment < *until || holds).then_some(picture)
        }))
    }
}

/// Decodes a stretch; `Ok(false)` when nobody wants more.
fn pictures(
    part: PlanPart,
    size: (u32, u32),
    privacy: Option<Arc<Privacy>>,
    priority: Priority,
    out: &SyncSender<Item<Picture>>,
    stop: &AtomicBool,
) -> Result<bool> {
    let shown = part.shown;
    let mut clip = Remade::new(vec![part])?;
    let mut part = clip.part(0)?;
    let track = part.track().cloned();
    let track = track.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stretch without video"))?;
    let mut reader = PictureReader::new(&coded(&track)?, size, privacy, Some(priority))?;
    let stopping = || stop.load(Ordering::Acquire);
    while let Some(picture) = reader.next(&mut || frame(&mut part), &stopping)? {
        let at = part.utc_of(picture.pts_ns);
        // What is read behind the end is read for those before it.
        if at < shown.end() && out.send(Item::Of(at, shown.end(), picture)).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn frame(part: &mut RemadePart<'_>) -> Result<Option<CodedFrame>> {
    drop(part.take_sound());
    Ok(part.next()?.map(|f| CodedFrame {
        data: f.data,
        pts_ns: f.pts_ns,
        keyframe: f.keyframe,
        shown: f.shown,
    }))
}

/// The sound of a camera.
pub(super) struct Sound(Line<(Arc<CodedSound>, Vec<u8>)>);

/// A piece of sound, and when it is heard.
pub(super) type Heard = (Timestamp, Arc<CodedSound>, Vec<u8>);

impl Sound {
    pub(super) fn start(parts: Vec<PlanPart>, priority: Priority) -> Result<Self> {
        let line = Line::start("nvr-reel-sound", WAITING_SOUND, priority, move |out, stop| {
            for part in parts {
                let shown = part.shown;
                // What cannot be read is told by who reads the pictures.
                if let Ok(false) = sounds(part, shown, out, stop) {
                    return;
                }
            }
        })?;
        Ok(Self(line))
    }

    /// The next piece.
    pub(super) fn next(&self, stop: &dyn Fn() -> bool) -> Result<Option<Heard>> {
        loop {
            match self.0.next(stop)? {
                Some(Item::Of(at, _, (what, data))) => return Ok(Some((at, what, data))),
                Some(Item::Fault(_)) => {}
                None => return Ok(None),
            }
        }
    }
}

fn sounds(
    part: PlanPart,
    shown: TimeRange,
    out: &SyncSender<Item<(Arc<CodedSound>, Vec<u8>)>>,
    stop: &AtomicBool,
) -> Result<bool> {
    let Some(what) = sound_of(&part)?.map(Arc::new) else {
        return Ok(true);
    };
    let mut clip = Remade::new(vec![part])?;
    let mut part = clip.part(0)?;
    while !stop.load(Ordering::Acquire) && part.next()?.is_some() {
        for (at, data) in part.take_sound() {
            if (shown.start()..shown.end()).contains(&at)
                && out
                    .send(Item::Of(at, shown.end(), (Arc::clone(&what), data)))
                    .is_err()
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The parameters of a stretch's sound; `None` without, or when it is no AAC.
pub(super) fn sound_of(part: &PlanPart) -> Result<Option<CodedSound>> {
    let init = part.segment.init()?;
    Ok(init.audio().and_then(|track| {
        let CodecConfig::Esds(es) = &track.config else {
            return None;
        };
        let specific = decoder_specific(es)?;
        Some(CodedSound {
            config: specific.get(1..)?.to_vec(),
            rate: track.sample_rate,
            channels: track.channels.into(),
        })
    }))
}

/// Size and frames a second of a stretch.
pub(super) fn about(part: &PlanPart) -> Result<((u32, u32), f64)> {
    let mut clip = Remade::new(vec![part.clone()])?;
    let mut part = clip.part(0)?;
    let size = part.track().map(|t| (u32::from(t.width), u32::from(t.height)));
    let size = size.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stretch without video"))?;
    let (mut count, mut last) = (0u32, 0);
    while let Some(frame) = part.next()? {
        count += 1;
        last = last.max(frame.pts_ns);
        if last >= SAMPLE_NS {
            break;
        }
    }
    let fps = f64::from(count.saturating_sub(1)) / (last.max(1) as f64 / 1e9);
    Ok((size, fps))
}

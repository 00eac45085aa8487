//! One life of one camera's pipeline.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gst::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::bus::{self, BusNews};
use super::intake::Intake;
use super::source_bin::{Around, OnTracks, SourceBin};
use super::spec::{RunEvent, RunInput, RunSpec, RunStats, StopOutcome};
use super::tap::Tap;
use super::{record, sources};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::source::SourceSpec;

/// Units that a recording from a tap may be behind before it loses a group of pictures.
const TAP_CAPACITY: usize = 4096;

/// A running pipeline. Dropping it cuts it off, as a crash would; [`stop`](Self::stop) closes files.
#[derive(Debug)]
pub struct Run {
    intake: Arc<Intake>,
    feed: Feed,
    clock: SharedClock,
}

enum Feed {
    Pipeline(gst::Pipeline),
    Tap(Box<dyn Fn() + Send + Sync>),
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pipeline(_) => "Pipeline",
            Self::Tap(_) => "Tap",
        })
    }
}

impl Run {
    /// Builds the pipeline and sets it playing. Blocks for the time that takes (no answer of the network is
    /// awaited): call it from a thread that may block.
    ///
    /// # Errors
    /// `Unsupported` when an element is missing, `InvalidArgument` for a chunk length that makes no sense,
    /// `Unavailable` when the source cannot be opened.
    pub fn start(spec: RunSpec) -> Result<(Self, UnboundedReceiver<RunEvent>)> {
        match spec.input.clone() {
            RunInput::Source(source) => {
                let text = source.clone();
                let reactor = spec.reactor.clone();
                Self::start_with(spec, &text, move |intake, on_tracks| {
                    let weak = Arc::downgrade(intake);
                    let around = Around {
                        reactor,
                        demand: intake.demand(),
                        lazy: true,
                        on_ingest: Some(Arc::new(move |ingest, reason| {
                            if let Some(intake) = weak.upgrade() {
                                intake.ingest(ingest, reason);
                            }
                        })),
                    };
                    sources::build(&source, &around, on_tracks)
                })
            }
            RunInput::Tap { tap, pre_roll } => Self::start_from_tap(spec, &tap, pre_roll),
        }
    }

    pub(crate) fn start_with(
        spec: RunSpec,
        source: &SourceSpec,
        build: impl FnOnce(&Arc<Intake>, OnTracks) -> Result<SourceBin>,
    ) -> Result<(Self, UnboundedReceiver<RunEvent>)> {
        super::init()?;
        if let Some(r) = &spec.record {
            record::check(r)?;
        }
        let (events, receiver) = unbounded_channel();
        let clock = spec.clock.clone();
        let pipeline = gst::Pipeline::new();
        // Not the source's idea of time: the monotonic clock, which is what anchors refer to.
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        let intake = Intake::new(spec, events, Some(pipeline.downgrade()));

        let slot: Arc<OnceLock<glib::WeakRef<gst::Bin>>> = Arc::default();
        let on_tracks: OnTracks = {
            let (intake, slot) = (Arc::downgrade(&intake), slot.clone());
            Box::new(move |has_audio| {
                let (Some(intake), Some(bin)) =
                    (intake.upgrade(), slot.get().and_then(glib::WeakRef::upgrade))
                else {
                    return;
                };
                if let Err(why) = intake.connect(&bin, has_audio) {
                    intake.end(Cause::new(CauseKind::Internal, why));
                }
            })
        };
        let SourceBin { bin } = build(&intake, on_tracks)?;
        let _ = slot.set(bin.downgrade());
        pipeline
            .add(&bin)
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot add the source").with_source(e))?;
        {
            let (weak, source) = (Arc::downgrade(&intake), source.clone());
            let about = source.clone();
            let words =
                move |e: &glib::Error, debug: Option<&str>| sources::cause::cause_of(e, debug, &about);
            bus::watch(&pipeline, words, move |news| {
                let Some(intake) = weak.upgrade() else { return };
                match news {
                    BusNews::Error(cause) => {
                        let source = source.clone();
                        intake.end_explained(cause, move |c| sources::certificate::explain(c, &source));
                    }
                    BusNews::Closed if intake.stats().frames == 0 => intake.end(Cause::new(
                        CauseKind::StreamEnded,
                        format!("{source}: the camera closed the connection"),
                    )),
                    BusNews::Closed => {}
                    BusNews::Eos => intake.end(Cause::new(CauseKind::StreamEnded, "the stream ended")),
                }
            });
        }
        let run = Self {
            intake,
            feed: Feed::Pipeline(pipeline.clone()),
            clock,
        };
        if pipeline.set_state(gst::State::Playing).is_err() {
            // The element that refused has mostly said why on the bus; the first cause counts.
            run.intake.end(Cause::new(
                CauseKind::Unreachable,
                format!("{source} cannot be opened"),
            ));
        }
        Ok((run, receiver))
    }

    fn start_from_tap(
        spec: RunSpec,
        tap: &Tap,
        pre_roll: Duration,
    ) -> Result<(Self, UnboundedReceiver<RunEvent>)> {
        super::init()?;
        if let Some(r) = &spec.record {
            record::check(r)?;
        }
        let (events, receiver) = unbounded_channel();
        let clock = spec.clock.clone();
        // One that goes on after a fault must not record again what it has.
        let back = (!pre_roll.is_zero()).then_some(pre_roll);
        let mut reader = tap.subscribe_patiently(back, TAP_CAPACITY);
        let close = reader.closer();
        let intake = Intake::new(spec, events, None);
        intake.expect_audio(tap.has_audio());
        let weak = Arc::downgrade(&intake);
        let span = tracing::Span::current();
        std::thread::Builder::new()
            .name("nvr-tap".into())
            .spawn(move || {
                let _about = span.entered();
                while let Some(unit) = reader.blocking_recv() {
                    let Some(intake) = weak.upgrade() else { return };
                    intake.unit_from_tap(&unit, reader.dropped());
                }
                if let Some(intake) = weak.upgrade() {
                    intake.end(Cause::new(CauseKind::StreamEnded, "the camera's stream ended"));
                }
            })
            .map_err(|e| Error::io("cannot start a thread", e))?;
        Ok((
            Self {
                intake,
                feed: Feed::Tap(Box::new(close)),
                clock,
            },
            receiver,
        ))
    }

    #[cfg(test)]
    pub(crate) fn weak_pipelines(&self) -> Vec<glib::WeakRef<gst::Object>> {
        let mut all = self.intake.weak_writers();
        if let Feed::Pipeline(p) = &self.feed {
            all.push(p.upcast_ref::<gst::Object>().downgrade());
        }
        all
    }

    /// Figures so far.
    #[must_use]
    pub fn stats(&self) -> RunStats {
        self.intake.stats()
    }

    /// Access to the encoded frames.
    #[must_use]
    pub fn tap(&self) -> Tap {
        self.intake.tap()
    }

    /// Begins a new segment at the next keyframe.
    pub fn split(&self) {
        self.intake.split();
    }

    /// Closes the last segment and ends the run; past the deadline the pipeline is cut. Blocks.
    #[must_use]
    pub fn stop(self, deadline: Duration) -> StopOutcome {
        let begin = self.clock.steady_ns();
        let clean = self
            .intake
            .stop(Cause::new(CauseKind::Requested, "stopped"), deadline);
        let clock = self.clock.clone();
        drop(self);
        let took = clock.steady_ns().saturating_sub(begin).max(0);
        StopOutcome {
            clean,
            took: Duration::from_nanos(took as u64),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Without a stop before: nothing is completed.
        let _ = self
            .intake
            .stop(Cause::new(CauseKind::Requested, "dropped"), Duration::ZERO);
        match &self.feed {
            Feed::Pipeline(pipeline) => {
                let _ = pipeline.set_state(gst::State::Null);
                if let Some(bus) = pipeline.bus() {
                    bus.unset_sync_handler();
                }
            }
            Feed::Tap(close) => close(),
        }
    }
}

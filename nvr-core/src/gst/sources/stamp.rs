//! Decoding times for access units that come with presentation times only.
//!
//! `h264timestamper` is right and slow: where a stream does not declare how far it reorders (many cameras do not),
//! it assumes the worst and holds back up to 18 frames, which are late for the viewer and lost in a crash. Such
//! streams hardly ever reorder. So frames that are not declared to be reordered are stamped as they pass; if it
//! turns out that they are, decoding times from there on keep a distance from presentation times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

use super::h264_sps::{Reorder, reorder_of_avcc};
use super::{make, on_pad};
use crate::error::{Error, ErrorKind, Result};

/// A presentation time this far back is a jump of the camera's clock, not reordering.
const JUMP_NS: u64 = 2_000_000_000;

/// Least step of decoding times: one tick of 90 kHz, rounded up.
const STEP_NS: u64 = 11_112;

/// Puts decoding times on what `filter` (the last element of a video chain) sends to `ghost`.
///
/// # Errors
/// `Unsupported` when the timestamper is missing.
pub(super) fn attach(bin: &gst::Bin, filter: &gst::Element, ghost: &gst::GhostPad) -> Result<()> {
    let fault = |what: &str| Error::new(ErrorKind::Internal, format!("video track: {what}"));
    let pad = filter.static_pad("src").ok_or_else(|| fault("no pad"))?;
    let caps = filter.property::<gst::Caps>("caps");
    let h265 = caps.structure(0).is_some_and(|s| s.name() == "video/x-h265");
    from_keyframe_on(&pad);
    let stamper = make(if h265 {
        "h265timestamper"
    } else {
        "h264timestamper"
    })?;
    bin.add(&stamper)
        .map_err(|e| fault("cannot add an element").with_source(e))?;
    stamper
        .sync_state_with_parent()
        .map_err(|e| fault("an element does not start").with_source(e))?;
    if h265 {
        // H.265 always declares it.
        return insert(&pad, &stamper, ghost)
            .map_err(|e| fault("the timestamper does not link").with_source(e));
    }
    let ghost = ghost.downgrade();
    let stamper = stamper.downgrade();
    let mode = Mutex::new(Mode::Undecided);
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    on_pad(&pad, types, move |pad, info| {
        let mut mode = mode.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut info.data, &mut *mode) {
            (Some(gst::PadProbeData::Event(event)), Mode::Undecided) => {
                if let gst::EventView::Caps(caps) = event.view() {
                    let declared = reorder_of(caps.caps());
                    *mode = Mode::Direct(match declared {
                        Reorder::None => Stamper::in_order(),
                        _ => Stamper::default(),
                    });
                    if let Reorder::Declared(frames) = declared
                        && let (Some(ghost), Some(stamper)) = (ghost.upgrade(), stamper.upgrade())
                    {
                        tracing::debug!(frames, "the stream reorders its frames");
                        *mode = Mode::Element;
                        if let Err(e) = insert(pad, &stamper, &ghost) {
                            gst::element_error!(stamper, gst::CoreError::Pad, ("no timestamper: {e}"));
                        }
                    }
                }
            }
            (Some(gst::PadProbeData::Buffer(buffer)), Mode::Direct(stamper)) => {
                let pts = buffer.pts().map(gst::ClockTime::nseconds);
                let (pts, dts) = stamper.stamp(pts);
                let b = buffer.make_mut();
                b.set_pts(gst::ClockTime::from_nseconds(pts));
                b.set_dts(gst::ClockTime::from_nseconds(dts));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// What comes before the first keyframe cannot be decoded: a camera that was joined in mid-group, or whose first
/// packets were lost.
fn from_keyframe_on(pad: &gst::Pad) {
    let seen = AtomicBool::new(false);
    on_pad(pad, gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer() else {
            return gst::PadProbeReturn::Ok;
        };
        if !seen.load(Ordering::Relaxed) {
            if buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                return gst::PadProbeReturn::Handled;
            }
            seen.store(true, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

fn insert(pad: &gst::Pad, stamper: &gst::Element, ghost: &gst::GhostPad) -> Result<(), gst::glib::BoolError> {
    let end = |name| {
        stamper
            .static_pad(name)
            .ok_or_else(|| gst::glib::bool_error!("no pad"))
    };
    // The ghost pad lets go of `pad` first.
    ghost.set_target(Some(&end("src")?))?;
    pad.link(&end("sink")?)
        .map_err(|e| gst::glib::bool_error!("{}", e))?;
    Ok(())
}

fn reorder_of(caps: &gst::CapsRef) -> Reorder {
    let record = caps
        .structure(0)
        .and_then(|s| s.get::<gst::Buffer>("codec_data").ok());
    let record = record.as_ref().and_then(|b| b.map_readable().ok());
    record.map_or(Reorder::Unknown, |r| reorder_of_avcc(&r))
}

enum Mode {
    Undecided,
    Element,
    Direct(Stamper),
}

/// Decoding times without looking ahead.
#[derive(Default, Debug)]
pub(in crate::gst) struct Stamper {
    /// Declared to come in order: what goes back is a fault of the camera's clock.
    in_order: bool,
    last_dts: Option<u64>,
    latest_pts: u64,
    /// How far decoding times stay behind presentation times: a little more than any frame was seen to come late.
    distance: u64,
}

impl Stamper {
    /// For frames that come in the order in which they are shown.
    pub(in crate::gst) fn in_order() -> Self {
        Self {
            in_order: true,
            ..Self::default()
        }
    }

    /// Presentation and decoding time of the next frame in decoding order; the latter always increases.
    pub(in crate::gst) fn stamp(&mut self, pts: Option<u64>) -> (u64, u64) {
        let least = self.last_dts.map_or(0, |d| d.saturating_add(STEP_NS));
        let pts = match pts {
            Some(t) if self.in_order => t.max(self.latest_pts),
            Some(t) if self.last_dts.is_none() || t.saturating_add(JUMP_NS) >= self.latest_pts => t,
            // None, or the camera's clock went back: the frame follows the last one.
            _ => self.latest_pts.max(least).saturating_add(STEP_NS),
        };
        if self.last_dts.is_some() && pts < self.latest_pts {
            if self.distance == 0 {
                tracing::info!("the stream reorders its frames without declaring it");
            }
            let late = self.latest_pts - pts;
            self.distance = self.distance.max(late + late / 4 + 1_000_000);
        }
        let dts = pts.saturating_sub(self.distance).max(least);
        // Two frames of one time, where nothing is reordered: the second is a little later.
        let pts = if self.distance > 0 { pts } else { pts.max(dts) };
        self.last_dts = Some(dts);
        self.latest_pts = self.latest_pts.max(pts);
        (pts, dts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::h264_sps::without_vui;
    use super::super::testing::{check_video, run_bin};
    use super::super::tracks::{Gate, Kind, video_chain};
    use super::*;
    use crate::source::SourceSpec;
    use crate::track::VideoCodec;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn frames_in_order_are_decoded_when_they_are_shown() {
        let mut s = Stamper::default();
        for t in [0, 40, 73, 400] {
            assert_eq!(s.stamp(Some(t * MS)), (t * MS, t * MS));
        }
        let (pts, dts) = s.stamp(Some(400 * MS));
        assert!(pts == dts && dts > 400 * MS, "a doubled time");
        let (pts, dts) = s.stamp(None);
        assert!(pts >= dts && dts > 400 * MS, "no time at all");
        // Half an hour back.
        let mut s = Stamper::default();
        s.stamp(Some(1_800_000 * MS));
        let (pts, dts) = s.stamp(Some(5 * MS));
        assert!(pts >= dts && dts > 1_800_000 * MS);
    }

    #[test]
    fn what_goes_back_where_nothing_is_reordered_follows_the_last_frame() {
        let mut s = Stamper::in_order();
        s.stamp(Some(1000 * MS));
        for back in [0, 900, 50] {
            let (pts, dts) = s.stamp(Some(back * MS));
            assert!(
                pts == dts && (1000 * MS..1001 * MS).contains(&pts),
                "{back}: {pts} {dts}"
            );
        }
        assert_eq!(s.stamp(Some(1100 * MS)), (1100 * MS, 1100 * MS));
    }

    #[test]
    fn undeclared_reordering_settles_after_the_first_group() {
        let mut s = Stamper::default();
        let mut last = None;
        for group in 0..20u64 {
            for n in [3, 1, 2] {
                let want = (100 + group * 3 + n) * 40 * MS;
                let (pts, dts) = s.stamp(Some(want));
                assert_eq!(pts, want, "presentation times are kept");
                assert!(last.is_none_or(|l| dts > l));
                assert!(group == 0 || dts <= pts, "group {group}");
                last = Some(dts);
            }
        }
    }

    proptest! {
        #[test]
        fn decoding_times_increase_whatever_comes(times in proptest::collection::vec(proptest::option::of(0u64..1 << 50), 1..60)) {
            let mut s = Stamper::default();
            let mut last = None;
            for t in times {
                let (_, dts) = s.stamp(t);
                prop_assert!(last.is_none_or(|l| dts > l));
                last = Some(dts);
            }
        }
    }

    /// A source whose parameter sets were stripped of their VUI on the way, as many cameras send them.
    fn camera(encoder: &str, on_tracks: crate::gst::source_bin::OnTracks) -> gst::Bin {
        let bin = gst::Bin::new();
        let gate = Gate::new(&bin, on_tracks, false);
        let inner = gst::parse::bin_from_description(
            &format!(
                "videotestsrc num-buffers=24 ! video/x-raw,format=I420,width=320,height=240,framerate=10/1 ! \
                 x264enc speed-preset=ultrafast threads=1 {encoder} ! video/x-h264,stream-format=avc,profile=main ! identity name=i"
            ),
            true,
        )
        .unwrap();
        bin.add(&inner).unwrap();
        let pad = inner.by_name("i").unwrap().static_pad("src").unwrap();
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        on_pad(&pad, types, |_, info| match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let mut new = gst::Buffer::from_slice(without_parameters(&buffer.map_readable().unwrap()));
                let b = new.get_mut().unwrap();
                b.set_pts(buffer.pts());
                b.set_flags(buffer.flags());
                *buffer = new;
                gst::PadProbeReturn::Ok
            }
            // The end would flush what is held back.
            Some(gst::PadProbeData::Event(e)) if e.type_() == gst::EventType::Eos => {
                gst::PadProbeReturn::Handled
            }
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Caps(c) = event.view() {
                    let mut caps = c.caps_owned();
                    let s = caps.make_mut().structure_mut(0).unwrap();
                    let record = s.get::<gst::Buffer>("codec_data").unwrap();
                    let stripped = without_vui(&record.map_readable().unwrap());
                    assert_eq!(reorder_of_avcc(&stripped), Reorder::Unknown);
                    s.set("codec_data", gst::Buffer::from_slice(stripped));
                    *event = gst::event::Caps::new(&caps);
                }
                gst::PadProbeReturn::Ok
            }
            _ => gst::PadProbeReturn::Ok,
        });
        let end = inner.static_pad("src").unwrap();
        gate.add(Kind::Video, &end, &video_chain(VideoCodec::H264).unwrap())
            .unwrap();
        bin
    }

    /// The NAL units of an access unit but for its parameter sets, which still have their VUI.
    fn without_parameters(mut unit: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((length, rest)) = unit.split_first_chunk::<4>() {
            let (nal, next) = rest.split_at(u32::from_be_bytes(*length) as usize);
            if !matches!(nal[0] & 0x1F, 7 | 8) {
                out.extend(length);
                out.extend(nal);
            }
            unit = next;
        }
        out
    }

    fn spec() -> SourceSpec {
        SourceSpec::parse("test:").unwrap()
    }

    #[test]
    fn a_stream_that_declares_nothing_is_not_held_back() {
        let running = run_bin(&spec(), |t| {
            camera(
                "tune=zerolatency key-int-max=5 bframes=1 b-adapt=true option-string=b-bias=-100",
                t,
            )
        });
        // All that the camera sent, and it sends no more.
        let (_, units) = running.collect(24);
        check_video(&units);
    }

    #[test]
    fn b_frames_that_nobody_declared_flow() {
        let running = run_bin(&spec(), |t| {
            camera(
                "bframes=2 b-adapt=false key-int-max=20 rc-lookahead=0 sync-lookahead=0",
                t,
            )
        });
        let (_, units) = running.collect(20);
        let mut dts: Vec<_> = units.iter().map(|u| u.dts_ns.unwrap()).collect();
        assert!(dts.windows(2).all(|w| w[0] < w[1]));
        assert!(units.iter().skip(4).all(|u| u.pts_ns >= u.dts_ns));
        dts.clear();
        dts.extend(units.iter().map(|u| u.pts_ns.unwrap()));
        assert!(dts.windows(2).any(|w| w[0] > w[1]), "these are B-frames");
    }
}

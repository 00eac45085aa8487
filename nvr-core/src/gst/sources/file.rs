//! A file played over and over as if it were a camera: nothing is decoded, time goes on from loop to loop.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;

use super::cause::SourceError;
use super::tracks::{Gate, Kind, audio_chain, discard, video_chain};
use super::{link_into, make, on_pad};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::source_bin::OnTracks;
use crate::track::VideoCodec;

/// Taken for the length of a frame that does not say it.
const FRAME_NS: i64 = 40_000_000;

pub(super) fn build(path: &Path, on_tracks: OnTracks) -> Result<gst::Bin> {
    let demuxer = demuxer_of(path)?;
    let bin = gst::Bin::builder().name("file").build();
    let src = make("filesrc")?;
    src.set_property("location", path);
    let demux = make(demuxer)?;
    bin.add_many([&src, &demux])
        .and_then(|()| src.link(&demux))
        .map_err(|e| Error::new(ErrorKind::Internal, "file source").with_source(e))?;

    let gate = Gate::new(&bin, on_tracks, true);
    let timeline = Arc::new(Timeline::default());
    let at_pads = Arc::clone(&gate);
    demux.connect_pad_added(move |_, pad| {
        at_pads.guarded("pad-added", (), || {
            if let Err(e) = pad_added(&at_pads, &timeline, pad) {
                at_pads.fail(SourceError::Unsupported, &e.to_string());
            }
        });
    });
    demux.connect_no_more_pads(move |_| {
        gate.guarded("no-more-pads", (), || gate.no_more_pads("other tracks only"));
    });
    Ok(bin)
}

/// The demuxer for what the file begins with.
fn demuxer_of(path: &Path) -> Result<&'static str> {
    // Without the error of the system: it would pass for one of the disk of the recordings.
    let io = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("{}: {e}", path.display()))
    };
    let mut head = [0u8; 12];
    let mut file = std::fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.is_dir() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{}: is a directory", path.display()),
        ));
    }
    // A file shorter than this is of no kind that is known.
    let _ = file.read_exact(&mut head);
    match &head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] | [_, _, _, _, b'm', b'o', b'o', b'v', ..] => Ok("qtdemux"),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Ok("matroskademux"),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("{}: neither MP4 nor Matroska", path.display()),
        )
        .with_hint("convert it to MP4 with H.264 or H.265")),
    }
}

fn pad_added(gate: &Arc<Gate>, timeline: &Arc<Timeline>, pad: &gst::Pad) -> Result<()> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps
        .structure(0)
        .map(|s| s.name().to_string())
        .unwrap_or_default();
    let (kind, chain) = match name.as_str() {
        "video/x-h264" => (Kind::Video, video_chain(VideoCodec::H264)?),
        "video/x-h265" => (Kind::Video, video_chain(VideoCodec::H265)?),
        _ => match audio_chain(&caps)? {
            Some(chain) => (Kind::Audio, chain),
            None if name.starts_with("video/") || name.starts_with("image/") => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("the file holds {name}; only H.264 and H.265 are recorded as they are"),
                ));
            }
            None => {
                discard(pad);
                return Ok(());
            }
        },
    };
    let Some(bin) = gate.bin() else { return Ok(()) };
    Timeline::watch(timeline, pad);
    // One thread of the demuxer feeds both tracks: each needs room while the other waits for its time.
    let queue = make("queue")?;
    queue.set_property("max-size-time", 2_000_000_000u64);
    queue.set_property("max-size-buffers", 0u32);
    queue.set_property("max-size-bytes", 64u32 << 20);
    let pace = make("clocksync")?;
    pace.set_property("sync", true);
    let end = link_into(&bin, &[queue.clone(), pace.clone()])?;
    gate.add(kind, &end, &chain)?;
    for e in [&pace, &queue] {
        e.sync_state_with_parent()
            .map_err(|e| Error::new(ErrorKind::Internal, "file source").with_source(e))?;
    }
    let sink = queue.static_pad("sink");
    sink.map(|s| pad.link(&s))
        .transpose()
        .map_err(|e| Error::new(ErrorKind::Internal, "file source").with_source(e))?;
    Ok(())
}

/// Makes the loops of a file one line of time, at the demuxer's pads, where one thread does everything.
#[derive(Default)]
struct Timeline(Mutex<Loops>);

#[derive(Default)]
struct Loops {
    /// Where the present loop begins and where the latest frame of it ends, running time.
    begin_ns: i64,
    end_ns: i64,
    looped: bool,
    pads: usize,
    ended: usize,
}

impl Timeline {
    fn lock(&self) -> MutexGuard<'_, Loops> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(this: &Arc<Self>, pad: &gst::Pad) {
        this.lock().pads += 1;
        let this = Arc::clone(this);
        let mut segment: Option<gst::FormattedSegment<gst::ClockTime>> = None;
        let own = Mutex::new(
            move |pad: &gst::Pad, info: &mut gst::PadProbeInfo<'_>| match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    this.restamp(buffer, segment.as_ref());
                    gst::PadProbeReturn::Ok
                }
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Segment(e) => {
                        let first = segment.is_none();
                        segment = e.segment().downcast_ref::<gst::ClockTime>().cloned();
                        if first {
                            let plain = gst::FormattedSegment::<gst::ClockTime>::new();
                            *event = gst::event::Segment::builder(&plain).seqnum(e.seqnum()).build();
                            gst::PadProbeReturn::Ok
                        } else {
                            gst::PadProbeReturn::Handled
                        }
                    }
                    gst::EventView::Eos(_) => {
                        this.ended(pad);
                        gst::PadProbeReturn::Handled
                    }
                    // The seek back to the start must not disturb what follows.
                    gst::EventView::FlushStart(_) | gst::EventView::FlushStop(_) | gst::EventView::Gap(_) => {
                        gst::PadProbeReturn::Handled
                    }
                    _ => gst::PadProbeReturn::Ok,
                },
                _ => gst::PadProbeReturn::Ok,
            },
        );
        on_pad(
            pad,
            gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH,
            move |pad, info| {
                let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
                (*own)(pad, info)
            },
        );
    }

    fn restamp(&self, buffer: &mut gst::Buffer, segment: Option<&gst::FormattedSegment<gst::ClockTime>>) {
        let mut loops = self.lock();
        let running = |t: Option<gst::ClockTime>| -> Option<i64> {
            let signed = segment?.to_running_time_full(t?)?;
            let ns = i64::try_from(signed.abs().nseconds()).ok()?;
            Some(if signed.is_negative() { -ns } else { ns })
        };
        let (pts, dts) = (running(buffer.pts()), running(buffer.dts()));
        let stamp = |ns: Option<i64>| {
            ns.and_then(|ns| u64::try_from(ns.saturating_add(loops.begin_ns)).ok())
                .map(gst::ClockTime::from_nseconds)
        };
        let (new_pts, new_dts) = (stamp(pts), stamp(dts));
        let length = buffer
            .duration()
            .and_then(|d| i64::try_from(d.nseconds()).ok())
            .unwrap_or(FRAME_NS);
        if let Some(ns) = pts.or(dts) {
            loops.end_ns = loops
                .end_ns
                .max(loops.begin_ns.saturating_add(ns).saturating_add(length));
        }
        let looped = loops.looped;
        drop(loops);
        let b = buffer.make_mut();
        b.set_pts(new_pts);
        b.set_dts(new_dts);
        if looped {
            b.unset_flags(gst::BufferFlags::DISCONT);
        }
    }

    /// A track is through. When all are, the demuxer is sent back, by another thread: not by its own.
    fn ended(&self, pad: &gst::Pad) {
        {
            let mut loops = self.lock();
            loops.ended += 1;
            if loops.ended < loops.pads {
                return;
            }
            loops.ended = 0;
            loops.begin_ns = loops.end_ns;
            loops.looped = true;
        }
        let Some(demux) = pad.parent_element() else { return };
        demux.call_async(|demux| {
            let back = demux.seek_simple(
                gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT,
                gst::ClockTime::ZERO,
            );
            if back.is_err() && demux.current_state() == gst::State::Playing {
                gst::element_error!(
                    demux,
                    gst::ResourceError::Seek,
                    ("the file cannot be played again")
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_video, run};
    use super::*;
    use crate::source::SourceSpec;

    fn write(dir: &Path, name: &str, launch: &str) -> std::path::PathBuf {
        crate::gst::init().unwrap();
        let path = dir.join(name);
        let line = launch.replace("OUT", &format!("filesink location={}", path.display()));
        let p = gst::parse::launch(&line).unwrap();
        p.set_state(gst::State::Playing).unwrap();
        let m = p.bus().unwrap().timed_pop_filtered(
            gst::ClockTime::from_seconds(20),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        p.set_state(gst::State::Null).unwrap();
        assert_eq!(m.unwrap().type_(), gst::MessageType::Eos);
        path
    }

    const RAW: &str =
        "videotestsrc num-buffers=20 ! video/x-raw,format=I420,width=160,height=120,framerate=20/1";

    #[test]
    fn time_goes_on_from_loop_to_loop() {
        let dir = tempfile::tempdir().unwrap();
        let sound =
            "audiotestsrc num-buffers=43 samplesperbuffer=1024 ! audioconvert ! avenc_aac ! aacparse ! m.";
        let mp4 = write(
            dir.path(),
            "a.mp4",
            &format!("{RAW} ! x264enc key-int-max=10 bframes=2 ! h264parse ! mp4mux name=m ! OUT {sound}"),
        );
        let mkv = write(
            dir.path(),
            "b.mkv",
            &format!(
                "{RAW} ! x265enc key-int-max=10 speed-preset=ultrafast ! h265parse ! matroskamux name=m ! OUT {sound}"
            ),
        );
        for path in [mp4, mkv] {
            let running = run(&SourceSpec::File(path.clone()));
            let begin = std::sync::Arc::new(crate::clock::SystemClock::new());
            let (audio, units) = running.collect(50);
            assert!(audio, "{}", path.display());
            check_video(&units);
            let mut shown: Vec<i64> = units
                .iter()
                .filter(|u| u.video)
                .filter_map(|u| u.pts_ns)
                .collect();
            shown.sort_unstable();
            for (i, pair) in shown.windows(2).enumerate() {
                let step = pair[1] - pair[0];
                // From loop to loop the longer of the two tracks counts.
                assert!((40_000_000..140_000_000).contains(&step), "frame {i}: {step}");
            }
            let sounds: Vec<i64> = units
                .iter()
                .filter(|u| !u.video)
                .filter_map(|u| u.pts_ns)
                .collect();
            assert!(
                sounds.windows(2).all(|p| p[0] < p[1]) && sounds.len() > 60,
                "{}",
                sounds.len()
            );
            // Paced: 50 frames at 20 a second are not there in less than two seconds.
            assert!(crate::clock::Clock::steady_ns(&*begin) > 2_000_000_000);
        }
    }

    #[test]
    fn files_that_cannot_be_used_say_why() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("x.mp4");
        std::fs::write(&text, "hello").unwrap();
        let kind = |p: &Path| super::build(p, Box::new(|_| {})).unwrap_err().kind();
        assert_eq!(kind(&text), ErrorKind::Unsupported);
        assert_eq!(kind(&dir.path().join("absent.mp4")), ErrorKind::NotFound);
        let absent = super::build(&dir.path().join("absent.mp4"), Box::new(|_| {})).unwrap_err();
        assert_eq!(crate::fault::cause_of(&absent), None, "not the recordings' disk");
        assert_eq!(kind(dir.path()), ErrorKind::InvalidArgument);

        let vp8 = write(
            dir.path(),
            "c.mkv",
            &format!("{RAW} ! vp8enc ! matroskamux ! OUT"),
        );
        let (cause, all) = run(&SourceSpec::File(vp8)).failure();
        assert_eq!(cause.kind, crate::event::CauseKind::Unsupported, "{all}");
        assert!(cause.message.contains("video/x-vp8"), "{cause:?}");

        let whole = write(
            dir.path(),
            "d.mp4",
            &format!("{RAW} ! x264enc ! h264parse ! mp4mux ! OUT"),
        );
        let bytes = std::fs::read(&whole).unwrap();
        let cut = dir.path().join("cut.mp4");
        std::fs::write(&cut, &bytes[..40]).unwrap();
        let (cause, all) = run(&SourceSpec::File(cut)).failure();
        assert_eq!(cause.kind, crate::event::CauseKind::BadStream, "{all}");
    }
}

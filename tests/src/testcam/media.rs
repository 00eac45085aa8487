//! The pipeline behind one path, and the probes that number its frames and carry out its faults.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gst_rtsp_server::RTSPMedia;
use gst_rtsp_server::prelude::*;
use nvr_core::clock::SharedClock;

use super::faults::Faults;
use super::options::{Audio, Codec, Picture, TestCamOptions};
use super::poc::PocShifter;
use super::rtp::Rewriter;
use crate::picture;

/// What outlives the pipelines of one path: they come and go with their viewers.
#[derive(Debug)]
pub(crate) struct Mount {
    pub faults: Arc<Faults>,
    pub clock: SharedClock,
    /// Steady time of the camera's birth; frame numbers count from here.
    pub born_ns: i64,
    /// Number of the next frame.
    pub next: AtomicU32,
    /// Frames drawn by the pipeline of now.
    pub drawn_now: AtomicU32,
    /// Encoders alive, to ask for keyframes.
    pub encoders: Mutex<Vec<glib::WeakRef<gst::Element>>>,
}

impl Mount {
    /// A viewer came. It gets a keyframe at once, as from a real camera, instead of after a GOP of minutes; unless
    /// it is the first one, for whom the pipeline was made.
    pub fn welcome(&self, fps: u32) {
        if self.drawn_now.load(Ordering::SeqCst) > fps {
            self.force_keyframe();
        }
    }

    /// Asks all encoders of this path for a keyframe now.
    pub fn force_keyframe(&self) {
        let encoders: Vec<_> = {
            let mut list = self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
            list.retain(|e| e.upgrade().is_some());
            list.iter().filter_map(glib::WeakRef::upgrade).collect()
        };
        for encoder in encoders {
            let ask = gst::Structure::builder("GstForceKeyUnit")
                .field("all-headers", true)
                .field("count", 0_u32)
                .build();
            if let Some(pad) = encoder.static_pad("src") {
                pad.send_event(gst::event::CustomUpstream::new(ask));
            }
        }
    }

    /// After a pause the numbers go on where they would be if the camera had gone on filming.
    fn restart_numbers(&self, fps: u32) {
        let elapsed = i128::from(self.clock.steady_ns() - self.born_ns);
        let due = u32::try_from(elapsed * i128::from(fps) / 1_000_000_000).unwrap_or(u32::MAX);
        self.next.fetch_max(due, Ordering::SeqCst);
        self.drawn_now.store(0, Ordering::SeqCst);
    }
}

/// The launch line of the media factory.
pub(crate) fn launch(o: &TestCamOptions) -> String {
    let pattern = match o.picture {
        Picture::Ball => "ball",
        Picture::Bars => "smpte",
        Picture::Snow => "snow",
    };
    let kbps = (o.bitrate_bps / 1000).max(1);
    let (gop, bframes) = (o.gop, o.bframes);
    let video = match o.codec {
        Codec::H264 => {
            // Left alone, the payloader asks for the baseline profile, which has no B-frames.
            let (tune, profile) = if bframes == 0 {
                ("tune=zerolatency", "")
            } else {
                (
                    "rc-lookahead=0 sync-lookahead=0 b-adapt=false",
                    "video/x-h264,profile=main !",
                )
            };
            format!(
                "x264enc name=venc threads=1 speed-preset=ultrafast {tune} bframes={bframes} bitrate={kbps} \
                 key-int-max={gop} option-string=scenecut=0 ! {profile} h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"
            )
        }
        Codec::H265 => {
            let tune = if bframes == 0 { "tune=zerolatency" } else { "" };
            format!(
                "x265enc name=venc speed-preset=ultrafast {tune} bitrate={kbps} key-int-max={gop} \
                 option-string=\"bframes={bframes}:b-adapt=0:rc-lookahead={}:pools=1:frame-threads=1:scenecut=0:\
                 open-gop=0:min-keyint={gop}:log-level=none\" ! h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1",
                bframes + 1
            )
        }
    };
    let audio = match o.audio {
        Audio::None => String::new(),
        Audio::Aac => audio_line(
            48_000,
            1024,
            "avenc_aac bitrate=64000 ! aacparse ! rtpmp4gpay pt=97",
        ),
        Audio::Pcmu => audio_line(8000, 160, "mulawenc ! rtppcmupay pt=0"),
        Audio::Pcma => audio_line(8000, 160, "alawenc ! rtppcmapay pt=8"),
        Audio::Opus => audio_line(48_000, 960, "opusenc bitrate=64000 ! rtpopuspay pt=97"),
    };
    format!(
        "( videotestsrc name=vsrc is-live=true pattern={pattern} ! \
         video/x-raw,format=I420,width={},height={},framerate={}/1 ! {video} {audio} )",
        o.width, o.height, o.fps
    )
}

fn audio_line(rate: u32, samples: u32, rest: &str) -> String {
    format!(
        " audiotestsrc name=asrc is-live=true wave=ticks samplesperbuffer={samples} ! audioconvert ! \
         audio/x-raw,rate={rate},channels=1 ! {rest} name=pay1"
    )
}

fn rtp_clock_rate(audio: Audio) -> i64 {
    match audio {
        Audio::Pcmu | Audio::Pcma => 8000,
        _ => 48_000,
    }
}

/// Puts the probes into a pipeline that was just made.
pub(crate) fn configure(media: &RTSPMedia, mount: &Arc<Mount>, o: &TestCamOptions) {
    let Ok(bin) = media.element().downcast::<gst::Bin>() else {
        return;
    };
    mount.restart_numbers(o.fps);
    if let Some(source) = bin.by_name("vsrc") {
        draw_probe(&source, mount, o);
    }
    if let Some(encoder) = bin.by_name("venc") {
        mount
            .encoders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(encoder.downgrade());
    }
    // The server learns the tracks from the first packet of each: nothing may be held back before.
    let prepared = Arc::new(AtomicBool::new(false));
    if let Some(pay) = bin.by_name("pay0") {
        video_probe(&pay, mount, &prepared);
        rewrite_probe(&pay, Rewriter::new(Arc::clone(&mount.faults), 90_000, true));
    }
    if let Some(pay) = bin.by_name("pay1") {
        audio_probe(&pay, mount, &prepared, o);
        rewrite_probe(
            &pay,
            Rewriter::new(Arc::clone(&mount.faults), rtp_clock_rate(o.audio), false),
        );
    }
    let faults = Arc::clone(&mount.faults);
    let silent = o.audio_silent;
    media.connect_prepared(move |media| {
        prepared.store(true, Ordering::SeqCst);
        gate_network(media, &faults, silent);
    });
}

/// Numbers each raw frame and, with a variable rate, leaves some out and delays others.
fn draw_probe(source: &gst::Element, mount: &Arc<Mount>, o: &TestCamOptions) {
    let Some(pad) = source.static_pad("src") else {
        return;
    };
    let (width, height) = (o.width as usize, o.height as usize);
    let stride = width.next_multiple_of(4);
    let mount = Arc::clone(mount);
    let variable = o.variable_rate;
    let frame_ns = 1_000_000_000 / u64::from(o.fps);
    let mut random = 0x2545_F491_u32;
    let mut last_pts = None;
    let element = source.downgrade();
    let state = Mutex::new(move |info: &mut gst::PadProbeInfo<'_>| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
            return gst::PadProbeReturn::Ok;
        };
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let dice = u64::from(random >> 16);
        if variable && last_pts.is_some() && dice % 5 == 0 {
            info.data.take();
            return gst::PadProbeReturn::Handled;
        }
        let buffer = buffer.make_mut();
        let pts = buffer.pts().unwrap_or_default();
        let late = element
            .upgrade()
            .and_then(|e| e.current_running_time())
            .map_or(0, |now| now.nseconds().saturating_sub(pts.nseconds()));
        let wall_ms = (mount.clock.now().as_ns() - i64::try_from(late).unwrap_or(0)) / 1_000_000;
        if variable {
            let delay = dice / 5 % (frame_ns * 3 / 10 / 1000) * 1000;
            buffer.set_pts(pts + gst::ClockTime::from_nseconds(delay));
            buffer.set_duration(gst::ClockTime::NONE);
        }
        last_pts = Some(pts);
        let number = mount.next.fetch_add(1, Ordering::SeqCst);
        mount.drawn_now.fetch_add(1, Ordering::SeqCst);
        mount.faults.drawn.fetch_add(1, Ordering::SeqCst);
        if let Ok(mut map) = buffer.map_writable() {
            picture::draw(
                map.as_mut_slice(),
                width,
                height,
                stride,
                number,
                u64::try_from(wall_ms).unwrap_or(0),
            );
        }
        gst::PadProbeReturn::Ok
    });
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let mut probe = state.lock().unwrap_or_else(PoisonError::into_inner);
        (*probe)(info)
    });
}

/// Encoded video on its way to the payloader: freezes and losses.
fn video_probe(pay: &gst::Element, mount: &Arc<Mount>, prepared: &Arc<AtomicBool>) {
    let Some(pad) = pay.static_pad("sink") else { return };
    let faults = Arc::clone(&mount.faults);
    let prepared = Arc::clone(prepared);
    let shifter = Mutex::new(PocShifter::new(Arc::clone(&faults)));
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if prepared.load(Ordering::SeqCst)
            && (faults.frozen.load(Ordering::SeqCst) || Faults::take(&faults.lose_frames))
        {
            info.data.take();
            return gst::PadProbeReturn::Handled;
        }
        faults.frames.fetch_add(1, Ordering::SeqCst);
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
            let mut shifter = shifter.lock().unwrap_or_else(PoisonError::into_inner);
            if !shifter.idle() {
                shift_poc(&mut shifter, pad, buffer);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

fn shift_poc(shifter: &mut PocShifter, pad: &gst::Pad, buffer: &mut gst::Buffer) {
    let caps = pad.current_caps();
    let data = caps
        .as_ref()
        .and_then(|c| c.structure(0)?.get::<gst::Buffer>("codec_data").ok());
    if let Some(map) = data.as_ref().and_then(|d| d.map_readable().ok()) {
        shifter.codec_data(&map);
    }
    let Some(patched) = buffer.map_readable().ok().and_then(|map| shifter.patch(&map)) else {
        return;
    };
    let mut new = gst::Buffer::from_mut_slice(patched);
    let what = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META;
    if let Some(made) = new.get_mut()
        && buffer.copy_into(made, what, ..).is_ok()
    {
        *buffer = new;
    }
}

fn audio_probe(pay: &gst::Element, mount: &Arc<Mount>, prepared: &Arc<AtomicBool>, o: &TestCamOptions) {
    let Some(pad) = pay.static_pad("sink") else { return };
    let faults = Arc::clone(&mount.faults);
    let prepared = Arc::clone(prepared);
    let until = o.audio_stops_after.and_then(|d| gst::ClockTime::try_from(d).ok());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let over = until.is_some_and(|end| buffer.pts().is_some_and(|pts| pts > end));
        let held =
            over || faults.frozen.load(Ordering::SeqCst) || faults.audio_stalled.load(Ordering::SeqCst);
        if held && prepared.load(Ordering::SeqCst) {
            info.data.take();
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

fn rewrite_probe(pay: &gst::Element, rewriter: Rewriter) {
    let Some(pad) = pay.static_pad("src") else { return };
    let rewriter = Mutex::new(rewriter);
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
        move |_, info| {
            let mut rewriter = rewriter.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => rewrite(&mut rewriter, buffer),
                Some(gst::PadProbeData::BufferList(list)) => {
                    if rewriter.idle() {
                        if let Some(buffer) = list.get(0) {
                            observe(&mut rewriter, buffer);
                        }
                    } else {
                        // The list is rebuilt: its buffers may be shared.
                        let mut patched = gst::BufferList::new();
                        if let Some(new) = patched.get_mut() {
                            for buffer in list.iter_owned() {
                                let mut buffer = buffer;
                                rewriter.patch(buffer.make_mut());
                                new.add(buffer);
                            }
                        }
                        *list = patched;
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        },
    );
}

fn rewrite(rewriter: &mut Rewriter, buffer: &mut gst::Buffer) {
    if rewriter.idle() {
        observe(rewriter, buffer);
    } else {
        rewriter.patch(buffer.make_mut());
    }
}

fn observe(rewriter: &mut Rewriter, buffer: &gst::BufferRef) {
    let mut header = [0_u8; 8];
    if buffer.copy_to_slice(0, &mut header).is_ok() {
        rewriter.observe(u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
    }
}

/// Behind the RTP sessions: no RTCP while frozen, nothing at all of an audio track that is to be silent.
fn gate_network(media: &RTSPMedia, faults: &Arc<Faults>, audio_silent: bool) {
    let Some(pipeline) = media
        .element()
        .parent()
        .and_then(|p| p.downcast::<gst::Bin>().ok())
    else {
        return;
    };
    let Some(rtpbin) = pipeline
        .iterate_elements()
        .into_iter()
        .filter_map(Result::ok)
        .find(|e| e.factory().is_some_and(|f| f.name() == "rtpbin"))
    else {
        return;
    };
    // A freeze takes hold before the payloader, so that sequence numbers have no holes. Only the packets from which
    // the server learned the tracks of a camera already frozen are left to be held back here.
    let born_frozen = faults.frozen.load(Ordering::SeqCst);
    for pad in rtpbin.src_pads() {
        let name = pad.name();
        let rtcp = name.starts_with("send_rtcp");
        if !rtcp && !name.starts_with("send_rtp") {
            continue;
        }
        let silent = audio_silent && name.ends_with("_1");
        let held = AtomicBool::new(rtcp || born_frozen);
        let faults = Arc::clone(faults);
        pad.add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
            move |_, info| {
                let frozen = faults.frozen.load(Ordering::SeqCst);
                if !frozen && !rtcp {
                    held.store(false, Ordering::SeqCst);
                }
                if silent || (frozen && held.load(Ordering::SeqCst)) {
                    info.data.take();
                    return gst::PadProbeReturn::Handled;
                }
                gst::PadProbeReturn::Ok
            },
        );
    }
}

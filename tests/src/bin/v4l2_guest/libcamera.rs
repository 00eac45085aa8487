//! The camera on a board, as libcamera finds it: the kernel's test driver `vimc`, a sensor with what a CSI camera has
//! behind it.

use anyhow::{Context as _, ensure};
use gst::prelude::*;
use nvr_core::detect;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::track::VideoCodec;
use nvr_core::{ErrorKind, SourceSpec};

use super::{LIMIT, Rig, patient};

/// What is asked for, and the nearest to it that `vimc` can scale to. (With the size that is asked for by default, libcamera 0.0.3
/// pads no lines though GStreamer takes them for padded, and GStreamer crashes.)
const WISH: (u32, u32) = (640, 480);
const SIZE: (u32, u32) = (636, 480);

fn source(name: &str) -> anyhow::Result<SourceSpec> {
    let mut source = SourceSpec::parse(&format!("libcamera:{name}"))?;
    if let SourceSpec::Libcamera(d) = &mut source {
        d.size = Some(WISH);
    }
    Ok(source)
}

pub(super) async fn probe_reads_ten_frames() -> anyhow::Result<()> {
    let report = detect::probe(source("")?, patient()).await?;
    let video = &report.tracks.video;
    ensure!(
        report.frames >= 10
            && video.codec == VideoCodec::H264
            && (video.width, video.height) == SIZE
            && report.tracks.audio.is_none(),
        "{report:?}"
    );
    Ok(())
}

pub(super) async fn a_name_that_no_camera_has_is_told() -> anyhow::Result<()> {
    let error = detect::probe(source("no-such-camera")?, patient()).await.err();
    let error = error.context("a camera that is not there answered")?;
    ensure!(error.kind() == ErrorKind::Unavailable, "{error:?}");
    ensure!(error.to_string().contains("no-such-camera"), "{error}");
    Ok(())
}

pub(super) async fn it_is_recorded_and_once_more() -> anyhow::Result<()> {
    let rig = Rig::start(source("")?).await?;
    rig.records(60).await?;
    let rows = rig.finish(SIZE).await?;
    ensure!(!rows.is_empty(), "nothing was recorded");
    // A camera that was not let go could not be had a second time.
    let rig = Rig::start(source(&name()?)?).await?;
    rig.records(20).await?;
    let rows = rig.finish(SIZE).await?;
    ensure!(!rows.is_empty(), "nothing was recorded by name");
    Ok(())
}

/// What libcamera calls the camera, as GStreamer's monitor of devices tells.
fn name() -> anyhow::Result<String> {
    let provider = gst::DeviceProviderFactory::by_name("libcameraprovider").context("no provider")?;
    let found = provider.devices();
    let first = found.front().context("no camera is listed")?;
    println!("        {}", first.display_name());
    Ok(first.display_name().into())
}

pub(super) async fn a_camera_that_another_program_has_is_recorded_once_free() -> anyhow::Result<()> {
    let other = gst::parse::launch("libcamerasrc ! video/x-raw,width=640,height=480 ! fakesink name=end")?;
    other.set_state(gst::State::Playing)?;
    let end = other
        .downcast_ref::<gst::Bin>()
        .and_then(|b| b.by_name("end"))
        .context("its sink")?;
    let frame = async || end.property::<Option<gst::Sample>>("last-sample").map(drop);
    nvr_tests::wait::until_async("a frame of the other program", LIMIT, frame).await?;
    let rig = Rig::start(source("")?).await?;
    let state = rig.phase(CameraPhase::BackingOff).await?;
    ensure!(state.cause.kind == CauseKind::Device, "{:?}", state.cause);
    other.set_state(gst::State::Null)?;
    rig.records(20).await?;
    rig.finish(SIZE).await?;
    Ok(())
}

//! The inside of `make test-v4l2`: drives the recorder on a real V4L2 device, the kernel's test driver `vivid`,
//! which it plugs in and pulls out, and on a camera of libcamera. Runs as root in the virtual machine that `tests/v4l2/run` starts, nowhere else.
#![expect(
    clippy::print_stdout,
    reason = "its lines are the report of the virtual machine"
)]

mod libcamera;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use gst::prelude::*;
use nvr_core::camera::CameraState;
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::{CameraConfig, Config};
use nvr_core::detect::{self, ProbeOptions};
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::source::DeviceFormat;
use nvr_core::store::{SegmentQuery, SegmentRow, SegmentState};
use nvr_core::track::VideoCodec;
use nvr_core::{Camera, CameraId, ErrorKind, Nvr, SourceSpec, TimeRange};
use nvr_tests::{judge, wait};

/// The machine is emulated, ten times slower than a real one, and its host may be busy: only a hang takes so long.
const LIMIT: Duration = Duration::from_secs(240);
/// What a camera of its kind is found by, wherever it is plugged in.
const LINK: &str = "/dev/v4l/by-id/usb-Test_Vivid_0001-video-index0";
const DRIVER: &str = "/sys/bus/platform/drivers/vivid";
/// A size that vivid's webcam has.
const SIZE: (u32, u32) = (320, 180);

fn main() -> std::process::ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    // On the host: load the plugins once, so that the registry of the virtual machine is made.
    if task == "prepare" {
        return match nvr_core::gst::init() {
            Ok(()) => 0.into(),
            Err(e) => {
                println!("{e:?}");
                1.into()
            }
        };
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            println!("no runtime: {e}");
            return 1.into();
        }
    };
    u8::from(!runtime.block_on(all(&task))).into()
}

/// Runs the checks one after the other; whether all passed.
async fn all(task: &str) -> bool {
    let mut good = true;
    macro_rules! check {
        ($($name:ident),*) => { check!(each $(($name, match Device::plug().await {
            Ok(node) => $name(&node).await,
            Err(e) => Err(e.context("before the check")),
        })),*) };
        (each $(($name:ident, $run:expr)),*) => { $(
            let clock = SystemClock::new();
            let result: anyhow::Result<()> = $run;
            let seconds = clock.steady_ns() / 1_000_000_000;
            match result {
                Ok(()) => println!("ok      {} ({seconds} s)", stringify!($name)),
                Err(e) => {
                    good = false;
                    println!("FAILED  {} ({seconds} s): {e:#}", stringify!($name));
                }
            }
        )* };
    }
    if task == "drain" {
        check!(a_closed_device_is_closed);
        return good;
    }
    if task == "libcamera" {
        macro_rules! camera {
            ($($name:ident),*) => { check!(each $(($name, libcamera::$name().await)),*) };
        }
        camera!(
            probe_reads_ten_frames,
            a_name_that_no_camera_has_is_told,
            it_is_recorded_and_once_more,
            a_camera_that_another_program_has_is_recorded_once_free
        );
        return good;
    }
    check!(
        devices_lists_the_device_with_formats_and_stable_id,
        probe_reads_ten_frames,
        raw_pictures_are_recorded,
        a_busy_device_is_called_busy_and_recorded_once_free,
        fm12_unplugged_and_renumbered_it_resumes_by_its_stable_id
    );
    good
}

/// The device in the hands of the test.
struct Device;

impl Device {
    /// Plugs it in unless it is, and lets the stable link name it, as udev would. Gives its node.
    async fn plug() -> anyhow::Result<PathBuf> {
        if nodes().is_empty() {
            std::fs::write(format!("{DRIVER}/bind"), "vivid.0").context("bind")?;
        }
        let node = async || nodes().pop();
        let node = wait::until_async("a device node", LIMIT, node).await?;
        std::fs::create_dir_all(Path::new(LINK).parent().context("a folder")?)?;
        let _ = std::fs::remove_file(LINK);
        symlink(Path::new("../..").join(node.file_name().context("a name")?), LINK)?;
        Ok(node)
    }

    /// Pulls it out under whoever uses it; its link goes, as with udev.
    async fn pull() -> anyhow::Result<()> {
        std::fs::write(format!("{DRIVER}/unbind"), "vivid.0").context("unbind")?;
        let _ = std::fs::remove_file(LINK);
        wait::until_async("the node to go", LIMIT, async || nodes().is_empty().then_some(())).await
    }
}

/// `/dev/video*`.
fn nodes() -> Vec<PathBuf> {
    let all = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    all.map(|e| e.path())
        .filter(|p| p.to_string_lossy().starts_with("/dev/video"))
        .collect()
}

fn raw(device: &str) -> anyhow::Result<SourceSpec> {
    let mut source = SourceSpec::parse(&format!("v4l2:{device}"))?;
    if let SourceSpec::V4l2(d) = &mut source {
        (d.size, d.frame_rate, d.format) = (Some(SIZE), Some(10), Some(DeviceFormat::Raw));
    }
    Ok(source)
}

fn patient() -> ProbeOptions {
    ProbeOptions {
        timeout: LIMIT,
        ..ProbeOptions::default()
    }
}

/// A recorder of one device.
struct Rig {
    nvr: Nvr,
    camera: Camera,
    root: tempfile::TempDir,
}

impl Rig {
    async fn start(source: SourceSpec) -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        let mut config = Config::new(root.path().join("recordings"));
        let mut camera = CameraConfig::new(CameraId::new("usb")?, source);
        // A slow machine is no dead camera.
        (camera.watchdog, camera.start_deadline) = (LIMIT, LIMIT);
        let id = camera.id.clone();
        config.cameras.push(camera);
        let nvr = Nvr::builder(config).start().await?;
        let camera = nvr.camera(&id)?;
        Ok(Self { nvr, camera, root })
    }

    /// Waits until it records and so many frames more have arrived.
    async fn records(&self, frames: u64) -> anyhow::Result<()> {
        self.phase(CameraPhase::Recording).await?;
        let goal = self.camera.status().counters.frames + frames;
        let more = async || (self.camera.status().counters.frames >= goal).then_some(());
        let done = wait::until_async("frames", LIMIT, more).await;
        done.with_context(|| format!("{:?}", self.camera.status()))
    }

    async fn phase(&self, phase: CameraPhase) -> anyhow::Result<CameraState> {
        let reached = async || Some(self.camera.status().state).filter(|s| s.phase == phase);
        let done = wait::until_async(phase.as_str(), LIMIT, reached).await;
        done.with_context(|| format!("{:?}", self.camera.status().state))
    }

    /// Stops in order and judges every file; hands back the closed segments.
    async fn finish(&self, size: (u32, u32)) -> anyhow::Result<Vec<SegmentRow>> {
        let report = self.nvr.shutdown(LIMIT).await;
        ensure!(report.cut.is_empty(), "cut off at the stop");
        let rows = self
            .nvr
            .segments(SegmentQuery::new([self.camera.id()], TimeRange::ALL))
            .await?
            .items;
        let mut frames = 0;
        for row in &rows {
            ensure!(row.state == SegmentState::Closed, "{row:?}");
            let file = self.root.path().join("recordings").join(&row.path);
            frames += count(&file, size).with_context(|| row.path.display().to_string())?;
        }
        let counters = self.camera.status().counters;
        ensure!(
            frames as u64 == counters.frames - counters.frames_dropped,
            "{frames} frames in the files, {counters:?}"
        );
        Ok(rows)
    }
}

/// Frames of a file of that size, each of them decoded by another program.
fn count(file: &Path, size: (u32, u32)) -> anyhow::Result<usize> {
    let packets = judge::packets(file, "v:0")?;
    ensure!(
        packets.first().is_some_and(|p| p.key),
        "the first frame is no keyframe"
    );
    let rising = packets.windows(2).all(|p| p[1].pts > p[0].pts);
    ensure!(rising, "presentation times do not rise");
    judge::decode_all(file)?;
    let args = ["-count_frames", "-select_streams", "v:0", "-show_streams"];
    let found = judge::ffprobe(&file.to_string_lossy(), &args)?;
    let stream = &found["streams"][0];
    ensure!(
        stream["codec_name"] == "h264" && stream["width"] == size.0 && stream["height"] == size.1,
        "{stream}"
    );
    let decoded = stream["nb_read_frames"].as_str().and_then(|n| n.parse().ok());
    ensure!(
        decoded == Some(packets.len()),
        "{} packets, {decoded:?} decoded frames",
        packets.len()
    );
    Ok(packets.len())
}

async fn devices_lists_the_device_with_formats_and_stable_id(node: &Path) -> anyhow::Result<()> {
    let found = detect::devices().await?;
    let [device] = &found[..] else { bail!("{found:?}") };
    ensure!(device.path == node, "{device:?}");
    ensure!(
        device.stable_ids == [PathBuf::from(LINK)],
        "{:?}",
        device.stable_ids
    );
    ensure!(device.driver.as_deref() == Some("vivid"), "{:?}", device.driver);
    ensure!(device.problem.is_none(), "{:?}", device.problem);
    let yuy2 = device.formats.iter().find(|f| f.format == "YUY2");
    let sizes = &yuy2
        .with_context(|| format!("no YUY2 in {:?}", device.formats))?
        .sizes;
    ensure!(
        sizes
            .iter()
            .any(|s| (s.width, s.height) == SIZE && s.frame_rates.contains(&10.0)),
        "{sizes:?}"
    );
    Ok(())
}

async fn probe_reads_ten_frames(node: &Path) -> anyhow::Result<()> {
    let report = detect::probe(raw(&node.to_string_lossy())?, patient()).await?;
    let video = &report.tracks.video;
    ensure!(
        report.frames >= 10
            && video.codec == VideoCodec::H264
            && (video.width, video.height) == SIZE
            && report.tracks.audio.is_none(),
        "{report:?}"
    );
    let absent = detect::probe(raw("/dev/video9")?, patient()).await;
    let kind = absent
        .err()
        .context("a device that is not there answered")?
        .kind();
    ensure!(kind == ErrorKind::Unavailable, "{kind:?}");
    Ok(())
}

async fn raw_pictures_are_recorded(node: &Path) -> anyhow::Result<()> {
    let rig = Rig::start(raw(&node.to_string_lossy())?).await?;
    rig.records(60).await?;
    let rows = rig.finish(SIZE).await?;
    ensure!(!rows.is_empty(), "nothing was recorded");
    Ok(())
}

async fn a_busy_device_is_called_busy_and_recorded_once_free(node: &Path) -> anyhow::Result<()> {
    let other = gst::parse::launch(&format!(
        "v4l2src device={} ! video/x-raw,width={},height={} ! fakesink name=end",
        node.display(),
        SIZE.0,
        SIZE.1
    ))?;
    other.set_state(gst::State::Playing)?;
    let end = other
        .downcast_ref::<gst::Bin>()
        .and_then(|b| b.by_name("end"))
        .context("its sink")?;
    let frame = async || end.property::<Option<gst::Sample>>("last-sample").map(drop);
    wait::until_async("a frame of the other program", LIMIT, frame).await?;

    let rig = Rig::start(raw(&node.to_string_lossy())?).await?;
    let state = rig.phase(CameraPhase::BackingOff).await?;
    ensure!(
        state.cause.kind == CauseKind::Device && state.cause.message.contains("used by another program"),
        "{:?}",
        state.cause
    );
    other.set_state(gst::State::Null)?;
    rig.records(20).await?;
    rig.finish(SIZE).await?;
    Ok(())
}

async fn fm12_unplugged_and_renumbered_it_resumes_by_its_stable_id(node: &Path) -> anyhow::Result<()> {
    let rig = Rig::start(raw(LINK)?).await?;
    rig.records(30).await?;
    // Somebody still holds the old node: the device gets another number when it comes back.
    let held = std::fs::File::open(node)?;
    Device::pull().await?;
    let state = rig.phase(CameraPhase::BackingOff).await?;
    ensure!(state.cause.kind == CauseKind::Device, "{:?}", state.cause);

    // Tries in between find nothing, and the cause stays the same.
    let tries = rig.camera.status().counters.restarts + 1;
    wait::until_async("another try", LIMIT, async || {
        (rig.camera.status().counters.restarts > tries).then_some(())
    })
    .await?;
    let state = rig.phase(CameraPhase::BackingOff).await?;
    ensure!(state.cause.kind == CauseKind::Device, "{:?}", state.cause);

    let renumbered = Device::plug().await?;
    ensure!(renumbered != node, "the number is the same: {}", node.display());
    rig.records(30).await?;
    drop(held);

    let rows = rig.finish(SIZE).await?;
    ensure!(rows.len() >= 2, "{rows:?}");
    let timeline = rig.nvr.timeline(&rig.camera.id(), TimeRange::ALL).await?;
    let [before, after] = &timeline.ranges[..] else {
        bail!("{:?}", timeline.ranges)
    };
    let between: Vec<_> = timeline
        .gaps
        .iter()
        .filter(|g| g.range.start() < after.range.start())
        .collect();
    let [gap] = &between[..] else { bail!("{between:?}") };
    ensure!(
        gap.cause.kind == CauseKind::Device
            && gap.range.start() == before.range.end()
            && gap.range.end() == after.range.start(),
        "{gap:?} between {before:?} and {after:?}"
    );
    Ok(())
}

/// GStreamer 1.22.0 loses a descriptor of the device with each stream, unless it is told to drain buffers
/// (`GST_V4L2_FORCE_DRAIN`), as this check is run; so what is found open here was left open by the recorder.
async fn a_closed_device_is_closed(node: &Path) -> anyhow::Result<()> {
    detect::devices().await?;
    for _ in 0..2 {
        detect::probe(raw(&node.to_string_lossy())?, patient()).await?;
    }
    let rig = Rig::start(raw(&node.to_string_lossy())?).await?;
    rig.records(5).await?;
    ensure!(!open(node).is_empty(), "a device that is recorded is not open");
    rig.finish(SIZE).await?;
    let closed = async || open(node).is_empty().then_some(());
    wait::until_async("the device to be closed", LIMIT, closed).await
}

/// The descriptors that this process has of a file.
fn open(path: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    all.map(|fd| fd.path())
        .filter(|fd| std::fs::read_link(fd).is_ok_and(|to| to == path))
        .collect()
}

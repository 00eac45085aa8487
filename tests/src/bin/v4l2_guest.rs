//! The inside of `make test-v4l2`: drives the recorder on a real V4L2 device, the kernel's test driver `vivid`,
//! which it plugs in and pulls out. Runs as root in the virtual machine that `tests/v4l2/run` starts, nowhere else.
#![expect(
    clippy::print_stdout,
    reason = "its lines are the report of the virtual machine"
)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
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
/// Where `tests/v4l2/run` has put the driver and its tools.
const TOOLS: &str = "/dev/guest";
/// A size that vivid's webcam has.
const SIZE: (u32, u32) = (320, 180);

fn main() -> std::process::ExitCode {
    // On the host: load the plugins once, so that the registry of the virtual machine is made.
    if std::env::args().nth(1).as_deref() == Some("prepare") {
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
    u8::from(!runtime.block_on(all())).into()
}

/// Runs the checks one after the other; whether all passed.
async fn all() -> bool {
    let mut good = true;
    macro_rules! check {
        ($($name:ident),*) => { $(
            let clock = SystemClock::new();
            let result = match Device::plug(0).await {
                Ok(()) => $name().await,
                Err(e) => Err(e.context("before the check")),
            };
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
    check!(
        devices_lists_the_device_with_formats_and_stable_id,
        probe_reads_ten_frames,
        raw_pictures_are_recorded,
        the_device_is_found_by_its_stable_id,
        a_busy_device_is_called_busy_and_recorded_once_free,
        fm12_unplugged_and_renumbered_it_resumes_by_its_stable_id
    );
    good
}

/// The device in the hands of the test.
struct Device;

impl Device {
    /// Plugs it in as `/dev/video<number>` and moves the stable link there, as udev would; no other is left.
    async fn plug(number: u32) -> anyhow::Result<()> {
        Self::drop_driver().await?;
        tool(&[
            "insmod",
            &format!("{TOOLS}/vivid.ko"),
            "n_devs=1",
            "node_types=0x1",
            &format!("vid_cap_nr={number}"),
        ])?;
        let node = format!("/dev/video{number}");
        wait::until_async(&node, LIMIT, async || Path::new(&node).exists().then_some(())).await?;
        std::fs::create_dir_all(Path::new(LINK).parent().context("a folder")?)?;
        let _ = std::fs::remove_file(LINK);
        symlink(format!("../../video{number}"), LINK)?;
        Ok(())
    }

    /// Pulls it out under whoever uses it; its link goes, as with udev.
    async fn pull() -> anyhow::Result<()> {
        std::fs::write("/sys/bus/platform/drivers/vivid/unbind", "vivid.0").context("unbind")?;
        let _ = std::fs::remove_file(LINK);
        wait::until_async("the node to go", LIMIT, async || nodes().is_empty().then_some(())).await
    }

    /// Removes the driver, which waits for the last user to let go.
    async fn drop_driver() -> anyhow::Result<()> {
        let _ = std::fs::remove_file(LINK);
        if !Path::new("/sys/module/vivid").exists() {
            return Ok(());
        }
        wait::until_async("the last user of the device to close it", LIMIT, async || {
            tool(&["rmmod", "vivid"]).ok()
        })
        .await
    }
}

/// Runs a program of busybox.
fn tool(args: &[&str]) -> anyhow::Result<()> {
    let out = Command::new(format!("{TOOLS}/busybox")).args(args).output()?;
    let words = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{}: {}", args.join(" "), words.trim());
    Ok(())
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
    async fn start(device: &str) -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        let mut config = Config::new(root.path().join("recordings"));
        let mut camera = CameraConfig::new(CameraId::new("usb")?, raw(device)?);
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
    async fn finish(&self) -> anyhow::Result<Vec<SegmentRow>> {
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
            frames += count(&file).with_context(|| row.path.display().to_string())?;
        }
        let counters = self.camera.status().counters;
        ensure!(
            frames as u64 == counters.frames - counters.frames_dropped,
            "{frames} frames in the files, {counters:?}"
        );
        Ok(rows)
    }
}

/// Frames of a file, each of them decoded by another program.
fn count(file: &Path) -> anyhow::Result<usize> {
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
        stream["codec_name"] == "h264" && stream["width"] == SIZE.0 && stream["height"] == SIZE.1,
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

async fn devices_lists_the_device_with_formats_and_stable_id() -> anyhow::Result<()> {
    let found = detect::devices().await?;
    let [device] = &found[..] else { bail!("{found:?}") };
    ensure!(device.path == Path::new("/dev/video0"), "{device:?}");
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

async fn probe_reads_ten_frames() -> anyhow::Result<()> {
    let report = detect::probe(raw("/dev/video0")?, patient()).await?;
    let video = &report.tracks.video;
    ensure!(
        report.frames == 10
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

async fn raw_pictures_are_recorded() -> anyhow::Result<()> {
    let rig = Rig::start("/dev/video0").await?;
    rig.records(60).await?;
    let rows = rig.finish().await?;
    ensure!(!rows.is_empty(), "nothing was recorded");
    Ok(())
}

async fn the_device_is_found_by_its_stable_id() -> anyhow::Result<()> {
    Device::plug(3).await?;
    let report = detect::probe(raw(LINK)?, patient()).await?;
    ensure!(report.frames == 10, "{report:?}");
    Ok(())
}

async fn a_busy_device_is_called_busy_and_recorded_once_free() -> anyhow::Result<()> {
    let other = gst::parse::launch(&format!(
        "v4l2src device=/dev/video0 ! video/x-raw,width={},height={} ! fakesink name=end",
        SIZE.0, SIZE.1
    ))?;
    other.set_state(gst::State::Playing)?;
    let end = other
        .downcast_ref::<gst::Bin>()
        .and_then(|b| b.by_name("end"))
        .context("its sink")?;
    let frame = async || end.property::<Option<gst::Sample>>("last-sample").map(drop);
    wait::until_async("a frame of the other program", LIMIT, frame).await?;

    let rig = Rig::start("/dev/video0").await?;
    let state = rig.phase(CameraPhase::BackingOff).await?;
    ensure!(
        state.cause.kind == CauseKind::Device && state.cause.message.contains("used by another program"),
        "{:?}",
        state.cause
    );
    other.set_state(gst::State::Null)?;
    rig.records(20).await?;
    rig.finish().await?;
    Ok(())
}

async fn fm12_unplugged_and_renumbered_it_resumes_by_its_stable_id() -> anyhow::Result<()> {
    let rig = Rig::start(LINK).await?;
    rig.records(30).await?;
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

    Device::plug(1).await?;
    ensure!(nodes() == [PathBuf::from("/dev/video1")], "{:?}", nodes());
    rig.records(30).await?;

    let rows = rig.finish().await?;
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

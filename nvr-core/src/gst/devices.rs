//! Capture devices of this machine and what they offer.
//!
//! GStreamer's device monitor needs udev, which is absent in containers: the nodes below `/dev` are looked at as
//! well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gst::prelude::*;

use super::sources::v4l2;
use crate::error::Result;

/// A capture device.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct DeviceReport {
    /// Node (`/dev/video0`).
    pub path: PathBuf,
    /// Links that keep naming this device after it was plugged in again (`/dev/v4l/by-id/…`, `by-path`).
    pub stable_ids: Vec<PathBuf>,
    /// What it calls itself, if it is known.
    pub name: Option<String>,
    /// Kernel driver, if it is known.
    pub driver: Option<String>,
    /// Where it is attached, if it is known (`usb-0000:00:14.0-1`).
    pub bus: Option<String>,
    /// What it offers.
    pub formats: Vec<DeviceFormatReport>,
    /// Why it cannot be used; `None` when it can.
    pub problem: Option<String>,
}

/// A picture format of a device.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct DeviceFormatReport {
    /// `H264`, `MJPEG`, or the name of a raw format (`YUY2`).
    pub format: String,
    /// Width and height.
    pub sizes: Vec<DeviceSize>,
}

/// A size at which a device gives pictures.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct DeviceSize {
    /// Pixels; of a range the largest.
    pub width: u32,
    /// Pixels; of a range the largest.
    pub height: u32,
    /// Frames per second, the highest first; of a range both ends.
    pub frame_rates: Vec<f64>,
}

/// Lists the V4L2 devices. Opens each for a moment; blocks.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be initialised.
pub fn devices() -> Result<Vec<DeviceReport>> {
    super::init()?;
    let mut found = scan(Path::new("/dev"), Path::new("/sys/class/video4linux"));
    for device in monitored() {
        match found.get_mut(&device.path) {
            Some(known) => {
                known.name = known.name.take().or(device.name);
                known.driver = known.driver.take().or(device.driver);
                known.bus = known.bus.take().or(device.bus);
            }
            None => {
                found.insert(device.path.clone(), device);
            }
        }
    }
    Ok(found.into_values().collect())
}

fn scan(dev: &Path, sys: &Path) -> BTreeMap<PathBuf, DeviceReport> {
    let links = stable_links(dev);
    let mut found = BTreeMap::new();
    for path in entries(dev) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let is_video = name
            .strip_prefix("video")
            .is_some_and(|n| n.parse::<u32>().is_ok());
        if !is_video {
            continue;
        }
        let at = sys.join(name);
        let (formats, problem) = match v4l2::device_caps(&path.to_string_lossy()) {
            Ok(caps) => (formats(&caps), None),
            Err(e) => (Vec::new(), Some(e.to_string())),
        };
        let target = |link: &str| std::fs::canonicalize(at.join(link)).ok();
        let last = |p: PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned());
        let report = DeviceReport {
            stable_ids: links
                .iter()
                .filter(|(_, to)| *to == path)
                .map(|(from, _)| from.clone())
                .collect(),
            name: std::fs::read_to_string(at.join("name"))
                .ok()
                .map(|n| n.trim().to_owned()),
            driver: target("device/driver").and_then(last),
            bus: target("device").and_then(last),
            formats,
            problem,
            path: path.clone(),
        };
        found.insert(path, report);
    }
    found
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    // Absent or closed to us: nothing to see.
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect()
}

/// The links below `v4l/` with the nodes that they name, in order.
fn stable_links(dev: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut links: Vec<_> = ["v4l/by-id", "v4l/by-path"]
        .iter()
        .flat_map(|dir| entries(&dev.join(dir)))
        .filter_map(|link| Some((link.clone(), std::fs::canonicalize(&link).ok()?)))
        .collect();
    links.sort();
    links
}

/// What GStreamer's device monitor knows.
fn monitored() -> Vec<DeviceReport> {
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Video/Source"), None);
    if monitor.start().is_err() {
        return Vec::new();
    }
    let devices = monitor.devices();
    monitor.stop();
    devices
        .iter()
        .filter_map(|device| {
            let p = device.properties()?;
            let text = |name: &str| p.get::<String>(name).ok();
            let path = text("device.path").or_else(|| text("api.v4l2.path"))?;
            Some(DeviceReport {
                path: path.into(),
                stable_ids: Vec::new(),
                name: Some(device.display_name().to_string()),
                driver: text("v4l2.device.driver"),
                bus: text("v4l2.device.bus_info"),
                formats: device.caps().map(|c| formats(&c)).unwrap_or_default(),
                problem: None,
            })
        })
        .collect()
}

/// The formats in a device's caps, each with its sizes, the largest first.
fn formats(caps: &gst::CapsRef) -> Vec<DeviceFormatReport> {
    let mut all: Vec<DeviceFormatReport> = Vec::new();
    for s in caps.iter() {
        let names: Vec<String> = match s.name().as_str() {
            "video/x-h264" => vec!["H264".into()],
            "video/x-h265" => vec!["H265".into()],
            "image/jpeg" => vec!["MJPEG".into()],
            "video/x-raw" => match s.value("format").ok() {
                Some(v) => v.get::<String>().map_or_else(
                    |_| {
                        v.get::<gst::List>()
                            .map(|l| l.iter().filter_map(|f| f.get::<String>().ok()).collect())
                            .unwrap_or_default()
                    },
                    |one| vec![one],
                ),
                None => vec!["raw".into()],
            },
            other => vec![other.to_owned()],
        };
        let sizes = sizes(s);
        for format in names {
            match all.iter_mut().find(|f| f.format == format) {
                Some(known) => {
                    for size in &sizes {
                        if !known.sizes.contains(size) {
                            known.sizes.push(size.clone());
                        }
                    }
                }
                None => all.push(DeviceFormatReport {
                    format,
                    sizes: sizes.clone(),
                }),
            }
        }
    }
    for f in &mut all {
        f.sizes
            .sort_by_key(|s| std::cmp::Reverse(u64::from(s.width) * u64::from(s.height)));
    }
    all
}

fn sizes(s: &gst::StructureRef) -> Vec<DeviceSize> {
    let sides = |name: &str| -> Vec<u32> {
        let Ok(value) = s.value(name) else {
            return Vec::new();
        };
        let (all, range) = v4l2::integers(value);
        all.into_iter().chain(range.map(|r| r.1)).collect()
    };
    let mut frame_rates: Vec<f64> = s.value("framerate").map_or_else(
        |_| Vec::new(),
        |value| {
            let (all, range) = v4l2::fractions(value);
            all.into_iter()
                .chain(range.into_iter().flat_map(|(lo, hi)| [lo, hi]))
                .map(|f| f64::from(f.numer()) / f64::from(f.denom().max(1)))
                .collect()
        },
    );
    frame_rates.sort_by(|a, b| b.total_cmp(a));
    let (widths, heights) = (sides("width"), sides("height"));
    widths
        .iter()
        .flat_map(|&width| heights.iter().map(move |&height| (width, height)))
        .map(|(width, height)| DeviceSize {
            width,
            height,
            frame_rates: frame_rates.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_with_their_stable_names_even_when_they_cannot_be_opened() {
        super::super::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        let (dev, sys) = (root.join("dev"), root.join("sys"));
        for d in [
            "dev/v4l/by-id",
            "dev/v4l/by-path",
            "sys/video0",
            "sys/devices/usb1-1",
            "sys/drivers/uvcvideo",
        ] {
            std::fs::create_dir_all(root.join(d)).unwrap();
        }
        std::fs::write(dev.join("video0"), "").unwrap();
        std::fs::write(dev.join("video10"), "").unwrap();
        std::fs::write(dev.join("vcs"), "").unwrap();
        std::fs::write(sys.join("video0/name"), "Webcam C920\n").unwrap();
        std::os::unix::fs::symlink(root.join("sys/devices/usb1-1"), sys.join("video0/device")).unwrap();
        std::os::unix::fs::symlink(
            root.join("sys/drivers/uvcvideo"),
            root.join("sys/devices/usb1-1/driver"),
        )
        .unwrap();
        let id = dev.join("v4l/by-id/usb-046d_C920-video-index0");
        std::os::unix::fs::symlink("../../video0", &id).unwrap();

        let found = scan(&dev, &sys);
        assert_eq!(found.len(), 2, "{found:?}");
        let first = &found[&dev.join("video0")];
        assert_eq!(first.stable_ids, [id]);
        assert_eq!(first.name.as_deref(), Some("Webcam C920"));
        assert_eq!(
            (first.driver.as_deref(), first.bus.as_deref()),
            (Some("uvcvideo"), Some("usb1-1"))
        );
        assert!(
            first.problem.as_deref().is_some_and(|p| p.contains("video0")),
            "{first:?}"
        );
        assert!(devices().is_ok());
    }

    #[test]
    fn caps_become_formats_with_sizes_and_rates() {
        super::super::init().unwrap();
        let caps: gst::Caps = "video/x-raw,format={(string)YUY2,(string)NV12},width=640,height=480,framerate={(fraction)15/1,(fraction)30/1};\
            video/x-raw,format=YUY2,width=1280,height=720,framerate=10/1;\
            image/jpeg,width=[32,1920],height=[32,1080],framerate=[1/1,60/1];video/x-bayer,format=bggr,width=8,height=8"
            .parse()
            .unwrap();
        let all = formats(&caps);
        let names: Vec<_> = all.iter().map(|f| f.format.as_str()).collect();
        assert_eq!(names, ["YUY2", "NV12", "MJPEG", "video/x-bayer"]);
        assert_eq!(
            all[0].sizes[0],
            DeviceSize {
                width: 1280,
                height: 720,
                frame_rates: vec![10.0]
            }
        );
        assert_eq!(all[0].sizes[1].frame_rates, [30.0, 15.0]);
        assert_eq!(
            all[2].sizes,
            [DeviceSize {
                width: 1920,
                height: 1080,
                frame_rates: vec![60.0, 1.0]
            }]
        );
    }
}

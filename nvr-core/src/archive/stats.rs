//! Bytes, hours, the disk, and how long it will do.

use super::Archive;
use crate::error::Result;
use crate::files::{Root, RootOptions, Usage};
use crate::ids::CameraId;
use crate::retention::Policy;
use crate::segment::Tier;
use crate::store::{CameraTotals, Store};
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Footage of so long tells the present rate.
const RATE_NS: i64 = 24 * 3600 * NS_PER_S;
/// A shorter time tells nothing of a rate.
const LEAST_RATE_NS: i64 = NS_PER_S;

/// Figures of one camera's footage.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CameraStats {
    /// Camera.
    pub camera: CameraId,
    /// Segments.
    pub segments: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// What of that lies below the second root.
    pub tier_bytes: u64,
    /// Length of footage, nanoseconds.
    pub duration_ns: i64,
    /// Start of the oldest segment.
    pub oldest: Option<Timestamp>,
    /// End of the newest segment.
    pub newest: Option<Timestamp>,
    /// What it wrote in an hour of the last day, gaps included; 0 when it wrote nothing.
    pub bytes_per_hour: f64,
    /// Days until a limit of bytes or the free space makes its oldest footage go, at the present rates; 0 when that is
    /// so now, `None` when it writes nothing.
    pub days_left: Option<f64>,
}

/// Figures of the second root.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TierStats {
    /// Its folder.
    pub root: std::path::PathBuf,
    /// Whether it is there. What lies on it stays in the index either way.
    pub reachable: bool,
    /// Segments on it.
    pub segments: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Size of its file system in bytes; 0 while it is not reachable.
    pub disk_total_bytes: u64,
    /// What of it is available to the recorder.
    pub disk_available_bytes: u64,
    /// What of it is to stay free.
    pub disk_min_free_bytes: u64,
}

/// Figures of the whole archive.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ArchiveStats {
    /// By camera, removed ones included.
    pub cameras: Vec<CameraStats>,
    /// Size of the file system in bytes.
    pub disk_total_bytes: u64,
    /// What of it is available to the recorder.
    pub disk_available_bytes: u64,
    /// What of it is to stay free.
    pub disk_min_free_bytes: u64,
    /// The second root, if there is one.
    pub tier: Option<TierStats>,
    /// Bytes of all cameras in an hour.
    pub bytes_per_hour: f64,
    /// Days until the disk or all cameras together reach their limit, at the present rates; `None` when nothing is
    /// written.
    pub days_left: Option<f64>,
}

impl Archive {
    /// Bytes, hours and the disk.
    ///
    /// # Errors
    /// `Storage` when the file system cannot be asked.
    pub async fn stats(&self) -> Result<ArchiveStats> {
        let root = Root::new(&self.0.root, RootOptions::default(), self.0.clock.clone());
        let archive = self.clone();
        let (now, policy) = (self.0.clock.now(), self.policy());
        self.read(move |store| {
            let usage = root.usage()?;
            let mut cameras: Vec<CameraStats> = store.totals()?.into_iter().map(CameraStats::from).collect();
            // The index knows the length of a segment once it is closed; what grows belongs to the answer.
            let mut growth: Vec<(CameraId, Timestamp, u64)> = Vec::new();
            for row in store.open_segments()? {
                let Ok(Some(growing)) = archive.footage_of(&row) else {
                    continue;
                };
                if let Some(stats) = cameras.iter_mut().find(|s| s.camera == row.camera) {
                    let grown = growing.size_bytes.saturating_sub(row.size_bytes);
                    stats.size_bytes += grown;
                    stats.duration_ns += (growing.duration_ns - row.duration_ns).max(0);
                    stats.newest = stats.newest.max(Some(growing.range().end()));
                    growth.push((row.camera.clone(), row.start, grown));
                }
            }
            let tier = archive.tier_stats(store, &policy, &mut cameras)?;
            rates(store, &mut cameras, &growth, now)?;
            let mut stats = ArchiveStats {
                cameras,
                disk_total_bytes: usage.total_bytes,
                disk_available_bytes: usage.available_bytes,
                disk_min_free_bytes: policy.min_free_bytes(usage.total_bytes),
                tier,
                bytes_per_hour: 0.0,
                days_left: None,
            };
            forecast(&mut stats, &policy);
            Ok(stats)
        })
        .await
    }

    /// Whether what lies below a root can be read now; true for the recordings root, which is looked after elsewhere.
    ///
    /// # Errors
    /// `Internal` when the look fails.
    pub async fn is_reachable(&self, tier: Tier) -> Result<bool> {
        let archive = self.clone();
        self.read(move |_| Ok(tier == Tier::First || archive.second_usage().is_some()))
            .await
    }

    /// The file system of the second root, while that is there.
    fn second_usage(&self) -> Option<Usage> {
        let root = self.0.second.as_ref()?;
        match &self.0.tree {
            // The recorder knows it; asking a disk that hangs would hang, too.
            Some(tree) => tree.second_usage(),
            None => Root::new(root, RootOptions::default(), self.0.clock.clone())
                .usage()
                .ok(),
        }
    }

    fn tier_stats(
        &self,
        store: &Store,
        policy: &Policy,
        cameras: &mut [CameraStats],
    ) -> Result<Option<TierStats>> {
        let Some(root) = &self.0.second else {
            return Ok(None);
        };
        let usage = self.second_usage();
        let mut tier = TierStats {
            root: root.clone(),
            reachable: usage.is_some(),
            segments: 0,
            size_bytes: 0,
            disk_total_bytes: usage.map_or(0, |u| u.total_bytes),
            disk_available_bytes: usage.map_or(0, |u| u.available_bytes),
            disk_min_free_bytes: 0,
        };
        tier.disk_min_free_bytes = policy
            .tier
            .map_or(0, |limits| limits.min_free.of(tier.disk_total_bytes));
        for of_camera in store.tier_totals()? {
            tier.segments += of_camera.segments;
            tier.size_bytes += of_camera.size_bytes;
            if let Some(stats) = cameras.iter_mut().find(|s| s.camera == of_camera.camera) {
                stats.tier_bytes = of_camera.size_bytes;
            }
        }
        Ok(Some(tier))
    }
}

fn rates(
    store: &Store,
    cameras: &mut [CameraStats],
    growth: &[(CameraId, Timestamp, u64)],
    now: Timestamp,
) -> Result<()> {
    let since = now.add_ns(-RATE_NS);
    let range = TimeRange::new(since, now.add_ns(1).max(since))?;
    let begun = store.bytes_begun(range)?;
    for stats in cameras {
        let noted = begun
            .iter()
            .find(|(c, _)| *c == stats.camera)
            .map_or(0, |(_, n)| *n);
        let grown: u64 = growth
            .iter()
            .filter(|(c, start, _)| *c == stats.camera && range.contains(*start))
            .map(|(.., n)| *n)
            .sum();
        let known = stats.oldest.map_or(0, |oldest| now.since(oldest)).min(RATE_NS);
        if known >= LEAST_RATE_NS {
            stats.bytes_per_hour = (noted + grown) as f64 / (known as f64 / (3600.0 * NS_PER_S as f64));
        }
    }
    Ok(())
}

/// Pure.
fn forecast(stats: &mut ArchiveStats, policy: &Policy) {
    let days = |left: u64, rate: f64| (rate > 0.0).then(|| left as f64 / rate / 24.0);
    stats.bytes_per_hour = stats.cameras.iter().map(|c| c.bytes_per_hour).sum();
    let all: u64 = stats.cameras.iter().map(|c| c.size_bytes).sum();
    let beyond = |available: u64, min_free: u64| available.saturating_sub(min_free);
    let there = stats
        .tier
        .as_ref()
        .map_or(0, |t| beyond(t.disk_available_bytes, t.disk_min_free_bytes));
    let free = beyond(stats.disk_available_bytes, stats.disk_min_free_bytes).saturating_add(there);
    let left = policy
        .max_bytes
        .map_or(free, |most| free.min(most.saturating_sub(all)));
    stats.days_left = days(left, stats.bytes_per_hour);
    for camera in &mut stats.cameras {
        if camera.bytes_per_hour <= 0.0 {
            continue;
        }
        let own = policy.rules(&camera.camera).max_bytes;
        let own = own.and_then(|most| days(most.saturating_sub(camera.size_bytes), camera.bytes_per_hour));
        camera.days_left = match (own, stats.days_left) {
            (Some(own), Some(shared)) => Some(own.min(shared)),
            (own, shared) => own.or(shared),
        };
    }
}

impl From<CameraTotals> for CameraStats {
    fn from(t: CameraTotals) -> Self {
        Self {
            camera: t.camera,
            segments: t.segments,
            size_bytes: t.size_bytes,
            tier_bytes: 0,
            duration_ns: t.duration_ns,
            oldest: t.oldest,
            newest: t.newest,
            bytes_per_hour: 0.0,
            days_left: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CameraConfig, Config, RetentionConfig, Room};
    use crate::source::SourceSpec;

    fn camera(name: &str, size_bytes: u64, bytes_per_hour: f64) -> CameraStats {
        CameraStats {
            camera: CameraId::new(name).unwrap(),
            segments: 1,
            size_bytes,
            tier_bytes: 0,
            duration_ns: 1,
            oldest: None,
            newest: None,
            bytes_per_hour,
            days_left: None,
        }
    }

    #[test]
    fn the_nearest_limit_counts() {
        let mut config = Config::new("/nowhere");
        config.retention = RetentionConfig::off();
        config.retention.min_free = Room::Bytes(400);
        let source = SourceSpec::parse("test:").unwrap();
        config
            .cameras
            .push(CameraConfig::new(CameraId::new("a").unwrap(), source));
        let of = |config: &Config| {
            let policy = Policy::of(config);
            let mut stats = ArchiveStats {
                cameras: vec![
                    camera("a", 100, 3.0),
                    camera("b", 50, 7.0),
                    camera("gone", 1000, 0.0),
                ],
                disk_total_bytes: 10_000,
                disk_available_bytes: 5200,
                disk_min_free_bytes: policy.min_free_bytes(10_000),
                tier: None,
                bytes_per_hour: 0.0,
                days_left: None,
            };
            forecast(&mut stats, &policy);
            let cameras: Vec<_> = stats.cameras.iter().map(|c| c.days_left).collect();
            (stats.days_left, cameras)
        };
        assert_eq!(of(&config), (Some(20.0), vec![Some(20.0), Some(20.0), None]));
        config.cameras[0].retention.max_bytes = Some(172);
        assert_eq!(of(&config), (Some(20.0), vec![Some(1.0), Some(20.0), None]));
        config.retention.max_bytes = Some(1150);
        assert_eq!(of(&config), (Some(0.0), vec![Some(0.0), Some(0.0), None]));
    }
}

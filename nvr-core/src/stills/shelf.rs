//! How many stills there are of each camera's days, and the deletion of those that are too many.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::policy::oldest;
use crate::config::{Age, StillRules};
use crate::error::Result;
use crate::files::stills::{self as tree, StillName};
use crate::files::{Day, Root, Usage};
use crate::ids::CameraId;
use crate::time::{Timestamp, duration_ns};

/// Most that are deleted at once.
const MOST: u64 = 5000;

/// Stills together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StillSums {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub size_bytes: u64,
}

/// Limits of all stills together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StillLimits {
    /// Most bytes.
    pub max_bytes: Option<u64>,
    /// Below so many free bytes of the disk the oldest go whatever their age.
    pub critical_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OfDay {
    sums: StillSums,
    oldest: Timestamp,
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(BTreeMap<CameraId, BTreeMap<Day, OfDay>>);

/// The stills of a day with their sizes.
fn stills(root: &OwnedFd, camera: &CameraId, day: Day) -> Result<Vec<(StillName, u64)>> {
    let names = tree::names(root, camera, day)?;
    let sizes = tree::sizes(root, camera, day, &names)?;
    Ok(names
        .into_iter()
        .zip(sizes)
        .filter_map(|(name, size)| Some((name, size?)))
        .collect())
}

impl Shelf {
    /// Counts what is there.
    pub(super) fn read(root: &Root) -> Result<Self> {
        let mut shelf = Self::default();
        let dir = root.dir()?;
        for camera in tree::cameras(&dir)? {
            for day in tree::days(&dir, &camera)? {
                shelf.recount(root, &camera, day)?;
            }
        }
        Ok(shelf)
    }

    pub(super) fn add(&mut self, name: &StillName, size_bytes: u64) {
        let days = self.0.entry(name.camera.clone()).or_default();
        let of_day = days.entry(name.day()).or_insert(OfDay {
            sums: StillSums::default(),
            oldest: name.at(),
        });
        of_day.sums.count += 1;
        of_day.sums.size_bytes += size_bytes;
        of_day.oldest = of_day.oldest.min(name.at());
    }

    /// Counts a day.
    pub(super) fn count(root: &Root, camera: &CameraId, day: Day) -> Result<Option<OfDay>> {
        let dir = root.dir()?;
        let there = stills(&dir, camera, day)?;
        Ok(there.first().map(|(first, _)| OfDay {
            sums: StillSums {
                count: there.len() as u64,
                size_bytes: there.iter().map(|(_, size)| size).sum(),
            },
            oldest: first.at(),
        }))
    }

    /// Takes what was counted of a day.
    pub(super) fn set(&mut self, camera: &CameraId, day: Day, counted: Option<OfDay>) {
        let days = self.0.entry(camera.clone()).or_default();
        match counted {
            Some(of_day) => {
                days.insert(day, of_day);
            }
            None => {
                days.remove(&day);
            }
        }
        self.0.retain(|_, days| !days.is_empty());
    }

    fn recount(&mut self, root: &Root, camera: &CameraId, day: Day) -> Result<()> {
        let counted = Self::count(root, camera, day)?;
        self.set(camera, day, counted);
        Ok(())
    }

    fn of(&self, camera: &CameraId) -> StillSums {
        self.0.get(camera).into_iter().flat_map(BTreeMap::values).sum()
    }

    pub(super) fn cameras(&self) -> Vec<(CameraId, StillSums)> {
        let cameras = self.0.keys();
        cameras.map(|camera| (camera.clone(), self.of(camera))).collect()
    }

    pub(super) fn sums(&self) -> StillSums {
        self.0.values().flat_map(BTreeMap::values).sum()
    }
}

impl<'a> std::iter::Sum<&'a OfDay> for StillSums {
    fn sum<I: Iterator<Item = &'a OfDay>>(days: I) -> Self {
        days.fold(Self::default(), |sum, day| Self {
            count: sum.count + day.sums.count,
            size_bytes: sum.size_bytes + day.sums.size_bytes,
        })
    }
}

/// Deletes by the limits.
pub(super) struct Clearing<'a> {
    root: &'a Root,
    shelf: Shelf,
    deleted: u64,
    freed_bytes: u64,
    touched: Vec<(CameraId, Day)>,
}

impl<'a> Clearing<'a> {
    pub(super) const fn new(root: &'a Root, shelf: Shelf) -> Self {
        Self {
            root,
            shelf,
            deleted: 0,
            freed_bytes: 0,
            touched: Vec::new(),
        }
    }

    /// All steps; how many went, and of which days.
    pub(super) fn run(
        mut self,
        rules: impl Fn(&CameraId) -> StillRules,
        limits: &StillLimits,
        usage: Usage,
        now: Option<Timestamp>,
    ) -> Result<(u64, Vec<(CameraId, Day)>)> {
        let cameras: Vec<CameraId> = self.shelf.0.keys().cloned().collect();
        for camera in &cameras {
            let rules = rules(camera);
            if let (Some(now), Age::For(age)) = (now, rules.max_age) {
                self.expire(camera, now.add_ns(-duration_ns(age)))?;
            }
            let sums = self.shelf.of(camera);
            let count = rules.max_count.map_or(0, |most| sums.count.saturating_sub(most));
            let bytes = rules
                .max_bytes
                .map_or(0, |most| sums.size_bytes.saturating_sub(most));
            self.take(std::slice::from_ref(camera), count, bytes)?;
        }
        if let Some(most) = limits.max_bytes {
            let over = self.shelf.sums().size_bytes.saturating_sub(most);
            self.take(&cameras, 0, over)?;
        }
        let available = usage.available_bytes.saturating_add(self.freed_bytes);
        self.take(&cameras, 0, limits.critical_bytes.saturating_sub(available))?;
        self.touched.sort_unstable();
        self.touched.dedup();
        Ok((self.deleted, self.touched))
    }

    /// What is of before a moment.
    fn expire(&mut self, camera: &CameraId, before: Timestamp) -> Result<()> {
        loop {
            let days = self.shelf.0.get(camera);
            let first = days.and_then(|days| days.iter().find(|(_, d)| d.oldest < before));
            let Some(day) = first.map(|(day, _)| *day) else {
                return Ok(());
            };
            let dir = self.root.dir()?;
            let there = stills(&dir, camera, day)?;
            let gone = there.iter().take_while(|(name, _)| name.at() < before).count();
            self.delete(camera, day, &there[..gone])?;
            if self.deleted >= MOST {
                return Ok(());
            }
        }
    }

    /// The oldest of some cameras, until so many stills and bytes less are there.
    fn take(&mut self, cameras: &[CameraId], mut count: u64, mut bytes: u64) -> Result<()> {
        while (count > 0 || bytes > 0) && self.deleted < MOST {
            let days = cameras.iter().filter_map(|c| self.shelf.0.get(c));
            let Some(day) = days.filter_map(|days| days.keys().next()).min().copied() else {
                return Ok(());
            };
            let dir = self.root.dir()?;
            let mut there: Vec<(StillName, u64)> = Vec::new();
            for camera in cameras {
                if self.shelf.0.get(camera).is_some_and(|d| d.contains_key(&day)) {
                    there.extend(stills(&dir, camera, day)?);
                }
            }
            there.sort_unstable();
            let sizes: Vec<u64> = there.iter().map(|(_, size)| *size).collect();
            let n = oldest(&sizes, count, bytes);
            count = count.saturating_sub(n as u64);
            bytes = bytes.saturating_sub(sizes[..n].iter().sum());
            for camera in cameras {
                let of: Vec<(StillName, u64)> = there[..n]
                    .iter()
                    .filter(|(name, _)| name.camera == *camera)
                    .cloned()
                    .collect();
                if !of.is_empty() || !there.iter().any(|(name, _)| name.camera == *camera) {
                    self.delete(camera, day, &of)?;
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, camera: &CameraId, day: Day, which: &[(StillName, u64)]) -> Result<()> {
        let names: Vec<StillName> = which.iter().map(|(name, _)| name.clone()).collect();
        tree::delete(self.root, camera, day, &names)?;
        self.deleted += names.len() as u64;
        self.freed_bytes += which.iter().map(|(_, size)| size).sum::<u64>();
        self.touched.push((camera.clone(), day));
        self.shelf.recount(self.root, camera, day)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::files::tests::root_at;

    fn id(name: &str) -> CameraId {
        CameraId::new(name).unwrap()
    }

    struct Rig {
        _dir: tempfile::TempDir,
        root: Root,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = root_at(dir.path());
            Self { _dir: dir, root }
        }

        /// Ten bytes each, every six hours of three days.
        fn fill(&self, camera: &str) {
            for n in 0..12 {
                let at = Timestamp::from_secs(1_800_000_000 / 86_400 * 86_400 + n * 6 * 3600);
                tree::write(&self.root, &StillName::of(id(camera), at), &[0; 10]).unwrap();
            }
        }

        fn clear(
            &self,
            rules: impl Fn(&CameraId) -> StillRules,
            limits: StillLimits,
            free: u64,
            now_h: i64,
        ) -> u64 {
            let usage = Usage {
                total_bytes: 1000,
                available_bytes: free,
            };
            let shelf = Shelf::read(&self.root).unwrap();
            let now = Timestamp::from_secs(1_800_000_000 / 86_400 * 86_400 + now_h * 3600);
            let (deleted, touched) = Clearing::new(&self.root, shelf.clone())
                .run(rules, &limits, usage, Some(now))
                .unwrap();
            let mut after = shelf;
            for (camera, day) in touched {
                after.recount(&self.root, &camera, day).unwrap();
            }
            assert_eq!(after.sums(), Shelf::read(&self.root).unwrap().sums());
            deleted
        }

        fn left(&self, camera: &str) -> Vec<i64> {
            let dir = self.root.dir().unwrap();
            let mut all = Vec::new();
            for day in tree::days(&dir, &id(camera)).unwrap() {
                for name in tree::names(&dir, &id(camera), day).unwrap() {
                    all.push((name.at().as_ns() / 1_000_000_000 - 1_800_000_000 / 86_400 * 86_400) / 3600);
                }
            }
            all
        }
    }

    fn forever() -> StillRules {
        StillRules {
            max_age: Age::Forever,
            ..StillRules::default()
        }
    }

    #[test]
    fn what_is_too_old_goes_to_the_hour() {
        let rig = Rig::new();
        rig.fill("a");
        let age = |_: &CameraId| StillRules {
            max_age: Age::For(Duration::from_secs(30 * 3600)),
            ..StillRules::default()
        };
        assert_eq!(rig.clear(age, StillLimits::default(), 1000, 66), 6);
        assert_eq!(rig.left("a"), [36, 42, 48, 54, 60, 66]);
        assert_eq!(rig.clear(age, StillLimits::default(), 1000, 66), 0);
    }

    #[test]
    fn the_oldest_of_a_camera_and_of_all_go_and_no_more() {
        let rig = Rig::new();
        rig.fill("a");
        rig.fill("b");
        let rules = |camera: &CameraId| StillRules {
            max_count: (camera.as_str() == "a").then_some(5),
            ..forever()
        };
        assert_eq!(rig.clear(rules, StillLimits::default(), 1000, 100), 7);
        assert_eq!(rig.left("a"), [42, 48, 54, 60, 66]);
        assert_eq!(rig.left("b").len(), 12);
        let limits = StillLimits {
            max_bytes: Some(95),
            critical_bytes: 0,
        };
        assert_eq!(rig.clear(|_| forever(), limits, 1000, 100), 8);
        // Of one moment, that of the first camera goes first.
        assert_eq!(rig.left("a"), [48, 54, 60, 66]);
        assert_eq!(rig.left("b"), [42, 48, 54, 60, 66]);
        let bytes = |_: &CameraId| StillRules {
            max_bytes: Some(20),
            ..forever()
        };
        rig.clear(bytes, StillLimits::default(), 1000, 100);
        assert_eq!((rig.left("a").len(), rig.left("b").len()), (2, 2));
    }

    #[test]
    fn in_an_emergency_the_oldest_go_until_it_is_over() {
        let rig = Rig::new();
        rig.fill("a");
        let limits = StillLimits {
            max_bytes: None,
            critical_bytes: 50,
        };
        assert_eq!(rig.clear(|_| forever(), limits, 25, 100), 3);
        assert_eq!(rig.clear(|_| forever(), limits, 50, 100), 0);
        // All of them, if that is not enough, and then it ends.
        assert_eq!(
            rig.clear(
                |_| forever(),
                StillLimits {
                    critical_bytes: 10_000,
                    ..limits
                },
                0,
                100
            ),
            9
        );
        assert!(rig.left("a").is_empty());
    }
}

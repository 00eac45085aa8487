//! When the disk is nearly full, which cameras pause, and whether the clock can be trusted. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::CameraId;
use crate::time::{Timestamp, duration_ns};

/// What is to be told or done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The disk is below its critical mark.
    Low,
    /// It is above it again.
    Recovered,
    /// Nothing is left to delete: this camera pauses.
    Pause(CameraId),
    /// There is room for this camera again.
    Resume(CameraId),
}

/// Watches the free space of a disk.
///
/// Below the critical mark it is low; where nothing can be deleted any more, cameras pause. The mark is divided among
/// the priorities: of three, the lowest pauses below the mark itself, the next below two thirds of it, the last below
/// one third. What is left then is for closing files and for the index. Each resumes at a quarter more than that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watch {
    low: bool,
    /// With the free space at which each resumes.
    paused: BTreeMap<CameraId, u64>,
}

impl Watch {
    /// Whether the disk is low.
    #[must_use]
    pub const fn is_low(&self) -> bool {
        self.low
    }

    /// Whether a camera pauses.
    #[must_use]
    pub fn is_paused(&self, camera: &CameraId) -> bool {
        self.paused.contains_key(camera)
    }

    /// Takes a look. `exhausted`: nothing is left that may be deleted. `cameras` are those that are configured, with
    /// their priority; the highest pauses last.
    pub fn look(
        &mut self,
        available_bytes: u64,
        critical_bytes: u64,
        exhausted: bool,
        cameras: &[(CameraId, u8)],
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let calm = critical_bytes.saturating_add(critical_bytes / 4);
        if !self.low && available_bytes < critical_bytes {
            self.low = true;
            changes.push(Change::Low);
        }
        self.paused.retain(|camera, until| {
            // One that was removed needs no word.
            let there = cameras.iter().any(|(c, _)| c == camera);
            let room = available_bytes >= (*until).min(calm);
            if there && room {
                changes.push(Change::Resume(camera.clone()));
            }
            there && !room
        });
        if self.low && exhausted {
            let mut priorities: Vec<u8> = cameras.iter().map(|(_, p)| *p).collect();
            priorities.sort_unstable();
            priorities.dedup();
            let groups = priorities.len() as u64;
            for (n, priority) in (0u64..).zip(priorities) {
                // In 128 bits, so that no disk is too large.
                let part = u128::from(critical_bytes) * u128::from(groups - n) / u128::from(groups);
                let below = u64::try_from(part).unwrap_or(critical_bytes);
                if available_bytes >= below {
                    break;
                }
                for (camera, _) in cameras.iter().filter(|(_, p)| *p == priority) {
                    if !self.paused.contains_key(camera) {
                        self.paused
                            .insert(camera.clone(), below.saturating_add(below / 4));
                        changes.push(Change::Pause(camera.clone()));
                    }
                }
            }
        }
        if self.low && available_bytes >= calm {
            self.low = false;
            changes.push(Change::Recovered);
        }
        changes
    }
}

/// A deviation of the wall clock from the steady one that is a step.
const STEP: Duration = Duration::from_mins(5);
/// How long after a step nothing goes for its age: a clock that was set wrong is commonly set right by then.
const HOLD: Duration = Duration::from_hours(1);

/// Tells whether ages can be reckoned: a clock that jumped ahead makes everything old.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    last: Option<(Timestamp, i64)>,
    hold_until_ns: i64,
}

impl Steps {
    /// Notes both clocks as read at one instant; the time, unless it is not to be trusted.
    pub fn trusted(&mut self, now: Timestamp, steady_ns: i64) -> Option<Timestamp> {
        if let Some((then, steady_then)) = self.last.replace((now, steady_ns)) {
            let deviation = now
                .since(then)
                .saturating_sub(steady_ns.saturating_sub(steady_then));
            if deviation.saturating_abs() > duration_ns(STEP) {
                self.hold_until_ns = steady_ns.saturating_add(duration_ns(HOLD));
                tracing::warn!(
                    by_s = deviation / 1_000_000_000,
                    "the wall clock stepped: for an hour no footage is deleted for its age"
                );
            }
        }
        (steady_ns >= self.hold_until_ns).then_some(now)
    }
}

//! The limits of a configuration, resolved for each camera.

use std::collections::HashMap;

use super::stock::Disk;
use crate::config::{Age, CameraRetention, Config, RetentionConfig, Room};
use crate::ids::CameraId;

/// What holds for the footage of one camera.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How long ordinary footage is kept.
    pub plain: Age,
    /// How long that of events is kept; `None`: as any other.
    pub event: Option<Age>,
    /// How long what was encoded again is kept; `None`: as any other.
    pub transcoded: Option<Age>,
    /// Most bytes.
    pub max_bytes: Option<u64>,
}

/// The second root's own limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TierRules {
    /// Most bytes below it.
    pub max_bytes: Option<u64>,
    /// What of its disk stays free.
    pub min_free: Room,
}

impl TierRules {
    /// Whether footage may move there. Half of what is to stay free is for what is under way while the oldest is
    /// deleted.
    #[must_use]
    pub fn has_room(&self, disk: Disk) -> bool {
        disk.available_bytes > self.min_free.of(disk.total_bytes) / 2
    }
}

/// All limits of a recorder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Of cameras that are not configured: removed and renamed ones.
    default: Rules,
    cameras: HashMap<CameraId, Rules>,
    /// Most bytes of all cameras together.
    pub(crate) max_bytes: Option<u64>,
    min_free: Room,
    critical_free: Room,
    pub(crate) tier: Option<TierRules>,
}

impl Policy {
    /// That of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let all = &config.retention;
        Self {
            default: rules(all, &CameraRetention::default()),
            cameras: config
                .cameras
                .iter()
                .map(|c| (c.id.clone(), rules(all, &c.retention)))
                .collect(),
            max_bytes: all.max_bytes,
            min_free: all.min_free,
            critical_free: all.critical_free,
            tier: config.tier.as_ref().map(|t| TierRules {
                max_bytes: t.max_bytes,
                min_free: t.min_free,
            }),
        }
    }

    /// What holds for a camera, whether it is configured or was removed.
    #[must_use]
    pub fn rules(&self, camera: &CameraId) -> &Rules {
        self.cameras.get(camera).unwrap_or(&self.default)
    }

    /// Bytes of a disk of this size below which it is an emergency; 0: never.
    #[must_use]
    pub fn critical_bytes(&self, total_bytes: u64) -> u64 {
        self.critical_free.of(total_bytes)
    }

    /// Bytes of a disk of this size that are to stay free. Enough above the critical mark that an emergency ends.
    #[must_use]
    pub fn min_free_bytes(&self, total_bytes: u64) -> u64 {
        let critical = self.critical_bytes(total_bytes);
        self.min_free
            .of(total_bytes)
            .max(critical.saturating_add(critical / 2))
    }
}

fn rules(all: &RetentionConfig, own: &CameraRetention) -> Rules {
    Rules {
        plain: own.max_age.unwrap_or(all.max_age),
        event: own.event_age.or(all.event_age),
        transcoded: own.transcoded_age.or(all.transcoded_age),
        max_bytes: own.max_bytes,
    }
}

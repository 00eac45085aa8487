//! What a new configuration changes. Pure.

use super::Config;
use crate::ids::CameraId;

/// What a new configuration changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ConfigDiff {
    /// Cameras that are new.
    pub added: Vec<CameraId>,
    /// Cameras that are gone.
    pub removed: Vec<CameraId>,
    /// Cameras that differ in anything. They are connected anew only where more differs than name, sub stream, schedule,
    /// retention, priority, motion, objects, ONVIF, stills or privacy.
    pub changed: Vec<CameraId>,
    /// Keys that differ and only take effect when the recorder starts again.
    pub needs_restart: Vec<&'static str>,
}

impl ConfigDiff {
    /// Compares.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let ids = |list: &[super::CameraConfig], keep: &dyn Fn(&super::CameraConfig) -> bool| {
            list.iter().filter(|c| keep(c)).map(|c| c.id.clone()).collect()
        };
        let place = |tier: Option<&super::TierConfig>| tier.map(|t| (t.root.clone(), t.root_mount.clone()));
        let (o, n) = (&old.recorder, &new.recorder);
        let differs = [
            ("recorder.root", o.root != n.root),
            ("recorder.database", o.database != n.database),
            ("recorder.max_starting", o.max_starting != n.max_starting),
            ("recorder.max_manual", o.max_manual != n.max_manual),
            (
                "recorder.shutdown_deadline",
                o.shutdown_deadline != n.shutdown_deadline,
            ),
            ("recorder.time_zone", o.time_zone != n.time_zone),
            ("recorder.root_mount", o.root_mount != n.root_mount),
            ("recorder.adopt_root", o.adopt_root != n.adopt_root),
            ("recorder.events_keep", o.events_keep != n.events_keep),
            ("tier.root", place(old.tier.as_ref()) != place(new.tier.as_ref())),
            ("recording.sync", old.recording.sync != new.recording.sync),
            ("http", old.http != new.http),
            ("rtsp_server", old.rtsp_server != new.rtsp_server),
            ("oidc", old.oidc != new.oidc),
            ("log.format", old.log.format != new.log.format),
        ];
        Self {
            added: ids(&new.cameras, &|c| old.camera(&c.id).is_none()),
            removed: ids(&old.cameras, &|c| new.camera(&c.id).is_none()),
            changed: ids(&new.cameras, &|c| {
                old.camera(&c.id).is_some_and(|before| before != c)
            }),
            needs_restart: differs.iter().filter(|(_, d)| *d).map(|(key, _)| *key).collect(),
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

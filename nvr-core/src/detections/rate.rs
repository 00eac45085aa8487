//! How often others may tell of detections. Pure.

use std::collections::HashMap;

use crate::ids::CameraId;
use crate::time::NS_PER_S;

/// So many detections of a camera within [`WINDOW_NS`].
pub(super) const MOST: u32 = 300;
const WINDOW_NS: i64 = 60 * NS_PER_S;

/// What came of each camera in the present minute.
#[derive(Debug, Default)]
pub(super) struct Rate {
    seen: HashMap<CameraId, (i64, u32)>,
}

impl Rate {
    /// Whether one more may come, at a steady time.
    pub(super) fn allows(&mut self, camera: &CameraId, steady_ns: i64) -> bool {
        let (since, count) = self.seen.entry(camera.clone()).or_insert((steady_ns, 0));
        if steady_ns.saturating_sub(*since) >= WINDOW_NS {
            (*since, *count) = (steady_ns, 0);
        }
        *count = count.saturating_add(1);
        *count <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_stopped_for_its_camera_until_the_minute_is_over() {
        let (a, b) = (CameraId::new("a").unwrap(), CameraId::new("b").unwrap());
        let mut rate = Rate::default();
        assert!((0..MOST).all(|n| rate.allows(&a, i64::from(n))));
        assert!(!rate.allows(&a, WINDOW_NS - 1));
        assert!(rate.allows(&b, WINDOW_NS - 1));
        assert!(rate.allows(&a, WINDOW_NS));
    }
}

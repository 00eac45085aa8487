//! Whether the recorder does its job. Pure but for the handles it reads.

use crate::camera::Camera;
use crate::config::RecordMode;
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Problem {
    /// Which camera; `None` when it concerns all.
    pub camera: Option<CameraId>,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// The state of the whole.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Health {
    /// Nothing is wrong.
    pub ok: bool,
    /// All cameras that should be recorded now are.
    pub ready: bool,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// When this was found.
    pub at: Timestamp,
}

pub(crate) fn assess(
    cameras: &[Camera],
    storage: Option<(Timestamp, Cause)>,
    troubles: impl Iterator<Item = (Timestamp, Cause)>,
    at: Timestamp,
) -> Health {
    let mut problems: Vec<Problem> = storage
        .map(|(since, cause)| Problem {
            camera: None,
            since,
            cause,
        })
        .into_iter()
        .collect();
    let mut ready = problems.is_empty();
    // Recording goes on: cameras that pause are told one by one.
    problems.extend(troubles.map(|(since, cause)| Problem {
        camera: None,
        since,
        cause,
    }));
    for camera in cameras {
        let config = camera.config();
        let status = camera.status();
        let state = status.state;
        let wanted = config.enabled && status.mode != RecordMode::Off;
        let good = match status.mode {
            RecordMode::Continuous => state.phase == CameraPhase::Recording,
            RecordMode::Manual | RecordMode::Motion => {
                matches!(state.phase, CameraPhase::Standby | CameraPhase::Recording)
            }
            RecordMode::Off => true,
        };
        if wanted && !good {
            ready = false;
            // A camera that is just being connected is no problem yet; one that failed and is tried again is.
            let fresh = matches!(
                state.cause.kind,
                CauseKind::Startup | CauseKind::Requested | CauseKind::Scheduled | CauseKind::ConfigChanged
            );
            if state.phase != CameraPhase::Connecting || !fresh {
                problems.push(Problem {
                    camera: Some(camera.id()),
                    since: state.since,
                    cause: state.cause,
                });
            }
        }
    }
    Health {
        ok: problems.is_empty(),
        ready,
        problems,
        at,
    }
}

//! Whether the parts of a recorder still answer, for whoever is to end a process that hangs.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Nvr;
use crate::camera::Command;
use crate::ids::CameraId;

impl Nvr {
    /// The cameras whose owners do not answer within so long: their tasks hang or have ended, so that nothing looks after
    /// their connections any more. None in a recorder that is well, whatever its cameras, disks and networks do.
    pub async fn unresponsive(&self, patience: Duration) -> Vec<CameraId> {
        let mut asked = Vec::new();
        for camera in self.cameras() {
            let (reply, answer) = oneshot::channel();
            let sent = camera.send(Command::Answer(reply)).is_ok();
            asked.push((camera.id(), sent.then_some(answer)));
        }
        let until = self
            .clock()
            .steady_ns()
            .saturating_add(crate::time::duration_ns(patience));
        let mut silent = Vec::new();
        for (id, answer) in asked {
            let answered = match answer {
                Some(answer) => {
                    let left = u64::try_from(until - self.clock().steady_ns()).unwrap_or(0);
                    let answer = tokio::time::timeout(Duration::from_nanos(left), answer).await;
                    matches!(answer, Ok(Ok(())))
                }
                None => false,
            };
            // One that was removed meanwhile owes no answer.
            if !answered && self.camera(&id).is_ok() {
                silent.push(id);
            }
        }
        silent
    }
}

//! What a service manager is told (sd_notify(3)): that recording is set up, how it fares, that it is alive, that it ends.
//! Nothing happens where there is none.

use std::time::Duration;

use nvr_core::Nvr;
use nvr_core::event::CameraPhase;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// How often the status is looked at where there is no watchdog.
const LOOK: Duration = Duration::from_secs(10);
/// Longest status, in characters.
const MOST_STATUS: usize = 200;

/// Recording has been set up; from now on the status follows, and the watchdog is answered while the recorder is alive.
pub fn ready(nvr: &Nvr, stop: &CancellationToken) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(nvr))]);
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        let (nvr, stop) = (nvr.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = watch(&nvr) => {}
            }
        });
    }
}

/// The configuration is being read again; [`reloaded`] is to follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(e) => tracing::warn!(error = %e, "the service manager is not told of a reload"),
    }
}

/// The reload is over, whatever came of it.
pub fn reloaded(nvr: &Nvr) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(nvr))]);
}

/// The end begins.
pub fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("closing the last segments"),
    ]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!(error = %e, "the service manager is not told");
    }
}

/// Four looks in the time of the watchdog: one that waits in vain for an answer still leaves time for the next.
async fn watch(nvr: &Nvr) {
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(LOOK, |time| time / 4);
    let mut told = String::new();
    loop {
        let silent = nvr.unresponsive(every).await;
        if silent.is_empty() {
            if watchdog.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
        } else {
            let names: Vec<&str> = silent.iter().map(nvr_core::CameraId::as_str).collect();
            tracing::error!(
                cameras = names.join(", "),
                "nothing looks after these cameras any more; the service manager is not told that the recorder is alive"
            );
        }
        let status = status(nvr);
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        nvr.clock().sleep(every).await;
    }
}

/// One line: how many cameras are recorded, and the first thing that is wrong.
fn status(nvr: &Nvr) -> String {
    let cameras = nvr.cameras();
    let recording = cameras
        .iter()
        .filter(|c| c.status().state.phase == CameraPhase::Recording)
        .count();
    let mut text = format!("recording {recording} of {} cameras", cameras.len());
    let health = nvr.health();
    if let Some(problem) = health.problems.first() {
        let whose = problem
            .camera
            .as_ref()
            .map_or_else(|| "recorder".to_owned(), ToString::to_string);
        text += &format!("; {whose}: {}", problem.cause.message);
        if health.problems.len() > 1 {
            text += &format!(" (and {} more)", health.problems.len() - 1);
        }
    }
    one_line(&text)
}

/// A message is lines of `KEY=value`: a line break within would begin another one.
fn one_line(text: &str) -> String {
    text.chars()
        .take(MOST_STATUS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_say_anything_else() {
        assert_eq!(one_line("front: gone\nWATCHDOG=1\r"), "front: gone WATCHDOG=1 ");
        assert_eq!(one_line(&"ä".repeat(500)).chars().count(), MOST_STATUS);
    }
}

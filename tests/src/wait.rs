//! Waiting for something to become true, with a deadline that turns a hang into a message.

use std::time::Duration;

use anyhow::bail;
use nvr_core::clock::{Clock as _, SystemClock};

/// Between two looks.
const POLL: Duration = Duration::from_millis(10);

/// Polls until `found` gives something, and hands it back.
///
/// # Errors
/// When nothing came within `limit`; the message says `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut found: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let clock = SystemClock::new();
    loop {
        if let Some(value) = found() {
            return Ok(value);
        }
        if clock.steady_ns() > nvr_core::time::duration_ns(limit) {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(POLL);
    }
}

/// Polls until `holds` is true.
///
/// # Errors
/// As of [`until`].
pub fn until_true(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    until(what, limit, || holds().then_some(()))
}

/// The same inside an async test.
///
/// # Errors
/// As of [`until`].
pub async fn until_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut found: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let clock = SystemClock::new();
    loop {
        if let Some(value) = found().await {
            return Ok(value);
        }
        if clock.steady_ns() > nvr_core::time::duration_ns(limit) {
            bail!("waited {limit:?} in vain for {what}");
        }
        clock.sleep(POLL).await;
    }
}

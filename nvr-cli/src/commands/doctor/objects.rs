//! Whether the network that finds objects can be used.

use nvr_core::clock::SystemClock;
use nvr_core::config::Config;
use nvr_core::objects::try_model;

use super::Finding;
use crate::commands::objects::about;

const SUBJECT: &str = "objects";

/// Nothing where nobody looks for objects.
pub async fn look(config: &Config) -> Option<Finding> {
    let objects = config.objects.clone().filter(|o| o.enabled)?;
    let file = objects.model.display().to_string();
    let tried = tokio::task::spawn_blocking(move || try_model(&objects, &[], &*SystemClock::shared())).await;
    Some(match tried {
        Ok(Ok(report)) => Finding::ok(SUBJECT, about(&file, &report)),
        Ok(Err(e)) => {
            let advice = e
                .hint()
                .unwrap_or("name another file as `model` in [objects]")
                .to_owned();
            Finding::warn(SUBJECT, format!("objects are not looked for: {e}"), advice)
        }
        Err(e) => Finding::warn(
            SUBJECT,
            format!("{file}: {e}"),
            "name another file as `model` in [objects]",
        ),
    })
}

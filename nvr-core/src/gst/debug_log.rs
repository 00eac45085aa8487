//! GStreamer's own log (`GST_DEBUG`), without secrets: elements tell locations, properties and messages as they are.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::redact::redact;

type Blot = dyn Fn(&str) -> String + Send + Sync;

/// Of pushes that go on: stream keys stand in sentences and in dumps, where nothing tells them from other words. The log is
/// one for the process, and so is this.
static KNOWN: Mutex<Vec<Weak<Blot>>> = Mutex::new(Vec::new());

/// Keeps something out of the log while this or a clone of it lives.
#[derive(Clone)]
pub(super) struct KeptOut {
    _blot: Arc<Blot>,
}

impl std::fmt::Debug for KeptOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Has every line of the log go through this.
pub(super) fn keep_out(blot: &Arc<Blot>) -> KeptOut {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|k| k.strong_count() > 0);
    known.push(Arc::downgrade(blot));
    KeptOut {
        _blot: Arc::clone(blot),
    }
}

pub(super) fn without_known(text: String) -> String {
    let known: Vec<_> = KNOWN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter_map(Weak::upgrade)
        .collect();
    known.iter().fold(text, |text, blot| blot(&text))
}

/// Writes GStreamer's log in place of GStreamer, to where it would have gone (`GST_DEBUG_FILE`, the standard error), with
/// secrets blotted out. Does nothing unless `GST_DEBUG` asks for a log. For programs, once, before the first recorder: the
/// log is one for the whole process.
///
/// # Errors
/// As of [`init`](super::init).
pub fn redact_debug_log() -> crate::Result<()> {
    if std::env::var_os("GST_DEBUG").is_none_or(|v| v.is_empty()) {
        return Ok(());
    }
    super::init()?;
    let file = std::env::var_os("GST_DEBUG_FILE").filter(|f| !f.is_empty() && f != "-");
    // GStreamer has made it.
    let file = file.and_then(|f| std::fs::OpenOptions::new().append(true).open(f).ok());
    let file = file.map(Mutex::new);
    gst::log::remove_default_log_function();
    gst::log::add_log_function(move |category, level, source, function, line, object, message| {
        let said = message.get();
        let text = format!(
            "{} {:<7} {:>20} {source}:{line}:{function}:{} {}",
            gst::get_timestamp(),
            level.name(),
            category.name(),
            object.map(|o| format!("<{o}>")).unwrap_or_default(),
            said.as_deref().map_or("", |s| s.as_str()),
        );
        let text = without_known(text);
        let text = redact(&text);
        // A log that cannot be written has nowhere to say so.
        let _ = match &file {
            Some(file) => writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{text}"),
            None => writeln!(std::io::stderr().lock(), "{text}"),
        };
    });
    Ok(())
}

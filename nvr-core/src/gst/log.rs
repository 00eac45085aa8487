//! GStreamer's own log: handed on to `tracing`, and its thresholds.

use std::fmt;
use std::str::FromStr;

use super::guard::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::redact::redact;

/// Most categories in one list, and the longest name of one.
const MOST: usize = 32;
const MOST_NAME: usize = 64;
/// Beyond it whole buffers are printed, whatever they hold.
const MOST_LEVEL: u8 = 7;

/// Which categories of GStreamer's log are told in which detail: `rtspsrc:5,GST_STATES:4`, as in `GST_DEBUG`. `*` and `?`
/// stand for any letters of a name; levels go from 0 (nothing) over 1 (errors), 2 (warnings), 4 (notes) and 5 (debug) to 7
/// (everything).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PipelineLogLevels(Vec<(String, u8)>);

impl PipelineLogLevels {
    /// Whether no category is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for PipelineLogLevels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |part: &str| {
            let message = format!(
                "{:?} is no category of GStreamer with its level",
                part.chars().take(MOST_NAME).collect::<String>()
            );
            Error::new(ErrorKind::InvalidArgument, message).with_hint(
                "write CATEGORY:LEVEL with a level from 0 to 7, several with commas: rtspsrc:5,GST_STATES:4",
            )
        };
        let mut all = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, level) = part.rsplit_once(':').ok_or_else(|| wrong(part))?;
            let is_name = !name.is_empty()
                && name.len() <= MOST_NAME
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'*' | b'?'));
            match level.parse() {
                Ok(level) if is_name && level <= MOST_LEVEL => all.push((name.to_owned(), level)),
                _ => return Err(wrong(part)),
            }
        }
        if all.len() > MOST {
            let message = format!("more than {MOST} categories of GStreamer");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(Self(all))
    }
}

impl fmt::Display for PipelineLogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, level)) in self.0.iter().enumerate() {
            write!(f, "{}{name}:{level}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// GStreamer's log as records of `tracing`, of the target `gstreamer` and with the fields `category` and `element`. There is one GStreamer in a process, so there should be one of these: the program's, not a recorder's.
#[derive(Debug)]
pub struct PipelineLog {
    set: PipelineLogLevels,
}

impl PipelineLog {
    /// Hands GStreamer's log on from now on, in place of its lines on the standard error. Passwords of addresses and of
    /// headers are blotted out. Where `GST_DEBUG_FILE` names a file it goes there as well.
    ///
    /// # Errors
    /// `Unsupported` when GStreamer cannot be set up.
    pub fn hand_on() -> Result<Self> {
        super::init()?;
        if std::env::var_os("GST_DEBUG_FILE").is_some() {
            super::debug_log::redact_debug_log()?;
        } else {
            gst::log::remove_default_log_function();
        }
        gst::log::add_log_function(|category, level, _, _, _, object, message| {
            guarded("log", (), |_| {}, || tell(category, level, object, message));
        });
        Ok(Self {
            set: PipelineLogLevels::default(),
        })
    }

    /// What `GST_DEBUG` asks for from the start.
    #[must_use]
    pub fn from_environment() -> Option<String> {
        std::env::var("GST_DEBUG").ok().filter(|text| !text.is_empty())
    }

    /// Sets the thresholds of some categories; all others, and those of a call before, have the one they began with.
    pub fn set(&mut self, levels: &PipelineLogLevels) {
        for (name, _) in &self.set.0 {
            gst::log::unset_threshold_for_name(name);
        }
        if let Some(text) = Self::from_environment() {
            gst::log::set_threshold_from_string(&text, false);
        }
        for (name, level) in &levels.0 {
            gst::log::set_threshold_for_name(name, level_of(*level));
        }
        self.set = levels.clone();
    }
}

fn level_of(level: u8) -> gst::DebugLevel {
    use gst::DebugLevel as L;
    [
        L::None,
        L::Error,
        L::Warning,
        L::Fixme,
        L::Info,
        L::Debug,
        L::Log,
        L::Trace,
    ]
    .get(usize::from(level))
    .copied()
    .unwrap_or(L::Trace)
}

fn tell(
    category: gst::DebugCategory,
    level: gst::DebugLevel,
    object: Option<&gst::log::LoggedObject>,
    message: &gst::DebugMessage,
) {
    use gst::DebugLevel as L;
    let category = category.name();
    let element = object.map(ToString::to_string);
    let element = element.as_deref().map(|text| text.trim_matches(['<', '>']));
    let text = message.get().unwrap_or_default();
    let text = super::debug_log::without_known(text.as_str().to_owned());
    let text = redact(&text);
    // An ERROR of the recorder's log means that video was lost, which GStreamer cannot know.
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(target: "gstreamer", category, element, "{text}")
        };
    }
    match level {
        L::Error | L::Warning => tell!(warn),
        L::Fixme | L::Info => tell!(info),
        L::Debug => tell!(debug),
        _ => tell!(trace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_shown() {
        let levels: PipelineLogLevels = " rtspsrc:5, GST_*:2 ,".parse().unwrap();
        assert_eq!(levels.to_string(), "rtspsrc:5,GST_*:2");
        assert!("".parse::<PipelineLogLevels>().unwrap().is_empty());
        let many = "a:1,".repeat(33);
        for bad in [
            "5",
            "rtspsrc",
            "rtspsrc:8",
            ":3",
            "a b:3",
            "a:x",
            "a:-1",
            many.as_str(),
        ] {
            assert!(bad.parse::<PipelineLogLevels>().is_err(), "{bad}");
        }
    }
}

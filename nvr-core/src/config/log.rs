//! `[log]`: what is logged and how.

use super::reader::{Reader, Section, section};
use super::values::{Text, Word};
use crate::error::{Error, ErrorKind, Result};

/// What is logged and how.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LogConfig {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or `target=level` pairs, separated by commas
    /// (default `info`).
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".into(),
            format: LogFormat::Text,
        }
    }
}

/// The form of a line of the log.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

section! {
    /// What is logged to the standard error, and how.
    RawLog requires [] {
        /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or pairs such as
        /// `info,nvr_core::camera=debug`. The environment variable `NVR_LOG` comes first.
        filter: Text = "info",
        /// The form of a line.
        format: Word<LogFormat> = "text",
    }
}

impl LogConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Self {
        let raw = RawLog::read(reader, section);
        let mut out = Self::default();
        if let Some(at) = &raw.filter {
            if Self::check_filter(at.value.as_str()).is_ok() {
                at.value.as_str().clone_into(&mut out.filter);
            } else {
                reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`filter`: {} is not a filter", at.value.shown()),
                    Some(WANTED.into()),
                );
            }
        }
        if let Some(at) = &raw.format {
            out.format = at.value.0;
        }
        out
    }
}

/// Longest filter.
const MOST_FILTER: usize = 1000;
const WANTED: &str = "write error, warn, info, debug, trace or off, or target=level, separated by commas";

impl LogConfig {
    /// Whether a text is a filter of the log.
    ///
    /// # Errors
    /// `InvalidArgument` when it is none.
    pub fn check_filter(text: &str) -> Result<()> {
        if text.len() <= MOST_FILTER && text.split(',').all(is_directive) {
            return Ok(());
        }
        let shown: String = text.chars().take(100).collect();
        let message = format!("{shown:?} is not a filter of the log");
        Err(Error::new(ErrorKind::InvalidArgument, message).with_hint(WANTED))
    }
}

/// Whether a text is `level` or `target=level`.
fn is_directive(text: &str) -> bool {
    let (target, level) = text.trim().split_once('=').unwrap_or(("all", text.trim()));
    let target_ok = !target.is_empty()
        && target
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':' || b == b'-');
    target_ok && matches!(level, "error" | "warn" | "info" | "debug" | "trace" | "off")
}

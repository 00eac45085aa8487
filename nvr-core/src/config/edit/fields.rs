//! Mistakes in a change, each with the field that it is in.

use std::fmt;

use super::super::problem::{ConfigErrors, ConfigProblem, Severity};
use crate::error::{Error, ErrorKind};

/// One mistake in a change of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct FieldError {
    /// The field: section and key, entries of lists by their id or name (`cameras.front.source`); empty for a mistake
    /// of syntax in the file.
    pub path: String,
    /// What is wrong. Never holds a secret.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl FieldError {
    pub(crate) fn new(path: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}

/// All mistakes of a change, at least one. The source of an [`Error`] of kind `Config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldErrors(pub Vec<FieldError>);

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let lead = if i == 0 { "" } else { "; " };
            write!(f, "{lead}{}: {}", error.path, error.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}

impl From<FieldErrors> for Error {
    fn from(e: FieldErrors) -> Self {
        let n = e.0.len();
        let s = if n == 1 { "" } else { "s" };
        Self::new(ErrorKind::Config, format!("{n} mistake{s} in the change: {e}")).with_source(e)
    }
}

/// The names of the list sections' entries in the order of a text, to say `front` instead of `[0]`.
#[derive(Debug, Default)]
pub(super) struct Names(pub(super) Vec<(&'static str, Vec<Option<String>>)>);

impl Names {
    /// Those of a list section.
    pub(super) fn of(&self, section: &str) -> &[Option<String>] {
        let list = self.0.iter().find(|(name, _)| *name == section);
        list.map_or(&[], |(_, names)| names)
    }

    /// The path of a reader's key: `cameras[0].source` as `cameras.front.source`.
    pub(super) fn path(&self, key: &str) -> String {
        for (section, names) in &self.0 {
            let parts = key
                .strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('['))
                .and_then(|rest| rest.split_once(']'));
            let Some((index, rest)) = parts else { continue };
            let name = index
                .parse()
                .ok()
                .and_then(|i: usize| names.get(i).cloned().flatten());
            if let Some(name) = name {
                return format!("{section}.{name}{rest}");
            }
        }
        key.to_owned()
    }

    pub(super) fn field(&self, problem: &ConfigProblem) -> FieldError {
        let path = self.path(&problem.key);
        let message = if path.is_empty() {
            format!("line {}: {}", problem.line, problem.message)
        } else {
            problem.message.clone()
        };
        FieldError {
            path,
            message,
            hint: problem.hint.clone(),
        }
    }

    /// The errors of a reader; warnings are left out.
    pub(super) fn fields(&self, errors: &ConfigErrors) -> Vec<FieldError> {
        let is_error = |p: &&ConfigProblem| p.severity == Severity::Error;
        errors
            .problems()
            .iter()
            .filter(is_error)
            .map(|p| self.field(p))
            .collect()
    }
}

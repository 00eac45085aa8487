//! Changing the configuration file: a change given as JSON becomes a new text in which comments, order and everything
//! that was not named stay as they were.
//!
//! [`apply`] works on the text, [`mask`] keeps secrets out of what is shown and puts them back, [`file`] reads and
//! writes. The new text is read by the same reader as any other, so nothing is written that the recorder would refuse.

mod apply;
mod comments;
mod fields;
mod file;
mod lists;
mod mask;
#[cfg(test)]
mod tests;

pub use self::fields::{FieldError, FieldErrors};
pub use self::file::{ConfigFile, EditedConfig};
pub use self::mask::KEPT;
pub(super) use self::mask::is_secret;

/// Who changes the configuration, and so what they may say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EditOrigin {
    /// Somebody at this machine who could as well edit the file.
    Local,
    /// Somebody on the network. Variables (`${…}`) and `file:` sources are refused: they would show what is on this
    /// machine. References that stand in the file already may stay.
    Remote,
}

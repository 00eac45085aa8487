//! Telling somebody: rules, and the channels that messages go by.
//!
//! [`Engine`] is pure: it is told what is seen and answers what to say. [`Alerts`] keeps its memory in the index, so that a restart
//! neither tells twice nor forgets, and hands messages to a worker for each channel, which tries again until they are old.
//! Nothing here holds up the recorder. What is seen is gathered in `nvr/`.

mod channel;
mod delivery;
mod engine;
mod handle;
mod message;
mod rule;
mod saving;
mod size;
mod state;
pub mod template;
#[cfg(test)]
mod tests;

pub(crate) use self::channel::is_mail_address;
pub use self::channel::reach;
pub use self::delivery::ChannelStatus;
pub use self::engine::{Engine, Outcome, Seen};
pub use self::handle::Alerts;
pub(crate) use self::handle::{Parts, PictureSource};
pub use self::message::{Alert, Message, MessageKind};
pub use self::rule::{AlertKind, AlertRule, Severity};
pub use self::state::Mute;

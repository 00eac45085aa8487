//! Everything slow is a job: a row in one durable queue, done by one engine.
//!
//! A job has a kind, parameters, a priority and a time before which it does not start. The engine runs it within the
//! limits of its kind, tries again what failed, and goes on after a crash of the recorder with what was under way. What
//! a kind does is none of its business: kinds implement [`JobKind`] in rooms of their own.
//!
//! Pure here: [`schedule`] (what starts and what makes way), [`retry`] (pauses), [`crate::window`] (windows of the day).

mod attempt;
mod context;
mod engine;
pub mod export;
mod figures;
mod handle;
mod idle;
mod kind;
pub mod load;
mod made;
pub mod merge;
pub mod retry;
pub mod schedule;
#[cfg(test)]
mod tests;
pub mod timelapse;
pub mod verify;

pub use self::context::{JobContext, StopReason};
pub use self::engine::LoadSource;
pub(crate) use self::engine::Parts;
pub use self::figures::{CLASSES_S, Durations};
pub use self::handle::{Jobs, KindStatus};
pub use self::idle::IdleJobs;
pub use self::kind::{JobError, JobFuture, JobKind, JobOutcome, KindLimits, Origin, params_of};
pub(crate) use self::made::Maker;
pub use crate::event::JobState;
pub use crate::ids::JobId;
pub use crate::store::{Added, JobCount, JobQuery, JobRow, NewJob};
pub use crate::window::Windows;

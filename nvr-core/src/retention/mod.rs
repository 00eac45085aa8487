//! Retention: what is deleted, when, and in which order.
//!
//! [`plan`] and [`Watch`] are pure: they are told what there is and answer what is to go and which cameras pause.
//! [`Keeper`] is thin: it reads the index, deletes files, then rows. Nothing here looks for files: what the index does
//! not know is never touched.

mod keeper;
mod pass;
mod plan;
mod policy;
mod space;
mod stock;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;
pub(crate) use keeper::finish_cut_off;
pub use pass::{Deleted, DeletedSoFar, Pass};
pub use plan::{Deletion, Plan, Situation, plan};
pub use policy::{Policy, Rules, TierRules};
pub use space::{Change, Steps, Watch};
pub use stock::{Candidate, Class, Disk, List, Stock};

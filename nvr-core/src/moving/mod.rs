//! Old segments move to a second root: which (pure), the copy, the exchange, and what a crash left of it.
//!
//! The path of a segment is the same below both roots; its row says which one counts. Readers that have the old file
//! open keep it.

mod exchange;
mod kind;
mod policy;
#[cfg(test)]
mod tests;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::error::Result;
use crate::files::{Create, Root, RootOptions};
use crate::store::Store;

pub use exchange::{Step, settle};
pub use kind::{KIND, Moving};
pub use policy::{Rules, choose};

/// Key of the second root's id in the index.
pub(crate) const TREE: &str = "second_tree_id";

/// The second root of a configuration; it need not be there. The index tells it from an empty mount point.
///
/// # Errors
/// `Storage` or `Corrupt` when the index cannot be read.
pub(crate) fn second_root(config: &Config, store: &Store, clock: SharedClock) -> Result<Option<Root>> {
    let Some(tier) = &config.tier else {
        return Ok(None);
    };
    let expected = store.meta(TREE)?.map(|id| id.parse()).transpose()?;
    let options = RootOptions {
        create: Create::IfEmpty,
        expected,
        exclusive: true,
    };
    Ok(Some(Root::new(&tier.root, options, clock)))
}

/// Notes which tree the second root is, once it was there.
///
/// # Errors
/// `Storage` when the index cannot be written.
pub(crate) fn remember(store: &Store, root: &Root) -> Result<()> {
    if let Some(id) = root.id()
        && store.meta(TREE)?.is_none()
    {
        store.set_meta_blocking(TREE, &id.to_string())?;
    }
    Ok(())
}

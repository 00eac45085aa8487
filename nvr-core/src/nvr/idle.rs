//! Changes to the index while no recorder runs.

use std::sync::Arc;

use super::blocking;
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::files::{Create, Root, RootOptions};
use crate::store::{OpenMode, Store};

/// An index that is open for changes. As long as this lives, no recorder can start.
#[derive(Clone, Debug)]
pub(crate) struct Idle {
    pub store: Store,
    pub clock: SharedClock,
    /// Holds the recordings root, so that no recorder writes meanwhile.
    _root: Arc<Root>,
}

impl Idle {
    /// Opens the index of a configuration.
    ///
    /// # Errors
    /// `Conflict` when a recorder is running, `NotFound` when nothing was recorded there yet, `Storage` or `Corrupt`
    /// when root or index cannot be used.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let (recorder, clock) = (config.recorder.clone(), SystemClock::shared());
        blocking(move || {
            let options = RootOptions {
                create: Create::Never,
                expected: None,
                exclusive: true,
            };
            let root = Arc::new(Root::open(&recorder.root, options, clock.clone())?);
            // A look first: an index that is not there is not to be made here.
            Store::open(&recorder.database, OpenMode::ReadOnly)
                .map(drop)
                .or_else(|e| {
                    // Of an older version: it is upgraded by what follows.
                    if e.kind() == ErrorKind::Conflict {
                        Ok(())
                    } else {
                        Err(e)
                    }
                })?;
            let store = Store::open(&recorder.database, OpenMode::ReadWrite)?;
            Ok(Self {
                store,
                clock,
                _root: root,
            })
        })
        .await
    }
}

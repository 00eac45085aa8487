//! The bookings while no recorder runs: for tools. Nothing is recorded then; what is due is done by the next start.

use std::ops::Deref;
use std::sync::Arc;

use super::Bookings;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::error::Result;
use crate::files::{Create, Root, RootOptions};
use crate::nvr::blocking;
use crate::store::{OpenMode, Store};

/// The bookings while no recorder runs. As long as this lives, none can start.
#[derive(Clone, Debug)]
pub struct IdleBookings {
    bookings: Bookings,
    /// Holds the recordings root, so that no recorder writes meanwhile.
    _root: Arc<Root>,
}

impl Deref for IdleBookings {
    type Target = Bookings;
    fn deref(&self) -> &Bookings {
        &self.bookings
    }
}

impl IdleBookings {
    /// Opens the bookings of a configuration for changes.
    ///
    /// # Errors
    /// `Conflict` when a recorder is running, `NotFound` when nothing was recorded there yet, `Storage` or `Corrupt`
    /// when root or index cannot be used.
    pub async fn open(config: &Config) -> Result<Self> {
        let (recorder, clock) = (config.recorder.clone(), SystemClock::shared());
        blocking(move || {
            let options = RootOptions {
                create: Create::Never,
                expected: None,
                exclusive: true,
            };
            let root = Arc::new(Root::open(&recorder.root, options, clock.clone())?);
            // A look first: an index that is not there is not to be made here.
            if !recorder.database.exists() {
                Store::open(&recorder.database, OpenMode::ReadOnly)?;
            }
            let store = Store::open(&recorder.database, OpenMode::ReadWrite)?;
            Ok(Self {
                bookings: Bookings::of(store, clock),
                _root: root,
            })
        })
        .await
    }

    /// Closes the index in order.
    ///
    /// # Errors
    /// `Storage` when what was written last could not be.
    pub async fn close(self) -> Result<()> {
        self.bookings.store.shutdown().await
    }
}

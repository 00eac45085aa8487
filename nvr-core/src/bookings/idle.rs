//! The bookings while no recorder runs: for tools. Nothing is recorded then; what is due is done by the next start.

use std::ops::Deref;

use super::Bookings;
use crate::config::Config;
use crate::error::Result;
use crate::nvr::Idle;

/// The bookings while no recorder runs. As long as this lives, none can start.
#[derive(Clone, Debug)]
pub struct IdleBookings {
    bookings: Bookings,
    idle: Idle,
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
        let idle = Idle::open(config).await?;
        let bookings = Bookings::of(idle.store.clone(), idle.clock.clone());
        Ok(Self { bookings, idle })
    }

    /// Closes the index in order.
    ///
    /// # Errors
    /// `Storage` when what was written last could not be.
    pub async fn close(self) -> Result<()> {
        self.idle.store.shutdown().await
    }
}

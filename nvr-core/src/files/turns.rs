//! Whose turn it is to take files of segments away below a root, or to put others in their place: one at a time, and
//! below the second root not for ever.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::segment::Tier;

/// How long a turn below the second root is waited for: whoever has it may hang with that disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The turns of both roots.
#[derive(Debug, Default)]
pub(super) struct Turns {
    first: Place,
    second: Place,
}

#[derive(Debug, Default)]
struct Place {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// The turn below a root, given back when it is dropped: nobody else deletes segments there, or exchanges their files,
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    place: &'a Place,
    tier: Tier,
}

impl Turn<'_> {
    /// Below which root.
    pub(crate) const fn tier(&self) -> Tier {
        self.tier
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.place.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.place.freed.notify_one();
    }
}

impl Turns {
    /// Waits for a turn.
    ///
    /// # Errors
    /// `Unavailable` when the one below the second root does not come.
    pub(super) fn take(&self, tier: Tier) -> Result<Turn<'_>> {
        let place = match tier {
            Tier::First => &self.first,
            Tier::Second => &self.second,
        };
        let taken = place.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = match tier {
            Tier::First => place
                .freed
                .wait_while(taken, |taken| *taken)
                .unwrap_or_else(PoisonError::into_inner),
            Tier::Second => {
                place
                    .freed
                    .wait_timeout_while(taken, PATIENCE, |taken| *taken)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        if *taken {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the disk of the second root does not answer: what is done there is not over",
            )
            .with_hint("look at that disk; nothing else has to wait for it"));
        }
        *taken = true;
        drop(taken);
        Ok(Turn { place, tier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_root_has_its_own_and_the_second_is_not_waited_for_in_vain() {
        let turns = Turns::default();
        let second = turns.take(Tier::Second).unwrap();
        let first = turns.take(Tier::First).unwrap();
        assert_eq!((first.tier(), second.tier()), (Tier::First, Tier::Second));
        assert_eq!(
            turns.take(Tier::Second).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        std::thread::scope(|s| {
            let waits = s.spawn(|| turns.take(Tier::First).map(drop));
            drop(first);
            waits.join().unwrap().unwrap();
        });
        drop(second);
        turns.take(Tier::Second).unwrap();
    }
}

//! Who wants a camera to be recorded, from when and until when. Pure.
//!
//! A camera that is not recorded continuously is recorded while anybody wants it: somebody by hand, a booking, a
//! detection. All of them share one session that reads along with the camera's stream.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::time::{Timestamp, duration_ns};

/// So long before its beginning a wish connects a camera that is not connected otherwise.
pub const READY_BEFORE: Duration = Duration::from_secs(20);
/// So much of the past is kept while somebody wants the camera: the beginning of a wish is met however late the camera's
/// task looks, and its frame's group of pictures is whole.
pub(super) const KEPT: Duration = Duration::from_secs(5);

/// Who wants a camera to be recorded. One who wants it again changes what he wanted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum WishId {
    /// Somebody, by hand. Counted and limited by `max_manual`, and only in manual mode: see
    /// [`Camera::record`](crate::Camera::record).
    Hand,
    /// A booking, by its id.
    Booking(i64),
    /// What noticed something, by a name of its own (`motion`, `api:door`).
    Detection(String),
}

impl WishId {
    /// Why the camera is recorded, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Hand => "recorded by hand".to_owned(),
            Self::Booking(_) => "recorded for a booking".to_owned(),
            Self::Detection(name) => format!("recorded because of {name}"),
        }
    }
}

impl fmt::Display for WishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hand => f.write_str("hand"),
            Self::Booking(id) => write!(f, "booking {id}"),
            Self::Detection(name) => write!(f, "detection {name}"),
        }
    }
}

/// That a camera is to be recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Who wants it.
    pub id: WishId,
    /// From when on, by the wall clock. One in the past is met as far as the camera's memory reaches, from the keyframe
    /// at or before it; one ahead connects the camera [`READY_BEFORE`] it and records at that instant.
    pub from: Timestamp,
    /// When it is over by itself; without it, when it is taken back.
    pub until: Option<Timestamp>,
}

/// A wish as the actor holds it: by the steady clock, which no step of the wall clock moves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Held {
    pub(super) from_ns: i64,
    pub(super) until_ns: Option<i64>,
}

/// All that want a camera.
#[derive(Debug, Default)]
pub(super) struct Wishes(BTreeMap<WishId, Held>);

impl Wishes {
    /// One more, or another version of one that is there. `now` and `steady_ns` are the same instant.
    pub(super) fn put(&mut self, wish: Wish, now: Timestamp, steady_ns: i64) {
        let steady = |t: Timestamp| steady_ns.saturating_add(t.since(now));
        let held = Held {
            from_ns: steady(wish.from),
            until_ns: wish.until.map(steady),
        };
        self.0.insert(wish.id, held);
    }

    pub(super) fn take(&mut self, id: &WishId) -> bool {
        self.0.remove(id).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn ids(&self) -> Vec<WishId> {
        self.0.keys().cloned().collect()
    }

    /// Forgets those whose time is over; tells which.
    pub(super) fn expire(&mut self, steady_ns: i64) -> Vec<WishId> {
        let over = self.0.extract_if(.., |_, held| {
            held.until_ns.is_some_and(|until| steady_ns >= until)
        });
        over.map(|(id, _)| id).collect()
    }

    /// Whether the camera has to be connected: something is wanted now, or in a moment.
    pub(super) fn connects(&self, steady_ns: i64) -> bool {
        let soon = steady_ns.saturating_add(duration_ns(READY_BEFORE));
        self.0.values().any(|held| held.from_ns <= soon)
    }

    /// Whether it is to be recorded now.
    pub(super) fn holds(&self, steady_ns: i64) -> bool {
        self.0.values().any(|held| held.from_ns <= steady_ns)
    }

    /// Whether a booking wants it now.
    pub(super) fn booked(&self, steady_ns: i64) -> bool {
        self.0
            .iter()
            .any(|(id, held)| matches!(id, WishId::Booking(_)) && held.from_ns <= steady_ns)
    }

    /// The first of those that hold, for words.
    pub(super) fn first(&self, steady_ns: i64) -> Option<&WishId> {
        self.0
            .iter()
            .find_map(|(id, held)| (held.from_ns <= steady_ns).then_some(id))
    }

    /// How far back a recording that begins now has to reach.
    pub(super) fn back(&self, steady_ns: i64) -> Duration {
        let back = self
            .0
            .values()
            .map(|held| steady_ns.saturating_sub(held.from_ns))
            .max();
        Duration::from_nanos(back.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NS_PER_S;

    const S: i64 = NS_PER_S;

    fn wish(id: WishId, from_s: i64, until_s: Option<i64>) -> Wish {
        Wish {
            id,
            from: Timestamp::from_secs(from_s),
            until: until_s.map(Timestamp::from_secs),
        }
    }

    #[test]
    fn a_wish_connects_before_it_holds_and_is_over_by_itself() {
        let mut wishes = Wishes::default();
        // The steady clock shows 7 s when the wall clock shows 1000 s.
        wishes.put(
            wish(WishId::Booking(1), 1100, Some(1160)),
            Timestamp::from_secs(1000),
            7 * S,
        );
        let at = |wall: i64| (wall - 993) * S;
        assert!(!wishes.connects(at(1079)));
        assert!(wishes.connects(at(1080)) && !wishes.holds(at(1099)));
        assert!(wishes.holds(at(1100)) && wishes.booked(at(1100)));
        assert_eq!(wishes.back(at(1101)), Duration::from_secs(1));
        assert_eq!(wishes.first(at(1101)), Some(&WishId::Booking(1)));
        assert!(wishes.expire(at(1160) - 1).is_empty());
        assert_eq!(wishes.expire(at(1160)), [WishId::Booking(1)]);
        assert!(!wishes.connects(at(1160)));
    }

    #[test]
    fn one_holds_while_another_is_over_and_the_newest_version_counts() {
        let mut wishes = Wishes::default();
        let now = Timestamp::from_secs(0);
        wishes.put(wish(WishId::Hand, 0, Some(10)), now, 0);
        wishes.put(wish(WishId::Detection("motion".into()), -3, Some(5)), now, 0);
        assert_eq!(wishes.back(0), Duration::from_secs(3));
        assert_eq!(wishes.expire(5 * S).len(), 1);
        assert!(wishes.holds(5 * S) && !wishes.booked(5 * S));
        wishes.put(wish(WishId::Hand, 0, Some(20)), Timestamp::from_secs(9), 9 * S);
        assert!(wishes.expire(10 * S).is_empty());
        assert!(wishes.take(&WishId::Hand) && !wishes.take(&WishId::Hand));
        assert!(!wishes.holds(0));
    }
}

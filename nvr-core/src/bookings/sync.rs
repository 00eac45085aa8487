//! What a new version of a calendar changes of its bookings. Pure.

use std::collections::HashMap;

use super::ical::CalendarEvent;
use super::{Booking, BookingSpec, Step};
use crate::convert::Layout;
use crate::ids::CameraId;
use crate::time::Timestamp;

/// What events of a calendar become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Which cameras.
    pub cameras: Vec<CameraId>,
    /// What becomes of the footage.
    pub then: Vec<Step>,
    /// So long after its end, in seconds, footage is kept.
    pub keep_footage_s: u64,
}

/// What is to be done so that the bookings are as the calendar says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// UIDs that are new, with what is to be booked.
    pub add: Vec<(String, BookingSpec)>,
    /// Bookings that differ, with what they are to be.
    pub change: Vec<(i64, BookingSpec)>,
    /// Bookings whose event is gone.
    pub cancel: Vec<i64>,
}

impl Changes {
    /// Whether all is as it should be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The booking of an event.
#[must_use]
pub fn spec(event: &CalendarEvent, rules: &Rules) -> BookingSpec {
    BookingSpec {
        title: event.title.clone(),
        who: event.who.clone(),
        cameras: rules.cameras.clone(),
        start: event.range.start(),
        end: event.range.end(),
        zone: event.zone.clone(),
        repeat: event.rule.clone(),
        except: event.except.clone(),
        then: rules.then.clone(),
        layout: Layout::default(),
        sound: None,
        keep_footage_s: rules.keep_footage_s,
    }
}

/// Compares the events of a calendar with the bookings that were made of it. What is over stays as it is.
#[must_use]
pub fn changes(bookings: &[Booking], events: &[CalendarEvent], rules: &Rules, now: Timestamp) -> Changes {
    let mut known: HashMap<&str, &Booking> = HashMap::new();
    for booking in bookings {
        if let Some(uid) = &booking.uid {
            known.insert(uid, booking);
        }
    }
    let mut out = Changes::default();
    for event in events {
        let wanted = spec(event, rules);
        match known.remove(event.uid.as_str()) {
            // What was called off here stays so until its event changes.
            Some(booking) if !booking.withdrawn && booking.spec == wanted => {}
            Some(_) | None if event.is_past(now) || wanted.check().is_err() => {}
            Some(booking) => out.change.push((booking.id, wanted)),
            None => out.add.push((event.uid.clone(), wanted)),
        }
    }
    let gone = known.into_values().filter(|b| {
        let comes = b.spec.series().is_ok_and(|s| s.next(now).is_some());
        b.cancelled.is_none() && comes
    });
    out.cancel = gone.map(|b| b.id).collect();
    out.cancel.sort_unstable();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::TimeRange;

    fn event(uid: &str, from: i64) -> CalendarEvent {
        CalendarEvent {
            uid: uid.into(),
            title: uid.into(),
            who: None,
            range: TimeRange::new(Timestamp::from_secs(from), Timestamp::from_secs(from + 60)).unwrap(),
            zone: "UTC".into(),
            rule: None,
            except: Vec::new(),
        }
    }

    #[test]
    fn a_calendar_and_its_bookings() {
        let rules = Rules {
            cameras: vec![CameraId::new("front").unwrap()],
            then: Vec::new(),
            keep_footage_s: 0,
        };
        let now = Timestamp::from_secs(1000);
        let first = changes(
            &[],
            &[event("past", 100), event("next", 2000), event("later", 3000)],
            &rules,
            now,
        );
        assert_eq!(
            first.add.iter().map(|a| a.0.as_str()).collect::<Vec<_>>(),
            ["next", "later"]
        );
        let mut bookings: Vec<_> = first
            .add
            .into_iter()
            .zip(1..)
            .map(|((uid, spec), id)| Booking {
                id,
                spec,
                calendar: Some("team".into()),
                uid: Some(uid),
                created: now,
                created_by: None,
                cancelled: None,
                withdrawn: false,
            })
            .collect();
        let same = [event("next", 2000), event("later", 3000)];
        assert!(changes(&bookings, &same, &rules, now).is_empty());
        let moved = changes(&bookings, &[event("next", 2500)], &rules, now);
        assert_eq!(
            (moved.change.len(), moved.change[0].0, &moved.cancel[..]),
            (1, 1, &[2][..])
        );
        // Gone after it was over: it is history.
        assert!(changes(&bookings, &[], &rules, Timestamp::from_secs(9000)).is_empty());
        // Called off here it stays so, called off by the calendar it comes back with it.
        bookings[0].cancelled = Some(now);
        assert!(changes(&bookings, &same, &rules, now).is_empty());
        bookings[0].withdrawn = true;
        assert_eq!(changes(&bookings, &same, &rules, now).change.len(), 1);
        assert!(changes(&bookings, &same[1..], &rules, now).is_empty());
    }
}

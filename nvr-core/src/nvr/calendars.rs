//! Calendars that are polled: their events become bookings; while one cannot be had, its last good copy counts.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, blocking};
use crate::bookings::sync::{Rules, changes};
use crate::bookings::{Booking, CalendarStatus, Fetched, Fetcher, ical};
use crate::config::CalendarConfig;
use crate::error::{Error, Result};
use crate::event::{Cause, CauseKind, EventKind};
use crate::store::CalendarRow;
use crate::time::{Timestamp, duration_ns};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(1);
/// How soon one that could not be had is asked for again, at the latest.
const AGAIN: Duration = Duration::from_secs(60);

/// A calendar as the worker knows it.
struct Known {
    config: CalendarConfig,
    copy: Option<CalendarRow>,
    due_at_ns: i64,
}

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut fetcher = None;
    let mut said = String::new();
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let clock = inner.context.clock.clone();
        // A server that takes its time must not hold up the end.
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = inner.look_after_calendars(&mut known, &mut fetcher) => done,
        };
        match done {
            Ok(()) => said.clear(),
            Err(e) => {
                let now = e.to_string();
                if now != said {
                    tracing::warn!(error = %e, "calendars cannot be looked after now");
                    said = now;
                }
            }
        }
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.tick(LOOK) => {}
        }
    }
}

impl Inner {
    async fn look_after_calendars(
        &self,
        known: &mut HashMap<String, Known>,
        fetcher: &mut Option<Fetcher>,
    ) -> Result<()> {
        let config = self.config();
        self.forget_calendars(known, &config.calendars).await?;
        for calendar in &config.calendars {
            let steady = self.context.clock.steady_ns();
            if known.get(&calendar.name).is_none_or(|k| k.config != *calendar) {
                let (store, name) = (self.context.store.clone(), calendar.name.clone());
                let copies = blocking(move || store.calendars()).await?;
                // That of another address is of no use.
                let copy = copies
                    .into_iter()
                    .find(|c| c.name == name && c.url == calendar.url);
                if let Some(copy) = &copy {
                    // Cameras and steps may have changed since.
                    let body = copy.body.clone();
                    self.use_calendar(calendar, &body, copy.fetched).await?;
                }
                known.insert(
                    calendar.name.clone(),
                    Known {
                        config: calendar.clone(),
                        copy,
                        due_at_ns: steady,
                    },
                );
            }
            let Some(one) = known.get_mut(&calendar.name).filter(|k| steady >= k.due_at_ns) else {
                continue;
            };
            if fetcher.is_none() {
                *fetcher = Some(Fetcher::new(self.context.clock.clone())?);
            }
            let Some(fetcher) = fetcher.as_ref() else { continue };
            let asked = self.poll_calendar(fetcher, one).await;
            let pause = if asked.is_ok() {
                calendar.poll
            } else {
                calendar.poll.min(AGAIN)
            };
            one.due_at_ns = self.context.clock.steady_ns().saturating_add(duration_ns(pause));
            self.tell_calendar(calendar, asked.err()).await;
        }
        Ok(())
    }

    async fn poll_calendar(&self, fetcher: &Fetcher, one: &mut Known) -> Result<()> {
        let copy = one.copy.as_ref();
        let etag = copy.and_then(|c| c.etag.clone());
        let modified = copy.and_then(|c| c.modified.clone());
        let fetched = fetcher
            .fetch(&one.config, etag.as_deref(), modified.as_deref())
            .await?;
        let now = self.context.clock.now();
        match fetched {
            Fetched::Same => {
                if let Some(copy) = &mut one.copy {
                    copy.fetched = now;
                    self.context.store.set_calendar(copy.clone()).await?;
                }
                self.bookings.with_calendars(|all| {
                    if let Some(status) = all.get_mut(&one.config.name) {
                        status.fetched = Some(now);
                    }
                });
            }
            Fetched::New { body, etag, modified } => {
                // Only a good copy takes the place of the last.
                self.use_calendar(&one.config, &body, now).await?;
                let row = CalendarRow {
                    name: one.config.name.clone(),
                    url: one.config.url.clone(),
                    etag,
                    modified,
                    body,
                    fetched: now,
                };
                self.context.store.set_calendar(row.clone()).await?;
                one.copy = Some(row);
            }
        }
        Ok(())
    }

    /// Makes the bookings what the calendar says.
    async fn use_calendar(&self, config: &CalendarConfig, body: &str, fetched: Timestamp) -> Result<()> {
        let zone = self.config().recorder.time_zone.clone();
        let now = self.context.clock.now();
        let rules = Rules {
            cameras: config.cameras.clone(),
            then: config.then.clone(),
            keep_footage_s: config.keep_footage.as_secs(),
        };
        let name = config.name.clone();
        let mine = self.of_calendar(&name).await?;
        let text = body.to_owned();
        let (problems, changes, mine) = blocking(move || {
            let read = ical::read(&text, &zone)?;
            let changes = changes(&mine, &read.events, &rules, now);
            Ok((read.problems, changes, mine))
        })
        .await?;
        for (uid, spec) in changes.add {
            let booking = Booking {
                id: 0,
                spec,
                calendar: Some(name.clone()),
                uid: Some(uid),
                created: now,
                created_by: None,
                cancelled: None,
                withdrawn: false,
            };
            self.bookings.enter(&booking, None).await?;
        }
        for (id, spec) in changes.change {
            if let Some(before) = mine.iter().find(|b| b.id == id) {
                let booking = Booking {
                    spec,
                    cancelled: None,
                    withdrawn: false,
                    ..before.clone()
                };
                self.bookings.write(&booking, None).await?;
            }
        }
        for id in changes.cancel {
            if let Some(before) = mine.iter().find(|b| b.id == id) {
                self.withdraw(before, now).await?;
            }
        }
        self.bookings.with_calendars(|all| {
            let status = all.entry(name.clone()).or_insert_with(|| CalendarStatus {
                name,
                fetched: None,
                trouble: None,
                problems: Vec::new(),
            });
            status.fetched = Some(fetched);
            status.problems = problems;
        });
        Ok(())
    }

    /// Its event is gone.
    async fn withdraw(&self, booking: &Booking, now: Timestamp) -> Result<()> {
        let booking = Booking {
            cancelled: Some(now),
            withdrawn: true,
            ..booking.clone()
        };
        self.bookings.write(&booking, None).await
    }

    async fn of_calendar(&self, name: &str) -> Result<Vec<Booking>> {
        let mut all = self.bookings.all().await?;
        all.retain(|b| b.calendar.as_deref() == Some(name));
        Ok(all)
    }

    /// The bookings of calendars that are not configured any more are called off.
    async fn forget_calendars(
        &self,
        known: &mut HashMap<String, Known>,
        now: &[CalendarConfig],
    ) -> Result<()> {
        let is_there = |name: &str| now.iter().any(|c| c.name == name);
        let store = self.context.store.clone();
        if known.is_empty() || known.keys().any(|name| !is_there(name)) {
            let copies = blocking(move || store.calendars()).await?;
            for copy in copies.into_iter().filter(|c| !is_there(&c.name)) {
                for booking in self.of_calendar(&copy.name).await? {
                    let comes = booking.spec.series()?.next(self.context.clock.now()).is_some();
                    if comes && booking.cancelled.is_none() {
                        self.withdraw(&booking, self.context.clock.now()).await?;
                    }
                }
                self.context.store.delete_calendar(copy.name.clone()).await?;
            }
            known.retain(|name, _| is_there(name));
            self.bookings
                .with_calendars(|all| all.retain(|name, _| is_there(name)));
        }
        Ok(())
    }

    /// Notes that it could be had, or not; told once.
    async fn tell_calendar(&self, config: &CalendarConfig, error: Option<Error>) {
        let now = self.context.clock.now();
        let name = config.name.clone();
        let news = self.bookings.with_calendars(|all| {
            let status = all.entry(name.clone()).or_insert_with(|| CalendarStatus {
                name: name.clone(),
                fetched: None,
                trouble: None,
                problems: Vec::new(),
            });
            match error {
                Some(e) => {
                    let message = format!("the calendar {name}: {e}");
                    let cause = Cause::new(CauseKind::Unreachable, message);
                    let since = status.trouble.as_ref().map(|(since, _)| *since);
                    status.trouble = Some((since.unwrap_or(now), cause.clone()));
                    since.is_none().then_some(EventKind::CalendarTrouble {
                        calendar: name,
                        cause,
                    })
                }
                None => status
                    .trouble
                    .take()
                    .map(|(since, _)| EventKind::CalendarRecovered {
                        calendar: name,
                        since,
                    }),
            }
        });
        if let Some(kind) = news {
            if let EventKind::CalendarTrouble { cause, .. } = &kind {
                tracing::warn!("{}; its last good copy counts", cause.message);
            }
            self.bookings.publish(kind).await;
        }
    }
}

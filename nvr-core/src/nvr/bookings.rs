//! Bookings at work: cameras are wanted while they last, footage is kept, what follows is entered as jobs.

use std::collections::{HashMap, HashSet};
use std::sync::Weak;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr, blocking};
use crate::bookings::recur::Series;
use crate::bookings::state::{self, Due};
use crate::bookings::{Booking, BookingState, BookingWarning, Bookings, Run, RunDetail};
use crate::camera::{Wish, WishId};
use crate::config::RecordMode;
use crate::error::Result;
use crate::ids::CameraId;
use crate::store::{SegmentQuery, SegmentState};
use crate::time::{NS_PER_S, TimeRange, Timestamp, duration_ns};

/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often the bookings are read again though nobody changed them, and what is over is forgotten.
const READ: Duration = Duration::from_secs(300);
/// Occurrences are computed so far back and ahead. What passed unseen longer ago is not noted as expired.
const BACK_NS: i64 = 7 * 86_400 * NS_PER_S;
const AHEAD_NS: i64 = 86_400 * NS_PER_S;
/// How often the segments of a booking that lasts are protected, and how often its jobs are asked for.
const CARE: Duration = Duration::from_secs(5);

impl Nvr {
    /// Bookings: intervals in which cameras are recorded whatever their mode.
    #[must_use]
    pub fn bookings(&self) -> Bookings {
        self.0.bookings.clone()
    }
}

/// What the worker knows from one look to the next.
#[derive(Default)]
pub(super) struct Looks {
    pub(super) bookings: HashMap<i64, (Booking, Vec<TimeRange>)>,
    pub(super) runs: HashMap<(i64, Timestamp), Run>,
    read_at_ns: Option<i64>,
    care_at_ns: i64,
    /// Cameras that were told of a booking.
    wanted: HashMap<i64, HashSet<CameraId>>,
    /// Occurrences that are over, and when that was first seen.
    settling: HashMap<(i64, Timestamp), Timestamp>,
    fault: String,
}

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    let mut looks = Looks::default();
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        match inner.look_after_bookings(&mut looks).await {
            Ok(()) => looks.fault.clear(),
            Err(e) => {
                // The cameras go on with what they were told; it is tried again at the next look.
                looks.read_at_ns = None;
                let fault = e.to_string();
                if looks.fault != fault {
                    tracing::warn!(error = %e, "bookings cannot be looked after now");
                    looks.fault = fault;
                }
            }
        }
        let (clock, changed) = (inner.context.clock.clone(), inner.bookings.changed.clone());
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => looks.read_at_ns = None,
            () = clock.tick(LOOK) => {}
        }
    }
}

impl Inner {
    async fn look_after_bookings(&self, looks: &mut Looks) -> Result<()> {
        let clock = &self.context.clock;
        let (now, steady) = (clock.now(), clock.steady_ns());
        if looks.read_at_ns.is_none_or(|at| steady >= at) {
            self.read_bookings(looks, now).await?;
            looks.read_at_ns = Some(steady.saturating_add(duration_ns(READ)));
        }
        let care = steady >= looks.care_at_ns;
        if care {
            looks.care_at_ns = steady.saturating_add(duration_ns(CARE));
        }
        let mut due = Vec::new();
        for (booking, ranges) in looks.bookings.values() {
            for range in ranges {
                let kept = looks.runs.get(&(booking.id, range.start()));
                let state = kept.map(|r| r.state);
                if booking.cancelled.is_some() && state.is_none() {
                    continue;
                }
                // It may end sooner or later than when it began.
                due.push((booking.id, *range, state, state::due(state, *range, now)));
            }
        }
        // What began and is no longer among the occurrences: the booking was changed or is gone.
        for (key, run) in &looks.runs {
            let listed = looks
                .bookings
                .get(&key.0)
                .is_some_and(|(_, ranges)| ranges.iter().any(|r| r.start() == key.1));
            if !listed && !run.state.is_over() {
                let what = if run.state == BookingState::Processing {
                    Due::Process
                } else {
                    Due::Settle
                };
                due.push((key.0, run.range, Some(run.state), what));
            }
        }
        self.want_booked(looks, &due);
        for (id, range, _, what) in due {
            match what {
                Due::Nothing | Due::Ready => {}
                Due::Record => self.record_booked(looks, id, range, care, now).await?,
                Due::Settle => self.settle_booked(looks, id, range, now).await?,
                Due::Process if care => self.process_booked(looks, id, range, now).await?,
                Due::Process => {}
                Due::Expire => {
                    let warning = BookingWarning {
                        camera: None,
                        message: "no recorder ran while it lasted".to_owned(),
                    };
                    self.set_booked(looks, id, range, BookingState::Expired, vec![warning], now)
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn read_bookings(&self, looks: &mut Looks, now: Timestamp) -> Result<()> {
        let store = self.context.store.clone();
        let keep = duration_ns(self.config().bookings.keep);
        let window = TimeRange::new(now.add_ns(-BACK_NS), now.add_ns(AHEAD_NS))?;
        type Read = (
            HashMap<i64, (Booking, Vec<TimeRange>)>,
            HashMap<(i64, Timestamp), Run>,
        );
        let (bookings, runs): Read = blocking(move || {
            let mut runs = HashMap::new();
            let rows = store.booking_runs(None, window)?;
            for row in rows.iter().chain(&store.live_booking_runs()?) {
                let run = Run::of(row)?;
                runs.insert((run.booking, run.range.start()), run);
            }
            let mut bookings = HashMap::new();
            for row in store.bookings(now.add_ns(-BACK_NS))? {
                let booking = Booking::of(row)?;
                let series: Series = booking.spec.series()?;
                let mut ranges = series.within(window);
                ranges.retain(|r| r.end() > booking.created);
                bookings.insert(booking.id, (booking, ranges));
            }
            Ok((bookings, runs))
        })
        .await?;
        looks.bookings = bookings;
        looks.runs = runs;
        looks.settling.retain(|key, _| looks.runs.contains_key(key));
        // Called off while it lasts.
        let called_off: Vec<_> = looks
            .runs
            .values()
            .filter(|r| r.state == BookingState::Recording)
            .filter(|r| {
                looks
                    .bookings
                    .get(&r.booking)
                    .is_none_or(|(b, _)| b.cancelled.is_some())
            })
            .map(|r| (r.booking, r.range))
            .collect();
        for (id, range) in called_off {
            self.set_booked(looks, id, range, BookingState::Cancelled, Vec::new(), now)
                .await?;
        }
        self.release_booked(looks, now).await?;
        self.context.store.prune_bookings(now.add_ns(-keep)).await?;
        Ok(())
    }

    /// Takes back the protection of what is over and need not be kept for its booking any more.
    async fn release_booked(&self, looks: &Looks, now: Timestamp) -> Result<()> {
        for run in looks.runs.values().filter(|r| r.state.is_over()) {
            let kept_s = looks
                .bookings
                .get(&run.booking)
                .map_or(0, |(b, _)| b.spec.keep_footage_s);
            let kept_ns = i64::try_from(kept_s).unwrap_or(0).saturating_mul(NS_PER_S);
            if now >= run.range.end().add_ns(kept_ns) || run.state == BookingState::Cancelled {
                self.context
                    .store
                    .release_booked(run.booking, run.range.start())
                    .await?;
            }
        }
        Ok(())
    }

    /// Tells the cameras what is wanted of them, and takes back what is not any more.
    fn want_booked(&self, looks: &mut Looks, due: &[(i64, TimeRange, Option<BookingState>, Due)]) {
        let mut wishes: HashMap<i64, TimeRange> = HashMap::new();
        for (id, range, _, what) in due {
            if !matches!(what, Due::Ready | Due::Record) {
                continue;
            }
            // One that begins before the last is over: from the first to the last.
            let all = wishes.get(id).map_or(*range, |before| {
                let (start, end) = (before.start().min(range.start()), before.end().max(range.end()));
                TimeRange::new(start, end).unwrap_or(*range)
            });
            wishes.insert(*id, all);
        }
        let cameras: HashMap<CameraId, _> = self.cameras().into_iter().map(|c| (c.id(), c)).collect();
        let mut wanted: HashMap<i64, HashSet<CameraId>> = HashMap::new();
        for (id, range) in &wishes {
            let Some((booking, _)) = looks.bookings.get(id) else {
                continue;
            };
            for camera in &booking.spec.cameras {
                if let Some(handle) = cameras.get(camera) {
                    // Told again at each look: it may have come or been configured since, or the clock was set.
                    let _ = handle.want(Wish {
                        id: WishId::Booking(*id),
                        from: range.start(),
                        until: Some(range.end()),
                    });
                    wanted.entry(*id).or_default().insert(camera.clone());
                }
            }
        }
        for (id, before) in &looks.wanted {
            let now = wanted.get(id);
            for camera in before.iter().filter(|c| now.is_none_or(|n| !n.contains(c))) {
                if let Some(handle) = cameras.get(camera) {
                    let _ = handle.unwant(WishId::Booking(*id));
                }
            }
        }
        looks.wanted = wanted;
    }

    /// Writes where an occurrence stands, and tells it if that is news.
    async fn set_booked(
        &self,
        looks: &mut Looks,
        id: i64,
        range: TimeRange,
        to: BookingState,
        warnings: Vec<BookingWarning>,
        now: Timestamp,
    ) -> Result<()> {
        let key = (id, range.start());
        let before = looks.runs.get(&key);
        let mut detail = before.map(|r| r.detail.clone()).unwrap_or_default();
        detail.warnings.extend(warnings);
        self.put_booked(looks, id, range, to, detail, now).await
    }

    pub(super) async fn put_booked(
        &self,
        looks: &mut Looks,
        id: i64,
        range: TimeRange,
        to: BookingState,
        detail: RunDetail,
        now: Timestamp,
    ) -> Result<()> {
        let key = (id, range.start());
        let news = looks.runs.get(&key).is_none_or(|r| r.state != to);
        let run = Run {
            booking: id,
            range,
            state: to,
            detail,
            changed: now,
        };
        self.context.store.set_booking_run(run.row()?).await?;
        if news && let Some((booking, _)) = looks.bookings.get(&id) {
            tracing::info!(
                booking = id,
                title = booking.spec.title,
                state = to.as_str(),
                "a booking"
            );
            let warnings = &run.detail.warnings;
            self.bookings
                .tell(booking, Some(range.start()), to.as_str(), warnings, None)
                .await;
        }
        looks.runs.insert(key, run);
        if to.is_over() {
            // What need not be kept is free at once.
            looks.read_at_ns = None;
        }
        Ok(())
    }

    async fn record_booked(
        &self,
        looks: &mut Looks,
        id: i64,
        range: TimeRange,
        care: bool,
        now: Timestamp,
    ) -> Result<()> {
        let Some((booking, _)) = looks.bookings.get(&id) else {
            return Ok(());
        };
        let cameras = booking.spec.cameras.clone();
        let known = looks.runs.get(&(id, range.start()));
        let begins = known.is_none();
        if known.is_none_or(|r| r.range != range || r.detail.cameras != cameras) {
            let mut detail = known.map(|r| r.detail.clone()).unwrap_or_default();
            detail.cameras.clone_from(&cameras);
            self.put_booked(looks, id, range, BookingState::Recording, detail, now)
                .await?;
        }
        if begins || care {
            self.protect_booked(id, range, &cameras).await?;
        }
        Ok(())
    }

    async fn protect_booked(&self, id: i64, range: TimeRange, cameras: &[CameraId]) -> Result<()> {
        for camera in cameras {
            let (camera, start) = (camera.clone(), range.start());
            self.context
                .store
                .protect_booked(id, start, camera, range)
                .await?;
        }
        Ok(())
    }

    /// It is over: once its last segments are complete, what the cameras missed is noted, and what follows begins.
    async fn settle_booked(
        &self,
        looks: &mut Looks,
        id: i64,
        range: TimeRange,
        now: Timestamp,
    ) -> Result<()> {
        let Some(run) = looks.runs.get(&(id, range.start())).cloned() else {
            return Ok(());
        };
        let cameras = run.detail.cameras.clone();
        let first_look = !looks.settling.contains_key(&(id, range.start()));
        let over = *looks.settling.entry((id, range.start())).or_insert(now);
        // It may have been ended before its time.
        let range = TimeRange::new(range.start(), range.end().min(over).max(range.start()))?;
        let then = looks
            .bookings
            .get(&id)
            .map(|(b, _)| b.spec.then.clone())
            .unwrap_or_default();
        let mut waits = first_look || now < range.end().add_ns(state::TAIL_NS);
        for camera in &cameras {
            let handle = self.cameras().into_iter().find(|c| c.id() == *camera);
            let continuous = handle.filter(|c| c.status().mode == RecordMode::Continuous);
            match &continuous {
                // It grows on; what follows needs whole segments.
                Some(handle) if first_look && !then.is_empty() => {
                    let _ = handle.split();
                }
                Some(_) if then.is_empty() => continue,
                _ => {}
            }
            let patient = now < range.end().add_ns(state::SETTLE_NS);
            waits |= patient && self.has_open_segment(camera, range).await?;
        }
        if waits {
            return Ok(());
        }
        self.protect_booked(id, range, &cameras).await?;
        let mut warnings = Vec::new();
        let mut without = 0;
        for camera in &cameras {
            let missing = self.missed(camera, range).await;
            let told = match missing {
                Ok(missing) => state::warnings(camera, range, &missing),
                Err(e) => vec![BookingWarning {
                    camera: Some(camera.clone()),
                    message: format!("nothing was recorded: {e}"),
                }],
            };
            without += usize::from(told.iter().any(|w| w.message.starts_with("nothing was recorded")));
            warnings.extend(told);
        }
        let to = if without == cameras.len() {
            BookingState::Failed
        } else if then.is_empty() {
            BookingState::Completed
        } else {
            BookingState::Processing
        };
        self.set_booked(looks, id, range_of(&run, range), to, warnings, now)
            .await
    }

    async fn has_open_segment(&self, camera: &CameraId, range: TimeRange) -> Result<bool> {
        let store = self.context.store.clone();
        let query = SegmentQuery::new([camera.clone()], range);
        blocking(move || {
            Ok(store
                .all_segments(&query)?
                .iter()
                .any(|s| s.state == SegmentState::Open))
        })
        .await
    }

    async fn missed(
        &self,
        camera: &CameraId,
        range: TimeRange,
    ) -> Result<Vec<(TimeRange, Option<crate::event::Cause>)>> {
        let timeline = self.archive.timeline(camera, range).await?;
        let recorded: Vec<TimeRange> = timeline.ranges.iter().map(|r| r.range).collect();
        let gaps: Vec<_> = timeline.gaps.into_iter().map(|g| (g.range, g.cause)).collect();
        Ok(state::missing(range, &recorded, &gaps))
    }
}

/// The range of an occurrence under the beginning that it is kept by.
fn range_of(run: &Run, range: TimeRange) -> TimeRange {
    TimeRange::new(run.range.start(), range.end()).unwrap_or(run.range)
}

//! Days of many cameras in seconds: machines, journals and the index they write to. Without pipelines.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::LONGEST;
use super::journal::Journal;
use super::machine::{Action, Input, Machine, Patience};
use crate::clock::{Clock, SharedClock};
use crate::event::{CameraPhase, Cause, CauseKind};
use crate::events::EventBus;
use crate::files::tests::{start, tree_at};
use crate::files::{SegmentName, Tree};
use crate::ids::{CameraId, RunId};
use crate::machine::MachineSample;
use crate::run::Anchor;
use crate::segment::ClosedSegment;
use crate::store::{EventQuery, OpenMode, SegmentQuery, Store};
use crate::testing::ManualClock;
use crate::time::{NS_PER_S, TimeRange, Timestamp, duration_ns};

const TICK: Duration = Duration::from_millis(500);
const SEGMENT: Duration = Duration::from_mins(15);
const HOURS: u64 = 72;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nature {
    /// Nobody answers.
    Dead,
    /// It takes the connection and sends nothing.
    Silent,
    Good,
}

/// A camera as its task has it, with a pipeline that is made up.
struct Camera {
    nature: Nature,
    id: CameraId,
    machine: Machine,
    journal: Journal,
    /// A run that is to end, and why.
    ending: Option<Cause>,
    segment: Option<ClosedSegment>,
    sequence: u32,
    tries: u64,
    last_try_ns: i64,
    longest_wait_ns: i64,
}

struct House {
    clock: ManualClock,
    store: Store,
    tree: Tree,
    cameras: Vec<Camera>,
}

impl House {
    fn new(dir: &tempfile::TempDir, natures: &[Nature]) -> Self {
        let clock = ManualClock::new("2026-05-04T00:00:00Z".parse().unwrap());
        let shared: SharedClock = Arc::new(clock.clone());
        let store = Store::open(dir.path().join("index.db"), OpenMode::ReadWrite).unwrap();
        let tree = tree_at(&dir.path().join("root"));
        let events = Arc::new(EventBus::new(shared));
        let cameras = natures.iter().enumerate().map(|(n, &nature)| {
            let id = CameraId::new(&format!("cam{n}")).unwrap();
            Camera {
                nature,
                machine: Machine::new(0, Patience::default()),
                journal: Journal::new(id.clone(), store.clone(), tree.clone(), events.clone()),
                id,
                ending: None,
                segment: None,
                sequence: 0,
                tries: 0,
                last_try_ns: 0,
                longest_wait_ns: 0,
            }
        });
        Self {
            cameras: cameras.collect(),
            clock,
            store,
            tree,
        }
    }

    /// Half a second of all.
    fn tick(&mut self) {
        self.clock.advance(TICK);
        let (now, steady) = (self.clock.now(), self.clock.steady_ns());
        for camera in &mut self.cameras {
            camera.tick(now, steady);
        }
    }

    /// Until the index has everything.
    async fn written(&self) {
        let all = async {
            while self.cameras.iter().any(|c| c.journal.backlog().waiting > 0) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    }

    fn events(&self) -> usize {
        let mut query = EventQuery::new(TimeRange::ALL);
        query.limit = crate::store::MAX_PAGE;
        let mut events = 0;
        loop {
            let page = self.store.events(&query).unwrap();
            events += page.items.len();
            query.cursor = page.next;
            if query.cursor.is_none() {
                return events;
            }
        }
    }
}

impl Camera {
    fn tell(&mut self, input: Input, now: Timestamp, steady_ns: i64) {
        for action in self.machine.on(input, steady_ns, 0.99) {
            match action {
                Action::Start(_) => {
                    self.tries += 1;
                    self.longest_wait_ns = self.longest_wait_ns.max(steady_ns - self.last_try_ns);
                    self.last_try_ns = steady_ns;
                    if self.nature == Nature::Dead {
                        self.ending = Some(Cause::new(CauseKind::Unreachable, "connection refused"));
                    }
                }
                Action::Stop(cause) => self.ending = Some(cause),
                Action::Phase { from, to, cause } => self.journal.state(now, from, to, cause),
            }
        }
    }

    fn tick(&mut self, now: Timestamp, steady_ns: i64) {
        if let Some(cause) = self.ending.take() {
            self.journal.open_gap(now, cause.clone());
            self.tell(Input::Ended(cause), now, steady_ns);
        }
        if self.machine.phase() == CameraPhase::Connecting && self.nature != Nature::Dead {
            if self.last_try_ns == steady_ns - duration_ns(TICK) {
                self.tell(Input::Opening, now, steady_ns);
            }
            if self.nature == Nature::Good {
                let run = RunId::from_u64(1);
                let anchor = Anchor {
                    utc: now,
                    steady_ns,
                    running_ns: 0,
                };
                let cause = Cause::new(CauseKind::Startup, "test");
                self.journal.run_started(run, anchor, cause);
                self.tell(Input::FirstFrame, now, steady_ns);
            }
        }
        let good = self.nature == Nature::Good;
        let tick = Input::Tick {
            last_frame_ns: good.then_some(steady_ns),
            usual_pause_ns: if good { NS_PER_S / 25 } else { 0 },
        };
        self.tell(tick, now, steady_ns);
        if self.machine.phase() == CameraPhase::Recording {
            self.record(now);
        }
        self.journal.retry();
    }

    /// Segments of a quarter of an hour.
    fn record(&mut self, now: Timestamp) {
        let over = |s: &ClosedSegment| now.since(s.start.start) >= duration_ns(SEGMENT);
        if let Some(mut segment) = self.segment.take_if(|s| over(s)) {
            segment.duration_ns = now.since(segment.start.start);
            self.journal.segment_closed(segment);
        }
        if self.segment.is_none() {
            let start = start(self.id.as_str(), 1, self.sequence, now);
            self.sequence += 1;
            let path = SegmentName::of(&start).path();
            self.journal.segment_opened(start.clone(), &path);
            self.segment = Some(ClosedSegment {
                start,
                path,
                duration_ns: 0,
                size_bytes: 450_000_000,
                fragments: Vec::new(),
                hash: None,
                recovered: false,
            });
        }
    }
}

/// Two dead, two silent and six good cameras for 72 hours: the bad ones are tried to the end, the good ones have every
/// segment, an outage is one gap and a handful of events, and memory is what it was after the first day.
#[tokio::test]
async fn fm19_two_dead_two_silent_and_six_good_cameras_for_three_days() {
    use Nature::{Dead, Good, Silent};
    let dir = tempfile::tempdir().unwrap();
    let natures = [Dead, Good, Silent, Good, Good, Dead, Good, Silent, Good, Good];
    let mut house = House::new(&dir, &natures);
    let began = house.clock.now();
    for camera in &mut house.cameras {
        let cause = Cause::new(CauseKind::Startup, "the recorder started");
        camera.journal.open_gap(began, cause.clone());
        camera.tell(Input::Want { record: true, cause }, began, 0);
    }
    let mut after_a_day = None;
    for hour in 1..=HOURS {
        for _ in 0..60 {
            for _ in 0..120 {
                house.tick();
            }
            house.written().await;
        }
        if hour == 24 {
            after_a_day = Some((MachineSample::take().resident_bytes, house.events()));
        }
    }
    let memory = MachineSample::take().resident_bytes;
    let (memory_before, events_before) = after_a_day.unwrap();
    let events = house.events();
    assert_eq!(events, events_before, "events of outages that go on");
    assert!(events < 10 * natures.len(), "{events} events");
    // Where each test has a process of its own.
    if std::env::var_os("NEXTEST").is_some() {
        let grown = memory.saturating_sub(memory_before);
        assert!(grown < 4 << 20, "memory grew by {grown} bytes in two days");
    }
    for camera in &mut house.cameras {
        let gaps = house.store.gaps(&camera.id, TimeRange::ALL).unwrap();
        let rows = house
            .store
            .all_segments(&SegmentQuery::new([camera.id.clone()], TimeRange::ALL))
            .unwrap();
        let backlog = camera.journal.backlog();
        assert_eq!((backlog.waiting, backlog.lost), (0, 0));
        if camera.nature == Good {
            assert_eq!(camera.tries, 1);
            assert_eq!(camera.machine.phase(), CameraPhase::Recording);
            // The last one grows.
            assert_eq!(rows.len() as u64, HOURS * 4);
            assert!(gaps.iter().all(|g| g.end.is_some()), "{gaps:#?}");
            continue;
        }
        assert!(rows.is_empty());
        assert_eq!(gaps.len(), 2, "before the first try, and the outage: {gaps:#?}");
        assert!(gaps[1].end.is_none());
        // The deadline of a connection, the longest wait with its jitter, and the looks in between.
        let connect = if camera.nature == Silent {
            Patience::default().connect
        } else {
            Duration::ZERO
        };
        let most = connect + LONGEST.mul_f64(1.25) + 3 * TICK;
        assert!(
            camera.longest_wait_ns <= duration_ns(most),
            "{} ns",
            camera.longest_wait_ns
        );
        let least = HOURS * 3600 / most.as_secs();
        assert!(camera.tries >= least, "{} tries, not {least}", camera.tries);
    }
    for camera in &mut house.cameras {
        assert!(camera.journal.close().await);
    }
    drop(house.tree);
}

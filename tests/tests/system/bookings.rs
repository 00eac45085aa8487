//! Bookings on real cameras: they begin together, one that is away stops no other, a kill in the middle, and calendars.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nvr_core::bookings::{BookingSpec, BookingState, IdleBookings, Occurrence, Step};
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::{CalendarConfig, RecordMode};
use nvr_core::convert::Layout;
use nvr_core::event::CameraPhase;
use nvr_core::jobs::{JobQuery, JobState};
use nvr_core::store::SegmentQuery;
use nvr_core::time::NS_PER_S;
use nvr_core::{EventKind, Nvr, TimeRange, Timestamp};
use nvr_tests::proc::Signal;
use nvr_tests::recorder::Recorder;
use nvr_tests::rig::{Rig, id, small};
use nvr_tests::{TestCam, judge, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// For what takes its time on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn spec(cameras: &[&str], start: Timestamp, seconds: i64) -> BookingSpec {
    BookingSpec {
        title: "Council".into(),
        who: Some("Jane".into()),
        cameras: cameras.iter().map(|c| id(c)).collect(),
        start,
        end: start.add_ns(seconds * NS_PER_S),
        zone: "UTC".into(),
        repeat: None,
        except: Vec::new(),
        then: Vec::new(),
        layout: Layout::default(),
        sound: None,
        keep_footage_s: 0,
    }
}

async fn occurrence(nvr: &Nvr, booking: i64) -> Occurrence {
    let all = nvr
        .bookings()
        .occurrences(TimeRange::ALL, Some(booking))
        .await
        .unwrap();
    assert_eq!(all.len(), 1, "{all:#?}");
    all.into_iter().next().unwrap()
}

async fn over(nvr: &Nvr, booking: i64) -> Occurrence {
    let asked = async {
        loop {
            let one = occurrence(nvr, booking).await;
            if one.state.is_over() {
                return one;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(one) => one,
        Err(_) => panic!("it does not end: {:#?}", occurrence(nvr, booking).await),
    }
}

/// Two cameras that are off begin with the keyframe at or before the instant; a third that nobody answers for is told.
#[tokio::test(flavor = "multi_thread")]
async fn cameras_begin_together_and_one_that_is_away_stops_no_other() {
    let (one, two) = (TestCam::start(small()).unwrap(), TestCam::start(small()).unwrap());
    let mut away = TestCam::start(small()).unwrap();
    away.die();
    let mut rig = Rig::new().unwrap();
    for (name, url) in [("one", one.url()), ("two", two.url()), ("away", away.url())] {
        rig.add(name, &url).unwrap().record = RecordMode::Off;
    }
    rig.start().await.unwrap();
    let nvr = rig.nvr().clone();
    let start = nvr.clock().now().add_ns(15 * NS_PER_S);
    let mut wanted = spec(&["one", "two", "away"], start, 6);
    wanted.then = vec![Step::Validate, Step::Merge, Step::Export];
    wanted.layout = Layout::Grid;
    let booking = nvr.bookings().add(wanted, None, false).await.unwrap().booking.id;
    assert_eq!(occurrence(&nvr, booking).await.state, BookingState::Planned);
    for name in ["one", "two"] {
        rig.phase(name, CameraPhase::Standby).await.unwrap();
    }
    assert!(
        nvr.clock().now() < start,
        "ready ahead, or the machine is too slow for this test"
    );
    for name in ["one", "two"] {
        rig.phase(name, CameraPhase::Recording).await.unwrap();
    }
    let done = over(&nvr, booking).await;
    assert_eq!(done.state, BookingState::Completed, "{done:#?}");
    let told: Vec<_> = done.warnings.iter().map(|w| w.camera.clone().unwrap()).collect();
    // Nothing of it was recorded, and so nothing of it can be exported.
    assert_eq!(told, [id("away"), id("away")], "{done:#?}");
    assert!(
        done.warnings[0].message.starts_with("nothing was recorded: "),
        "{done:#?}"
    );
    assert!(done.warnings[1].message.starts_with("export"), "{done:#?}");
    assert_eq!(done.jobs.len(), 3);
    let query = JobQuery {
        kinds: vec!["merge".into()],
        ..JobQuery::default()
    };
    let merged = nvr.jobs().list(query).await.unwrap().items;
    let [merged] = merged.as_slice() else {
        panic!("{merged:#?}");
    };
    assert_eq!(merged.state, JobState::Done, "{merged:#?}");
    let result = merged.result.as_ref().unwrap();
    let whole = judge::decode_all(&rig.root().join("_exports").join(result["file"].as_str().unwrap()));
    whole.unwrap();
    // Two of them in each row and column, six seconds.
    assert_eq!(
        (&result["width"], &result["height"]),
        (&640.into(), &480.into()),
        "{result:#}"
    );
    assert!(
        (5_900_000_000..6_100_000_000).contains(&result["duration_ns"].as_i64().unwrap()),
        "{result:#}"
    );
    assert!(
        result["warnings"].to_string().contains("camera away"),
        "{result:#}"
    );
    for name in ["one", "two"] {
        rig.phase(name, CameraPhase::Stopped).await.unwrap();
        let query = SegmentQuery::new([id(name)], TimeRange::ALL);
        let rows = nvr.segments(query).await.unwrap().items;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        // A keyframe a second.
        let early = start.since(rows[0].start);
        assert!(
            (0..=NS_PER_S * 11 / 10).contains(&early),
            "{name} begins {early} ns before"
        );
        assert!(rows[0].end() >= start.add_ns(5 * NS_PER_S), "{rows:#?}");
        // Free again once it is over.
        let (nvr, row) = (&nvr, rows[0].id);
        let free = || async move { (!nvr.segment(row).await.unwrap().protected).then_some(()) };
        wait::until_async("no protection", LIMIT, free).await.unwrap();
    }
    let states: Vec<String> = rig
        .events()
        .into_iter()
        .filter_map(|e| match e.kind {
            EventKind::BookingChanged { state, .. } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(states, ["planned", "recording", "processing", "completed"]);
    rig.stop_clean().await.unwrap();
}

/// `kill -9` in the middle: the next start goes on with it, and what is missing is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_is_gone_on_from() {
    let cam = TestCam::start(small()).unwrap();
    let rig = Rig::new().unwrap();
    let cameras = [format!("cam={}", cam.url())];
    // Makes root and index.
    let mut recorder = Recorder::start(rig.root(), &cameras, &[]).unwrap();
    recorder.signal(Signal::Term).unwrap();
    recorder.wait_for_end().unwrap();
    let bookings = IdleBookings::open(&rig.config).await.unwrap();
    let start = SystemClock::new().now().add_ns(NS_PER_S);
    let booking = bookings
        .add(spec(&["cam"], start, 25), None, false)
        .await
        .unwrap()
        .booking
        .id;
    bookings.close().await.unwrap();

    let is = |recorder: &Recorder, wanted: &str| {
        let told = |k: &EventKind| matches!(k, EventKind::BookingChanged { state, .. } if state == wanted);
        recorder.events().iter().any(|e| told(&e.kind))
    };
    let mut recorder = Recorder::start(rig.root(), &cameras, &[]).unwrap();
    recorder
        .until("the booking to begin", |r| is(r, "recording"))
        .unwrap();
    recorder.wait_for_frames(20).unwrap();
    recorder.kill().unwrap();
    let mut recorder = Recorder::start(rig.root(), &cameras, &[]).unwrap();
    wait::until_true("the end of the booking", LIMIT, || is(&recorder, "completed")).unwrap();
    assert!(!is(&recorder, "recording"), "it did not begin anew");
    recorder.signal(Signal::Term).unwrap();
    recorder.wait_for_end().unwrap();
    let bookings = IdleBookings::open(&rig.config).await.unwrap();
    let all = bookings.occurrences(TimeRange::ALL, Some(booking)).await.unwrap();
    assert_eq!(
        (all.len(), all[0].state),
        (1, BookingState::Completed),
        "{all:#?}"
    );
    for warning in &all[0].warnings {
        assert!(warning.message.contains(" s are missing from "), "{all:#?}");
    }
    bookings.close().await.unwrap();
}

/// A server that has one calendar; it tells a version that it gave out already.
#[derive(Clone, Default)]
struct Calendar(Arc<Mutex<(String, u32, u32)>>);

impl Calendar {
    fn set(&self, events: &[(&str, Timestamp)]) {
        let mut text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n".to_owned();
        for (uid, start) in events {
            let time = start.to_jiff().strftime("%Y%m%dT%H%M%SZ");
            text += &format!(
                "BEGIN:VEVENT\r\nUID:{uid}\r\nSUMMARY:{uid}\r\nDTSTART:{time}\r\nDURATION:PT1H\r\nEND:VEVENT\r\n"
            );
        }
        let mut state = self.0.lock().unwrap();
        state.0 = text + "END:VCALENDAR\r\n";
        state.1 += 1;
    }

    fn unchanged(&self) -> u32 {
        self.0.lock().unwrap().2
    }

    fn answer(&self, request: &str) -> String {
        let mut state = self.0.lock().unwrap();
        let tag = format!("\"v{}\"", state.1);
        assert!(
            request.contains("authorization: Basic cmVhZGVyOnNlY3JldA=="),
            "{request}"
        );
        if request.contains(&format!("if-none-match: {tag}")) {
            state.2 += 1;
            return format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\nConnection: close\r\n\r\n");
        }
        let body = &state.0;
        let head = format!(
            "HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        head + body
    }

    async fn serve(self, listener: tokio::net::TcpListener) {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                match socket.read(&mut piece).await {
                    Ok(n) if n > 0 => request.extend_from_slice(&piece[..n]),
                    _ => break,
                }
            }
            let answer = self.answer(
                &String::from_utf8_lossy(&request)
                    .to_lowercase()
                    .replace("basic cmvhzgvyonnly3jlda==", "Basic cmVhZGVyOnNlY3JldA=="),
            );
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    }
}

async fn titles(nvr: &Nvr) -> Vec<(String, BookingState)> {
    let mut all: Vec<_> = nvr
        .bookings()
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|l| (l.booking.spec.title, l.state))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_followed_and_its_last_copy_counts_while_it_is_away() {
    use BookingState::{Cancelled, Planned};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calendar = Calendar::default();
    let mut rig = Rig::new().unwrap();
    rig.add("hall", "test:?size=160x120&fps=5&audio=0")
        .unwrap()
        .record = RecordMode::Off;
    let mut config = CalendarConfig::new("team", format!("http://{address}/team.ics"), vec![id("hall")]);
    config.user = Some("reader".into());
    config.password = nvr_core::secret::Secret::new("secret");
    config.poll = Duration::from_secs(1);
    rig.config.calendars.push(config);
    let day = |n: i64| SystemClock::new().now().add_ns(n * 86_400 * NS_PER_S);
    calendar.set(&[("first", day(2)), ("second", day(3)), ("past", day(-3))]);
    let server = tokio::spawn(calendar.clone().serve(listener));
    rig.start().await.unwrap();
    async fn is(nvr: &Nvr, wanted: &[(&str, BookingState)]) {
        let holds = || async move {
            let now = titles(nvr).await;
            let same = now
                .iter()
                .map(|(t, s)| (t.as_str(), *s))
                .eq(wanted.iter().copied());
            same.then_some(())
        };
        wait::until_async(&format!("{wanted:?}"), LIMIT, holds)
            .await
            .unwrap();
    }
    is(rig.nvr(), &[("first", Planned), ("second", Planned)]).await;
    wait::until_true("it is asked for what changed only", LIMIT, || {
        calendar.unchanged() > 0
    })
    .unwrap();
    calendar.set(&[("first", day(4)), ("third", day(5))]);
    is(
        rig.nvr(),
        &[("first", Planned), ("second", Cancelled), ("third", Planned)],
    )
    .await;
    let first = rig.nvr().bookings().list().await.unwrap().remove(0);
    assert!(first.booking.spec.start > day(3), "it was moved: {first:?}");
    let refused = rig
        .nvr()
        .bookings()
        .delete(first.booking.id, None)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), nvr_core::ErrorKind::Conflict);
    assert!(rig.nvr().health().ok, "{:?}", rig.nvr().health());

    server.abort();
    let _ = server.await;
    rig.wait_for("the trouble", 1, |k| {
        matches!(k, EventKind::CalendarTrouble { .. })
    })
    .await
    .unwrap();
    assert!(!rig.nvr().health().ok);
    rig.stop_clean().await.unwrap();
    rig.start().await.unwrap();
    rig.wait_for("the trouble again", 2, |k| {
        matches!(k, EventKind::CalendarTrouble { .. })
    })
    .await
    .unwrap();
    let now = titles(rig.nvr()).await;
    assert_eq!(now.iter().filter(|(_, s)| *s == Planned).count(), 2, "{now:?}");

    calendar.set(&[("third", day(5))]);
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = tokio::spawn(calendar.clone().serve(listener));
    rig.wait_for("the end of it", 1, |k| {
        matches!(k, EventKind::CalendarRecovered { .. })
    })
    .await
    .unwrap();
    let now = titles(rig.nvr()).await;
    assert_eq!(now.iter().filter(|(_, s)| *s == Planned).count(), 1, "{now:?}");
    server.abort();
    rig.stop_clean().await.unwrap();
}

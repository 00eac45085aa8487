//! Cameras that somebody wants recorded: bookings and detections, beside recordings by hand.

use std::time::Duration;

use nvr_core::camera::{Wish, WishId};
use nvr_core::config::RecordMode;
use nvr_core::event::{CameraPhase, CauseKind};

use crate::house::*;

/// A camera that is off is connected ahead and begins with the keyframe at or before the instant; what another wants
/// meanwhile goes into the same footage, and it is let go when the last is over.
#[tokio::test(flavor = "multi_thread")]
async fn one_session_for_all_from_the_instant_on() {
    let mut off = camera("off", SMALL);
    off.record = RecordMode::Off;
    let mut away = camera("away", NOBODY);
    away.record = RecordMode::Off;
    let house = House::new([off, away, camera("always", SMALL)]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("off")).unwrap();
    let away = nvr.camera(&id("away")).unwrap();
    phase(&cam, CameraPhase::Stopped).await;
    let always = nvr.camera(&id("always")).unwrap();
    phase(&always, CameraPhase::Recording).await;

    let from = nvr.clock().now().add_ns(6 * S);
    let booking = |until| Wish {
        id: WishId::Booking(7),
        from,
        until,
    };
    for camera in [&cam, &away, &always] {
        camera.want(booking(None)).unwrap();
    }
    phase(&cam, CameraPhase::Standby).await;
    assert!(!cam.status().recording);
    assert_eq!(cam.status().wanted, [WishId::Booking(7)]);
    phase(&cam, CameraPhase::Recording).await;
    assert!(nvr.clock().now() >= from);
    assert_eq!(cam.status().state.cause.kind, CauseKind::Scheduled);
    frames(&cam, 20).await;
    let motion = WishId::Detection("motion".into());
    let now = nvr.clock().now();
    cam.want(Wish {
        id: motion.clone(),
        from: now,
        until: None,
    })
    .unwrap();
    cam.unwant(WishId::Booking(7)).unwrap();
    until("the booking to be gone", || {
        (cam.status().wanted == [motion.clone()]).then_some(())
    })
    .await;
    frames(&cam, 20).await;
    let now = nvr.clock().now();
    cam.want(Wish {
        id: motion,
        from: now,
        until: Some(now.add_ns(S)),
    })
    .unwrap();
    phase(&cam, CameraPhase::Stopped).await;
    assert!(cam.status().wanted.is_empty());
    let rows = segments_when(&nvr, "off", one_closed).await;
    let early = from.since(rows[0].start);
    // A keyframe a second.
    assert!((0..S + S / 5).contains(&early), "begins {early} ns before");
    assert!(rows[0].end() >= now);

    // Why there is nothing of the other is known; once nobody wants it, there is no need of a reason.
    let cause = until_async("the reason", async || {
        gaps(&nvr, "away")
            .await
            .last()
            .map(|g| g.cause.kind)
            .filter(|k| *k != CauseKind::NotScheduled)
    })
    .await;
    assert_eq!(cause, CauseKind::Unreachable);
    away.unwant(WishId::Booking(7)).unwrap();
    phase(&away, CameraPhase::Stopped).await;
    until_async("the end of it", async || {
        let last = gaps(&nvr, "away").await.pop()?;
        (last.cause.kind == CauseKind::NotScheduled).then_some(())
    })
    .await;

    // Recorded anyway: no second session.
    assert_eq!(segments(&nvr, "always").await.len(), 1);
    assert_eq!(always.status().state.cause.kind, CauseKind::Startup);
    stop(nvr).await;
}

/// While a booking is recorded its camera is recorded by hand as well, and goes on when that is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn by_hand_within_a_booking() {
    let house = House::new([manual("cam")]);
    let nvr = house.start().await;
    let cam = nvr.camera(&id("cam")).unwrap();
    phase(&cam, CameraPhase::Standby).await;
    let from = nvr.clock().now();
    let wish = Wish {
        id: WishId::Booking(1),
        from,
        until: None,
    };
    cam.want(wish).unwrap();
    phase(&cam, CameraPhase::Recording).await;
    cam.record_as(nvr_core::camera::RecordRequest {
        duration: None,
        pre_roll: Some(Duration::ZERO),
    })
    .await
    .unwrap();
    assert!(cam.status().manual.is_some());
    frames(&cam, 10).await;
    cam.stop_recording().await.unwrap();
    assert!(cam.status().manual.is_none());
    frames(&cam, 10).await;
    assert!(cam.status().recording);
    cam.unwant(WishId::Booking(1)).unwrap();
    phase(&cam, CameraPhase::Standby).await;
    assert_eq!(segments(&nvr, "cam").await.len(), 1);
    stop(nvr).await;
}

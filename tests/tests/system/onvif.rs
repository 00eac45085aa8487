//! ONVIF against a simulated camera: what it offers, how it moves and stops, its clock, and what it sees.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use nvr_core::clock::SystemClock;
use nvr_core::config::{CameraConfig, Config, OnvifConfig};
use nvr_core::detection::DetectionKind;
use nvr_core::onvif::{Access, Offer, Ptz, Vector, offer};
use nvr_core::secret::Secret;
use nvr_core::source::Credentials;
use nvr_core::{CameraId, Error, ErrorKind, EventKind, Nvr, SourceSpec};
use nvr_tests::onvifcam::{OnvifCam, OnvifOptions};

const PATIENCE: Duration = Duration::from_secs(60);

fn credentials(password: &str) -> Option<Credentials> {
    Some(Credentials {
        user: "admin".into(),
        password: Secret::new(password),
    })
}

fn access(cam: &OnvifCam) -> Access {
    Access::parse(&cam.address(), credentials("s&cret")).unwrap()
}

async fn offered(options: OnvifOptions) -> Result<Offer, Error> {
    let cam = OnvifCam::start(0, options).await.unwrap();
    offer(&SystemClock::shared(), access(&cam)).await
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let asked = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

#[tokio::test]
async fn cameras_of_all_kinds_say_what_they_offer() {
    let ways = [
        OnvifOptions::default(),
        OnvifOptions {
            http_digest: true,
            ..OnvifOptions::default()
        },
        OnvifOptions {
            clock_ahead_s: -7000,
            ..OnvifOptions::default()
        },
        OnvifOptions {
            believes_to_be: Some("192.0.2.7:8899".into()),
            ..OnvifOptions::default()
        },
        OnvifOptions {
            old: true,
            ..OnvifOptions::default()
        },
        OnvifOptions {
            media2: true,
            ..OnvifOptions::default()
        },
        OnvifOptions {
            ptz: false,
            ..OnvifOptions::default()
        },
    ];
    for options in ways {
        let found = offered(options.clone())
            .await
            .unwrap_or_else(|e| panic!("{options:?}: {e:?}"));
        let of = |n: Option<usize>| found.profiles[n.unwrap()].stream.clone().unwrap();
        assert_eq!(
            (of(found.main), of(found.sub)),
            (options.streams[0].clone(), options.streams[1].clone()),
            "{options:?}"
        );
        let main = &found.profiles[found.main.unwrap()];
        assert_eq!(main.codec, if options.media2 { "H265" } else { "H264" });
        assert_eq!(
            (main.width, main.ptz, found.device.model.as_str()),
            (1920, options.ptz, "Cam & Co")
        );
        let ahead = found.clock_offset_ns.unwrap() / 1_000_000_000 - options.clock_ahead_s;
        assert!(ahead.abs() <= 3, "{options:?}: {ahead}");
    }
}

#[tokio::test]
async fn who_refuses_and_who_is_no_camera_is_told_apart() {
    let clock = SystemClock::shared();
    for http_digest in [false, true] {
        let cam = OnvifCam::start(
            0,
            OnvifOptions {
                http_digest,
                ..OnvifOptions::default()
            },
        )
        .await
        .unwrap();
        for wrong in [credentials("wrong"), None] {
            let access = Access::parse(&cam.address(), wrong).unwrap();
            let e = offer(&clock, access).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unauthorized, "{e:?}");
            assert!(e.hint().is_some() && !format!("{e:?}").contains("wrong"), "{e:?}");
        }
        // A wrong password is tried once for each question, so that nobody is locked out by us.
        assert!(cam.seen(|s| s.refused) <= 12, "{}", cam.seen(|s| s.refused));
    }
    let nobody = Access::parse("127.0.0.1:1", None).unwrap();
    assert_eq!(
        offer(&clock, nobody).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn a_camera_moves_while_it_is_told_to_and_stops_when_nobody_asks() {
    // The stubborn one has to be told.
    for minds_timeout in [true, false] {
        let cam = OnvifCam::start(
            0,
            OnvifOptions {
                minds_timeout,
                ..OnvifOptions::default()
            },
        )
        .await
        .unwrap();
        let ptz = Ptz::connect(&SystemClock::shared(), access(&cam), None)
            .await
            .unwrap();
        assert!(ptz.abilities().turns && ptz.abilities().zooms && ptz.abilities().home);
        let left = Vector {
            pan: -0.5,
            tilt: 0.25,
            zoom: 0.0,
        };
        let long = Duration::from_secs(10);
        assert!(ptz.move_for(left, long).await.unwrap());
        assert_eq!(cam.seen(|s| s.moving), Some([-0.5, 0.25, 0.0]));
        assert!(!ptz.move_for(left, long).await.unwrap(), "it went on already");
        ptz.stop().await.unwrap();
        assert_eq!(cam.seen(|s| s.moving), None);
        // The guard of the move before must not stop the one after it.
        assert!(ptz.move_for(left, Duration::from_millis(200)).await.unwrap());
        until("the camera to stop by itself", || {
            cam.seen(|s| s.moving.is_none())
        })
        .await;
    }
}

#[tokio::test]
async fn places_are_remembered_visited_and_forgotten() {
    let cam = OnvifCam::start(0, OnvifOptions::default()).await.unwrap();
    let ptz = Ptz::connect(&SystemClock::shared(), access(&cam), Some("sub"))
        .await
        .unwrap();
    let gate = ptz.save_preset("Gate & road").await.unwrap();
    assert_eq!(ptz.presets().await.unwrap(), std::slice::from_ref(&gate));
    ptz.go_to(&gate.token).await.unwrap();
    assert!(ptz.go_to("none").await.is_err());
    ptz.remove_preset(&gate.token).await.unwrap();
    assert!(ptz.presets().await.unwrap().is_empty());
    ptz.go_home().await.unwrap();
    ptz.move_by(Vector {
        pan: 0.1,
        ..Vector::default()
    })
    .await
    .unwrap();
    ptz.move_to(Vector {
        zoom: 0.5,
        ..Vector::default()
    })
    .await
    .unwrap();
    let e = ptz
        .move_for(
            Vector {
                pan: 2.0,
                ..Vector::default()
            },
            Duration::from_secs(1),
        )
        .await
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);

    let fixed = OnvifCam::start(
        0,
        OnvifOptions {
            ptz: false,
            ..OnvifOptions::default()
        },
    )
    .await
    .unwrap();
    let e = Ptz::connect(&SystemClock::shared(), access(&fixed), None)
        .await
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
}

async fn recorder(cam: &OnvifCam) -> (tempfile::TempDir, Nvr) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
    let source = SourceSpec::parse("test:?size=320x240&fps=5&gop=5&audio=0").unwrap();
    let mut camera = CameraConfig::new(CameraId::new("front").unwrap(), source);
    let access = access(cam);
    let mut onvif = OnvifConfig::new(access.address, access.credentials);
    onvif.events = true;
    camera.onvif = Some(onvif);
    config.cameras.push(camera);
    (dir, Nvr::builder(config).start().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_camera_sees_becomes_a_detection_also_after_it_forgot_us() {
    let cam = OnvifCam::start(
        0,
        OnvifOptions {
            http_digest: true,
            clock_ahead_s: 90,
            ..OnvifOptions::default()
        },
    )
    .await
    .unwrap();
    let (_dir, nvr) = recorder(&cam).await;
    let mut events = nvr.events();
    let mut next = async |wanted: &str| {
        let found = async {
            loop {
                let event = poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await.unwrap();
                match event.kind {
                    EventKind::DetectionStarted { detection } if wanted == "begin" => return detection,
                    EventKind::DetectionEnded { detection } if wanted == "end" => return detection,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("no {wanted} of a detection"))
    };
    let subscribed = |n: usize| {
        cam.seen(|s| {
            s.operations
                .iter()
                .filter(|o| *o == "CreatePullPointSubscription")
                .count()
                >= n
        })
    };
    until("a subscription", || subscribed(1)).await;
    let motion = "tns1:RuleEngine/CellMotionDetector/Motion";
    cam.tell(motion, "Rule=r", "IsMotion=true");
    let begun = next("begin").await;
    assert_eq!(
        (begun.kind, begun.label.as_deref()),
        (DetectionKind::Camera, Some("motion"))
    );
    assert_eq!(
        begun.source.as_deref(),
        Some("RuleEngine/CellMotionDetector/Motion")
    );
    // Two topics say the same: over when both say so.
    cam.tell("tns1:VideoSource/MotionAlarm", "Source=0", "State=true");
    cam.tell(motion, "Rule=r", "IsMotion=false");
    cam.tell("tns1:VideoSource/MotionAlarm", "Source=0", "State=false");
    assert_eq!(next("end").await.id, begun.id);
    cam.tell("tns1:RuleEngine/LineDetector/Crossed", "Rule=Gate", "ObjectId=1");
    let line = next("end").await;
    assert_eq!(
        (line.label.as_deref(), line.zone.as_deref()),
        (Some("line"), Some("Gate"))
    );

    // What goes on when the camera forgets us is over, and it is asked anew.
    cam.tell(motion, "Rule=r", "IsMotion=true");
    let begun = next("begin").await;
    cam.forget_subscriptions();
    assert_eq!(next("end").await.id, begun.id);
    until("another subscription", || subscribed(2)).await;
    cam.tell(motion, "Rule=r", "IsMotion=true");
    assert_ne!(next("begin").await.id, begun.id);

    let camera = nvr.camera(&CameraId::new("front").unwrap()).unwrap();
    let ahead = camera.clock_offset_ns().await.unwrap().unwrap() / 1_000_000_000;
    assert!((85..95).contains(&ahead), "{ahead}");
    assert!(camera.status().clock_ahead_ns.unwrap() > 60_000_000_000);
    camera.set_clock().await.unwrap();
    let ahead = camera.clock_offset_ns().await.unwrap().unwrap() / 1_000_000_000;
    assert!(ahead.abs() <= 5, "{ahead}");
    assert!(camera.ptz().await.unwrap().abilities().turns);
    nvr.shutdown(Duration::from_secs(20)).await;
    until("the end of the subscription", || {
        cam.seen(|s| s.operations.iter().any(|o| o == "Unsubscribe"))
    })
    .await;
}

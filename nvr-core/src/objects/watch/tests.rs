//! With networks that are made up: what matters here is who is asked, and what becomes of faults.

use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::error::{Error, ErrorKind};
use crate::gst::testing::colour;

/// Finds one thing in the whole picture, of the label of its model's file name.
struct MadeUp(Vec<String>);

impl Network for MadeUp {
    fn input_size(&self) -> (usize, usize) {
        (64, 64)
    }
    fn labels(&self) -> &[String] {
        &self.0
    }
    fn find(&self, picture: &RgbPicture<'_>) -> Result<Vec<Object>> {
        assert_eq!((picture.width, picture.height), (64, 36));
        match &*self.0[0] {
            "panics" => panic!("a test"),
            "fails" => Err(Error::new(ErrorKind::Unsupported, "what is this?")),
            label => Ok(vec![Object {
                label: label.to_owned(),
                score: 0.9,
                area: Area {
                    x: 0.0,
                    y: 0.0,
                    width: 1.0,
                    height: 1.0,
                },
            }]),
        }
    }
}

fn made_up(config: &ObjectsConfig) -> Result<Box<dyn Network>> {
    match config.model.to_str().unwrap() {
        "missing" => Err(Error::new(ErrorKind::NotFound, "missing: no such file").with_hint("look for it")),
        "bomb" => panic!("a test"),
        name => Ok(Box::new(MadeUp(vec![name.to_owned(), "other".to_owned()]))),
    }
}

fn id(name: &str) -> CameraId {
    CameraId::new(name).unwrap()
}

fn picture(camera: &str) -> Picture {
    Picture {
        camera: id(camera),
        at: Timestamp::from_secs(1000),
        colour: colour(128, 72),
        moving: vec![Area {
            x: 0.2,
            y: 0.2,
            width: 0.5,
            height: 0.5,
        }],
        motion: MotionConfig::default(),
    }
}

async fn state(objects: &Objects, wanted: ObjectsState) -> ObjectsStatus {
    let reached = async {
        loop {
            let status = objects.status();
            if status.state == wanted {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
    reached.unwrap_or_else(|_| panic!("not {wanted:?}: {:?}", objects.status()))
}

#[tokio::test]
async fn pictures_are_looked_at_once_the_model_is_there() {
    let (objects, mut found) = Objects::with(SystemClock::shared(), made_up);
    objects.configure(None);
    assert_eq!(objects.status(), ObjectsStatus::default());
    // Nobody asked for it.
    objects.offer(picture("yard"));
    assert!(objects.status().cameras.is_empty());
    let mut config = ObjectsConfig::new("person");
    objects.configure(Some(&config));
    let status = state(&objects, ObjectsState::Ready).await;
    assert_eq!((status.input, &*status.labels[0]), (Some((64, 64)), "person"));
    objects.offer(picture("yard"));
    let seen = found.recv().await.unwrap();
    assert_eq!(
        (seen.camera, &*seen.sighted[0].object.label),
        (id("yard"), "person")
    );
    let figures = objects.status().cameras[&id("yard")].clone();
    assert_eq!(
        (figures.pictures, figures.found, figures.pictures_dropped),
        (1, 1, 0)
    );
    assert!(figures.cpu_ns > 0 && figures.at == Some(seen.at));

    // Another choice of classes needs no other model.
    config.classes = vec!["other".into()];
    objects.configure(Some(&config));
    assert!(objects.is_ready());
    objects.offer(picture("gate"));
    config.enabled = false;
    let looked = async {
        while objects
            .status()
            .cameras
            .get(&id("gate"))
            .is_none_or(|f| f.pictures == 0)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked)
        .await
        .unwrap();
    assert!(found.try_recv().is_err(), "no person is wanted any more");
    objects.configure(Some(&config));
    assert_eq!(objects.status().state, ObjectsState::Off);
    drop(objects);
    // The thread ends, and with it what it would tell.
    assert!(found.recv().await.is_none());
}

#[tokio::test]
async fn faults_are_told_and_another_model_helps() {
    let (objects, mut found) = Objects::with(SystemClock::shared(), made_up);
    let words = |status: &ObjectsStatus| status.trouble.clone().unwrap().1.message;
    objects.configure(Some(&ObjectsConfig::new("missing")));
    let status = state(&objects, ObjectsState::Failed).await;
    assert!(
        words(&status).contains("no such file (look for it)"),
        "{status:?}"
    );
    objects.offer(picture("yard"));
    assert!(objects.status().cameras.is_empty());

    let mut misspelt = ObjectsConfig::new("person");
    misspelt.classes = vec!["persn".into()];
    objects.configure(Some(&misspelt));
    let status = state(&objects, ObjectsState::Failed).await;
    assert!(
        words(&status).contains("knows no \"persn\" (it knows person, other)"),
        "{status:?}"
    );

    for wrong in ["bomb", "panics", "fails"] {
        objects.configure(Some(&ObjectsConfig::new(wrong)));
        if wrong != "bomb" {
            state(&objects, ObjectsState::Ready).await;
            objects.offer(picture("yard"));
        }
        let status = state(&objects, ObjectsState::Failed).await;
        assert_eq!(status.trouble.unwrap().1.kind, CauseKind::ModelUnusable);
        objects.configure(None);
    }
    objects.configure(Some(&ObjectsConfig::new("cat")));
    assert_eq!(state(&objects, ObjectsState::Ready).await.trouble, None);
    objects.offer(picture("yard"));
    assert_eq!(found.recv().await.unwrap().sighted[0].object.label, "cat");
}

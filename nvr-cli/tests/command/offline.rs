//! Commands that need no recorder: configuration, help, completions, exit codes.

use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::testing::undivided;

use crate::common::{command, nvr};

const FAULTY: &str = r#"[recorder]
root = "rec"
max_startin = 3

[recording]
segment = "15 minuets"
chunk = "2s"

[[cameras]]
id = "front"
source = "rtsp://admin:hunter2@"
"#;

#[test]
fn validate_reports_every_mistake_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("nvr.toml"), FAULTY).unwrap();
    let out = nvr(dir.path(), &["validate"]);
    assert_eq!(out.code, 3, "{out:?}");
    assert_eq!(out.stdout, "");
    let want = r#"error: unknown key `max_startin` in recorder
 --> nvr.toml:3:1
  |
3 | max_startin = 3
  | ^^^^^^^^^^^
  = hint: did you mean `max_starting`?

error: `segment`: "15 minuets" is not a duration
 --> nvr.toml:6:11
  |
6 | segment = "15 minuets"
  |           ^^^^^^^^^^^^
  = hint: write "15m", "1h 30m", "250ms" (units ms, s, m, h, d, w) or whole seconds

error: `chunk`: 2s is out of bounds
 --> nvr.toml:7:9
  |
7 | chunk = "2s"
  |         ^^^^
  = hint: from 100ms to 500ms

error: source: not a URL (empty host)
  --> nvr.toml:11:10
   |
11 | source = "rtsp://admin:*******@"
   |          ^^^^^^^^^^^^^^^^^^^^^^^
   = hint: a password with special characters goes into `password = "…"`, not into the URL

4 mistakes in nvr.toml
"#;
    assert_eq!(out.stderr, want);
    assert!(!out.stderr.contains("hunter2"));
}

#[test]
fn validate_as_json() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("nvr.toml"), FAULTY).unwrap();
    let out = nvr(dir.path(), &["validate", "--json"]);
    assert_eq!((out.code, out.stderr.as_str()), (3, ""));
    let report = out.json();
    assert_eq!(report["valid"], false);
    let places: Vec<_> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            (
                p["line"].as_u64().unwrap(),
                p["column"].as_u64().unwrap(),
                p["key"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            (3, 1, "recorder.max_startin"),
            (6, 11, "recording.segment"),
            (7, 9, "recording.chunk"),
            (11, 10, "cameras[0].source")
        ]
    );
}

#[test]
fn a_missing_configuration_has_a_code_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let out = nvr(dir.path(), &["validate", "-c", "none.toml"]);
    assert_eq!(out.code, 4);
    assert!(
        out.stderr.starts_with("error: configuration none.toml: "),
        "{out:?}"
    );
    assert!(
        out.stderr.contains("\nhint: write one with `nvr init`"),
        "{out:?}"
    );
    let from_env = command(dir.path(), &["validate"])
        .env("NVR_CONFIG", "other.toml")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&from_env.stderr).contains("other.toml"));
}

#[test]
fn init_writes_what_validate_accepts_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let out = nvr(dir.path(), &["init", "--no-detect"]);
    assert_eq!(out.code, 0, "{out:?}");
    let text = std::fs::read_to_string(dir.path().join("nvr.toml")).unwrap();
    assert!(text.contains("root = \"recordings\""), "{text}");
    let out = nvr(dir.path(), &["validate"]);
    assert_eq!(
        (out.code, out.stdout.as_str()),
        (0, "nvr.toml is valid: 0 cameras\n"),
        "{out:?}"
    );
    let out = nvr(dir.path(), &["init", "--no-detect"]);
    assert_eq!(out.code, 5, "{out:?}");
    assert!(
        out.stderr.contains("hint: ") && out.stderr.contains("--force"),
        "{out:?}"
    );
    assert_eq!(
        nvr(dir.path(), &["init", "--no-detect", "--force", "--json"]).json()["cameras"],
        0
    );
    // Printing touches nothing.
    let printed = nvr(dir.path(), &["init", "--no-detect", "--print", "-c", "x.toml"]);
    assert!(printed.stdout.contains("[recorder]") && !dir.path().join("x.toml").exists());
}

#[test]
fn completions_for_every_shell() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let out = nvr(dir.path(), &["completions", shell]);
        assert_eq!(out.code, 0);
        assert!(
            out.stdout.contains("validate") && out.stdout.contains("timeline"),
            "{shell}"
        );
    }
}

#[test]
fn a_wrong_command_line_is_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["frobnicate"][..], &["validate", "--frobnicate"], &[]] {
        assert_eq!(nvr(dir.path(), args).code, 2, "{args:?}");
    }
    assert_eq!(nvr(dir.path(), &["--version"]).code, 0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::io::Read;
    use std::process::Stdio;
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path(), &["init", "--no-detect", "--print"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(told, "");
}

#[test]
fn looking_at_footage_needs_no_secrets_of_cameras() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nvr.toml");
    let config = "[recorder]\nroot = \"rec\"\n[http]\nlisten = \"127.0.0.1:1\"\n[[cameras]]\nid = \"front\"\n\
                  source = \"test:\"\n";
    std::fs::write(&file, config).unwrap();
    let first = nvr(dir.path(), &["run", "--for", "1"]);
    assert_eq!(first.code, 0, "{first:?}");
    // A first start upgrades nothing.
    assert!(
        first.stderr.contains("new index") && !first.stderr.contains("upgraded"),
        "{first:?}"
    );
    let source = "source = \"rtsp://127.0.0.1:9/s\"\nuser = \"u\"\npassword = \"${NVR_TEST_UNSET}\"\n";
    std::fs::write(&file, config.replace("source = \"test:\"\n", source)).unwrap();
    for args in [
        &["timeline", "front"][..],
        &["segments", "front"],
        &["cameras"],
        &["stats"],
        &["check"],
    ] {
        let out = nvr(dir.path(), args);
        assert_eq!((out.code, out.stderr.as_str()), (0, ""), "{args:?}: {out:?}");
    }
    // Recording, and opening the camera, do need them.
    for args in [&["run", "--for", "1"][..], &["validate"], &["probe", "front"]] {
        let out = nvr(dir.path(), args);
        assert_eq!(out.code, 3, "{args:?}: {out:?}");
        assert!(out.stderr.contains("NVR_TEST_UNSET"), "{out:?}");
    }
}

#[test]
fn the_demo_overwrites_no_changed_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("demo/nvr.toml");
    let demo = |dir| {
        nvr(
            dir,
            &["demo", "--dir", "demo", "--listen", "127.0.0.1:0", "--for", "1"],
        )
    };
    for _ in 0..2 {
        let out = demo(dir.path());
        assert_eq!(out.code, 0, "{out:?}");
    }
    let mut text = std::fs::read_to_string(&file).unwrap();
    text += "\n[[cameras]]\nid = \"mine\"\nsource = \"test:\"\n";
    std::fs::write(&file, &text).unwrap();
    let out = demo(dir.path());
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stderr.contains("nvr -c demo/nvr.toml run"), "{out:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn cameras_are_added_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nvr.toml");
    let before = "# Ours.\n[recorder]\nroot = \"rec\" # here\n\n# The end.\n";
    std::fs::write(&file, before).unwrap();
    let read = || std::fs::read_to_string(&file).unwrap();
    let add = [
        "camera",
        "add",
        "front",
        "test:?size=320x240&fps=10",
        "--set",
        "record=manual",
    ];
    // It is opened first.
    let out = nvr(
        dir.path(),
        &[
            &add[..],
            &["--set", "priority=7", "--set", "audio=false", "--json"],
        ]
        .concat(),
    );
    assert_eq!(out.code, 0, "{out:?}");
    assert_eq!(out.json()["in_force"], false);
    let want = "\n[[cameras]]\nid = \"front\"\n";
    assert!(read().starts_with(before) && read().contains(want), "{}", read());
    assert!(
        read().contains("priority = 7\n") && read().contains("audio = false\n"),
        "{}",
        read()
    );
    assert_ne!(nvr(dir.path(), &add).code, 0);

    let unreachable = ["camera", "add", "yard", "rtsp://127.0.0.1:1/x"];
    let out = nvr(dir.path(), &unreachable);
    assert!(out.code != 0 && !read().contains("yard"), "{out:?}");
    let out = nvr(
        dir.path(),
        &[&unreachable[..], &["--no-probe", "--set", "segment=1s"]].concat(),
    );
    assert!(
        out.code == 3 && out.stderr.contains("cameras.yard.segment"),
        "{out:?}"
    );
    let mut with_password = command(
        dir.path(),
        &[&unreachable[..], &["--no-probe", "--user", "u"]].concat(),
    );
    let done = with_password.env("NVR_PASSWORD", "hunter2${X}").output().unwrap();
    let shown = format!("{done:?}");
    assert!(done.status.success() && !shown.contains("hunter2"), "{shown}");
    assert!(read().contains("password = \"hunter2$${X}\"\n"), "{}", read());
    assert!(shown.contains("others can read the password"), "{shown}");
    let named = ["camera", "edit", "yard", "--no-probe", "--set", "password=${CAM}"];
    let out = command(dir.path(), &named)
        .env("CAM", "hunter2")
        .output()
        .unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    // The variable is the recorder's: it is in the way of trying this camera only.
    let out = nvr(dir.path(), &["camera", "edit", "front", "--name", "Gate"]);
    assert_eq!(out.code, 0, "{out:?}");
    let elsewhere = ["camera", "edit", "yard", "--source", "rtsp://127.0.0.1:1/y"];
    let out = nvr(dir.path(), &elsewhere);
    assert!(
        out.code == 3 && out.stderr.contains("`CAM` is not set"),
        "{out:?}"
    );
    let out = nvr(dir.path(), &[&elsewhere[..], &["--no-probe"]].concat());
    assert_eq!(out.code, 0, "{out:?}");
    let out = nvr(
        dir.path(),
        &["camera", "edit", "yard", "--no-probe", "--unset", "password"],
    );
    assert_eq!(out.code, 0, "{out:?}");

    let out = nvr(
        dir.path(),
        &["camera", "edit", "front", "--name", "Door", "--unset", "priority"],
    );
    assert_eq!(out.code, 0, "{out:?}");
    assert!(read().contains("name = \"Door\"\n") && !read().contains("priority"));
    // Nothing differs: nothing is written, and nothing is to be taken over.
    let out = nvr(dir.path(), &["camera", "edit", "front", "--name", "Door"]);
    assert_eq!(
        (out.code, out.stdout.as_str()),
        (0, "front: nothing to change\n"),
        "{out:?}"
    );
    let out = nvr(dir.path(), &["camera", "add", "My Camera", "test:", "--no-probe"]);
    assert!(
        out.code == 3 && out.stderr.contains("\nhint: nothing was written"),
        "{out:?}"
    );
    for id in ["front", "yard"] {
        let out = nvr(dir.path(), &["camera", "remove", id]);
        assert_eq!(out.code, 0, "{out:?}");
    }
    assert_eq!(read().trim_end(), before.trim_end());
    assert_ne!(nvr(dir.path(), &["camera", "remove", "front"]).code, 0);
}

/// Who can write into the recordings must not be shown what the recorder may read elsewhere, and a pipe holds up nobody.
#[test]
fn what_lies_in_the_place_of_a_segment_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    // There is to be one.
    let length_s = undivided(SystemClock::new().now()).as_secs();
    let config = format!(
        "[recorder]\nroot = \"rec\"\n[recording]\nsegment = \"{length_s}s\"\n[http]\nenabled = false\n[[cameras]]\n\
         id = \"front\"\nsource = \"test:?size=320x180&fps=10&gop=10\"\n"
    );
    std::fs::write(dir.path().join("nvr.toml"), config).unwrap();
    assert_eq!(nvr(dir.path(), &["run", "--for", "3"]).code, 0);
    let segments = nvr(dir.path(), &["segments", "--json"]).json();
    let file = dir.path().join("rec").join(segments[0]["path"].as_str().unwrap());
    let aside = dir.path().join("aside.mp4");
    std::fs::rename(&file, &aside).unwrap();
    let refused = || {
        for args in [
            &["export", "front", "--last", "1h", "-o", "clip.mp4"][..],
            &["snapshot", "front", "-o", "picture.jpg"],
            &["motion", "front", "--last", "1h"],
        ] {
            let out = nvr(dir.path(), args);
            assert_eq!(out.code, 4, "{args:?}: {out:?}");
            assert!(out.stderr.contains("no ordinary file"), "{out:?}");
        }
        let out = nvr(dir.path(), &["check", "--json"]);
        assert_eq!(out.code, 13, "{out:?}");
        assert_eq!(out.json()["problems"][0]["kind"], "missing_file", "{out:?}");
    };
    // What the link leads to could be played.
    std::os::unix::fs::symlink(&aside, &file).unwrap();
    refused();
    std::fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    refused();
    std::fs::remove_file(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    assert_eq!(
        nvr(dir.path(), &["export", "front", "--last", "1h", "-o", "clip.mp4"]).code,
        0
    );
    // A job has no standard output, and a device is no file to be replaced.
    for to in ["-", "/dev/null"] {
        let job = ["export", "front", "--last", "1h", "-o", to, "--job"];
        let args = if to == "-" { &job[..] } else { &job[..6] };
        let out = nvr(dir.path(), args);
        assert_eq!(out.code, 2, "{args:?}: {out:?}");
    }
    assert!(!dir.path().join("-").exists());
}

#[test]
fn a_hint_fits_what_was_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[recorder]\nroot = \"rec\"\n[http]\nenabled = false\n[[cameras]]\nid = \"front\"\nsource = \"test:\"\n";
    std::fs::write(dir.path().join("nvr.toml"), config).unwrap();
    assert_eq!(nvr(dir.path(), &["run", "--for", "1"]).code, 0);
    for (args, hint) in [
        (&["restore-backup", "none.tar.gz"][..], "is the path right?"),
        (
            &["book", "import", "none.ics", "--cameras", "front"],
            "is the path right?",
        ),
        (&["book", "show", "77"], "`nvr book list` shows them"),
        (&["book", "cancel", "77"], "`nvr book list` shows them"),
    ] {
        let out = nvr(dir.path(), args);
        assert_eq!(out.code, 4, "{args:?}: {out:?}");
        assert!(
            out.stderr.contains(&format!("\nhint: {hint}\n")),
            "{args:?}: {out:?}"
        );
    }
}

/// The findings of a subject, as `verdict: text`.
fn findings(out: &crate::common::Outcome, subject: &str) -> Vec<String> {
    let report = out.json();
    let all = report["findings"].as_array().unwrap();
    all.iter()
        .filter(|f| f["subject"] == subject)
        .map(|f| {
            let is_ok = f["verdict"] == "ok";
            assert_eq!(f["advice"].is_null(), is_ok, "{f}");
            format!(
                "{}: {}",
                f["verdict"].as_str().unwrap(),
                f["text"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn doctor_looks_at_everything_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let port = crate::common::free_port();
    let text = format!(
        "[recorder]\nroot = \"rec\"\n[http]\nlisten = \"127.0.0.1:{port}\"\nwebrtc = false\n\
         [[cameras]]\nid = \"front\"\nsource = \"rtsp://127.0.0.1:9/\"\n\
         [[cameras]]\nid = \"usb\"\nsource = \"v4l2:/dev/nothing-here\"\n"
    );
    std::fs::write(dir.path().join("nvr.toml"), &text).unwrap();
    let doctor = || nvr(dir.path(), &["doctor", "--json", "--no-codecs"]);
    let out = doctor();
    // The device is not there: the code of what was not found.
    assert_eq!(out.code, 4, "{out:?}");
    assert_eq!(out.json()["verdict"], "fail");
    let devices = findings(&out, "devices");
    assert!(
        devices[0].starts_with("fail: /dev/nothing-here of usb"),
        "{devices:?}"
    );
    assert_eq!(findings(&out, "configuration"), ["ok: nvr.toml: 2 cameras"]);
    assert!(findings(&out, "root")[0].ends_with("will be made at the first start"));
    assert_eq!(findings(&out, "ports"), [format!("ok: 127.0.0.1:{port} is free")]);
    // GStreamer keeps what it found in the home folder, which is here.
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".cache")
        .collect();
    assert_eq!(names, ["nvr.toml"]);

    // A folder of other things, a port that is taken, an index that is none.
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    std::fs::write(dir.path().join("rec/letter"), "dear").unwrap();
    std::fs::write(dir.path().join("rec/nvr.db"), "no database at all".repeat(100)).unwrap();
    let out = doctor();
    assert!(findings(&out, "ports")[0].contains("is taken"), "{out:?}");
    assert!(findings(&out, "root")[0].starts_with("fail: "), "{out:?}");
    assert!(findings(&out, "index")[0].starts_with("fail: "), "{out:?}");
    // Measured, and said how much was written.
    let speed = findings(&out, "disk speed");
    assert!(
        speed[0].contains("(wrote ") && speed[0].contains("2 of them guessed"),
        "{speed:?}"
    );
    let mut left: Vec<_> = std::fs::read_dir(dir.path().join("rec"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["letter", "nvr.db"]);
    drop(taken);

    // Text for people; nothing is written on request; without a configuration the machine is looked at.
    let out = nvr(dir.path(), &["doctor", "--no-codecs", "--no-write"]);
    assert!(
        out.stdout.contains("FAIL  index: ") && out.stdout.contains("      -> "),
        "{out:?}"
    );
    assert!(!out.stdout.contains("disk speed"), "{out:?}");
    let out = nvr(
        dir.path(),
        &["-c", "none.toml", "doctor", "--json", "--no-codecs"],
    );
    assert!(out.code != 0 && findings(&out, "configuration")[0].starts_with("fail: "));
    assert_eq!(findings(&out, "GStreamer").len(), 1, "{out:?}");
    assert!(findings(&out, "index").is_empty());
}

#[test]
fn package_files_are_complete() {
    let dir = tempfile::tempdir().unwrap();
    let out = nvr(dir.path(), &["package-files", "out", "--root", "rec"]);
    assert_eq!(out.code, 0, "{out:?}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join("out").join(name)).unwrap();
    assert!(read("man/nvr.1").contains("nvr\\-doctor(1)"));
    assert!(read("man/nvr-doctor.1").contains("\\-\\-no\\-write"));
    assert!(read("man/nvr-camera-add.1").contains("SYNOPSIS"));
    for name in ["completions/nvr.bash", "completions/_nvr", "completions/nvr.fish"] {
        assert!(read(name).contains("doctor"), "{name}");
    }
    // The packagers' own command is nobody else's.
    let hidden = dir.path().join("out/man/nvr-package-files.1");
    assert!(!hidden.exists() && !read("man/nvr.1").contains("package\\-files"));
    let out = nvr(dir.path(), &["-c", "out/nvr.toml", "validate"]);
    assert_eq!(out.code, 0, "{out:?}");
}

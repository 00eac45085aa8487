//! Mistakes: all at once, at their place, without secrets, whatever the text.

use proptest::prelude::*;

use super::super::*;
use super::{FULL, mistakes, parse};

#[test]
fn all_mistakes_are_told_at_once_with_their_place() {
    let text = r#"[recorder]
rooot = "/srv/nvr"
time_zone = "Europe/Berlinn"
max_starting = 0

[recording]
segment = "5x"
chunk = "2s"
container = "mp5"

[http]
listen = "localhost"

[log]
filter = "loud"

[[cameras]]
id = "front"
source = "rtsp://"
transport = "tpc"

[[cameras]]
id = "Front Door"
source = "test:"
latency = "1s"
password = "x"

[[cameras]]
id = "front"
source = "test:"

[[cameras]]
id = "front"
source = "test:?size=1x1"
[extra]
"#;
    let found = mistakes(text);
    let want = [
        "1:1 recorder.root: `root` is missing in recorder",
        "2:1 recorder.rooot: unknown key `rooot` in recorder",
        "3:13 recorder.time_zone: `time_zone`: \"Europe/Berlinn\" is not a known time zone",
        "4:16 recorder.max_starting: `max_starting`: 0 is out of bounds",
        "7:11 recording.segment: `segment`: \"5x\" is not a duration",
        "8:9 recording.chunk: `chunk`: 2s is out of bounds",
        "9:13 recording.container: `container`: \"mp5\" is not one of fmp4, mp4, matroska",
        "12:10 http.listen: `listen`: \"localhost\" is not an address with a port",
        "15:10 log.filter: `filter`: \"loud\" is not a filter",
        "19:10 cameras[0].source: source: the URL has no host",
        "20:13 cameras[0].transport: `transport`: \"tpc\" is not one of auto, tcp, udp, multicast, http",
        "23:6 cameras[1].id: `id`: \"Front Door\" is not usable",
        "25:11 cameras[1].latency: `latency` does not go with this source",
        "26:12 cameras[1].password: `password` without `user`",
        "26:12 cameras[1].password: `password` does not go with this source",
        "29:6 cameras[2].id: two cameras are called `front`",
        "33:6 cameras[3].id: two cameras are called `front`",
        "34:10 cameras[3].source: source: test: size=1x1, sides are even and from 16 to 7680",
        "35:2 extra: unknown key `extra` in the configuration",
    ];
    assert_eq!(found, want, "{}", found.join("\n"));
}

#[test]
fn a_camera_without_a_usable_source_still_has_its_id() {
    let text = "[recorder]\nroot = \"r\"\n[[cameras]]\nid = \"a\"\nsource = \"rtps://x\"\n\
                [[cameras]]\nid = \"a\"\nsource = \"test:\"\n";
    assert_eq!(
        mistakes(text),
        [
            "5:10 cameras[0].source: source: the scheme is not known",
            "7:6 cameras[1].id: two cameras are called `a`"
        ]
    );
}

#[test]
fn the_lean_client_for_all_does_not_go_with_another_transport_of_one() {
    let text = |transport: &str| {
        format!(
            "[recorder]\nroot = \"/srv\"\n[recording]\ningest = \"lean\"\n[[cameras]]\nid = \"yard\"\n\
             source = \"rtsp://cam/x\"\ntransport = \"{transport}\"\n"
        )
    };
    let found = mistakes(&text("udp"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("8:13 cameras[0].transport: `transport`: the lean client"),
        "{found:?}"
    );
    parse(&text("tcp")).unwrap();
    parse(&format!("{}ingest = \"auto\"\n", text("udp"))).unwrap();
}

#[test]
fn two_cameras_of_one_name_point_at_each_other() {
    let text = "[recorder]\nroot = \"r\"\n[[cameras]]\nid = \"a\"\nsource = \"test:\"\n[[cameras]]\nid = \"a\"\nsource = \"test:\"\n";
    let errors = parse(text).unwrap_err();
    let [problem] = errors.problems() else {
        panic!("{errors}")
    };
    assert_eq!((problem.line, problem.column), (7, 6));
    assert_eq!(
        problem.to_string(),
        "error: two cameras are called `a`\n --> /etc/nvr/nvr.toml:7:6\n  |\n7 | id = \"a\"\n  |      ^^^\n  = hint: the other one is in line 4"
    );
}

#[test]
fn mistakes_of_syntax_are_told_together_and_do_not_bring_others() {
    let text = "[recorder]\nroot = \"r\nmax_manual = 1 2\nsegmnt = 1\n[http]\nlisten = \"x\"\n";
    let found = mistakes(text);
    let lines: Vec<_> = found.iter().map(|m| m.split(':').next().unwrap()).collect();
    assert!(lines.contains(&"2") && lines.contains(&"3"), "{found:?}");
    assert!(found.iter().any(|m| m.contains("segmnt")), "{found:?}");
    assert!(found.iter().any(|m| m.contains("http.listen")), "{found:?}");
    assert!(!found.iter().any(|m| m.contains("missing")), "{found:?}");
}

#[test]
fn secrets_are_never_shown() {
    let root = "[recorder]\nroot = \"r\"\n";
    for text in [
        "[[cameras]]\nid = \"${CAM_PW}!\"\nsource = \"${BAD}\"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://u:${BAD}@host/\"\nsegment = \"${CAM_PW}\"\nrecord = \"${CAM_PW}\"",
        "[[cameras]]\nid = \"a\"\nsource = \"test:?${CAM_PW}=1\"\nsize = \"${CAM_PW}\"",
        "[[cameras]]\nid = \"${CAM_PW}\"\nsource = \"test:\"\n[[cameras]]\nid = \"${CAM_PW}\"\nsource = \"test:\"",
        "[http]\nlisten = \"${CAM_PW}\"\nmax_body = \"${CAM_PW}\"\nenabled = \"${CAM_PW}\"",
        "[log]\nfilter = \"${BAD}\"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://admin:hunter2@/\"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://h/\"\nuser = \"a\"\npassword = \"hunter2\" \"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://h/\"\npassword = hunter2\n",
    ] {
        let errors = parse(&format!("{root}{text}")).unwrap_err();
        let shown = format!("{errors} {}", serde_json::to_string(errors.problems()).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        let error = Error::from(errors);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_missing_variable_is_told_at_its_place() {
    let text = "[recorder]\nroot = \"${NO_SUCH}/x\"\n";
    assert_eq!(
        mistakes(text),
        ["2:8 recorder.root: the environment variable `NO_SUCH` is not set"]
    );
}

#[test]
fn tables_of_the_wrong_kind() {
    assert_eq!(
        mistakes("recorder = 1\n[cameras.front]\nsource = \"test:\""),
        [
            "1:12 recorder: `recorder` is a table, not an integer",
            "2:2 cameras: `cameras` is a list, not a table"
        ]
    );
    assert_eq!(
        mistakes("cameras = [1]\n[recorder]\nroot = [\"a\"]"),
        [
            "1:12 cameras[0]: a camera is a table, not an integer",
            "3:8 recorder.root: `root`: a list is not a text"
        ]
    );
}

/// Every mistake lies inside the text.
fn check_places(text: &str) -> Result<(), TestCaseError> {
    if let Err(errors) = parse(text) {
        prop_assert!(errors.error_count() > 0);
        let lines: Vec<&str> = text.split('\n').collect();
        for p in errors.problems() {
            prop_assert!(p.line >= 1 && p.line <= lines.len(), "{p:?}");
            prop_assert!(
                p.column >= 1 && p.column <= lines[p.line - 1].chars().count() + 1,
                "{p:?}"
            );
            prop_assert!(!p.to_string().is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        check_places(&text)?;
    }

    #[test]
    fn toml_like_text_is_survived(text in "([\\[\\]{}=\".,#'a-z0-9 \n\t\r${}:-]|cameras|recorder|root|id|source|\"\"\"){0,80}") {
        check_places(&text)?;
    }

    #[test]
    fn damaged_text_is_survived(cut in 0..FULL.len(), len in 0usize..40, junk in "[\\PC\n\"'\\[\\]=#]{0,8}") {
        let end = (cut + len).min(FULL.len());
        let text = format!("{}{junk}{}", &FULL[..cut], &FULL[end..]);
        check_places(&text)?;
    }
}

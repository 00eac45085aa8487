//! Tests of changes: what stays, what is refused, what a crash leaves.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{ConfigFile, EditOrigin, FieldErrors};
use crate::error::{Error, ErrorKind};

const FILE: &str = r#"# Ours.

[recorder]
root = "/srv/video"   # the big disk

# About recording.
[recording]
# Short ones.
segment = "5m"
chunk = 250ms_is_not_here

#chunk = "250ms"

# The house.

# Front door.
[[cameras]]
id = "front"   # do not rename
name = 'Front'
source = "rtsp://admin:hunter2@10.0.0.2/1"

# Why is it slow?
watchdog = "20s" # slow

# Yard.
[[cameras]]
id = "yard"
source = "rtsp://10.0.0.3/1"
user = "u"
password = "${NVR_TEST_EDIT}"

# The end.
"#;

fn text() -> String {
    FILE.replace("chunk = 250ms_is_not_here\n", "")
}

fn object(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn edit_text(text: &str, change: Json, origin: EditOrigin) -> Result<String, Error> {
    // Variables of the process cannot be set in a test.
    let text = text.replace("${NVR_TEST_EDIT}", "${PATH}");
    let file = ConfigFile::of_text(Path::new("/nowhere/nvr.toml"), text);
    file.edit(&object(change), origin)
        .map(|e| e.text().replace("${PATH}", "${NVR_TEST_EDIT}"))
}

fn edit(change: Json) -> String {
    edit_text(&text(), change, EditOrigin::Remote).unwrap()
}

/// Paths of the mistakes of a change by somebody on the network.
fn mistakes(change: Json) -> Vec<(String, String)> {
    let error = edit_text(&text(), change, EditOrigin::Remote).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let source = std::error::Error::source(&error).unwrap();
    let FieldErrors(fields) = source.downcast_ref::<FieldErrors>().unwrap();
    assert!(!fields.is_empty());
    fields
        .iter()
        .map(|f| (f.path.clone(), f.message.clone()))
        .collect()
}

#[test]
fn only_the_value_changes() {
    let new = edit(json!({ "recording": { "segment": "10m" }, "cameras": { "front": { "name": "Door" } } }));
    let want = text().replace("\"5m\"", "\"10m\"").replace("'Front'", "\"Door\"");
    assert_eq!(new, want);
}

#[test]
fn what_is_as_it_was_is_left_alone() {
    let text = text().replace("NVR_TEST_EDIT", "PATH");
    let file = ConfigFile::of_text(Path::new("nvr.toml"), text.as_str());
    let shown = file.shown();
    assert_eq!(shown["cameras"][0]["source"], "rtsp://admin:***@10.0.0.2/1");
    let mut cameras = Map::new();
    for camera in shown["cameras"].as_array().unwrap() {
        cameras.insert(camera["id"].as_str().unwrap().to_owned(), camera.clone());
    }
    let all = json!({ "recorder": shown["recorder"], "recording": shown["recording"], "cameras": cameras });
    let edited = file.edit(&object(all), EditOrigin::Remote).unwrap();
    assert!(
        edited.changed().is_empty() && edited.text() == text,
        "{}",
        edited.text()
    );
}

#[test]
fn new_keys_and_entries_come_behind_the_old_ones() {
    let new = edit(json!({
        "recording": { "audio": false },
        "cameras": { "back": { "source": "test:", "priority": 7 }, "front": { "segment": "1m" } },
        "log": { "format": "json" },
    }));
    let want = text()
        .replace("segment = \"5m\"\n", "segment = \"5m\"\naudio = false\n")
        .replace("# slow\n", "# slow\nsegment = \"1m\"\n")
        .replace(
            "_EDIT}\"\n",
            "_EDIT}\"\n\n[[cameras]]\nid = \"back\"\nsource = \"test:\"\npriority = 7\n",
        )
        + "\n[log]\nformat = \"json\"\n";
    assert_eq!(new, want);
}

#[test]
fn what_goes_takes_its_own_comments_along() {
    let new = edit(json!({ "cameras": { "front": null }, "recording": { "segment": null } }));
    let (before, rest) = FILE.split_once("# Short ones.").unwrap();
    let (_, yard) = rest.split_once("# slow\n").unwrap();
    assert_eq!(
        new,
        format!("{before}\n#chunk = \"250ms\"\n\n# The house.\n\n{yard}")
    );
    let new = edit(json!({ "cameras": { "yard": null, "front": { "watchdog": null } } }));
    assert!(new.ends_with("2/1\"\n\n# The end.\n"), "{new}");
}

#[test]
fn any_form_of_the_file_can_be_changed() {
    let change = json!({
        "recording": { "segment": "1m" },
        "http": { "enabled": false },
        "cameras": { "a": { "name": "A" }, "b": { "source": "test:" } },
    });
    for (text, want) in [
        (
            "recorder = { root = \"/r\" }\nhttp.listen = \"127.0.0.1:1\"\ncameras = [{ id = \"a\", source = \"test:\" }]\n",
            "recorder = { root = \"/r\" }\nhttp.listen = \"127.0.0.1:1\"\nhttp.enabled = false\n\
             cameras = [{ id = \"a\", source = \"test:\", name = \"A\" }, { id = \"b\", source = \"test:\" }]\n\n\
             [recording]\nsegment = \"1m\"\n",
        ),
        (
            "[recorder]\nroot = \"/r\"\n[[cameras]]\nid = \"a\"\nsource = \"test:\"",
            "[recorder]\nroot = \"/r\"\n[[cameras]]\nid = \"a\"\nsource = \"test:\"\nname = \"A\"\n\n\
             [[cameras]]\nid = \"b\"\nsource = \"test:\"\n\n[recording]\nsegment = \"1m\"\n\n[http]\nenabled = false\n",
        ),
    ] {
        let change = object(change.clone());
        let file = ConfigFile::of_text(Path::new("nvr.toml"), text);
        let got = file.edit(&change, EditOrigin::Remote).unwrap();
        let mut lines: Vec<&str> = got.text().lines().collect();
        let mut wanted: Vec<&str> = want.lines().collect();
        if text.starts_with('[') {
            // The order of new sections is that of the change.
            lines.sort_unstable();
            wanted.sort_unstable();
        }
        assert_eq!(lines, wanted, "{}", got.text());
    }
    let file = ConfigFile::of_text(
        Path::new("nvr.toml"),
        "cameras = []\n# Here.\n[recorder]\nroot = \"/r\"\n",
    );
    let new = json!({ "cameras": { "b": { "source": "test:" } } });
    let got = file.edit(&object(new), EditOrigin::Remote).unwrap();
    assert!(
        got.text().contains("# Here.\n[recorder]") && got.config().cameras.len() == 1,
        "{}",
        got.text()
    );
}

#[test]
fn every_mistake_is_told_at_its_field() {
    let found = mistakes(json!({
        "recorder": { "max_starting": "x", "root": null },
        "recording": { "segmnet": "1m", "chunk": [1] },
        "cameras": {
            "front": { "source": "gopher://x", "id": "door", "watchdog": "1s" },
            "yard": { "source": "file:/etc/passwd", "name": "${HOME}", "password": 7 },
            "new cam": {},
            "gone": null,
            "x": 1,
        },
        "upload": { "nas": { "url": "" } },
        "nonsense": {},
        "log": 1,
    }));
    let mut paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "cameras.front.id",
            "cameras.front.source",
            "cameras.front.watchdog",
            "cameras.gone",
            "cameras.new cam.id",
            "cameras.new cam.source",
            "cameras.x",
            "cameras.yard.name",
            "cameras.yard.password",
            "cameras.yard.source",
            "log",
            "nonsense",
            "recorder.max_starting",
            "recorder.root",
            "recording.chunk",
            "recording.segmnet",
            "upload.nas.url",
        ],
        "{found:#?}"
    );
    let found = mistakes(json!({ "cameras": { "front": { "source": "gopher://x", "watchdog": "1s" } } }));
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["cameras.front.source", "cameras.front.watchdog"]);
    assert!(
        mistakes(json!({ "cameras": { "yard": { "name": null, "source": null } } }))
            .iter()
            .any(|(path, _)| path == "cameras.yard.source")
    );
}

#[test]
fn variables_are_for_those_who_can_edit_the_file() {
    let change = json!({ "cameras": { "front": { "name": "${HOME}", "source": "file:/clip.mp4" } } });
    let paths: Vec<_> = mistakes(change.clone())
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(paths, ["cameras.front.name", "cameras.front.source"]);
    let new = edit_text(&text(), change, EditOrigin::Local).unwrap();
    assert!(new.contains("name = \"${HOME}\"") && new.contains("file:/clip.mp4"));
    // One that stands there may stay.
    let new = edit(
        json!({ "cameras": { "yard": { "password": "${NVR_TEST_EDIT}", "name": "Y" } } })
            .to_string()
            .replace("NVR_TEST_EDIT", "PATH")
            .parse()
            .unwrap(),
    );
    assert!(new.contains("password = \"${NVR_TEST_EDIT}\""));
}

#[test]
fn secrets_stay_and_are_not_told() {
    let file = ConfigFile::of_text(Path::new("nvr.toml"), text());
    assert!(!file.shown().to_string().contains("hunter2") && !format!("{file:?}").contains("hunter2"));
    let new = edit(json!({ "cameras": { "front": { "source": "rtsp://admin:***@10.0.0.9/2" } } }));
    assert!(new.contains("source = \"rtsp://admin:hunter2@10.0.0.9/2\""));
    let found = mistakes(json!({ "cameras": { "front": { "password": "***", "user": "u" } } }));
    assert_eq!(found[0].0, "cameras.front.password");
    let broken = "[recorder]\nroot = \"/r\"\npassword = \"hunter2\" x\n";
    let file = ConfigFile::of_text(Path::new("nvr.toml"), broken);
    let e = file
        .edit(&object(json!({ "log": {} })), EditOrigin::Remote)
        .unwrap_err();
    assert!(
        e.kind() == ErrorKind::Config && !format!("{e}").contains("hunter2"),
        "{e}"
    );
    assert_eq!(file.shown(), Json::Null);
    assert!(!format!("{:?}", file.problems()).contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Files with comments everywhere, changed at random: untouched lines and all comments that do not belong to
    /// what goes stay in their order.
    #[test]
    fn comments_and_untouched_keys_stay(
        notes in proptest::collection::vec("[ #a-zäß\\[\\]=\"]{0,12}", 24),
        blank in proptest::collection::vec(any::<bool>(), 24),
        set in proptest::collection::vec(0u8..3, 5),
        add in any::<bool>(),
    ) {
        let mut next = 0;
        let mut note = || {
            let i = next % notes.len();
            next += 1;
            // A blank line parts it from what follows, so that it stays whatever goes.
            let gap = if blank[i] { "\n\n" } else { "\n" };
            format!("{gap}#{} {i}.\n\n", notes[i])
        };
        let mut text = String::new();
        let keys = [("recording", "segment", "\"5m\""), ("recording", "audio", "true"), ("log", "filter", "'info'")];
        text += &format!("{}[recorder]\n{}root = \"/r\"#{}\n", note(), note(), notes[0]);
        let mut heading = "";
        for (section, key, value) in keys {
            if section != heading {
                text += &format!("{}[{section}]#h\n", note());
                heading = section;
            }
            text += &format!("{}  {key}  =  {value}\n", note());
        }
        for id in ["a", "b"] {
            text += &format!("{}[[cameras]]\n{}id = '{id}'\n{}source = \"test:\"\n", note(), note(), note());
        }
        text += &note();
        let mut change = json!({ "recording": {}, "log": {}, "cameras": {} });
        for ((section, key, _), what) in keys.iter().zip(&set) {
            match (what, *key) {
                (1, "segment") => change[section][key] = json!("10m"),
                (1, "audio") => change[section][key] = json!(false),
                (1, _) => change[section][key] = json!("warn"),
                (2, _) => change[section][key] = Json::Null,
                _ => {}
            }
        }
        for (id, what) in ["a", "b"].iter().zip(&set[3..]) {
            match what {
                1 => change["cameras"][id] = json!({ "name": "N" }),
                2 => change["cameras"][id] = Json::Null,
                _ => {}
            }
        }
        if add {
            change["cameras"]["new"] = json!({ "source": "test:" });
        }
        let file = ConfigFile::of_text(Path::new("nvr.toml"), text.as_str());
        let edited = file.edit(&object(change.clone()), EditOrigin::Remote).unwrap();
        let new = edited.text();
        // Each line that is there still, and that is all but the ones that were touched or went, in order.
        let goes = |line: &str, camera: Option<&str>| {
            let key = line.trim_start().split([' ', '=']).next().unwrap_or_default();
            let touched = keys.iter().any(|(s, k, _)| *k == key && change[s].get(k).is_some());
            let gone = camera.is_some_and(|id| change["cameras"].get(id) == Some(&Json::Null));
            touched || gone
        };
        let mut camera = None;
        let mut rest = new.lines();
        let mut ahead: Vec<&str> = text.lines().collect();
        for line in text.lines() {
            ahead.remove(0);
            if line == "[[cameras]]" {
                camera = ahead.iter().find_map(|l| l.strip_prefix("id = '")).map(|l| &l[..1]);
            }
            // Comments inside a camera that goes belong to it; those above its heading do not.
            let inside = camera.is_some() && ahead.iter().any(|l| l.starts_with("source"))
                && !ahead.iter().take_while(|l| !l.starts_with("source")).any(|l| *l == "[[cameras]]");
            let of = if line.starts_with("source") || inside { camera } else { None };
            if line.trim().is_empty() || goes(line, of) {
                continue;
            }
            prop_assert!(rest.any(|l| l == line), "{line:?} is lost or moved\n{text}\n----\n{new}");
        }
        // The same change once more finds nothing to do, and nothing to remove.
        let again = ConfigFile::of_text(Path::new("nvr.toml"), new);
        let mut same = change;
        same["cameras"].as_object_mut().unwrap().retain(|_, v| !v.is_null());
        let once_more = again.edit(&object(same), EditOrigin::Remote).unwrap();
        prop_assert!(once_more.changed().is_empty() && once_more.text() == new);
    }
}

/// Variables of cameras are the recorder's: who changes another camera at this machine does not need them. Those of
/// everything else are.
#[test]
fn a_variable_that_is_not_set_here_is_in_the_way_of_its_own_camera_only() {
    let text = "[recorder]\nroot = \"/r\"\n[[cameras]]\nid = \"a\"\nsource = \"rtsp://h/\"\nuser = \"u\"\npassword = \"${NVR_NOT_SET}\"\n\
                [[cameras]]\nid = \"b\"\nsource = \"test:\"\n";
    let change = || object(json!({ "cameras": { "b": { "name": "Yard" } } }));
    let file = ConfigFile::of_text(Path::new("/nowhere/nvr.toml"), text);
    let edited = file.edit(&change(), EditOrigin::Local).unwrap();
    assert!(edited.text().contains("name = \"Yard\"") && edited.text().contains("${NVR_NOT_SET}"));
    let unknown: Vec<&str> = edited.unknown().iter().map(|f| f.path.as_str()).collect();
    assert_eq!(unknown, ["cameras.a.password"]);
    // The recorder itself must have them.
    let error = file.edit(&change(), EditOrigin::Remote).unwrap_err();
    assert!(error.to_string().contains("NVR_NOT_SET"), "{error}");
    let wrong = object(json!({ "cameras": { "b": { "name": "Yard", "segment": "1s" } } }));
    let error = file.edit(&wrong, EditOrigin::Local).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("cameras.b.segment") && !told.contains("NVR_NOT_SET"),
        "{told}"
    );
}

/// A part of `a_kill_leaves_the_old_or_the_new_file`: rewrites the file of `NVR_EDIT_FILE` until it is killed.
#[test]
fn writes_for_ever() {
    let Some(path) = std::env::var_os("NVR_EDIT_FILE") else {
        return;
    };
    for round in 0u32.. {
        let file = ConfigFile::read(Path::new(&path)).unwrap();
        let name = format!("{round} {}", "x".repeat(90));
        let change = json!({ "cameras": { "a": { "name": name } } });
        let edited = file.edit(&object(change), EditOrigin::Local).unwrap();
        file.write(&edited).unwrap();
    }
}

#[test]
fn a_kill_leaves_the_old_or_the_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nvr.toml");
    let filler = "# A comment that is there to make the file long.\n".repeat(2000);
    let text =
        format!("[recorder]\nroot = \"/r\"\n{filler}[[cameras]]\nid = \"a\"\nsource = \"test:\"\n{filler}");
    std::fs::write(&path, &text).unwrap();
    for round in 0..8 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "config::edit::tests::writes_for_ever"])
            .env("NVR_EDIT_FILE", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        // Until it writes, then some reads later, at another moment each time.
        while std::fs::read_to_string(&path).unwrap() == before {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        for _ in 0..round {
            std::fs::read_to_string(&path).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let after = std::fs::read_to_string(&path).unwrap();
        let config = crate::config::Config::parse(&after, Some(&path)).unwrap();
        assert_eq!(
            config.cameras[0].name.len() - 91,
            config.cameras[0].name.find(' ').unwrap()
        );
        assert!(after.len() > text.len() && after.ends_with(&filler));
    }
    // What a kill left beside it is in nobody's way.
    let file = ConfigFile::read(&path).unwrap();
    let edited = file
        .edit(&object(json!({ "cameras": { "a": null } })), EditOrigin::Local)
        .unwrap();
    file.write(&edited).unwrap();
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["nvr.toml"]);
}

#[test]
fn mode_and_links_stay_and_a_changed_file_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("real.toml");
    let link = dir.path().join("nvr.toml");
    std::fs::write(&path, "[recorder]\nroot = \"/r\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("real.toml", &link).unwrap();
    let file = ConfigFile::read(&link).unwrap();
    let add = json!({ "cameras": { "a": { "source": "rtsp://h/", "user": "u", "password": "hunter2" } } });
    let edited = file.edit(&object(add), EditOrigin::Remote).unwrap();
    let now = file.write(&edited).unwrap();
    assert_eq!(ConfigFile::read(&path).unwrap().version(), now.version());
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    // Made from what is no longer there.
    let e = file.write(&edited).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
    assert_eq!(
        file.expect(&now.version()).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert!(now.expect(&now.version()).is_ok());
    assert!(std::fs::read_dir(dir.path()).unwrap().count() == 2);
}

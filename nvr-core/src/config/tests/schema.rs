//! The schema, and the texts that are written for people.

use std::net::SocketAddr;

use super::super::*;
use super::{FULL, parse};
use crate::source::SourceSpec;

#[test]
fn the_defaults_in_the_schema_are_those_of_the_code() {
    let schema = Config::json_schema();
    let mut text = String::new();
    for (name, heading) in SECTIONS {
        text += &format!("{heading}\n");
        if name == "recorder" {
            text += "root = \"/srv/nvr\"\n";
        }
        if name == "tier" {
            text += "root = \"/archive\"\n";
        }
        if name == "oidc" {
            text += "issuer = \"https://sso/\"\nclient_id = \"nvr\"\ngroups = \"a = admin\"\n";
        }
        if name == "cameras" {
            text += "id = \"a\"\nsource = \"rtsp://host/\"\n";
        }
        if name == "upload" {
            text += "name = \"a\"\nurl = \"/nas\"\n";
        }
        if name == "calendar" {
            text += "name = \"a\"\nurl = \"https://host/a.ics\"\ncameras = \"a\"\n";
        }
        if name == "alert_rule" {
            text += "name = \"a\"\nkind = \"clock\"\n";
        }
        if name == "alert_channel" {
            text += "name = \"a\"\nkind = \"webhook\"\naddress = \"https://host/\"\n";
        }
        if name == "timelapse" {
            text += "name = \"a\"\ncameras = \"a\"\n";
        }
        let section = schema::section_schema(&schema, name);
        for (key, property) in section["properties"].as_object().unwrap() {
            if let Some(default) = property.get("default") {
                text += &format!("{key} = {default}\n");
            }
        }
    }
    let said = parse(&text).unwrap();
    let silent =
        parse("[recorder]\nroot = \"/srv/nvr\"\n[tier]\nroot = \"/archive\"\n[oidc]\nissuer = \"https://sso/\"\nclient_id = \"nvr\"\ngroups = \"a = admin\"\n[[cameras]]\nid = \"a\"\nsource = \"rtsp://host/\"\n[[upload]]\nname = \"a\"\nurl = \"/nas\"\n[[calendar]]\nname = \"a\"\nurl = \"https://host/a.ics\"\ncameras = \"a\"\n[[alert_rule]]\nname = \"a\"\nkind = \"clock\"\n[[alert_channel]]\nname = \"a\"\nkind = \"webhook\"\naddress = \"https://host/\"\n[[timelapse]]\nname = \"a\"\ncameras = \"a\"").unwrap();
    assert_eq!(said, silent, "{text}");
    assert!(text.matches(" = ").count() > 20, "{text}");
}

#[test]
fn the_schema_knows_the_same_keys_as_the_reader() {
    // Each key of the full text is in the schema, and an unknown one is refused by both.
    let schema = Config::json_schema();
    let value: toml::Value = toml::from_str(FULL).unwrap();
    for (name, _) in SECTIONS {
        let section = schema::section_schema(&schema, name);
        assert_eq!(section["additionalProperties"], false, "{name}");
        let tables: Vec<&toml::Value> = match &value[name] {
            toml::Value::Array(list) => list.iter().collect(),
            other => vec![other],
        };
        for key in tables.iter().flat_map(|t| t.as_table().unwrap().keys()) {
            assert!(section["properties"].get(key).is_some(), "{name}.{key}");
        }
    }
}

#[test]
fn the_template_is_valid_and_holds_every_key() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
    let nasty = TemplateCamera {
        id: "usb".into(),
        name: "A \"quoted\" \\ ${NAME} name".into(),
        source: "v4l2:/dev/v4l/by-id/usb-x".into(),
        options: vec![
            ("format".into(), "h264".into()),
            ("size".into(), "640x480".into()),
        ],
        commented: false,
    };
    let commented = TemplateCamera {
        id: "onvif".into(),
        source: "rtsp://10.0.0.9/".into(),
        commented: true,
        ..nasty.clone()
    };
    let text = template_text(
        Path::new("/srv/a \"b\""),
        Some(Path::new("/srv")),
        listen,
        &[nasty.clone(), commented],
    );
    let c = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(c.recorder.root, Path::new("/srv/a \"b\""));
    assert_eq!(c.cameras.len(), 1);
    assert_eq!(c.cameras[0].name, nasty.name);
    assert_eq!(c.warnings, []);
    let schema = Config::json_schema();
    for (name, _) in SECTIONS {
        let keys = schema::section_schema(&schema, name)["properties"]
            .as_object()
            .unwrap();
        for key in keys.keys() {
            assert!(text.contains(&format!("{key} =")), "{key}");
        }
    }
    // What stands there commented out is usable once the mark is taken away.
    let bare = template_text(Path::new("/srv/nvr"), None, listen, &[]);
    let filled: String = bare
        .lines()
        .map(|l| {
            l.strip_prefix('#')
                .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
                .unwrap_or(l)
        })
        .filter(|l| !l.ends_with(" ="))
        .map(|l| l.replace("CAMERA_PASSWORD", "CAM_PW") + "\n")
        .collect();
    let c = parse(&filled).unwrap_or_else(|e| panic!("{e}\n{filled}"));
    assert_eq!(c.cameras.len(), 1);
}

#[test]
fn the_demo_is_valid() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let rtsp = cfg!(feature = "rtsp-server").then_some(listen);
    let c = parse(&demo_text(listen, rtsp)).unwrap();
    assert_eq!(c.warnings, []);
    assert_eq!(c.rtsp_server.enabled, rtsp.is_some());
    let sizes: Vec<_> = c
        .cameras
        .iter()
        .map(|c| match &c.source {
            SourceSpec::Test(t) => (c.id.as_str(), t.size),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(sizes, [("front", (1280, 720)), ("yard", (640, 360))]);
}

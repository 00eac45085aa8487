//! Texts of configuration files: a commented one for a new recorder, and that of the demo.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::expand::escape;
use super::schema::{is_required, section_schema};
use super::{Config, SECTIONS};

/// A camera for [`template_text`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateCamera {
    /// Its id; has to be usable as a [`CameraId`](crate::ids::CameraId).
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Text of its source.
    pub source: String,
    /// More keys, each with the text of its value (`("record", "manual")`).
    pub options: Vec<(String, String)>,
    /// Whether it stands in the file as a comment, to be filled in.
    pub commented: bool,
}

/// A commented configuration with all keys: recordings below `root`, on the disk mounted at `root_mount` if one is
/// given, and the given cameras.
#[must_use]
pub fn template_text(
    root: &Path,
    root_mount: Option<&Path>,
    listen: SocketAddr,
    cameras: &[TemplateCamera],
) -> String {
    let schema = Config::json_schema();
    let mut out = String::from(HEAD);
    for (name, heading) in SECTIONS {
        let section = section_schema(&schema, name);
        if name == "cameras" {
            let _ = writeln!(out, "\n# {}", section["description"].as_str().unwrap_or_default());
            for camera in cameras {
                write_camera(&mut out, camera);
            }
            if cameras.is_empty() {
                write_camera(&mut out, &example());
            }
            out.push_str("\n# What else a camera can have; it goes below the camera's other lines:\n");
            write_keys(&mut out, section, "", &[]);
            continue;
        }
        let example = match name {
            "tier" => Some("#root = \"/mnt/archive/nvr\""),
            "oidc" => Some(
                "#issuer = \"https://sso.example.org/realms/home\"\n#client_id = \"nvr\"\n#groups = \"nvr-admins = admin\"",
            ),
            "calendar" => Some(
                "#name = \"council\"\n#url = \"https://calendar.example.org/council.ics\"\n#cameras = \"hall, stage\"",
            ),
            "alert_rule" => Some("#name = \"gate-soon\"\n#kind = \"camera_offline\"\n#after = \"30s\""),
            "alert_channel" => Some(
                "#name = \"phone\"\n#kind = \"ntfy\"\n#address = \"https://ntfy.sh/a-topic-nobody-guesses\"",
            ),
            "timelapse" => Some("#name = \"garden\"\n#cameras = \"yard\""),
            "upload" => Some("#name = \"nas\"\n#url = \"/mnt/nas/cctv\""),
            _ => None,
        };
        if let Some(example) = example {
            let about = section["description"].as_str().unwrap_or_default();
            let _ = write!(out, "\n# {about}\n#{heading}\n{example}\n");
            write_keys(&mut out, section, "", &[]);
            continue;
        }
        let _ = write!(
            out,
            "\n# {}\n{heading}\n",
            section["description"].as_str().unwrap_or_default()
        );
        let root = quote(&root.to_string_lossy());
        let listen = quote(&listen.to_string());
        let mut set = vec![("root", root.as_str()), ("listen", listen.as_str())];
        let mount = root_mount.map(|m| quote(&m.to_string_lossy()));
        set.extend(mount.as_ref().map(|m| ("root_mount", m.as_str())));
        write_keys(&mut out, section, "", &set);
    }
    out
}

/// The configuration of the demo: two synthetic cameras of different size, recorded below `dir`, served at one address over
/// HTTP and at another over RTSP.
#[must_use]
pub fn demo_text(listen: SocketAddr, rtsp: Option<SocketAddr>) -> String {
    // Open where only this machine can ask; elsewhere like any recorder.
    let open = |address: SocketAddr| {
        if address.ip().is_loopback() && listen.ip().is_loopback() {
            "auth = \"none\"\n"
        } else {
            ""
        }
    };
    let mut out = format!(
        "# The demo's configuration: every command of nvr works on it, with the demo running or not.\n\n\
         [recorder]\nroot = \"recordings\"\n\n[recording]\nsegment = \"1m\"\n\n\
         [http]\nlisten = {}\n{}",
        quote(&listen.to_string()),
        open(listen),
    );
    if let Some(rtsp) = rtsp {
        let listen = quote(&rtsp.to_string());
        let _ = write!(
            out,
            "\n[rtsp_server]\nenabled = true\nlisten = {listen}\n{}",
            open(rtsp)
        );
    }
    for (id, name, source) in [
        (
            "front",
            "Front door",
            "test:?size=1280x720&fps=25&gop=50&pattern=smpte",
        ),
        (
            "yard",
            "Yard",
            "test:?size=640x360&fps=15&gop=60&audio=0&pattern=ball",
        ),
    ] {
        write_camera(
            &mut out,
            &TemplateCamera {
                id: id.into(),
                name: name.into(),
                source: source.into(),
                options: Vec::new(),
                commented: false,
            },
        );
    }
    out
}

const HEAD: &str = "\
# Configuration of the nvr network video recorder.
#
# A line such as `#key = value` shows a key with its default.
# Check this file with `nvr validate`; docs/config.md explains all keys.
# ${NAME} in a text is replaced by the environment variable, ${file:/path} by the contents of a file.
";

fn example() -> TemplateCamera {
    TemplateCamera {
        id: "front".into(),
        name: "Front door".into(),
        source: "rtsp://192.0.2.10:554/stream1".into(),
        options: vec![("user".into(), "viewer".into())],
        commented: true,
    }
}

fn write_camera(out: &mut String, camera: &TemplateCamera) {
    let lead = if camera.commented { "#" } else { "" };
    let _ = writeln!(out, "\n{lead}[[cameras]]");
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{lead}{key} = {}", quote(&escape(value)));
    };
    line("id", &camera.id);
    line("name", &camera.name);
    line("source", &camera.source);
    for (key, value) in &camera.options {
        line(key, value);
    }
    if camera.commented {
        // Not escaped: this one is to be read from the environment.
        let _ = writeln!(out, "{lead}password = \"${{CAMERA_PASSWORD}}\"");
    }
}

/// All keys of a section with their documentation; those with a given value are set, the others shown.
fn write_keys(out: &mut String, section: &Value, lead: &str, given: &[(&str, &str)]) {
    for (key, property) in section["properties"].as_object().into_iter().flatten() {
        let value = given.iter().find(|(name, _)| name == key);
        if value.is_none() && is_required(section, key) {
            // The example has it.
            continue;
        }
        wrap(out, lead, property["description"].as_str().unwrap_or_default());
        for word in property["oneOf"].as_array().into_iter().flatten() {
            let about = word["description"].as_str().unwrap_or_default();
            wrap(out, lead, &format!("  {}: {about}", word["const"]));
        }
        match (value, &property["default"]) {
            (Some((_, value)), _) => {
                let _ = writeln!(out, "{key} = {value}");
            }
            (None, Value::Null) => {
                let _ = writeln!(out, "{lead}#{key} =");
            }
            (None, default) => {
                let _ = writeln!(out, "{lead}#{key} = {default}");
            }
        }
    }
}

/// A comment of lines of at most 100 characters.
fn wrap(out: &mut String, lead: &str, text: &str) {
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && lead.len() + line.len() + word.len() > 96 {
            let _ = writeln!(out, "{lead}# {indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{lead}# {indent}{line}");
}

/// A text as a TOML string.
fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

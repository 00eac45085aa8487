//! `nvr camera`: adds, changes and removes cameras in the configuration file, comments and order kept.

use clap::{Args, Subcommand};
use nvr_core::config::{Config, ConfigFile, EditOrigin};
use nvr_core::detect::ProbeOptions;
use nvr_core::error::{Error, ErrorKind};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;
use crate::{client, logging};

#[derive(Subcommand, Debug)]
pub enum CameraCommand {
    /// Add a camera to the configuration, once it was seen to work.
    Add(AddArgs),
    /// Change keys of a camera.
    Edit(EditArgs),
    /// Take a camera out of the configuration; its footage stays.
    Remove(RemoveArgs),
    /// List the cameras, as `nvr cameras` does.
    List,
}

#[derive(Args, Debug)]
pub struct AddArgs {
    /// Its id: 1 to 63 of a-z, 0-9, `_` and `-`.
    id: String,
    /// Where its stream comes from (rtsp://…, http://…, v4l2:/dev/video0, test:, …); with --onvif the camera says so.
    #[arg(required_unless_present = "onvif")]
    source: Option<String>,
    /// Ask the camera at this address (host, host:port or a whole one; `nvr detect` finds them) by ONVIF for its streams,
    /// with --user and NVR_PASSWORD.
    #[arg(long, value_name = "ADDRESS")]
    onvif: Option<String>,
    #[command(flatten)]
    keys: Keys,
    /// Do not open it first.
    #[arg(long)]
    no_probe: bool,
}

#[derive(Args, Debug)]
pub struct EditArgs {
    /// Its id.
    id: String,
    /// Where its stream comes from.
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    keys: Keys,
    /// Give a key its default back.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Do not open it first, should its source or user change.
    #[arg(long)]
    no_probe: bool,
}

#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// Its id.
    id: String,
}

#[derive(Args, Debug)]
struct Keys {
    /// Name for people.
    #[arg(long)]
    name: Option<String>,
    /// User at the camera. The password is read from the environment variable NVR_PASSWORD and written to the file; to
    /// keep it out of there: `--set 'password=${CAM_PASSWORD}'`.
    #[arg(long)]
    user: Option<String>,
    /// Any other key of `[[cameras]]` (docs/config.md), as in `--set record=manual`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Serialize)]
struct Report {
    camera: String,
    /// What differs now.
    changed: Vec<String>,
    /// Whether a running recorder took it over.
    in_force: bool,
}

pub async fn run(global: &Global, command: CameraCommand, output: Output) -> Result<(), Failure> {
    let (id, change, probe) = match command {
        CameraCommand::List => return super::cameras::run(global, output).await,
        CameraCommand::Add(args) => {
            let mut keys = keys(&args.keys)?;
            if let Some(address) = &args.onvif {
                let offered = super::onvif::offered(address, args.keys.user.clone(), output).await?;
                for (key, value) in offered {
                    keys.entry(key).or_insert(value);
                }
            }
            keys.extend(args.source.map(|s| ("source".to_owned(), s.into())));
            (args.id, Change::Add(keys), !args.no_probe)
        }
        CameraCommand::Edit(args) => {
            let mut keys = keys(&args.keys)?;
            keys.extend(args.source.map(|s| ("source".to_owned(), s.into())));
            keys.extend(args.unset.into_iter().map(|key| (key, Value::Null)));
            let matters = ["source", "user", "password"]
                .iter()
                .any(|k| keys.contains_key(*k));
            (args.id, Change::Edit(keys), matters && !args.no_probe)
        }
        CameraCommand::Remove(args) => (args.id, Change::Remove, false),
    };
    logging::start(global.verbose, None);
    let path = global.config.clone();
    let file = client::blocking(move || ConfigFile::read(&path)).await?;
    let is_there = file.cameras().contains(&id);
    let value = match change {
        Change::Add(_) if is_there => {
            let error = Error::new(ErrorKind::AlreadyExists, format!("camera {id} exists already"));
            return Err(error
                .with_hint(format!("change it with `nvr camera edit {id}`"))
                .into());
        }
        Change::Edit(_) | Change::Remove if !is_there => {
            let error = Error::new(ErrorKind::NotFound, format!("there is no camera {id}"));
            return Err(error.with_hint("`nvr cameras` lists them").into());
        }
        Change::Add(keys) | Change::Edit(keys) => Value::Object(keys),
        Change::Remove => Value::Null,
    };
    // A variable is no secret.
    let has_password = value["password"].as_str().is_some_and(|p| !p.starts_with("${"));
    let changes = Map::from_iter([("cameras".to_owned(), json!({ id.as_str(): value }))]);
    let edited = file
        .edit(&changes, EditOrigin::Local)
        .map_err(|e| match e.hint() {
            Some(_) => e,
            None => e.with_hint("nothing was written; docs/config.md has the keys of a camera"),
        })?;
    let found = edited.config().cameras.iter().find(|c| c.id.as_str() == id);
    let own = format!("cameras.{id}.");
    // Those of other cameras are no matter of this change.
    let unknown = edited.unknown().iter().find(|f| f.path.starts_with(&own));
    if let Some(field) = unknown.filter(|_| probe) {
        let error = Error::new(ErrorKind::Config, format!("{}: {}", field.path, field.message));
        return Err(error
            .with_hint("nothing was written; set it to try the camera here, or leave that to the recorder with `--no-probe`")
            .into());
    }
    if let Some(camera) = found.filter(|_| probe) {
        let spinner = output.spinner(format!("opening {}", camera.source));
        let result = nvr_core::detect::probe(camera.source.clone(), ProbeOptions::default()).await;
        spinner.finish_and_clear();
        result.map_err(|e| match e.hint() {
            Some(_) => e,
            None => e.with_hint("nothing was written; `--no-probe` writes it all the same"),
        })?;
    }
    let changed = edited.changed().to_vec();
    let config = edited.config().clone();
    if !changed.is_empty() {
        client::blocking(move || file.write(&edited)).await?;
    }
    // What was written by hand before may wait for it as well.
    let in_force = take_over(&config).await;
    if has_password && read_by_others(&global.config) {
        let file = global.config.display();
        output.note(&format!(
            "others can read the password in {file}: `chmod 600 {file}`"
        ));
    }
    let report = Report {
        camera: id,
        changed,
        in_force,
    };
    output.result(&report, || text(&report))
}

enum Change {
    Add(Map<String, Value>),
    Edit(Map<String, Value>),
    Remove,
}

/// The keys that were named, each of the kind that the schema says.
fn keys(args: &Keys) -> Result<Map<String, Value>, Failure> {
    let schema = Config::json_schema();
    let target = schema["properties"]["cameras"]["items"]["$ref"]
        .as_str()
        .unwrap_or_default();
    let camera = schema
        .pointer(target.trim_start_matches('#'))
        .unwrap_or(&Value::Null);
    let mut keys = Map::new();
    keys.extend(args.name.clone().map(|name| ("name".to_owned(), name.into())));
    if let Some(user) = &args.user {
        keys.insert("user".into(), user.as_str().into());
        let password = std::env::var("NVR_PASSWORD").ok();
        keys.extend(password.map(|password| ("password".to_owned(), password.replace("${", "$${").into())));
    }
    for (key, text) in &args.set {
        let kind = camera["properties"][key]["type"].as_str();
        let value = match kind {
            Some("boolean") => text.parse().ok().map(Value::Bool),
            Some("integer") => text.parse::<u64>().ok().map(Value::from),
            Some("number") => text.parse::<f64>().ok().map(Value::from),
            _ => None,
        };
        // What cannot be read is told by the reader, with its place.
        keys.insert(key.clone(), value.unwrap_or_else(|| text.as_str().into()));
    }
    Ok(keys)
}

/// Whether users other than its owner and group can read a file.
fn read_by_others(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o007 != 0)
}

/// Has a running recorder read the file again; whether one did.
async fn take_over(config: &Config) -> bool {
    let Ok(Some(address)) = client::answering(config).await else {
        return false;
    };
    let body = json!({ "changes": {} });
    let answer = client::ask(&address, "PATCH", "/api/v1/config", Some(&body)).await;
    answer.is_some_and(|a| a.status == 200)
}

fn text(report: &Report) -> String {
    let Report {
        camera,
        changed,
        in_force,
    } = report;
    let done = if changed.is_empty() {
        format!("{camera}: nothing to change")
    } else {
        format!("{camera}: written ({})", changed.join(", "))
    };
    if changed.is_empty() {
        done
    } else if *in_force {
        format!("{done}; the recorder took it over")
    } else {
        format!("{done}; a running recorder takes it over on SIGHUP (`systemctl reload nvr`)")
    }
}

//! `nvr objects`: how looking for objects fares; whether a model can be used.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nvr_core::clock::SystemClock;
use nvr_core::config::{Config, ObjectsConfig};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::objects::{ModelReport, PictureReport, try_model};
use serde_json::Value;

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{client, config, logging};

/// Most names in a line of text.
const NAMES: usize = 12;

#[derive(Args, Debug)]
pub struct ObjectsArgs {
    #[command(subcommand)]
    command: Option<ObjectsCommand>,
}

#[derive(Subcommand, Debug)]
enum ObjectsCommand {
    /// Read a model here, and say what it knows and how long it takes for a picture. Needs no recorder that runs.
    Try(TryArgs),
}

#[derive(Args, Debug)]
struct TryArgs {
    /// File of the model, in the ONNX format; the one that is configured by default.
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Pictures (JPEG or PNG) in which it is to look; say what it finds.
    #[arg(long, value_name = "FILES", num_args = 1..)]
    picture: Vec<PathBuf>,
    /// Names of what it knows, a line each, for a model without names in it.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How sure it has to be, 0 to 1.
    #[arg(long, value_name = "SCORE", value_parser = score)]
    threshold: Option<f32>,
}

fn score(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(score @ 0.0..=1.0) => Ok(score),
        _ => Err("a number from 0 to 1 is needed".to_owned()),
    }
}

pub async fn run(global: &Global, args: ObjectsArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    if let Some(ObjectsCommand::Try(args)) = args.command {
        return try_one(global, args, output).await;
    }
    let config = config::load(global)?;
    if !client::recorder_runs(&config).await? {
        let error = Error::new(ErrorKind::Unavailable, "no recorder runs that could be asked");
        return Err(error
            .with_hint("start it with `nvr run`, or read a model here with `nvr objects try`")
            .into());
    }
    let recorder = client::required_address(&config)?;
    let status = client::order(&recorder, "GET", "/api/v1/objects", None).await?;
    output.result(&status, || text(&status))
}

async fn try_one(global: &Global, args: TryArgs, output: Output) -> Result<(), Failure> {
    // A model may be tried before there is a configuration.
    let configured = match (&args.model, Config::load_without_secrets(&global.config)) {
        (_, Ok(config)) => config.objects,
        (Some(_), Err(_)) => None,
        (None, Err(e)) => return Err(e.into()),
    };
    let mut objects = match (args.model, configured) {
        (Some(model), Some(mut objects)) if objects.model != model => {
            // Names and classes are those of the other one.
            objects.labels = None;
            objects.classes.clear();
            objects.model = model;
            objects
        }
        (Some(model), None) => ObjectsConfig::new(model),
        (_, Some(objects)) => objects,
        (None, None) => {
            let error = Error::new(ErrorKind::InvalidArgument, "no model is configured");
            return Err(error
                .with_hint("name one: `nvr objects try yolo11n.onnx`; or set `model` in [objects]")
                .into());
        }
    };
    objects.labels = args.labels.or(objects.labels);
    objects.threshold = args.threshold.unwrap_or(objects.threshold);
    let spinner = output.spinner("reading the model");
    let file = objects.model.display().to_string();
    let report =
        tokio::task::spawn_blocking(move || try_model(&objects, &args.picture, &*SystemClock::shared()))
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
    spinner.finish_and_clear();
    let report = report?;
    output.result(&report, || {
        let mut lines = vec![about(&file, &report)];
        lines.extend(report.pictures.iter().map(seen));
        lines.join("\n")
    })
}

/// What was found in a picture, a line each.
fn seen(picture: &PictureReport) -> String {
    let file = picture.file.display();
    if picture.objects.is_empty() {
        return format!("{file}: nothing");
    }
    let rows = picture.objects.iter().map(|o| {
        let share = |v: f32| format!("{:.0} %", v * 100.0);
        vec![
            o.label.clone(),
            format!("{:.2}", o.score),
            share(o.area.x),
            share(o.area.y),
            share(o.area.width),
            share(o.area.height),
        ]
    });
    let header = ["OBJECT", "SCORE", "LEFT", "TOP", "WIDTH", "HEIGHT"];
    let table = output::table(&header, &[1, 2, 3, 4, 5], rows);
    format!("{file}:\n{table}")
}

/// What a model turned out to be, in a line.
pub fn about(file: &str, report: &ModelReport) -> String {
    let (width, height) = report.input;
    format!(
        "{file}: pictures of {width}x{height}, each takes {}; {}",
        each(report.look_ns),
        knows(report.labels.iter().map(String::as_str), report.labels.len())
    )
}

/// The time for a picture: networks take from less than a millisecond to seconds.
fn each(ns: i64) -> String {
    let ms = ns.max(0) as f64 / 1e6;
    match ms {
        ..10.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => output::duration(ns),
    }
}

fn knows<'a>(labels: impl Iterator<Item = &'a str>, n: usize) -> String {
    if n == 0 {
        return "it does not say what it knows (set `labels`)".to_owned();
    }
    let some: Vec<&str> = labels.take(NAMES).collect();
    let more = if n > some.len() { ", …" } else { "" };
    format!("it knows {n}: {}{more}", some.join(", "))
}

fn text(status: &Value) -> String {
    let word = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
    let labels: Vec<&str> = status["labels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut out = match status["state"].as_str() {
        Some("ready") => format!(
            "{}: in pictures that show motion; {}",
            word("model"),
            knows(labels.iter().copied(), labels.len())
        ),
        Some("loading") => format!("{}: the model is being read", word("model")),
        Some("failed") => word("trouble"),
        _ if status["built_in"] == false => {
            "this recorder was built without object detection (feature `onnx`)".to_owned()
        }
        _ => "objects are not looked for: set `model` in [objects] (docs/objects.md)".to_owned(),
    };
    let cameras = status["cameras"].as_array().cloned().unwrap_or_default();
    if !cameras.is_empty() {
        let number = |camera: &Value, key: &str| camera[key].as_u64().unwrap_or_default();
        let seconds = |camera: &Value| {
            let pictures = number(camera, "pictures").max(1) as f64;
            camera["cpu_seconds"].as_f64().unwrap_or_default() / pictures
        };
        out.push('\n');
        out += &output::table(
            &["CAMERA", "PICTURES", "LEFT OUT", "FOUND", "CPU EACH"],
            &[1, 2, 3, 4],
            cameras.iter().map(|c| {
                vec![
                    c["camera"].as_str().unwrap_or_default().to_owned(),
                    number(c, "pictures").to_string(),
                    number(c, "pictures_dropped").to_string(),
                    number(c, "found").to_string(),
                    format!("{:.0} ms", 1000.0 * seconds(c)),
                ]
            }),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fast_network_takes_more_than_nothing() {
        let times = [450_000, 9_940_000, 85_400_000, 1_240_000_000].map(each);
        assert_eq!(times, ["0.5 ms", "9.9 ms", "85 ms", "1.2s"]);
    }

    #[test]
    fn each_state_says_what_to_do() {
        let of = |value: Value| text(&value);
        let ready = of(
            json!({"state": "ready", "model": "m.onnx", "labels": ["person", "car"], "cameras": [
            {"camera": "yard", "pictures": 4, "pictures_dropped": 1, "found": 2, "cpu_seconds": 0.5}]}),
        );
        assert!(
            ready.starts_with("m.onnx: in pictures that show motion; it knows 2: person, car\n"),
            "{ready}"
        );
        assert!(ready.contains("125 ms"), "{ready}");
        let unnamed = of(json!({"state": "ready", "model": "m.onnx", "labels": []}));
        assert!(unnamed.contains("set `labels`"), "{unnamed}");
        assert_eq!(
            of(json!({"state": "failed", "trouble": "no such file"})),
            "no such file"
        );
        assert!(of(json!({"state": "off", "built_in": false})).contains("feature `onnx`"));
        assert!(of(json!({"state": "off", "built_in": true})).contains("[objects]"));
    }
}

//! `nvr detections`: what was seen; telling the running recorder of more.

use clap::{Args, Subcommand};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::store::DetectionQuery;
use nvr_core::{CameraId, Detection, DetectionKind, TimeRange};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::window::Window;
use crate::{archive, client, times};

#[derive(Subcommand, Debug)]
pub enum DetectionsCommand {
    /// List what was seen, newest first.
    List(ListArgs),
    /// Tell of something that is seen, or was; its footage is kept as that of an event.
    Add(AddArgs),
    /// Say that something from outside is over.
    End(EndArgs),
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Cameras; all if none is given.
    #[arg(value_name = "CAMERA")]
    cameras: Vec<String>,
    #[command(flatten)]
    window: Window,
    /// Only this kind (motion, object, line, camera, external); may be given several times.
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<DetectionKind>,
    /// Only with this label; may be given several times.
    #[arg(long = "label", value_name = "TEXT")]
    labels: Vec<String>,
    /// Only what is at least so sure, 0 to 1.
    #[arg(long, value_name = "SCORE", default_value_t = 0.0)]
    min_score: f32,
    /// Most rows.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Args, Debug)]
pub struct AddArgs {
    /// Camera.
    camera: CameraId,
    /// What it is ("doorbell").
    label: String,
    /// Begin; now if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End; it goes on if absent, until it is ended.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// How sure, 0 to 1.
    #[arg(long)]
    score: Option<f32>,
    /// Zone of the picture.
    #[arg(long)]
    zone: Option<String>,
    /// More about it, as JSON.
    #[arg(long, value_name = "JSON", value_parser = json_text)]
    data: Option<Value>,
}

#[derive(Args, Debug)]
pub struct EndArgs {
    /// Camera.
    camera: CameraId,
    /// Its number, as the list has it.
    id: i64,
    /// End; now if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

fn kind(text: &str) -> Result<DetectionKind, String> {
    DetectionKind::from_name(text).ok_or_else(|| {
        let names = DetectionKind::ALL.map(DetectionKind::as_str);
        format!("want one of {}", names.join(", "))
    })
}

fn json_text(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

pub async fn run(global: &Global, command: DetectionsCommand, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let time = |text: Option<&String>| {
        text.map(|text| times::parse(text, asked.now, &asked.zone))
            .transpose()
    };
    match command {
        DetectionsCommand::List(args) => list(&asked, args, output).await,
        DetectionsCommand::Add(args) => {
            let mut body = json!({"label": args.label});
            let fields = [
                ("from", time(args.from.as_ref())?.map(|t| json!(t))),
                ("to", time(args.to.as_ref())?.map(|t| json!(t))),
                ("score", args.score.map(|s| json!(s))),
                ("zone", args.zone.map(|z| json!(z))),
                ("data", args.data),
            ];
            for (name, value) in fields {
                if let Some(value) = value {
                    body[name] = value;
                }
            }
            let path = format!("/api/v1/cameras/{}/detections", args.camera);
            let made = order(&asked, &path, &body).await?;
            output.result(&made, || match made["to"].as_str() {
                Some(_) => format!("detection {} was entered", made["id"]),
                None => format!(
                    "detection {0} goes on; end it with `nvr detections end {1} {0}`",
                    made["id"], args.camera
                ),
            })
        }
        DetectionsCommand::End(args) => {
            let mut body = json!({});
            if let Some(to) = time(args.to.as_ref())? {
                body["to"] = json!(to);
            }
            let path = format!("/api/v1/cameras/{}/detections/{}/end", args.camera, args.id);
            let ended = order(&asked, &path, &body).await?;
            output.result(&ended, || format!("detection {} has ended", args.id))
        }
    }
}

async fn order(asked: &archive::Asked, path: &str, body: &Value) -> Result<Value, Failure> {
    if !client::recorder_runs(&asked.config).await? {
        return Err(
            Error::new(ErrorKind::Unavailable, "no recorder runs that could be told")
                .with_hint("start it with `nvr run`")
                .into(),
        );
    }
    let recorder = client::required_address(&asked.config)?;
    client::order(&recorder, "POST", path, Some(body)).await
}

async fn list(asked: &archive::Asked, args: ListArgs, output: Output) -> Result<(), Failure> {
    let whole = asked.now.since(nvr_core::Timestamp::from_secs(0));
    let range = args.window.range(asked.now, &asked.zone, Some(whole))?;
    let mut query = DetectionQuery::new(TimeRange::new(range.start(), range.end().add_ns(1))?);
    if !args.cameras.is_empty() {
        query.cameras = Some(asked.cameras(&args.cameras).await?);
    }
    query.kinds = args.kinds;
    query.labels = args.labels;
    query.min_score = args.min_score;
    query.limit = args.limit;
    let page = asked.archive.detections_of(query).await?;
    let end = |d: &Detection| {
        d.to.map_or_else(|| "goes on".into(), |to| output::duration(to.since(d.from)))
    };
    output.result(&page.items, || {
        let header = [
            "ID", "CAMERA", "BEGIN", "LENGTH", "KIND", "WHAT", "SCORE", "SOURCE",
        ];
        output::table(
            &header,
            &[0, 3, 6],
            page.items.iter().map(|d| {
                vec![
                    d.id.to_string(),
                    d.camera.to_string(),
                    times::show(d.from, &asked.zone),
                    end(d),
                    d.kind.as_str().to_owned(),
                    d.title(),
                    format!("{:.2}", d.score),
                    d.source.clone().unwrap_or_default(),
                ]
            }),
        )
    })?;
    if page.next.is_some() {
        output.note(&format!(
            "there are more than {}; see --limit, --from and --to",
            args.limit
        ));
    }
    Ok(())
}

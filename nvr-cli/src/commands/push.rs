//! `nvr push`: a camera's live stream to a server that others watch. All of it asks the running recorder.

use clap::{Args, Subcommand, ValueEnum};
use nvr_core::CameraId;
use nvr_core::error::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{client, config, logging};

/// Where the address may stand, so that its key shows in no list of processes.
const URL: &str = "NVR_PUSH_URL";

#[derive(Subcommand, Debug)]
pub enum PushCommand {
    /// List the pushes and how they fare.
    List {
        /// Only this camera's.
        camera: Option<CameraId>,
    },
    /// Push a camera to an RTMP or SRT address, until it is ended.
    Start(StartArgs),
    /// End a push.
    Stop {
        /// Camera.
        camera: CameraId,
        /// Its number in the list.
        push: u64,
    },
}

#[derive(Args, Debug)]
pub struct StartArgs {
    /// Camera.
    camera: CameraId,
    /// rtmp://host/app/key, rtmps://host/app/key or srt://host:port?streamid=...; without it that of NVR_PUSH_URL, which no
    /// list of processes shows.
    url: Option<String>,
    /// Which stream.
    #[arg(long, value_enum, default_value_t = StreamArg::Main)]
    stream: StreamArg,
    /// Without sound.
    #[arg(long)]
    no_audio: bool,
    /// Go on after a restart of the recorder.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum StreamArg {
    /// The one that is recorded.
    Main,
    /// The smaller one.
    Sub,
}

pub async fn run(global: &Global, command: PushCommand, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    if !client::recorder_runs(&config).await? {
        return Err(
            Error::new(ErrorKind::Unavailable, "no recorder runs that could push")
                .with_hint("start it with `nvr run`")
                .into(),
        );
    }
    let recorder = client::required_address(&config)?;
    match command {
        PushCommand::List { camera } => {
            let path = camera.map_or_else(
                || "/api/v1/pushes".to_owned(),
                |camera| format!("/api/v1/cameras/{camera}/pushes"),
            );
            let mut answer = client::order(&recorder, "GET", &path, None).await?;
            let pushes = answer["pushes"].take();
            output.result(&pushes, || list(&pushes))
        }
        PushCommand::Start(args) => {
            let url = args.url.or_else(|| std::env::var(URL).ok()).ok_or_else(|| {
                Error::new(ErrorKind::InvalidArgument, "there is no address to push to")
                    .with_hint(format!("give it as the second argument, or set {URL}"))
            })?;
            let stream = match args.stream {
                StreamArg::Main => "main",
                StreamArg::Sub => "sub",
            };
            let body = json!({"url": url, "stream": stream, "audio": !args.no_audio, "keep": args.keep});
            let path = format!("/api/v1/cameras/{}/pushes", args.camera);
            let push = client::order(&recorder, "POST", &path, Some(&body)).await?;
            output.result(&push, || {
                format!(
                    "push {} of {} to {} was begun",
                    push["id"],
                    text(&push["camera"]),
                    text(&push["url"])
                )
            })
        }
        PushCommand::Stop { camera, push } => {
            let path = format!("/api/v1/cameras/{camera}/pushes/{push}");
            client::order(&recorder, "DELETE", &path, None).await?;
            output.result(&json!({"camera": camera, "id": push, "stopped": true}), || {
                format!("push {push} of {camera} has ended")
            })
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(pushes: &Value) -> String {
    let Some(pushes) = pushes.as_array().filter(|all| !all.is_empty()) else {
        return "no pushes".into();
    };
    let rows = pushes.iter().map(|p| {
        vec![
            p["id"].to_string(),
            text(&p["camera"]),
            text(&p["url"]),
            text(&p["stream"]),
            if p["keep"] == true { "yes" } else { "no" }.to_owned(),
            text(&p["state"]),
            output::bytes(p["bytes"].as_u64().unwrap_or(0)),
            p["frames_lost"].to_string(),
            text(&p["last_failure"]["message"]),
        ]
    });
    let head = [
        "push",
        "camera",
        "to",
        "stream",
        "kept",
        "state",
        "sent",
        "lost",
        "last failure",
    ];
    output::table(&head, &[0, 6, 7], rows)
}

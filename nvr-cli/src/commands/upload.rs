//! `nvr upload`: copies of segments at other places. All of it asks the running recorder, which does the work.

use clap::{Args, Subcommand, ValueEnum};
use nvr_core::error::{Error, ErrorKind};
use serde_json::Value;

use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::window::Window;
use crate::{client, config, logging};

#[derive(Args, Debug)]
pub struct UploadArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Show how the targets stand.
    Status,
    /// List uploads of a target.
    List {
        /// Name of the target.
        target: String,
        /// In this state.
        #[arg(long, value_enum, default_value_t = State::Waiting)]
        state: State,
        /// The newest footage first.
        #[arg(long)]
        newest: bool,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Upload footage now, whatever the target usually takes and whatever its windows.
    Now {
        /// Camera.
        camera: String,
        #[command(flatten)]
        window: Window,
        /// Name of the target; all by default.
        #[arg(long)]
        target: Option<String>,
    },
    /// Try again what failed or was called off.
    Retry {
        /// Name of the target.
        target: String,
    },
    /// Print an address at which anybody may fetch a segment's copy.
    Link {
        /// Segment by its id (see `nvr segments`).
        segment: i64,
        /// Name of the target; the first that has it by default.
        #[arg(long)]
        target: Option<String>,
        /// Seconds that it is good for, up to a week.
        #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=604_800))]
        expires: u32,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum State {
    Waiting,
    Queued,
    Done,
    Failed,
    Cancelled,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

pub async fn run(global: &Global, args: UploadArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    let Some(address) = client::answering(&config).await? else {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "no recorder answers; uploads are its work",
        )
        .with_hint("start it with `nvr run`")
        .into());
    };
    let address = &address;
    let ask = |method: &'static str, path: String| async move {
        let answer = client::ask(address, method, &path, None).await.ok_or_else(|| {
            Failure::from(Error::new(ErrorKind::Unavailable, "the recorder does not answer"))
        })?;
        Ok::<Value, Failure>(answer.into_result()?)
    };
    let and_target = |target: Option<String>| {
        target.map_or_else(String::new, |t| format!("&target={}", client::encode(&t)))
    };
    match args.what {
        What::Status => {
            let result = ask("GET", "/api/v1/uploads".into()).await?;
            output.result(&result, || status(&result))
        }
        What::List {
            target,
            state,
            newest,
            limit,
        } => {
            let (state, order) = (state.as_str(), if newest { "desc" } else { "asc" });
            let path = format!(
                "/api/v1/uploads/{}?state={state}&order={order}&limit={limit}",
                client::encode(&target)
            );
            let result = ask("GET", path).await?;
            output.result(&result, || list(&result, state))
        }
        What::Now {
            camera,
            window,
            target,
        } => {
            let asked = archive::open(global).await?;
            let camera = asked.camera(&camera).await?;
            let range = window.range(asked.now, &asked.zone, None)?;
            let path = format!(
                "/api/v1/cameras/{camera}/upload?from={}&to={}{}",
                range.start(),
                range.end(),
                and_target(target)
            );
            let result = ask("POST", path).await?;
            output.result(&result, || match result["segments"].as_u64() {
                Some(1) => "1 segment is to go".to_owned(),
                n => format!("{} segments are to go", n.unwrap_or(0)),
            })
        }
        What::Retry { target } => {
            let result = ask(
                "POST",
                format!("/api/v1/uploads/{}/retry", client::encode(&target)),
            )
            .await?;
            output.result(&result, || match result["segments"].as_u64() {
                Some(1) => "1 segment is tried again".to_owned(),
                n => format!("{} segments are tried again", n.unwrap_or(0)),
            })
        }
        What::Link {
            segment,
            target,
            expires,
        } => {
            let path = format!(
                "/api/v1/segments/{segment}/link?expires={expires}{}",
                and_target(target)
            );
            let result = ask("POST", path).await?;
            output.result(&result, || text(&result["url"]))
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn status(result: &Value) -> String {
    let targets = result.as_array().map(Vec::as_slice).unwrap_or_default();
    if targets.is_empty() {
        return "no upload target is configured; write a section [[upload]]".into();
    }
    let rows = targets.iter().map(|t| {
        let of = |states: &[&str]| {
            let counts = t["counts"].as_array().map(Vec::as_slice).unwrap_or_default();
            let of_state = counts.iter().filter(|c| states.iter().any(|s| c["state"] == *s));
            of_state.fold((0, 0), |(n, b), c| {
                let number = |key: &str| c[key].as_u64().unwrap_or(0);
                (n + number("segments"), b + number("size_bytes"))
            })
        };
        let (waiting, done) = (of(&["waiting", "queued"]), of(&["done"]));
        let state = match (t["trouble_since"].as_str(), t["open"].as_bool()) {
            (Some(since), _) => format!("in trouble since {since}: {}", text(&t["last_failure"])),
            (None, Some(false)) => format!("window opens {}", text(&t["changes"])),
            _ => "well".into(),
        };
        vec![
            text(&t["name"]),
            text(&t["place"]),
            format!("{} ({})", waiting.0, output::bytes(waiting.1)),
            format!("{} ({})", done.0, output::bytes(done.1)),
            of(&["failed"]).0.to_string(),
            state,
        ]
    });
    output::table(
        &["TARGET", "PLACE", "WAITING", "DONE", "FAILED", "STATE"],
        &[2, 3, 4],
        rows,
    )
}

fn list(result: &Value, state: &str) -> String {
    let uploads = result["uploads"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if uploads.is_empty() {
        return format!("no upload is {state}; see others with --state");
    }
    let rows = uploads.iter().map(|u| {
        vec![
            u["segment"].to_string(),
            text(&u["start"]),
            output::bytes(u["size_bytes"].as_u64().unwrap_or(0)),
            text(&u["key"]),
            u["error"]
                .as_str()
                .or(u["uploaded"].as_str())
                .unwrap_or_default()
                .to_owned(),
        ]
    });
    output::table(&["SEGMENT", "START", "SIZE", "KEY", ""], &[0, 2], rows)
}

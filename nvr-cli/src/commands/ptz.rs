//! `nvr ptz`: turns a camera. All of it asks the running recorder.

use std::time::Duration;

use clap::{Args, Subcommand};
use nvr_core::CameraId;
use nvr_core::error::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{client, config, logging};

/// How long one order to move holds; it is given anew before.
const HOLD_MS: u64 = 1500;
const AGAIN: Duration = Duration::from_millis(700);

#[derive(Args, Debug)]
pub struct PtzArgs {
    /// Camera.
    camera: CameraId,
    #[command(subcommand)]
    command: PtzCommand,
}

#[derive(Subcommand, Debug)]
enum PtzCommand {
    /// Show what it can do and which places it remembers.
    Show,
    /// Move at a speed, then stop.
    Move {
        #[command(flatten)]
        vector: VectorArgs,
        /// For so many seconds.
        #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
        seconds: f64,
    },
    /// Move by a distance.
    By {
        #[command(flatten)]
        vector: VectorArgs,
    },
    /// Move to a place; the zoom is from 0 to 1.
    To {
        #[command(flatten)]
        vector: VectorArgs,
    },
    /// Stop.
    Stop,
    /// Go to a place that it remembers, by name or token.
    Preset {
        /// Name or token.
        preset: String,
    },
    /// Remember where it looks now.
    Save {
        /// Name.
        name: String,
    },
    /// Forget a place, by name or token.
    Forget {
        /// Name or token.
        preset: String,
    },
    /// Go where it belongs.
    Home {
        /// Make the present place that one instead.
        #[arg(long)]
        set: bool,
    },
}

#[derive(Args, Clone, Copy, Debug)]
struct VectorArgs {
    /// To the right, -1 to 1.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    pan: f64,
    /// Up, -1 to 1.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    tilt: f64,
    /// Closer, -1 to 1.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    zoom: f64,
}

impl VectorArgs {
    fn body(self, kind: &str) -> Value {
        json!({"pan": self.pan, "tilt": self.tilt, "zoom": self.zoom, "kind": kind})
    }
}

pub async fn run(global: &Global, args: PtzArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    if !client::recorder_runs(&config).await? {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "no recorder runs that could turn the camera",
        )
        .with_hint("start it with `nvr run`")
        .into());
    }
    let recorder = client::required_address(&config)?;
    let camera = args.camera;
    let at = format!("/api/v1/cameras/{camera}/ptz");
    let order = async |path: &str, body: Option<&Value>| {
        client::order(&recorder, "POST", &format!("{at}{path}"), body).await
    };
    let done = match args.command {
        PtzCommand::Show => {
            let found = client::order(&recorder, "GET", &at, None).await?;
            return output.result(&found, || shown(&found));
        }
        PtzCommand::Move { vector, seconds } => {
            if !(0.1..=600.0).contains(&seconds) {
                return Err(Error::new(ErrorKind::InvalidArgument, "--seconds: want 0.1 to 600").into());
            }
            let mut body = vector.body("speed");
            body["hold_ms"] = HOLD_MS.into();
            let mut left = Duration::from_secs_f64(seconds);
            while !left.is_zero() {
                order("/move", Some(&body)).await?;
                let pause = left.min(AGAIN);
                tokio::time::sleep(pause).await;
                left -= pause;
            }
            order("/stop", None).await?;
            "it moved and stands"
        }
        PtzCommand::By { vector } => {
            order("/move", Some(&vector.body("by"))).await?;
            "it moves"
        }
        PtzCommand::To { vector } => {
            order("/move", Some(&vector.body("to"))).await?;
            "it moves"
        }
        PtzCommand::Stop => {
            order("/stop", None).await?;
            "it stands"
        }
        PtzCommand::Save { name } => {
            order("/presets", Some(&json!({"name": name}))).await?;
            "it remembers where it looks"
        }
        PtzCommand::Preset { preset } => {
            let known = client::order(&recorder, "GET", &at, None).await?;
            order(
                &format!("/presets/{}/goto", client::encode(&token(&known, &preset)?)),
                None,
            )
            .await?;
            "it goes there"
        }
        PtzCommand::Forget { preset } => {
            let known = client::order(&recorder, "GET", &at, None).await?;
            let path = format!("{at}/presets/{}", client::encode(&token(&known, &preset)?));
            client::order(&recorder, "DELETE", &path, None).await?;
            "it forgot the place"
        }
        PtzCommand::Home { set } => {
            order("/home", Some(&json!({"set": set}))).await?;
            if set {
                "this is where it belongs"
            } else {
                "it goes home"
            }
        }
    };
    output.result(&json!({"camera": camera, "done": done}), || {
        format!("{camera}: {done}")
    })
}

/// The token of a preset by its name, its letters large or small, or by its token.
fn token(known: &Value, wanted: &str) -> Result<String, Error> {
    let all = || known["presets"].as_array().into_iter().flatten();
    let is = |p: &&Value, key: &str| p[key].as_str().is_some_and(|t| t.eq_ignore_ascii_case(wanted));
    let found = all()
        .find(|p| is(p, "token"))
        .or_else(|| all().find(|p| is(p, "name")));
    found
        .and_then(|p| p["token"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the camera remembers no place {wanted:?}"),
            )
            .with_hint("`nvr ptz CAMERA show` lists them")
        })
}

fn shown(found: &Value) -> String {
    let can: Vec<&str> = [
        ("turns", "turns"),
        ("zooms", "zooms"),
        ("relative", "moves by a distance"),
        ("absolute", "moves to a place"),
        ("home", "has a home"),
    ]
    .into_iter()
    .filter(|(key, _)| found[*key] == true)
    .map(|(_, words)| words)
    .collect();
    let rows = found["presets"].as_array().into_iter().flatten().map(|p| {
        let text = |key: &str| p[key].as_str().unwrap_or_default().to_owned();
        vec![text("token"), text("name")]
    });
    format!(
        "{}\n{}",
        can.join(", "),
        output::table(&["PRESET", "NAME"], &[], rows)
    )
}

//! `nvr alerts`: what is wrong and was told. All of it asks the running recorder.

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use nvr_core::CameraId;
use nvr_core::error::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{client, config, logging, times};

#[derive(Args, Debug)]
pub struct AlertsArgs {
    #[command(subcommand)]
    command: Option<AlertsCommand>,
    /// Show what is over as well, the newest so many.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20")]
    history: Option<u32>,
}

#[derive(Subcommand, Debug)]
enum AlertsCommand {
    /// Show the channels and how they fare.
    Channels,
    /// Send a message to a channel, to see whether it arrives.
    Test {
        /// Name of the channel.
        channel: String,
        /// With a picture of this camera.
        #[arg(long)]
        camera: Option<CameraId>,
    },
    /// Say that somebody knows of an alert: it is not told again, but for its end.
    Ack {
        /// Its number in the list.
        id: u64,
    },
    /// Tell nothing for a time.
    Mute {
        /// For how long: 1h, 30m, 2d.
        duration: String,
        /// Only of this rule.
        #[arg(long)]
        rule: Option<String>,
        /// Only of this camera.
        #[arg(long)]
        camera: Option<CameraId>,
    },
    /// Tell again.
    Unmute {
        /// Number of the mute, as the list shows it.
        id: u64,
    },
}

pub async fn run(global: &Global, args: AlertsArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    if !client::recorder_runs(&config).await? {
        let error = Error::new(ErrorKind::Unavailable, "no recorder runs that could be asked");
        return Err(error.with_hint("start it with `nvr run`").into());
    }
    let recorder = client::required_address(&config)?;
    let zone = times::zone(&config.recorder.time_zone);
    match args.command {
        None => {
            let path = format!(
                "/api/v1/alerts?limit={}",
                args.history.unwrap_or(1).clamp(1, 1000)
            );
            let all = client::order(&recorder, "GET", &path, None).await?;
            output.result(&all, || list(&all, args.history.is_some(), &zone))
        }
        Some(AlertsCommand::Channels) => {
            let all = client::order(&recorder, "GET", "/api/v1/alerts/channels", None).await?;
            output.result(&all, || channels(&all))
        }
        Some(AlertsCommand::Test { channel, camera }) => {
            let path = format!("/api/v1/alerts/channels/{}/test", client::encode(&channel));
            client::order(&recorder, "POST", &path, Some(&json!({ "camera": camera }))).await?;
            output.result(&json!({"channel": channel, "arrived": true}), || {
                format!("the message arrived by {channel}")
            })
        }
        Some(AlertsCommand::Ack { id }) => {
            let path = format!("/api/v1/alerts/{id}/acknowledge");
            let alert = client::order(&recorder, "POST", &path, None).await?;
            output.result(&alert, || {
                format!("alert {id} is acknowledged: {}", text(&alert["summary"]))
            })
        }
        Some(AlertsCommand::Mute {
            duration,
            rule,
            camera,
        }) => {
            let body = json!({"duration": duration, "rule": rule, "camera": camera});
            let mute = client::order(&recorder, "POST", "/api/v1/alerts/mutes", Some(&body)).await?;
            output.result(&mute, || {
                format!(
                    "muted until {} (number {})",
                    when(&mute["until"], &zone),
                    mute["id"]
                )
            })
        }
        Some(AlertsCommand::Unmute { id }) => {
            let path = format!("/api/v1/alerts/mutes/{id}");
            client::order(&recorder, "DELETE", &path, None).await?;
            output.result(&json!({"id": id, "muted": false}), || {
                format!("mute {id} is gone")
            })
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn when(value: &Value, zone: &TimeZone) -> String {
    times::told(value.as_str().unwrap_or_default(), zone)
}

fn rows(alerts: &Value, zone: &TimeZone) -> Vec<Vec<String>> {
    let all = alerts.as_array().into_iter().flatten();
    let row = |a: &Value| {
        let state = match (a["resolved"].as_str(), a["acknowledged"].as_str()) {
            (Some(_), _) => format!("over {}", when(&a["resolved"], zone)),
            (None, Some(_)) => "acknowledged".to_owned(),
            (None, None) if a["told"].is_null() => "not told yet".to_owned(),
            (None, None) => "told".to_owned(),
        };
        vec![
            a["id"].to_string(),
            text(&a["severity"]),
            when(&a["since"], zone),
            state,
            text(&a["summary"]),
        ]
    };
    all.map(row).collect()
}

fn list(all: &Value, history: bool, zone: &TimeZone) -> String {
    let head = ["alert", "severity", "since", "state", "what"];
    let active = rows(&all["active"], zone);
    let mut out = if active.is_empty() {
        "nothing is wrong".to_owned()
    } else {
        output::table(&head, &[0], active)
    };
    for mute in all["mutes"].as_array().into_iter().flatten() {
        let of = |key: &str| {
            mute[key]
                .as_str()
                .map_or(String::new(), |v| format!(" {key} {v}"))
        };
        out += &format!(
            "\nmuted until {} (number {}){}{}",
            when(&mute["until"], zone),
            mute["id"],
            of("rule"),
            of("camera")
        );
    }
    let past = rows(&all["history"], zone);
    if history && !past.is_empty() {
        out += &format!("\n\n{}", output::table(&head, &[0], past));
    }
    out
}

fn channels(all: &Value) -> String {
    let Some(all) = all.as_array().filter(|all| !all.is_empty()) else {
        return "no channels: write a section [[alert_channel]]".into();
    };
    let rows = all.iter().map(|c| {
        vec![
            text(&c["name"]),
            text(&c["kind"]),
            text(&c["place"]),
            c["waiting"].to_string(),
            c["delivered"].to_string(),
            c["failed"].to_string(),
            text(&c["last_failure"]),
        ]
    });
    output::table(
        &[
            "channel",
            "kind",
            "to",
            "waiting",
            "arrived",
            "failed",
            "last failure",
        ],
        &[3, 4, 5],
        rows,
    )
}

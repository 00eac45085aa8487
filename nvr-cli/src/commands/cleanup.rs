//! `nvr cleanup`: deletes what is to go by the limits of retention, now.

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::clock::SystemClock;
use nvr_core::config::Config;
use nvr_core::retention::{Keeper, Policy};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{client, config, logging, times};

#[derive(Args, Debug)]
pub struct CleanupArgs {
    /// Only say what would be deleted.
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub async fn run(global: &Global, args: &CleanupArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    let zone = times::zone(&config.recorder.time_zone);
    let result = if client::recorder_runs(&config).await? {
        by_recorder(&config, args.dry_run).await?
    } else {
        by_ourselves(config, args.dry_run).await?
    };
    output.result(&result, || told(&result, args.dry_run, &zone))
}

/// The recorder deletes some hundred segments at a time.
async fn by_recorder(config: &Config, dry_run: bool) -> Result<Value, Failure> {
    let address = client::required_address(config)?;
    let path = format!("/api/v1/storage/cleanup?dry_run={dry_run}");
    let mut result = client::post(&address, &path).await?;
    while !dry_run && result["more"] == true {
        let next = client::post(&address, &path).await?;
        if next["deleted"].as_array().is_none_or(Vec::is_empty) {
            break;
        }
        add(&mut result, next);
    }
    Ok(result)
}

fn add(result: &mut Value, mut next: Value) {
    for key in ["deleted", "failed"] {
        let more = next[key].take();
        if let (Some(list), Value::Array(more)) = (result[key].as_array_mut(), more) {
            list.extend(more);
        }
    }
    for key in ["more", "short_bytes"] {
        result[key] = next[key].take();
    }
}

async fn by_ourselves(config: Config, dry_run: bool) -> Result<Value, Failure> {
    let pass = client::blocking(move || {
        let keeper = Keeper::open(&config)?;
        let (policy, now) = (Policy::of(&config), SystemClock::shared().now());
        if dry_run {
            keeper.preview(&policy, now)
        } else {
            keeper.clean(&policy, now)
        }
    })
    .await?;
    Ok(json!({
        "dry_run": dry_run,
        "deleted": pass.deleted,
        "more": pass.more,
        "short_bytes": pass.short_bytes,
        "failed": pass.failed,
    }))
}

fn told(result: &Value, dry_run: bool, zone: &TimeZone) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let number = |v: &Value| v.as_u64().unwrap_or(0);
    let list = result["deleted"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out = String::new();
    if !list.is_empty() {
        let header = ["CAMERA", "SEGMENTS", "SIZE", "FROM", "UNTIL", "WHY"];
        let rows = list.iter().map(|d| {
            vec![
                text(&d["camera"]),
                number(&d["segments"]).to_string(),
                output::bytes(number(&d["size_bytes"])),
                times::told(&text(&d["from"]), zone),
                times::told(&text(&d["until"]), zone),
                text(&d["reason"]).replace('_', " "),
            ]
        });
        out = output::table(&header, &[1, 2], rows) + "\n\n";
    }
    let segments: u64 = list.iter().map(|d| number(&d["segments"])).sum();
    let bytes: u64 = list.iter().map(|d| number(&d["size_bytes"])).sum();
    out += &match (segments, dry_run) {
        (0, _) => "nothing to delete".to_owned(),
        (n, true) => format!("{n} segments, {} would be deleted", output::bytes(bytes)),
        (n, false) => format!("{n} segments, {} deleted", output::bytes(bytes)),
    };
    for why in result["failed"].as_array().into_iter().flatten() {
        out += &format!("\nnot deleted: {}", text(why));
    }
    let short = number(&result["short_bytes"]);
    if short > 0 {
        out += &format!(
            "\n{} are missing to the free space that is wanted, and nothing else may be deleted",
            output::bytes(short)
        );
    }
    out
}

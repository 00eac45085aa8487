//! `nvr stats`: how much is recorded, how full the disk is, and how long it will do.

use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::times;

#[derive(clap::Args, Debug)]
pub struct StatsArgs {
    /// Show what encoding footage again as H.265 brought.
    #[arg(long)]
    transcode: bool,
}

pub async fn run(global: &Global, args: &StatsArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    if args.transcode {
        let totals = asked.archive.transcode_totals().await?;
        return output.result(&totals, || transcoded(&totals));
    }
    let stats = asked.archive.stats().await?;
    output.result(&stats, || {
        let header = [
            "CAMERA",
            "SEGMENTS",
            "RECORDED",
            "SIZE",
            "PER HOUR",
            "BIT RATE",
            "DAYS LEFT",
            "OLDEST",
            "NEWEST",
        ];
        let time =
            |t: Option<nvr_core::Timestamp>| t.map_or_else(String::new, |t| times::show(t, &asked.zone));
        let table = output::table(
            &header,
            &[1, 2, 3, 4, 5, 6],
            stats.cameras.iter().map(|c| {
                vec![
                    c.camera.to_string(),
                    c.segments.to_string(),
                    output::duration(c.duration_ns),
                    output::bytes(c.size_bytes),
                    per_hour(c.bytes_per_hour),
                    bit_rate(c.size_bytes, c.duration_ns),
                    c.days_left.map_or_else(String::new, days),
                    time(c.oldest),
                    time(c.newest),
                ]
            }),
        );
        let total: u64 = stats.cameras.iter().map(|c| c.size_bytes).sum();
        let mut text = format!(
            "{table}\n\n{} recorded; {} of {} on the disk are free, {} are to stay free",
            output::bytes(total),
            output::bytes(stats.disk_available_bytes),
            output::bytes(stats.disk_total_bytes),
            output::bytes(stats.disk_min_free_bytes),
        );
        if let Some(tier) = &stats.tier {
            text += &format!(
                "\n{} of that in {} segments below the second root {}, ",
                output::bytes(tier.size_bytes),
                tier.segments,
                tier.root.display()
            );
            text += &if tier.reachable {
                format!(
                    "where {} of {} are free and {} are to stay free",
                    output::bytes(tier.disk_available_bytes),
                    output::bytes(tier.disk_total_bytes),
                    output::bytes(tier.disk_min_free_bytes)
                )
            } else {
                "which is not reachable".to_owned()
            };
        }
        match stats.days_left {
            Some(0.0) => text += "\nthe oldest footage goes to make room for the new",
            Some(left) => {
                text += &format!(
                    "\nat the present rate of {} an hour there is room for {} days",
                    output::bytes(stats.bytes_per_hour as u64),
                    days(left)
                );
            }
            None => {}
        }
        text
    })
}

fn days(left: f64) -> String {
    format!("{left:.1}")
}

fn per_hour(bytes: f64) -> String {
    if bytes <= 0.0 {
        return String::new();
    }
    output::bytes(bytes as u64)
}

fn bit_rate(bytes: u64, ns: i64) -> String {
    if ns <= 0 {
        return String::new();
    }
    format!("{:.2} Mbit/s", bytes as f64 * 8e3 / ns as f64)
}

fn transcoded(totals: &[nvr_core::store::TranscodeTotals]) -> String {
    if totals.is_empty() {
        return "nothing was encoded again yet".into();
    }
    let header = [
        "CAMERA", "SEGMENTS", "KEPT", "BEFORE", "AFTER", "SAVED", "TIME", "SSIM", "WORST", "PSNR",
    ];
    let number = |n: Option<f64>, digits: usize| n.map_or_else(String::new, |n| format!("{n:.digits$}"));
    let table = output::table(
        &header,
        &[1, 2, 3, 4, 5, 6, 7, 8, 9],
        totals.iter().map(|t| {
            vec![
                t.camera.to_string(),
                t.done.to_string(),
                t.kept.to_string(),
                output::bytes(t.before_bytes),
                output::bytes(t.after_bytes),
                saved(t.before_bytes, t.after_bytes),
                output::duration(t.elapsed_ns),
                number(t.ssim, 4),
                number(t.worst_ssim, 4),
                number(t.psnr_db, 1),
            ]
        }),
    );
    let (before, after) = totals
        .iter()
        .fold((0, 0), |(b, a), t| (b + t.before_bytes, a + t.after_bytes));
    let all = output::bytes(before.saturating_sub(after));
    if before == 0 {
        return format!("{table}\n\nnothing was encoded again yet");
    }
    format!("{table}\n\n{all} saved in all ({})", saved(before, after))
}

fn saved(before: u64, after: u64) -> String {
    if before == 0 {
        return String::new();
    }
    format!("{:.0} %", 100.0 - after as f64 * 100.0 / before as f64)
}

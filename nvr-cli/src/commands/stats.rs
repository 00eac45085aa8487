//! `nvr stats`: how much is recorded and how full the disk is.

use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::times;

pub async fn run(global: &Global, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let stats = asked.archive.stats().await?;
    output.result(&stats, || {
        let header = [
            "CAMERA", "SEGMENTS", "RECORDED", "SIZE", "BIT RATE", "OLDEST", "NEWEST",
        ];
        let time =
            |t: Option<nvr_core::Timestamp>| t.map_or_else(String::new, |t| times::show(t, &asked.zone));
        let table = output::table(
            &header,
            &[1, 2, 3, 4],
            stats.cameras.iter().map(|c| {
                vec![
                    c.camera.to_string(),
                    c.segments.to_string(),
                    output::duration(c.duration_ns),
                    output::bytes(c.size_bytes),
                    bit_rate(c.size_bytes, c.duration_ns),
                    time(c.oldest),
                    time(c.newest),
                ]
            }),
        );
        let total: u64 = stats.cameras.iter().map(|c| c.size_bytes).sum();
        format!(
            "{table}\n\n{} recorded; {} of {} on the disk are free",
            output::bytes(total),
            output::bytes(stats.disk_available_bytes),
            output::bytes(stats.disk_total_bytes)
        )
    })
}

fn bit_rate(bytes: u64, ns: i64) -> String {
    if ns <= 0 {
        return String::new();
    }
    format!("{:.2} Mbit/s", bytes as f64 * 8e3 / ns as f64)
}

//! The codec bench: every H.265 encoder that works, each preset, at three sizes, on clips that look like footage.
//!
//! A row says how fast it was, what it cost, how many bits it took and how like the original it looks: decoding,
//! encoding and writing as the recorder does it when it encodes footage again. Nothing else should run meanwhile.

mod page;
mod run;

pub use crate::gst::CLIP_FPS;
pub use page::html;
pub use run::{BenchOptions, BenchSize, Clip, Measured, Row, clips, likeness, measure, rows};

/// The rows as comma-separated values with a heading (RFC 4180).
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut out = String::from(
        "clip,width,height,encoder,preset,quality,frames,fps,cpu_s_per_min,bits_per_s,ssim,psnr_db,error\n",
    );
    for r in rows {
        let m = r.measured.as_ref().ok();
        let number = |f: fn(&Measured) -> f64| m.map_or_else(String::new, |m| format!("{:.4}", f(m)));
        let error = r
            .measured
            .as_ref()
            .err()
            .map_or(String::new(), |e| e.replace('"', "\"\""));
        out.push_str(&format!(
            "{},{},{},{},{},{},{},{},{},{},{},{},\"{error}\"\n",
            field(&r.clip),
            r.size.0,
            r.size.1,
            field(&r.encoder),
            field(&r.preset),
            r.quality,
            m.map_or(0, |m| m.frames),
            number(|m| m.fps),
            number(|m| m.cpu_s_per_min),
            number(|m| m.bits_per_s),
            number(|m| m.ssim),
            number(|m| m.psnr_db),
        ));
    }
    out
}

fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The rows as JSON.
#[must_use]
pub fn json(rows: &[Row]) -> serde_json::Value {
    serde_json::to_value(rows).unwrap_or_default()
}

#[cfg(test)]
mod tests;

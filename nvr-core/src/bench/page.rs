//! The rows as a page of its own: tables, and plots as SVG. Nothing is loaded from anywhere.

use std::fmt::Write as _;

use super::run::{Measured, Row};

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 44.0;
const TOP: f64 = 14.0;
const RIGHT: f64 = 30.0;
/// Told apart also by those who see fewer colours (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#333333",
];

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1120px;margin:2rem auto;padding:0 1rem;background:Canvas;color:CanvasText}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}
.plots{display:flex;flex-wrap:wrap;gap:1rem}
figure{margin:0;flex:1 1 480px}figcaption{font-weight:600}
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:CanvasText}
.grid{stroke:CanvasText;opacity:.15}.axis{stroke:CanvasText;opacity:.6}.lead{stroke:CanvasText;opacity:.35}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;margin-top:1rem}
th,td{padding:.25rem .6rem;border-bottom:1px solid color-mix(in srgb,CanvasText 18%,transparent);text-align:right;white-space:nowrap}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}
td.bad{text-align:left;color:#c33}
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:0;list-style:none}.key span{display:inline-block;width:.8em;height:.8em;border-radius:50%;margin-right:.4em}
";

/// A page about the rows; `about` says on which machine and when.
#[must_use]
pub fn html(rows: &[Row], about: &str) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    let _ = write!(
        out,
        "<title>Codec bench</title><style>{STYLE}</style></head><body>"
    );
    let _ = write!(out, "<h1>Codec bench</h1><p>{}</p>", escape(about));
    out.push_str(
        "<p>H.264 clips decoded and encoded as H.265. Speed is frames per second of wall time, cost is processor \
         seconds for a minute of footage, both with decoding. Quality is structural similarity (SSIM) of luma to \
         the clip. In the plots up and right is better; each line joins the presets of one encoder.</p>",
    );
    let encoders = distinct(rows.iter().map(|r| r.encoder.as_str()));
    out.push_str("<ul class=\"key\">");
    for (n, name) in encoders.iter().enumerate() {
        let _ = write!(
            out,
            "<li><span style=\"background:{}\"></span>{}</li>",
            colour(n),
            escape(name)
        );
    }
    out.push_str("</ul>");
    for clip in distinct(rows.iter().map(|r| r.clip.as_str())) {
        let of: Vec<&Row> = rows.iter().filter(|r| r.clip == clip).collect();
        let _ = write!(out, "<h2>{}</h2><div class=\"plots\">", escape(clip));
        out.push_str(&plot(
            &of,
            &encoders,
            "Speed over quality",
            ("SSIM", |m| m.ssim),
            ("frames per second", |m| m.fps),
            false,
        ));
        out.push_str(&plot(
            &of,
            &encoders,
            "Size over quality",
            ("SSIM", |m| m.ssim),
            ("Mbit/s (less is better)", |m| m.bits_per_s / 1e6),
            true,
        ));
        out.push_str("</div>");
        table(&mut out, &of);
    }
    out.push_str("</body></html>\n");
    out
}

fn table(out: &mut String, rows: &[&Row]) {
    out.push_str(
        "<div class=\"wide\"><table><thead><tr><th>encoder</th><th>preset</th><th>quality</th><th>fps</th>\
         <th>CPU s/min</th><th>Mbit/s</th><th>SSIM</th><th>PSNR dB</th></tr></thead><tbody>",
    );
    for r in rows {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td>",
            escape(&r.encoder),
            escape(&r.preset),
            r.quality
        );
        match &r.measured {
            Ok(m) => {
                let _ = write!(
                    out,
                    "<td>{:.1}</td><td>{:.1}</td><td>{:.2}</td><td>{:.4}</td><td>{:.1}</td></tr>",
                    m.fps,
                    m.cpu_s_per_min,
                    m.bits_per_s / 1e6,
                    m.ssim,
                    m.psnr_db
                );
            }
            Err(e) => {
                let _ = write!(out, "<td class=\"bad\" colspan=\"5\">{}</td></tr>", escape(e));
            }
        }
    }
    out.push_str("</tbody></table></div>");
}

/// What a plot takes of a measurement, with its name.
type Axis = (&'static str, fn(&Measured) -> f64);

fn plot(rows: &[&Row], encoders: &[&str], title: &str, x: Axis, y: Axis, less_is_better: bool) -> String {
    let points: Vec<(usize, &str, f64, f64)> = rows
        .iter()
        .filter_map(|r| {
            let m = r.measured.as_ref().ok()?;
            let n = encoders.iter().position(|e| *e == r.encoder)?;
            Some((n, r.preset.as_str(), x.1(m), y.1(m)))
        })
        .filter(|p| p.2.is_finite() && p.3.is_finite())
        .collect();
    let mut out = format!("<figure><figcaption>{title}</figcaption>");
    if points.is_empty() {
        out.push_str("<p>Nothing was measured.</p></figure>");
        return out;
    }
    let (xs, ys) = (
        scale(points.iter().map(|p| p.2)),
        scale(points.iter().map(|p| p.3)),
    );
    let px = |v: f64| LEFT + (v - xs.from) / (xs.to - xs.from) * (WIDTH - LEFT - RIGHT);
    let py = |v: f64| {
        let share = (v - ys.from) / (ys.to - ys.from);
        // Up is better.
        let share = if less_is_better { share } else { 1.0 - share };
        TOP + share * (HEIGHT - TOP - BOTTOM)
    };
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
    for v in xs.ticks() {
        let at = px(v);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0,
            xs.show(v)
        );
    }
    for v in ys.ticks() {
        let at = py(v);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            ys.show(v)
        );
    }
    let _ = write!(
        out,
        "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{:.1}H{:.1}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        HEIGHT - BOTTOM,
        WIDTH - RIGHT,
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        x.0,
        (TOP + HEIGHT - BOTTOM) / 2.0,
        y.0
    );
    for (n, _) in encoders.iter().enumerate() {
        let line: Vec<String> = points
            .iter()
            .filter(|p| p.0 == n)
            .map(|p| format!("{:.1},{:.1}", px(p.2), py(p.3)))
            .collect();
        let _ = write!(
            out,
            "<polyline fill=\"none\" stroke=\"{0}\" stroke-opacity=\".5\" points=\"{1}\"/>",
            colour(n),
            line.join(" ")
        );
    }
    let marks: Vec<_> = points.iter().map(|p| (px(p.2), py(p.3), p.1)).collect();
    for ((p, (cx, cy, preset)), label) in points.iter().zip(&marks).zip(labels(&marks)) {
        let _ = write!(
            out,
            "<path class=\"lead\" d=\"M{cx:.1} {cy:.1}L{:.1} {:.1}\"/>\
             <circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{}\"><title>{} {}: {} {}, {} {}</title></circle>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            cx.clamp(label.x, label.x + label.w),
            cy.clamp(label.y, label.y + LABEL_H),
            colour(p.0),
            escape(encoders[p.0]),
            escape(preset),
            x.0,
            xs.show(p.2),
            ys.show(p.3),
            y.0,
            label.x,
            label.y + LABEL_H - 3.0,
            escape(preset)
        );
    }
    out.push_str("</svg></figure>");
    out
}

const LABEL_H: f64 = 14.0;

/// Where a name is written: its left, upper corner and width.
#[derive(Clone, Copy, Debug)]
struct Label {
    x: f64,
    y: f64,
    w: f64,
}

impl Label {
    fn overlaps(&self, other: &Label) -> bool {
        self.x < other.x + other.w
            && other.x < self.x + self.w
            && self.y < other.y + LABEL_H
            && other.y < self.y + LABEL_H
    }

    fn covers(&self, x: f64, y: f64) -> bool {
        (self.x - 4.0..=self.x + self.w + 4.0).contains(&x)
            && (self.y - 4.0..=self.y + LABEL_H + 4.0).contains(&y)
    }

    fn inside(&self) -> bool {
        self.x >= LEFT && self.x + self.w <= WIDTH && self.y >= 0.0 && self.y + LABEL_H <= HEIGHT - BOTTOM
    }
}

/// A place for each name, as near to its point as it can be without lying on another name or point.
fn labels(marks: &[(f64, f64, &str)]) -> Vec<Label> {
    let mut placed: Vec<Label> = Vec::with_capacity(marks.len());
    for (cx, cy, name) in marks {
        // The page cannot measure letters; these are on the wide side.
        let w = 7.0 * name.chars().count() as f64;
        let around = (0..24).flat_map(|ring| {
            let away = 8.0 + 7.0 * f64::from(ring);
            let (right, left) = (cx + away, cx - away - w);
            let (above, below) = (cy - away - LABEL_H, cy + away);
            [
                (right, cy - LABEL_H / 2.0),
                (right, above + 4.0),
                (right, below - 4.0),
                (left, cy - LABEL_H / 2.0),
                (cx - w / 2.0, above),
                (cx - w / 2.0, below),
                (left, above + 4.0),
                (left, below - 4.0),
            ]
        });
        let free = around.map(|(x, y)| Label { x, y, w }).find(|l| {
            l.inside()
                && !placed.iter().any(|o| l.overlaps(o))
                && !marks.iter().any(|(x, y, _)| l.covers(*x, *y))
        });
        // So many in one place that there is no room at all: better on top of each other than missing.
        placed.push(free.unwrap_or(Label {
            x: cx + 8.0,
            y: cy - LABEL_H / 2.0,
            w,
        }));
    }
    placed
}

/// A stretch of an axis with round steps.
struct Scale {
    from: f64,
    to: f64,
    step: f64,
}

fn scale(values: impl Iterator<Item = f64> + Clone) -> Scale {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let span = (high - low).max(high.abs() * 0.02).max(1e-6);
    let rough = span / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|s| *s >= rough)
        .unwrap_or(power * 10.0);
    let from = ((low - span * 0.08) / step).floor() * step;
    let to = ((high + span * 0.08) / step).ceil() * step;
    Scale { from, to, step }
}

impl Scale {
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (from, step) = (self.from, self.step);
        let n = ((self.to - from) / step).round().clamp(1.0, 40.0) as u32;
        (0..=n).map(move |i| from + f64::from(i) * step)
    }

    fn show(&self, v: f64) -> String {
        let digits = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{v:.digits$}")
    }
}

fn colour(n: usize) -> &'static str {
    COLOURS[n % COLOURS.len()]
}

/// Each once, in the order of their first.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut out: Vec<&str> = Vec::new();
    for name in names {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_near_points_do_not_lie_on_each_other() {
        let names = [
            "ultrafast",
            "superfast",
            "veryfast",
            "faster",
            "fast",
            "medium",
            "slow",
            "slower",
            "veryslow",
            "placebo",
        ];
        // All within a few pixels, in the middle and in each corner.
        for (x, y) in [
            (280.0, 160.0),
            (LEFT, TOP),
            (WIDTH - RIGHT, TOP),
            (LEFT, HEIGHT - BOTTOM),
            (WIDTH - RIGHT, HEIGHT - BOTTOM),
        ] {
            let marks: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(i, n)| (x + (i % 3) as f64, y + (i / 3) as f64, *n))
                .collect();
            let placed = labels(&marks);
            for (i, a) in placed.iter().enumerate() {
                assert!(a.inside(), "{a:?}");
                assert!(placed[..i].iter().all(|b| !a.overlaps(b)), "{placed:?}");
            }
        }
        // One alone stands beside its point.
        assert_eq!(labels(&[(280.0, 160.0, "fast")])[0].x, 288.0);
    }
}

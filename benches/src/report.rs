//! The table: what was measured, the goal, the peer.

use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

/// Which side of the goal is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// The measured figure.
    AtMost(f64),
    /// The measured figure.
    AtLeast(f64),
    /// Measured over peer.
    RatioAtMost(f64),
    /// Peer over measured: so many times as fast.
    FasterAtLeast(f64),
    /// For information.
    None,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub what: String,
    pub measured: f64,
    pub unit: &'static str,
    pub peer: Option<f64>,
    pub goal: Goal,
    pub ok: Option<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, what: impl Into<String>, measured: f64, unit: &'static str, goal: Goal) {
        self.beside(what, measured, None, unit, goal);
    }

    pub(crate) fn beside(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        peer: Option<f64>,
        unit: &'static str,
        goal: Goal,
    ) {
        let ok = match goal {
            Goal::AtMost(g) => Some(measured <= g),
            Goal::AtLeast(g) => Some(measured >= g),
            Goal::RatioAtMost(g) => peer.map(|p| measured <= p * g),
            Goal::FasterAtLeast(g) => peer.map(|p| p >= measured * g),
            Goal::None => None,
        };
        let row = Row {
            what: what.into(),
            measured,
            unit,
            peer,
            goal,
            ok,
        };
        // A long run is worth following.
        eprintln!("  {}: {} {}", row.what, number(row.measured), row.unit);
        self.rows.push(row);
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["", "measured", "unit", "peer", "ratio", "goal", ""]);
        for row in &self.rows {
            let ratio = match (row.goal, row.peer) {
                (Goal::FasterAtLeast(_), Some(peer)) => format!("{:.2} x as fast", peer / row.measured),
                (_, Some(peer)) if peer > 0.0 => format!("{:.2} x", row.measured / peer),
                _ => String::new(),
            };
            let goal = match row.goal {
                Goal::AtMost(g) => format!("<= {}", number(g)),
                Goal::AtLeast(g) => format!(">= {}", number(g)),
                Goal::RatioAtMost(g) => format!("<= {g} x"),
                Goal::FasterAtLeast(g) => format!(">= {g} x as fast"),
                Goal::None => String::new(),
            };
            let right = |s: String| Cell::new(s).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(&row.what),
                right(number(row.measured)),
                Cell::new(row.unit),
                right(row.peer.map(number).unwrap_or_default()),
                right(ratio),
                right(goal),
                Cell::new(match row.ok {
                    Some(true) => "ok",
                    Some(false) => "MISS",
                    None => "",
                }),
            ]);
        }
        table
    }

    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&self.rows)?)
    }
}

/// Three digits that matter.
fn number(n: f64) -> String {
    match n.abs() {
        a if a >= 100.0 || n.fract() == 0.0 => format!("{n:.0}"),
        a if a >= 10.0 => format!("{n:.1}"),
        a if a >= 1.0 => format!("{n:.2}"),
        _ => format!("{n:.3}"),
    }
}

/// The value below which the share `q` of them lies; sorts.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 - 1.0) * q).ceil().max(0.0) as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

//! Printing: text for people, JSON for programs, bars for those who wait.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exit::Failure;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are to be JSON.
    pub const fn json(self) -> bool {
        self.json
    }

    /// Prints a value as JSON, or the text that people read.
    pub fn result<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            self.json_line(value)
        } else {
            self.text(&text())
        }
    }

    /// One JSON value, indented on a terminal.
    pub fn json_line<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let pretty = out.is_terminal();
        let text = if pretty {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        writeln!(out, "{}", text.map_err(std::io::Error::from)?)?;
        Ok(())
    }

    /// Text with one newline at its end; nothing for an empty one.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        let text = text.trim_end_matches('\n');
        if !text.is_empty() {
            writeln!(std::io::stdout().lock(), "{text}")?;
        }
        Ok(())
    }

    /// Bytes as they are.
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    /// Something to know besides the result, on the standard error; not with `--json`.
    pub fn note(self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// A bar for so many bytes; shows nothing where nobody looks.
    pub fn bar(self, total: u64, what: &'static str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), self.target());
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {bytes}/{total_bytes} {eta}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.with_message(what)
    }

    /// A bar for things to count, their number not known yet; shows nothing where nobody looks.
    pub fn count(self, what: &'static str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(0), self.target());
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {eta}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.with_message(what)
    }

    /// Several bars; nothing is shown where nobody looks.
    pub fn bars(self) -> MultiProgress {
        MultiProgress::with_draw_target(self.target())
    }

    /// A bar for a share in thousandths, for [`bars`](Self::bars).
    pub fn share(self, what: String) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{prefix:>12} [{bar:40}] {percent:>3}% {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.with_prefix(what)
    }

    /// Something that turns while one waits; shows nothing where nobody looks.
    pub fn spinner(self, what: impl Into<std::borrow::Cow<'static, str>>) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.target()).with_message(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn target(self) -> ProgressDrawTarget {
        if self.json || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        }
    }
}

/// Blanks behind each column.
const BETWEEN: u16 = 2;
/// A column is made no narrower than this: what is left of words and times then is hard to read.
const NARROWEST: usize = 16;

/// A table with its header in capitals; the columns in `right` are aligned to the right. On a terminal that is too narrow
/// the widest column is broken into lines.
pub fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let header: Vec<String> = header.iter().map(|name| name.to_uppercase()).collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    table.set_header(header);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row) {
            let widest = cell.lines().map(|line| line.chars().count()).max();
            *width = (*width).max(widest.unwrap_or(0));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, BETWEEN));
    }
    if std::io::stdout().is_terminal()
        && let Some(terminal) = table.width()
        && let Some((column, width)) = squeezed(&widths, terminal.into())
        && let Some(column) = table.column_mut(column)
    {
        let width = u16::try_from(width).unwrap_or(u16::MAX).saturating_add(BETWEEN);
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
    }
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Which column is made how narrow, so that a table fits into a terminal; `None` where all fits, or where not even that
/// would do: then the terminal itself breaks the lines.
fn squeezed(widths: &[usize], terminal: usize) -> Option<(usize, usize)> {
    // Nothing stands behind the last one.
    let between = usize::from(BETWEEN) * widths.len().saturating_sub(1);
    let over = (widths.iter().sum::<usize>() + between).saturating_sub(terminal);
    let (column, width) = widths
        .iter()
        .copied()
        .enumerate()
        .max_by_key(|(_, width)| *width)?;
    let left = width.checked_sub(over).filter(|left| *left >= NARROWEST)?;
    (over > 0).then_some((column, left))
}

/// A number of things for people: `1 segment`, `2 segments`.
pub fn number(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// Bytes for people: `1.5 GiB`.
pub fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{n} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

/// Nanoseconds for people: `1h 02m 03s`, `2.5s`.
pub fn duration(ns: i64) -> String {
    let ns = ns.max(0);
    let seconds = ns / 1_000_000_000;
    let (d, h, m, s) = (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    match (d, h, m) {
        (0, 0, 0) => format!("{:.1}s", ns as f64 / 1e9),
        (0, 0, _) => format!("{m}m {s:02}s"),
        (0, ..) => format!("{h}h {m:02}m {s:02}s"),
        _ => format!("{d}d {h:02}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_squeezed_where_that_helps() {
        // A state, a time and an address.
        let widths = [9, 23, 70];
        assert_eq!(squeezed(&widths, 106), None, "it fits");
        assert_eq!(squeezed(&widths, 80), Some((2, 44)));
        assert_eq!(squeezed(&widths, 52), Some((2, 16)));
        assert_eq!(squeezed(&widths, 51), None, "nothing could be read then");
        assert_eq!(squeezed(&[], 80), None);
    }

    #[test]
    fn a_table_has_a_header_in_capitals() {
        let text = table(
            &["number", "WHAT"],
            &[0],
            [
                vec!["1".into(), "a thing".into()],
                vec!["20".into(), String::new()],
            ],
        );
        assert_eq!(text, "NUMBER  WHAT\n     1  a thing\n    20");
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(
            [number(0, "file"), number(1, "file"), number(2, "file")],
            ["0 files", "1 file", "2 files"]
        );
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(duration(-5), "0.0s");
        assert_eq!(duration(2_500_000_000), "2.5s");
        assert_eq!(duration(3_723_000_000_000), "1h 02m 03s");
        assert_eq!(duration(90_000_000_000_000), "1d 01h 00m");
    }
}

//! `motion_lines` of a camera: lines that things may cross.

use super::camera::RawCamera;
use super::lists::{self, Point};
use super::reader::{Reader, Section, section};
use super::values::{Text, Word};
use crate::line::{Line, LineDirection, MOST_LINES};

section! {
    /// A line of a camera's picture. What crosses it is told as an event of the kind `line`, whose zone is the name of the line
    /// and whose label is the direction.
    RawLine requires ["name", "from", "to"] {
        /// Its name, 1 to 40 characters, unique for its camera.
        name: Text,
        /// First point, `[x, y]` in shares of width and height from the upper left.
        from: Point,
        /// Second point.
        to: Point,
        /// Which ways of crossing count.
        direction: Word<LineDirection> = "any",
    }
}

/// Reads the lines of a camera.
pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>, raw: &RawCamera) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let Some(at) = &raw.motion_lines else {
        return lines;
    };
    lists::within(reader, section, "motion_lines", "line", |reader, section| {
        let raw = RawLine::read(reader, section);
        for (key, there) in [
            ("name", raw.name.is_some()),
            ("from", raw.from.is_some()),
            ("to", raw.to.is_some()),
        ] {
            if !there && !section.table.is_some_and(|t| t.contains_key(key)) {
                let hint = "{ name = \"gate\", from = [0.1, 0.5], to = [0.9, 0.5], direction = \"any\" }";
                reader.missing(section, key, hint);
            }
        }
        let (Some(name), Some(from), Some(to)) = (&raw.name, &raw.from, &raw.to) else {
            return;
        };
        let direction = raw.direction.map_or(LineDirection::Any, |at| at.value.0);
        match Line::new(name.value.as_str(), from.value.0, to.value.0, direction) {
            Ok(line) if lines.iter().any(|l| l.name == line.name) => {
                let message = "`name`: there is another line of this name";
                reader.problems.error(&name.span, &name.key, message, None);
            }
            Ok(line) => lines.push(line),
            Err(_) if name.secret => {
                let message = "`name`: not usable (not shown, as it comes from a variable)";
                reader.problems.error(&name.span, &name.key, message, None);
            }
            Err(e) => {
                let message = format!("`motion_lines`: {e}");
                reader.problems.error(&section.span, &section.path, message, None);
            }
        }
    });
    if lines.len() > MOST_LINES {
        let message = format!("`motion_lines`: more than {MOST_LINES} lines");
        reader.problems.error(&at.span, &at.key, message, None);
    }
    lines
}

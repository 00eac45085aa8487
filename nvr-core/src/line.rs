//! Lines across a picture that things may cross: two points in relative units, with a name and a direction. Pure.
//!
//! Left and right are those of somebody who stands at the first point and looks at the second: with a line from the left to
//! the right of the picture, its upper part is to the left and its lower part to the right.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Most lines of a camera.
pub const MOST_LINES: usize = 16;
/// Height of the usual picture in units of its width: shares of height are so much shorter than shares of width.
const ASPECT: f32 = 9.0 / 16.0;
/// Shortest line, in shares of the picture's width.
const SHORTEST: f32 = 0.02;

/// The way in which a line was crossed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the left to the right of who looks from the first point to the second.
    LeftToRight,
    /// From the right to the left.
    RightToLeft,
}

impl Direction {
    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeftToRight => "left_to_right",
            Self::RightToLeft => "right_to_left",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::LeftToRight => Self::RightToLeft,
            Self::RightToLeft => Self::LeftToRight,
        }
    }
}

/// Which ways of crossing count.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LineDirection {
    /// Both.
    #[default]
    Any,
    /// From the left of who looks from the first point to the second to the right; with a line from left to right, downwards.
    LeftToRight,
    /// From the right of them to the left; with a line from left to right, upwards.
    RightToLeft,
}

impl LineDirection {
    /// Whether a crossing of that direction counts.
    #[must_use]
    pub fn takes(self, direction: Direction) -> bool {
        match self {
            Self::Any => true,
            Self::LeftToRight => direction == Direction::LeftToRight,
            Self::RightToLeft => direction == Direction::RightToLeft,
        }
    }
}

/// A line across the picture of a camera.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Its name: 1 to 40 characters, unique for its camera.
    pub name: String,
    /// First point, in shares of width and height from the upper left.
    pub from: (f32, f32),
    /// Second point.
    pub to: (f32, f32),
    /// Which ways count.
    pub direction: LineDirection,
}

impl Line {
    /// Of its name and points.
    ///
    /// # Errors
    /// `InvalidArgument` for a name or a point that cannot be used, and for points that are next to each other.
    pub fn new(
        name: impl Into<String>,
        from: (f32, f32),
        to: (f32, f32),
        direction: LineDirection,
    ) -> Result<Self> {
        let name = name.into();
        if name.trim().is_empty() || name.chars().count() > 40 || name.contains(char::is_control) {
            return Err(invalid(format!(
                "{name:?} is not usable as the name of a line: 1 to 40 characters"
            )));
        }
        let inside = |n: f32| (0.0..=1.0).contains(&n);
        for (x, y) in [from, to] {
            if !inside(x) || !inside(y) {
                return Err(invalid(format!(
                    "line {name}: {x},{y} is outside of the picture: both are from 0 to 1"
                )));
            }
        }
        if length(from, to) < SHORTEST {
            return Err(invalid(format!(
                "line {name}: its points are too close to each other"
            )));
        }
        Ok(Self {
            name,
            from,
            to,
            direction,
        })
    }

    /// Reads lines, separated by semicolons or ends of lines, each `name: x,y x,y` or `name @left_to_right: …`.
    ///
    /// # Errors
    /// `InvalidArgument` saying which part cannot be read.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let mut lines: Vec<Self> = Vec::new();
        for part in text.split([';', '\n']).map(str::trim).filter(|p| !p.is_empty()) {
            let wrong = |what: &str| invalid(format!("{part:?}: {what}"));
            let (head, points) = part
                .split_once(':')
                .ok_or_else(|| wrong("a line begins with its name and a colon"))?;
            let (name, direction) = match head.split_once('@') {
                None => (head, LineDirection::Any),
                Some((name, word)) => match word.trim() {
                    "any" => (name, LineDirection::Any),
                    "left_to_right" => (name, LineDirection::LeftToRight),
                    "right_to_left" => (name, LineDirection::RightToLeft),
                    _ => return Err(wrong("a direction is any, left_to_right or right_to_left")),
                },
            };
            let point = |word: &str| {
                let (x, y) = word.split_once(',')?;
                Some((x.parse().ok()?, y.parse().ok()?))
            };
            let points: Option<Vec<(f32, f32)>> = points.split_whitespace().map(point).collect();
            let Some([from, to]) = points.as_deref() else {
                return Err(wrong("a line has two points, each two numbers with a comma"));
            };
            let line = Self::new(name.trim(), *from, *to, direction)?;
            if lines.iter().any(|l| l.name == line.name) {
                return Err(wrong("there is another line of that name"));
            }
            lines.push(line);
        }
        if lines.len() > MOST_LINES {
            return Err(invalid(format!("more than {MOST_LINES} lines")));
        }
        Ok(lines)
    }

    /// How far a point is from the line without ends that this one is a part of, in shares of the picture's width: above
    /// zero to its right, below zero to its left.
    #[must_use]
    pub fn beside(&self, point: (f32, f32)) -> f32 {
        let (dx, dy) = (self.to.0 - self.from.0, (self.to.1 - self.from.1) * ASPECT);
        let (px, py) = (point.0 - self.from.0, (point.1 - self.from.1) * ASPECT);
        (dx * py - dy * px) / dx.hypot(dy)
    }

    /// Whether who goes straight from `a` to `b` crosses it between its ends or at one of them.
    #[must_use]
    pub fn is_crossed_by(&self, a: (f32, f32), b: (f32, f32)) -> bool {
        let turn = |o: (f32, f32), p: (f32, f32), q: (f32, f32)| {
            f64::from(p.0 - o.0) * f64::from(q.1 - o.1) - f64::from(p.1 - o.1) * f64::from(q.0 - o.0)
        };
        let side = |p| turn(self.from, self.to, p) > 0.0;
        let (first, second) = (turn(a, b, self.from), turn(a, b, self.to));
        // Its ends belong to it, whichever way they are passed.
        side(a) != side(b) && ((first >= 0.0 && second <= 0.0) || (first <= 0.0 && second >= 0.0))
    }
}

/// As [`Line::parse_list`] reads it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            LineDirection::Any => "",
            LineDirection::LeftToRight => " @left_to_right",
            LineDirection::RightToLeft => " @right_to_left",
        };
        let ((ax, ay), (bx, by)) = (self.from, self.to);
        write!(f, "{}{direction}: {ax},{ay} {bx},{by}", self.name)
    }
}

/// Distance of two points, in shares of the picture's width.
#[must_use]
pub fn length(a: (f32, f32), b: (f32, f32)) -> f32 {
    (b.0 - a.0).hypot((b.1 - a.1) * ASPECT)
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
        .with_hint("write for example \"gate: 0.1,0.5 0.9,0.5; drive @left_to_right: 0.5,0 0.5,1\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(from: (f32, f32), to: (f32, f32)) -> Line {
        Line::new("gate", from, to, LineDirection::Any).unwrap()
    }

    #[test]
    fn lines_are_read_and_written() {
        let text = "gate: 0.1,0.5 0.9,0.5; drive way @left_to_right: 0.5,0 0.5,1";
        let lines = Line::parse_list(text).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].from, lines[0].to), ((0.1, 0.5), (0.9, 0.5)));
        assert_eq!(lines[1].direction, LineDirection::LeftToRight);
        let again: Vec<String> = lines.iter().map(Line::to_string).collect();
        assert_eq!(again.join("; "), text);
        for (text, part) in [
            ("0.1,0.5 0.9,0.5", "colon"),
            ("a: 0.1,0.5", "two points"),
            ("a: 0.1,0.5 0.9,0.5 1,1", "two points"),
            ("a: 0.1,0.5 0.9,1.5", "outside"),
            ("a: 0.1,0.5 NaN,0.5", "outside"),
            ("a: 0.5,0.5 0.5,0.51", "too close"),
            ("a @up: 0.1,0.5 0.9,0.5", "direction"),
            ("a: 0,0 1,1; a: 0,1 1,0", "another"),
            (": 0,0 1,1", "name"),
        ] {
            let error = Line::parse_list(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn left_and_right_are_those_of_who_stands_at_the_first_point() {
        let rightwards = line((0.1, 0.5), (0.9, 0.5));
        assert!(rightwards.beside((0.5, 0.9)) > 0.0, "below is to the right");
        assert!(rightwards.beside((0.5, 0.1)) < 0.0, "above is to the left");
        let downwards = line((0.5, 0.0), (0.5, 1.0));
        assert!(downwards.beside((0.1, 0.5)) > 0.0);
        assert!((downwards.beside((0.1, 0.5)) - 0.4).abs() < 1e-5);
    }

    #[test]
    fn only_between_its_ends_is_it_crossed() {
        let line = line((0.4, 0.5), (0.6, 0.5));
        assert!(line.is_crossed_by((0.5, 0.2), (0.5, 0.8)));
        assert!(!line.is_crossed_by((0.3, 0.2), (0.3, 0.8)));
        assert!(!line.is_crossed_by((0.5, 0.1), (0.5, 0.4)));
    }

    #[test]
    fn past_its_very_end_is_a_crossing_both_ways() {
        for (from, to) in [((0.5, 0.0), (0.5, 1.0)), ((0.5, 1.0), (0.5, 0.0))] {
            let line = line(from, to);
            for y in [0.0, 1.0] {
                assert!(line.is_crossed_by((0.4, y), (0.6, y)), "{line} at {y}");
                assert!(line.is_crossed_by((0.6, y), (0.4, y)), "{line} at {y}");
            }
            assert!(
                !line.is_crossed_by((0.5, 0.0), (0.5, 1.0)),
                "along it is not across"
            );
        }
    }

    proptest! {
        #[test]
        fn turned_round_the_sides_change_and_crossings_stay(
            a in (0f32..1.0, 0f32..1.0), b in (0f32..1.0, 0f32..1.0),
            p in (0f32..1.0, 0f32..1.0), q in (0f32..1.0, 0f32..1.0),
        ) {
            prop_assume!(length(a, b) > 0.05);
            let (there, back) = (line(a, b), line(b, a));
            prop_assert!((there.beside(p) + back.beside(p)).abs() < 1e-4);
            // What is clearly beside it is judged the same whoever looks.
            prop_assume!([p, q].iter().all(|n| there.beside(*n).abs() > 1e-3));
            prop_assume!(length(p, q) > 1e-2);
            let way = Line { name: String::new(), from: p, to: q, direction: LineDirection::Any };
            prop_assume!([a, b].iter().all(|n| way.beside(*n).abs() > 1e-3));
            prop_assert_eq!(there.is_crossed_by(p, q), there.is_crossed_by(q, p));
            prop_assert_eq!(there.is_crossed_by(p, q), back.is_crossed_by(p, q));
            if there.is_crossed_by(p, q) {
                prop_assert!(there.beside(p) * there.beside(q) < 0.0);
            }
        }
    }
}

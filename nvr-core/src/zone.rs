//! Parts of a picture: polygons in relative units, with names where they are watched, and rectangles. Pure.
//!
//! Written as text, since one line of a configuration is easier to change than a table of tables:
//! `door: 0.1,0.2 0.4,0.2 0.4,0.9; drive @70: 0,0.5 1,0.5 1,1 0,1`. Units are shares of width and height, from the
//! upper left corner.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Most corners of a polygon.
const MOST_CORNERS: usize = 64;
/// Most polygons of a text.
const MOST: usize = 32;

/// A rectangle within a picture, as parts of its width and height from the upper left corner, each from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Area {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl Area {
    /// The middle.
    #[must_use]
    pub fn centre(&self) -> (f32, f32) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    /// Left edge, upper edge, width and height.
    #[must_use]
    pub const fn to_array(self) -> [f32; 4] {
        [self.x, self.y, self.width, self.height]
    }

    /// How much of the picture it is.
    #[must_use]
    pub fn size(&self) -> f32 {
        self.width * self.height
    }

    /// What both cover as a part of what either covers (intersection over union), from 0 to 1.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> f32 {
        let across = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let down = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        if across <= 0.0 || down <= 0.0 {
            return 0.0;
        }
        let both = across * down;
        let either = self.size() + other.size() - both;
        if either > 0.0 { both / either } else { 0.0 }
    }
}

/// A polygon in shares of width and height; it closes itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Polygon(Vec<(f32, f32)>);

impl Polygon {
    /// Of its corners.
    ///
    /// # Errors
    /// `InvalidArgument` for fewer than 3 or more than 64 corners, or one outside of 0 to 1.
    pub fn new(corners: Vec<(f32, f32)>) -> Result<Self> {
        let inside = |n: f32| (0.0..=1.0).contains(&n);
        if !(3..=MOST_CORNERS).contains(&corners.len()) {
            return Err(invalid(format!(
                "a polygon has 3 to {MOST_CORNERS} corners, not {}",
                corners.len()
            )));
        }
        match corners.iter().find(|(x, y)| !inside(*x) || !inside(*y)) {
            Some((x, y)) => Err(invalid(format!(
                "{x},{y} is outside of the picture: both are from 0 to 1"
            ))),
            None => Ok(Self(corners)),
        }
    }

    /// Its corners.
    #[must_use]
    pub fn corners(&self) -> &[(f32, f32)] {
        &self.0
    }

    /// Whether a point lies in it (by the rule of even and odd crossings).
    #[must_use]
    pub fn contains(&self, x: f32, y: f32) -> bool {
        let mut inside = false;
        let mut before = self.0.len() - 1;
        for (n, &(ax, ay)) in self.0.iter().enumerate() {
            let (bx, by) = self.0[before];
            if (ay > y) != (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax {
                inside = !inside;
            }
            before = n;
        }
        inside
    }

    fn parse(text: &str) -> Result<Self> {
        let corner = |word: &str| {
            let (x, y) = word.split_once(',')?;
            Some((x.parse().ok()?, y.parse().ok()?))
        };
        let corners = text
            .split_whitespace()
            .map(|word| {
                corner(word)
                    .ok_or_else(|| invalid(format!("{word:?} is not a corner: two numbers with a comma")))
            })
            .collect::<Result<Vec<_>>>()?;
        Self::new(corners)
    }

    /// Reads polygons without names, separated by semicolons or ends of lines: `0,0 0.3,0 0.3,0.05 0,0.05`.
    ///
    /// # Errors
    /// `InvalidArgument` saying which part cannot be read.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        parts(text)?.into_iter().map(Self::parse).collect()
    }
}

/// As it is read.
impl fmt::Display for Polygon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (x, y)) in self.0.iter().enumerate() {
            let lead = if n == 0 { "" } else { " " };
            write!(f, "{lead}{x},{y}")?;
        }
        Ok(())
    }
}

/// A part of the picture that is watched.
#[derive(Clone, PartialEq, Debug)]
pub struct Zone {
    /// Its name: 1 to 40 characters, unique for its camera.
    pub name: String,
    /// Where it is.
    pub area: Polygon,
    /// How much is needed there, 1 to 100; as for the whole picture when absent.
    pub sensitivity: Option<u8>,
}

impl Zone {
    /// Reads zones, separated by semicolons or ends of lines, each `name: x,y x,y x,y` or `name @70: …` with a
    /// sensitivity of its own.
    ///
    /// # Errors
    /// `InvalidArgument` saying which part cannot be read.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let mut zones: Vec<Self> = Vec::new();
        for part in parts(text)? {
            let (head, corners) = part
                .split_once(':')
                .ok_or_else(|| invalid(format!("{part:?}: a zone begins with its name and a colon")))?;
            let (name, sensitivity) = match head.split_once('@') {
                Some((name, n)) => {
                    let n = n.trim();
                    let number = n.parse().ok().filter(|n| (1..=100).contains(n));
                    let wrong = || invalid(format!("@{n}: a sensitivity is from 1 to 100"));
                    (name.trim(), Some(number.ok_or_else(wrong)?))
                }
                None => (head.trim(), None),
            };
            if name.is_empty() || name.chars().count() > 40 || name.contains(char::is_control) {
                return Err(invalid(format!(
                    "{name:?} is not usable as a name: 1 to 40 characters"
                )));
            }
            if zones.iter().any(|z| z.name == name) {
                return Err(invalid(format!("there are two zones of the name {name:?}")));
            }
            let area = Polygon::parse(corners).map_err(|e| e.context(format_args!("zone {name}")))?;
            zones.push(Self {
                name: name.to_owned(),
                area,
                sensitivity,
            });
        }
        Ok(zones)
    }
}

fn parts(text: &str) -> Result<Vec<&str>> {
    let parts: Vec<_> = text
        .split([';', '\n'])
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .collect();
    if parts.len() > MOST {
        return Err(invalid(format!("more than {MOST} areas")));
    }
    Ok(parts)
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
        .with_hint("write for example \"door: 0.1,0.2 0.4,0.2 0.4,0.9 0.1,0.9; drive @70: 0,0.5 1,0.5 1,1 0,1\"; masks have no names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_masks_are_read() {
        let zones =
            Zone::parse_list("door: 0.1,0.2 0.4,0.2 0.4,0.9;\n drive way @70: 0,0.5 1,0.5 1,1 0,1;").unwrap();
        assert_eq!(zones.len(), 2);
        assert_eq!((zones[0].name.as_str(), zones[0].sensitivity), ("door", None));
        assert_eq!(
            (zones[1].name.as_str(), zones[1].sensitivity),
            ("drive way", Some(70))
        );
        assert_eq!(zones[1].area.to_string(), "0,0.5 1,0.5 1,1 0,1");
        assert!(zones[1].area.contains(0.5, 0.75) && !zones[1].area.contains(0.5, 0.25));
        let masks = Polygon::parse_list("0,0 0.3,0 0.3,0.05 0,0.05").unwrap();
        assert!(masks[0].contains(0.1, 0.02) && !masks[0].contains(0.4, 0.02));
        assert!(Zone::parse_list(" ; ").unwrap().is_empty());
    }

    #[test]
    fn a_dent_is_not_inside() {
        let l = &Polygon::parse_list("0,0 1,0 1,0.2 0.2,0.2 0.2,1 0,1").unwrap()[0];
        assert!(l.contains(0.1, 0.9) && l.contains(0.9, 0.1) && !l.contains(0.8, 0.8));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, part) in [
            ("0.1,0.2 0.4,0.2 0.4,0.9", "colon"),
            ("a: 0.1,0.2 0.4,0.2", "3 to 64"),
            ("a: 0.1,0.2 0.4,0.2 0.4,1.9", "outside"),
            ("a: 0.1,0.2 0.4,0.2 0.4", "not a corner"),
            ("a @0: 0,0 1,0 1,1", "1 to 100"),
            ("a: 0,0 1,0 1,1; a: 0,0 1,0 1,1", "two zones"),
            (": 0,0 1,0 1,1", "name"),
            ("a: 0,0 1,0 NaN,1", "outside"),
        ] {
            let error = Zone::parse_list(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Polygon::parse_list(&"0,0 1,0 1,1;".repeat(33)).is_err());
    }
}

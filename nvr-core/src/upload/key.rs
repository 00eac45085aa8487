//! How an object is named: a template with placeholders. Pure.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::ids::{CameraId, RunId, SegmentId};
use crate::segment::Container;
use crate::store::SegmentRow;
use crate::time::Timestamp;

/// Longest key that S3 takes, in bytes.
const MOST_KEY: usize = 1024;
/// What is added to a key that is taken.
const SUFFIX: usize = 24;
/// The default of configurations.
pub const DEFAULT_KEY: &str = "{camera}/{date}/{time}.{ext}";

/// What a placeholder stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Camera,
    Date,
    Time,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Run,
    Sequence,
    Id,
    Ext,
}

impl Field {
    const ALL: [(&'static str, Self); 13] = [
        ("camera", Self::Camera),
        ("date", Self::Date),
        ("time", Self::Time),
        ("year", Self::Year),
        ("month", Self::Month),
        ("day", Self::Day),
        ("hour", Self::Hour),
        ("minute", Self::Minute),
        ("second", Self::Second),
        ("run", Self::Run),
        ("sequence", Self::Sequence),
        ("id", Self::Id),
        ("ext", Self::Ext),
    ];
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Field(Field),
}

/// A name with placeholders: `{camera}/{date}/{time}.mp4`. Times are UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyTemplate {
    text: String,
    parts: Vec<Part>,
}

impl Default for KeyTemplate {
    fn default() -> Self {
        use Field::{Camera, Date, Ext, Time};
        let text = |t: &str| Part::Text(t.to_owned());
        Self {
            text: DEFAULT_KEY.to_owned(),
            parts: vec![
                Part::Field(Camera),
                text("/"),
                Part::Field(Date),
                text("/"),
                Part::Field(Time),
                text("."),
                Part::Field(Ext),
            ],
        }
    }
}

/// What decides about a key.
#[derive(Clone, Debug)]
struct Values<'a> {
    camera: &'a CameraId,
    start: Timestamp,
    run: RunId,
    sequence: u32,
    id: SegmentId,
    container: Container,
}

impl KeyTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// `InvalidArgument` for a placeholder that is not known, for a text that no store takes as a name, and for one
    /// that would give the segments of two cameras or two moments one name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |what: String, hint: &str| {
            Err(Error::new(ErrorKind::InvalidArgument, what).with_hint(hint.to_owned()))
        };
        let names: Vec<&str> = Field::ALL.iter().map(|(name, _)| *name).collect();
        let known = format!("the placeholders are {{{}}}", names.join("}, {"));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((name, after)) = from.strip_prefix('{').and_then(|f| f.split_once('}')) else {
                return wrong("a brace without its other half".into(), &known);
            };
            let Some((_, field)) = Field::ALL.iter().find(|(n, _)| *n == name) else {
                return wrong(format!("{{{name}}} is not a placeholder"), &known);
            };
            parts.push(Part::Field(*field));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self {
            text: text.to_owned(),
            parts,
        };
        let has = |field| template.parts.contains(&Part::Field(field));
        let names_day = has(Field::Date) || (has(Field::Year) && has(Field::Month) && has(Field::Day));
        let names_time = has(Field::Time) || (has(Field::Hour) && has(Field::Minute) && has(Field::Second));
        let is_unique = has(Field::Id)
            || (has(Field::Run) && has(Field::Sequence))
            || (has(Field::Camera) && names_day && names_time);
        if !is_unique {
            return wrong(
                "two segments would get one name".into(),
                "name {camera}, {date} and {time}, or {run} and {sequence}, or {id}",
            );
        }
        // The longest that it can become.
        let camera = CameraId::new(&"c".repeat(63))?;
        let longest = template.expand(&Values {
            camera: &camera,
            start: Timestamp::MAX,
            run: RunId::from_u64(0),
            sequence: u32::MAX,
            id: SegmentId(i64::MAX),
            container: Container::Matroska,
        });
        if longest.len() + SUFFIX > MOST_KEY {
            return wrong("names would be longer than 1024 bytes".into(), "make it shorter");
        }
        let usable = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()/=@,+ ".contains(c);
        let mut pieces = longest.split('/');
        if !longest.chars().all(usable) || pieces.any(|p| p.is_empty() || p == "." || p == "..") {
            return wrong(
                "not usable as a name".into(),
                "use letters, digits and !-_.*'()=@,+ in parts that are separated by single slashes",
            );
        }
        Ok(template)
    }

    /// The name of a segment's copy.
    #[must_use]
    pub fn key_of(&self, row: &SegmentRow) -> String {
        self.expand(&Values {
            camera: &row.camera,
            start: row.start,
            run: row.run,
            sequence: row.sequence,
            id: row.id,
            container: row.container,
        })
    }

    fn expand(&self, v: &Values<'_>) -> String {
        let at = v.start.to_jiff();
        let time = |format: &str| at.strftime(format).to_string();
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(field) => out.push_str(&match field {
                    Field::Camera => v.camera.to_string(),
                    Field::Date => time("%Y-%m-%d"),
                    Field::Time => time("%H-%M-%S"),
                    Field::Year => time("%Y"),
                    Field::Month => time("%m"),
                    Field::Day => time("%d"),
                    Field::Hour => time("%H"),
                    Field::Minute => time("%M"),
                    Field::Second => time("%S"),
                    Field::Run => v.run.to_string(),
                    Field::Sequence => v.sequence.to_string(),
                    Field::Id => v.id.to_string(),
                    Field::Ext => v.container.extension().to_owned(),
                }),
            }
        }
        out
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str, start: &str) -> String {
        KeyTemplate::parse(text).unwrap().expand(&Values {
            camera: &CameraId::new("front").unwrap(),
            start: start.parse().unwrap(),
            run: RunId::from_u64(5),
            sequence: 3,
            id: SegmentId(17),
            container: Container::Fmp4,
        })
    }

    #[test]
    fn names() {
        let t = "2026-05-04T03:02:01.75Z";
        assert_eq!(KeyTemplate::parse(DEFAULT_KEY).unwrap(), KeyTemplate::default());
        assert_eq!(key(DEFAULT_KEY, t), "front/2026-05-04/03-02-01.mp4");
        assert_eq!(
            key("cctv/{year}/{month}/{day}/{camera}_{hour}{minute}{second}.mp4", t),
            "cctv/2026/05/04/front_030201.mp4"
        );
        assert_eq!(key("{run}-{sequence}.{ext}", t), "00000005-3.mp4");
        assert_eq!(key("{id}", t), "17");
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let long = "x".repeat(1000);
        for bad in [
            "",
            "{camera}",
            "{camera}/{date}",
            "{date}/{time}",
            "{camera}/{year}/{time}",
            "{camara}/{date}/{time}",
            "{camera/{date}/{time}",
            "{camera}/}{date}/{time}",
            "/{camera}/{date}/{time}",
            "{camera}//{date}/{time}",
            "../{camera}/{date}/{time}",
            "{camera}/./{date}/{time}",
            "{camera}/{date}/{time}/",
            "ü{camera}/{date}/{time}",
            "{camera}/{date}\n/{time}",
            &format!("{long}{{id}}"),
        ] {
            let e = KeyTemplate::parse(bad).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(e.hint().is_some(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_gives_usable_names(text in r"[a-z{}/.\-]{0,12}(\{camera\}|\{id\}|\{date\}|\{time\}|/){0,5}", ns in any::<i64>()) {
            if let Ok(template) = KeyTemplate::parse(&text) {
                let name = template.expand(&Values {
                    camera: &CameraId::new("a").unwrap(),
                    start: Timestamp::from_ns(ns),
                    run: RunId::from_u64(1),
                    sequence: 0,
                    id: SegmentId(1),
                    container: Container::Mp4,
                });
                prop_assert!(name.len() + SUFFIX <= MOST_KEY);
                prop_assert!(name.split('/').all(|p| !p.is_empty() && p != "." && p != ".."), "{}", name);
            }
        }
    }
}

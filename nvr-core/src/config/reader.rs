//! Reads the sections of a parsed text key by key, so that one mistake never hides another.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::{Env, expand};
use super::problem::Problems;
use super::values::{FromValue, Value, Wrong};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
    /// Whole key (`cameras[0].source`).
    pub(super) key: String,
    /// Whether it came from a variable, so that it must not be shown.
    pub(super) secret: bool,
    /// Whether it came from a variable that cannot be had and was not needed.
    pub(super) unknown: bool,
}

/// A table of the text; absent ones read as empty.
pub(super) struct Section<'s> {
    pub(super) path: String,
    pub(super) table: Option<&'s DeTable<'s>>,
    pub(super) span: Range<usize>,
}

impl Section<'_> {
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// Reads values and collects mistakes.
pub(super) struct Reader<'t, 'e> {
    pub(super) problems: Problems<'t>,
    pub(super) env: Env<'e>,
    /// Folder of the configuration file.
    pub(super) base: Option<&'t Path>,
    /// Whether the cameras' secrets are left out where they cannot be had.
    pub(super) spare_secrets: bool,
}

/// The keys of a camera that may be left out then.
const SECRETS: [&str; 4] = ["source", "sub", "user", "password"];

impl Reader<'_, '_> {
    /// The table under a key of the root; reports a value of another type.
    pub(super) fn section<'s>(&mut self, root: &'s DeTable<'s>, key: &str) -> Section<'s> {
        let found = root.get(key);
        let table = found.and_then(|v| v.get_ref().as_table());
        if let (Some(other), None) = (found, table) {
            let kind = a_kind(other.get_ref());
            self.problems.error(
                &other.span(),
                key,
                format!("`{key}` is a table, not {kind}"),
                Some(format!("write a section [{key}]")),
            );
        }
        Section {
            path: key.to_owned(),
            table,
            span: found.map_or(0..0, Spanned::span),
        }
    }

    /// The value of a key, if it is there and of its type; reports what is not.
    pub(super) fn field<T: FromValue>(&mut self, section: &Section<'_>, key: &str) -> Option<At<T>> {
        let found = section.table?.get(key)?;
        let span = found.span();
        let path = section.key(key);
        let of_camera = section.path.starts_with("cameras[") && SECRETS.contains(&key);
        let of_calendar = section.path.starts_with("calendar[") && ["url", "user", "password"].contains(&key);
        let needed = !(self.spare_secrets && (of_camera || of_calendar));
        let value = match self.value(found.get_ref(), needed) {
            Ok(value) => value,
            Err(message) => {
                self.problems.error(&span, &path, message, None);
                return None;
            }
        };
        let (secret, unknown) = match &value {
            Value::Text(e) => (e.secret, e.unknown),
            _ => (false, false),
        };
        match T::from_value(&value) {
            Ok(value) => Some(At {
                value,
                span,
                key: path,
                secret,
                unknown,
            }),
            Err(Wrong { message, hint }) => {
                self.problems
                    .error(&span, &path, format!("`{key}`: {message}"), hint);
                None
            }
        }
    }

    fn value(&self, value: &DeValue<'_>, needed: bool) -> Result<Value, String> {
        Ok(match value {
            DeValue::String(text) => Value::Text(expand(text, self.env, self.base, needed)?),
            DeValue::Integer(n) => Value::Integer(u64::from_str_radix(n.as_str(), n.radix()).ok()),
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::Float(n) => n
                .as_str()
                .parse()
                .map_or(Value::Other("a number with decimals"), Value::Float),
            DeValue::Array(list) if !list.is_empty() => {
                let numbers: Option<Vec<f64>> = list.iter().map(|n| number(n.get_ref())).collect();
                numbers.map_or(Value::Other("a list"), Value::Numbers)
            }
            other => Value::Other(a_kind(other)),
        })
    }

    /// Reports the keys that are not known.
    pub(super) fn refuse_unknown(&mut self, section: &Section<'_>, known: &[&str]) {
        for key in section.table.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = closest(name, known.iter().copied()).map_or_else(
                || format!("the keys here are {}", known.join(", ")),
                |word| format!("did you mean `{word}`?"),
            );
            let shown: String = name.chars().take(60).collect();
            let place = if section.path.is_empty() {
                "the configuration"
            } else {
                section.path.as_str()
            };
            self.problems.error(
                &key.span(),
                &section.key(&shown),
                format!("unknown key `{shown}` in {place}"),
                Some(hint),
            );
        }
    }

    /// Reports a key that has to be there. Not if there are mistakes of syntax: it may have been lost to them.
    pub(super) fn missing(&mut self, section: &Section<'_>, key: &str, hint: &str) {
        let is_of_wrong_kind = section.table.is_none() && section.span != (0..0);
        if !self.problems.has_syntax_errors() && !is_of_wrong_kind {
            self.problems.error(
                &section.span,
                &section.key(key),
                format!("`{key}` is missing in {}", section.path),
                Some(hint.to_owned()),
            );
        }
    }

    /// Hands on a value that lies within bounds, and reports one that does not.
    pub(super) fn within<T: PartialOrd + fmt::Display + Copy>(
        &mut self,
        field: Option<&At<T>>,
        bounds: &RangeInclusive<T>,
    ) -> Option<T> {
        let at = field?;
        if bounds.contains(&at.value) {
            return Some(at.value);
        }
        let name = at.key.rsplit('.').next().unwrap_or_default();
        let value = if at.secret {
            "the value".into()
        } else {
            at.value.to_string()
        };
        self.problems.error(
            &at.span,
            &at.key,
            format!("`{name}`: {value} is out of bounds"),
            Some(format!("from {} to {}", bounds.start(), bounds.end())),
        );
        None
    }
}

/// The number that a value is.
fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(n) => n.as_str().parse().ok(),
        _ => None,
    }
}

/// The type of a value with its article.
pub(super) fn a_kind(value: &DeValue<'_>) -> &'static str {
    match value.type_str() {
        "string" => "a text",
        "integer" => "an integer",
        "float" => "a number with decimals",
        "boolean" => "true or false",
        "array" => "a list",
        "table" => "a table",
        _ => "a date",
    }
}

/// The word that was probably meant: at most a third of its letters away.
pub(super) fn closest<'w>(typed: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if typed.len() > 60 {
        return None;
    }
    words
        .map(|word| (distance(&typed.to_lowercase(), word), word))
        .filter(|(d, word)| *d <= word.len().max(3) / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, word)| word)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Declares the keys of a section once: how they are read, their schema and their documentation.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $name:ident requires [$($required:literal),*] {
            $( $(#[doc = $doc:literal])* $field:ident : $kind:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[doc = $about])*
        pub(super) struct $name {
            $( pub(super) $field: Option<$crate::config::reader::At<$kind>>, )*
        }

        impl $name {
            pub(super) fn read(
                reader: &mut $crate::config::reader::Reader<'_, '_>,
                section: &$crate::config::reader::Section<'_>,
            ) -> Self {
                reader.refuse_unknown(section, &[$( stringify!($field) ),*]);
                Self { $( $field: reader.field(section, stringify!($field)), )* }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).trim_start_matches("Raw").into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut properties = serde_json::Map::new();
                $(
                    let default = [$( serde_json::json!($default) )?];
                    properties.insert(
                        stringify!($field).to_owned(),
                        $crate::config::schema::property(
                            stringify!($field),
                            generator.subschema_for::<$kind>(),
                            &[$( $doc ),*],
                            default.into_iter().next(),
                        ),
                    );
                )*
                let required: &[&str] = &[$( $required ),*];
                schemars::json_schema!({
                    "description": $crate::config::schema::prose(&[$( $about ),*]),
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                })
            }
        }
    };
}
pub(super) use section;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["segment", "chunk", "container", "id", "http"];
        let near = |typed| closest(typed, words.iter().copied());
        assert_eq!(near("segmnet"), Some("segment"));
        assert_eq!(near("Segments"), Some("segment"));
        assert_eq!(near("contaner"), Some("container"));
        assert_eq!(near("xyz"), None);
        assert_eq!(near(""), None);
        assert_eq!(near(&"segment".repeat(100)), None);
    }
}

//! Texts of `[[mqtt.events]]` with places in braces that a message fills. Pure.

use serde_json::Value as Json;

/// Most characters that a place gives.
const MOST_TEXT: usize = 400;

/// A part of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    /// As it stands there.
    Text(String),
    /// `{2}`: a level of the topic, from 1.
    Level(usize),
    /// `{/after/label}`: what a JSON pointer (RFC 6901) leads to in the payload.
    Field(String),
    /// `{}`: the whole payload as text.
    Payload,
}

/// A text with places in braces that a message fills: `{2}` is the second level of its topic, `{/after/label}` a field of
/// its JSON payload by a JSON pointer (RFC 6901), `{}` the whole payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<Part>);

/// A message as patterns see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'m> {
    pub(crate) topic: &'m str,
    pub(crate) payload: &'m str,
    /// The payload as JSON, if it is.
    pub(crate) json: Option<&'m Json>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some(open) = rest.find(['{', '}']) else {
                parts.push(Part::Text(rest.to_owned()));
                break;
            };
            if rest[open..].starts_with('}') {
                return Err("there is a } without a {".into());
            }
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inner = &rest[open + 1..];
            let close = inner.find('}').ok_or("there is a { without a }")?;
            let name = &inner[..close];
            parts.push(match name.parse::<usize>() {
                _ if name.is_empty() => Part::Payload,
                Ok(n) if (1..=64).contains(&n) => Part::Level(n),
                _ if name.starts_with('/') && !name.contains('{') => Part::Field(name.to_owned()),
                _ => {
                    return Err(format!(
                        "{{{name}}} is no place: {{2}} is a level of the topic, {{/after/label}} a field of the JSON, {{}} the payload"
                    ));
                }
            });
            rest = &inner[close + 1..];
        }
        if parts.is_empty() {
            return Err("it is empty".into());
        }
        Ok(Self(parts))
    }

    /// The text as it is, if there are no places in it.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match &self.0[..] {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for a message, without spaces around it and line breaks; none when a place stays empty.
    pub(crate) fn fill(&self, message: Filling<'_>) -> Option<String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Level(n) => {
                    out.push_str(message.topic.split('/').nth(n - 1).filter(|l| !l.is_empty())?);
                }
                Part::Field(pointer) => match message.json?.pointer(pointer)? {
                    Json::String(text) => out.push_str(text),
                    Json::Null | Json::Array(_) | Json::Object(_) => return None,
                    other => out.push_str(&other.to_string()),
                },
                Part::Payload => out.push_str(message.payload),
            }
        }
        let clean: String = out
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MOST_TEXT)
            .collect();
        let clean = clean.trim();
        (!clean.is_empty()).then(|| clean.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(pattern: &str, topic: &str, payload: &str) -> Option<String> {
        let json = serde_json::from_str(payload).ok();
        Pattern::parse(pattern).unwrap().fill(Filling {
            topic,
            payload,
            json: json.as_ref(),
        })
    }

    #[test]
    fn places_are_filled() {
        let (topic, payload) = (
            "zigbee/door/front",
            r#"{"contact": false, "a": {"b": ["x", 2.5]}, "n": null}"#,
        );
        for (pattern, want) in [
            ("front", Some("front")),
            ("{3}", Some("front")),
            ("{2} of {3}", Some("door of front")),
            ("{4}", None),
            ("{/contact}", Some("false")),
            ("{/a/b/0}", Some("x")),
            ("{/a/b/1}", Some("2.5")),
            ("{/a/b}", None),
            ("{/n}", None),
            ("{/none}", None),
        ] {
            assert_eq!(fill(pattern, topic, payload).as_deref(), want, "{pattern}");
        }
        assert_eq!(fill("{}", "a", " ON\n").as_deref(), Some("ON"));
        assert_eq!(fill("{}", "a", "\n"), None);
        assert_eq!(fill("{/x}", "a", "ON"), None);
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for (text, part) in [
            ("", "empty"),
            ("{", "without a }"),
            ("a}", "without a {"),
            ("{0}", "no place"),
            ("{label}", "no place"),
            ("{/a{b}", "no place"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_comes_breaks_it(text in "[a/{}0-9 ]{0,20}", topic in ".{0,20}", payload in ".{0,40}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                let json = serde_json::from_str(&payload).ok();
                let filled = pattern.fill(Filling { topic: &topic, payload: &payload, json: json.as_ref() });
                prop_assert!(filled.is_none_or(|f| !f.is_empty() && !f.contains(char::is_control)));
            }
        }
    }
}

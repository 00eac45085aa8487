//! XML of cameras as a small tree: bounded in size and depth, without entities of the document's own.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 48;
/// Most elements of one answer.
const MAX_NODES: usize = 20_000;
/// Longest text of one element, in bytes.
const MAX_TEXT: usize = 16_384;

/// An element. Names are without their prefix: makers differ in prefixes, and in nothing that matters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    text: String,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// The document's outermost element.
    ///
    /// # Errors
    /// What is wrong with the document, in words.
    pub(super) fn parse(document: &str) -> Result<Self, String> {
        let mut reader = quick_xml::Reader::from_str(document.trim_start_matches('\u{feff}'));
        let mut open: Vec<Self> = Vec::new();
        let mut nodes = 0;
        loop {
            match reader.read_event().map_err(|e| e.to_string())? {
                Event::Start(e) => {
                    nodes += 1;
                    if open.len() >= MAX_DEPTH || nodes > MAX_NODES {
                        return Err("it is nested too deep or too large".into());
                    }
                    open.push(Self::of(&e));
                }
                Event::Empty(e) => {
                    nodes += 1;
                    if nodes > MAX_NODES {
                        return Err("it is too large".into());
                    }
                    let node = Self::of(&e);
                    match open.last_mut() {
                        Some(parent) => parent.children.push(node),
                        None => return Ok(node),
                    }
                }
                Event::End(_) => {
                    let Some(mut node) = open.pop() else {
                        return Err("an element ends that never began".into());
                    };
                    node.text.truncate(node.text.trim_end().len());
                    match open.last_mut() {
                        Some(parent) => parent.children.push(node),
                        None => return Ok(node),
                    }
                }
                Event::Text(t) => add(&mut open, &t),
                Event::CData(t) => add(&mut open, &t),
                Event::GeneralRef(r) => {
                    if let Some(c) = character(&r) {
                        add(&mut open, c.encode_utf8(&mut [0; 4]));
                    }
                }
                Event::DocType(_) => return Err("it has a document type, which SOAP forbids".into()),
                Event::Eof => return Err("it ends in the middle".into()),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            }
        }
    }

    fn of(e: &BytesStart<'_>) -> Self {
        let attributes = e
            .attributes()
            .with_checks(false)
            .flatten()
            .take(64)
            .filter_map(|a| {
                let value = a.normalized_value(XmlVersion::Implicit1_0).ok()?;
                let value: String = value.chars().take(1024).collect();
                Some((a.key.local_name().as_ref().to_owned(), value))
            })
            .collect();
        Self {
            name: e.local_name().as_ref().to_owned(),
            attributes,
            ..Self::default()
        }
    }

    /// The text in it, without what it begins and ends with of white space.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// An attribute that is not empty.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name)?;
        Some(found.1.trim()).filter(|value| !value.is_empty())
    }

    /// The first child of a name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// A child of a child.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// The text there, unless it is empty.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        Some(self.at(path)?.text()).filter(|text| !text.is_empty())
    }

    /// The number there.
    pub(super) fn number<T: std::str::FromStr>(&self, path: &[&str]) -> Option<T> {
        self.text_at(path)?.parse().ok()
    }

    /// The first element of a name below it, at any depth.
    pub(super) fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }
}

/// What a reference means: only the five of XML itself, and characters by number.
pub(super) fn character(r: &BytesRef<'_>) -> Option<char> {
    if let Ok(Some(c)) = r.resolve_char_ref() {
        return Some(c);
    }
    match &**r {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

fn add(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut() {
        let text = if node.text.is_empty() {
            text.trim_start()
        } else {
            text
        };
        if node.text.len() + text.len() <= MAX_TEXT {
            node.text.push_str(text);
        }
    }
}

/// A text of a camera for people: one line, not too long.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_lose_their_prefix_and_texts_their_escapes() {
        let node = Node::parse(
            "\u{feff}<?xml version=\"1.0\"?><!-- x --><a:A xmlns:a=\"urn:a\"><b tok:en=\"1 &amp; 2\"> a &lt;&#33; </b><c/></a:A>",
        )
        .unwrap();
        assert_eq!(node.name, "A");
        let b = node.child("b").unwrap();
        assert_eq!((b.attribute("en"), b.text()), (Some("1 & 2"), "a <!"));
        assert!(node.find("c").is_some() && node.child("d").is_none());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><x>&b;</x>";
        for bad in ["", "no xml", "<a><b></a>", "<a>", bomb] {
            assert!(Node::parse(bad).is_err(), "{bad}");
        }
        assert!(Node::parse(&"<a>".repeat(100_000)).is_err());
        assert!(Node::parse(&format!("<a>{}</a>", "<b/>".repeat(30_000))).is_err());
        // An entity that the document would have to explain is left out.
        assert_eq!(Node::parse("<a>x&b;y</a>").unwrap().text(), "xy");
    }

    proptest! {
        #[test]
        fn rubbish_is_survived(text in "[<>/&;a:= \"'!\\[\\]?\\-\u{0}-\u{20}é]{0,200}") {
            let _ = Node::parse(&text);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Node::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}

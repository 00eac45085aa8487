//! Answers of services that tell what is unfinished. Pure.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::error::{Error, ErrorKind, Result};

/// A page of ListParts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct PartsPage {
    /// Numbers, from 1.
    pub(super) numbers: Vec<usize>,
    /// What the next page begins after.
    pub(super) next: Option<String>,
}

/// Each leaf with the names of its element and of the one around it.
fn leaves(xml: &[u8], mut leaf: impl FnMut(&str, &str, &str)) -> Result<()> {
    let wrong = |e: &dyn std::fmt::Display| {
        Error::new(
            ErrorKind::Unavailable,
            format!("the service's answer cannot be read: {e}"),
        )
    };
    let text = std::str::from_utf8(xml).map_err(|e| wrong(&e))?;
    // Azure begins with a mark of the order of bytes.
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(text);
    let (mut stack, mut content) = (Vec::<String>::new(), String::new());
    loop {
        match reader.read_event().map_err(|e| wrong(&e))? {
            Event::Start(e) => {
                stack.push(e.local_name().as_ref().to_owned());
                content.clear();
                if stack.len() > 16 {
                    return Err(wrong(&"it is nested too deeply"));
                }
            }
            Event::Text(t) => content.push_str(&t),
            Event::GeneralRef(r) => content.push_str(match &*r {
                "amp" => "&",
                "lt" => "<",
                "gt" => ">",
                "quot" => "\"",
                "apos" => "'",
                _ => "",
            }),
            Event::End(_) => {
                if let Some(name) = stack.pop() {
                    leaf(stack.last().map_or("", String::as_str), &name, &content);
                }
                content.clear();
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Reads the answer to ListParts.
pub(super) fn parts(xml: &[u8]) -> Result<PartsPage> {
    let (mut page, mut more) = (PartsPage::default(), false);
    leaves(xml, |around, name, text| match (around, name) {
        ("Part", "PartNumber") => page.numbers.extend(text.trim().parse::<usize>()),
        ("ListPartsResult", "NextPartNumberMarker") => page.next = Some(text.trim().to_owned()),
        ("ListPartsResult", "IsTruncated") => more = text.trim() == "true",
        _ => {}
    })?;
    page.next = page.next.filter(|_| more);
    Ok(page)
}

/// Reads the first page of an answer to ListMultipartUploads: keys and ids.
pub(super) fn uploads(xml: &[u8]) -> Result<Vec<(String, String)>> {
    let (mut all, mut key, mut id) = (Vec::new(), None, None);
    leaves(xml, |around, name, text| match (around, name) {
        ("Upload", "Key") => key = Some(text.to_owned()),
        ("Upload", "UploadId") => id = Some(text.trim().to_owned()),
        ("ListMultipartUploadsResult", "Upload") => {
            if let (Some(key), Some(id)) = (key.take(), id.take()) {
                all.push((key, id));
            }
        }
        _ => {}
    })?;
    Ok(all)
}

/// Reads the answer of Azure to Get Block List: ids of blocks.
pub(super) fn blocks(xml: &[u8]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    leaves(xml, |around, name, text| {
        if (around, name) == ("Block", "Name") {
            all.push(text.trim().to_owned());
        }
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_of_services() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><Key>k</Key>
            <IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>
            <Part><PartNumber>1</PartNumber><ETag>"a"</ETag></Part><Part><PartNumber>2</PartNumber></Part>
            </ListPartsResult>"#;
        let page = parts(xml).unwrap();
        assert_eq!((page.numbers, page.next), (vec![1, 2], Some("2".into())));
        let xml = br#"<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>false</IsTruncated>
            <Upload><Key>a &amp; b.mp4</Key><UploadId>x</UploadId><Owner><ID>o</ID></Owner></Upload>
            <Upload><Key>c</Key><UploadId>y</UploadId></Upload><Upload><Key>lost</Key></Upload>
            </ListMultipartUploadsResult>"#;
        let all = uploads(xml).unwrap();
        assert_eq!(all, [("a & b.mp4".into(), "x".into()), ("c".into(), "y".into())]);
        assert_eq!(parts(b"<ListPartsResult/>").unwrap(), PartsPage::default());
        let xml = b"<BlockList><UncommittedBlocks><Block><Name>YQ==</Name><Size>5</Size></Block></UncommittedBlocks></BlockList>";
        assert_eq!(blocks(xml).unwrap(), ["YQ=="]);
        parts(b"<a></b>").unwrap_err();
        parts(b"\xff").unwrap_err();
        parts("<a>".repeat(1000).as_bytes()).unwrap_err();
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(<|>|/|Upload|Part|Key|&amp;|&#|[a-z]){0,40}") {
            let _ = (parts(&bytes), uploads(&bytes), parts(text.as_bytes()), uploads(text.as_bytes()));
        }
    }
}

//! Names of classes, as a text file has them, or a model. Pure but for the reading.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::detection::MOST_LABEL;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of a file of names.
const MOST_BYTES: u64 = 1 << 20;
/// Most names.
pub(super) const MOST_CLASSES: usize = 10_000;

/// Names from a text file, one a line.
///
/// # Errors
/// `NotFound` and others of the file system; `InvalidArgument` when it is too large, empty or no text.
pub(super) fn read(file: &Path) -> Result<Vec<String>> {
    let io = |e| Error::io(file.display(), e);
    let wrong = |why: &str| {
        Error::new(ErrorKind::InvalidArgument, format!("{}: {why}", file.display())).with_hint(
            "the file of `labels` is a text with the name of a class in each line, in the model's order",
        )
    };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(io)?;
    opened.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong("it is larger than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let names: Vec<String> = text
        .trim_end()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    if names.is_empty() || names.len() > MOST_CLASSES {
        return Err(wrong("it has no names, or more than 10,000"));
    }
    Ok(names)
}

/// Names as they can be told: each a line of at most 100 characters.
pub(super) fn clean(names: Vec<String>) -> Vec<String> {
    let names = names.into_iter().take(MOST_CLASSES).enumerate();
    names
        .map(|(n, name)| {
            let line: String = name
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(MOST_LABEL)
                .collect();
            let line = line.trim();
            if line.is_empty() {
                format!("class {n}")
            } else {
                line.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_file_and_what_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            read(file.path())
        };
        assert_eq!(
            with(b"person\r\n car \n\nbus\n\n").unwrap(),
            ["person", "car", "", "bus"]
        );
        for wrong in [
            &b""[..],
            b"\n \n",
            b"\xff\xfe",
            &vec![b'a'; 1 << 21],
            &b"a\n".repeat(10_001),
        ] {
            assert_eq!(with(wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        let missing = read(Path::new("/no/such/names.txt")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn names_are_lines_that_can_be_told() {
        let long = "ü".repeat(150);
        let names = clean(vec!["a\nb".into(), "  ".into(), long, "dog ".into()]);
        assert_eq!(names[..2], ["a b", "class 1"]);
        assert_eq!((names[2].chars().count(), &*names[3]), (100, "dog"));
    }
}

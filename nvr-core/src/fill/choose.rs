//! Which recordings on a card are meant. Pure.

use crate::error::{Error, ErrorKind, Result};
use crate::onvif::CardRecording;
use crate::time::{NS_PER_S, TimeRange};

/// The recordings that may have what is missing, by time: all of one source. Their ends grow and are told late.
pub(super) fn choose(
    found: Vec<CardRecording>,
    token: Option<&str>,
    holes: &[TimeRange],
    ahead_ns: i64,
) -> Result<Vec<CardRecording>> {
    if let Some(token) = token {
        let names: Vec<String> = found.iter().map(|r| r.token.clone()).take(16).collect();
        let chosen = found.into_iter().find(|r| r.token == token);
        return chosen.map(|r| vec![r]).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the camera's card has no recording {token:?}, but {names:?}"),
            )
            .with_hint("correct `onvif_recording`")
        });
    }
    let (Some(first), Some(last)) = (holes.first(), holes.last()) else {
        return Ok(Vec::new());
    };
    let (from, to) = (first.start().add_ns(ahead_ns), last.end().add_ns(ahead_ns));
    let slack_ns = 10 * 60 * NS_PER_S;
    let mut fitting: Vec<CardRecording> = found
        .into_iter()
        .filter(|r| r.range.start() < to && r.range.end().add_ns(slack_ns) > from)
        .collect();
    fitting.sort_by_key(|r| r.range.start());
    if fitting.iter().any(|r| r.source != fitting[0].source) {
        let names: Vec<String> = fitting
            .iter()
            .map(|r| format!("{} ({})", r.token, r.source))
            .take(16)
            .collect();
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "recordings of several sources on the camera's card may be meant: {}",
                names.join(", ")
            ),
        )
        .with_hint("name one: onvif_recording = \"…\""));
    }
    Ok(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + s)
    }

    fn recording(token: &str, source: &str, from: i64, to: i64) -> CardRecording {
        CardRecording {
            token: token.into(),
            source: source.into(),
            range: TimeRange::new(at(from), at(to)).unwrap(),
        }
    }

    #[test]
    fn the_recording_that_is_meant_is_found_or_asked_for() {
        let hole = [TimeRange::new(at(1000), at(1100)).unwrap()];
        let tokens = |found: &[&CardRecording], wanted| {
            let found: Vec<CardRecording> = found.iter().copied().cloned().collect();
            choose(found, wanted, &hole, 0).map(|all| all.into_iter().map(|r| r.token).collect::<Vec<_>>())
        };
        let [old, one, two] = [
            recording("old", "a", -90_000, -80_000),
            recording("1", "a", 0, 1050),
            recording("2", "b", 0, 2000),
        ];
        assert_eq!(tokens(&[&old, &one], None).unwrap(), ["1"]);
        assert_eq!(tokens(&[&old], None).unwrap(), [""; 0]);
        assert_eq!(tokens(&[], None).unwrap(), [""; 0]);
        // Two lenses: whose card is filled from is not to be guessed.
        let e = tokens(&[&one, &two], None).unwrap_err();
        assert!(e.to_string().contains("1 (a), 2 (b)"), "{e}");
        assert_eq!(tokens(&[&one, &two], Some("2")).unwrap(), ["2"]);
        let e = tokens(&[&one, &two], Some("3")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        // One that was begun anew in the outage, of the same lens.
        let new = recording("new", "a", 1060, 5000);
        assert_eq!(tokens(&[&new, &one], None).unwrap(), ["1", "new"]);
    }
}

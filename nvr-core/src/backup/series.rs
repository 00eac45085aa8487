//! A series of backups in a folder: what they are called, when the next is due, which go. Pure.

use std::time::Duration;

use crate::time::Timestamp;

const PREFIX: &str = "nvr-backup-";
const SUFFIX: &str = ".tar.gz";
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// What a backup of a moment is called.
pub(crate) fn name(made: Timestamp) -> String {
    format!("{PREFIX}{}{SUFFIX}", made.to_jiff().strftime(STAMP))
}

/// When the backup of that name was made; `None` for a file that is none of the series.
pub(crate) fn made(name: &str) -> Option<Timestamp> {
    let stamp = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let time = jiff::civil::DateTime::strptime(STAMP, stamp).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let made = Timestamp::from_jiff(time.timestamp());
    // Other spellings of the same are somebody else's.
    (self::name(made) == name).then_some(made)
}

/// Whether one is due: none is there, or the newest is old enough. One of a clock that was ahead does not count for ever.
pub(crate) fn is_due(names: &[String], now: Timestamp, every: Duration) -> bool {
    let newest = names.iter().filter_map(|n| made(n)).max();
    newest.is_none_or(|newest| newest + every <= now || newest - every > now)
}

/// Which go, so that the newest `keep` stay.
pub(crate) fn surplus(names: &[String], keep: usize) -> Vec<String> {
    let mut ours: Vec<_> = names.iter().filter_map(|n| Some((made(n)?, n))).collect();
    ours.sort_unstable();
    let gone = ours.len().saturating_sub(keep);
    ours.into_iter().take(gone).map(|(_, n)| n.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_those_of_others_left_alone() {
        let at: Timestamp = "2026-05-04T03:02:01Z".parse().unwrap();
        assert_eq!(name(at), "nvr-backup-20260504T030201Z.tar.gz");
        assert_eq!(made(&name(at)), Some(at));
        for other in [
            "nvr-backup-.tar.gz",
            "nvr-backup-20260504T030201Z.tar",
            "nvr-backup-20261304T030201Z.tar.gz",
            "x-nvr-backup-20260504T030201Z.tar.gz",
            "nvr-backup-20260504T030201Z.tar.gz.part",
            "nvr-backup-2026504T030201Z.tar.gz",
        ] {
            assert_eq!(made(other), None, "{other}");
        }
    }

    #[test]
    fn one_is_due_when_the_newest_is_old_enough() {
        let at = |s: i64| Timestamp::from_secs(1_700_000_000 + s);
        let day = Duration::from_secs(86_400);
        assert!(is_due(&[], at(0), day));
        let names = vec![name(at(0)), "other".to_owned(), name(at(-86_400))];
        assert!(!is_due(&names, at(86_399), day));
        assert!(is_due(&names, at(86_400), day));
        // The clock was set back by a year.
        assert!(is_due(&names, at(-365 * 86_400), day));
    }

    #[test]
    fn the_newest_stay() {
        let names: Vec<String> = [3_i64, 1, 2]
            .map(|n| name(Timestamp::from_secs(1_700_000_000 + n)))
            .into();
        let names = [names, vec!["other".to_owned()]].concat();
        assert_eq!(surplus(&names, 2), [names[1].clone()]);
        assert_eq!(surplus(&names, 3), Vec::<String>::new());
    }
}

//! How long jobs took, since the recorder started.

use std::collections::BTreeMap;

use crate::event::JobState;

/// Upper bounds of the classes of lengths, in seconds; a last one holds what is longer.
pub const CLASSES_S: [f64; 7] = [1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0];

/// Lengths of the attempts of a kind that ended one way.
#[derive(Clone, PartialEq, Debug)]
pub struct Durations {
    /// Kind.
    pub kind: String,
    /// How they ended: `queued` stands for those that are tried again.
    pub state: JobState,
    /// How many.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_s: f64,
    /// How many in each class of [`CLASSES_S`], and of what is longer.
    pub classes: [u64; CLASSES_S.len() + 1],
}

/// Collects lengths.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<(String, JobState), Durations>);

impl Figures {
    pub(super) fn add(&mut self, kind: &str, state: JobState, seconds: f64) {
        let entry = self
            .0
            .entry((kind.to_owned(), state))
            .or_insert_with(|| Durations {
                kind: kind.to_owned(),
                state,
                count: 0,
                sum_s: 0.0,
                classes: [0; CLASSES_S.len() + 1],
            });
        entry.count += 1;
        entry.sum_s += seconds;
        let class = CLASSES_S.iter().position(|bound| seconds <= *bound);
        entry.classes[class.unwrap_or(CLASSES_S.len())] += 1;
    }

    pub(super) fn all(&self) -> Vec<Durations> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_into_their_classes() {
        let mut figures = Figures::default();
        for s in [0.5, 1.0, 1.5, 50_000.0] {
            figures.add("a", JobState::Done, s);
        }
        figures.add("a", JobState::Failed, 2.0);
        let all = figures.all();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].classes, [2, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!((all[0].count, all[0].sum_s), (4, 50_003.0));
    }
}

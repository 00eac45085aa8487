//! From scores to stretches of motion: when one begins, and when it is over. Pure.

use crate::time::{NS_PER_S, Timestamp};

/// A score from which on one look is enough.
pub const SURE: f32 = 0.5;
/// A score that counts when there is another like it soon, or while there is motion already.
pub const LIKELY: f32 = 0.2;
/// So soon; where looks are rarer, so many of their distances.
const SOON_NS: i64 = 5 * NS_PER_S;
const SOON_LOOKS: i64 = 2;

/// What makes a stretch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpanRules {
    /// Motion has to go on for so long, nanoseconds; with 0 one look is enough.
    pub min_duration_ns: i64,
    /// Motion that comes back within this belongs to the same stretch, nanoseconds.
    pub cool_down_ns: i64,
}

/// What a look changed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SpanChange {
    /// Motion began, then.
    Began {
        /// The first look that showed it.
        at: Timestamp,
        /// Highest score so far.
        peak: f32,
    },
    /// It goes on, and the highest score so far is this.
    Grew {
        /// Highest score so far.
        peak: f32,
    },
    /// It is over: this was the last look that showed it.
    Ended {
        /// The last look that showed it.
        at: Timestamp,
    },
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Open {
    first: Timestamp,
    last: Timestamp,
    peak: f32,
    told: bool,
}

/// Follows the scores of a camera.
#[derive(Clone, Debug)]
pub struct Spans {
    rules: SpanRules,
    open: Option<Open>,
    last_look: Option<Timestamp>,
    /// The usual distance of looks.
    usual_ns: i64,
}

impl Spans {
    /// One that has seen nothing yet.
    #[must_use]
    pub const fn new(rules: SpanRules) -> Self {
        Self {
            rules,
            open: None,
            last_look: None,
            usual_ns: 0,
        }
    }

    /// Other rules from now on.
    pub const fn set(&mut self, rules: SpanRules) {
        self.rules = rules;
    }

    /// Whether there is motion.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some_and(|o| o.told)
    }

    /// The last look that showed motion, of a stretch that goes on.
    #[must_use]
    pub fn last_motion(&self) -> Option<Timestamp> {
        self.open.filter(|o| o.told).map(|o| o.last)
    }

    /// The usual distance of looks, nanoseconds; 0 before there are two.
    #[must_use]
    pub const fn usual_ns(&self) -> i64 {
        self.usual_ns
    }

    fn soon_ns(&self) -> i64 {
        SOON_NS.max(SOON_LOOKS.saturating_mul(self.usual_ns) + self.usual_ns / 2)
    }

    /// Takes the score of a look.
    pub fn look(&mut self, at: Timestamp, score: f32) -> Vec<SpanChange> {
        if let Some(before) = self.last_look {
            let distance = at.since(before).max(0);
            self.usual_ns = if self.usual_ns == 0 {
                distance
            } else {
                self.usual_ns + (distance - self.usual_ns) / 8
            };
        }
        self.last_look = Some(at);
        let mut changes: Vec<SpanChange> = self.pass(at).into_iter().collect();
        if score < LIKELY {
            return changes;
        }
        let soon = self.soon_ns();
        match &mut self.open {
            Some(open) if open.told => {
                open.last = open.last.max(at);
                if score > open.peak {
                    open.peak = score;
                    changes.push(SpanChange::Grew { peak: score });
                }
                return changes;
            }
            Some(open) if at.since(open.last) <= soon => {
                open.last = open.last.max(at);
                open.peak = open.peak.max(score);
            }
            open => {
                *open = Some(Open {
                    first: at,
                    last: at,
                    peak: score,
                    told: false,
                });
                if score < SURE {
                    return changes;
                }
            }
        }
        if let Some(open) = &mut self.open
            && open.last.since(open.first) >= self.rules.min_duration_ns
        {
            open.told = true;
            changes.push(SpanChange::Began {
                at: open.first,
                peak: open.peak,
            });
        }
        changes
    }

    /// Says that it is so late, also when there is no picture.
    pub fn pass(&mut self, now: Timestamp) -> Option<SpanChange> {
        let open = self.open?;
        let patience = if open.told {
            // A look that is missing is not the end.
            self.rules.cool_down_ns.max(self.usual_ns + self.usual_ns / 2)
        } else {
            self.soon_ns()
        };
        if now.since(open.last) <= patience {
            return None;
        }
        self.open = None;
        open.told.then_some(SpanChange::Ended { at: open.last })
    }

    /// Nothing comes any more.
    pub fn end(&mut self) -> Option<SpanChange> {
        let open = self.open.take()?;
        open.told.then_some(SpanChange::Ended { at: open.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SpanRules = SpanRules {
        min_duration_ns: 0,
        cool_down_ns: 10 * NS_PER_S,
    };

    fn s(n: i64) -> Timestamp {
        Timestamp::from_ns(1_000 * NS_PER_S + n * NS_PER_S)
    }

    /// Looks each second; changes as `(second of the look, what)`.
    fn run(rules: SpanRules, scores: &[f32]) -> Vec<(usize, SpanChange)> {
        let mut spans = Spans::new(rules);
        let looks = scores.iter().enumerate();
        looks
            .flat_map(|(n, score)| spans.look(s(n as i64), *score).into_iter().map(move |c| (n, c)))
            .collect()
    }

    #[test]
    fn one_sure_look_is_enough_and_one_likely_is_not() {
        let mut scores = vec![0.0, 0.7];
        scores.extend([0.0; 14]);
        assert_eq!(
            run(RULES, &scores),
            [
                (1, SpanChange::Began { at: s(1), peak: 0.7 }),
                (12, SpanChange::Ended { at: s(1) })
            ]
        );
        scores[1] = 0.3;
        assert_eq!(run(RULES, &scores), []);
        scores[4] = 0.3;
        assert_eq!(
            run(RULES, &scores)[0],
            (4, SpanChange::Began { at: s(1), peak: 0.3 })
        );
        // Six seconds later is not soon.
        scores[4] = 0.0;
        scores[7] = 0.3;
        assert_eq!(run(RULES, &scores), []);
    }

    #[test]
    fn pauses_are_joined_and_the_peak_is_told() {
        let mut scores = vec![0.6, 0.0, 0.9, 0.4, 0.0, 0.0, 0.0, 0.3];
        scores.extend([0.0; 11]);
        assert_eq!(
            run(RULES, &scores),
            [
                (0, SpanChange::Began { at: s(0), peak: 0.6 }),
                (2, SpanChange::Grew { peak: 0.9 }),
                (18, SpanChange::Ended { at: s(7) })
            ]
        );
    }

    #[test]
    fn what_is_shorter_than_wanted_does_not_count() {
        let rules = SpanRules {
            min_duration_ns: 3 * NS_PER_S,
            ..RULES
        };
        assert_eq!(run(rules, &[0.0, 0.9, 0.9, 0.9, 0.0, 0.0]), []);
        assert_eq!(
            run(rules, &[0.0, 0.9, 0.0, 0.9, 0.9]),
            [(4, SpanChange::Began { at: s(1), peak: 0.9 })]
        );
    }

    #[test]
    fn it_ends_without_pictures_too() {
        let mut spans = Spans::new(RULES);
        spans.look(s(0), 0.9);
        assert_eq!(spans.pass(s(10)), None);
        assert_eq!(spans.pass(s(11)), Some(SpanChange::Ended { at: s(0) }));
        spans.look(s(20), 0.9);
        assert_eq!(spans.end(), Some(SpanChange::Ended { at: s(20) }));
        assert_eq!(spans.end(), None);
    }

    #[test]
    fn rare_looks_are_waited_for() {
        let mut spans = Spans::new(RULES);
        for n in 0..4 {
            spans.look(s(n * 15), 0.0);
        }
        // Keyframes each 15 s: the second likely one comes that late.
        assert_eq!(spans.look(s(60), 0.3), []);
        assert_eq!(
            spans.look(s(75), 0.3),
            [SpanChange::Began { at: s(60), peak: 0.3 }]
        );
        assert_eq!(spans.pass(s(90)), None);
        assert_eq!(spans.pass(s(98)), Some(SpanChange::Ended { at: s(75) }));
    }
}

//! Logins that were begun and have not come back. Pure: time is steady nanoseconds that it is given.

use std::collections::HashMap;

use openidconnect::{Nonce, PkceCodeVerifier};

/// How long somebody may take at the provider.
pub(crate) const SECONDS: u64 = 600;
/// Most of them; the oldest make way.
const MOST: usize = 1000;

/// What a login was begun with.
#[derive(Debug)]
pub(super) struct Begun {
    /// Of what the browser keeps: a login can only be ended where it was begun.
    pub(super) cookie: blake3::Hash,
    pub(super) nonce: Nonce,
    pub(super) verifier: PkceCodeVerifier,
    pub(super) redirect: String,
}

/// See the module; by state.
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<String, (i64, Begun)>);

impl Pending {
    pub(super) fn add(&mut self, state: String, begun: Begun, now_ns: i64) {
        self.forget(now_ns);
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(state) = oldest.map(|(state, _)| state.clone()) {
                self.0.remove(&state);
            }
        }
        self.0.insert(state, (now_ns, begun));
    }

    /// Takes one out, good or not.
    pub(super) fn take(&mut self, state: &str, now_ns: i64) -> Option<Begun> {
        self.forget(now_ns);
        self.0.remove(state).map(|(_, begun)| begun)
    }

    fn forget(&mut self, now_ns: i64) {
        let most = i64::try_from(SECONDS).unwrap_or(i64::MAX) * 1_000_000_000;
        self.0.retain(|_, (at, _)| now_ns - *at < most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Begun {
        Begun {
            cookie: blake3::hash(b""),
            nonce: Nonce::new_random(),
            verifier: PkceCodeVerifier::new("x".repeat(43)),
            redirect: String::new(),
        }
    }

    #[test]
    fn each_ends_once_and_not_too_late() {
        let second = 1_000_000_000;
        let mut pending = Pending::default();
        pending.add("a".into(), begun(), 0);
        assert!(pending.take("b", 0).is_none());
        assert!(pending.take("a", 599 * second).is_some());
        assert!(pending.take("a", 599 * second).is_none());
        pending.add("a".into(), begun(), 0);
        assert!(pending.take("a", 600 * second).is_none());
        for n in 0..MOST as i64 + 5 {
            pending.add(n.to_string(), begun(), n);
        }
        assert_eq!(pending.0.len(), MOST);
        assert!(pending.take("4", 2000).is_none() && pending.take("5", 2000).is_some());
    }
}
